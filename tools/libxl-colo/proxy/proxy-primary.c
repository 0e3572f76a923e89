/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-primary.c - The proxy beside the primary guest
 *
 * Theory of operation
 * -------------------
 * One thread owns everything; the session asks it by letters. A turn of its
 * loop: wait for what is wanted, answer letters, take the peer's frames into
 * the engines, the guest's output into the engines, write what these let go,
 * pass input to the peer and to the guest, write to the peer.
 *
 * A cut is drawn by the loop itself, between two frames: the TAPs are read
 * until they are empty, then every engine is cut, and only then does the
 * epoch change that input is tagged with. A CUT goes to the peer before the
 * first frame of the new epoch; until it has room, input waits. A peer that
 * lets it wait for too long is dropped: its guest has no say over ours.
 *
 * Input goes to the peer first, and waits here if the guest's vif has no room:
 * what the guest has not been given at a cut belongs to the epoch that begins,
 * and the peer is told of it once more, as of that.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "proxy-primary-io.h"

/* Letters to the thread. */
enum pri_letter {
    PRI_STOP,
    PRI_PEER,
    PRI_NO_PEER,
    PRI_HOLD,
    PRI_CUT,
    PRI_COMMIT,
    PRI_MODE,
    PRI_LIMITS,
    PRI_HELD,
    PRI_OLDER,
    PRI_OPEN,
    PRI_IDLE,
    PRI_STATUS,
};

/* What PRI_PEER brings. */
struct peer {
    int fd;
    const struct wirestream_ops *ops;
    void *ctx;
};

/* Octets of frames that were read for a guest, and not written yet. */
#define PROXY_AHEAD (256u << 10)

static uint64_t clock_ns(void)
{
    return clock_us() * 1000u;
}

/* ---- Letters ------------------------------------------------------------- */

static int do_peer(struct proxy_primary *p, const struct peer *peer,
                   struct xlc_error *err)
{
    int r;

    if (p->stream.fd >= 0)
        return xlc_error_set(err, -EISCONN, "the proxy has a peer already");
    r = wirestream_open(&p->stream, peer->fd, peer->ops, peer->ctx, true,
                        (uint16_t)p->nports, err);
    if (r) return r;
    /* It begins with the epoch that runs, if there is one. Of that, the other
     * guest may lack input, and what it said went by another stream: both
     * compare from the next cut on (RULES B6, A10). */
    p->cut_owed = p->s.epoch != 0;
    p->s.mode = COMPARE_PASSIVE;
    p->peer_from = p->s.epoch + 1;
    if (!p->s.ports_lost) xlc_error_clear(&p->s.err);
    return 0;
}

static int do_cut(struct proxy_primary *p, uint64_t epoch,
                  struct xlc_error *err)
{
    uint64_t now = clock_ns();
    int r;

    if (epoch <= p->s.epoch)
        return xlc_error_set(err, -EINVAL, "a cut for epoch %llu after that "
                             "for %llu", (unsigned long long)epoch,
                             (unsigned long long)p->s.epoch);
    for (unsigned int i = 0; i < p->nports; i++) {
        struct pri_port *port = &p->ports[i];
        size_t size;

        pri_read_out(p, port, UINT32_MAX, now);
        pri_write_out(p, port);
        /* What a full engine leaves there counts as sent after the cut: it
         * waits for a later commit, never for too early a one. */
        if (!compare_room(port->engine, &size)) p->s.cut_unread++;
    }
    pri_write_peer(p);
    for (unsigned int i = 0; i < p->nports; i++) {
        struct compare_isn old;

        r = compare_cut(p->ports[i].engine, epoch, now);
        if (r)
            return xlc_error_set(err, r, "the cut for epoch %llu failed: %s",
                                 (unsigned long long)epoch, strerror(-r));
        /* The other guest is about to know these as this one does. */
        while (compare_next_isn(p->ports[i].engine, &old))
            ;
        /* What waits for this guest is input of the new epoch. */
        p->ports[i].untold = p->ports[i].in.n;
    }
    p->s.epoch = epoch;
    p->s.mode = p->mode_next;
    p->cut_owed = true;
    p->wanted = false;
    p->cut_us = now / 1000u;
    p->plugged = 0;
    p->s.connected = false;
    return 0;
}

