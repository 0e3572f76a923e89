/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-model.c - Both machines and a network that breaks, at random
 *
 * Two hosts run prim.c and sec.c with the real paths.c over two ctrl paths
 * and a data connection. Each direction of each path may be cut and healed,
 * delays its packets, or dies; processes are stopped for a while; hosts lose
 * power; guests end; somebody asks for a stop or a planned failover; restores
 * fail. What the guest says is counted by epoch and goes through a model of
 * the plug qdisc. After each step the promises are checked:
 *
 *   1 output of an epoch leaves only if the secondary has accepted it or will
 *     never run, or all was silent
 *   2 never two running copies with a network, unless both sides were silent
 *     to each other; never at all while one direction works
 *   3 no epoch counts after DECIDING
 *   4 a guest whose end was confirmed never runs on the secondary
 *   5 after a planned failover exactly one runs
 *   6 when the network is gone, or somebody says stop, both machines end
 *   7 no step loses the guest on both hosts
 *   8 a copy that must stand still does
 *   9 two copies that run and can hear each other don't go on (RULES A2)
 *
 * Longer than the house allows: the two hosts and the network are one model.
 *
 * test-model [SEED]: with a seed, that one run, told step by step. In the
 * environment, XLC_MODEL_RUNS is how many.
 */
#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "paths.h"
#include "prim.h"
#include "proto.h"
#include "sec.h"
#include "tap.h"

#define RUNS      10000u /* or $XLC_MODEL_RUNS */
#define TICK_MS   10u
#define HEARTBEAT 100u
#define LIMIT     1000u
#define SEC_LIMIT (LIMIT + LIMIT / 2) /* in doubt S waits longer (A2) */
#define LINGER    (3 * LIMIT)
#define MIDDLE_MS 20000u
#define END_MS    45000u

enum msg { M_BEAT, M_ACK, M_DROPPED, M_ENDED, M_FAILED, M_SWAP, M_PROMOTED,
           M_DROP, M_END, M_YOURS, M_EPOCH, M_EPOCH_FINAL };

enum { P, S }; /* hosts; a pipe is named by its sender */
enum { CTRL0, CTRL1, DATA, NPATHS };
enum { CALM, ONE_WAY, ANY_CUT, TOTAL_CUT, NKINDS };

struct packet { uint64_t at, n; enum msg m; };
struct pipe { struct packet q[512]; unsigned int n; uint64_t last;
              bool cut, dead; };

struct world {
    uint64_t seed, rng, now;
    int kind;
    bool tell, beats_tell, failed, all_cut;
    struct pipe pipe[2][NPATHS];
    /* both hosts */
    struct paths paths[2];
    uint64_t stall[2], beat[2], linger[2];
    bool crashed[2], silent[2];
    /* the primary */
    struct prim prim;
    enum { RUNS_HERE, SUSPENDED, ENDED, DESTROYED } guest;
    bool capturing, final, want_final, stopped, plug_open, net_cut, taking;
    uint64_t cap_at, cap_end, cuts, held, held_closed, let_go, destroy_at;
    unsigned int saying;
    /* the secondary */
    struct sec sec;
    uint64_t fed, apply_at, open_at;
    bool copy_gone, copy_broke, ran, both_ran, ended_there;
};

static unsigned int stats_prim[PRIM_NSTATES], stats_sec[SEC_NSTATES];
static unsigned int stats_outcome[XLC_WORKER_DIED + 1], both_ran;

static uint32_t rnd(struct world *w, uint32_t below)
{
    w->rng ^= w->rng << 13, w->rng ^= w->rng >> 7, w->rng ^= w->rng << 17;
    return (uint32_t)((w->rng >> 11) % below);
}

