/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* monitor.c - Act on a guest's shutdown, reboot or crash, as xl does */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <xenctrl.h>

#include "announce.h"
#include "daemon.h"
#include "diskserve.h"
#include "log.h"
#include "monitor.h"
#include "reunion.h"
#include "xlctx.h"

#define LOOK_AT_ONCE 64

/**
 * struct looker - what looks for the other copy
 * @r: whom it looks for
 * @xch, @uuid: by which it finds the guest here
 * @stop: eventfd: it shall end
 * @met: reunion_run() said so
 */
struct looker {
    struct reunion r;
    xc_interface *xch;
    uint8_t uuid[16];
    int stop;
    bool met;
};

/* libxl's shutdown reasons and the action of each. */
static libxl_action_on_shutdown action_for(const libxl_domain_config *cfg,
                                           int reason)
{
    switch (reason) {
    case LIBXL_SHUTDOWN_REASON_POWEROFF:
        return cfg->on_poweroff;
    case LIBXL_SHUTDOWN_REASON_REBOOT:
        return cfg->on_reboot;
    case LIBXL_SHUTDOWN_REASON_WATCHDOG:
        return cfg->on_watchdog;
    case LIBXL_SHUTDOWN_REASON_SOFT_RESET:
        return cfg->on_soft_reset;
    default:
        return cfg->on_crash;
    }
}

static void core_dump(libxl_ctx *ctx, uint32_t domid, const char *name)
{
    char path[512], stamp[32];
    time_t now = time(NULL);
    struct tm tm;

    localtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m%d-%H%M.%S", &tm);
    snprintf(path, sizeof(path), "/var/lib/xen/dump/%s.%s", name, stamp);
    if (libxl_domain_core_dump(ctx, domid, path, NULL))
        log_error("%s: no core dump in %s", name, path);
    else
        log_info("%s: core dump in %s", name, path);
}

/* The guest again from its configuration, as xl create does. */
static int start_again(libxl_ctx *ctx, libxl_domain_config *cfg,
                       uint32_t *domid_r, struct xlc_error *err)
{
    int rc;

    cfg->c_info.domid = 0;
    rc = libxl_domain_create_new(ctx, cfg, domid_r, NULL, NULL);
    if (!rc) rc = libxl_domain_unpause(ctx, *domid_r, NULL);
    if (rc)
        return xlc_error_set(err, -EIO, "%s could not be started again "
                             "(libxl error %d): `xl create` it",
                             cfg->c_info.name, rc);
    log_info("%s: started again as domain %u", cfg->c_info.name, *domid_r);
    return 0;
}

/* Out of the way of the one that is started: a name with a time. */
static void rename_away(libxl_ctx *ctx, libxl_domain_config *cfg,
                        uint32_t domid)
{
    char name[300];

    snprintf(name, sizeof(name), "%s-%lld", cfg->c_info.name,
             (long long)time(NULL));
    if (libxl_domain_preserve(ctx, domid, &cfg->c_info, name,
                              cfg->c_info.uuid))
        log_error("%s could not be renamed", cfg->c_info.name);
}

static int act(libxl_ctx *ctx, libxl_domain_config *cfg,
               libxl_action_on_shutdown what, uint32_t *domid_r,
               struct xlc_error *err)
{
    uint32_t domid = *domid_r;

    *domid_r = 0;
    switch (what) {
    case LIBXL_ACTION_ON_SHUTDOWN_PRESERVE:
        return 0;
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME:
        rename_away(ctx, cfg, domid);
        return start_again(ctx, cfg, domid_r, err);
    case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART:
    case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY:
        core_dump(ctx, domid, cfg->c_info.name);
        break;
    default:
        break;
    }
    if (libxl_domain_destroy(ctx, domid, NULL))
        return xlc_error_set(err, -EIO, "domain %u could not be destroyed",
                             domid);
    if (what == LIBXL_ACTION_ON_SHUTDOWN_RESTART ||
        what == LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET ||
        what == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART)
        return start_again(ctx, cfg, domid_r, err);
    return 0;
}

/* Look at @*domid_r; if it has ended, act. @gone_r: somebody destroyed it. */
static int look_and_act(libxl_ctx *ctx, uint32_t *domid_r, bool *gone_r,
                        struct xlc_error *err)
{
    libxl_domain_config cfg;
    libxl_dominfo info;
    int rc;

    libxl_dominfo_init(&info);
    libxl_domain_config_init(&cfg);
    rc = libxl_domain_info(ctx, &info, *domid_r);
    if (rc && rc != ERROR_DOMAIN_NOTFOUND) {
        rc = xlc_error_set(err, -EIO, "domain %u can't be looked at (libxl "
                           "error %d)", *domid_r, rc);
    } else if (rc || info.dying) {
        *gone_r = true;
        *domid_r = 0;
        rc = 0;
    } else if (info.shutdown && info.shutdown_reason ==
               LIBXL_SHUTDOWN_REASON_SUSPEND) {
        /* Somebody saves, migrates or protects it, and is its monitor from
         * here on; xl's own process ends here too. */
        *domid_r = 0;
    } else if (info.shutdown) {
        if (libxl_retrieve_domain_configuration(ctx, *domid_r, &cfg, NULL))
            rc = xlc_error_set(err, -EIO, "domain %u has no configuration",
                               *domid_r);
        else
            rc = act(ctx, &cfg, action_for(&cfg, (int)info.shutdown_reason),
                     domid_r, err);
    }
    libxl_domain_config_dispose(&cfg);
    libxl_dominfo_dispose(&info);
    return rc;
}

