/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* svm.c - The copy that stays a domain; see svm.h */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "cleanup.h"
#include "log.h"
#include "svm.h"

static const char *const state_names[] = {
    [SVM_EMPTY] = "empty", [SVM_HELD] = "held",
    [SVM_STALE] = "stale", [SVM_BESIDE] = "beside",
    [SVM_RUNS] = "runs",
};
_Static_assert(sizeof(state_names) / sizeof(state_names[0]) == SVM_NSTATES,
               "a name for each state");

/**
 * struct svm - see svm.h
 * @ip: the domain, once @state is not EMPTY
 * @fed: octets since the host's memory was looked at
 * @lock: guards @view, which svm_view() reads
 */
struct svm {
    const struct svm_ops *ops;
    void *host;
    struct image *img;
    struct inplace ip;
    enum svm_state state;
    uint64_t fed;
    pthread_mutex_t lock;
    struct svm_view view;
};

const char *svm_state_name(enum svm_state state)
{
    return (unsigned int)state < SVM_NSTATES ? state_names[state] : "?";
}

static void enter(struct svm *v, enum svm_state state)
{
    if (v->state != state)
        log_debug("copy: %s -> %s", state_names[v->state],
                  state_names[state]);
    v->state = state;
    LOCK_SCOPE(&v->lock);
    v->view.state = state;
    v->view.image_bytes = v->img ? image_memory(v->img) : 0;
}

static int check_spare(const struct svm *v, uint64_t need, const char *what,
                       struct xlc_error *err)
{
    uint64_t spare = v->ops->spare(v->host);

    if (spare >= SVM_FLOOR && spare - SVM_FLOOR >= need) return 0;
    return xlc_error_set(err, -ENOMEM, "this host has no memory for %s: "
                         "domain 0 needs %llu MiB more, of which %llu MiB "
                         "are free (and %llu stay free)", what,
                         (unsigned long long)(need >> 20),
                         (unsigned long long)(spare >> 20),
                         (unsigned long long)(SVM_FLOOR >> 20));
}

int svm_new(struct svm **v_r, const struct image_limits *limits,
            const struct svm_ops *ops, void *host, struct xlc_error *err)
{
    struct svm *v = calloc(1, sizeof(*v));
    int rc;

    if (!v) return xlc_error_set(err, -ENOMEM, "no memory");
    v->ops = ops;
    v->host = host;
    pthread_mutex_init(&v->lock, NULL);
    rc = check_spare(v, limits->pages * IMAGE_PAGE,
                     "a whole image of the guest, which a copy that is put "
                     "back in place needs beside its own", err);
    if (!rc) rc = image_new(&v->img, limits, err);
    if (rc) {
        svm_free(v);
        return rc;
    }
    *v_r = v;
    return 0;
}