static int do_commit(struct proxy_primary *p, uint64_t epoch,
                     struct xlc_error *err)
{
    uint64_t now = clock_ns();
    int r = 0;

    for (unsigned int i = 0; i < p->nports; i++) {
        int one = compare_commit(p->ports[i].engine, epoch, now);

        if (!r) r = one;
        pri_write_out(p, &p->ports[i]);
    }
    if (r)
        return xlc_error_set(err, r, "no cut for epoch %llu is outstanding",
                             (unsigned long long)epoch);
    return 0;
}

static int do_open(struct proxy_primary *p)
{
    uint64_t now = clock_ns();

    pri_drop_peer(p, NULL);
    /* A new peer has nothing to do with this epoch. */
    p->s.mode = COMPARE_PASSIVE;
    for (unsigned int i = 0; i < p->nports; i++) {
        compare_open(p->ports[i].engine, now);
        pri_write_out(p, &p->ports[i]);
    }
    return 0;
}

static int do_idle(struct proxy_primary *p)
{
    uint64_t now = clock_ns();

    /* What is not read can't be known to be empty. */
    if (!pri_may_pass_in(p)) return -EAGAIN;
    for (unsigned int i = 0; i < p->nports; i++) {
        struct pri_port *port = &p->ports[i];
        struct compare_stats s;
        uint64_t before;

        compare_get_stats(port->engine, &s);
        before = s.primary + p->s.in_frames + p->s.in_lost + p->s.dropped;
        pri_read_out(p, port, PROXY_BATCH, now);
        pri_write_out(p, port);
        pri_pass_in(p, i, PROXY_BATCH, now);
        compare_get_stats(port->engine, &s);
        if (s.primary + p->s.in_frames + p->s.in_lost + p->s.dropped !=
            before)
            return -EAGAIN;
        if (s.held || port->out || port->in.n) return -EAGAIN;
    }
    return 0;
}

static void do_status(struct proxy_primary *p, struct proxy_primary_status *s)
{
    *s = p->s;
    s->peer = p->stream.fd >= 0;
    s->full = pri_full(p);
    s->live = pri_older_live(p);
    s->sent += p->stream.sent;
    s->received += p->stream.received;
    for (unsigned int i = 0; i < p->nports; i++) {
        struct compare_stats one;
        uint64_t *to = (uint64_t *)&s->compare;
        const uint64_t *from = (const uint64_t *)&one;

        compare_get_stats(p->ports[i].engine, &one);
        for (size_t k = 0; k < sizeof(one) / sizeof(*to); k++)
            to[k] += from[k];
        if (s->want.reason == COMPARE_OK &&
            compare_wanted(p->ports[i].engine, &s->want))
            s->want_vif = i;
    }
}
_Static_assert(sizeof(struct compare_stats) % sizeof(uint64_t) == 0,
               "counters only");

static void do_held(struct proxy_primary *p, struct proxy_primary_held *h)
{
    uint64_t packets = 0, ns = 0, longest = 0, said = 0, acked = 0;

    for (unsigned int i = 0; i < p->nports; i++) {
        struct compare_stats s;
        uint64_t one = compare_longest_ns(p->ports[i].engine);

        compare_get_stats(p->ports[i].engine, &s);
        packets += s.released;
        ns += s.held_ns;
        said += s.said;
        acked += s.acked;
        if (one > longest) longest = one;
    }
    h->packets = packets - p->told_packets;
    h->held_us = (ns - p->told_ns) / 1000u;
    h->longest_us = longest / 1000u;
    h->said = said - p->told_said;
    h->acked = acked - p->told_acked;
    p->told_said = said;
    p->told_acked = acked;
    p->told_packets = packets;
    p->told_ns = ns;
}

