/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-aside.c - RULES A2: a copy that stands aside, and is let go again
 *
 * The real secondary-aside.c over a libxl with one domain.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <libxl.h>
#include <libxl_utils.h>

#include "announce.h"
#include "bridge.h"
#include "cleanup.h"
#include "log.h"
#include "secondary.h"
#include "tap.h"
#include "xlctx.h"

static struct secondary s;
static struct receive_shared shared = { .uuid_raw = { 7 } };

/**
 * dom - the guest
 * @paused, @bridged: it is; @stubborn: it can't be paused
 * @announced: while it was on its bridge
 */
static struct {
    bool paused, bridged, stubborn, announced;
} dom;

/* ---- What is not here: Xen, and the rest of the secondary --------------- */

int xlctx_new(libxl_ctx **ctx_r, struct xlc_error *err)
{
    (void)err;
    *ctx_r = (libxl_ctx *)&dom;
    return 0;
}

void libxl_dominfo_init(libxl_dominfo *p)
{
    memset(p, 0, sizeof(*p));
}

void libxl_dominfo_dispose(libxl_dominfo *p)
{
    (void)p;
}

void libxl_dominfo_copy(libxl_ctx *ctx, libxl_dominfo *dst,
                        const libxl_dominfo *src)
{
    (void)ctx;
    *dst = *src;
}

const uint8_t *libxl_uuid_bytearray_const(const libxl_uuid *uuid)
{
    return uuid->uuid;
}

uint8_t *libxl_uuid_bytearray(libxl_uuid *uuid)
{
    return uuid->uuid;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *n_r)
{
    libxl_dominfo *d = calloc(1, sizeof(*d));

    (void)ctx;
    if (!d) abort();
    d->domid = 5;
    d->paused = dom.paused;
    memcpy(d->uuid.uuid, shared.uuid_raw, 16);
    *n_r = 1;
    return d;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int n)
{
    (void)n;
    free(list);
}

libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid,
                                        int *n_r)
{
    libxl_device_nic *nic = calloc(1, sizeof(*nic));

    (void)ctx, (void)domid;
    *n_r = 1;
    return nic;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int n)
{
    (void)n;
    free(list);
}

int libxl_domain_pause(libxl_ctx *ctx, uint32_t domid,
                       const libxl_asyncop_how *how)
{
    (void)ctx, (void)domid, (void)how;
    if (dom.stubborn) return -1;
    dom.paused = true;
    return 0;
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    (void)ctx, (void)domid, (void)how;
    dom.paused = false;
    return 0;
}

int bridge_leave(const char *ifname, struct xlc_error *err)
{
    (void)ifname, (void)err;
    dom.bridged = false;
    return 0;
}

int bridge_join(const char *ifname, const char *bridge,
                struct xlc_error *err)
{
    (void)ifname, (void)bridge, (void)err;
    dom.bridged = true;
    return 0;
}

int announce_domain(libxl_ctx *ctx, uint32_t domid, struct xlc_error *err)
{
    (void)ctx, (void)domid, (void)err;
    dom.announced = dom.bridged;
    return 0;
}

int record_save(const struct record *r, struct xlc_error *err)
{
    (void)r, (void)err;
    return 0;
}

void secondary_event(struct secondary *sec, enum sec_ev ev, uint64_t n)
{
    unsigned int act = sec_event(&sec->m, ev, n);

    if (act & (SEC_DO_ASIDE | SEC_DO_REJOIN)) {
        sec->aside = act & (SEC_DO_ASIDE | SEC_DO_REJOIN);
        sec->look_ms = 0;
    }
}

/* ---- The trials --------------------------------------------------------- */

/* The primary says @state at @now_ms, or nothing (-1); then we look. */
static void look(uint64_t now_ms, int state)
{
    if (state >= 0) {
        s.peer_beat.state = (uint8_t)state;
        paths_heard(&s.paths, 0, now_ms);
        if (state == PROTO_PRIM_SOLO) secondary_event(&s, SEC_EV_SOLO, 0);
    }
    secondary_aside(&s, now_ms);
}

/* Both ran and have met: ours stands aside at 1000. */
static void begin(void)
{
    s = (struct secondary){ .sh = &shared };
    pthread_mutex_init(&s.lock, NULL);
    s.hello.limit_ms = 30;
    s.m.state = SEC_OPEN;
    dom.paused = dom.stubborn = false;
    dom.bridged = true;
    dom.announced = false;
    paths_init(&s.paths, 30, 0);
}

static bool stands(void)
{
    return s.m.state == SEC_ASIDE && dom.paused && !dom.bridged;
}

static bool runs(void)
{
    return s.m.state == SEC_OPEN && !dom.paused && dom.bridged;
}

static void test_aside(void)
{
    begin();
    dom.stubborn = true;
    look(1000, PROTO_PRIM_SOLO);
    ok(s.aside && !dom.bridged, "it leaves its bridge before it is paused");
    dom.stubborn = false;
    look(2000, PROTO_PRIM_SOLO);
    ok(!s.aside && stands(), "what failed is tried again");
    look(30000, -1);
    ok(stands(), "the primary's silence changes nothing");
    dom.paused = false;
    look(31000, -1);
    look(32000, -1);
    ok(runs(), "unless the administrator unpauses it then");
    ok(dom.announced, "rule_B7: others are told where it is");
}

static void test_wish(void)
{
    begin();
    look(1000, PROTO_PRIM_SOLO);
    dom.paused = false;
    look(2000, PROTO_PRIM_SOLO);
    ok(stands(), "unpaused while the primary runs it: paused again at once");
    look(3000, PROTO_PRIM_GONE);
    look(4000, PROTO_PRIM_GONE);
    ok(runs(), "it was destroyed there just before: ours goes on after all");

    begin();
    look(1000, PROTO_PRIM_SOLO);
    dom.paused = false;
    look(2000, PROTO_PRIM_SOLO);
    for (uint64_t ms = 3100; ms < 9000; ms += 500)
        look(ms, -1);
    ok(stands(), "silence does not let it go");
    look(9000, PROTO_PRIM_GONE);
    look(10000, PROTO_PRIM_GONE);
    ok(stands(), "nor does a wish that is old");
    dom.paused = false;
    look(11000, PROTO_PRIM_GONE);
    look(12000, PROTO_PRIM_GONE);
    ok(runs(), "a new one does");
}

int main(void)
{
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    test_aside();
    test_wish();
    return done_testing();
}
