/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* colo-host.c - The host of a copy that is a domain */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "colo-host.h"
#include "epochmem.h"
#include "restore.h"

const char *const step_names[STEPS] = {
    "finish", "keep", "disks", "devices", "leave", "plane", "open",
};

struct secondary s;
struct host now;

static struct receive_shared shared;

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

/* ---- For the tests ----------------------------------------------------- */

struct colo_secondary *begin(struct xlc_error *err)
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
int epoch(struct colo_secondary *c, uint64_t n, struct xlc_error *err)
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

bool wrote(uint64_t pfn, uint32_t time)
{
    uint8_t page[IS_PAGE];

    is_fill(page, pfn, time);
    return now.dom.there[pfn] && !memcmp(now.dom.mem[pfn], page, IS_PAGE);
}

/* Was the operation called? */
bool called(enum op op)
{
    for (unsigned int i = 0; i < now.dom.n; i++)
        if (now.dom.calls[i] == op) return true;
    return false;
}

/* The copy is looked after until there is nothing to wait for. */
int turn(struct colo_secondary *c, struct xlc_error *err)
{
    int ms, rc;

    rc = colo_secondary_turn(c, &ms, err);
    return rc ? rc : ms;
}

unsigned int gone(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < now.dom.n; i++)
        n += now.dom.calls[i] == GO;
    return n;
}

struct colo_secondary *begin_compared(struct xlc_error *err)
{
    struct colo_secondary *c = begin(err);

    s.proxy = (struct secondary_proxy *)&now;
    now.mode = WIRE_MODE_COLO;
    if (!c || epoch(c, 1, err)) abort();
    return c;
}
