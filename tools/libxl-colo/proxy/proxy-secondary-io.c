/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-secondary-io.c - Frames and messages through the secondary's proxy
 *
 * What the peer tells is taken in its order, through one queue for all vifs:
 * a message that may not be delivered yet (its epoch has not begun here, the
 * vifs are not connected, the kernel has no room) keeps those behind it
 * waiting. A full queue stops the reading, and that in the end the primary's
 * input; before that a checkpoint is asked for.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"
#include "proxy-secondary-io.h"

/* More than a queue: then somebody goes on to fill it. */
#define FORGET_MAX (2u * TAPDEV_QUEUE)

void sec_notify(struct proxy_secondary *s)
{
    const uint64_t one = 1;

    /* Only a counter at its limit refuses, and then it is readable. */
    (void)!write(s->event_fd, &one, sizeof(one));
}

void sec_drop_peer(struct proxy_secondary *s, const struct xlc_error *why)
{
    if (s->stream.fd < 0) return;
    pollset_forget(&s->set, s->stream.fd);
    s->s.sent += s->stream.sent;
    s->s.received += s->stream.received;
    s->stream.sent = s->stream.received = 0;
    s->s.greeted = false;
    wirestream_close(&s->stream);
    if (!why) return;
    /* The newest is the one to show, but a lost vif is worse. */
    if (!s->s.ports_lost) xlc_error_clear(&s->s.err);
    xlc_error_set(&s->s.err, why->status, "%s", why->msg);
    sec_notify(s);
}

static void lose_port(struct proxy_secondary *s, struct sec_port *port, int r)
{
    if (port->dead) return;
    port->dead = true;
    if (!s->s.ports_lost++) xlc_error_clear(&s->s.err);
    xlc_error_set(&s->s.err, r, "the proxy can't read the packets of vif %u: "
                  "%s", (unsigned int)(port - s->ports), strerror(-r));
    sec_notify(s);
}

/* ---- Into the guest ------------------------------------------------------ */

/* Hand a frame, which is translated, to the vif; keep it if there is no room
 * now. The place where it is kept must be free. */
static void give(struct proxy_secondary *s, struct sec_port *port,
                 const uint8_t *frame, size_t len,
                 const struct packet_vnet *vnet)
{
    int r = tapdev_write(port->ends.in_wr, vnet, frame, len);

    if (r > 0) {
        s->s.in_frames++;
    } else if (r < 0) {
        s->s.in_lost++;
    } else {
        if (frame != port->in) memcpy(port->in, frame, len);
        port->in_len = len;
        port->in_vnet = *vnet;
    }
}

/* Those that the rewriter had held. */
static void give_held(struct proxy_secondary *s, struct sec_port *port,
                      uint64_t now)
{
    struct rewrite_held h;

    while (!port->in_len && rewrite_take(port->rewrite, &h, now))
        give(s, port, h.frame, h.len, &h.vnet);
}

static void put_in(struct proxy_secondary *s, struct sec_port *port,
                   uint8_t *frame, size_t len,
                   const struct packet_vnet *vnet, uint64_t now)
{
    neigh_learn(&port->neigh, frame, len);
    switch (rewrite_in(port->rewrite, frame, len, vnet, now)) {
    case REWRITE_PASS:
    case REWRITE_DONE:
        give(s, port, frame, len, vnet);
        break;
    case REWRITE_HELD:
        break;
    case REWRITE_DROP:
        s->s.dropped++;
        break;
    }
}

static bool is_tcp(const struct wire_frame *f)
{
    struct packet p;

    packet_parse(&p, f->data, f->len, &f->vnet);
    return p.kind == PACKET_TCP;
}

/* Keep the last TCP segments, for a guest that is rolled back to a moment
 * when it had them only in rings that it then throws away. UDP never. */
static void remember(struct proxy_secondary *s, const struct wire_msg *m)
{
    if (m->type != WIRE_INBOUND || !is_tcp(&m->u.frame)) return;
    while (s->again.n && s->again.n >= PROXY_AGAIN_FRAMES)
        frameq_pop(&s->again);
    while (!frameq_push(&s->again, m) && s->again.n)
        frameq_pop(&s->again);
}

