/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reunion.c - Look for the copy that may run on the other host */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "control.h"
#include "json.h"
#include "log.h"
#include "prim.h"
#include "proto.h"
#include "record.h"
#include "reunion.h"

/* Between two heartbeats: the other side decides nothing by our silence. */
#define BEAT_MS 1000u
/* The longest pause between two attempts to reach it. */
#define BACKOFF_MAX_MS 5000u
/* A guest that reboots is gone for a moment. */
#define GONE_MS 30000u

/**
 * struct state - of one reunion_run()
 * @here, @domid: what look() said last; @gone_ms: since when it is gone, or 0
 * @heard: the other side was heard; @there: its state
 * @generation: of its record; @met: its copy stands aside for ours
 * @over: nothing is left to look for
 */
struct state {
    const struct reunion *r;
    struct glink link;
    struct control *control;
    enum reunion_here here;
    uint32_t domid;
    uint64_t look_ms, gone_ms, generation;
    bool heard, met, over;
    uint8_t there;
};

/* What this host remembers. @generation: at least so high, from here on. */
static void record(const struct reunion *r, const char *state,
                   uint64_t generation)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct record rec;

    if (record_load(&rec, r->uuid, &e) || !rec.generation) return;
    snprintf(rec.state, sizeof(rec.state), "%s", state);
    if (rec.generation < generation) rec.generation = generation;
    if (record_save(&rec, &e)) log_error("%s: %s", r->name, e.msg);
}

/* What it means here that the other copy will not run any more. */
static const char *ending(const struct state *s)
{
    bool ran = s->there == PROTO_SEC_OVER;

    if (s->here != REUNION_STILL)
        return ran ? "the other copy ran and is gone; this one goes on" :
               "the other copy never ran; this one goes on";
    return ran ? "the other copy ran and is gone; this one stands still and "
           "is older: `xl destroy` it, unless that one is a loss" :
           "the other copy never ran; this one stands still: `xl "
           "remus-stop --resume` lets it go on";
}

/* The other side's state, when it has changed. */
static void on_state(struct state *s, uint8_t there)
{
    const struct reunion *r = s->r;

    if (s->heard && there == s->there) return;
    s->heard = true;
    s->there = there;
    switch (there) {
    case PROTO_SEC_ASIDE:
        s->met = true;
        log_error("%s: %s took it over while all paths between the hosts "
                  "were cut, and both copies ran; the one there is paused "
                  "and off its bridge now, the one here goes on. To keep "
                  "this one: `xl destroy %s` on %s. To keep that one: `xl "
                  "destroy %s` here, then `xl unpause %s` there", r->name,
                  r->host, r->name, r->host, r->name, r->name);
        record(r, "split", 0);
        /* The switches heard that copy last. */
        if (s->here == REUNION_RUNS) r->announce(r->opaque, s->domid);
        break;
    case PROTO_SEC_OPEN:
        if (s->met)
            log_warn("%s: the copy on %s was let go again", r->name,
                     r->host);
        /* RULES A7: theirs is newer, whatever is heard of them later. */
        diskserve_claim(&r->disks, "passed", r->name);
        s->met = false;
        if (s->here == REUNION_STILL)
            log_error("%s: %s runs it; the one here stands still: `xl "
                      "destroy %s`", r->name, r->host, r->name);
        break;
    case PROTO_SEC_OVER:
    case PROTO_SEC_DROPPED:
    case PROTO_SEC_FAILED:
        log_warn("%s: %s", r->name, ending(s));
        /* The administrator took this history: it is the newest now, or
         * the other host would refuse it. */
        if (s->met)
            record(r, xlc_outcome_name(XLC_PEER_LOST), s->generation + 1);
        s->met = false;
        s->over = true;
        break;
    default: /* it will hear that we go on, and drop its copy */
        break;
    }
}

static void look(struct state *s, uint64_t now)
{
    if (now < s->look_ms) return;
    s->look_ms = now + BEAT_MS;
    s->here = s->r->look(s->r->opaque, &s->domid);
    if (s->here != REUNION_GONE) s->gone_ms = 0;
    else if (!s->gone_ms) s->gone_ms = now;
    if (s->gone_ms && now >= s->gone_ms + GONE_MS) s->over = true;
}

/* Nothing but what is true now. */
static const enum prim_state states[] = {
    [REUNION_RUNS] = PRIM_SOLO,
    [REUNION_STILL] = PRIM_STUCK,
    [REUNION_GONE] = PRIM_GONE,
};

static uint8_t true_state(const struct state *s)
{
    return prim_state_wire(states[s->here]);
}

static void converse(struct state *s, uint64_t now)
{
    struct proto_msg m;

    if (glink_turn(&s->link, now)) {
        const struct proto_attached *a = conn_attached(s->link.conn);

        log_info("%s: %s is heard again", s->r->name, s->r->host);
        s->generation = a->generation;
        on_state(s, a->state);
    }
    while (glink_recv(&s->link, &m, now))
        if (m.hdr.type == PROTO_HEARTBEAT)
            on_state(s, m.u.heartbeat.state);
    glink_beat(&s->link, now, BEAT_MS, true_state(s), s->r->acked);
}

