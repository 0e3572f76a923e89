/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary-compare.c - When the primary makes a checkpoint, and what for */
#include <config.h>

#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "events.h"
#include "log.h"
#include "primary-proxy-internal.h"

/* A line about held packets comes about so often. */
#define HOLD_MS 1000u
/* After so many attempts, about 50 s, it may well never be there again. */
#define TRIES_MANY 8u

static void begin(struct event *e, const struct primary *p, const char *kind)
{
    event_begin(e, kind, p->rec.name, "primary");
}

/* How long output may wait for the copy to be connected, at least and at
 * most: twice what that took the last time, and twice as long, up to so often,
 * after an epoch in which it never was. A checkpoint before that would only
 * begin the wait again. */
#define PLUG_MS_MIN 2000u
#define PLUG_MS_MAX 15000u
#define PLUG_WIDER  2u

static uint64_t plug_ns(const struct primary_proxy *x)
{
    uint64_t us = 2 * x->lag_us;

    if (us < PLUG_MS_MIN * 1000u) us = PLUG_MS_MIN * 1000u;
    us <<= x->wider;
    if (us > PLUG_MS_MAX * 1000u) us = PLUG_MS_MAX * 1000u;
    return us * 1000u;
}

/* Tell the comparison its limits. With nb_lock held. */
static void set_limits(struct primary *p)
{
    struct xlc_error e = XLC_ERROR_INIT;

    p->px->limits = false;
    if (p->px->proxy &&
        proxy_primary_limits(p->px->proxy,
                             (uint64_t)p->live.late_limit_ms * 1000000u,
                             plug_ns(p->px), &e))
        primary_proxy_trouble(p, "setting the limits", &e);
}

static void set_plug(struct primary_proxy *x, uint64_t lag_us,
                     unsigned int wider)
{
    uint64_t was = plug_ns(x);

    x->lag_us = lag_us;
    x->wider = wider;
    x->limits |= plug_ns(x) != was;
}

/* The copy was back after @us. */
static void take_lag(struct primary_proxy *x, uint64_t us)
{
    set_plug(x, us, 0);
    policy_lag(&x->pol, us);
}

/* It was not back when its epoch ended after @us; of a short one that says
 * nothing. */
static void never_back(struct primary_proxy *x, uint64_t us)
{
    if (us * 1000u >= plug_ns(x) && x->wider < PLUG_WIDER)
        set_plug(x, x->lag_us, x->wider + 1);
    if (us > (uint64_t)x->pol.set.lag_limit_ms * 1000u)
        policy_lag(&x->pol, us);
}

/* ----- the steps of a checkpoint ----- */

void primary_compare_begin(struct primary *p)
{
    /* The copy does not run before it has an epoch. */
    policy_init(&p->px->pol, &p->live, false, clock_us());
}

enum policy_mode primary_compare_suspend(struct primary *p)
{
    struct primary_proxy *x = p->px;
    uint64_t now = clock_us();

    if (x->pol.mode == POLICY_RUNNING && x->epoch && x->lagged < x->epoch)
        never_back(x, now - x->cut_us);
    x->cause = policy_suspend(&x->pol, now);
    x->flow[0] = 0;
    if (x->cause >= POLICY_MISCOMPARE && x->cause <= POLICY_FULL)
        wants_flow(x->flow, x->want_vif, &x->want);
    if (x->epoch) p->cause = policy_cause_name(x->cause);
    return x->pol.next;
}

void primary_compare_resumed(struct primary *p)
{
    enum policy_mode mode = p->px->pol.mode;
    enum policy_why why = p->px->why;
    struct event e;

    if (!why) return;
    p->px->why = POLICY_STAY;
    log_info("%s: %s: %s", p->rec.name, mode == POLICY_RUNNING ?
             "the copy runs, packets are compared" :
             "the copy only takes checkpoints", policy_why_text(why));
    begin(&e, p, "mode");
    event_str(&e, "mode", policy_mode_name(mode));
    event_str(&e, "why", policy_why_name(why));
    event_str(&e, "text", policy_why_text(why));
    event_end(&e);
}

void primary_compare_cut(struct primary *p, uint64_t n)
{
    struct primary_proxy *x = p->px;

    x->mode_was = x->pol.mode;
    x->epoch = n;
    x->cut_us = clock_us();
    x->want.reason = COMPARE_OK;
    x->why = policy_cut(&x->pol, x->cut_us);
    /* Each time that the copy begins to run is a new try. */
    if (x->why && x->pol.mode == POLICY_RUNNING) set_plug(x, x->lag_us, 0);
}

void primary_compare_committed(struct primary *p)
{
    struct primary_proxy *x = p->px;

    policy_committed(&x->pol, clock_us());
    /* One from before the connection was made again says nothing: over that
     * the copy was told to stand still after it. */
    if (x->peer && !x->pol.alive && p->m.acked > x->since)
        policy_alive(&x->pol, true);
}

