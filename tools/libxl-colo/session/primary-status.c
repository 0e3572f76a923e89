/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary-status.c - The primary shows itself: status, progress, xenstore */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "events.h"
#include "host.h"
#include "json.h"
#include "log.h"
#include "primary.h"
#include "primary-disks.h"
#include "primary-proxy.h"

#define PROGRESS_TTY_MS   250
#define PROGRESS_PLAIN_MS 5000

/* With the lock held. Return: percent. */
static int look_at_copy(const struct primary *p, struct progress *copy)
{
    *copy = p->copy;
    copy->all = p->tot_pages * 4096;
    copy->sent = p->stage ? stage_total(p->stage) : 0;
    copy->cut = p->m.cut;
    return p->m.acked ? 100 : progress_percent(copy);
}

static void put_netbuf(struct primary *p, struct json *j)
{
    struct netbuf_stat st[NETBUF_VIF_MAX];
    struct xlc_error e = XLC_ERROR_INIT;
    uint64_t packets = 0, bytes = 0, drops = 0;
    int n = 0;

    /* A tear-down may take its time; status does not wait for it. */
    if (!pthread_mutex_trylock(&p->nb_lock)) {
        if (p->nb) n = netbuf_stat(p->nb, st, NETBUF_VIF_MAX, &e);
        pthread_mutex_unlock(&p->nb_lock);
    }
    for (int i = 0; i < n; i++) {
        packets += st[i].held_packets;
        bytes += st[i].held_bytes;
        drops += st[i].drops;
    }
    primary_proxy_held(p, &packets, &bytes);
    json_uint(j, "held_packets", packets);
    json_uint(j, "held_bytes", bytes);
    json_uint(j, "drops_packets", drops);
    json_str(j, "network", p->o->no_net ? "unbuffered" : p->px ? "compared" :
             p->cfg.num_nics ? "buffered" : "none");
}

static void put_warnings(struct primary *p, struct json *j)
{
    char clock[96], compared[3 * XLC_ERROR_MAX];

    json_array(j, "warnings");
    if (wallclock_far(&p->clock, clock, sizeof(clock)))
        json_str(j, NULL, clock);
    json_str(j, NULL, "no arbiter: if all paths between the hosts are cut "
             "while both live, both will run the guest");
    if (p->o->no_net)
        json_str(j, NULL, "output is not held back (-n): after a failover "
                 "clients may know more than the guest");
    if (p->o->plaintext)
        json_str(j, NULL, "the link is not encrypted (--plaintext)");
    if (host_has_writable_disk(&p->cfg) && p->o->no_disk)
        json_str(j, NULL, "disks are not mirrored (-d): after a failover "
                 "they hold whatever the other host has");
    if (p->stage && stage_overflows(p->stage))
        json_str(j, NULL, "epochs larger than --staging-limit: the guest "
                 "waited for the network");
    if (primary_proxy_warning(p, compared, sizeof(compared)))
        json_str(j, NULL, compared);
    if (p->m.state != PRIM_PROTECTED && p->m.state != PRIM_SYNCING)
        json_str(j, NULL, "protection is ending");
    json_array_end(j);
}

