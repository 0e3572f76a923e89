/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary-link.c - The secondary's connections: accept, beat, dispatch */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "secondary.h"

/* A lobby full at a time: whoever goes on connecting does not keep us from
 * anything else. */
void secondary_accept(struct secondary *s, uint64_t now_ms)
{
    unsigned int before = s->lobby.evicted;

    for (unsigned int i = 0; i < LOBBY_MAX; i++) {
        struct xlc_error e = XLC_ERROR_INIT;
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0) break;
        if (lobby_enter(&s->lobby, fd, &s->secret, now_ms, &e) < 0)
            log_warn("%s: a connection: %s", s->rec.name, e.msg);
    }
    if (!before && s->lobby.evicted)
        log_warn("%s: strangers keep port %u busy; those who wait longest "
                 "are shown out", s->rec.name, s->port);
}

/* Where an attached connection belongs; NULL if nowhere. */
static struct conn **slot_of(struct secondary *s, const struct conn *c,
                             uint32_t **newest_r)
{
    unsigned int i = SECONDARY_GUARD;

    switch (conn_channel(c)) {
    case PROTO_CH_DATA:
        /* It comes once. Who came in place of another process
         * (secondary-resume.c) has no copy that is being built. */
        if (s->data || !s->restore || s->m.state != SEC_SYNCING) return NULL;
        *newest_r = &s->newest_data;
        return &s->data;
    case PROTO_CH_CTRL:
        i = conn_path(c);
        if (i >= SECONDARY_GUARD) return NULL;
        break;
    case PROTO_CH_GUARD:
        break;
    default:
        return NULL;
    }
    *newest_r = &s->newest[i];
    return &s->conns[i];
}

/* A disk's stream comes once, on a connection of its own. */
static bool disk_wanted(const struct secondary *s, const struct conn *c)
{
    return conn_channel(c) == PROTO_CH_DISK &&
           conn_path(c) < s->disks.list.n &&
           !s->disks.at[conn_path(c)].relay &&
           s->m.state == SEC_SYNCING;
}

/* So does the stream of the peer's proxy, unless the primary said that it may
 * make it again: a newer one takes the place of the older. */
static bool proxy_wanted(const struct secondary *s, const struct conn *c)
{
    if (conn_channel(c) != PROTO_CH_PROXY || conn_path(c) || !s->proxy ||
        conn_incarnation(c) <= s->newest_proxy)
        return false;
    if (!s->newest_proxy) return s->m.state == SEC_SYNCING;
    return s->hello.caps & PROTO_CAP_PROXY_AGAIN &&
           (s->m.state == SEC_SYNCING || s->m.state == SEC_PAIRED) &&
           secondary_proxy_lives(s->proxy);
}

/* The primary goes on trying, and can't know that it is in vain. */
static bool proxy_dead(const struct secondary *s, const struct conn *c)
{
    return conn_channel(c) == PROTO_CH_PROXY && s->proxy &&
           (s->m.state == SEC_SYNCING || s->m.state == SEC_PAIRED) &&
           !secondary_proxy_lives(s->proxy);
}

/* It has no place here. That a proxy is dead is said once. */
static int refuse(struct secondary *s, const struct conn *c,
                  struct xlc_error *err)
{
    if (!proxy_dead(s, c))
        return xlc_error_set(err, -EEXIST, "a second connection of the same "
                             "channel");
    if (s->proxy_refused) return -ESHUTDOWN;
    s->proxy_refused = true;
    return xlc_error_set(err, -ESHUTDOWN, "the primary's proxy wants to "
                         "compare packets again, but the proxy of this host "
                         "has ended by itself: checkpoints go on; protect "
                         "anew to compare packets (not said again)");
}

static int attach_proxy(struct secondary *s, struct conn *c,
                        struct xlc_error *err)
{
    int r;

    s->newest_proxy = conn_incarnation(c);
    r = secondary_proxy_attach(s->proxy, c, err);
    if (r) conn_free(c);
    return r;
}

/* RULES A7: the primary's images count as the newest once it hears that our
 * copy will not run; until ours are given back, they are of a newer
 * generation. With the lock held. */
static bool gives_back(const struct secondary *s)
{
    return s->taken && sec_out(&s->m);
}

/* What may be said of our copy now. One that is to stand aside has not done
 * so yet. Called with the lock held. */
static uint8_t true_state(const struct secondary *s)
{
    if (gives_back(s)) return PROTO_SEC_OPENING;
    return s->aside & SEC_DO_ASIDE ? PROTO_SEC_OPEN :
           sec_state_wire(s->m.state);
}

/* Everything about it is right: it takes its place. */
static int settle(struct secondary *s, unsigned int i, uint64_t now_ms,
                  struct xlc_error *err)
{
    struct proto_attached a = { .generation = s->rec.generation };
    uint32_t *newest = NULL;
    unsigned int opened;
    struct conn *c = s->lobby.conn[i], **slot = slot_of(s, c, &newest);
    bool disk = disk_wanted(s, c), proxy = proxy_wanted(s, c);
    int r;

