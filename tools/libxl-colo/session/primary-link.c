/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary-link.c - The primary's connections: boot, dial, beat, dispatch */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <gnutls/crypto.h>

#include "cleanup.h"
#include "clock.h"
#include "host.h"
#include "log.h"
#include "primary.h"
#include "primary-disks.h"
#include "primary-proxy.h"

/* The other side checks and prepares a lot between CONFIG and READY. */
#define BOOT_MS 30000u
/* How long a failed start waits for the other side's good bye. */
#define GOODBYE_MS 3000u

/* ----- boot ----- */

static int say_hello(struct primary *p, struct boot *b, struct xlc_error *err)
{
    struct proto_msg m = { .hdr.type = PROTO_HELLO };
    struct proto_hello *h = &m.u.hello;
    int r;

    h->version = PROTO_VERSION;
    h->version_min = PROTO_VERSION_MIN;
    h->caps = PROTO_CAP_DISK | (p->o->plaintext ? PROTO_CAP_PLAINTEXT : 0) |
              (p->o->colo ? PROTO_CAP_COLO : 0) |
              (primary_proxy_wanted(p) ?
               PROTO_CAP_PROXY | PROTO_CAP_PROXY_AGAIN : 0);
    memcpy(h->uuid, p->guest.uuid_raw, sizeof(h->uuid));
    memcpy(h->session, p->secret.session, sizeof(h->session));
    memcpy(h->key, p->secret.key, sizeof(h->key));
    h->generation = p->rec.generation;
    h->role = PROTO_ROLE_PRIMARY;
    h->heartbeat_ms = p->o->heartbeat_ms;
    h->limit_ms = p->o->limit_ms;
    h->port = p->o->port;
    snprintf(h->name, sizeof(h->name), "%s", p->guest.name);
    r = host_xen_version(p->ctx, &h->xen_major, &h->xen_minor, err);
    if (!r) r = boot_send(b, &m, err);
    gnutls_memset(&m, 0, sizeof(m));
    return r;
}

static int check_reply(struct primary *p, const struct proto_hello_reply *h,
                       struct xlc_error *err)
{
    uint16_t major, minor;
    int r = host_xen_version(p->ctx, &major, &minor, err);

    if (r) return r;
    if (h->version < PROTO_VERSION_MIN || h->version > PROTO_VERSION)
        return xlc_error_set(err, -EPROTO, "the other host speaks version %u "
                             "of the protocol, this one %u", h->version,
                             PROTO_VERSION);
    if (memcmp(h->session, p->secret.session, sizeof(h->session)))
        return xlc_error_set(err, -EPROTO, "the other host answers another "
                             "session");
    if (h->xen_major != major || h->xen_minor != minor)
        return xlc_error_set(err, -EPERM, "the other host runs Xen %u.%u, "
                             "this one %u.%u: they must be equal",
                             h->xen_major, h->xen_minor, major, minor);
    if (h->generation > p->rec.generation)
        return xlc_error_set(err, -ESTALE, "the other host knows a newer "
                             "copy of the guest (generation %llu, this one "
                             "is %llu): it took over once; look there first."
                             " Only if nothing of it is to be kept, remove "
                             XLC_STATEDIR "/%s.json there",
                             (unsigned long long)h->generation,
                             (unsigned long long)p->rec.generation,
                             p->guest.uuid);
    p->caps = h->caps;
    if (p->o->plaintext && !(h->caps & PROTO_CAP_PLAINTEXT))
        return xlc_error_set(err, -EPERM, "the other host does not do "
                             "--plaintext");
    if (p->o->colo && !(h->caps & PROTO_CAP_COLO))
        return xlc_error_set(err, -EPERM, "the other host does not do "
                             "--colo");
    if (primary_proxy_wanted(p) && !(h->caps & PROTO_CAP_PROXY))
        return xlc_error_set(err, -EPERM, "the other host can't compare "
                             "packets; --colo --mode=remus keeps a copy "
                             "there that only takes checkpoints");
    return 0;
}

