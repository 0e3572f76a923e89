/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proxy-secondary.c - The proxy beside the secondary guest
 *
 * Theory of operation
 * -------------------
 * One thread owns everything; the session asks it by letters. Until the
 * failover the guest's frames go to the peer only as fast as the stream takes
 * them, and wait in the TAP otherwise, also while there is no peer: should
 * this guest take over then, they are its first output.
 *
 * Input is tagged by the peer with its epoch. That of an epoch which has not
 * begun here waits; that of an older one is part of the state that the guest
 * was rolled back to.
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
#include "proxy-secondary-io.h"
#include "rewrite-join.h"
#include "rewrite-keep.h"

#define TICK_NS UINT64_C(1000000000)
#define TICK_MS 1000

/* Letters to the thread. */
enum sec_letter {
    SEC_STOP,
    SEC_PEER,
    SEC_NO_PEER,
    SEC_CUT,
    SEC_CONNECTED,
    SEC_OPEN,
    SEC_IDLE,
    SEC_EXPORT,
    SEC_IMPORT,
    SEC_OLDER,
    SEC_STATUS,
};

/* What SEC_PEER brings. */
struct peer {
    int fd;
    const struct wirestream_ops *ops;
    void *ctx;
};

/* What SEC_EXPORT and SEC_IMPORT bring. */
struct state {
    uint8_t *buf;
    const uint8_t *from;
    size_t size, len;
};

static uint64_t clock_ns(void)
{
    return clock_us() * 1000u;
}

/* ---- Letters ------------------------------------------------------------- */

static int do_peer(struct proxy_secondary *s, const struct peer *peer,
                   struct xlc_error *err)
{
    int r;

    if (s->s.open)
        return xlc_error_set(err, -EBUSY, "this guest has taken over");
    if (s->stream.fd >= 0)
        return xlc_error_set(err, -EISCONN, "the proxy has a peer already");
    r = wirestream_open(&s->stream, peer->fd, peer->ops, peer->ctx, false,
                        (uint16_t)s->nports, err);
    if (r) return r;
    s->tell_connected = s->s.connected;
    /* Nothing of an older stream is told or given any more. */
    s->s.mode = 0;
    sec_forget_stream(s);
    if (!s->s.ports_lost) xlc_error_clear(&s->s.err);
    return 0;
}

static int do_cut(struct proxy_secondary *s, uint64_t epoch,
                  struct xlc_error *err)
{
    uint64_t now = clock_ns();

    if (s->s.open)
        return xlc_error_set(err, -EBUSY, "this guest has taken over");
    /* The same once more: the guest was put back there again. */
    if (!epoch || epoch < s->s.epoch)
        return xlc_error_set(err, -EINVAL, "a cut for epoch %llu after that "
                             "for %llu", (unsigned long long)epoch,
                             (unsigned long long)s->s.epoch);
    if (!sec_forget_out(s))
        return xlc_error_set(err, -EBUSY, "packets keep coming from the "
                             "guest, whose vifs must be disconnected");
    s->s.connected = s->tell_connected = false;
    s->s.epoch = epoch;
    sec_forget_in(s);
    for (unsigned int i = 0; i < s->nports; i++)
        rewrite_cut(s->ports[i].rewrite, now);
    return 0;
}

/* RULES B4. Without it connections live only as long as this process. */
static void keep_table(const struct proxy_secondary *s, struct sec_port *port)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int r;

    if (!s->keep.fd) return;
    r = keepfile_map(&s->keep, (unsigned int)(port - s->ports),
                     rewrite_keep_size(port->rewrite), &port->kept, &e);
    if (!r) r = rewrite_keep(port->rewrite, port->kept, KEEPFILE_PART, &e);
    if (!r) return;
    log_warn("connections from before the takeover will break if this process "
             "is killed: %s", e.msg);
    keepfile_unmap(port->kept);
    port->kept = NULL;
}

/* RULES B4: those that the primary had translated when it failed. */
static void join_older(struct sec_port *port, uint64_t now)
{
    uint32_t lost;

    if (!port->older) return;
    lost = rewrite_join(port->rewrite, port->older, now);
    rewrite_free(port->older);
    port->older = NULL;
    if (lost)
        log_error("there is no room for %u connections from before an "
                  "earlier takeover: they will break", lost);
}

static int do_open(struct proxy_secondary *s)
{
    uint64_t now = clock_ns();

    if (s->s.open) return 0;
    sec_drop_peer(s, NULL);
    s->s.open = true;
    /* What it was not given yet, the other end will send again; input of an
     * epoch that never became whole here has to go. Nobody says any more when
     * a rolled back guest is connected. */
    sec_forget_stream(s);
    for (unsigned int i = 0; i < s->nports; i++) {
        join_older(&s->ports[i], now);
        rewrite_failover(s->ports[i].rewrite, now);
        keep_table(s, &s->ports[i]);
    }
    return 0;
}

