/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-primary-io.c - Frames and messages through the primary's proxy
 *
 * Everything here goes as far as it can without waiting, and leaves the rest
 * where it is: a frame that the kernel does not take stays in its place, and
 * what is behind it in the TAP. What is not read for so long that the TAP's
 * queue is full is lost there, as on any network.
 */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "proxy-primary-io.h"

void pri_notify(struct proxy_primary *p)
{
    const uint64_t one = 1;

    /* Only a counter at its limit refuses, and then it is readable. */
    (void)!write(p->event_fd, &one, sizeof(one));
}

void pri_drop_peer(struct proxy_primary *p, const struct xlc_error *why)
{
    if (p->stream.fd < 0) return;
    pollset_forget(&p->set, p->stream.fd);
    p->s.sent += p->stream.sent;
    p->s.received += p->stream.received;
    p->stream.sent = p->stream.received = 0;
    p->full_ns = 0;
    p->s.greeted = false;
    wirestream_close(&p->stream);
    if (!why) return;
    /* The newest is the one to show, but a lost vif is worse. */
    if (!p->s.ports_lost) xlc_error_clear(&p->s.err);
    xlc_error_set(&p->s.err, why->status, "%s", why->msg);
    pri_notify(p);
}

/* A TAP that can't be read is gone; so is its vif. */
static void lose_port(struct proxy_primary *p, struct pri_port *port, int r)
{
    if (port->dead) return;
    port->dead = true;
    if (!p->s.ports_lost++) xlc_error_clear(&p->s.err);
    xlc_error_set(&p->s.err, r, "the proxy can't read the packets of vif %u: "
                  "%s", (unsigned int)(port - p->ports), strerror(-r));
    pri_notify(p);
}

bool pri_full(const struct proxy_primary *p)
{
    for (unsigned int i = 0; i < p->nports; i++)
        if (compare_full(p->ports[i].engine)) return true;
    return false;
}

/* ---- Out of the guest ---------------------------------------------------- */

void pri_write_out(struct proxy_primary *p, struct pri_port *port)
{
    port->out_wait = false;
    for (;;) {
        int r;

        if (!port->out) {
            port->out = compare_next(port->engine);
            if (!port->out) return;
            if (!pri_older_out(p, port)) {
                compare_put(port->engine, port->out);
                port->out = NULL;
                continue;
            }
        }
        r = tapdev_write(port->ends.out_wr, &port->out->vnet,
                         port->out->frame, port->out->len);
        if (!r) {
            port->out_wait = true;
            return;
        }
        p->s.out_frames++;
        if (r < 0) {
            p->s.out_lost++;
            log_debug("a packet of the guest is lost: %s", strerror(-r));
        }
        compare_put(port->engine, port->out);
        port->out = NULL;
    }
}

void pri_read_out(struct proxy_primary *p, struct pri_port *port,
                  unsigned int max, uint64_t now)
{
    struct packet_vnet vnet;
    uint8_t *room;
    size_t size;
    ssize_t n;

    while (max-- && !port->dead) {
        room = compare_room(port->engine, &size);
        if (!room) return;
        n = tapdev_read(port->ends.out_rd, &vnet, room, size);
        if (n == -EMSGSIZE) {
            p->s.oversize++;
            continue;
        }
        if (n < 0) lose_port(p, port, (int)n);
        if (n <= 0) return;
        compare_filled(port->engine, (size_t)n, &vnet, now);
    }
}

/* ---- What the peer's rewriter must know (RULES B4) ----------------------- */

static bool teeing(const struct proxy_primary *p)
{
    return p->stream.fd >= 0 && p->s.mode == COMPARE_COLO;
}

/*
 * A connection is told before any input that is given to the guests after the
 * primary's SYN was seen: the segment that answers it may be among that.
 */
static void tell_flows(struct proxy_primary *p, unsigned int vif)
{
    struct compare *engine = p->ports[vif].engine;
    struct compare_isn isn;

    while (!teeing(p) || (!p->cut_owed && wirestream_room(&p->stream))) {
        struct wire_msg m = {
            .type = WIRE_FLOW,
            .vif = (uint16_t)vif,
            .epoch = p->s.epoch,
        };

        if (!compare_next_isn(engine, &isn)) return;
        if (!teeing(p)) continue;
        m.u.flow.key = isn.key;
        m.u.flow.has = WIRE_FLOW_ISN;
        m.u.flow.isn = isn.isn;
        if (isn.has_ts) {
            m.u.flow.has |= WIRE_FLOW_TSVAL;
            m.u.flow.tsval = isn.tsval;
        }
        if (wirestream_put(&p->stream, &m))
            log_debug("a connection can't be told to the peer");
    }
}

