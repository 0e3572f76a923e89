/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary-link.c - The secondary's connections: accept, beat, dispatch */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "prim.h"
#include "secondary.h"

void secondary_accept(struct secondary *s, uint64_t now_ms)
{
    for (;;) {
        struct xlc_error e = XLC_ERROR_INIT;
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        unsigned int i = 0;

        if (fd < 0) return;
        while (i < SECONDARY_PENDING && s->pending[i])
            i++;
        if (i == SECONDARY_PENDING) {
            close(fd); /* strangers keep us busy; ours tries again */
            continue;
        }
        if (conn_server(&s->pending[i], fd, &s->secret, &e))
            log_warn("%s: a connection: %s", s->rec.name, e.msg);
        s->pending_until[i] = now_ms + CONN_ATTACH_MS;
    }
}

/* Where an attached connection belongs; NULL if nowhere. */
static struct conn **slot_of(struct secondary *s, const struct conn *c,
                             uint32_t **newest_r)
{
    unsigned int i = SECONDARY_GUARD;

    switch (conn_channel(c)) {
    case PROTO_CH_DATA:
        *newest_r = &s->newest_data;
        return s->data ? NULL : &s->data; /* resuming comes later */
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

/* Everything about it is right: it takes its place. */
static int settle(struct secondary *s, unsigned int i, uint64_t now_ms,
                  struct xlc_error *err)
{
    struct proto_attached a = { .generation = s->rec.generation };
    uint32_t *newest = NULL;
    struct conn *c = s->pending[i], **slot = slot_of(s, c, &newest);
    int r;

    if (!slot || conn_incarnation(c) <= *newest)
        return xlc_error_set(err, -EEXIST, "a second connection of the same "
                             "channel");
    pthread_mutex_lock(&s->lock);
    a.accepted = s->m.accepted;
    a.state = (uint8_t)s->m.state;
    pthread_mutex_unlock(&s->lock);
    r = conn_send_attached(c, &a, err);
    if (!r) r = conn_io(c, err);
    if (r) return r;
    conn_free(*slot); /* an older incarnation is fenced (RULES A3) */
    *slot = steal_ptr(&s->pending[i]);
    *newest = conn_incarnation(c);
    if (slot == &s->data) return secondary_start_data(s, err);
    paths_heard(&s->paths, (unsigned int)(slot - s->conns), now_ms);
    s->met = true;
    return 0;
}

void secondary_pending(struct secondary *s, unsigned int i, short revents,
                       uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int r = 0;

    if (revents) r = conn_io(s->pending[i], &e);
    if (!r && conn_wants_attached(s->pending[i]))
        r = settle(s, i, now_ms, &e);
    if (!r && s->pending[i] && now_ms >= s->pending_until[i])
        r = xlc_error_set(&e, -ETIMEDOUT, "it did not attach in time");
    if (r) {
        log_warn("%s: a connection was refused: %s", s->rec.name, e.msg);
        conn_free(steal_ptr(&s->pending[i]));
    }
}

static void dispatch(struct secondary *s, const struct proto_msg *m)
{
    switch (m->hdr.type) {
    case PROTO_HEARTBEAT:
        s->peer_beat = m->u.heartbeat;
        if (m->u.heartbeat.state == PRIM_SOLO)
            secondary_event(s, SEC_EV_SOLO, 0);
        break;
    case PROTO_DROP:
        log_info("%s: the primary goes on alone (%s)", s->rec.name,
                 proto_reason_text(m->u.verdict.reason));
        secondary_event(s, SEC_EV_DROP, 0);
        break;
    case PROTO_END:
        log_info("%s: the guest ended on the primary: %s", s->rec.name,
                 proto_reason_text(m->u.verdict.reason));
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
}

void secondary_read(struct secondary *s, unsigned int i, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT, e2 = XLC_ERROR_INIT;
    struct proto_msg m;
    int io = conn_io(s->conns[i], &e), r;

    while ((r = conn_recv(s->conns[i], &m, &e2)) > 0) {
        paths_heard(&s->paths, i, now_ms);
        dispatch(s, &m);
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
    h->state = (uint8_t)s->m.state;
    s->said = 0; /* what stands is said again */
    if (s->m.acked) s->say |= SEC_DO_ACK; /* an ACK is cumulative */
    pthread_mutex_unlock(&s->lock);
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
    unsigned int due;
    char note[sizeof(s->note)];

    pthread_mutex_lock(&s->lock);
    due = s->say & ~s->said;
    s->said |= s->say;
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

void secondary_unlink(struct secondary *s)
{
    if (s->data) conn_shutdown(s->data);
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++)
        conn_free(steal_ptr(&s->conns[i]));
    for (unsigned int i = 0; i < SECONDARY_PENDING; i++)
        conn_free(steal_ptr(&s->pending[i]));
}
