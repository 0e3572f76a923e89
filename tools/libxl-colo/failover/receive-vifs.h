/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * receive-vifs.h - Give packets their direct way after a worker
 *
 * What a worker had on the vifs of the guest drops all that they carry once it
 * is gone. Its guard, or a successor that can't take them over, opens them.
 */
#ifndef XLC_RECEIVE_VIFS_H
#define XLC_RECEIVE_VIFS_H

#include <stdbool.h>

#include "receive-shared.h"

/**
 * receive_vifs_clear() - no vif of @sh leads to a worker any more
 * @sh: its nvifs is 0 afterwards, unless one stays, which is in the log: then
 *      it may be tried again
 *
 * Connections with an offset break (RULES B4). For one thread of one process
 * at a time. Return: true if there were some, and all are open
 */
bool receive_vifs_clear(struct receive_shared *sh);

#endif