/* ---- Into the guest ------------------------------------------------------ */

bool pri_may_pass_in(const struct proxy_primary *p)
{
    if (p->s.holding || pri_full(p)) return false;
    return !teeing(p) || (!p->cut_owed && wirestream_room(&p->stream));
}

/* What one guest has, the other shall have. */
static void tee(struct proxy_primary *p, unsigned int vif,
                const struct wire_frame *f)
{
    const struct wire_msg m = {
        .type = WIRE_INBOUND,
        .vif = (uint16_t)vif,
        .epoch = p->s.epoch,
        .u.frame = *f,
    };

    if (!teeing(p)) return;
    if (!wirestream_put(&p->stream, &m)) p->s.in_teed++;
}

/* Frames for the guest, which the other one has first. */
static void read_in(struct proxy_primary *p, unsigned int vif,
                    unsigned int max, uint64_t now)
{
    struct pri_port *port = &p->ports[vif];
    struct wire_msg m = { .type = WIRE_INBOUND, .vif = (uint16_t)vif };
    struct wire_frame *f = &m.u.frame;
    uint8_t *room;
    ssize_t n;

    while (max-- && !port->dead && pri_may_pass_in(p) &&
           frameq_room(&port->in)) {
        f->data = room = frameq_next(&port->in);
        if (!pri_older_held(port, room, f, now)) {
            n = tapdev_read(port->ends.in_rd, &f->vnet, room, PACKET_MAX);
            if (n == -EMSGSIZE) {
                p->s.oversize++;
                continue;
            }
            if (n < 0) lose_port(p, port, (int)n);
            if (n <= 0) return;
            f->len = (uint32_t)n;
            if (!pri_older_in(p, port, room, f, now)) continue;
        }
        if (!frameq_push(&port->in, &m)) return; /* there was room */
        tee(p, vif, f);
    }
}

/* To the guest. Return: false if frames are left */
static bool write_in(struct proxy_primary *p, unsigned int vif, uint64_t now)
{
    struct pri_port *port = &p->ports[vif];
    struct wire_msg m;

    while (frameq_peek(&port->in, &m)) {
        const struct wire_frame *f = &m.u.frame;
        int r;

        if (port->untold && !pri_may_pass_in(p)) return false;
        r = tapdev_write(port->ends.in_wr, &f->vnet, f->data, f->len);
        if (!r) {
            port->in_wait = true;
            return false;
        }
        if (r > 0) {
            p->s.in_frames++;
            compare_inbound(port->engine, f->data, f->len, &f->vnet, now);
        } else {
            p->s.in_lost++;
        }
        if (port->untold) {
            tee(p, vif, f);
            port->untold--;
        }
        frameq_pop(&port->in);
    }
    return true;
}

/*
 * The peer is written to before the guest: as soon as that has a frame it may
 * take the processor that this needs, and both guests have work to do.
 */
void pri_pass_in(struct proxy_primary *p, unsigned int vif, unsigned int max,
                 uint64_t now)
{
    struct pri_port *port = &p->ports[vif];

    tell_flows(p, vif);
    if (port->dead || !pri_may_pass_in(p)) return;
    port->in_wait = false;
    /* What is older goes first, to both. */
    if (port->untold && !write_in(p, vif, now)) return;
    read_in(p, vif, max, now);
    if (teeing(p) && port->in.n) pri_write_peer(p);
    write_in(p, vif, now);
}

/* ---- The peer's proxy ---------------------------------------------------- */

/* Both can say and hear something once all vifs are connected. */
static void connected(struct proxy_primary *p, unsigned int vif, uint64_t now)
{
    p->plugged |= UINT32_C(1) << vif;
    compare_svm_connected(p->ports[vif].engine, now);
    if (p->s.connected || p->plugged != (UINT32_C(1) << p->nports) - 1)
        return;
    p->s.connected = true;
    p->s.lag_us = now / 1000u > p->cut_us ? now / 1000u - p->cut_us : 0;
    pri_notify(p);
}