    if (!disk && !proxy && (!slot || conn_incarnation(c) <= *newest))
        return refuse(s, c, err);
    pthread_mutex_lock(&s->lock);
    a.accepted = s->m.accepted;
    a.state = true_state(s);
    opened = s->m.opened;
    pthread_mutex_unlock(&s->lock);
    r = conn_send_attached(c, &a, err);
    if (!r) r = conn_io(c, err);
    if (r) return r;
    if (disk) return secondary_disks_attach(s, lobby_take(&s->lobby, i), err);
    if (proxy) return attach_proxy(s, lobby_take(&s->lobby, i), err);
    conn_free(*slot); /* an older incarnation is fenced (RULES A3) */
    *slot = lobby_take(&s->lobby, i);
    *newest = conn_incarnation(c);
    if (slot == &s->data) return secondary_start_data(s, err);
    i = (unsigned int)(slot - s->conns);
    s->born[i] = opened;
    paths_heard(&s->paths, i, now_ms);
    s->met = true;
    return 0;
}

void secondary_pending(struct secondary *s, unsigned int i, short revents,
                       uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (lobby_turn(&s->lobby, i, revents, now_ms, &e) &&
        settle(s, i, now_ms, &e))
        lobby_drop(&s->lobby, i);
    if (e.status)
        log_warn("%s: a connection was refused: %s", s->rec.name, e.msg);
}

/* A guest that was let go here is not taken aside for what was said before:
 * it may have waited while all paths were cut, and the primary's copy may be
 * gone by now. Return: false if a new connection must say it again */
static bool on_heartbeat(struct secondary *s, unsigned int i,
                         const struct proto_heartbeat *h)
{
    LOCK_SCOPE(&s->lock);
    if (h->state == PROTO_PRIM_SOLO && s->m.state == SEC_OPEN &&
        s->born[i] != s->m.opened)
        return false;
    s->peer_beat = *h;
    if (h->state == PROTO_PRIM_SOLO)
        secondary_event_locked(s, SEC_EV_SOLO, 0);
    return true;
}

/* RULES C3: but what is old by now would set the copy's clock back. */
static void on_clock(struct secondary *s, const struct proto_clock *c,
                     uint64_t now_ms)
{
    char text[96];

    if (!paths_fresh(&s->paths, now_ms)) return;
    LOCK_SCOPE(&s->lock);
    if (wallclock_heard(&s->clock, c, clock_wall_us()) &&
        wallclock_far(&s->clock, text, sizeof(text)))
        log_warn("%s: %s", s->rec.name, text);
}

/* Return: false if the connection is to be closed */
static bool dispatch(struct secondary *s, unsigned int i,
                     const struct proto_msg *m, uint64_t now_ms)
{
    enum sec_state was = s->m.state;

    switch (m->hdr.type) {
    case PROTO_HEARTBEAT:
        return on_heartbeat(s, i, &m->u.heartbeat);
    case PROTO_CLOCK:
        on_clock(s, &m->u.clock, now_ms);
        break;
    case PROTO_DROP:
        secondary_event(s, SEC_EV_DROP, 0);
        /* It is said again until it is answered. */
        if (s->m.state != was)
            log_info("%s: the primary goes on alone (%s)", s->rec.name,
                     proto_reason_text(m->u.verdict.reason));
        break;
    case PROTO_END:
        log_info("%s: the guest ended on the primary: %s", s->rec.name,
                 proto_reason_text(m->u.verdict.reason));
        pthread_mutex_lock(&s->lock);
        s->last_epoch = m->hdr.epoch;
        pthread_mutex_unlock(&s->lock);
        secondary_event(s, SEC_EV_END, 0);
        break;
    case PROTO_YOURS:
        secondary_event(s, SEC_EV_YOURS, m->hdr.epoch);
        break;
    case PROTO_SWAP_REFUSED:
        pthread_mutex_lock(&s->lock);
        s->say &= ~(unsigned int)SEC_DO_SEND_SWAP;
        pthread_mutex_unlock(&s->lock);
        if (s->waiter_used) {
            struct xlc_error e = { -EBUSY, "the primary does not hand the "
                                   "guest over now" };

            control_reply_error(s->control, s->waiter_id, &e);
            s->waiter_used = false;
        }
        break;
    default:
        log_warn("%s: the primary sent %s, which it may not", s->rec.name,
                 proto_type_name(m->hdr.type));
        secondary_event(s, SEC_EV_VIOLATION, 0);
    }
    return true;
}