static bool may_deliver(const struct proxy_secondary *s,
                        const struct wire_msg *m)
{
    if (!s->s.connected || m->epoch != s->s.epoch || s->again_left)
        return false;
    return m->type != WIRE_INBOUND || !s->ports[m->vif].in_len;
}

/* A message whose time has come. Its frame is ours to change. */
static void deliver(struct proxy_secondary *s, const struct wire_msg *m,
                    uint64_t now)
{
    struct sec_port *port = &s->ports[m->vif];
    const struct wire_frame *f = &m->u.frame;

    if (m->type == WIRE_INBOUND) {
        remember(s, m);
        put_in(s, port, (uint8_t *)(uintptr_t)f->data, f->len, &f->vnet,
               now);
        return;
    }
    if (m->u.flow.has & WIRE_FLOW_ISN)
        rewrite_isn(port->rewrite, &m->u.flow.key, m->u.flow.isn, now);
    if (m->u.flow.has & WIRE_FLOW_TSVAL)
        rewrite_tsval(port->rewrite, &m->u.flow.key, m->u.flow.tsval, now);
    give_held(s, port, now);
}

/* Once after each rollback: the segments that it may have lost. */
static void deliver_again(struct proxy_secondary *s, uint64_t now)
{
    struct wire_msg m;

    while (s->s.connected && s->again_left && frameq_peek(&s->again, &m)) {
        struct sec_port *port = &s->ports[m.vif];

        if (port->in_len) return;
        put_in(s, port, (uint8_t *)(uintptr_t)m.u.frame.data,
               m.u.frame.len, &m.u.frame.vnet, now);
        s->s.in_again++;
        frameq_pop(&s->again);
        s->again_left--;
    }
}

void sec_deliver(struct proxy_secondary *s, uint64_t now)
{
    struct wire_msg m;

    deliver_again(s, now);
    while (frameq_peek(&s->backlog, &m) && may_deliver(s, &m)) {
        deliver(s, &m, now);
        frameq_pop(&s->backlog);
    }
}

void sec_retry(struct proxy_secondary *s, struct sec_port *port, uint64_t now)
{
    size_t len = port->in_len;

    if (len) {
        port->in_len = 0;
        give(s, port, port->in, len, &port->in_vnet);
    }
    give_held(s, port, now);
    len = port->out_len;
    if (len) {
        int r = tapdev_write(port->ends.out_wr, &port->out_vnet, port->out,
                             len);

        if (!r) return;
        port->out_len = 0;
        s->s.out_frames += r > 0;
        s->s.out_lost += r < 0;
    }
}

/* After a failover: from the bridge. */
void sec_read_in(struct proxy_secondary *s, unsigned int vif, uint64_t now)
{
    struct sec_port *port = &s->ports[vif];
    unsigned int max = PROXY_BATCH;

    while (max-- && !port->dead && !port->in_len && !s->backlog.n) {
        struct packet_vnet vnet;
        ssize_t n = tapdev_read(port->ends.in_rd, &vnet, port->in,
                                PACKET_MAX);

        if (n == -EMSGSIZE) {
            s->s.oversize++;
            continue;
        }
        if (n < 0) lose_port(s, port, (int)n);
        if (n <= 0) return;
        put_in(s, port, port->in, (size_t)n, &vnet, now);
    }
}

/* ---- Out of the guest ---------------------------------------------------- */

bool sec_may_read_out(const struct proxy_secondary *s,
                      const struct sec_port *port)
{
    if (port->dead || port->out_len) return false;
    if (s->s.open) return true;
    return s->s.epoch && wirestream_room(&s->stream);
}

