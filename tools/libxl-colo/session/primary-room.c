/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary-room.c - The primary takes the guest's control socket
 *
 * Theory of operation
 * -------------------
 * After a failover the receiver that took the guest over stays, to tell
 * whoever still thinks that it is the primary; after a silence, the one that
 * looks for the other copy. They make room when the guest is protected anew,
 * but not before the other host has said READY: until then the start may
 * fail, and without them two running copies would never meet (RULES A2).
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "primary.h"

#define ASK_MS  2000
#define ROOM_MS 5000

static void path_of(const struct primary *p, char *buf, size_t size)
{
    snprintf(buf, size, "%s/%s.sock", control_dir(), p->guest.uuid);
}

/* May whoever answers so be told to go? */
static int may_go(const struct primary *p, const char *answer,
                  struct xlc_error *err)
{
    if (strstr(answer, "\"split\":true"))
        return xlc_error_set(err, -EBUSY, "two copies of %s ran, and one of "
                             "them stands aside: `xl destroy` one first, see "
                             "`xl remus-status`; or, if the other host is "
                             "gone for good, `xl remus-stop` the one that "
                             "goes on, `xl unpause` the one that does not",
                             p->guest.name);
    if (strstr(answer, "\"live_flows\":") &&
        !strstr(answer, "\"live_flows\":0"))
        return xlc_error_set(err, -EBUSY, "connections to %s from before its "
                             "takeover still go through the process that "
                             "received it, and would break: wait until they "
                             "are closed, or `xl remus-stop` it twice",
                             p->guest.name);
    if ((strstr(answer, "\"role\":\"secondary\"") &&
         strstr(answer, "\"state\":\"running\"")) ||
        (strstr(answer, "\"role\":\"primary\"") &&
         strstr(answer, "\"state\":\"unprotected\"")))
        return 0;
    return xlc_error_set(err, -EBUSY, "%s is protected already, see "
                         "`xl remus-status`", p->guest.name);
}

/* The other host's READY says that no copy runs there; another one's says
 * nothing about the one where the copy may run. */
static void warn_elsewhere(const struct primary *p, const char *answer)
{
    char peer[300];

    snprintf(peer, sizeof(peer), "\"peer\":\"%s\"", p->o->host);
    if (strstr(answer, "\"role\":\"primary\"") && !strstr(answer, peer))
        log_warn("%s: its copy may still run on the host that it was "
                 "protected by before, and is not looked for any more: look "
                 "there, and `xl destroy` it", p->guest.name);
}

/* Take the socket if it is free, or see whether it can be had. */
int primary_find_room(struct primary *p, struct xlc_error *err)
{
    struct xlc_error e = XLC_ERROR_INIT;
    CLEANUP_FREE char *answer = NULL;
    char path[128];
    int r = control_listen(&p->control, p->guest.uuid, &e);

    if (r != -EBUSY) return r ? xlc_error_set(err, r, "%s", e.msg) : 0;
    path_of(p, path, sizeof(path));
    r = control_ask(path, CONTROL_STATUS, ASK_MS, &answer, err);
    return r ? r : may_go(p, answer, err);
}

/* Take it from whoever has it. */
int primary_make_room(struct primary *p, struct xlc_error *err)
{
    const struct timespec nap = { 0, 20000000 };
    CLEANUP_FREE char *answer = NULL;
    uint64_t deadline = clock_ms() + ROOM_MS;
    struct xlc_error e = XLC_ERROR_INIT;
    char path[128];

    if (p->control) return 0;
    path_of(p, path, sizeof(path));
    /* It may be gone by now; the socket tells. */
    if (!control_ask(path, CONTROL_STATUS, ASK_MS, &answer, &e)) {
        if (may_go(p, answer, err)) return err->status;
        warn_elsewhere(p, answer);
        free(steal_ptr(&answer));
        control_ask(path, CONTROL_STOP, ASK_MS, &answer, &e);
    }
    for (;;) {
        xlc_error_clear(&e);
        if (!control_listen(&p->control, p->guest.uuid, &e)) return 0;
        if (clock_ms() >= deadline)
            return xlc_error_set(err, -EBUSY, "%s", e.msg);
        nanosleep(&nap, NULL);
    }
}