static int do_letter(struct proxy_primary *p, struct letter *l)
{
    switch ((enum pri_letter)l->what) {
    case PRI_STOP:
        p->quit = true;
        return 0;
    case PRI_PEER:
        return do_peer(p, l->data, &l->err);
    case PRI_NO_PEER:
        pri_drop_peer(p, NULL);
        return 0;
    case PRI_HOLD:
        p->s.holding = l->number;
        return 0;
    case PRI_CUT:
        return do_cut(p, l->number, &l->err);
    case PRI_COMMIT:
        return do_commit(p, l->number, &l->err);
    case PRI_MODE:
        p->mode_next = (enum compare_mode)l->number;
        for (unsigned int i = 0; i < p->nports; i++)
            compare_set_mode(p->ports[i].engine, p->mode_next);
        return 0;
    case PRI_LIMITS:
        p->plug_ns = *(const uint64_t *)l->data;
        for (unsigned int i = 0; i < p->nports; i++)
            compare_set_limits(p->ports[i].engine, l->number, p->plug_ns);
        return 0;
    case PRI_HELD:
        do_held(p, l->data);
        return 0;
    case PRI_OLDER:
        return pri_older_export(p, l->number, l->data, clock_ns(), &l->err);
    case PRI_OPEN:
        return do_open(p);
    case PRI_IDLE:
        return do_idle(p);
    case PRI_STATUS:
        do_status(p, l->data);
        return 0;
    }
    return -EINVAL;
}

/* ---- The loop ------------------------------------------------------------ */

static void want_ports(struct proxy_primary *p)
{
    bool in = pri_may_pass_in(p);

    for (unsigned int i = 0; i < p->nports; i++) {
        struct pri_port *port = &p->ports[i];
        size_t size;

        if (port->dead) continue;
        if (compare_room(port->engine, &size))
            pollset_want(&p->set, port->ends.out_rd, EPOLLIN);
        if (port->out_wait)
            pollset_want(&p->set, port->ends.out_wr, EPOLLOUT);
        if (in && port->in_wait)
            pollset_want(&p->set, port->ends.in_wr, EPOLLOUT);
        else if (in)
            pollset_want(&p->set, port->ends.in_rd, EPOLLIN);
    }
}

/* How long the engines let the loop sleep. */
static int sleep_ms(const struct proxy_primary *p)
{
    uint64_t at = pri_watch_until(p), now = clock_ns(), ms;
    uint64_t older = pri_older_until(p);

    if (p->stream.fd >= 0 && p->stream.more) return 0;
    for (unsigned int i = 0; i < p->nports; i++) {
        uint64_t one = compare_deadline(p->ports[i].engine);

        if (one < at) at = one;
    }
    if (older < at) at = older;
    if (at == COMPARE_NEVER) return -1;
    if (at <= now) return 0;
    ms = (at - now + 999999u) / 1000000u;
    return ms > 60000 ? 60000 : (int)ms;
}

/* Tell the session once that a checkpoint is wanted. */
static void look_for_wants(struct proxy_primary *p)
{
    for (unsigned int i = 0; i < p->nports && !p->wanted; i++) {
        if (!compare_wanted(p->ports[i].engine, NULL)) continue;
        p->wanted = true;
        pri_notify(p);
    }
}

static void move_frames(struct proxy_primary *p)
{
    uint64_t now = clock_ns();

    if (p->stream.fd >= 0 &&
        (p->stream.more || pollset_got(&p->set, p->stream.fd, EPOLLIN)))
        pri_read_peer(p, now);
    for (unsigned int i = 0; i < p->nports; i++) {
        struct pri_port *port = &p->ports[i];

        compare_tick(port->engine, now);
        if (pollset_got(&p->set, port->ends.out_rd, EPOLLIN))
            pri_read_out(p, port, PROXY_BATCH, now);
        pri_write_out(p, port);
        /* What the rewriter held may be due since the guest spoke. */
        if (port->in.n || port->older ||
            pollset_got(&p->set, port->ends.in_rd, EPOLLIN))
            pri_pass_in(p, i, PROXY_BATCH, now);
    }
    pri_write_peer(p);
    pri_watch_peer(p, now);
    look_for_wants(p);
    pri_older_tick(p, now);
}