static void add_address(struct primary *p, const char *addr)
{
    for (unsigned int i = 0; i < p->naddr; i++)
        if (!strcmp(p->addr[i], addr)) return;
    if (p->naddr < PRIMARY_PATHS && strlen(addr) < PRIMARY_ADDR_MAX)
        snprintf(p->addr[p->naddr++], PRIMARY_ADDR_MAX, "%s", addr);
}

/* --peer first, then the address that ssh used (RULES A2). */
static void choose_addresses(struct primary *p,
                             const struct proto_hello_reply *h)
{
    const char *at = strrchr(p->o->host, '@');

    for (unsigned int i = 0; i < p->o->npeers; i++)
        add_address(p, p->o->peers[i]);
    if (h->addr[0]) add_address(p, h->addr);
    else if (!p->naddr) add_address(p, at ? at + 1 : p->o->host);
    p->port = h->port;
}

static int converse(struct primary *p, struct boot *b, struct xlc_error *err)
{
    struct proto_msg reply, m = { .hdr.type = PROTO_CONFIG };
    CLEANUP_FREE uint8_t *buf = NULL, *buf2 = NULL;
    int r;

    r = say_hello(p, b, err);
    if (!r) r = boot_recv(b, &reply, &buf, clock_ms() + BOOT_MS, err);
    if (r) return r;
    if (reply.hdr.type != PROTO_HELLO_REPLY)
        return xlc_error_set(err, -EPROTO, "the other host answers %s to "
                             "HELLO", proto_type_name(reply.hdr.type));
    r = check_reply(p, &reply.u.hello_reply, err);
    if (r) return r;
    choose_addresses(p, &reply.u.hello_reply);
    r = primary_disks_say(p, err);
    if (r) return r;

    m.u.data = (const uint8_t *)p->json;
    m.hdr.length = (uint32_t)strlen(p->json);
    r = boot_send(b, &m, err);
    if (!r) r = boot_recv(b, &m, &buf2, clock_ms() + BOOT_MS, err);
    if (!r && m.hdr.type != PROTO_READY)
        r = xlc_error_set(err, -EPROTO, "the other host answers %s to "
                          "CONFIG", proto_type_name(m.hdr.type));
    return r;
}

/* ----- dial ----- */

static int dial(struct primary *p, unsigned int i, uint8_t channel,
                struct conn **c_r, struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + CONN_ATTACH_MS;
    int fd = conn_dial(p->addr[i], p->port, deadline, err), r;

    if (fd < 0) return fd;
    r = conn_client(c_r, fd, &p->secret, channel, (uint8_t)i, 1, err);
    if (r) return r;
    r = conn_wait_ready(*c_r, deadline, err);
    if (r) {
        conn_free(steal_ptr(c_r));
        xlc_error_wrap(err, "%s port %u", p->addr[i], p->port);
    }
    return r;
}

/* One for each disk. */
static int dial_disks(struct primary *p, struct xlc_error *err)
{
    uint64_t deadline = clock_ms() + CONN_ATTACH_MS;
    int r = 0;

    for (unsigned int i = 0; i < p->disks.list.n && !r; i++) {
        struct conn *c = NULL;
        int fd = conn_dial(p->addr[0], p->port, deadline, err);

        if (fd < 0) return fd;
        r = conn_client(&c, fd, &p->secret, PROTO_CH_DISK, (uint8_t)i, 1,
                        err);
        if (r) return r;
        r = conn_wait_ready(c, deadline, err);
        if (r) conn_free(c);
        else r = primary_disks_relay(p, i, c, err);
        primary_heartbeat(p, clock_ms());
    }
    return r;
}

/* What the two proxies say to each other. */
static int dial_proxy(struct primary *p, struct xlc_error *err)
{
    struct conn *c = NULL;
    int r;

    if (!p->px) return 0;
    r = dial(p, 0, PROTO_CH_PROXY, &c, err);
    if (!r) primary_redial_begin(p, c);
    if (!r) r = primary_proxy_peer(p, c, err);
    primary_heartbeat(p, clock_ms());
    return r;
}

/* The other side counts our silence from the first connection on. A path that
 * nobody answers on takes its time to fail, so the others come first, and the
 * one that must work directly before the loop. The ssh command keeps the
 * other side waiting meanwhile. */