uint64_t primary_proxy_due_us(struct primary *p)
{
    struct primary_proxy *x = p->px;
    uint64_t now = clock_us();

    if (p->final_next) policy_ask(&x->pol, POLICY_FINAL, now);
    else if (p->demand) policy_ask(&x->pol, POLICY_DEMAND, now);
    return policy_when(&x->pol, now);
}

void primary_compare_lost(struct primary *p, const char *why)
{
    struct primary_proxy *x = p->px;
    struct event e;

    if (x->lost) return;
    x->lost = true;
    x->peer = false;
    snprintf(x->lost_why, sizeof(x->lost_why), "%s", why);
    policy_alive(&x->pol, false);
    log_warn("%s: packets are not compared now, checkpoints go on: %s",
             p->rec.name, why);
    begin(&e, p, "note");
    event_str(&e, "text", why);
    event_str(&e, "level", "warning");
    event_end(&e);
    pthread_cond_broadcast(&p->cond);
}

void primary_proxy_set(struct primary *p)
{
    if (!p->px) return;
    p->px->pol.set = p->live;
    p->px->limits = true; /* the main thread's next turn */
}

/* ----- the main thread ----- */

int primary_proxy_fd(const struct primary *p)
{
    return p->px ? p->px->event_fd : -1;
}

/* With nb_lock held. Return: true if @st is new */
static bool ask_proxy(struct primary *p, struct proxy_primary_status *st)
{
    struct xlc_error e = XLC_ERROR_INIT;

    p->px->moved = false;
    if (!p->px->proxy) return false;
    if (!proxy_primary_status(p->px->proxy, st, &e)) return true;
    primary_proxy_trouble(p, "the proxy", &e);
    return false;
}

/* What it said is about the epoch that runs now, or too late to matter. */
static void take_status(struct primary *p,
                        const struct proxy_primary_status *st)
{
    struct primary_proxy *x = p->px;
    enum policy_cause cause = wants_cause(st->want.reason);

    x->st = *st;
    if (x->peer && !st->peer)
        primary_compare_lost(p, st->err.msg[0] ? st->err.msg :
                             "the other host's proxy is gone");
    if (st->ports_lost) primary_proxy_trouble(p, "the proxy", &st->err);
    if (st->epoch != x->epoch) return;
    if (st->connected && x->lagged != st->epoch) {
        x->lagged = st->epoch;
        take_lag(x, st->lag_us);
    }
    if (cause == POLICY_NOTHING) return;
    x->want = st->want;
    x->want_vif = st->want_vif;
    policy_ask(&x->pol, cause, clock_us());
    pthread_cond_broadcast(&p->cond);
}

/* What left lately, to the policy, which may want a checkpoint for it. With
 * nb_lock held. */
static void take_held(struct primary *p, struct proxy_primary_held *h)
{
    struct policy_left l;

    if (!p->px->proxy || proxy_primary_held(p->px->proxy, h, NULL))
        *h = (struct proxy_primary_held){ 0 };
    l = (struct policy_left){ h->packets, h->held_us, h->said, h->acked };
    if (!l.packets && !l.out && !l.in) return;
    policy_released(&p->px->pol, &l, clock_us());
    pthread_cond_broadcast(&p->cond);
    if (!p->m.cut) h->packets = 0; /* nothing was held yet */
}

/* A cut of a suspended guest waits for no line. */
static void tell_held(const struct primary *p,
                      const struct proxy_primary_held *h,
                      enum policy_mode mode)
{
    struct event e;

    if (!h->packets) return;
    begin(&e, p, "hold");
    event_uint(&e, "packets", h->packets);
    event_uint(&e, "mean_us", h->held_us / h->packets);
    event_uint(&e, "max_us", h->longest_us);
    event_str(&e, "mode", policy_mode_name(mode));
    event_end(&e);
}

/* With the lock held. */
static void turn(struct primary *p, uint64_t now_ms,
                 struct proxy_primary_held *h)
{
    struct primary_proxy *x = p->px;
    struct proxy_primary_status st;

    /* Heartbeats do not wait for a cut or a tear-down: the next turn does. */
    if (pthread_mutex_trylock(&p->nb_lock)) return;
    if (x->moved && ask_proxy(p, &st)) take_status(p, &st);
    if (x->limits) set_limits(p);
    if (now_ms >= x->hold_ms) {
        x->hold_ms = now_ms + HOLD_MS;
        take_held(p, h);
    }
    pthread_mutex_unlock(&p->nb_lock);
}

void primary_proxy_turn(struct primary *p, bool moved, uint64_t now_ms)
{
    struct primary_proxy *x = p->px;
    struct proxy_primary_held h = { 0 };
    enum policy_mode mode;
    uint64_t n;

    if (!x) return;
    if (moved && read(x->event_fd, &n, sizeof(n)) > 0) x->moved = true;
    pthread_mutex_lock(&p->lock);
    turn(p, now_ms, &h);
    mode = x->pol.mode;
    pthread_mutex_unlock(&p->lock);
    tell_held(p, &h, mode);
}