void svm_free(struct svm *v)
{
    if (!v) return;
    inplace_dispose(&v->ip);
    image_free(v->img);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

int svm_feed(struct svm *v, const uint8_t *data, size_t len,
             struct xlc_error *err)
{
    int rc = 0;

    v->fed += len;
    if (v->fed >= SVM_STEP) {
        v->fed = 0;
        rc = check_spare(v, SVM_STEP, "the checkpoint", err);
    }
    return rc ? rc : image_feed(v->img, data, len, err);
}

int svm_check(struct svm *v, struct xlc_error *err)
{
    int rc = image_check(v->img, err);

    if (!rc && v->state != SVM_EMPTY) {
        image_preview(v->img, true);
        rc = inplace_fits(&v->ip, v->img, err);
        image_preview(v->img, false);
    }
    return rc ? rc : check_spare(v, SVM_STEP, "the checkpoint", err);
}

int svm_build(struct svm *v, struct xlc_error *err)
{
    const struct inplace_ops *ops = NULL;
    void *dom = NULL;
    int rc;

    if (v->state != SVM_EMPTY)
        return xlc_error_set(err, -EINVAL, "the copy is built already");
    rc = image_commit(v->img, err);
    if (!rc) rc = v->ops->build(v->host, &ops, &dom, err);
    if (!rc) rc = inplace_init(&v->ip, ops, dom, image_limit(v->img), err);
    /* What the first epoch could not be compared with before. */
    if (!rc) rc = inplace_fits(&v->ip, v->img, err);
    if (rc) return rc;
    inplace_held(&v->ip);
    image_settle(v->img);
    enter(v, SVM_HELD);
    return 0;
}

int svm_take(struct svm *v, struct xlc_error *err)
{
    int rc;

    if (v->state != SVM_HELD && v->state != SVM_BESIDE)
        return xlc_error_set(err, -EINVAL, "an epoch while the copy is %s",
                             svm_state_name(v->state));
    rc = image_commit(v->img, err);
    if (!rc) enter(v, SVM_STALE);
    return rc;
}

static int put_once(struct svm *v, struct xlc_error *err)
{
    const struct inplace_times *t = &v->ip.times;
    int rc = 0;

    /* Only what came after it may have failed. */
    if (v->ip.state != INPLACE_QUIET)
        rc = inplace_quiet(&v->ip, v->img, err);
    if (!rc) rc = v->ops->quiet(v->host, err);
    if (!rc) rc = inplace_write(&v->ip, v->img, err);
    pthread_mutex_lock(&v->lock);
    if (rc) {
        v->view.failures++;
    } else {
        v->view.puts++;
        v->view.put_us = t->quiet_us + t->write_us;
        v->view.written = t->written;
    }
    pthread_mutex_unlock(&v->lock);
    if (rc) return rc;
    image_settle(v->img);
    enter(v, SVM_HELD);
    return 0;
}

int svm_put(struct svm *v, struct xlc_error *err)
{
    if (v->state != SVM_STALE)
        return xlc_error_set(err, -EINVAL, "nothing is to be put back: the "
                             "copy is %s", svm_state_name(v->state));
    for (;;) {
        struct xlc_error e = XLC_ERROR_INIT;
        int rc = put_once(v, &e);

        if (!rc) return 0;
        if (!v->ops->again(v->host, &e))
            return xlc_error_set(err, rc, "the copy can't be put back to "
                                 "the checkpoint: %s", e.msg);
    }
}

int svm_beside(struct svm *v, struct xlc_error *err)
{
    int rc;

    if (v->state != SVM_HELD)
        return xlc_error_set(err, -EINVAL, "the copy can't run beside: it is "
                             "%s", svm_state_name(v->state));
    rc = inplace_go(&v->ip, v->img, err);
    pthread_mutex_lock(&v->lock);
    if (rc) v->view.failures++;
    else v->view.runs++;
    v->view.go_us = v->ip.times.go_us;
    pthread_mutex_unlock(&v->lock);
    enter(v, rc ? SVM_STALE : SVM_BESIDE);
    return rc;
}

void svm_disturbed(struct svm *v)
{
    if (v->state != SVM_HELD && v->state != SVM_BESIDE) return;
    v->ip.all = true;
    enter(v, SVM_STALE);
}

int svm_ready(struct svm *v, struct xlc_error *err)
{
    int rc;

    if (v->state == SVM_EMPTY || v->state == SVM_RUNS)
        return xlc_error_set(err, -EINVAL, "the copy is %s",
                             svm_state_name(v->state));
    /* What it has said is what the clients heard: it runs on. */
    if (v->state == SVM_BESIDE) return 0;
    rc = v->state == SVM_STALE ? put_once(v, err) : 0;
    if (!rc) {
        rc = inplace_join(&v->ip, err);
        if (rc) enter(v, SVM_STALE);
    }
    return rc;
}

int svm_go(struct svm *v, struct xlc_error *err)
{
    int rc;

    if (v->state == SVM_BESIDE) {
        rc = v->ops->paused(v->host) ? v->ip.ops->go(v->ip.dom, err) : 0;
        if (!rc) enter(v, SVM_RUNS);
        return rc;
    }
    if (v->state != SVM_HELD)
        return xlc_error_set(err, -EINVAL, "the copy is %s",
                             svm_state_name(v->state));
    rc = inplace_go(&v->ip, v->img, err);
    enter(v, rc ? SVM_STALE : SVM_RUNS);
    return rc;
}

void svm_release(struct svm *v)
{
    if (v->state != SVM_RUNS) return;
    inplace_dispose(&v->ip);
    image_free(steal_ptr(&v->img));
    enter(v, SVM_RUNS);
}

enum svm_state svm_state(const struct svm *v)
{
    return v->state;
}

void svm_view(struct svm *v, struct svm_view *view_r)
{
    LOCK_SCOPE(&v->lock);
    *view_r = v->view;
}
