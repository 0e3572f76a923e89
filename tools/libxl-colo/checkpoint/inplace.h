/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace.h - Put a running domain back to a checkpoint, in place
 *
 * Theory of operation
 * -------------------
 * A secondary that runs beside the primary is not rebuilt at a checkpoint: it
 * is put back, with its devices, in a fraction of a second. Order matters:
 *
 *   inplace_quiet()  the domain is paused where it stands and its backends are
 *                    disconnected. Nothing of it moves from here on: what its
 *                    devices' other sides keep for an epoch (the TAP's queue,
 *                    the disk's overlay) is changed between this and the next.
 *   inplace_write()  which pages did the copy touch? Only now that can be
 *                    read: what dom0 wrote through grants counts as written
 *                    when the backend unmaps it (RULES A5). They, and all that
 *                    the epochs since the last time changed, are written from
 *                    the image; then the machine state, an empty grant table,
 *                    new event channels.
 *   inplace_go()     xenstore forgets what the guest had with it, and the
 *                    domain runs. It wakes up in the suspend hypercall of the
 *                    checkpoint, "not cancelled", and connects its devices
 *                    anew.
 *
 * All that can be refused is refused before the domain is touched: only a
 * whole epoch gets here (image_commit()), and it is compared with the domain.
 * After a failure in the middle the domain is unusable, but the image is whole:
 * the next inplace_apply() writes every page (RULES B2).
 *
 * Two things are in no log of writes. The hypervisor's own (vcpu_info, words
 * of the event array, control blocks): they do not travel in an epoch either,
 * and a guest that comes back from a suspend sets them up anew. And pages that
 * were ballooned out or in: how many pages the domain has tells, and then each
 * is looked at. (A primary's ballooning is in none of libxc's epochs at all: it
 * has to end the protection, or begin it anew.)
 *
 * What touches the hypervisor and xenstore is behind struct inplace_ops
 * (inplace-xen.h); tests have another over plain memory.
 */
#ifndef XLC_INPLACE_H
#define XLC_INPLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "image.h"

/* Pages that are written at a time. */
#define INPLACE_BATCH 1024u

/**
 * struct inplace_ops - what is done with the domain, in this order
 * @fits: can the domain become what the image is? Changes nothing
 * @pause: stop all its virtual CPUs where they are
 * @close: disconnect its backends
 * @dirty: set the bits of page frames that were written to since the last
 *         time, and forget them
 * @moved: set the bits of page frames that only one of domain and image has;
 *         @all: nothing that was known of the domain counts
 * @reset: back to how a domain begins: virtual CPUs, event channels
 * @put: give page frames (at most INPLACE_BATCH) their pages
 * @drop: take pages away where the image has none
 * @machine: machine state, rings, grant table, event channels
 * @rejoin: xenstore begins anew with the guest
 * @go: set its wall clock, and let it run
 */
struct inplace_ops {
    int (*fits)(void *dom, const struct image *img, struct xlc_error *err);
    int (*pause)(void *dom, struct xlc_error *err);
    int (*close)(void *dom, struct xlc_error *err);
    int (*dirty)(void *dom, uint64_t *bits, uint64_t pfns,
                 struct xlc_error *err);
    int (*moved)(void *dom, const struct image *img, bool all, uint64_t *bits,
                 struct xlc_error *err);
    int (*reset)(void *dom, struct xlc_error *err);
    int (*put)(void *dom, const uint64_t *pfns, const uint8_t *const *pages,
               unsigned int n, struct xlc_error *err);
    int (*drop)(void *dom, const uint64_t *pfns, unsigned int n,
                struct xlc_error *err);
    int (*machine)(void *dom, const struct image *img, struct xlc_error *err);
    int (*rejoin)(void *dom, struct xlc_error *err);
    int (*go)(void *dom, struct xlc_error *err);
};

/**
 * enum inplace_state - legal transitions: RUNS -> QUIET -> WRITTEN -> RUNS;
 * WRITTEN -> QUIET for a copy that stays paused from one checkpoint to the
 * next; any -> BROKEN on a failure after the domain was touched; BROKEN ->
 * QUIET
 */
enum inplace_state {
    INPLACE_RUNS,
    INPLACE_QUIET,
    INPLACE_WRITTEN,
    INPLACE_BROKEN,
};

/* Microseconds, and page frames, of the last time. */
struct inplace_times {
    uint64_t quiet_us, write_us, go_us;
    uint64_t dirty, written, dropped;
};

/**
 * struct inplace - a domain that can be put back
 * @ops, @dom: it
 * @bits: page frames to write, for @pfns of them
 * @all: nothing is known of the domain's memory: write every page
 * @joined: xenstore has begun anew with the guest that is written
 */
struct inplace {
    const struct inplace_ops *ops;
    void *dom;
    uint64_t *bits, pfns;
    enum inplace_state state;
    bool all, joined;
    struct inplace_times times;
};

/**
 * inplace_init() - for a domain that is what the image is, or runs from there
 * @pfns: image_limit() of the images that will be applied
 *
 * Return: 0; -ENOMEM. inplace_dispose() twice, or after a failure, is allowed
 */
int inplace_init(struct inplace *ip, const struct inplace_ops *ops, void *dom,
                 uint64_t pfns, struct xlc_error *err);
void inplace_dispose(struct inplace *ip);

/* The domain is paused where its restore ended and was never let go: what is
 * in it is the image. It is WRITTEN. */
void inplace_held(struct inplace *ip);

/**
 * inplace_fits() - can the domain become what the image is?
 *
 * Of an epoch that is shown by image_preview(), before it is acknowledged.
 *
 * Return: 0; -EINVAL; the domain was not touched
 */
int inplace_fits(const struct inplace *ip, const struct image *img,
                 struct xlc_error *err);

/**
 * inplace_quiet() - stop the domain and disconnect its backends
 *
 * Return: 0; -EINVAL (no whole epoch, or one that does not fit the domain:
 * it still runs); another negative errno: BROKEN
 */
int inplace_quiet(struct inplace *ip, const struct image *img,
                  struct xlc_error *err);

/* Write the checkpoint into a quiet domain. After a failure: BROKEN. */
int inplace_write(struct inplace *ip, const struct image *img,
                  struct xlc_error *err);

/* The part of inplace_go() that takes its time, ahead of it; twice is allowed.
 * The domain stays paused. After a failure: BROKEN. */
int inplace_join(struct inplace *ip, struct xlc_error *err);

/* Let it run. The image is settled. After a failure: BROKEN. */
int inplace_go(struct inplace *ip, struct image *img, struct xlc_error *err);

/* All three. */
int inplace_apply(struct inplace *ip, struct image *img,
                  struct xlc_error *err);

#endif