/* To the bridge, or to the peer. */
static void put_out(struct proxy_secondary *s, unsigned int vif, size_t len,
                    const struct packet_vnet *vnet, uint32_t seq_off,
                    bool answered)
{
    struct sec_port *port = &s->ports[vif];
    const struct wire_msg m = {
        .type = WIRE_OUTBOUND,
        .vif = (uint16_t)vif,
        .epoch = s->s.epoch,
        .u.frame = {
            .vnet = *vnet,
            .said = answered ? WIRE_SAID_ANSWERED : 0,
            .seq_off = seq_off,
            .data = port->out,
            .len = (uint32_t)len,
        },
    };
    int r;

    if (!s->s.open) {
        r = wirestream_put(&s->stream, &m) ? -EINVAL : 1;
    } else {
        r = tapdev_write(port->ends.out_wr, vnet, port->out, len);
        if (!r) {
            port->out_len = len;
            port->out_vnet = *vnet;
            return;
        }
    }
    s->s.out_frames += r > 0;
    s->s.out_lost += r < 0;
}

/* The primary guest knows its neighbours; this one has to ask again, and
 * nobody on the LAN hears it (RULES C2). */
static bool answer(struct proxy_secondary *s, struct sec_port *port,
                   size_t len)
{
    static const struct packet_vnet whole;
    uint8_t frame[NEIGH_ANSWER_MAX];
    size_t n;

    if (s->s.open || port->in_len) return false;
    n = neigh_answer(&port->neigh, port->out, len, frame);
    if (!n) return false;
    give(s, port, frame, n, &whole);
    s->s.answered++;
    return true;
}

void sec_read_out(struct proxy_secondary *s, unsigned int vif, uint64_t now)
{
    struct sec_port *port = &s->ports[vif];
    unsigned int max = PROXY_BATCH;

    while (max-- && sec_may_read_out(s, port)) {
        struct packet_vnet vnet;
        uint32_t off = 0;
        bool answered;
        ssize_t n = tapdev_read(port->ends.out_rd, &vnet, port->out,
                                PACKET_MAX);

        if (n == -EMSGSIZE) {
            s->s.oversize++;
            continue;
        }
        if (n < 0) lose_port(s, port, (int)n);
        if (n <= 0) return;
        answered = answer(s, port, (size_t)n);
        if (rewrite_out(port->rewrite, port->out, (size_t)n, &vnet, now,
                        &off) == REWRITE_DROP)
            s->s.dropped++;
        else
            put_out(s, vif, (size_t)n, &vnet, off, answered);
        give_held(s, port, now);
    }
}

bool sec_forget_out(struct proxy_secondary *s)
{
    struct packet_vnet vnet;
    ssize_t n;

    for (unsigned int i = 0; i < s->nports; i++) {
        struct sec_port *port = &s->ports[i];
        unsigned int max = FORGET_MAX;

        while (!port->dead &&
               (n = tapdev_read(port->ends.out_rd, &vnet, port->out,
                                PACKET_MAX)) != 0) {
            if (n < 0 && n != -EMSGSIZE) lose_port(s, port, (int)n);
            else s->s.out_stale++;
            if (!--max) return false;
        }
    }
    return true;
}

void sec_forget_in(struct proxy_secondary *s)
{
    struct wire_msg m;

    for (unsigned int i = 0; i < s->nports; i++) {
        if (s->ports[i].in_len) s->s.in_old++;
        s->ports[i].in_len = 0;
        s->ports[i].wanted = 0;
    }
    /* The rolled back guest has what was teed before its epoch, unless that
     * was on its way. */
    while (frameq_peek(&s->backlog, &m) && m.epoch < s->s.epoch) {
        remember(s, &m);
        if (m.type == WIRE_INBOUND) s->s.in_old++;
        frameq_pop(&s->backlog);
    }
    s->again_left = s->again.n;
    s->full_told = false;
}

void sec_forget_stream(struct proxy_secondary *s)
{
    while (s->backlog.n)
        frameq_pop(&s->backlog);
    while (s->again.n)
        frameq_pop(&s->again);
    s->again_left = 0;
}

/* ---- The peer's proxy ---------------------------------------------------- */