void secondary_read(struct secondary *s, unsigned int i, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT, e2 = XLC_ERROR_INIT;
    struct proto_msg m;
    int io = conn_io(s->conns[i], &e), r;

    while ((r = conn_recv(s->conns[i], &m, &e2)) > 0) {
        paths_heard(&s->paths, i, now_ms);
        if (dispatch(s, i, &m, now_ms)) continue;
        log_info("%s: path %u: the primary went on alone; it is to say so "
                 "again on a new connection", s->rec.name, i);
        conn_free(steal_ptr(&s->conns[i]));
        return;
    }
    if (r >= 0 && !io) return;
    log_info("%s: path %u: %s", s->rec.name, i, r < 0 ? e2.msg : e.msg);
    conn_free(steal_ptr(&s->conns[i]));
    if (r < 0) secondary_event(s, SEC_EV_VIOLATION, 0);
}

static void send_all(struct secondary *s, const struct proto_msg *m)
{
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++) {
        struct xlc_error e = XLC_ERROR_INIT;

        if (!s->conns[i] || conn_send(s->conns[i], m)) continue;
        if (conn_io(s->conns[i], &e))
            log_debug("%s: path %u: %s", s->rec.name, i, e.msg);
    }
}

void secondary_heartbeat(struct secondary *s, uint64_t now_ms)
{
    struct proto_msg m = { .hdr.type = PROTO_HEARTBEAT };
    struct proto_heartbeat *h = &m.u.heartbeat;

    if (now_ms < s->next_beat_ms) return;
    s->next_beat_ms = now_ms + s->hello.heartbeat_ms;
    pthread_mutex_lock(&s->lock);
    h->seq = ++s->beat_seq;
    h->accepted = s->m.accepted;
    h->applied = s->m.applied;
    h->idle_ms = (uint32_t)(now_ms - s->moved_ms);
    h->state = true_state(s);
    s->said = 0; /* what stands is said again */
    if (s->m.acked) s->say |= SEC_DO_ACK; /* an ACK is cumulative */
    pthread_mutex_unlock(&s->lock);
    send_all(s, &m);
    m = (struct proto_msg){ .hdr.type = PROTO_CLOCK };
    m.u.clock.host_us = clock_wall_us();
    send_all(s, &m);
}

/* Answers and wishes go out at once, and again with each heartbeat. The ACK
 * is among them: RULES A3 holds because the machine alone sets @m.acked, and
 * never does after PAIRED. */
void secondary_say(struct secondary *s)
{
    static const struct {
        unsigned int bit;
        uint16_t type;
    } says[] = {
        { SEC_DO_ACK, PROTO_ACK },
        { SEC_DO_SEND_DROPPED, PROTO_DROPPED },
        { SEC_DO_SEND_ENDED, PROTO_ENDED },
        { SEC_DO_SEND_SWAP, PROTO_SWAP },
        { SEC_DO_SEND_PROMOTED, PROTO_PROMOTED },
        { SEC_DO_SEND_FAILED, PROTO_FAILED },
    };
    struct proto_msg m = { .hdr.type = 0 };
    uint64_t acked, applied;
    unsigned int due, later;
    char note[sizeof(s->note)];

    pthread_mutex_lock(&s->lock);
    later = gives_back(s) ? SEC_DO_SEND_DROPPED | SEC_DO_SEND_ENDED |
                            SEC_DO_SEND_FAILED : 0;
    due = s->say & ~s->said & ~later;
    s->said |= s->say & ~later;
    s->say &= ~(unsigned int)SEC_DO_ACK;
    if (s->m.state != SEC_PAIRED)
        due &= ~(unsigned int)(SEC_DO_ACK | SEC_DO_SEND_SWAP);
    acked = s->m.acked;
    applied = s->m.applied;
    memcpy(note, s->note, sizeof(note));
    pthread_mutex_unlock(&s->lock);
    for (unsigned int k = 0; k < sizeof(says) / sizeof(says[0]); k++) {
        if (!(due & says[k].bit)) continue;
        m = (struct proto_msg){ .hdr.type = says[k].type };
        m.hdr.epoch = acked;
        if (m.hdr.type == PROTO_ACK) {
            m.u.applied = applied;
        } else {
            m.u.verdict.generation = s->rec.generation;
            if (m.hdr.type == PROTO_FAILED)
                memcpy(m.u.verdict.text, note, sizeof(note));
        }
        send_all(s, &m);
    }
}

bool secondary_linked(const struct secondary *s)
{
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++)
        if (s->conns[i]) return true;
    return false;
}

bool secondary_heard(const struct secondary *s, uint64_t now_ms,
                     uint64_t within_ms)
{
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++)
        if (s->conns[i] && now_ms - s->paths.heard_ms[i] < within_ms)
            return true;
    return false;
}

void secondary_unlink(struct secondary *s)
{
    if (s->data) conn_shutdown(s->data);
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++)
        conn_free(steal_ptr(&s->conns[i]));
    lobby_clear(&s->lobby);
}
