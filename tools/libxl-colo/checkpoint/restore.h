/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * restore.h - The copy on the secondary: built by libxl, epoch by epoch
 *
 * Theory of operation
 * -------------------
 * libxl_domain_create_restore() runs on a thread of its own and reads a libxl
 * stream from a pipe. What is written into the pipe are the epochs' libxc
 * records as they came from the primary, with libxl's own few records around
 * them, which are written here. libxc keeps an epoch's records aside until
 * its CHECKPOINT and applies them then; so octets of an epoch that never
 * becomes whole do no harm.
 *
 * End of file completes a restore (RULES A9), so the pipe's end is closed
 * only by restore_finish(). To throw the copy away, restore_abort() aborts
 * libxl's operation first, and looks afterwards that the domain is gone.
 *
 * The domain is restored without disks and vifs: what a failing hotplug
 * script could make libxl destroy would be the last copy (PLATFORM 7.1).
 * restore_devices() adds them to the finished, paused domain and may be tried
 * again as often as needed. Until then it is on no bridge.
 *
 * When is an epoch applied? libxc reads its next record only after it has
 * applied the last CHECKPOINT. So after each epoch its own TSC_INFO record is
 * written once more (which changes nothing), and once that has been read out
 * of the pipe the epoch is applied.
 */
#ifndef XLC_RESTORE_H
#define XLC_RESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <net/if.h>

#include <libxl.h>

#include "error.h"

struct disklist;
struct restore;

/**
 * restore_start() - begin to build the copy
 * @r_r: the copy; release with restore_free()
 * @json: the domain's configuration as libxl of the primary wrote it
 * @disks: which are mirrored, and where their images are here; none: @n is 0
 *
 * Checks what this host needs for the guest (memory, no domain of the same
 * name or uuid, bridges, scripts, disks) before anything is created.
 */
int restore_start(struct restore **r_r, const char *json,
                  const struct disklist *disks, struct xlc_error *err);

/* Give octets to the restore; blocks while it is busy. -EPIPE: it ended. */
int restore_write(struct restore *r, const uint8_t *data, size_t len,
                  struct xlc_error *err);

/**
 * restore_epoch() - an epoch's last octet was written; wait until applied
 * @tsc: the body of its TSC_INFO record
 */
int restore_epoch(struct restore *r, const uint8_t *tsc, size_t tsc_len,
                  struct xlc_error *err);

/* Readable once the restore has ended, asked or not. */
int restore_fd(const struct restore *r);

/* Thread-safe: the copy will never run. Blocks until the domain is gone. */
int restore_abort(struct restore *r, struct xlc_error *err);

/**
 * restore_finish() - make a paused domain of the applied epochs
 * @domid_r: it
 */
int restore_finish(struct restore *r, uint32_t *domid_r,
                   struct xlc_error *err);

/* False if the finished domain is gone: somebody destroyed it. */
bool restore_exists(struct restore *r);

/* Add disks and vifs to the finished domain. May be called again after a
 * failure; what was added already stays. */
int restore_devices(struct restore *r, struct xlc_error *err);

/**
 * restore_keep() - the finished domain stays, paused, as the copy
 *
 * It is called X--colo from here on. Return: 0; -EIO
 */
int restore_keep(struct restore *r, struct xlc_error *err);

/* Do something with each vif that was added: its interface in domain 0, and
 * the bridge where it belongs (NULL: it names none). The first failure is
 * returned; all are tried. */
typedef int restore_vif(const char *ifname, const char *bridge,
                        struct xlc_error *err);
int restore_vifs(struct restore *r, restore_vif *fn, struct xlc_error *err);

/* Names of the interfaces of its vifs, at most @max. Return: how many vifs it
 * has; until the domain is finished, the kernel's names are with domain 0. */
unsigned int restore_vif_names(const struct restore *r,
                               char (*names)[IFNAMSIZ], unsigned int max);

/* Give the domain that runs its own name. A wrong one is no reason not to
 * run: it is only logged. */
void restore_rename(struct restore *r);

/* Give it its name and let it run. */
int restore_unpause(struct restore *r, struct xlc_error *err);

/* What libxl builds, without disks and vifs. */
const libxl_domain_config *restore_config(const struct restore *r);

/* The most memory the guest may have, in octets. */
uint64_t restore_memory(const struct restore *r);

/* How many writable disks it has. */
unsigned int restore_writable(const struct restore *r);

/* "web1", and its uuid as text. */
const char *restore_name(const struct restore *r);
const char *restore_uuid(const struct restore *r);

/* Frees the handle; a copy that was neither finished nor aborted is
 * aborted. NULL is allowed. */
void restore_free(struct restore *r);

/**
 * restore_sweep() - destroy a half-built copy that a killed receiver left
 * @uuid: the guest's, raw
 *
 * Only a domain of that uuid whose name ends in "--incoming" or "--colo" is
 * touched.
 */
int restore_sweep(const uint8_t uuid[16], struct xlc_error *err);

#endif
