/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-colo-secondary.c - The copy as a domain: built, put back, taken over
 *
 * The real colo-secondary.c and svm.c over a restore, bridges and a domain
 * that are in the test. RULES A9: what runs, and what is on a bridge, when.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "colo-secondary.h"
#include "epochmem.h"
#include "inplace-xen.h"
#include "memory-domain.h"
#include "restore.h"
#include "secondary.h"
#include "svmdisks.h"
#include "tap.h"

/* What is done with the host, by the order in which it is wanted. */
enum step { FINISH, KEEP, DISKS, DEVICES, LEAVE, PLANE, OPEN, STEPS };

static const char *const step_names[STEPS] = {
    "finish", "keep", "disks", "devices", "leave", "plane", "open",
};

static struct secondary s;
static struct receive_shared shared;

/**
 * now - the host
 * @dom: the copy; @gone: somebody has destroyed it
 * @did: how often each step was done; @order: the newest; @fail: this one
 *       fails
 * @bridged: the vif is on its bridge; @closed: the log of writes is off
 * @renamed: it has its own name
 * @heal: after so many looks whether it exists, the fault is gone
 * @leave_at: after so many, the machine leaves PAIRED
 * @mode: what secondary_proxy_mode() says of epoch @told; of others it knows
 *        nothing; @cuts: of epochs, the newest is @cut; @up: the copy's vifs
 *        are connected, and @told_up: so the proxy was told; @netted: the
 *        proxy was opened
 * @dropped: overlays of the disks, the newest for epoch @drop; so many more
 *           fail (@undropped); @settled: 1 or 2 if the copy runs on; @taken:
 *           they were taken over
 * @seen: what the copy is when it is looked at; @said: it was heard since the
 *        cut; @waits: the primary stands still
 * @clock: how far its clock shall be ahead of this host's; @went: and was
 *         when it was let go
 */
static struct {
    struct domain dom;
    bool gone, bridged, renamed, orderly, runs;
    unsigned int did[STEPS], opened, closed, held, looks, heal, leave_at;
    int order;
    enum step fail;
    unsigned int mode, cuts, told_up;
    uint64_t told, cut;
    bool up, netted, final, said, waits;
    int32_t clock, went;
    unsigned int dropped, undropped, settled, writable;
    uint64_t drop;
    bool taken;
    int seen;
    libxl_domain_config cfg;
} now;


/* ---- What is not here: Xen, libxl, bridges ------------------------------ */

static int clocked_go(void *dom, struct xlc_error *err)
{
    now.went = now.clock;
    return fake_go(dom, err);
}

const struct inplace_ops inplace_xen_ops = {
    .fits = fake_fits, .pause = fake_pause, .close = fake_close,
    .dirty = fake_dirty, .moved = fake_moved, .reset = fake_reset,
    .put = fake_put, .drop = fake_drop, .machine = fake_machine,
    .rejoin = fake_rejoin, .go = clocked_go,
};

static int step(enum step what, struct xlc_error *err)
{
    if (what == OPEN && !s.proxy) now.order++;
    now.orderly = now.orderly && now.order + 1 == (int)what;
    now.order = (int)what;
    now.did[what]++;
    return now.fail == what ? xlc_error_set(err, -EIO, "%s failed",
                                            step_names[what]) : 0;
}

int restore_finish(struct restore *r, uint32_t *domid_r,
                   struct xlc_error *err)
{
    (void)r;
    *domid_r = 7;
    return step(FINISH, err);
}

int restore_keep(struct restore *r, struct xlc_error *err)
{
    (void)r;
    return step(KEEP, err);
}

int svmdisks_open(struct disks *d, uint32_t domid, uint64_t n,
                  struct xlc_error *err)
{
    if (d != &s.disks || domid != 7 || n != 1) abort();
    return step(DISKS, err);
}

/* Only between the end of its backends and its pages. */
int svmdisks_checkpoint(struct disks *d, uint64_t n, struct xlc_error *err)
{
    if (d != &s.disks || !now.dom.n ||
        (now.dom.n < 64 && now.dom.calls[now.dom.n - 1] != CLOSE))
        abort();
    now.dropped++;
    now.drop = n;
    if (!now.undropped) return 0;
    now.undropped--;
    return xlc_error_set(err, -EBUSY, "the overlay stays");
}

int svmdisks_settle(struct disks *d, bool runs, struct xlc_error *err)
{
    (void)d, (void)err;
    now.settled = runs ? 2 : 1;
    return 0;
}

