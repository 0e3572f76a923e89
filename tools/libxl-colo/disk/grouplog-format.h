/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouplog-format.h - What writing and reading a group log share */
#ifndef XLC_GROUPLOG_FORMAT_H
#define XLC_GROUPLOG_FORMAT_H

#include "grouplog.h"

#define GROUPLOG_HEADER_MAGIC 0x584c43444c4f470aull /* "XLCDLOG\n" */
#define GROUPLOG_GROUP_MAGIC  0x584c434447525031ull /* "XLCDGRP1" */
#define GROUPLOG_VERSION      1u

/* Opens the file and takes memory; leaves @l closed on an error. */
int grouplog_prepare(struct grouplog *l, const struct diskio *io,
                     const char *path, enum grouplog_kind kind,
                     unsigned int how, struct xlc_error *err);

#endif
