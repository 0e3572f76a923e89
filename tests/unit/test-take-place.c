/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-take-place.c - A receiver in place of a killed one: what it takes up
 *
 * The real secondary-resume.c; a step is a letter in a line.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "plane.h"
#include "secondary.h"
#include "tap.h"

/* now - the host; @busy: somebody else has the guest's socket; @broken: its
 * vifs can't be taken over; @stuck: nor opened; @did: what was done */
static struct {
    bool busy, broken, stuck;
    char did[32];
} now;

static struct receive_shared shared;
static struct secondary s;

static void did(const char *what)
{
    size_t n = strlen(now.did);

    snprintf(now.did + n, sizeof(now.did) - n, "%s", what);
}

/* ---- What is not here: the rest of the secondary ------------------------ */

void daemon_detach(const char *role, const char *name)
{
    (void)role, (void)name;
}

int control_listen(struct control **c_r, const char *uuid,
                   struct xlc_error *err)
{
    (void)c_r, (void)uuid;
    if (now.busy) return xlc_error_set(err, -EBUSY, "protected already");
    did("s");
    return 0;
}

int conn_listen(uint16_t port, uint16_t *port_r, struct xlc_error *err)
{
    (void)err;
    did("l");
    *port_r = port;
    return 7;
}

int secondary_proxy_new(struct secondary_proxy **p_r, const char *name,
                        struct receive_shared *sh, struct xlc_error *err)
{
    (void)name, (void)sh, (void)err;
    *p_r = (struct secondary_proxy *)&now;
    return 0;
}

int secondary_proxy_resume(struct secondary_proxy *p, struct xlc_error *err)
{
    (void)p;
    if (now.broken) return xlc_error_set(err, -EIO, "no vif");
    did("p");
    return 0;
}

void secondary_proxy_free(struct secondary_proxy *p)
{
    if (p) did("f");
}

uint32_t secondary_proxy_live(struct secondary_proxy *p)
{
    (void)p;
    return 1;
}

int tc_open(struct tc *tc, struct xlc_error *err)
{
    (void)tc, (void)err;
    return 0;
}

void tc_close(struct tc *tc)
{
    (void)tc;
}

int plane_clear(struct tc *tc, const char *vif, struct xlc_error *err)
{
    (void)tc, (void)vif;
    did("c");
    return now.stuck ? xlc_error_set(err, -EIO, "stuck") : 0;
}

void secondary_events_begin(struct secondary *sec)
{
    (void)sec;
}

void secondary_announce_begin(struct secondary *sec)
{
    (void)sec;
    did("a");
}

/* ---- Tests -------------------------------------------------------------- */

static int take(struct xlc_error *err)
{
    shared = (struct receive_shared){ .nvifs = 2, .port = 9, .opened = 1 };
    shared.rec.role = PROTO_ROLE_PRIMARY;
    shared.rec.epoch = 5;
    shared.state = SEC_OPEN;
    s = (struct secondary){ .sh = &shared, .listener = -1 };
    memset(now.did, 0, sizeof(now.did));
    return secondary_take_place(&s, err);
}

int main(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    ok(!take(&e) && !strcmp(now.did, "spla") && s.m.state == SEC_OPEN &&
       s.m.accepted == 5 && shared.nvifs == 2 && s.listener == 7,
       "its socket, then packets, then the primary's port: %s", now.did);

    now.busy = true;
    ok(take(&e) == -EBUSY && !now.did[0] && !s.rec.role && !s.proxy &&
       shared.nvifs == 2,
       "where somebody else has the guest nothing is touched, and there is "
       "no record to save");
    now.busy = false;

    now.broken = true;
    xlc_error_clear(&e);
    ok(!take(&e) && !strcmp(now.did, "sfccla") && !s.proxy && !shared.nvifs,
       "rule_A2: without its vifs they go their direct way, and the primary "
       "is heard: %s", now.did);
    now.stuck = true;
    ok(!take(&e) && !strcmp(now.did, "sfccla") && shared.nvifs == 2,
       "those that stay closed are the guard's");
    return done_testing();
}