bool svmdisks_taken(const struct disks *d)
{
    (void)d;
    return now.taken;
}

unsigned int restore_writable(const struct restore *r)
{
    (void)r;
    return now.writable;
}

int restore_devices(struct restore *r, struct xlc_error *err)
{
    (void)r;
    now.bridged = true; /* the hotplug script's doing */
    return step(DEVICES, err);
}

int restore_vifs(struct restore *r, restore_vif *fn, struct xlc_error *err)
{
    (void)r;
    return fn("vif7.0", "xenbr0", err);
}

int bridge_leave(const char *ifname, struct xlc_error *err)
{
    (void)ifname;
    now.bridged = false;
    return step(LEAVE, err);
}

int bridge_join(const char *ifname, const char *bridge,
                struct xlc_error *err)
{
    (void)ifname;
    if (now.fail == LEAVE)
        return xlc_error_set(err, -ENODEV, "no %s", bridge);
    now.bridged = true;
    return 0;
}

int inplace_xen_open(struct inplace_xen **x_r, uint32_t domid, bool log,
                     struct xlc_error *err)
{
    (void)domid, (void)log;
    now.opened++;
    *x_r = (struct inplace_xen *)&now.dom;
    return step(OPEN, err);
}

void inplace_xen_held(struct inplace_xen *x)
{
    (void)x;
    now.held++;
}

bool inplace_xen_runs(struct inplace_xen *x)
{
    (void)x;
    return now.runs;
}

int inplace_xen_look(struct inplace_xen *x, struct xlc_error *err)
{
    (void)x;
    return now.seen < 0 ? xlc_error_set(err, now.seen, "it is dying") :
           now.seen;
}

bool secondary_primary_waits(const struct secondary *secondary)
{
    return secondary == &s && now.waits;
}

void inplace_xen_clock(struct inplace_xen *x, int32_t offset_s)
{
    if (!x) abort();
    now.clock = offset_s;
}

void inplace_xen_close(struct inplace_xen *x)
{
    if (x) now.closed++;
}

bool restore_exists(struct restore *r)
{
    (void)r;
    now.looks++;
    if (now.looks == now.heal) now.dom.fail = OPS;
    if (now.looks == now.leave_at) s.m.state = SEC_DECIDING;
    return !now.gone;
}

void restore_rename(struct restore *r)
{
    (void)r;
    now.renamed = true;
}

uint64_t restore_memory(const struct restore *r)
{
    (void)r;
    return IS_PFNS * IS_PAGE;
}

const libxl_domain_config *restore_config(const struct restore *r)
{
    (void)r;
    return &now.cfg;
}

uint64_t epochmem_spare_now(void)
{
    return UINT64_MAX;
}

unsigned int restore_vif_names(const struct restore *r,
                               char (*names)[IFNAMSIZ], unsigned int max)
{
    (void)r;
    if (max) snprintf(names[0], IFNAMSIZ, "vif7.0");
    return 1;
}

bool inplace_xen_connected(struct inplace_xen *x)
{
    (void)x;
    return now.up;
}

/* ---- The proxy ---------------------------------------------------------- */

int secondary_proxy_start(struct secondary_proxy *p,
                          const char (*vifs)[IFNAMSIZ], unsigned int n,
                          struct xlc_error *err)
{
    if (!p || n != 1 || strcmp(vifs[0], "vif7.0") || now.bridged) abort();
    return step(PLANE, err);
}

unsigned int secondary_proxy_mode(struct secondary_proxy *p, uint64_t epoch)
{
    (void)p;
    return epoch == now.told ? now.mode : 0;
}

int secondary_proxy_cut(struct secondary_proxy *p, uint64_t epoch,
                        struct xlc_error *err)
{
    (void)p, (void)err;
    now.cuts++;
    now.cut = epoch;
    return 0;
}

bool secondary_proxy_said(struct secondary_proxy *p)
{
    (void)p;
    return now.said;
}

void secondary_proxy_connected(struct secondary_proxy *p)
{
    (void)p;
    now.told_up++;
}

int secondary_proxy_open(struct secondary_proxy *p, struct xlc_error *err)
{
    (void)p, (void)err;
    now.netted = true;
    return 0;
}

void secondary_proxy_status(struct secondary_proxy *p, struct json *j)
{
    (void)p, (void)j;
}

/* ---- Tests -------------------------------------------------------------- */

static struct colo_secondary *begin(struct xlc_error *err)
{
    struct colo_secondary *c = NULL;

