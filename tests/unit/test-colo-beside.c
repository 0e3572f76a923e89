/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-colo-beside.c - The copy as a domain that runs beside the primary's
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "colo-host.h"
#include "tap.h"

static void test_beside(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_compared(&e);

    ok(now.orderly && !now.bridged && now.did[PLANE] == 1,
       "its packets are ours before it is a domain that could run");
    ok(turn(c, &e) > 0 && !gone(), "nobody has said what the epoch is: it "
       "waits");
    now.told = 1;
    now.mode = WIRE_MODE_PASSIVE;
    ok(turn(c, &e) == -1 && !gone(), "a passive epoch: it stays paused");
    now.mode = WIRE_MODE_COLO;
    ok(turn(c, &e) == -1 && !gone(), "for all of the epoch");

    ok(!epoch(c, 2, &e) && now.cut == 2 && turn(c, &e) > 0 && !gone(),
       "rule_A10: a cut for each epoch %s", e.msg);
    now.told = 2;
    ok(turn(c, &e) > 0 && gone() == 1 && !now.told_up && !now.bridged &&
       !now.renamed, "told colo, it runs, on no bridge, by the copy's name");
    now.up = true;
    do { /* it is not looked at all the time */
    } while (turn(c, &e) > 0);
    ok(now.told_up == 1 && turn(c, &e) == -1 && gone() == 1,
       "C1: its proxy is told once when its vifs are connected");
    now.told = 3;
    now.up = false;
    ok(!epoch(c, 3, &e) && wrote(7, 3) && turn(c, &e) > 0 && gone() == 2 &&
       now.cuts == 2, "the next epoch: put back, and off again %s", e.msg);
    now.dom.mem[9][0] ^= 1; /* it lives */
    now.dom.n = 0;
    ok(!colo_secondary_ready(c, &e) && now.bridged && !now.netted &&
       !colo_secondary_go(c, &e) && now.netted && now.renamed && !now.dom.n,
       "the failover touches nothing of it: bridge, proxy, name %s", e.msg);
    colo_secondary_release(c);
    colo_secondary_free(c);

    c = begin_compared(&e);
    now.told = 2;
    now.final = true;
    ok(!epoch(c, 2, &e) && turn(c, &e) == -1 && !gone(),
       "it does not run from the last epoch of a planned failover");
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_go(c, &e) &&
       gone() == 1, "until it is ours");
    colo_secondary_free(c);
}

/* It runs from epoch 2, and does what it likes to its memory. */
static struct colo_secondary *begin_beside(struct xlc_error *err)
{
    struct colo_secondary *c = begin_compared(err);

    now.told = 2;
    if (epoch(c, 2, err) || turn(c, err) < 0 || gone() != 1) abort();
    memset(now.dom.mem[7], 0x66, IS_PAGE);
    now.dom.n = 0;
    return c;
}

/* The primary was heard just now, in @state; or is silent. */
static void primary(uint8_t state, bool heard)
{
    s.paths.used[0] = heard;
    s.paths.heard_ms[0] = heard ? UINT64_MAX : 0;
    s.peer_beat.state = state;
}

/* Taken over while the copy does not run, though it was let go. */
static void test_beside_still(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_beside(&e);

    now.seen = INPLACE_XEN_PAUSED;
    now.said = true;
    primary(PROTO_PRIM_YIELDING, true);
    ok(!colo_secondary_ready(c, &e) && !now.dom.n &&
       !colo_secondary_go(c, &e) && now.dom.n == 1 && gone() == 1 &&
       !wrote(7, 2),
       "one that somebody paused is let go where it stands %s", e.msg);
    colo_secondary_free(c);

    for (int waits = 0; waits < 2; waits++) {
        c = begin_beside(&e);
        now.seen = INPLACE_XEN_DEAD;
        primary(PROTO_PRIM_YIELDING, waits);
        now.dom.broken = true; /* every page is looked at */
        ok(!colo_secondary_ready(c, &e) && !gone() && wrote(7, 2) &&
           !colo_secondary_go(c, &e) && gone() == 1, "rule_B2: one that died "
           "unheard is put back, and runs from the checkpoint %s", e.msg);
        colo_secondary_free(c);
    }

    c = begin_beside(&e);
    now.seen = INPLACE_XEN_DEAD;
    now.said = true;
    primary(PROTO_PRIM_YIELDING, true);
    ok(colo_secondary_ready(c, &e) == -EIO && strstr(e.msg, "crashed") &&
       !now.bridged && !now.netted && !now.dom.n, "one that died heard does "
       "not take over from a primary that waits: %s", e.msg);
    primary(PROTO_PRIM_YIELDING, false);
    xlc_error_clear(&e);
    ok(colo_secondary_ready(c, &e) == -EIO && !now.bridged, "nor from one "
       "that was silent for a while and may come back: %s", e.msg);
    xlc_error_clear(&e);
    s.hello.limit_ms = 0;
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_go(c, &e) &&
       !now.dom.n && now.netted && !wrote(7, 2), "without a primary it is "
       "what the clients heard %s", e.msg);
    colo_secondary_free(c);

    c = begin_beside(&e);
    now.seen = -ENOENT;
    ok(colo_secondary_ready(c, &e) == -ENOENT && !now.bridged,
       "one that is dying is none: %s", e.msg);
    colo_secondary_free(c);
    s.hello.limit_ms = 60000;
}