static void *run(void *arg)
{
    struct proxy_primary *p = arg;
    struct xlc_error err = XLC_ERROR_INIT;
    struct letter *l;

    while (!p->quit) {
        pollset_want(&p->set, p->box.fd, EPOLLIN);
        if (p->stream.fd >= 0)
            pollset_want(&p->set, p->stream.fd, EPOLLIN |
                         (wirestream_waits(&p->stream) ? EPOLLOUT : 0u));
        want_ports(p);
        if (pollset_wait(&p->set, sleep_ms(p), &err)) break;
        /* One: who asks again and again does not keep frames waiting. */
        l = pollset_got(&p->set, p->box.fd, EPOLLIN)
                ? mailbox_take(&p->box) : NULL;
        if (l) {
            xlc_error_clear(&l->err);
            l->result = do_letter(p, l);
            mailbox_answer(&p->box, l);
        }
        move_frames(p);
    }
    if (err.status) log_error("the proxy ends: %s", err.msg);
    mailbox_close(&p->box);
    if (err.status) pri_notify(p);
    return NULL;
}

/* ---- From other threads -------------------------------------------------- */

static int ask(struct proxy_primary *p, enum pri_letter what, uint64_t number,
               void *data, struct xlc_error *err)
{
    struct letter l = { .what = (int)what, .number = number, .data = data };

    return mailbox_ask(&p->box, &l, err);
}