    memset(&now, 0, sizeof(now));
    now.orderly = true;
    now.order = -1;
    now.fail = STEPS;
    now.dom.fail = OPS;
    now.cfg.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    now.cfg.b_info.max_vcpus = 2;
    s.sh = &shared;
    s.proxy = NULL;
    s.m.state = SEC_SYNCING;
    xlc_error_clear(err);
    colo_secondary_new(&c, &s, err);
    return c;
}

/* An epoch arrives and counts. */
static int epoch(struct colo_secondary *c, uint64_t n, struct xlc_error *err)
{
    static const uint64_t pfns[] = { 7, 8 };
    struct is is = { .b = NULL };
    int rc;

    if (n == 1) is_base(&is, 1);
    else is_epoch(&is, pfns, 2, (uint32_t)n);
    rc = colo_secondary_feed(c, is.b, is.len, err);
    if (!rc) rc = colo_secondary_check(c, err);
    if (rc) abort();
    is_free(&is);
    rc = colo_secondary_apply(c, n, now.final, err);
    if (!rc) s.m.state = SEC_PAIRED;
    return rc;
}

static bool wrote(uint64_t pfn, uint32_t time)
{
    uint8_t page[IS_PAGE];

    is_fill(page, pfn, time);
    return now.dom.there[pfn] && !memcmp(now.dom.mem[pfn], page, IS_PAGE);
}

/* Was the operation called? */
static bool called(enum op op)
{
    for (unsigned int i = 0; i < now.dom.n; i++)
        if (now.dom.calls[i] == op) return true;
    return false;
}

static void test_life(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin(&e);

    ok(c && !colo_secondary_finishing(c) && !colo_secondary_domid(c),
       "a copy that is none yet");
    ok(!epoch(c, 1, &e) && now.orderly && now.order == OPEN &&
       now.held == 1 && colo_secondary_domid(c) == 7,
       "the first epoch makes a domain of it, everything in its order");
    ok(colo_secondary_finishing(c), "its restore's end is not its own");
    ok(!now.bridged && !called(GO) && !called(REJOIN) && !now.renamed,
       "A9: on no bridge, paused, under the copy's name");
    ok(!epoch(c, 2, &e) && !epoch(c, 3, &e) && wrote(7, 3) && wrote(8, 3) &&
       !called(GO) && !now.bridged, "A9: so it is after every epoch %s",
       e.msg);
    ok(!colo_secondary_ready(c, &e) && now.bridged && called(REJOIN) &&
       !called(GO) && !now.renamed, "failover: network first");
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_go(c, &e) &&
       called(GO) && now.renamed && wrote(7, 3), "then it goes");
    colo_secondary_release(c);
    colo_secondary_release(c);
    ok(now.closed == 1, "its writes are not logged any more");
    colo_secondary_free(c);
}

static void test_build_faults(void)
{
    for (enum step f = FINISH; f < STEPS; f++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct colo_secondary *c = begin(&e);

        s.proxy = (struct secondary_proxy *)&now;
        now.fail = f;
        ok(epoch(c, 1, &e) == -EIO && strstr(e.msg, step_names[f]) &&
           now.order == (int)f && !called(GO), "the host fails: %s", e.msg);
        xlc_error_clear(&e);
        ok(colo_secondary_ready(c, &e) == -EINVAL && !called(GO),
           "then there is nothing to run");
        colo_secondary_free(c);
    }
}

static void test_thrown_away(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin(&e);

    s.m.state = SEC_DROPPED;
    ok(epoch(c, 1, &e) == -ECANCELED && !now.did[FINISH] &&
       !colo_secondary_finishing(c),
       "a copy that is being thrown away is not finished");
    colo_secondary_free(c);
}