/* Does a dead copy that was heard become the guest within @ms while the
 * primary is heard in @state, or silent? */
static bool becomes_guest(uint8_t state, bool heard, uint64_t ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_beside(&e);
    uint64_t until;
    int rc;

    now.seen = INPLACE_XEN_DEAD;
    now.said = true;
    s.hello.limit_ms = 1;
    primary(state, heard);
    until = clock_ms() + ms;
    do {
        xlc_error_clear(&e);
        rc = colo_secondary_ready(c, &e);
    } while (rc && clock_ms() < until);
    s.hello.limit_ms = 60000;
    primary(PROTO_PRIM_SYNCING, false);
    colo_secondary_free(c);
    return !rc;
}

/* What the dead copy does about a primary that comes back: its worker, or
 * only its guard, which asks until it is answered. */
static void test_dead_and_primary(void)
{
    static const struct {
        uint8_t state;
        bool waits, there;
    } all[] = {
        { PROTO_PRIM_SYNCING, false, true },
        { PROTO_PRIM_PROTECTED, false, true },
        { PROTO_PRIM_DROPPING, true, true },
        { PROTO_PRIM_ENDING, true, true },
        { PROTO_PRIM_SWAPPING, false, true },
        { PROTO_PRIM_HANDING, true, true },
        { PROTO_PRIM_YIELDING, true, true },
        { PROTO_PRIM_SOLO, false, true },
        { PROTO_PRIM_GONE, false, false },
        { PROTO_PRIM_YIELDED, false, false },
        { PROTO_PRIM_STUCK, false, false },
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        uint8_t state = all[i].state;

        primary(state, true);
        ok(secondary_primary_waits(&s) == all[i].waits &&
           becomes_guest(state, true, all[i].there ? 50 : 20000) ==
           !all[i].there,
           "rule_B2: in state %u a primary that is heard %s", state,
           all[i].there ? "keeps its guest" : "has none to lose");
        primary(state, false);
        ok(!secondary_primary_waits(&s) && becomes_guest(state, false, 20000),
           "the wait for one that is silent has an end");
    }
}

static void test_wait(void)
{
    static const struct {
        uint32_t limit_ms;
        uint64_t wait_ms;
    } all[] = {
        { 300, 3000 }, { 6000, 60000 }, { 6001, 60000 },
        { 60000, 60000 }, { 60001, 60001 }, { 120000, 120000 },
        { 120001, 120000 }, { 3600000, 120000 }, { UINT32_MAX, 120000 },
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        s.hello.limit_ms = all[i].limit_ms;
        ok(secondary_primary_wait_ms(&s) == all[i].wait_ms,
           "a limit of %u ms: the primary is waited for %llu ms",
           all[i].limit_ms, (unsigned long long)all[i].wait_ms);
    }
    s.hello.limit_ms = 60000;
}

/* Whoever wants the process to end does not wait for the primary. */
static void test_dismissed(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_beside(&e);

    now.seen = INPLACE_XEN_DEAD;
    now.said = true;
    primary(PROTO_PRIM_PROTECTED, false);
    ok(!s.dead_wait && colo_secondary_ready(c, &e) == -EIO && s.dead_wait,
       "a dead copy waits for the primary, and it is known: %s", e.msg);
    xlc_error_clear(&e);
    s.dismissed = true;
    ok(colo_secondary_ready(c, &e) == -EINTR && !now.bridged && !now.netted &&
       strstr(e.msg, "from outside"), "rule_A1: asked to end it gives up, and "
       "nothing runs: %s", e.msg);
    xlc_error_clear(&e);
    s.dismissed = s.dead_wait = false;
    s.hello.limit_ms = 0;
    ok(!colo_secondary_ready(c, &e) && !s.dead_wait, "one that waited to the "
       "end does not wait any more %s", e.msg);
    s.hello.limit_ms = 60000;
    colo_secondary_free(c);

    c = begin_beside(&e);
    s.dismissed = true;
    ok(!colo_secondary_ready(c, &e), "a copy that lives takes over all the "
       "same %s", e.msg);
    s.dismissed = false;
    colo_secondary_free(c);
}

