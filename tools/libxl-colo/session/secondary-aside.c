/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secondary-aside.c - Two copies run and meet: ours stands aside (RULES A2)
 *
 * On the main thread. The guest's vifs leave their bridge first, so that
 * nothing of it is heard any more, then it is paused; nothing else happens to
 * it. Whatever fails is tried again a second later. From then on it is looked
 * at once a second: an administrator who unpauses it wants it to go on, and it
 * gets its network back; unless the primary says all the time that it runs the
 * guest, too. That word may be older than what the administrator did to the
 * copy there a moment ago, so the wish is kept for a while.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include <libxl_utils.h>

#include "announce.h"
#include "bridge.h"
#include "clock.h"
#include "log.h"
#include "secondary.h"
#include "vifname.h"
#include "xlctx.h"

#define LOOK_MS 1000u
/* The primary's guard says what is true about once a second. */
#define WORD_MS 4000u
/* The wish to let it go holds for so long. */
#define WISH_MS 5000u

/* The guest, whatever number its domain has by now. Return: -ENOENT: gone */
static int find(struct secondary *s, libxl_dominfo *info_r,
                struct xlc_error *err)
{
    libxl_dominfo *all;
    int n = 0, r = -ENOENT;

    if (!s->ctx) {
        r = xlctx_new(&s->ctx, err);
        if (r) return r;
        r = -ENOENT;
    }
    all = libxl_list_domain(s->ctx, &n);
    if (!all) return xlc_error_set(err, -EIO, "libxl lists no domains");
    for (int i = 0; i < n && r; i++) {
        if (memcmp(libxl_uuid_bytearray(&all[i].uuid), s->sh->uuid_raw, 16) ||
            all[i].dying)
            continue;
        libxl_dominfo_copy(s->ctx, info_r, &all[i]);
        r = 0;
    }
    libxl_dominfo_list_free(all, n);
    return r ? xlc_error_set(err, r, "the guest is gone") : 0;
}

bool secondary_guest_gone(struct secondary *s)
{
    struct xlc_error e = XLC_ERROR_INIT;
    libxl_dominfo info;
    bool gone;

    if (s->m.state != SEC_OPEN && s->m.state != SEC_ASIDE) return false;
    libxl_dominfo_init(&info);
    gone = find(s, &info, &e) == -ENOENT;
    libxl_dominfo_dispose(&info);
    return gone;
}

/* Every vif of the domain off its bridge, or back. */
static int move_vifs(struct secondary *s, uint32_t domid, bool join,
                     struct xlc_error *err)
{
    libxl_device_nic *nics;
    int n = 0, rc = 0;

    nics = libxl_device_nic_list(s->ctx, domid, &n);
    for (int i = 0; i < n; i++) {
        char name[IFNAMSIZ];
        int r;

        vif_name(name, domid, &nics[i]);
        r = join ? bridge_join(name, nics[i].bridge, err) :
            bridge_leave(name, err);
        if (!rc) rc = r;
    }
    if (nics) libxl_device_nic_list_free(nics, n);
    return rc;
}

static void save_state(struct secondary *s, const char *state)
{
    struct xlc_error e = XLC_ERROR_INIT;

    snprintf(s->rec.state, sizeof(s->rec.state), "%s", state);
    if (record_save(&s->rec, &e)) log_error("%s: %s", s->rec.name, e.msg);
}

static const char *primary_host(const struct secondary *s)
{
    return s->rec.peer[0] ? s->rec.peer : "the primary's host";
}

static int stand_aside(struct secondary *s, const libxl_dominfo *info,
                       struct xlc_error *err)
{
    int r = move_vifs(s, info->domid, false, err);

    /* Pauses are counted: once is enough. */
    if (!info->paused && libxl_domain_pause(s->ctx, info->domid, NULL))
        r = xlc_error_set(err, -EIO, "domain %u can't be paused: `xl pause "
                          "%u`", info->domid, info->domid);
    return r;
}