static int take_message(struct proxy_primary *p, const struct wire_msg *m,
                        uint64_t now, struct xlc_error *err)
{
    struct compare *engine;
    struct compare_meta meta = { .epoch = m->epoch };

    if (m->vif >= p->nports)
        return xlc_error_set(err, -EPROTO, "%s for vif %u of %u",
                             wire_type_name(m->type), m->vif, p->nports);
    engine = p->ports[m->vif].engine;
    if (m->epoch < p->peer_from) return 0;
    switch (m->type) {
    case WIRE_OUTBOUND:
        meta.seq_off = m->u.frame.seq_off;
        meta.answered = m->u.frame.said & WIRE_SAID_ANSWERED;
        return compare_secondary(engine, &meta, m->u.frame.data,
                                 m->u.frame.len, &m->u.frame.vnet, now);
    case WIRE_CONNECTED:
        if (m->epoch == p->s.epoch) connected(p, m->vif, now);
        return 0;
    case WIRE_WANT:
        if (m->epoch == p->s.epoch)
            compare_want_now(engine, COMPARE_FULL, now);
        return 0;
    default:
        return xlc_error_set(err, -EPROTO, "unexpected %s of the peer's "
                             "proxy", wire_type_name(m->type));
    }
}

void pri_read_peer(struct proxy_primary *p, uint64_t now)
{
    struct xlc_error err = XLC_ERROR_INIT, end = XLC_ERROR_INIT;
    struct wire_msg m;
    int filled = wirestream_fill(&p->stream, &end), r;

    /* What came before an end still counts. */
    while ((r = wirestream_next(&p->stream, &m, &err)) > 0) {
        r = take_message(p, &m, now, &err);
        if (r) break;
    }
    p->s.greeted = p->stream.greeted;
    if (r >= 0 && filled < 0) {
        pri_drop_peer(p, &end);
    } else if (r < 0) {
        if (!err.status)
            xlc_error_set(&err, r, "a frame of the peer's proxy is refused: "
                          "%s", strerror(-r));
        pri_drop_peer(p, &err);
    }
}

void pri_write_peer(struct proxy_primary *p)
{
    struct xlc_error err = XLC_ERROR_INIT;
    const struct wire_msg cut = {
        .type = WIRE_CUT,
        .epoch = p->s.epoch,
        .u.mode = p->s.mode == COMPARE_COLO ? WIRE_MODE_COLO
                                            : WIRE_MODE_PASSIVE,
    };

    /* What finds no room may find it now, or nothing would wake us for it. */
    if (p->stream.fd >= 0 && !wirestream_room(&p->stream) &&
        wirestream_flush(&p->stream, &err))
        pri_drop_peer(p, &err);
    if (p->stream.fd >= 0 && p->cut_owed && wirestream_room(&p->stream))
        p->cut_owed = wirestream_put(&p->stream, &cut) != 0;
    for (unsigned int i = 0; i < p->nports; i++)
        tell_flows(p, i);
    if (wirestream_flush(&p->stream, &err)) pri_drop_peer(p, &err);
}

uint64_t pri_watch_until(const struct proxy_primary *p)
{
    uint64_t limit = p->stuck_ns;

    if (!p->full_ns) return COMPARE_NEVER;
    /* A copy that is not there yet may leave its input unread for longer. */
    if (!p->s.connected && p->plug_ns > limit) limit = p->plug_ns;
    return p->full_ns + limit;
}

void pri_watch_peer(struct proxy_primary *p, uint64_t now)
{
    struct xlc_error err = XLC_ERROR_INIT;

    /* A little now and then is no reading. */
    if (p->stream.fd < 0 || p->stream.sent - p->full_sent >= WIRE_MSG_MAX)
        p->full_ns = 0;
    if (!p->full_ns) {
        if (p->stream.fd < 0 || wirestream_room(&p->stream)) return;
        p->full_ns = now;
        p->full_sent = p->stream.sent;
    }
    if (now < pri_watch_until(p)) return;
    xlc_error_set(&err, -ETIMEDOUT, "the peer's proxy has not read for %llu "
                  "ms, and the guest's input waited for it",
                  (unsigned long long)((now - p->full_ns) / 1000000u));
    pri_drop_peer(p, &err);
}
