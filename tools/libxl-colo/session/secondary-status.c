/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary-status.c - The secondary shows itself and takes wishes */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "secondary.h"

/* Within this time, asked twice is meant. */
#define TWICE_MS 30000u

static void put_warnings(const struct secondary *s, struct json *j)
{
    char clock[96];

    json_array(j, "warnings");
    if (wallclock_far(&s->clock, clock, sizeof(clock)))
        json_str(j, NULL, clock);
    json_str(j, NULL, "no arbiter: if all paths between the hosts are cut "
             "while both live, both will run the guest");
    if (s->secret.plaintext)
        json_str(j, NULL, "the link is not encrypted (--plaintext)");
    if (s->note[0]) json_str(j, NULL, s->note);
    if (s->m.state == SEC_ASIDE)
        json_str(j, NULL, "two copies ran: this one, which took over, is "
                 "paused and off its bridge, the primary's goes on; to keep "
                 "that one, `xl destroy` this one; to keep this one, `xl "
                 "destroy` that one and `xl unpause` this one");
    json_array_end(j);
}

/* The copy, and its packets; also those of one that another process made. */
static void put_copy(const struct secondary *s, struct json *j)
{
    if (s->colo) {
        colo_secondary_status(s->colo, j);
    } else if (s->proxy) {
        json_object(j, "svm");
        json_uint(j, "domid", s->sh->domid);
        secondary_proxy_status(s->proxy, j);
        json_object_end(j);
    }
}

static char *status(struct secondary *s)
{
    uint64_t now = clock_ms();
    int64_t diff_us;
    struct json j;

    json_begin(&j);
    json_int(&j, "rc", 0);
    disks_json(&s->disks, &j); /* asks others: without the lock */
    LOCK_SCOPE(&s->lock);
    json_str(&j, "domain", s->rec.name);
    json_str(&j, "uuid", s->rec.uuid);
    json_uint(&j, "domid", s->sh->domid || !s->colo ? s->sh->domid :
              colo_secondary_domid(s->colo));
    json_str(&j, "role", "secondary");
    json_str(&j, "state", sec_state_name(s->m.state));
    json_bool(&j, "protected", s->m.state == SEC_PAIRED);
    json_bool(&j, "split", s->m.state == SEC_ASIDE);
    json_str(&j, "peer", s->rec.peer);
    json_str(&j, "mode", s->proxy ? "colo" : "remus");
    json_uint(&j, "generation", s->rec.generation);
    json_uint(&j, "epoch_cut", 0);
    json_uint(&j, "epoch_committed", s->peer_beat.applied);
    json_uint(&j, "epoch_accepted", s->m.accepted);
    json_uint(&j, "epoch_applied", s->m.applied);
    json_uint(&j, "heartbeat_ms", s->hello.heartbeat_ms);
    json_uint(&j, "limit_ms", s->paths.limit_ms);
    json_uint(&j, "silence_ms", paths_silence_ms(&s->paths, now));
    if (wallclock_diff(&s->clock, &diff_us))
        json_int(&j, "clock_diff_ms", diff_us / 1000);
    json_uint(&j, "suspended_ms", s->peer_beat.suspended_ms);
    json_uint(&j, "apply_us", s->apply_us);
    json_uint(&j, "epoch_memory_bytes", s->epoch_memory);
    json_uint(&j, "epoch_limit_bytes", s->epoch_limit);
    put_copy(s, &j);
    json_uint(&j, "bytes", s->epoch_bytes);
    json_uint(&j, "pages", s->pages);
    json_uint(&j, "checkpoints_total", s->epochs);
    json_uint(&j, "bytes_total", s->bytes_total);
    json_str(&j, "link", s->secret.plaintext ? "plaintext" : "tls");
    json_str(&j, "arbiter", "none");
    json_uint(&j, "log_lines_lost", log_lost());
    json_int(&j, "pid", getpid());
    json_array(&j, "paths");
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++) {
        if (!s->paths.used[i] || (!s->conns[i] && !s->newest[i])) continue;
        json_object(&j, NULL);
        json_str(&j, "address", i == SECONDARY_GUARD ? "guard" : "path");
        json_bool(&j, "connected", s->conns[i] != NULL);
        json_uint(&j, "silence_ms", now - s->paths.heard_ms[i]);
        json_object_end(&j);
    }
    json_array_end(&j);
    put_warnings(s, &j);
    return json_end(&j);
}