static void leave(struct secondary *s, const libxl_dominfo *info)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (stand_aside(s, info, &e)) {
        log_error("%s: THE PRIMARY RUNS IT TOO, and it can't be taken aside "
                  "here: %s; trying again", s->rec.name, e.msg);
        return;
    }
    s->told = false;
    s->aside = 0;
    log_error("%s: the primary on %s runs it too: all paths between the "
              "hosts were cut, and both went on. This copy (domain %u), "
              "which took over, is paused and off its bridge; the other one "
              "goes on. To keep that one: `xl destroy %s` here. To keep this "
              "one: `xl destroy %s` there, then `xl unpause %s` here",
              s->rec.name, primary_host(s), info->domid, s->rec.name,
              s->rec.name, s->rec.name);
    save_state(s, sec_state_name(SEC_ASIDE));
}

static void rejoin(struct secondary *s, const libxl_dominfo *info)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (move_vifs(s, info->domid, true, &e)) {
        log_error("%s: its network: %s; trying again", s->rec.name, e.msg);
        return;
    }
    if (announce_domain(s->ctx, info->domid, &e) < 0)
        log_warn("%s: %s; until it sends something, others may not reach it",
                 s->rec.name, e.msg);
    s->aside = 0;
    log_warn("%s: it was unpaused: it goes on here, with its network",
             s->rec.name);
    save_state(s, "open");
}

/* The primary says all the time that the guest runs there. */
static bool primary_runs_it(const struct secondary *s, uint64_t now_ms)
{
    return s->peer_beat.state == PROTO_PRIM_SOLO &&
           paths_silence_ms(&s->paths, now_ms) < WORD_MS + s->hello.limit_ms;
}

/* The wish of whoever unpauses it; perhaps we paused it once more. */
static void let_go(struct secondary *s, const libxl_dominfo *info)
{
    s->wish_ms = 0;
    if (info->paused && libxl_domain_unpause(s->ctx, info->domid, NULL))
        log_error("%s: domain %u can't be unpaused: `xl unpause %u`",
                  s->rec.name, info->domid, info->domid);
    else
        secondary_event(s, SEC_EV_LET_GO, 0);
}

/* It was unpaused, and had to be paused again, a moment ago; and the primary
 * has said since that it does not run there. Silence says no such thing. */
static bool wish_granted(const struct secondary *s, uint64_t now_ms)
{
    return s->wish_ms && now_ms - s->wish_ms < WISH_MS &&
           s->peer_beat.state != PROTO_PRIM_SOLO;
}

/* It stands aside and was looked at. */
static void watch(struct secondary *s, const libxl_dominfo *info,
                  uint64_t now_ms)
{
    bool runs = primary_runs_it(s, now_ms);

    if (!runs && !s->told && s->peer_beat.state == PROTO_PRIM_GONE) {
        log_warn("%s: it is gone on %s: `xl unpause %s` lets this copy go on",
                 s->rec.name, primary_host(s), s->rec.name);
        s->told = true;
    }
    if (info->paused ? wish_granted(s, now_ms) : !runs) {
        let_go(s, info);
        return;
    }
    if (info->paused) return;
    s->wish_ms = now_ms;
    log_error("%s: it was unpaused while %s runs it too: paused again. First "
              "`xl destroy %s` there", s->rec.name, primary_host(s),
              s->rec.name);
    leave(s, info);
}

void secondary_aside(struct secondary *s, uint64_t now_ms)
{
    struct xlc_error e = XLC_ERROR_INIT;
    libxl_dominfo info;
    enum sec_state st;
    unsigned int todo;

    pthread_mutex_lock(&s->lock);
    st = s->m.state;
    todo = s->aside;
    pthread_mutex_unlock(&s->lock);
    if (st != SEC_ASIDE && !todo) return;
    if (now_ms < s->look_ms) return;
    s->look_ms = now_ms + LOOK_MS;
    libxl_dominfo_init(&info);
    if (find(s, &info, &e)) {
        if (e.status != -ENOENT) log_error("%s: %s", s->rec.name, e.msg);
    } else if (todo & SEC_DO_ASIDE) {
        leave(s, &info);
    } else if (todo & SEC_DO_REJOIN) {
        rejoin(s, &info);
    } else {
        watch(s, &info, now_ms);
    }
    libxl_dominfo_dispose(&info);
}
