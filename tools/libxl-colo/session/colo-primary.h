/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* colo-primary.h - The primary's part of --colo */
#ifndef XLC_COLO_PRIMARY_H
#define XLC_COLO_PRIMARY_H

#include <stdbool.h>

#include <libxl.h>

#include "error.h"

/**
 * colo_primary_check() - can this guest's copy be put back in place?
 * @no_disk: writable disks need not be mirrored (-d)
 *
 * Asked before anything else is: the sentence is about --colo, and says what
 * works for the guest today.
 *
 * Return: 0; -EPERM with a sentence
 */
int colo_primary_check(const libxl_domain_config *cfg, bool no_disk,
                       struct xlc_error *err);

#endif
