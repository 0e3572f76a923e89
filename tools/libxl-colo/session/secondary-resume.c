/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secondary-resume.c - In place of a worker that was killed after a failover
 *
 * The guest runs here and was not touched by that; its disks are served by
 * processes of their own, and the guard is its monitor. What the worker still
 * did is taken up again: the packets of connections from before the takeover
 * (RULES B4), the answers to whoever thinks that it is the primary (RULES A2),
 * and those to the administrator. All that is needed is in struct
 * receive_shared; what is not there anymore (half-open connections to the
 * primary, waiting questions) is made again by the other side.
 *
 * What is not done again is the end of a takeover, if the worker was killed in
 * the middle of it: that no other host need be asked about the disks, and that
 * what the guest writes to its memory is not logged any more.
 */
#include <config.h>

#include <errno.h>

#include "clock.h"
#include "daemon.h"
#include "log.h"
#include "receive-vifs.h"
#include "secondary.h"

/* Its port may be had by somebody else by now; that is no reason to leave
 * connections alone. */
static void listen_again(struct secondary *s)
{
    struct xlc_error e = XLC_ERROR_INIT;

    s->listener = conn_listen(s->sh->port, &s->port, &e);
    if (s->listener < 0)
        log_error("%s: %s: if the primary lives after all, it is not heard "
                  "here", s->rec.name, e.msg);
}

/* If it was to stand aside, or to come back from there, that may not have
 * been done; both may be done twice. */
static void take_state(struct secondary *s)
{
    enum sec_state state = (enum sec_state)s->sh->state;

    s->m.state = state == SEC_ASIDE || state == SEC_OVER ? state : SEC_OPEN;
    s->m.accepted = s->m.applied = s->rec.epoch;
    s->m.opened = s->sh->opened;
    if (s->m.state == SEC_ASIDE) s->aside = SEC_DO_ASIDE;
    else if (s->m.state == SEC_OPEN && s->m.opened > 1)
        s->aside = SEC_DO_REJOIN;
}

static int take_packets(struct secondary *s, struct xlc_error *err)
{
    int r;

    if (!s->sh->nvifs) return 0;
    r = secondary_proxy_new(&s->proxy, s->rec.name, s->sh, err);
    if (!r) r = secondary_proxy_resume(s->proxy, err);
    if (!r)
        log_warn("%s: %u connections from before the takeover go on",
                 s->rec.name, (unsigned int)secondary_proxy_live(s->proxy));
    return r;
}

/* Connections from before may break; what else is to be done here may not. */
static void give_up_packets(struct secondary *s)
{
    secondary_proxy_free(s->proxy);
    s->proxy = NULL;
    /* What stays closed the guard tries again when we end. */
    if (receive_vifs_clear(s->sh))
        log_error("%s: its packets go their direct way, and connections from "
                  "before the takeover may break", s->sh->name);
}

/* See above. */
static void warn_unsettled(const struct secondary *s)
{
    const struct receive_shared *sh = s->sh;
    bool colo = sh->hello.caps & PROTO_CAP_COLO;

    if (sh->settled || (!sh->ndisks && !colo)) return;
    log_warn("%s: that process was killed at the end of the takeover%s%s",
             sh->name, sh->ndisks ? "; before the guest is started again from "
             "its disks the other host will be asked" : "",
             colo ? "; the guest may run more "
             "slowly (its writes to memory are logged) until it is started, "
             "migrated or protected anew" : "");
}

int secondary_take_place(struct secondary *s, struct xlc_error *err)
{
    const struct receive_shared *sh = s->sh;
    struct xlc_error e = XLC_ERROR_INIT;
    uint64_t now = clock_ms();
    int r;

    daemon_detach("receive", sh->name);
    /* Somebody who has it has the guest; nothing is touched. */
    r = control_listen(&s->control, sh->uuid, err);
    if (r) return r;
    s->hello = sh->hello;
    s->secret = sh->secret;
    s->rec = sh->rec;
    s->finished = s->met = true;
    take_state(s);
    paths_init(&s->paths, s->hello.limit_ms + s->hello.limit_ms / 4, now);
    /* First what clients wait for. */
    if (take_packets(s, &e)) {
        log_error("%s: %s", s->rec.name, e.msg);
        give_up_packets(s);
    }
    log_no_wait();
    secondary_events_begin(s);
    listen_again(s);
    secondary_announce_begin(s);
    log_warn("%s: this process takes the place of one that was killed",
             s->rec.name);
    warn_unsettled(s);
    return 0;
}