static int start_thread(struct proxy_primary *p, struct xlc_error *err)
{
    sigset_t all, old;
    int r;

    /* Signals are the session's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&p->thread, NULL, run, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        return xlc_error_set(err, -r, "can't start the proxy's thread: %s",
                             strerror(r));
    p->started = true;
    return 0;
}

static int make_ports(struct proxy_primary *p,
                      const struct proxy_primary_cfg *cfg,
                      struct xlc_error *err)
{
    struct compare_opts opts = cfg->compare;
    int r;

    opts.mode = COMPARE_PASSIVE;
    opts.epoch = 0;
    for (; p->nports < cfg->nports; p->nports++) {
        struct pri_port *port = &p->ports[p->nports];

        if (getrandom(opts.hash_key, sizeof(opts.hash_key), 0) !=
            (ssize_t)sizeof(opts.hash_key))
            return xlc_error_set(err, -EIO, "no random numbers: %s",
                                 strerror(errno));
        port->ends = cfg->ports[p->nports];
        port->older = cfg->older[p->nports];
        r = frameq_init(&port->in, PROXY_AHEAD, err);
        if (r) return r;
        r = compare_new(&port->engine, &opts, err);
        if (r) {
            frameq_dispose(&port->in);
            return r;
        }
    }
    return 0;
}

int proxy_primary_start(struct proxy_primary **p_r,
                        const struct proxy_primary_cfg *cfg,
                        struct xlc_error *err)
{
    struct proxy_primary *p;
    int r;

    if (!cfg->nports || cfg->nports > WIRE_VIFS_MAX)
        return xlc_error_set(err, -EINVAL, "a proxy for %u vifs (1 to %u)",
                             cfg->nports, WIRE_VIFS_MAX);
    p = calloc(1, sizeof(*p));
    if (!p) return xlc_error_set(err, -ENOMEM, "proxy: out of memory");
    p->box.fd = p->set.ep = -1;
    p->stream = (struct wirestream)WIRESTREAM_INIT;
    p->s.mode = p->mode_next = COMPARE_PASSIVE;
    p->stuck_ns = cfg->stuck_ns ? cfg->stuck_ns : PROXY_STUCK_NS;
    p->plug_ns = cfg->compare.plug_ns;
    p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r = p->event_fd < 0 ? -errno : 0;
    if (r)
        xlc_error_set(err, r, "can't make an eventfd: %s", strerror(-r));
    if (!r) r = mailbox_init(&p->box, err);
    if (!r) r = pollset_init(&p->set, err);
    if (!r) r = make_ports(p, cfg, err);
    if (!r) r = start_thread(p, err);
    if (r) proxy_primary_stop(p);
    else *p_r = p;
    return r;
}

void proxy_primary_stop(struct proxy_primary *p)
{
    if (!p) return;
    if (p->started) {
        ask(p, PRI_STOP, 0, NULL, NULL);
        pthread_join(p->thread, NULL);
    }
    wirestream_close(&p->stream);
    for (unsigned int i = 0; i < p->nports; i++) {
        compare_free(p->ports[i].engine);
        frameq_dispose(&p->ports[i].in);
    }
    pollset_dispose(&p->set);
    mailbox_dispose(&p->box);
    if (p->event_fd >= 0) close(p->event_fd);
    free(p);
}

int proxy_primary_event_fd(const struct proxy_primary *p)
{
    return p->event_fd;
}

int proxy_primary_peer(struct proxy_primary *p, int fd,
                       const struct wirestream_ops *ops, void *ctx,
                       struct xlc_error *err)
{
    struct peer peer = { .fd = fd, .ops = ops, .ctx = ctx };

    return ask(p, PRI_PEER, 0, &peer, err);
}

int proxy_primary_no_peer(struct proxy_primary *p, struct xlc_error *err)
{
    return ask(p, PRI_NO_PEER, 0, NULL, err);
}

int proxy_primary_hold(struct proxy_primary *p, bool hold,
                       struct xlc_error *err)
{
    return ask(p, PRI_HOLD, hold, NULL, err);
}

int proxy_primary_cut(struct proxy_primary *p, uint64_t epoch,
                      struct xlc_error *err)
{
    return ask(p, PRI_CUT, epoch, NULL, err);
}

int proxy_primary_commit(struct proxy_primary *p, uint64_t epoch,
                         struct xlc_error *err)
{
    return ask(p, PRI_COMMIT, epoch, NULL, err);
}

int proxy_primary_mode(struct proxy_primary *p, enum compare_mode mode,
                       struct xlc_error *err)
{
    return ask(p, PRI_MODE, mode, NULL, err);
}

int proxy_primary_open(struct proxy_primary *p, struct xlc_error *err)
{
    return ask(p, PRI_OPEN, 0, NULL, err);
}

int proxy_primary_idle(struct proxy_primary *p, struct xlc_error *err)
{
    return ask(p, PRI_IDLE, 0, NULL, err);
}

int proxy_primary_older(struct proxy_primary *p, unsigned int vif,
                        uint64_t *generation, uint8_t **buf_r, size_t *len_r,
                        struct xlc_error *err)
{
    struct pri_older o = { .generation = *generation };
    int r = ask(p, PRI_OLDER, vif, &o, err);

    if (r) return r;
    *generation = o.generation;
    *buf_r = o.buf;
    *len_r = o.len;
    return 0;
}

int proxy_primary_held(struct proxy_primary *p, struct proxy_primary_held *h,
                       struct xlc_error *err)
{
    return ask(p, PRI_HELD, 0, h, err);
}

int proxy_primary_limits(struct proxy_primary *p, uint64_t late_ns,
                         uint64_t plug_ns, struct xlc_error *err)
{
    return ask(p, PRI_LIMITS, late_ns, &plug_ns, err);
}

int proxy_primary_status(struct proxy_primary *p,
                         struct proxy_primary_status *s,
                         struct xlc_error *err)
{
    return ask(p, PRI_STATUS, 0, s, err);
}