/* ----- whoever asks ----- */

static void put_warnings(const struct state *s, struct json *j)
{
    char text[1024];

    json_array(j, "warnings");
    if (s->here == REUNION_STILL)
        json_str(j, NULL, "it stands still here, because the other host may "
                 "run it: look there; then `xl destroy`, or `xl remus-stop "
                 "--resume`");
    if (s->met)
        snprintf(text, sizeof(text), "two copies ran: the one on %s is "
                 "paused and off its bridge, this one goes on; to keep this "
                 "one, `xl destroy` that one; to keep that one, `xl destroy` "
                 "this one and `xl unpause` that one", s->r->host);
    else
        snprintf(text, sizeof(text), "%s went silent and never said that its "
                 "copy will not run: it may run there too; looking for it",
                 s->r->host);
    json_str(j, NULL, text);
    json_array_end(j);
}

static char *status(const struct state *s)
{
    const struct reunion *r = s->r;
    struct json j;

    json_begin(&j);
    json_int(&j, "rc", 0);
    json_str(&j, "domain", r->name);
    json_str(&j, "uuid", r->uuid);
    json_uint(&j, "domid", s->domid);
    json_str(&j, "role", "primary");
    json_str(&j, "state", prim_state_name(states[s->here]));
    json_bool(&j, "protected", false);
    json_bool(&j, "split", s->met);
    json_str(&j, "peer", r->host);
    json_str(&j, "mode", "remus");
    json_uint(&j, "generation", r->generation);
    json_uint(&j, "epoch_committed", r->acked);
    json_str(&j, "link", r->peer.secret.plaintext ? "plaintext" : "tls");
    json_str(&j, "arbiter", "none");
    json_int(&j, "pid", getpid());
    put_warnings(s, &j);
    return json_end(&j);
}

static void answer(struct state *s, const struct control_req *req)
{
    static const struct xlc_error ok = XLC_ERROR_INIT;
    struct xlc_error e = { -ENOTCONN, "the guest is not protected now" };
    CLEANUP_FREE char *text = NULL;

    switch (req->op) {
    case CONTROL_STATUS:
        text = status(s);
        if (text) control_reply(s->control, req->id, text);
        else control_reply_error(s->control, req->id, &e);
        return;
    case CONTROL_STOP:
    case CONTROL_SHUTDOWN:
    case CONTROL_REBOOT:
        s->over |= req->op == CONTROL_STOP;
        control_reply_error(s->control, req->id, &ok);
        return;
    default:
        control_reply_error(s->control, req->id, &e);
    }
}

/* ----- the loop ----- */

static void one_turn(struct state *s, int stop, int timeout)
{
    struct pollfd pfd[2 + CONTROL_FDS] = {
        { .fd = stop, .events = POLLIN },
        { .fd = glink_fd(&s->link), .events = glink_events(&s->link) },
    };
    unsigned int n = 2;
    struct control_req req;
    uint64_t now;

    if (s->control) n += control_pollfds(s->control, pfd + 2);
    if (poll(pfd, n, timeout) < 0) {
        if (errno != EINTR) log_error("poll: %s", strerror(errno));
        return;
    }
    now = clock_ms();
    if (pfd[0].revents) s->over = true;
    look(s, now);
    converse(s, now);
    while (s->control && control_next(s->control, pfd + 2, &req))
        answer(s, &req);
}

bool reunion_run(const struct reunion *r, int stop)
{
    struct state s = { .r = r };
    struct xlc_error e = XLC_ERROR_INIT;
    uint64_t until;

    glink_init(&s.link, &r->peer, r->incarnation, BACKOFF_MAX_MS);
    if (control_listen(&s.control, r->uuid, &e))
        log_warn("%s: `xl remus-status` won't show it: %s", r->name, e.msg);
    log_info("%s: looking for the other copy on %s", r->name, r->host);
    while (!s.over)
        one_turn(&s, stop, 100);
    /* Answers to who asked are local and few. */
    until = clock_ms() + 500;
    while (s.control && control_busy(s.control) && clock_ms() < until) {
        struct pollfd pfd[CONTROL_FDS];
        struct control_req req;

        if (poll(pfd, control_pollfds(s.control, pfd), 50) < 0) break;
        while (control_next(s.control, pfd, &req))
            answer(&s, &req);
    }
    if (s.link.ready && r->look(r->opaque, &s.domid) == REUNION_GONE) {
        s.here = REUNION_GONE;
        s.link.next_beat_ms = 0;
        glink_beat(&s.link, clock_ms(), BEAT_MS, true_state(&s), r->acked);
    }
    control_free(s.control);
    glink_close(&s.link);
    log_info("%s: not looking for another copy any more", r->name);
    return s.met;
}