/* ----- the status ----- */

enum policy_mode primary_proxy_mode(const struct primary *p)
{
    return p->px ? p->px->mode_was : POLICY_PASSIVE;
}

const char *primary_proxy_flow(const struct primary *p)
{
    return p->px && p->px->flow[0] ? p->px->flow : NULL;
}

/* A tear-down may take its time; the status does not wait for it. */
static void refresh(struct primary *p)
{
    if (pthread_mutex_trylock(&p->nb_lock)) return;
    if (p->px->proxy)
        proxy_primary_status(p->px->proxy, &p->px->st, NULL);
    pthread_mutex_unlock(&p->nb_lock);
}

bool primary_proxy_held(struct primary *p, uint64_t *packets,
                        uint64_t *bytes)
{
    if (!p->px) return false;
    *packets = p->px->st.compare.held;
    *bytes = p->px->st.compare.held_bytes;
    return true;
}

static void put_causes(const struct policy *pol, struct json *j)
{
    json_object(j, "causes");
    for (unsigned int c = POLICY_INTERVAL; c < POLICY_NCAUSES; c++)
        json_uint(j, policy_cause_name((enum policy_cause)c),
                  pol->causes[c]);
    json_object_end(j);
}

static void put_compared(const struct primary_proxy *x, struct json *j)
{
    const struct compare_stats *c = &x->st.compare;
    uint64_t differ = 0;

    for (unsigned int r = 0; r < COMPARE_NREASONS; r++)
        if (wants_cause((enum compare_reason)r) == POLICY_MISCOMPARE)
            differ += c->wanted[r];
    json_uint(j, "miscompares_total", differ);
    json_uint(j, "compared_packets", c->compared);
    json_uint(j, "released_packets", c->released);
    json_uint(j, "held_packets", c->held);
    json_uint(j, "held_bytes", c->held_bytes);
    json_uint(j, "teed_packets", x->st.in_teed);
    json_uint(j, "lost_packets", x->st.in_lost + x->st.out_lost);
    json_uint(j, "flows", c->flows);
    json_uint(j, "sent_bytes", x->st.sent);
    json_uint(j, "received_bytes", x->st.received);
}

void primary_proxy_json(struct primary *p, struct json *j)
{
    struct primary_proxy *x = p->px;
    uint64_t now = clock_us();

    if (!x) return;
    refresh(p);
    json_object(j, "colo");
    json_str(j, "wish", policy_wish_name(x->pol.set.wish));
    json_str(j, "mode", policy_mode_name(x->pol.mode));
    json_bool(j, "peer", x->st.peer && x->st.greeted);
    json_uint(j, "peer_losses_total", x->redial.losses);
    json_uint(j, "peer_tries", x->redial.lost ? x->redial.tries : 0);
    json_uint(j, "peer_retry_ms", redial_wait_ms(&x->redial, clock_ms()));
    json_uint(j, "switches_total", x->pol.switches);
    json_uint(j, "probes_total", x->pol.probes);
    put_causes(&x->pol, j);
    json_str(j, "last_cause", !x->epoch ? "none" : p->cause ? p->cause :
             "first");
    json_str(j, "last_flow", x->flow);
    json_uint(j, "run_us", x->pol.run_us);
    json_uint(j, "lag_us", x->lag_us);
    json_uint(j, "held_colo_us",
              policy_held_us(&x->pol, POLICY_RUNNING, now));
    json_uint(j, "held_passive_us",
              policy_held_us(&x->pol, POLICY_PASSIVE, now));
    put_compared(x, j);
    json_object_end(j);
}

/* Why the other proxy is not there, and what is done about it. */
bool primary_proxy_warning(const struct primary *p, char *text, size_t size)
{
    const struct primary_proxy *x = p->px;
    const struct redial *r;

    if (!x || !x->lost) return false;
    r = &x->redial;
    if (!(p->caps & PROTO_CAP_PROXY_AGAIN))
        snprintf(text, size, "packets are not compared any more: the "
                 "connection of the two proxies broke (%s); checkpoints go "
                 "on, as with --mode=remus; the other host's version does "
                 "not let it be made again: protect anew to compare again",
                 x->lost_why);
    else
        snprintf(text, size, "packets are not compared now: the connection "
                 "of the two proxies broke (%s); checkpoints go on, as with "
                 "--mode=remus; it is tried again, %u times so far%s%s%s",
                 x->lost_why, r->tries, r->tries ? ": " : "",
                 r->tries ? r->why.msg : "", r->tries < TRIES_MANY ? "" :
                 "; if it stays so, protect anew to compare again (the other "
                 "host's log may say why)");
    return true;
}