static void test_beside_faults(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_compared(&e);

    now.told = 2;
    now.dom.fail = GO;
    ok(!epoch(c, 2, &e) && turn(c, &e) == -1 && wrote(7, 2),
       "one that can't run is put back and waits %s", e.msg);
    now.dom.fail = OPS;
    now.told = 3;
    ok(!epoch(c, 3, &e) && turn(c, &e) > 0, "for the next epoch");
    now.gone = true;
    ok(colo_secondary_ready(c, &e) == -ENOENT && !now.bridged,
       "rule_A1: a copy that somebody destroyed while it ran: %s", e.msg);
    xlc_error_clear(&e);
    now.dom.fail = CLOSE;
    ok(epoch(c, 4, &e) == -EIO, "is none at the next epoch: %s", e.msg);
    colo_secondary_free(c);

    c = begin_compared(&e);
    now.dom.fail = PUT;
    now.looks = 0;
    now.heal = 14; /* longer than GIVE_UP_MS */
    s.paths.limit_ms = 0;
    s.paths.used[0] = true;
    s.paths.heard_ms[0] = 0;
    ok(!epoch(c, 2, &e) && now.looks == 14, "a rollback is not given up while "
       "the primary is silent: this copy may be the last %s", e.msg);
    colo_secondary_free(c);

    c = begin_compared(&e);
    now.dom.fail = PUT;
    s.paths.heard_ms[0] = UINT64_MAX;
    ok(epoch(c, 2, &e) == -EIO && now.looks < 20, "while the primary is heard "
       "it is: that goes on alone: %s", e.msg);
    s.paths = (struct paths){ .limit_ms = 60000 };
    colo_secondary_free(c);
}

/* The primary's host says what time it is there. */
static void hear_clock(int64_t ahead_us, int32_t ahead_s)
{
    const uint64_t here = 1795318594000000u;
    struct proto_clock c = { (uint64_t)((int64_t)here + ahead_us), ahead_s };

    for (unsigned int i = 0; i < WALLCLOCK_SAMPLES; i++)
        wallclock_heard(&s.clock, &c, here);
}

static void test_clock(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_compared(&e);

    now.told = 2;
    now.clock = 1;
    ok(!epoch(c, 2, &e) && turn(c, &e) > 0 && gone() == 1 && now.went == 1,
       "a primary that does not say the time: the clock is left alone");
    hear_clock(-90000000, 5);
    now.told = 3;
    ok(!epoch(c, 3, &e) && turn(c, &e) > 0 && gone() == 2 &&
       now.went == -85, "rule_C3: put back, its clock is the primary's");
    hear_clock(7000000, 5);
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_go(c, &e) &&
       gone() == 2, "one that runs is let run: its clock does not jump");
    colo_secondary_free(c);

    c = begin(&e);
    ok(!epoch(c, 1, &e) && !colo_secondary_ready(c, &e) &&
       !colo_secondary_go(c, &e) && now.went == 12, "rule_C3: a takeover by "
       "one that stood still: so is its clock %s", e.msg);
    colo_secondary_free(c);
    s.clock = (struct wallclock){ .n = 0 };
}

/* The disks' part in all of it; see svmdisks.h. */
static void test_disks(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_compared(&e);

    ok(now.did[DISKS] == 1 && !now.dropped, "the disks are opened, once");
    now.told = 2;
    now.undropped = 2;
    ok(!epoch(c, 2, &e) && now.dropped == 3 && now.drop == 2 && wrote(7, 2) &&
       now.cuts == 1, "what it wrote goes after its backends and before its "
       "pages, until that works %s", e.msg);
    ok(turn(c, &e) > 0 && gone() == 1, "and it runs");
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_settle(c, &e) &&
       now.dropped == 3 && now.settled == 2,
       "a copy that runs on keeps what it wrote");
    colo_secondary_free(c);

    c = begin_compared(&e);
    now.dom.fail = CLOSE;
    now.leave_at = 1;
    ok(epoch(c, 2, &e) == -ECANCELED && !now.dropped, "backends that are not "
       "closed: what the copy wrote stays for now");
    now.dom.fail = OPS;
    ok(!colo_secondary_ready(c, &e) && now.dropped == 1 && now.drop == 2 &&
       !colo_secondary_settle(c, &e) && now.settled == 1, "and goes before "
       "the takeover, which finds no copy that runs %s", e.msg);
    colo_secondary_free(c);

    c = begin_beside(&e);
    now.seen = INPLACE_XEN_DEAD;
    now.taken = true;
    now.dropped = 0;
    s.hello.limit_ms = 0; /* no primary */
    ok(!colo_secondary_ready(c, &e) && !now.dropped && !wrote(7, 2),
       "one that dies when its disks were taken over is not put back: they "
       "can't be %s", e.msg);
    colo_secondary_free(c);

    c = begin(&e);
    colo_secondary_free(c);
    now.writable = 1;
    c = NULL;
    ok(colo_secondary_new(&c, &s, &e) == -EPERM && !c &&
       strstr(e.msg, "not mirrored"), "rule_A14: a disk that both would write "
       "to: %s", e.msg);
}

int main(void)
{
    pthread_mutex_init(&s.lock, NULL);
    snprintf(s.rec.name, sizeof(s.rec.name), "g1");
    s.paths.limit_ms = 60000;
    s.hello.limit_ms = 60000;
    test_beside();
    test_beside_still();
    test_dead_and_primary();
    test_wait();
    test_dismissed();
    test_beside_faults();
    test_clock();
    test_disks();
    return done_testing();
}