static int dial_all(struct primary *p, struct xlc_error *err)
{
    int r;

    for (unsigned int i = p->naddr; i-- > 1;) {
        struct xlc_error e = XLC_ERROR_INIT;

        if (dial(p, i, PROTO_CH_CTRL, &p->ctrl[i], &e))
            log_warn("%s; going on without this path", e.msg);
        primary_heartbeat(p, clock_ms());
    }
    r = dial(p, 0, PROTO_CH_CTRL, &p->ctrl[0], err);
    if (!r) r = dial(p, 0, PROTO_CH_DATA, &p->data, err);
    if (!r) r = dial_disks(p, err);
    if (!r) r = dial_proxy(p, err);
    return r ? r : conn_blocking(p->data, err);
}

/* Add the address at the other end of @c, as a number. */
static void add_numeric(struct glink_peer *peer, const struct conn *c)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char *to = peer->addr[peer->naddr];

    if (!getpeername(conn_fd(c), (struct sockaddr *)&ss, &len) &&
        !getnameinfo((struct sockaddr *)&ss, len, to, GLINK_ADDR_MAX, NULL, 0,
                     NI_NUMERICHOST))
        peer->naddr++;
}

/* What the guard needs to make a connection of its own: the addresses that
 * work, so that it never has to look up a name. */
static void tell_guard(struct primary *p)
{
    struct shared *sh = p->sh;

    sh->peer = (struct glink_peer){ .secret = p->secret, .port = p->port };
    for (unsigned int i = 0; i < p->naddr; i++)
        if (p->ctrl[i]) add_numeric(&sh->peer, p->ctrl[i]);
    sh->generation = p->rec.generation;
    sh->heartbeat_ms = p->o->heartbeat_ms;
    sh->limit_ms = p->o->limit_ms;
    sh->linked = true;
}

int primary_boot(struct primary *p, struct xlc_error *err)
{
    struct boot *b = &p->boot;
    int r;

    p->secret.plaintext = p->o->plaintext;
    if (gnutls_rnd(GNUTLS_RND_KEY, p->secret.key, PROTO_KEY_LEN) ||
        gnutls_rnd(GNUTLS_RND_NONCE, p->secret.session, PROTO_SESSION_LEN))
        return xlc_error_set(err, -EIO, "no random numbers from GnuTLS");
    r = boot_spawn(b, p->o->ssh, p->o->host, p->o->verbose, err);
    return r ? r : converse(p, b, err);
}

/* From here on the other side counts our silence: nothing that takes long
 * may come between this and the loop. */
int primary_dial(struct primary *p, struct xlc_error *err)
{
    int r;

    p->dialled = true;
    primary_clock_begin(p);
    r = dial_all(p, err);
    boot_close(&p->boot);
    if (r) return r;
    paths_init(&p->paths, p->o->limit_ms, clock_ms());
    tell_guard(p);
    if (p->o->plaintext)
        log_warn("%s: --plaintext: the guest's memory crosses the network "
                 "unencrypted", p->rec.name);
    log_warn("%s: there is no arbiter: if ALL paths between the hosts are "
             "cut while both live, both will run the guest", p->rec.name);
    return 0;
}

/* Send DROP on every path and hear what is said. Return: true if the other
 * side has answered, or nobody is left to answer */
static bool ask_once(struct primary *p)
{
    const struct proto_msg drop = {
        .hdr.type = PROTO_DROP, .u.verdict.reason = PROTO_WHY_ERROR,
    };
    bool answered = false, any = false;

    for (unsigned int i = 0; i < p->naddr; i++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct proto_msg m;
        int io;

        if (!p->ctrl[i]) continue;
        conn_send(p->ctrl[i], &drop);
        io = conn_io(p->ctrl[i], &e);
        while (conn_recv(p->ctrl[i], &m, &e) > 0)
            answered |= m.hdr.type == PROTO_DROPPED ||
                        m.hdr.type == PROTO_FAILED;
        if (io) conn_free(steal_ptr(&p->ctrl[i]));
        else any = true;
    }
    return answered || !any;
}

/* The start failed after the other side had prepared itself: it need not wait
 * for nothing. */