/* How much went through so far. */
static uint64_t moved(const struct proxy_secondary *s)
{
    return s->s.in_frames + s->s.in_lost + s->s.out_frames + s->s.out_lost +
           s->s.dropped + s->s.oversize;
}

static int do_idle(struct proxy_secondary *s)
{
    uint64_t now = clock_ns(), before = moved(s);

    if (!s->s.open) return -EAGAIN;
    for (unsigned int i = 0; i < s->nports; i++) {
        struct sec_port *port = &s->ports[i];

        sec_retry(s, port, now);
        sec_read_out(s, i, now);
        sec_read_in(s, i, now);
        if (port->in_len || port->out_len) return -EAGAIN;
    }
    return moved(s) == before && !s->again_left ? 0 : -EAGAIN;
}

static int do_export(struct proxy_secondary *s, uint64_t vif,
                     struct state *st, struct xlc_error *err)
{
    if (vif >= s->nports)
        return xlc_error_set(err, -EINVAL, "there is no such vif");
    st->len = rewrite_export_size(s->ports[vif].rewrite);
    if (st->len > st->size)
        return xlc_error_set(err, -ENOSPC, "the rewriter's state needs %zu "
                             "octets", st->len);
    return rewrite_export(s->ports[vif].rewrite, st->buf, st->size, &st->len,
                          clock_ns(), err);
}

static int do_import(struct proxy_secondary *s, uint64_t vif,
                     const struct state *st, struct xlc_error *err)
{
    if (vif >= s->nports)
        return xlc_error_set(err, -EINVAL, "there is no such vif");
    return rewrite_import(s->ports[vif].rewrite, st->from, st->len,
                          clock_ns(), err);
}

static int do_older(struct proxy_secondary *s, uint64_t vif,
                    struct rewrite *older, struct xlc_error *err)
{
    if (s->s.open)
        return xlc_error_set(err, -EBUSY, "this guest has taken over");
    if (vif >= s->nports)
        return xlc_error_set(err, -EINVAL, "there is no such vif");
    rewrite_free(s->ports[vif].older);
    s->ports[vif].older = older;
    return 0;
}

static uint32_t live(const struct proxy_secondary *s)
{
    uint32_t n = 0;

    for (unsigned int i = 0; i < s->nports; i++)
        n += rewrite_live(s->ports[i].rewrite);
    return n;
}

static void do_status(struct proxy_secondary *s,
                      struct proxy_secondary_status *st)
{
    *st = s->s;
    st->peer = s->stream.fd >= 0;
    st->live = live(s);
    for (unsigned int i = 0; i < s->nports; i++)
        st->generation += rewrite_generation(s->ports[i].rewrite);
    st->waiting = s->backlog.n;
    st->waiting_bytes = s->backlog.bytes;
    st->sent += s->stream.sent;
    st->received += s->stream.received;
}

static int do_letter(struct proxy_secondary *s, struct letter *l)
{
    switch ((enum sec_letter)l->what) {
    case SEC_STOP:
        s->quit = true;
        return 0;
    case SEC_PEER:
        return do_peer(s, l->data, &l->err);
    case SEC_NO_PEER:
        sec_drop_peer(s, NULL);
        return 0;
    case SEC_CUT:
        return do_cut(s, l->number, &l->err);
    case SEC_CONNECTED:
        s->s.connected = s->tell_connected = true;
        return 0;
    case SEC_OPEN:
        return do_open(s);
    case SEC_IDLE:
        return do_idle(s);
    case SEC_EXPORT:
        return do_export(s, l->number, l->data, &l->err);
    case SEC_IMPORT:
        return do_import(s, l->number, l->data, &l->err);
    case SEC_OLDER:
        return do_older(s, l->number, l->data, &l->err);
    case SEC_STATUS:
        do_status(s, l->data);
        return 0;
    }
    return -EINVAL;
}

/* ---- The loop ------------------------------------------------------------ */

static void want_all(struct proxy_secondary *s)
{
    pollset_want(&s->set, s->box.fd, EPOLLIN);
    if (s->stream.fd >= 0)
        pollset_want(&s->set, s->stream.fd,
                     (frameq_room(&s->backlog) ? EPOLLIN : 0u) |
                     (wirestream_waits(&s->stream) ? EPOLLOUT : 0u));
    for (unsigned int i = 0; i < s->nports; i++) {
        struct sec_port *port = &s->ports[i];

        if (port->in_len)
            pollset_want(&s->set, port->ends.in_wr, EPOLLOUT);
        if (port->out_len)
            pollset_want(&s->set, port->ends.out_wr, EPOLLOUT);
        if (sec_may_read_out(s, port))
            pollset_want(&s->set, port->ends.out_rd, EPOLLIN);
        if (s->s.open && !port->in_len && !port->dead)
            pollset_want(&s->set, port->ends.in_rd, EPOLLIN);
    }
}