static void refuse(struct secondary *s, const struct control_req *req,
                   const char *why)
{
    struct xlc_error e = XLC_ERROR_INIT;

    xlc_error_set(&e, -EPERM, "%s", why);
    control_reply_error(s->control, req->id, &e);
}

static void want_failover(struct secondary *s, const struct control_req *req)
{
    enum sec_state st;

    pthread_mutex_lock(&s->lock);
    st = s->m.state;
    pthread_mutex_unlock(&s->lock);
    if (st != SEC_PAIRED) {
        refuse(s, req, st == SEC_SYNCING ?
               "the first copy is not complete: nothing here could run" :
               "the guest is not protected here now");
        return;
    }
    if (s->waiter_used) {
        refuse(s, req, "a failover is under way already");
        return;
    }
    s->waiter_used = true;
    s->waiter_id = req->id;
    secondary_event(s, SEC_EV_FAILOVER, 0);
}

/* Connections from before the takeover go through us: whoever wants this
 * process to end says so twice. */
static bool breaks(struct secondary *s, const struct control_req *req)
{
    uint64_t now = clock_ms(), asked = s->stop_ms;
    char why[200];
    uint32_t n;

    if (s->m.state != SEC_OPEN || !s->proxy) return false;
    n = secondary_proxy_live(s->proxy);
    if (!n || (asked && now - asked < TWICE_MS)) return false;
    s->stop_ms = now;
    snprintf(why, sizeof(why), "%u connections from before the takeover go "
             "through this process and would break: wait until they are "
             "closed, or ask again within %u s", n, TWICE_MS / 1000);
    refuse(s, req, why);
    return true;
}

void secondary_control(struct secondary *s, const struct control_req *req)
{
    static const struct xlc_error ok = XLC_ERROR_INIT;
    CLEANUP_FREE char *text = NULL;

    switch (req->op) {
    case CONTROL_STATUS:
        text = status(s);
        if (text) control_reply(s->control, req->id, text);
        else refuse(s, req, "no memory");
        return;
    case CONTROL_FAILOVER:
        want_failover(s, req);
        return;
    case CONTROL_STOP:
        /* The copy goes; or the guest runs here and only this process goes.
         * One that stood aside needs us to get back on its bridge. */
        if (s->m.state == SEC_ASIDE) {
            refuse(s, req, "its copy here stands aside for the one on the "
                   "other host: `xl destroy` this one, which ends it; or, "
                   "when that one is destroyed or its host is dead, `xl "
                   "unpause` this one");
            return;
        }
        if (breaks(s, req)) return;
        pthread_mutex_lock(&s->lock);
        if (!s->note[0])
            snprintf(s->note, sizeof(s->note), "stopped on the secondary");
        pthread_mutex_unlock(&s->lock);
        secondary_event(s, SEC_EV_STOP, 0);
        /* The work thread looks now and then whether it is to give up. */
        if (sec_out(&s->m) || s->m.state == SEC_OPEN ||
            s->m.state == SEC_OVER ||
            (s->m.state == SEC_OPENING && s->dead_wait)) {
            s->dismissed = true;
            control_reply_error(s->control, req->id, &ok);
        } else {
            refuse(s, req, "the guest is being handed over to this host; "
                   "it can't be stopped now");
        }
        return;
    default:
        refuse(s, req, "ask on the host that runs the guest");
    }
}

void secondary_answer_waiter(struct secondary *s)
{
    static const struct xlc_error ok = XLC_ERROR_INIT;
    struct xlc_error e = { -EIO, "" };
    enum sec_state st;

    if (!s->waiter_used) return;
    pthread_mutex_lock(&s->lock);
    st = s->m.state;
    snprintf(e.msg, sizeof(e.msg), "%s", s->note[0] ? s->note :
             "the primary ended protection instead");
    pthread_mutex_unlock(&s->lock);
    if (st == SEC_OPEN || st == SEC_OVER)
        control_reply_error(s->control, s->waiter_id, &ok);
    else if (sec_out(&s->m)) control_reply_error(s->control, s->waiter_id, &e);
    else return;
    s->waiter_used = false;
}