static void put_paths(struct primary *p, struct json *j, uint64_t now)
{
    json_array(j, "paths");
    for (unsigned int i = 0; i < p->naddr; i++) {
        json_object(j, NULL);
        json_str(j, "address", p->addr[i]);
        json_bool(j, "connected", p->ctrl[i] != NULL);
        json_uint(j, "silence_ms", now - p->paths.heard_ms[i]);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_times(const struct primary *p, struct json *j)
{
    json_uint(j, "pause_us", p->times.pause);
    json_uint(j, "suspend_us", p->times.suspend);
    json_uint(j, "capture_us", p->times.capture);
    json_uint(j, "resume_us", p->times.resume);
    json_uint(j, "transfer_us", p->times.transfer);
    json_uint(j, "ack_us", p->times.ack);
    json_uint(j, "bytes", p->epoch_bytes);
    json_uint(j, "pages", p->epoch_bytes / 4096);
    json_uint(j, "checkpoints_total", p->checkpoints);
    json_uint(j, "bytes_total", p->bytes_total);
}

static char *status(struct primary *p)
{
    uint64_t now = clock_ms();
    struct progress copy;
    int64_t diff_us;
    struct json j;

    json_begin(&j);
    json_int(&j, "rc", 0);
    disks_json(&p->disks, &j); /* asks others: without the lock */
    LOCK_SCOPE(&p->lock);
    json_str(&j, "domain", p->rec.name);
    json_str(&j, "uuid", p->guest.uuid);
    json_uint(&j, "domid", p->guest.domid);
    json_str(&j, "role", "primary");
    json_str(&j, "state", prim_state_name(p->m.state));
    json_bool(&j, "protected", p->m.state == PRIM_PROTECTED ||
              p->m.state == PRIM_SWAPPING);
    json_str(&j, "peer", p->o->host);
    if (p->o->config) json_str(&j, "config", p->o->config);
    json_str(&j, "mode", policy_wish_name(p->live.wish));
    json_uint(&j, "generation", p->rec.generation);
    json_uint(&j, "epoch_cut", p->m.cut);
    json_uint(&j, "epoch_committed", p->m.acked);
    json_uint(&j, "epoch_accepted", p->peer_beat.accepted);
    json_uint(&j, "epoch_applied", p->peer_beat.applied);
    json_uint(&j, "interval_ms", p->live.interval_ms);
    json_uint(&j, "heartbeat_ms", p->o->heartbeat_ms);
    json_uint(&j, "limit_ms", p->o->limit_ms);
    json_uint(&j, "silence_ms", paths_silence_ms(&p->paths, now));
    if (wallclock_diff(&p->clock, &diff_us))
        json_int(&j, "clock_diff_ms", diff_us / 1000);
    json_uint(&j, "suspended_ms", p->suspended_since_ms ?
              now - p->suspended_since_ms : 0);
    put_times(p, &j);
    primary_proxy_json(p, &j);
    put_netbuf(p, &j);
    json_str(&j, "disk", p->disks.list.n ? "mirrored" :
             host_has_writable_disk(&p->cfg) ? "unmirrored" : "none");
    json_str(&j, "link", p->o->plaintext ? "plaintext" : "tls");
    json_str(&j, "arbiter", "none");
    json_int(&j, "sync_percent", look_at_copy(p, &copy));
    json_uint(&j, "log_lines_lost", log_lost());
    json_int(&j, "pid", getpid());
    put_paths(p, &j, now);
    put_warnings(p, &j);
    return json_end(&j);
}

/* ----- control socket ----- */

static void wait_for(struct primary *p, const struct control_req *req,
                     uint64_t epoch)
{
    struct xlc_error e = { -EBUSY, "too many are waiting already" };
    unsigned int watchers = 0;

    for (unsigned int i = 0; i < PRIMARY_WAITERS; i++) {
        struct primary_waiter *w = &p->waiters[i];

        /* Who only watches may be gone long before the end. */
        if (w->used && !control_waits(p->control, w->id)) w->used = false;
        watchers += w->used && w->op == CONTROL_WAIT;
    }
    for (unsigned int i = 0; i < PRIMARY_WAITERS; i++) {
        if (req->op == CONTROL_WAIT && watchers >= PRIMARY_WATCHERS) break;
        if (p->waiters[i].used) continue;
        p->waiters[i] = (struct primary_waiter){ true, req->id, req->op,
                                                 epoch };
        return;
    }
    control_reply_error(p->control, req->id, &e);
}

static void want_checkpoint(struct primary *p, const struct control_req *req)
{
    struct xlc_error e = { -ENOTCONN, "the guest is not protected now" };
    uint64_t epoch = 0;

    pthread_mutex_lock(&p->lock);
    if (p->m.state == PRIM_PROTECTED || p->m.state == PRIM_SYNCING) {
        /* The next one whose suspend has not begun yet. */
        epoch = p->asked_epoch + 1;
        p->demand = true;
        pthread_cond_broadcast(&p->cond);
    }
    pthread_mutex_unlock(&p->lock);
    if (epoch) wait_for(p, req, epoch);
    else control_reply_error(p->control, req->id, &e);
}

static void want_failover(struct primary *p, const struct control_req *req)
{
    struct xlc_error e = { -ENOTCONN, "the guest is not protected now" };
    bool can;

    pthread_mutex_lock(&p->lock);
    can = p->m.state == PRIM_PROTECTED;
    if (can) primary_event_locked(p, PRIM_EV_SWAP, 0);
    pthread_mutex_unlock(&p->lock);
    if (can) wait_for(p, req, 0);
    else control_reply_error(p->control, req->id, &e);
}

/* The settings have changed: for those who look on. */
static void tell_settings(const struct primary *p,
                          const struct policy_set *was,
                          const struct policy_set *is)
{
    char said[256];

    live_changes(said, sizeof(said), was, is);
    if (*said) log_info("%s: remus-set: %s", p->rec.name, said);
    for (const struct policy_key *k = policy_keys; k->name; k++) {
        struct event ev;

        if (policy_set_get(was, k) == policy_set_get(is, k)) continue;
        event_begin(&ev, "set", p->rec.name, "primary");
        event_str(&ev, "key", k->name);
        event_uint(&ev, "value", policy_set_get(is, k));
        event_end(&ev);
    }
}

static void want_set(struct primary *p, const struct control_req *req)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct policy_set was, now;

    pthread_mutex_lock(&p->lock);
    was = now = p->live;
    if (p->m.state != PRIM_PROTECTED && p->m.state != PRIM_SYNCING) {
        xlc_error_set(&e, -ENOTCONN, "the guest is not protected now");
    } else if (!live_parse(&now, p->px, req->args, &e)) {
        /* The next checkpoint comes as if it had always been so. */
        if (p->next_due_us)
            p->next_due_us += ((uint64_t)now.interval_ms -
                               was.interval_ms) * 1000;
        p->live = now;
        primary_proxy_set(p);
        pthread_cond_broadcast(&p->cond);
    }
    pthread_mutex_unlock(&p->lock);
    tell_settings(p, &was, &now);
    control_reply_error(p->control, req->id, &e);
}

void primary_control(struct primary *p, const struct control_req *req)
{
    CLEANUP_FREE char *text = NULL;
    struct xlc_error e = { -ENOMEM, "no memory" };

    switch (req->op) {
    case CONTROL_STATUS:
        text = status(p);
        if (text) control_reply(p->control, req->id, text);
        else control_reply_error(p->control, req->id, &e);
        return;
    case CONTROL_CHECKPOINT:
        want_checkpoint(p, req);
        return;
    case CONTROL_FAILOVER:
        want_failover(p, req);
        return;
    case CONTROL_STOP:
    case CONTROL_SHUTDOWN: /* protection ends; then the asker does it */
    case CONTROL_REBOOT:
        wait_for(p, req, 0);
        primary_event(p, PRIM_EV_STOP, 0);
        return;
    case CONTROL_WAIT:
        wait_for(p, req, 0);
        return;
    case CONTROL_SET:
        want_set(p, req);
        return;
    case CONTROL_NOPS:
        return;
    }
}

/* What a waiter is told when everything is over. */
static void answer_over(struct primary *p, const struct primary_waiter *w)
{
    static const struct xlc_error ok = XLC_ERROR_INIT;
    enum xlc_outcome o = p->m.outcome;
    struct xlc_error e = XLC_ERROR_INIT;
    bool good = false;

    switch (w->op) {
    case CONTROL_WAIT:
        control_reply_outcome(p->control, w->id, o);
        return;
    case CONTROL_STOP:
    case CONTROL_SHUTDOWN:
    case CONTROL_REBOOT:
        /* Whatever ended it: the guest is this host's alone. */
        good = o != XLC_MOVED && o != XLC_STUCK && o != XLC_UNCONFIRMED;
        break;
    case CONTROL_FAILOVER:
        good = o == XLC_MOVED;
        break;
    default:
        break;
    }
    xlc_error_set(&e, -ECANCELED, "%s", xlc_outcome_text(o));
    control_reply_error(p->control, w->id, good ? &ok : &e);
}

void primary_answer_waiters(struct primary *p, bool over)
{
    static const struct xlc_error ok = XLC_ERROR_INIT;
    uint64_t acked;

    pthread_mutex_lock(&p->lock);
    acked = p->m.acked;
    /* A request that came while a capture was under way is still due. */
    for (unsigned int i = 0; i < PRIMARY_WAITERS; i++)
        if (p->waiters[i].used && p->waiters[i].op == CONTROL_CHECKPOINT &&
            p->waiters[i].epoch > p->asked_epoch && !p->demand) {
            p->demand = true;
            pthread_cond_broadcast(&p->cond);
        }
    pthread_mutex_unlock(&p->lock);
    for (unsigned int i = 0; i < PRIMARY_WAITERS; i++) {
        struct primary_waiter *w = &p->waiters[i];

        if (!w->used) continue;
        if (w->op == CONTROL_CHECKPOINT && acked >= w->epoch)
            control_reply_error(p->control, w->id, &ok);
        else if (over)
            answer_over(p, w);
        else
            continue;
        w->used = false;
    }
}

/* ----- progress of the first copy ----- */

static void disk_progress(struct primary *p, bool tty)
{
    int percent = primary_disks_percent(p);

    if (percent < 0) return;
    log_text("%s%s: first copy of the disks %3d %%%s", tty ? "\r\033[K" : "",
             p->rec.name, percent, tty ? "" : "\n");
}

void primary_progress(struct primary *p, uint64_t now_ms)
{
    bool tty = isatty(STDERR_FILENO);
    const char *begin = tty ? "\r\033[K" : "", *end = tty ? "" : "\n";
    struct progress copy;
    char text[96];
    int percent;

    if (p->o->quiet || !p->stage || p->progress_last == 100) return;
    pthread_mutex_lock(&p->lock);
    percent = look_at_copy(p, &copy);
    pthread_mutex_unlock(&p->lock);
    if (percent < 100 && now_ms < p->progress_ms) return;
    p->progress_ms = now_ms + (tty ? PROGRESS_TTY_MS : PROGRESS_PLAIN_MS);
    if (p->disks_syncing) {
        disk_progress(p, tty);
        return;
    }
    copy.ms = now_ms - p->started_ms;
    p->progress_last = percent;
    if (percent == 100) {
        log_text("%s%s: protected by %s (first copy: %llu MB in %llu.%llu "
                 "s)\n", begin, p->rec.name, p->o->host,
                 (unsigned long long)(copy.sent / 1000000),
                 (unsigned long long)(copy.ms / 1000),
                 (unsigned long long)(copy.ms % 1000 / 100));
        return;
    }
    progress_text(text, sizeof(text), &copy);
    log_text("%s%s: first copy %s%s", begin, p->rec.name, text, end);
}

/* ----- xenstore, for others to see ----- */

void primary_publish(struct primary *p)
{
    const struct {
        const char *key;
        const char *value;
    } nodes[] = {
        { "role", "primary" },
        { "peer", p->o->host },
        { "mode", policy_wish_name(p->live.wish) },
    };
    char path[96], pid[16];

    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        snprintf(path, sizeof(path), "/libxl/%u/xl-colo/%s",
                 p->guest.domid, nodes[i].key);
        xs_write(p->look.xsh, XBT_NULL, path, nodes[i].value,
                 (unsigned int)strlen(nodes[i].value));
    }
    snprintf(path, sizeof(path), "/libxl/%u/xl-colo/pid", p->guest.domid);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    xs_write(p->look.xsh, XBT_NULL, path, pid, (unsigned int)strlen(pid));
    p->published = true;
}

void primary_unpublish(struct primary *p)
{
    char path[96];

    /* Of a start that was refused they are another's. */
    if (!p->published) return;
    snprintf(path, sizeof(path), "/libxl/%u/xl-colo", p->guest.domid);
    xs_rm(p->look.xsh, XBT_NULL, path);
}
