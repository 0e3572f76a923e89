/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* disknode-conn.c - A disk that this process serves: NBD connections */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "disknode-priv.h"

/* With @conns_lock held: all there are end. */
static void fence_all(struct disknode *n)
{
    for (struct disknode_conn *c = n->conns; c; c = c->next) {
        LOCK_SCOPE(&c->lock);
        c->fenced = true;
        while (c->busy) pthread_cond_wait(&c->idle, &c->lock);
    }
}

void disknode_fence(struct disknode *n)
{
    LOCK_SCOPE(&n->conns_lock);

    fence_all(n);
}

/* Doors up to @end, which is not there for all. */
static void open_doors(struct disknode *n, const struct disknode_conn *end)
{
    for (struct disknode_conn *c = n->conns; c != end; c = c->next)
        pthread_mutex_unlock(&c->lock);
}

int disknode_stop_requests(struct disknode *n, struct xlc_error *err)
{
    pthread_mutex_lock(&n->conns_lock);
    for (struct disknode_conn *c = n->conns; c; c = c->next) {
        pthread_mutex_lock(&c->lock);
        if (!c->busy) continue;
        open_doors(n, c->next);
        pthread_mutex_unlock(&n->conns_lock);
        return xlc_error_set(err, -EBUSY, "a request of the guest's copy is "
                             "in flight: close its device first");
    }
    return 0;
}

void disknode_go_on(struct disknode *n)
{
    open_doors(n, NULL);
    pthread_mutex_unlock(&n->conns_lock);
}

int disknode_connect(struct disknode *n, struct disknode_conn **out,
                     struct xlc_error *err)
{
    struct disknode_conn *c;
    unsigned int live = 0;

    LOCK_SCOPE(&n->conns_lock);
    if (!n->served)
        return xlc_error_set(err, -EPERM, "%s is a copy: no guest runs from "
                             "it here", n->o.image);
    c = calloc(1, sizeof(*c));
    if (!c) return xlc_error_set(err, -ENOMEM, "no memory");
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->idle, NULL);
    c->node = n;
    for (struct disknode_conn *o = n->conns; o; o = o->next)
        live += !o->fenced;
    if (live >= n->o.connections) fence_all(n);
    c->next = n->conns;
    n->conns = c;
    *out = c;
    return 0;
}

void disknode_disconnect(struct disknode_conn *c)
{
    struct disknode_conn **at;

    if (!c) return;
    pthread_mutex_lock(&c->node->conns_lock);
    for (at = &c->node->conns; *at != c; at = &(*at)->next)
        ;
    *at = c->next;
    pthread_mutex_unlock(&c->node->conns_lock);
    pthread_cond_destroy(&c->idle);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static int enter(struct disknode_conn *c, struct xlc_error *err)
{
    LOCK_SCOPE(&c->lock);

    if (c->fenced)
        return xlc_error_set(err, -ESHUTDOWN, "a newer connection came");
    c->busy++;
    return 0;
}

static int leave(struct disknode_conn *c, int rc)
{
    LOCK_SCOPE(&c->lock);

    if (!--c->busy && c->fenced) pthread_cond_broadcast(&c->idle);
    return rc;
}

int disknode_read(struct disknode_conn *c, void *buf, uint32_t len,
                  uint64_t off, struct xlc_error *err)
{
    int rc = enter(c, err);

    return rc ? rc : leave(c, front_read(c->node->front, buf, len, off, err));
}

int disknode_write(struct disknode_conn *c, const void *buf, uint32_t len,
                   uint64_t off, struct xlc_error *err)
{
    int rc = enter(c, err);

    if (rc) return rc;
    __atomic_store_n(&c->node->wrote, true, __ATOMIC_RELEASE);
    return leave(c, disknode_put(c->node, buf, len, off, err));
}

int disknode_zero(struct disknode_conn *c, uint32_t len, uint64_t off,
                  struct xlc_error *err)
{
    return disknode_write(c, NULL, len, off, err);
}

int disknode_flush(struct disknode_conn *c, struct xlc_error *err)
{
    int rc = enter(c, err);

    return rc ? rc : leave(c, front_flush(c->node->front, err));
}