static void test_faults(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin(&e);

    if (epoch(c, 1, &e)) abort();
    now.dom.fail = PUT;
    now.heal = 2;
    ok(!epoch(c, 2, &e) && now.looks == 2 && wrote(7, 2),
       "B2: a rollback that fails is tried again");
    now.dom.fail = MACHINE;
    now.looks = 0;
    now.heal = 0;
    now.leave_at = 2;
    ok(epoch(c, 3, &e) == -ECANCELED && now.looks == 2 && !called(GO),
       "but not by the data thread once the primary is silent");
    now.dom.fail = OPS;
    ok(!colo_secondary_ready(c, &e) && !colo_secondary_go(c, &e) &&
       wrote(7, 3), "B2: the epoch that was acknowledged is what runs %s",
       e.msg);
    colo_secondary_free(c);

    c = begin(&e);
    if (epoch(c, 1, &e)) abort();
    now.dom.fail = CLOSE;
    now.gone = true;
    ok(epoch(c, 2, &e) == -EIO && now.looks == 1,
       "a copy that somebody destroyed is not tried again: %s", e.msg);
    colo_secondary_free(c);

    c = begin(&e);
    if (epoch(c, 1, &e) || epoch(c, 2, &e)) abort();
    memset(now.dom.mem[7], 0x66, IS_PAGE);
    now.dom.broken = now.runs = true;
    ok(!colo_secondary_ready(c, &e) && wrote(7, 2), "rule_A1: a copy that "
       "somebody let run is put back before it gets its network %s", e.msg);
    now.runs = false;
    colo_secondary_free(c);

    c = begin(&e);
    if (epoch(c, 1, &e)) abort();
    now.fail = LEAVE;
    ok(colo_secondary_ready(c, &e) == -ENODEV && !called(GO),
       "no bridge, no step: %s", e.msg);
    now.fail = STEPS;
    xlc_error_clear(&e);
    ok(!colo_secondary_ready(c, &e) && now.bridged, "the next try has one");
    now.dom.fail = GO;
    ok(colo_secondary_go(c, &e) == -EIO && !now.renamed,
       "what does not go keeps the copy's name: %s", e.msg);
    colo_secondary_free(c);
}

/* The copy is looked after until there is nothing to wait for. */
static int turn(struct colo_secondary *c, struct xlc_error *err)
{
    int ms, rc;

    rc = colo_secondary_turn(c, &ms, err);
    return rc ? rc : ms;
}

static unsigned int gone(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < now.dom.n; i++)
        n += now.dom.calls[i] == GO;
    return n;
}

static struct colo_secondary *begin_compared(struct xlc_error *err)
{
    struct colo_secondary *c = begin(err);

    s.proxy = (struct secondary_proxy *)&now;
    now.mode = WIRE_MODE_COLO;
    if (!c || epoch(c, 1, err)) abort();
    return c;
}

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

/* Taken over while the copy does not run, though it was let go. */
static void test_beside_still(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct colo_secondary *c = begin_beside(&e);

    now.seen = INPLACE_XEN_PAUSED;
    now.said = now.waits = true;
    ok(!colo_secondary_ready(c, &e) && !now.dom.n &&
       !colo_secondary_go(c, &e) && now.dom.n == 1 && gone() == 1 &&
       !wrote(7, 2),
       "one that somebody paused is let go where it stands %s", e.msg);
    colo_secondary_free(c);

    for (int waits = 0; waits < 2; waits++) {
        c = begin_beside(&e);
        now.seen = INPLACE_XEN_DEAD;
        now.waits = waits;
        now.dom.broken = true; /* every page is looked at */
        ok(!colo_secondary_ready(c, &e) && !gone() && wrote(7, 2) &&
           !colo_secondary_go(c, &e) && gone() == 1, "rule_B2: one that died "
           "unheard is put back, and runs from the checkpoint %s", e.msg);
        colo_secondary_free(c);
    }

    c = begin_beside(&e);
    now.seen = INPLACE_XEN_DEAD;
    now.said = now.waits = true;
    ok(colo_secondary_ready(c, &e) == -EIO && strstr(e.msg, "crashed") &&
       !now.bridged && !now.netted && !now.dom.n, "one that died heard does "
       "not take over from a primary that waits: %s", e.msg);
    now.waits = false;
    xlc_error_clear(&e);
    s.hello.limit_ms = 60000;
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

static void test_refused(void)
{
    static const libxl_domain_type types[] = {
        LIBXL_DOMAIN_TYPE_PV, LIBXL_DOMAIN_TYPE_HVM,
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct colo_secondary *c = begin(&e);

        colo_secondary_free(c);
        now.cfg.c_info.type = types[i];
        c = NULL;
        ok(colo_secondary_new(&c, &s, &e) == -EPERM && !c,
           "another kind of guest: %s", e.msg);
    }
}

int main(void)
{
    pthread_mutex_init(&s.lock, NULL);
    snprintf(s.rec.name, sizeof(s.rec.name), "g1");
    s.paths.limit_ms = 60000;
    test_life();
    test_build_faults();
    test_thrown_away();
    test_faults();
    test_beside();
    test_beside_still();
    test_beside_faults();
    test_clock();
    test_disks();
    test_refused();
    return done_testing();
}