void primary_goodbye(struct primary *p)
{
    const struct timespec nap = { 0, 50000000 };
    uint64_t deadline = clock_ms() + GOODBYE_MS;
    bool linked = false;

    if (!p->booted) return;
    for (unsigned int i = 0; i < p->naddr && !p->dialled && !linked; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        linked = !dial(p, i, PROTO_CH_CTRL, &p->ctrl[i], &e);
        if (!linked) log_debug("%s: %s", p->rec.name, e.msg);
    }
    for (unsigned int i = 0; i < p->naddr; i++)
        linked |= p->ctrl[i] != NULL;
    if (!linked) {
        log_warn("%s: the other host can't be told; it gives up by itself "
                 "within half a minute", p->rec.name);
        return;
    }
    while (!ask_once(p) && clock_ms() < deadline)
        nanosleep(&nap, NULL);
}

void primary_unlink(struct primary *p)
{
    boot_close(&p->boot);
    for (unsigned int i = 0; i < p->naddr; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        if (p->ctrl[i]) conn_io(p->ctrl[i], &e); /* a last word, if any */
        conn_free(steal_ptr(&p->ctrl[i]));
    }
    conn_free(steal_ptr(&p->data));
}

/* ----- frames ----- */

static void lose_path(struct primary *p, unsigned int i, const char *why)
{
    log_warn("%s: path %s: %s", p->rec.name, p->addr[i], why);
    conn_free(steal_ptr(&p->ctrl[i]));
}

static void send_on(struct primary *p, unsigned int i,
                    const struct proto_msg *m)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!p->ctrl[i]) return;
    if (conn_send(p->ctrl[i], m) == -EAGAIN) return; /* it does not read */
    if (conn_io(p->ctrl[i], &e)) {
        /* What it said before the end is still to be read: primary_read()
         * sees the same error after that. */
        log_debug("%s: path %s: %s", p->rec.name, p->addr[i], e.msg);
    }
}

static void heartbeat_msg(struct primary *p, struct proto_msg *m,
                          uint64_t now_ms)
{
    struct proto_heartbeat *h = &m->u.heartbeat;

    *m = (struct proto_msg){ .hdr.type = PROTO_HEARTBEAT };
    h->seq = ++p->heartbeat_seq;
    LOCK_SCOPE(&p->lock);
    h->accepted = p->m.acked;
    h->applied = p->m.acked;
    h->idle_ms = (uint32_t)(now_ms - p->moved_ms);
    if (p->suspended_since_ms && now_ms > p->suspended_since_ms)
        h->suspended_ms = (uint32_t)(now_ms - p->suspended_since_ms);
    h->state = prim_state_wire(p->m.state);
}

void primary_heartbeat(struct primary *p, uint64_t now_ms)
{
    struct proto_msg m;

    if (now_ms < p->next_beat_ms) return;
    p->next_beat_ms = now_ms + p->o->heartbeat_ms;
    heartbeat_msg(p, &m, now_ms);
    for (unsigned int i = 0; i < p->naddr; i++)
        send_on(p, i, &m);
    primary_clock_msg(p, &m);
    for (unsigned int i = 0; i < p->naddr; i++)
        send_on(p, i, &m);
    pthread_mutex_lock(&p->lock);
    p->said = 0; /* what stands is said again */
    pthread_mutex_unlock(&p->lock);
}

/* Decisions go out at once on every path, and again with each heartbeat
 * for as long as they stand. */
void primary_say(struct primary *p)
{
    static const struct {
        unsigned int bit;
        uint16_t type;
    } says[] = {
        { PRIM_DO_SEND_DROP, PROTO_DROP },
        { PRIM_DO_SEND_END, PROTO_END },
        { PRIM_DO_SEND_YOURS, PROTO_YOURS },
        { PRIM_DO_SEND_NOSWAP, PROTO_SWAP_REFUSED },
    };
    struct proto_msg m = { .hdr.type = 0 };
    uint64_t acked, last;
    unsigned int due;

    pthread_mutex_lock(&p->lock);
    due = p->say & ~p->said;
    p->say &= ~(unsigned int)PRIM_DO_SEND_NOSWAP; /* once is enough */
    p->said = p->say;
    acked = p->m.acked;
    last = p->last_epoch;
    m.u.verdict.reason = p->m.why;
    m.u.verdict.generation = p->rec.generation;
    pthread_mutex_unlock(&p->lock);
    for (unsigned int k = 0; k < sizeof(says) / sizeof(says[0]); k++) {
        if (!(due & says[k].bit)) continue;
        m.hdr.type = says[k].type;
        m.hdr.epoch = last && m.hdr.type == PROTO_END ? last : acked;
        for (unsigned int i = 0; i < p->naddr; i++)
            send_on(p, i, &m);
    }
}