static void __attribute__((format(printf, 2, 3)))
tell(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (!w->tell) return;
    printf("# %6" PRIu64 " %-10s %-10s cut %" PRIu64 " acked %" PRIu64
           " accepted %" PRIu64 ": ", w->now, prim_state_name(w->prim.state),
           sec_state_name(w->sec.state), w->prim.cut, w->prim.acked,
           w->sec.accepted);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static void must(struct world *w, bool good, const char *what)
{
    if (good || w->failed) return;
    w->failed = true;
    tell(w, "BROKEN");
    printf("# seed %" PRIu64 " at %" PRIu64 " ms: %s\n", w->seed, w->now,
           what);
}

/* ---- The network ------------------------------------------------------- */

static void send_on(struct world *w, int from, int path, enum msg m,
                    uint64_t n)
{
    struct pipe *p = &w->pipe[from][path];
    uint64_t at = w->now + rnd(w, rnd(w, 8) ? 20 : 150);

    if (p->dead) return;
    if (p->n == sizeof(p->q) / sizeof(p->q[0])) { /* send buffer is full */
        w->pipe[P][path].dead = w->pipe[S][path].dead = true;
        return;
    }
    if (at < p->last) at = p->last;
    p->last = at;
    p->q[p->n++] = (struct packet){ at, n, m };
}

static void say(struct world *w, int from, enum msg m, uint64_t n)
{
    for (int path = CTRL0; path <= CTRL1; path++)
        send_on(w, from, path, m, n);
}

static bool take(struct world *w, int from, int path, struct packet *r)
{
    struct pipe *p = &w->pipe[from][path];

    if (p->dead || p->cut || !p->n || p->q[0].at > w->now) return false;
    *r = p->q[0];
    memmove(p->q, p->q + 1, --p->n * sizeof(p->q[0]));
    return true;
}

/* ---- The primary ------------------------------------------------------- */

static bool sec_never(const struct world *w)
{
    return sec_out(&w->sec) || w->crashed[S];
}

/* Output of epochs up to @epoch leaves the host. */
static void leaves(struct world *w, uint64_t epoch)
{
    if (!epoch) return;
    if (w->silent[P] && w->prim.state == PRIM_SOLO) return;
    must(w, !w->cuts || epoch <= w->sec.accepted || sec_never(w),
         "promise 1: output leaves too early");
    if (epoch > w->let_go && !sec_never(w)) w->let_go = epoch;
}

static void speak(struct world *w)
{
    if (w->net_cut) return;
    if (w->plug_open) leaves(w, w->cuts + 1);
    else w->held = w->cuts + 1;
}

static void prim_do(struct world *w, unsigned int act);
static void prim_happens(struct world *w, enum prim_ev ev, uint64_t n)
{
    unsigned int act = prim_event(&w->prim, ev, n);

    if (ev == PRIM_EV_SILENCE) w->silent[P] = true;
    w->taking |= ev == PRIM_EV_TAKING && !prim_over(&w->prim);
    if (act || ev != PRIM_EV_ACK)
        tell(w, "P event %d (%" PRIu64 "), actions %#x", (int)ev, n, act);
    stats_prim[w->prim.state]++;
    prim_do(w, act);
}

static void prim_do(struct world *w, unsigned int act)
{
    if (act & PRIM_DO_CUT_NET) w->net_cut = true;
    if (act & (PRIM_DO_RELEASE | PRIM_DO_OPEN) && !w->net_cut) {
        leaves(w, w->held_closed);
        w->held_closed = 0;
    }
    if (act & (PRIM_DO_STOP | PRIM_DO_FREEZE)) w->stopped = true;
    if (w->guest <= SUSPENDED && !w->capturing) {
        if (act & PRIM_DO_STOP) w->guest = RUNS_HERE;
        if (act & PRIM_DO_FREEZE) w->guest = SUSPENDED;
    }
    if (act & PRIM_DO_OPEN && !w->net_cut) {
        leaves(w, w->held);
        w->plug_open = true;
    }
    if (act & (PRIM_DO_OPEN | PRIM_DO_DISCARD)) w->held = w->held_closed = 0;
    if (act & PRIM_DO_FINAL) w->want_final = true;
    if (act & PRIM_DO_DESTROY)
        must(w, w->ran, "promise 7: destroyed before the peer runs it");
    if (act & PRIM_DO_DESTROY) w->destroy_at = w->now + 1 + rnd(w, 300);
    if (act & (PRIM_DO_SEND_DROP | PRIM_DO_SEND_END | PRIM_DO_SEND_YOURS)) {
        w->saying = act & (PRIM_DO_SEND_DROP | PRIM_DO_SEND_END |
                           PRIM_DO_SEND_YOURS);
        w->beat[P] = w->now;
    }
    if (w->prim.state == PRIM_SOLO || w->prim.state == PRIM_GONE)
        w->saying &= ~(unsigned int)PRIM_DO_SEND_YOURS;
    if (act & PRIM_DO_FINISH) w->linger[P] = w->now + LINGER;
}

/* The capture thread knows only what its own event returned. */
static void capture(struct world *w)
{
    unsigned int act;
    bool final = w->final;

    if (!w->capturing) {
        if (w->stopped || w->guest != RUNS_HERE || w->now < w->cap_at ||
            w->prim.acked != w->prim.cut)
            return;
        w->capturing = true;
        w->final = w->want_final;
        w->guest = SUSPENDED;
        w->cap_end = w->now + 1 + rnd(w, 60);
        return;
    }
    if (w->now < w->cap_end) return;
    if (w->held) w->held_closed = w->held;
    w->held = 0;
    w->plug_open = false;
    w->cuts++;
    w->capturing = false;
    act = prim_event(&w->prim, final ? PRIM_EV_FINAL_CUT : PRIM_EV_CUT,
                     w->cuts);
    stats_prim[w->prim.state]++;
    tell(w, "P %scut %" PRIu64 ", actions %#x", final ? "final " : "",
         w->cuts, act);
    if (!final && !(act & PRIM_DO_FREEZE)) w->guest = RUNS_HERE;
    prim_do(w, act);
    w->cap_at = w->now + 20 + rnd(w, 200);
    if (!w->stopped || rnd(w, 2))
        send_on(w, P, DATA, final ? M_EPOCH_FINAL : M_EPOCH, w->cuts);
}

static void prim_hears(struct world *w, const struct packet *k)
{
    static const enum prim_ev evs[] = {
        [M_ACK] = PRIM_EV_ACK, [M_DROPPED] = PRIM_EV_DROPPED,
        [M_ENDED] = PRIM_EV_ENDED, [M_FAILED] = PRIM_EV_FAILED,
        [M_SWAP] = PRIM_EV_SWAP, [M_PROMOTED] = PRIM_EV_PROMOTED,
    };

    if (k->m != M_BEAT && k->m != M_ACK && k->m != M_SWAP) w->saying = 0;
    if (k->m != M_BEAT) {
        prim_happens(w, evs[k->m], k->n);
        return;
    }
    if (k->n == SEC_OPENING) prim_happens(w, PRIM_EV_TAKING, 0);
    if (!w->beats_tell) return;
    if (k->n == SEC_OPEN || k->n == SEC_ASIDE || k->n == SEC_OVER)
        prim_happens(w, PRIM_EV_PROMOTED, 0);
    if (k->n == SEC_DROPPED) prim_happens(w, PRIM_EV_DROPPED, 0);
    if (k->n == SEC_FAILED) prim_happens(w, PRIM_EV_FAILED, 0);
}

static void prim_ops(struct world *w)
{
    static const enum prim_ev evs[] = {
        PRIM_EV_STOP, PRIM_EV_CAPTURE_ERROR, PRIM_EV_LINK_ERROR,
    };

    bool busy = w->prim.state >= PRIM_DROPPING;
    uint32_t chance = busy ? 200 : 6000;

    if (rnd(w, chance) == 0) prim_happens(w, evs[rnd(w, 3)], 0);
    if (busy && rnd(w, chance) == 0)
        w->pipe[P][DATA].dead = w->pipe[S][DATA].dead = true;
    if (w->guest == RUNS_HERE && rnd(w, chance) == 0) {
        speak(w);
        w->guest = ENDED;
        prim_happens(w, PRIM_EV_GUEST_ENDED, 1 + rnd(w, PROTO_WHY_MAX));
    }
}

/* A path on which both ends can be heard. */
static bool joined(const struct world *w, int path)
{
    return !w->pipe[P][path].cut && !w->pipe[S][path].cut;
}

/* Whoever is left behind for a guest that went on without the peer's word
 * makes new connections, and says that it runs here. */
static void look_for_peer(struct world *w)
{
    if (w->prim.state != PRIM_SOLO || !w->silent[P] ||
        w->guest != RUNS_HERE || w->now < w->beat[P])
        return;
    w->beat[P] = w->now + LIMIT;
    for (int path = CTRL0; path <= CTRL1; path++) {
        if (!joined(w, path)) continue;
        if (w->pipe[P][path].dead)
            for (int end = P; end <= S; end++)
                w->pipe[end][path] = (struct pipe){ .n = 0 };
        send_on(w, P, path, M_BEAT, PRIM_SOLO);
    }
}

static void prim_turn(struct world *w)
{
    struct packet k;

    if (w->guest == RUNS_HERE && rnd(w, 3) == 0) speak(w);
    if (w->now < w->stall[P]) return;
    if (prim_over(&w->prim) && w->now > w->linger[P] && !w->capturing &&
        !w->destroy_at) {
        look_for_peer(w);
        return;
    }
    for (int path = CTRL0; path <= CTRL1; path++)
        while (take(w, S, path, &k)) {
            paths_heard(&w->paths[P], path, w->now);
            prim_hears(w, &k);
        }
    if (paths_tick(&w->paths[P], w->now) && !prim_over(&w->prim))
        prim_happens(w, PRIM_EV_SILENCE, 0);
    capture(w);
    if (w->destroy_at && w->now >= w->destroy_at) {
        w->destroy_at = 0;
        w->guest = DESTROYED;
    }
    if (w->pipe[P][DATA].dead) prim_happens(w, PRIM_EV_LINK_ERROR, 0);
    if (w->now < MIDDLE_MS && !prim_over(&w->prim)) prim_ops(w);
    if (w->now < w->beat[P]) return;
    w->beat[P] = w->now + HEARTBEAT;
    say(w, P, M_BEAT, w->prim.state);
    if (w->saying & PRIM_DO_SEND_DROP) say(w, P, M_DROP, 0);
    if (w->saying & PRIM_DO_SEND_END) say(w, P, M_END, 0);
    if (w->saying & PRIM_DO_SEND_YOURS) say(w, P, M_YOURS, w->prim.cut);
}

/* ---- The secondary ----------------------------------------------------- */

static void sec_happens(struct world *w, enum sec_ev ev, uint64_t n)
{
    enum sec_state old = w->sec.state;
    uint64_t accepted = w->sec.accepted;
    unsigned int act = sec_event(&w->sec, ev, n);

    if (ev == SEC_EV_SILENCE) w->silent[S] = true;
    tell(w, "S event %d (%" PRIu64 "), actions %#x", (int)ev, n, act);
    stats_sec[w->sec.state]++;
    must(w, old <= SEC_PAIRED || w->sec.accepted == accepted,
         "promise 3: an epoch counted after DECIDING");
    must(w, w->sec.accepted <= w->sec.applied + 1,
         "more than one epoch is ahead of the restore");
    must(w, ev != SEC_EV_YOURS || w->guest != RUNS_HERE ||
            old > SEC_OPENING, "promise 5: handed over but it runs");
    must(w, old <= SEC_PAIRED || !(act & SEC_DO_ACK),
         "promise 3: an epoch was acknowledged after DECIDING");

    if (act & SEC_DO_FEED) w->fed++;
    if (act & SEC_DO_ACK) say(w, S, M_ACK, w->sec.accepted);
    if (act & SEC_DO_ABORT) w->copy_gone = true;
    if (act & SEC_DO_OPEN) w->open_at = w->now + 1 + rnd(w, 900);
    if (act & SEC_DO_SEND_DROPPED) say(w, S, M_DROPPED, 0);
    if (act & SEC_DO_SEND_ENDED) say(w, S, M_ENDED, 0);
    if (act & SEC_DO_SEND_SWAP) say(w, S, M_SWAP, 0);
    if (act & SEC_DO_SEND_PROMOTED) say(w, S, M_PROMOTED, 0);
    if (act & SEC_DO_SEND_FAILED) say(w, S, M_FAILED, 0);
    if (act & SEC_DO_FINISH) w->linger[S] = w->now + LINGER;
    if (act & SEC_DO_DECIDE) sec_happens(w, SEC_EV_VERDICT_RUN, 0);
}

static void sec_hears(struct world *w, const struct packet *k)
{
    switch (k->m) {
    case M_BEAT:
        if (k->n == PRIM_SOLO) sec_happens(w, SEC_EV_SOLO, 0);
        break;
    case M_DROP:
        sec_happens(w, SEC_EV_DROP, 0);
        break;
    case M_END:
        sec_happens(w, SEC_EV_END, 0);
        break;
    case M_YOURS:
        sec_happens(w, SEC_EV_YOURS, k->n);
        break;
    case M_EPOCH:
        if (k->n == 1 && rnd(w, 2)) sec_happens(w, SEC_EV_APPLIED, 1);
        sec_happens(w, SEC_EV_WHOLE, k->n);
        break;
    case M_EPOCH_FINAL:
        sec_happens(w, SEC_EV_WHOLE_FINAL, k->n);
        break;
    default:
        break;
    }
}

static void sec_copy(struct world *w)
{
    if (w->fed > w->sec.applied && !w->copy_gone) {
        if (!w->apply_at) w->apply_at = w->now + 1 + rnd(w, 120);
        if (w->now >= w->apply_at) {
            w->apply_at = 0;
            sec_happens(w, SEC_EV_APPLIED, w->sec.applied + 1);
        }
    }
    if (!w->open_at || w->now < w->open_at) return;
    w->open_at = 0;
    if (sec_out(&w->sec)) return; /* SOLO was heard in time */
    if (rnd(w, 5) == 0) {
        w->copy_broke = true;
        sec_happens(w, SEC_EV_OPEN_FAILED, 0);
        return;
    }
    w->ran = true;
    must(w, w->let_go <= w->sec.accepted,
         "promise 1: the copy that runs lacks what was said");
    sec_happens(w, SEC_EV_OPENED, 0);
}

static void sec_turn(struct world *w)
{
    struct packet k;

    if (w->now < w->stall[S]) return;
    /* While its guest lives, it stays. */
    if (w->linger[S] && w->now > w->linger[S] && w->sec.state != SEC_OPEN &&
        w->sec.state != SEC_ASIDE)
        return;
    for (int path = CTRL0; path < NPATHS; path++)
        while (take(w, P, path, &k)) {
            if (path != DATA) paths_heard(&w->paths[S], path, w->now);
            sec_hears(w, &k);
        }
    if (paths_tick(&w->paths[S], w->now) && w->sec.state <= SEC_PAIRED)
        sec_happens(w, SEC_EV_SILENCE, 0);
    sec_copy(w);
    if (w->now < MIDDLE_MS) {
        if (rnd(w, 1500) == 0) sec_happens(w, SEC_EV_FAILOVER, 0);
        uint32_t chance = w->sec.final ? 100 : 8000;

        if (rnd(w, chance) == 0) sec_happens(w, SEC_EV_STOP, 0);
        if (rnd(w, chance) == 0) sec_happens(w, SEC_EV_VIOLATION, 0);
        if (rnd(w, 8000) == 0) {
            w->copy_broke = true;
            sec_happens(w, SEC_EV_RESTORE_ENDED, 0);
        }
        if (w->sec.state == SEC_OPEN && rnd(w, 4000) == 0) {
            w->ended_there = true;
            sec_happens(w, SEC_EV_GUEST_GONE, 0);
        }
    }
    if (w->now < w->beat[S]) return;
    w->beat[S] = w->now + HEARTBEAT;
    say(w, S, M_BEAT, w->sec.state);
    if (w->ran) say(w, S, M_PROMOTED, 0);
}

/* ---- The world --------------------------------------------------------- */

static void cut(struct world *w, int from, int path, bool how)
{
    w->pipe[from][path].cut = how;
    if (path == CTRL0) w->pipe[from][DATA].cut = how; /* the same cable */
    tell(w, "%s %c path %d", how ? "cut" : "heal", "PS"[from], path);
}

static void cut_all(struct world *w, bool how)
{
    w->all_cut |= how;
    for (int i = 0; i < 4; i++)
        cut(w, i / 2, i % 2, how);
}

static void weather(struct world *w)
{
    int from = (int)rnd(w, 2), path = (int)rnd(w, 2);

    if (w->kind == ONE_WAY && rnd(w, 150) == 0) {
        from = (int)(w->seed >> 3 & 1);
        cut(w, from, path, !w->pipe[from][path].cut);
    }
    if (w->kind == ANY_CUT && rnd(w, 100) == 0)
        cut(w, from, path, !w->pipe[from][path].cut);
    if (w->kind == TOTAL_CUT && rnd(w, 200) == 0)
        cut_all(w, !w->pipe[P][CTRL0].cut);
    if (w->kind != ONE_WAY && rnd(w, 800) == 0) {
        w->stall[from] = w->now + rnd(w, 3 * LIMIT);
        tell(w, "%c stalls until %" PRIu64, "PS"[from], w->stall[from]);
    }
    if (w->kind >= ANY_CUT && rnd(w, 4000) == 0) { /* connection is reset */
        path = (int)rnd(w, NPATHS);
        w->pipe[P][path].dead = w->pipe[S][path].dead = true;
        w->all_cut |= w->pipe[P][CTRL0].dead && w->pipe[P][CTRL1].dead;
        tell(w, "path %d dies", path);
    }
    if (w->kind >= ANY_CUT && rnd(w, 8000) == 0) {
        w->crashed[from] = true;
        tell(w, "host %c loses power", "PS"[from]);
    }
}

static void check(struct world *w)
{
    bool p = w->guest == RUNS_HERE && w->plug_open && !w->net_cut &&
             w->cuts && !w->crashed[P];
    bool s = w->sec.state == SEC_OPEN && !w->crashed[S];
    enum xlc_outcome o = w->prim.outcome;

    if (p && s) {
        must(w, w->silent[P] && w->silent[S], "promise 2: two copies run");
        must(w, w->kind == ANY_CUT || w->all_cut,
             "promise 2: two, although one direction always worked");
        must(w, !w->prim.final, "promise 2: two, after a final cut (A13)");
        must(w, !w->taking, "promise 2: two, although P knew");
        w->both_ran = true;
    }
    if (w->prim.state == PRIM_YIELDING || w->prim.state == PRIM_HANDING ||
        w->prim.state == PRIM_YIELDED || w->prim.state == PRIM_STUCK)
        must(w, w->guest != RUNS_HERE, "promise 8: it must stand still");
    if (prim_over(&w->prim) &&
        (o == XLC_POWEROFF || o == XLC_REBOOT || o == XLC_CRASH))
        must(w, !s, "promise 4: a guest that ended runs again");
}

static void check_end(struct world *w)
{
    bool p_lives = w->guest <= SUSPENDED && !w->crashed[P];
    bool s_lives = w->sec.state == SEC_OPEN && !w->crashed[S];
    bool calm = !w->crashed[P] && !w->crashed[S];
    enum xlc_outcome o = w->prim.outcome;

    must(w, w->crashed[P] || prim_over(&w->prim), "promise 6: P goes on");
    must(w, w->crashed[S] || w->sec.state >= SEC_OPEN,
         "promise 6: S goes on");
    if (w->crashed[P]) return;
    stats_outcome[o]++;
    must(w, (o == XLC_STOPPED || o == XLC_ERROR || o == XLC_PEER_LOST) ==
            (w->guest == RUNS_HERE), "the outcome speaks of a guest that "
         "runs here, or it runs and the outcome doesn't say so");
    must(w, w->guest != RUNS_HERE || (w->plug_open && !w->net_cut),
         "a guest that goes on alone has a network");
    must(w, o != XLC_MOVED || (w->guest == DESTROYED && w->ran),
         "promise 5: moved, and one runs");
    must(w, o != XLC_STUCK || w->guest == SUSPENDED, "stuck: it is still");
    must(w, w->guest != DESTROYED || w->ran,
         "promise 7: destroyed for nothing");
    must(w, !calm || w->guest == ENDED || p_lives || s_lives ||
            w->ended_there, "promise 7: the guest is lost on both hosts");
    if (joined(w, CTRL0) || joined(w, CTRL1))
        must(w, !(w->guest == RUNS_HERE && s_lives),
             "promise 9: they met, and both go on");
    if (!w->silent[P] && !w->silent[S])
        must(w, !(p_lives && s_lives), "promise 5: exactly one runs");
}

static bool run(uint64_t seed, bool telling)
{
    struct world w = { .seed = seed, .tell = telling, .plug_open = true,
                       .rng = seed * 0x9e3779b97f4a7c15u + 1 };
    int ending = (int)(seed >> 4 & 3);

    w.kind = (int)(seed % NKINDS);
    w.beats_tell = seed >> 2 & 1;
    prim_init(&w.prim);
    sec_init(&w.sec);
    paths_init(&w.paths[P], LIMIT, 0);
    paths_init(&w.paths[S], SEC_LIMIT, 0);
    for (int i = 0; i < 10; i++)
        rnd(&w, 2);
    for (; w.now < END_MS && !w.failed; w.now += TICK_MS) {
        if (w.now < MIDDLE_MS) weather(&w);
        if (w.now == MIDDLE_MS) {
            cut_all(&w, ending == 0 && w.kind != ONE_WAY);
            if (ending == 1 && w.kind >= ANY_CUT) w.crashed[P] = true;
            if (ending == 2 && w.kind >= ANY_CUT) w.crashed[S] = true;
            if (!w.crashed[P]) prim_happens(&w, PRIM_EV_STOP, 0);
        }
        if (!w.crashed[P]) prim_turn(&w);
        if (!w.crashed[S]) sec_turn(&w);
        check(&w);
    }
    both_ran += w.both_ran;
    if (!w.failed) check_end(&w);
    return !w.failed;
}

static void test_runs(const char *name, uint64_t first)
{
    const char *env = getenv("XLC_MODEL_RUNS");
    uint64_t n = env ? strtoull(env, NULL, 10) : RUNS;
    unsigned int broken = 0;

    printf("# seeds %" PRIu64 " to %" PRIu64 "\n", first, first + n - 1);
    for (uint64_t s = first; s < first + n && broken < 5; s++)
        broken += !run(s, false);
    ok(!broken, "%" PRIu64 " runs, %s", n, name);
}

/* A model that never gets anywhere would keep every promise. */
static void test_reach(void)
{
    bool pass = true;

    for (unsigned int i = 0; i < PRIM_NSTATES; i++)
        pass &= stats_prim[i] > 0;
    for (unsigned int i = 0; i < SEC_NSTATES; i++)
        pass &= stats_sec[i] > 0;
    for (unsigned int i = 0; i < XLC_WORKER_DIED; i++) {
        printf("# outcome %-12s %u\n", xlc_outcome_name(i),
               stats_outcome[i]);
        pass &= i == XLC_USAGE || i == XLC_REFUSED || stats_outcome[i] > 0;
    }
    printf("# both ran, after silence: %u runs\n", both_ran);
    if (getenv("XLC_MODEL_RUNS")) skip("perhaps too few runs for that");
    else ok(pass && both_ran, "every state and every outcome was met");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return !ok(run(strtoull(argv[1], NULL, 10), true), "one run");
    test_runs("the same ones each time", 1);
    test_runs("others each time", (uint64_t)time(NULL) << 20);
    test_reach();
    return done_testing();
}
