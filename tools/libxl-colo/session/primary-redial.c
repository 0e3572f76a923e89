/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-redial.c - The connection of the two proxies is made again
 *
 * Theory of operation
 * -------------------
 * Its loss is no failed host: protection goes on in passive mode, and the
 * main thread makes it anew (redial.h), if the other host lets it. The proxy
 * counts nothing that comes over the new one before the next cut, and the
 * policy knows of a copy that can run again once a checkpoint counts that was
 * cut since then: so both begin to compare at a cut, from the same state. The
 * one that was on its way may have been cut for a copy that runs, and over the
 * new connection its copy was told to stand still: would it count, the loss
 * were forgotten, and output waited for a copy that never is there.
 */
#include <config.h>

#include <errno.h>

#include "cleanup.h"
#include "clock.h"
#include "events.h"
#include "log.h"
#include "conn-stream.h"
#include "primary-proxy-internal.h"

void primary_redial_begin(struct primary *p, const struct conn *first)
{
    redial_init(&p->px->redial, first, &p->secret, p->port, PROTO_CH_PROXY,
                clock_ms());
}

/* Is there somebody who would take it, and anything to compare? With the lock
 * held. */
static bool wanted(const struct primary *p)
{
    return p->px->lost && p->caps & PROTO_CAP_PROXY_AGAIN && !p->stop &&
           (p->m.state == PRIM_SYNCING || p->m.state == PRIM_PROTECTED ||
            p->m.state == PRIM_SWAPPING);
}

static void tell(const struct primary *p, const char *text)
{
    struct event e;

    log_info("%s: %s", p->rec.name, text);
    event_begin(&e, "note", p->rec.name, "primary");
    event_str(&e, "text", text);
    event_end(&e);
}

/* The proxy gets the new stream. With the lock and nb_lock held. */
static int give(struct primary *p, struct xlc_error *err)
{
    struct primary_proxy *x = p->px;
    struct conn *c;
    int r;

    if (!x->proxy) return xlc_error_set(err, -ESHUTDOWN, "it has ended");
    c = redial_take(&x->redial, clock_ms());
    r = proxy_primary_peer(x->proxy, conn_fd(c), &conn_stream_ops, c, err);
    if (r) {
        conn_free(c);
        redial_lost(&x->redial, err->msg, clock_ms());
        return r;
    }
    x->peer = true;
    x->lost = false;
    x->since = x->epoch;
    return 0;
}

/* Return: true if it is there again; @text says after how much */
static bool take(struct primary *p, char *text, size_t size)
{
    unsigned int tries = p->px->redial.tries;
    struct xlc_error e = XLC_ERROR_INIT;
    int r;

    LOCK_SCOPE(&p->lock);
    /* Heartbeats do not wait for a cut or a tear-down: the next turn does. */
    if (!wanted(p) || pthread_mutex_trylock(&p->nb_lock)) return false;
    r = give(p, &e);
    pthread_mutex_unlock(&p->nb_lock);
    if (r) return false;
    snprintf(text, size, "the connection of the two proxies is there again "
             "(attempt %u): packets can be compared from the next checkpoints "
             "on", tries);
    return true;
}

void primary_redial_turn(struct primary *p, uint64_t now_ms)
{
    struct primary_proxy *x = p->px;
    char text[160];
    bool want;

    if (!x) return;
    pthread_mutex_lock(&p->lock);
    want = wanted(p);
    if (want && !x->redial.lost)
        redial_lost(&x->redial, x->lost_why, now_ms);
    pthread_mutex_unlock(&p->lock);
    if (!want) redial_close(&x->redial);
    else if (redial_turn(&x->redial, now_ms) && take(p, text, sizeof(text)))
        tell(p, text);
}

int primary_redial_fd(const struct primary *p)
{
    return p->px ? redial_fd(&p->px->redial) : -1;
}

short primary_redial_events(const struct primary *p)
{
    return p->px ? redial_events(&p->px->redial) : 0;
}

void primary_redial_end(struct primary *p)
{
    if (p->px) redial_close(&p->px->redial);
}