static void remember_text(struct primary *p, const struct proto_msg *m)
{
    if (!m->u.verdict.text[0]) return;
    snprintf(p->peer_text, sizeof(p->peer_text), "%s", m->u.verdict.text);
    log_warn("%s: the other host says: %s", p->rec.name, p->peer_text);
}

/* A heartbeat tells what an answer that was lost would have told. */
static void on_peer_state(struct primary *p, uint8_t state)
{
    switch (state) {
    case PROTO_SEC_OPENING:
        primary_event(p, PRIM_EV_TAKING, 0);
        break;
    case PROTO_SEC_OPEN:
    case PROTO_SEC_ASIDE:
    case PROTO_SEC_OVER: /* it ran there, whatever came of it */
        primary_event(p, PRIM_EV_PROMOTED, 0);
        break;
    case PROTO_SEC_DROPPED:
        primary_event(p, PRIM_EV_DROPPED, 0);
        break;
    case PROTO_SEC_FAILED:
        primary_event(p, PRIM_EV_FAILED, 0);
        break;
    default:
        break;
    }
}

static void dispatch(struct primary *p, const struct proto_msg *m)
{
    switch (m->hdr.type) {
    case PROTO_HEARTBEAT:
        p->peer_beat = m->u.heartbeat;
        on_peer_state(p, m->u.heartbeat.state);
        break;
    case PROTO_CLOCK:
        primary_clock_heard(p, &m->u.clock);
        break;
    case PROTO_ACK:
        primary_event(p, PRIM_EV_ACK, m->hdr.epoch);
        break;
    case PROTO_DROPPED:
        primary_event(p, PRIM_EV_DROPPED, 0);
        break;
    case PROTO_ENDED:
        primary_event(p, PRIM_EV_ENDED, 0);
        break;
    case PROTO_FAILED:
        remember_text(p, m);
        primary_event(p, PRIM_EV_FAILED, 0);
        break;
    case PROTO_SWAP:
        primary_event(p, PRIM_EV_SWAP, 0);
        break;
    case PROTO_PROMOTED:
        remember_text(p, m);
        if (m->u.verdict.generation > p->rec.generation)
            p->rec.generation = m->u.verdict.generation;
        primary_event(p, PRIM_EV_PROMOTED, 0);
        break;
    default:
        log_warn("%s: the other host sent %s, which it may not", p->rec.name,
                 proto_type_name(m->hdr.type));
        primary_event(p, PRIM_EV_LINK_ERROR, 0);
    }
}

void primary_read(struct primary *p, unsigned int i, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT, e2 = XLC_ERROR_INIT;
    struct proto_msg m;
    int io = conn_io(p->ctrl[i], &e), r;

    while ((r = conn_recv(p->ctrl[i], &m, &e2)) > 0) {
        paths_heard(&p->paths, i, now_ms);
        dispatch(p, &m);
    }
    if (r < 0) {
        lose_path(p, i, e2.msg);
        primary_event(p, PRIM_EV_LINK_ERROR, 0);
    } else if (io) {
        lose_path(p, i, e.msg);
    }
}

void primary_data_ended(struct primary *p)
{
    struct prim m;

    pthread_mutex_lock(&p->lock);
    m = p->m;
    pthread_mutex_unlock(&p->lock);
    /* The other host also ends it once it was told that all is over. */
    if (prim_event(&m, PRIM_EV_LINK_ERROR, 0))
        log_warn("%s: the data connection broke", p->rec.name);
    p->data_broken = true;
    conn_shutdown(p->data); /* whoever writes to it notices */
    primary_event(p, PRIM_EV_LINK_ERROR, 0);
}