static void tick(struct proxy_secondary *s, uint64_t now)
{
    if (now - s->ticked < TICK_NS) return;
    s->ticked = now;
    for (unsigned int i = 0; i < s->nports; i++)
        rewrite_tick(s->ports[i].rewrite, now);
    if (s->s.open && !s->done_told && !live(s)) {
        s->done_told = true;
        sec_notify(s);
    }
}

static void move_frames(struct proxy_secondary *s)
{
    uint64_t now = clock_ns();

    for (unsigned int i = 0; i < s->nports; i++)
        sec_retry(s, &s->ports[i], now);
    sec_deliver(s, now);
    if (s->stream.fd >= 0) sec_read_peer(s, now);
    for (unsigned int i = 0; i < s->nports; i++) {
        const struct proxy_port *ends = &s->ports[i].ends;

        if (pollset_got(&s->set, ends->out_rd, EPOLLIN))
            sec_read_out(s, i, now);
        if (s->s.open && pollset_got(&s->set, ends->in_rd, EPOLLIN))
            sec_read_in(s, i, now);
    }
    sec_write_peer(s);
    tick(s, now);
}

static int sleep_ms(const struct proxy_secondary *s)
{
    return s->stream.fd >= 0 && s->stream.more && frameq_room(&s->backlog)
               ? 0 : TICK_MS;
}

static void *run(void *arg)
{
    struct proxy_secondary *s = arg;
    struct xlc_error err = XLC_ERROR_INIT;
    struct letter *l;

    while (!s->quit) {
        want_all(s);
        if (pollset_wait(&s->set, sleep_ms(s), &err)) break;
        /* One: who asks again and again does not keep frames waiting. */
        l = pollset_got(&s->set, s->box.fd, EPOLLIN)
                ? mailbox_take(&s->box) : NULL;
        if (l) {
            xlc_error_clear(&l->err);
            l->result = do_letter(s, l);
            mailbox_answer(&s->box, l);
        }
        move_frames(s);
    }
    if (err.status) log_error("the proxy ends: %s", err.msg);
    mailbox_close(&s->box);
    if (err.status) sec_notify(s);
    return NULL;
}

/* ---- From other threads -------------------------------------------------- */

static int ask(struct proxy_secondary *s, enum sec_letter what,
               uint64_t number, void *data, struct xlc_error *err)
{
    struct letter l = { .what = (int)what, .number = number, .data = data };

    return mailbox_ask(&s->box, &l, err);
}

static int start_thread(struct proxy_secondary *s, struct xlc_error *err)
{
    sigset_t all, old;
    int r;

    /* Signals are the session's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        return xlc_error_set(err, -r, "can't start the proxy's thread: %s",
                             strerror(r));
    s->started = true;
    return 0;
}

static int make_ports(struct proxy_secondary *s,
                      const struct proxy_secondary_cfg *cfg,
                      struct xlc_error *err)
{
    struct rewrite_opts opts = cfg->rewrite;
    int r = 0;

    while (!r && s->nports < cfg->nports) {
        struct sec_port *port = &s->ports[s->nports];

        if (getrandom(opts.hash_key, sizeof(opts.hash_key), 0) !=
            (ssize_t)sizeof(opts.hash_key))
            return xlc_error_set(err, -EIO, "no random numbers: %s",
                                 strerror(errno));
        port->ends = cfg->ports[s->nports];
        s->nports++; /* so that a part of it is released, too */
        port->in = malloc(PACKET_MAX);
        port->out = malloc(PACKET_MAX);
        if (!port->in || !port->out)
            return xlc_error_set(err, -ENOMEM, "proxy: out of memory");
        r = rewrite_new(&port->rewrite, &opts, err);
    }
    return r;
}

/* Another process had it, until it died. */
static int resume(struct proxy_secondary *s, struct xlc_error *err)
{
    uint64_t now = clock_ns();
    int r = 0;

    for (unsigned int i = 0; i < s->nports && !r; i++) {
        struct sec_port *port = &s->ports[i];

        r = keepfile_map(&s->keep, i, 0, &port->kept, err);
        if (!r) r = rewrite_keep_recover(port->rewrite, port->kept,
                                         KEEPFILE_PART, now, err);
    }
    s->s.open = !r;
    return r;
}

