/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plane-drive.c - Take a vif's packets through the primary's proxy, as told
 *
 * plane-drive VIF          set up, inline, passive: output is held
 * plane-drive --clear VIF  remove what a killed one left
 *
 * For the lab's scenarios, in dom0: the plane and the proxy beside a primary
 * guest, without a peer. Commands on standard input, a line each; for each a
 * line of JSON on standard output:
 *
 *   open         all passes
 *   cut          an epoch begins; what is sent from now on is held
 *   commit       what lay before it leaves
 *   epochs N MS  N times: after MS milliseconds cut and commit
 *   hold, go     input rests; goes on
 *   status       counters
 *   quit         direct again, wait until nothing is under way, remove all
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "plane.h"
#include "proxy-primary.h"

#define PATIENCE_MS 10000

/**
 * struct drive - one run
 * @epoch: of the last cut
 */
struct drive {
    struct tc tc;
    struct plane plane;
    struct proxy_primary *proxy;
    uint64_t epoch;
    struct xlc_error err;
};

static int start(struct drive *d, const char *vif)
{
    const struct compare_opts compare = COMPARE_OPTS_INIT;
    struct proxy_port port;
    struct proxy_primary_cfg cfg = {
        .ports = &port, .nports = 1, .compare = compare,
    };
    int r = plane_setup(&d->plane, &d->tc, vif, &d->err);

    if (r) return r;
    port = proxy_port_of(&d->plane);
    r = proxy_primary_start(&d->proxy, &cfg, &d->err);
    return r ? r : plane_inline(&d->plane, &d->err);
}

/* All that is under way arrives, then nothing of it is left. */
static int finish(struct drive *d)
{
    uint64_t end = clock_ms() + PATIENCE_MS;
    int r = proxy_primary_open(d->proxy, &d->err);

    if (!r) r = plane_direct(&d->plane, &d->err);
    while (!r && proxy_primary_idle(d->proxy, NULL)) {
        if (clock_ms() > end)
            r = xlc_error_set(&d->err, -ETIMEDOUT, "the proxy is not idle");
        usleep(1000);
    }
    proxy_primary_stop(d->proxy);
    d->proxy = NULL;
    if (plane_teardown(&d->plane, &d->err) && !r) r = d->err.status;
    return r;
}

static int cut(struct drive *d)
{
    return proxy_primary_cut(d->proxy, ++d->epoch, &d->err);
}

static int commit(struct drive *d)
{
    return proxy_primary_commit(d->proxy, d->epoch, &d->err);
}

static int epochs(struct drive *d, const char *args)
{
    char *end;
    unsigned long n = strtoul(args, &end, 10), ms = strtoul(end, NULL, 10);
    int r = 0;

    while (n-- && !r) {
        usleep((useconds_t)ms * 1000);
        r = cut(d);
        if (!r) r = commit(d);
    }
    return r;
}

static int status(struct drive *d)
{
    struct proxy_primary_status s;
    int r = proxy_primary_status(d->proxy, &s, &d->err);

    if (r) return r;
    printf("{\"in_frames\": %" PRIu64 ", \"in_lost\": %" PRIu64
           ", \"out_frames\": %" PRIu64 ", \"out_lost\": %" PRIu64
           ", \"held_frames\": %" PRIu64 ", \"committed_frames\": %" PRIu64
           ", \"oversize\": %" PRIu64 ", \"holding\": %s}\n",
           s.in_frames, s.in_lost, s.out_frames, s.out_lost, s.compare.held,
           s.compare.committed, s.oversize, s.holding ? "true" : "false");
    return 0;
}

static int obey(struct drive *d, const char *line)
{
    if (!strcmp(line, "open")) return proxy_primary_open(d->proxy, &d->err);
    if (!strcmp(line, "cut")) return cut(d);
    if (!strcmp(line, "commit")) return commit(d);
    if (!strncmp(line, "epochs ", 7)) return epochs(d, line + 7);
    if (!strcmp(line, "hold"))
        return proxy_primary_hold(d->proxy, true, &d->err);
    if (!strcmp(line, "go"))
        return proxy_primary_hold(d->proxy, false, &d->err);
    if (!strcmp(line, "quit")) return finish(d);
    return xlc_error_set(&d->err, -EINVAL, "no such command");
}

static void answer(struct drive *d, int r)
{
    if (r)
        printf("{\"error\": \"%s\"}\n", d->err.msg); /* no quotes in it */
    else
        puts("{\"error\": null}");
    fflush(stdout);
    xlc_error_clear(&d->err);
}

int main(int argc, char **argv)
{
    struct drive d = { .plane = PLANE_INIT, .err = XLC_ERROR_INIT };
    bool clear = argc == 3 && !strcmp(argv[1], "--clear");
    char line[64] = "";
    int r;

    log_init("plane-drive", NULL, LOG_LEVEL_INFO);
    if (argc != 2 && !clear) {
        fputs("usage: plane-drive [--clear] VIF\n", stderr);
        return 2;
    }
    r = tc_open(&d.tc, &d.err);
    if (!r)
        r = clear ? plane_clear(&d.tc, argv[2], &d.err) : start(&d, argv[1]);
    answer(&d, r);
    while (!r && d.proxy && fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "status") && !status(&d)) fflush(stdout);
        else answer(&d, obey(&d, line));
    }
    proxy_primary_stop(d.proxy);
    plane_teardown(&d.plane, NULL);
    tc_close(&d.tc);
    return r != 0;
}