int monitor_act(uint32_t *domid_r, struct xlc_error *err)
{
    libxl_ctx *ctx;
    int rc = xlctx_new(&ctx, err);
    bool gone;

    if (rc) return rc;
    rc = look_and_act(ctx, domid_r, &gone, err);
    libxl_ctx_free(ctx);
    return rc;
}

static int run(_Atomic uint32_t *domid_r, bool *gone_r,
               struct xlc_error *err)
{
    uint32_t domid = *domid_r;
    libxl_ctx *ctx;
    int rc = xlctx_new(&ctx, err);

    if (rc) return rc;
    while (domid && !rc) {
        libxl_evgen_domain_death *death = NULL;
        libxl_event *ev = NULL;

        if (libxl_evenable_domain_death(ctx, domid, 1, &death)) {
            rc = xlc_error_set(err, -EIO, "domain %u can't be watched",
                               domid);
            break;
        }
        rc = libxl_event_wait(ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL) ?
             xlc_error_set(err, -EIO, "libxl gives no events") : 0;
        if (ev) libxl_event_free(ctx, ev);
        libxl_evdisable_domain_death(ctx, death);
        if (!rc) rc = look_and_act(ctx, &domid, gone_r, err);
        if (domid) *domid_r = domid;
    }
    libxl_ctx_free(ctx);
    return rc;
}

int monitor_run(_Atomic uint32_t *domid, struct xlc_error *err)
{
    bool gone = false;

    return run(domid, &gone, err);
}

/* reunion.h's look(): is a domain of that uuid here, and does it run? */
static enum reunion_here look_here(void *opaque, uint32_t *domid_r)
{
    const struct looker *l = opaque;
    xc_domaininfo_t info[LOOK_AT_ONCE];
    uint32_t first = 0;
    int n;

    while ((n = xc_domain_getinfolist(l->xch, first, LOOK_AT_ONCE,
                                      info)) > 0) {
        for (int i = 0; i < n; i++) {
            const xc_domaininfo_t *d = &info[i];
            unsigned int why = d->flags >> XEN_DOMINF_shutdownshift &
                               XEN_DOMINF_shutdownmask;
            bool down = d->flags & XEN_DOMINF_shutdown;

            if (memcmp(d->handle, l->uuid, sizeof(l->uuid)) ||
                d->flags & XEN_DOMINF_dying ||
                (down && why != SHUTDOWN_suspend))
                continue;
            *domid_r = d->domain;
            return down || d->flags & XEN_DOMINF_paused ? REUNION_STILL :
                   REUNION_RUNS;
        }
        first = info[n - 1].domain + 1u;
    }
    return REUNION_GONE;
}

/* reunion.h's announce(), with a libxl of its own: another thread's waits. */
static void announce_here(void *opaque, uint32_t domid)
{
    const struct looker *l = opaque;
    struct xlc_error e = XLC_ERROR_INIT;
    libxl_ctx *ctx;

    if (xlctx_new(&ctx, &e)) {
        log_warn("%s: %s; it is not announced", l->r.name, e.msg);
        return;
    }
    if (announce_domain(ctx, domid, &e) < 0)
        log_warn("%s: %s; until it sends something, others may not reach it",
                 l->r.name, e.msg);
    libxl_ctx_free(ctx);
}

static void *reunion_thread(void *opaque)
{
    struct looker *l = opaque;

    l->met = reunion_run(&l->r, l->stop);
    return NULL;
}

/* Both at once: the monitor's end is the end of the other. */
static void stay(_Atomic uint32_t *domid, bool act, struct looker *l)
{
    struct xlc_error e = XLC_ERROR_INIT;
    const uint64_t one = 1;
    pthread_t thread;
    bool looking, gone = false;

    l->r.look = look_here;
    l->r.announce = announce_here;
    l->r.opaque = l;
    memcpy(l->uuid, l->r.uuid_raw, sizeof(l->uuid));
    l->xch = xc_interface_open(log_xtl(), NULL, 0);
    l->stop = eventfd(0, EFD_CLOEXEC);
    looking = l->xch && l->stop >= 0;
    if (!looking) log_error("%s: can't look for its copy", l->r.name);
    if (!act) {
        if (looking) reunion_run(&l->r, l->stop);
        return;
    }
    looking = looking && !pthread_create(&thread, NULL, reunion_thread, l);
    if (run(domid, &gone, &e)) log_error("%s: %s", l->r.name, e.msg);
    if (!looking) return;
    if (write(l->stop, &one, sizeof(one)) < 0)
        log_error("eventfd: %s", strerror(errno));
    pthread_join(thread, NULL);
    /* RULES A7: who destroys this copy decides for the one that it met. As
     * long as it met none, it may be created again. */
    if (gone && l->met) diskserve_claim(&l->r.disks, "passed", l->r.name);
}

int monitor_daemon(uint32_t domid, const char *name, bool act,
                   const struct reunion *r, struct xlc_error *err)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct looker l = { .stop = -1 };
    _Atomic uint32_t at = domid;
    pid_t pid;

    /* What the caller wipes is not the child's. */
    if (r) l.r = *r;
    pid = fork();
    if (pid) {
        conn_secret_wipe(&l.r.peer.secret);
        if (pid < 0)
            return xlc_error_set(err, -errno, "fork: %s", strerror(errno));
        waitpid(pid, NULL, 0);
        return 0;
    }
    /* Twice, so that nobody has to reap it. */
    if (fork()) _exit(0);
    daemon_detach("monitor", name);
    if (r) stay(&at, act, &l);
    else if (monitor_run(&at, &e)) log_error("%s: %s", name, e.msg);
    _exit(0);
}
