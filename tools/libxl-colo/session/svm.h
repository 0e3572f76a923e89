/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * svm.h - The copy that stays a domain, and is put back at each checkpoint
 *
 * Theory of operation
 * -------------------
 * Instead of a restore that waits for its end, the secondary keeps a domain
 * with its devices, and beside it the image of the last checkpoint (RULES A5).
 * For each epoch, in this order:
 *
 *   svm_feed()   its octets, as they come
 *   svm_check()  it is whole, the domain can become it, and all the memory
 *                that it takes is there. Only then is it acknowledged (B2).
 *   svm_build()  the first one: it is the image, and the domain is what libxl
 *                has restored from the same octets
 *   svm_take()   a later one, once it counts: it is the image. This can't fail
 *                after svm_check().
 *   svm_put()    the domain becomes what the image is, and stays paused
 *   svm_beside() if the primary compares packets from this epoch on: the copy
 *                runs from it, on no bridge, until the next one is taken
 *
 * A domain that could not be put back is STALE: nothing of it may run, but the
 * image is whole, and the next try writes every page. An epoch that was never
 * taken leaves no trace.
 *
 * A failover restores nothing: svm_ready() does what may take a while and may
 * be tried again, svm_go() is the guest's first step. A copy that runs beside
 * has said what the clients heard: it is not put back, it runs on.
 *
 * What touches Xen is behind struct svm_ops and struct inplace_ops. One
 * thread at a time; svm_view() from any.
 */
#ifndef XLC_SVM_H
#define XLC_SVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "image.h"
#include "inplace.h"

/* After so many octets the host's memory is looked at again. */
#define SVM_STEP ((uint64_t)4 << 20)
/* Left to the host's other programs, always. */
#define SVM_FLOOR ((uint64_t)32 << 20)

/**
 * struct svm_ops - the host of the copy
 * @build: finish the restore: a paused domain on no bridge whose writes are
 *         logged; what puts it back
 * @again: putting it back failed: shall it be tried again? May wait a moment
 * @spare: octets of memory that the host has to spare
 * @quiet: the domain is paused and its backends are disconnected: whoever
 *         keeps something of the copy's for an epoch begins anew. May come
 *         more than once for an epoch, after a rollback that failed
 * @paused: the domain was let go, but somebody has paused it since
 */
struct svm_ops {
    int (*build)(void *host, const struct inplace_ops **ops_r, void **dom_r,
                 struct xlc_error *err);
    bool (*again)(void *host, const struct xlc_error *why);
    uint64_t (*spare)(void *host);
    int (*quiet)(void *host, struct xlc_error *err);
    bool (*paused)(void *host);
};

/**
 * enum svm_state - legal transitions: EMPTY -> HELD <-> STALE; HELD -> BESIDE
 * -> STALE; HELD, BESIDE -> RUNS
 * @SVM_EMPTY: there is no whole checkpoint
 * @SVM_HELD: the domain is what the image is, paused
 * @SVM_STALE: the image is newer, or what is in the domain is not known
 * @SVM_BESIDE: it runs from where the image is, beside the primary's
 * @SVM_RUNS: it was let go for good
 */
enum svm_state {
    SVM_EMPTY,
    SVM_HELD,
    SVM_STALE,
    SVM_BESIDE,
    SVM_RUNS,
    SVM_NSTATES,
};

/**
 * struct svm_view - for the status
 * @image_bytes: memory that the image takes
 * @put_us, @written: how long the last rollback took, and pages it wrote
 * @puts, @failures: rollbacks that were done, and that failed
 * @go_us, @runs: how long the last svm_beside() took, and how many there were
 */
struct svm_view {
    enum svm_state state;
    uint64_t image_bytes, put_us, written, puts, failures;
    uint64_t go_us, runs;
};

struct svm;

/**
 * svm_new() - a copy of which nothing is known yet
 * @host: @ops get it
 *
 * Return: 0; -ENOMEM with a sentence: this host can't keep the image
 */
int svm_new(struct svm **v_r, const struct image_limits *limits,
            const struct svm_ops *ops, void *host, struct xlc_error *err);

/* The domain stays as it is. NULL is allowed. */
void svm_free(struct svm *v);

/* Return: 0; -EPROTO, -ENOMEM: the stream is of no use any more */
int svm_feed(struct svm *v, const uint8_t *data, size_t len,
             struct xlc_error *err);

/* May what arrived be acknowledged? Return: 0; -EPROTO, -EINVAL, -ENOMEM */
int svm_check(struct svm *v, struct xlc_error *err);

/* The first epoch counts. Return: 0, or why there is no copy */
int svm_build(struct svm *v, struct xlc_error *err);

/* A later epoch counts: it is the image from here on. */
int svm_take(struct svm *v, struct xlc_error *err);

/**
 * svm_put() - make the domain what the image is; it stays paused
 *
 * Tries until it works, or @again has had enough.
 */
int svm_put(struct svm *v, struct xlc_error *err);

/**
 * svm_beside() - the copy runs from the epoch that it was put back to
 *
 * After a failure it is STALE: svm_put() again.
 */
int svm_beside(struct svm *v, struct xlc_error *err);

/* Somebody let the copy run, or may have, or the one that runs beside is of no
 * use: it is put back before it goes. */
void svm_disturbed(struct svm *v);

/* Before the first step: up to date, and known to xenstore. One try; twice is
 * allowed. */
int svm_ready(struct svm *v, struct xlc_error *err);

/* The first step; a copy that runs beside needs none, unless somebody paused
 * it. After a failure: svm_ready() again. */
int svm_go(struct svm *v, struct xlc_error *err);

/* It RUNS: the image's memory goes back to the host. Nothing else changes. */
void svm_release(struct svm *v);

/* For the thread that uses @v. */
enum svm_state svm_state(const struct svm *v);

void svm_view(struct svm *v, struct svm_view *view_r);

/* "held", …: for the status. */
const char *svm_state_name(enum svm_state state);

#endif