int proxy_secondary_start(struct proxy_secondary **s_r,
                          const struct proxy_secondary_cfg *cfg,
                          struct xlc_error *err)
{
    struct proxy_secondary *s;
    int r;

    if (!cfg->nports || cfg->nports > WIRE_VIFS_MAX)
        return xlc_error_set(err, -EINVAL, "a proxy for %u vifs (1 to %u)",
                             cfg->nports, WIRE_VIFS_MAX);
    s = calloc(1, sizeof(*s));
    if (!s) return xlc_error_set(err, -ENOMEM, "proxy: out of memory");
    s->box.fd = s->set.ep = -1;
    s->stream = (struct wirestream)WIRESTREAM_INIT;
    s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r = s->event_fd < 0 ? -errno : 0;
    if (r)
        xlc_error_set(err, r, "can't make an eventfd: %s", strerror(-r));
    if (!r) r = mailbox_init(&s->box, err);
    if (!r) r = pollset_init(&s->set, err);
    if (!r) r = frameq_init(&s->backlog, PROXY_BACKLOG, err);
    if (!r) r = frameq_init(&s->again, PROXY_AGAIN_BYTES, err);
    if (!r && cfg->keep) s->keep = *cfg->keep;
    if (!r) r = make_ports(s, cfg, err);
    if (!r && cfg->resume) r = resume(s, err);
    if (!r) r = start_thread(s, err);
    if (r) proxy_secondary_stop(s);
    else *s_r = s;
    return r;
}

void proxy_secondary_stop(struct proxy_secondary *s)
{
    if (!s) return;
    if (s->started) {
        ask(s, SEC_STOP, 0, NULL, NULL);
        pthread_join(s->thread, NULL);
    }
    wirestream_close(&s->stream);
    for (unsigned int i = 0; i < s->nports; i++) {
        rewrite_free(s->ports[i].rewrite);
        rewrite_free(s->ports[i].older);
        keepfile_unmap(s->ports[i].kept);
        free(s->ports[i].in);
        free(s->ports[i].out);
    }
    frameq_dispose(&s->backlog);
    frameq_dispose(&s->again);
    pollset_dispose(&s->set);
    mailbox_dispose(&s->box);
    if (s->event_fd >= 0) close(s->event_fd);
    free(s);
}

int proxy_secondary_event_fd(const struct proxy_secondary *s)
{
    return s->event_fd;
}

int proxy_secondary_peer(struct proxy_secondary *s, int fd,
                         const struct wirestream_ops *ops, void *ctx,
                         struct xlc_error *err)
{
    struct peer peer = { .fd = fd, .ops = ops, .ctx = ctx };

    return ask(s, SEC_PEER, 0, &peer, err);
}

int proxy_secondary_no_peer(struct proxy_secondary *s,
                            struct xlc_error *err)
{
    return ask(s, SEC_NO_PEER, 0, NULL, err);
}

int proxy_secondary_cut(struct proxy_secondary *s, uint64_t epoch,
                        struct xlc_error *err)
{
    return ask(s, SEC_CUT, epoch, NULL, err);
}

int proxy_secondary_connected(struct proxy_secondary *s,
                              struct xlc_error *err)
{
    return ask(s, SEC_CONNECTED, 0, NULL, err);
}

int proxy_secondary_open(struct proxy_secondary *s, struct xlc_error *err)
{
    return ask(s, SEC_OPEN, 0, NULL, err);
}

int proxy_secondary_idle(struct proxy_secondary *s, struct xlc_error *err)
{
    return ask(s, SEC_IDLE, 0, NULL, err);
}

int proxy_secondary_export(struct proxy_secondary *s, unsigned int vif,
                           uint8_t *buf, size_t size, size_t *len,
                           struct xlc_error *err)
{
    struct state st = { .buf = buf, .size = size };
    int r = ask(s, SEC_EXPORT, vif, &st, err);

    *len = st.len;
    return r;
}

int proxy_secondary_import(struct proxy_secondary *s, unsigned int vif,
                           const uint8_t *buf, size_t len,
                           struct xlc_error *err)
{
    struct state st = { .from = buf, .len = len };

    return ask(s, SEC_IMPORT, vif, &st, err);
}

int proxy_secondary_older(struct proxy_secondary *s, unsigned int vif,
                          struct rewrite *older, struct xlc_error *err)
{
    return ask(s, SEC_OLDER, vif, older, err);
}

int proxy_secondary_status(struct proxy_secondary *s,
                           struct proxy_secondary_status *st,
                           struct xlc_error *err)
{
    return ask(s, SEC_STATUS, 0, st, err);
}