static int take_message(struct proxy_secondary *s, const struct wire_msg *m,
                        uint64_t now, struct xlc_error *err)
{
    if (m->vif >= s->nports)
        return xlc_error_set(err, -EPROTO, "%s for vif %u of %u",
                             wire_type_name(m->type), m->vif, s->nports);
    if (m->type == WIRE_CUT) {
        if (m->epoch < s->s.told)
            return xlc_error_set(err, -EPROTO, "the peer's proxy went back "
                                 "from epoch %llu to %llu",
                                 (unsigned long long)s->s.told,
                                 (unsigned long long)m->epoch);
        s->s.told = m->epoch;
        s->s.mode = m->u.mode;
        sec_notify(s);
        return 0;
    }
    if (m->epoch != s->s.told)
        return xlc_error_set(err, -EPROTO, "%s of epoch %llu in %llu",
                             wire_type_name(m->type),
                             (unsigned long long)m->epoch,
                             (unsigned long long)s->s.told);
    if (m->epoch < s->s.epoch) {
        if (m->type == WIRE_INBOUND) s->s.in_old++;
        /* Late, but perhaps in time for what is given again. */
        if (!s->s.connected) {
            remember(s, m);
            s->again_left = s->again.n;
        }
    } else if (!s->backlog.n && may_deliver(s, m)) {
        deliver(s, m, now);
    } else if (!frameq_push(&s->backlog, m)) {
        return xlc_error_set(err, -ENOBUFS, "no room for a message of the "
                             "peer's proxy"); /* room was made sure of */
    }
    return 0;
}

void sec_read_peer(struct proxy_secondary *s, uint64_t now)
{
    struct xlc_error err = XLC_ERROR_INIT, end = XLC_ERROR_INIT;
    struct wire_msg m;
    int filled = 0, r = 0;

    if (s->stream.more || pollset_got(&s->set, s->stream.fd, EPOLLIN))
        filled = wirestream_fill(&s->stream, &end);
    /* Also what a full queue left there; and what came before an end. */
    while (frameq_room(&s->backlog) &&
           (r = wirestream_next(&s->stream, &m, &err)) > 0) {
        r = take_message(s, &m, now, &err);
        if (r) break;
    }
    s->s.greeted = s->stream.greeted;
    if (r < 0 || filled < 0) sec_drop_peer(s, r < 0 ? &err : &end);
}

static bool want(struct proxy_secondary *s, unsigned int vif,
                 enum wire_want why)
{
    const struct wire_msg m = {
        .type = WIRE_WANT,
        .vif = (uint16_t)vif,
        .epoch = s->s.epoch,
        .u.want = why,
    };

    return s->s.epoch && wirestream_room(&s->stream) &&
           !wirestream_put(&s->stream, &m);
}

static void tell_wants(struct proxy_secondary *s)
{
    for (unsigned int i = 0; i < s->nports; i++) {
        struct sec_port *port = &s->ports[i];
        uint32_t now = rewrite_wanted(port->rewrite);

        if (now & ~port->wanted &&
            want(s, i, now & REWRITE_WANT_FULL ? WIRE_WANT_FLOWS :
                       now & REWRITE_WANT_HELD ? WIRE_WANT_QUEUE :
                                                 WIRE_WANT_SPLIT))
            port->wanted = now;
    }
    if (!s->full_told && s->backlog.bytes > s->backlog.size / 2)
        s->full_told = want(s, 0, WIRE_WANT_QUEUE);
}

void sec_write_peer(struct proxy_secondary *s)
{
    struct xlc_error err = XLC_ERROR_INIT;

    if (s->tell_connected && s->s.epoch && wirestream_room(&s->stream)) {
        for (unsigned int i = 0; i < s->nports; i++) {
            const struct wire_msg m = {
                .type = WIRE_CONNECTED,
                .vif = (uint16_t)i,
                .epoch = s->s.epoch,
            };

            if (wirestream_put(&s->stream, &m))
                log_debug("the peer can't be told of a connected vif");
        }
        s->tell_connected = false;
    }
    if (!s->s.open) tell_wants(s);
    if (wirestream_flush(&s->stream, &err)) sec_drop_peer(s, &err);
}
