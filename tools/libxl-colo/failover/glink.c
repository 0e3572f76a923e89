/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* glink.c - A guard's own connection to the other host, made again and again */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "glink.h"
#include "log.h"

void glink_init(struct glink *l, const struct glink_peer *peer,
                uint32_t incarnation, uint32_t backoff_max_ms)
{
    *l = (struct glink){ .peer = peer, .incarnation = incarnation,
                         .backoff_ms = GLINK_BACKOFF_MS,
                         .backoff_max_ms = backoff_max_ms };
    if (l->backoff_max_ms < l->backoff_ms)
        l->backoff_max_ms = l->backoff_ms;
}

void glink_close(struct glink *l)
{
    conn_free(steal_ptr(&l->conn));
    l->ready = false;
}

int glink_fd(const struct glink *l)
{
    return l->conn ? conn_fd(l->conn) : -1;
}

short glink_events(const struct glink *l)
{
    return l->conn ? conn_events(l->conn) : 0;
}

/* This attempt is over; the next one goes to the next address. */
static void lose(struct glink *l, uint64_t now_ms, const char *why)
{
    if (l->ready) log_warn("the guard's connection: %s", why);
    else log_debug("the guard's connection: %s", why);
    glink_close(l);
    l->next = (l->next + 1) % l->peer->naddr;
    l->retry_ms = now_ms + l->backoff_ms;
    l->backoff_ms *= 2;
    if (l->backoff_ms > l->backoff_max_ms) l->backoff_ms = l->backoff_max_ms;
}

static void begin(struct glink *l, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int fd;

    if (!l->peer->naddr || now_ms < l->retry_ms) return;
    fd = conn_dial_start(l->peer->addr[l->next], l->peer->port);
    if (fd < 0)
        xlc_error_set(&e, fd, "%s: %s", l->peer->addr[l->next],
                      strerror(-fd));
    if (fd < 0 || conn_client(&l->conn, fd, &l->peer->secret, PROTO_CH_GUARD,
                              (uint8_t)l->next, ++l->incarnation, &e)) {
        lose(l, now_ms, e.msg);
        return;
    }
    l->deadline_ms = now_ms + CONN_ATTACH_MS;
}

bool glink_turn(struct glink *l, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    bool was = l->ready;

    if (!l->conn) {
        begin(l, now_ms);
        return false; /* poll() tells when it is through */
    }
    if (conn_io(l->conn, &e) && !conn_ready(l->conn)) {
        lose(l, now_ms, e.msg);
        return false;
    }
    /* One that ended may still have left frames: glink_recv() finds both. */
    l->ready = conn_ready(l->conn);
    if (!l->ready && now_ms >= l->deadline_ms)
        lose(l, now_ms, "it was not accepted in time");
    if (!l->ready || was) return false;
    l->backoff_ms = GLINK_BACKOFF_MS;
    l->next_beat_ms = 0;
    return true;
}

bool glink_recv(struct glink *l, struct proto_msg *m, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int r, io = 0;

    if (!l->ready) return false;
    r = conn_recv(l->conn, m, &e);
    if (!r) { /* look again: what came with the end of it comes first */
        io = conn_io(l->conn, &e);
        r = conn_recv(l->conn, m, io ? NULL : &e);
    }
    if (r > 0) return true;
    if (r < 0 || io) lose(l, now_ms, e.msg);
    return false;
}

void glink_send(struct glink *l, const struct proto_msg *m)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!l->ready) return;
    conn_send(l->conn, m); /* full: it does not read, and is silent soon */
    if (conn_io(l->conn, &e)) /* glink_recv() sees the same */
        log_debug("the guard's connection: %s", e.msg);
}

bool glink_beat(struct glink *l, uint64_t now_ms, uint32_t every_ms,
                uint8_t state, uint64_t acked)
{
    struct proto_msg m = { .hdr.type = PROTO_HEARTBEAT };

    if (now_ms < l->next_beat_ms) return false;
    l->next_beat_ms = now_ms + every_ms;
    m.u.heartbeat.seq = ++l->seq;
    m.u.heartbeat.accepted = m.u.heartbeat.applied = acked;
    m.u.heartbeat.state = state;
    glink_send(l, &m);
    return true;
}
