/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * monitor.h - Act on a guest's shutdown, reboot or crash, as xl does
 *
 * xl leaves a process behind for each domain it creates, which carries out
 * on_poweroff, on_reboot and so on. That process ends at the first suspend it
 * sees, thus at the first checkpoint (PLATFORM 7.2). From then on, and after
 * a failover, this project is the domain's monitor.
 */
#ifndef XLC_MONITOR_H
#define XLC_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/**
 * monitor_act() - the guest has ended: do what its configuration says
 * @domid_r: the domain; on return the one that was started instead, or 0
 *
 * Return: 0 or a negative errno with a sentence
 */
int monitor_act(uint32_t *domid_r, struct xlc_error *err);

/**
 * monitor_run() - watch a domain until it is gone, acting on each end
 *
 * @domid: it; the one that was started instead is written there, for another
 *         process that goes on from there should this one be killed
 *
 * Blocks; for a process of its own. Return: 0 when there is nothing left to
 * watch
 */
int monitor_run(_Atomic uint32_t *domid, struct xlc_error *err);

struct reunion;

/**
 * monitor_daemon() - stay for a domain, in the background
 * @name: of the domain, for the log /var/log/xen/xl-remus-NAME.log
 * @act: monitor_run()
 * @r: and look for its copy on the other host (reunion.h) as long as that
 *     lasts; its @look is filled in here. NULL: don't
 *
 * Call it without any thread or libxl context alive. @r may be wiped when it
 * returns. Return: 0 in the caller
 */
int monitor_daemon(uint32_t domid, const char *name, bool act,
                   const struct reunion *r, struct xlc_error *err);

#endif
