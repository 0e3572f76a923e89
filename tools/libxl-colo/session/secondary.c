/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary.c - The secondary's worker: boot, loop, finish */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "secondary.h"

/* Once everything is said and done, the primary is given this long (or the
 * limit) to close its connections. Whoever looks for our copy beats three
 * times in it. */
#define LINGER_MS 3000

void secondary_wake(struct secondary *s)
{
    uint64_t one = 1;

    if (write(s->wake, &one, sizeof(one)) < 0) {
        /* The counter is full: the loop is awake. */
    }
}

void secondary_event(struct secondary *s, enum sec_ev ev, uint64_t n)
{
    LOCK_SCOPE(&s->lock);
    secondary_event_locked(s, ev, n);
}

void secondary_event_locked(struct secondary *s, enum sec_ev ev, uint64_t n)
{
    enum sec_state was;
    unsigned int act;

    was = s->m.state;
    act = sec_event(&s->m, ev, n);
    /* The arbiter's place. Without one the silence of every path decides
     * (RULES A2), at once. */
    if (act & SEC_DO_DECIDE) act |= sec_event(&s->m, SEC_EV_VERDICT_RUN, 0);
    s->say |= act & (SEC_DO_SEND_DROPPED | SEC_DO_SEND_ENDED |
                     SEC_DO_SEND_PROMOTED | SEC_DO_SEND_FAILED |
                     SEC_DO_SEND_SWAP | SEC_DO_ACK);
    /* What is asked again is answered again. */
    s->said &= ~act;
    s->work |= act & (SEC_DO_ABORT | SEC_DO_OPEN);
    if (act & (SEC_DO_ASIDE | SEC_DO_REJOIN)) { /* on the main thread */
        s->aside = act & (SEC_DO_ASIDE | SEC_DO_REJOIN);
        s->look_ms = 0;
    }
    if (act & SEC_DO_FINISH) s->finished = true;
    if (s->m.state >= SEC_DECIDING) s->sh->opening = !sec_out(&s->m);
    s->sh->opened = s->m.opened;
    s->sh->state = s->m.state;
    if (s->m.state != was) {
        log_info("%s: %s -> %s", s->rec.name, sec_state_name(was),
                 sec_state_name(s->m.state));
        secondary_events_state(s, was);
        s->moved_ms = clock_ms();
    }
    secondary_wake(s);
}

/* ----- loop ----- */

struct turn {
    struct pollfd pfd[6 + SECONDARY_CONNS + LOBBY_MAX + CONTROL_FDS];
    unsigned int n, wake, sig, listen, restore, proxy;
    unsigned int conns, pending, control;
};

static unsigned int add(struct turn *t, int fd, short events)
{
    t->pfd[t->n] = (struct pollfd){ .fd = fd, .events = events };
    return t->n++;
}

static void prepare(struct secondary *s, struct turn *t)
{
    t->n = 0;
    t->wake = add(t, s->wake, POLLIN);
    t->sig = add(t, s->sigfd, POLLIN);
    t->listen = add(t, s->listener, POLLIN);
    t->restore = add(t, s->restore && !s->restore_reported ?
                     restore_fd(s->restore) : -1, POLLIN);
    t->proxy = add(t, s->proxy ? secondary_proxy_fd(s->proxy) : -1, POLLIN);
    t->conns = t->n;
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++)
        add(t, s->conns[i] ? conn_fd(s->conns[i]) : -1,
            s->conns[i] ? conn_events(s->conns[i]) : 0);
    t->pending = t->n;
    for (unsigned int i = 0; i < LOBBY_MAX; i++)
        add(t, s->lobby.conn[i] ? conn_fd(s->lobby.conn[i]) : -1,
            s->lobby.conn[i] ? conn_events(s->lobby.conn[i]) : 0);
    t->control = t->n;
    t->n += control_pollfds(s->control, t->pfd + t->n);
}

static void drain_fd(int fd)
{
    char buf[512];

    while (read(fd, buf, sizeof(buf)) > 0)
        ;
}

/* libxl's restore ended. It is the end of the copy, unless it was asked to
 * complete. */
static void restore_ended(struct secondary *s)
{
    s->restore_reported = true;
    if (s->colo && colo_secondary_finishing(s->colo)) return;
    pthread_mutex_lock(&s->lock);
    if (s->m.state == SEC_SYNCING || s->m.state == SEC_PAIRED)
        snprintf(s->note, sizeof(s->note), "libxl's restore ended (see the "
                 "log on that host)");
    pthread_mutex_unlock(&s->lock);
    secondary_event(s, SEC_EV_RESTORE_ENDED, 0);
}

static void judge_silence(struct secondary *s, uint64_t now)
{
    bool silent = paths_tick(&s->paths, now);

    if (!s->met) {
        if (now >= s->boot_until_ms && s->m.state == SEC_SYNCING)
            secondary_event(s, SEC_EV_SILENCE, 0);
        return;
    }
    if (!silent || s->m.state > SEC_PAIRED) return;
    if (s->m.state == SEC_PAIRED)
        log_warn("%s: nothing was heard from the primary on any path for "
                 "%llu ms: taking over", s->rec.name,
                 (unsigned long long)paths_silence_ms(&s->paths, now));
    secondary_event(s, SEC_EV_SILENCE, 0);
}

static void one_turn(struct secondary *s, const struct turn *t)
{
    uint64_t now = clock_ms();
    struct control_req req;

    if (t->pfd[t->wake].revents) drain_fd(s->wake);
    if (t->pfd[t->sig].revents) {
        drain_fd(s->sigfd);
        s->dismissed = true;
        secondary_event(s, secondary_guest_gone(s) ? SEC_EV_GUEST_GONE :
                        SEC_EV_STOP, 0);
    }
    if (t->pfd[t->restore].revents) restore_ended(s);
    if (t->pfd[t->proxy].revents) secondary_proxy_event(s->proxy);
    if (t->pfd[t->listen].revents) secondary_accept(s, now);
    for (unsigned int i = 0; i < SECONDARY_CONNS; i++)
        if (s->conns[i] && t->pfd[t->conns + i].revents)
            secondary_read(s, i, now);
    for (unsigned int i = 0; i < LOBBY_MAX; i++)
        secondary_pending(s, i, t->pfd[t->pending + i].revents, now);
    while (control_next(s->control, t->pfd + t->control, &req))
        secondary_control(s, &req);
    secondary_disks_check(s);
    judge_silence(s, now);
    secondary_heartbeat(s, now);
    secondary_say(s);
    secondary_answer_waiter(s);
    secondary_start_work(s);
    secondary_aside(s, now);
    secondary_announce(s, now);
    if (s->proxy) secondary_proxy_turn(s->proxy, now);
}

/* True when nothing more is to be done or said. */
static bool over(struct secondary *s, uint64_t now)
{
    uint64_t linger = s->hello.limit_ms;
    bool idle;

    if (linger < LINGER_MS) linger = LINGER_MS;
    pthread_mutex_lock(&s->lock);
    idle = s->finished && (!s->work || s->worked);
    pthread_mutex_unlock(&s->lock);
    if (!idle) return false;
    /* A guest that runs here, or stood aside, keeps this process: whoever
     * still thinks that it is the primary must be told (RULES A2), until
     * somebody protects the guest anew or it is gone. */
    if (s->m.state == SEC_OPEN || s->m.state == SEC_ASIDE)
        return s->dismissed;
    /* Nobody is there who could be told that it ran and is gone, or was given
     * up for somebody who did not want to wait for the primary. */
    if ((s->m.state == SEC_OVER || (s->dismissed && s->dead_wait)) &&
        !secondary_heard(s, now, LINGER_MS))
        return true;
    if (!s->silent_until_ms) s->silent_until_ms = now + linger;
    return !secondary_linked(s) || now >= s->silent_until_ms;
}

static void loop(struct secondary *s)
{
    struct turn t;

    while (!over(s, clock_ms())) {
        uint64_t now = clock_ms();
        int timeout = s->next_beat_ms > now ? (int)(s->next_beat_ms - now) :
                      0;

        prepare(s, &t);
        if (poll(t.pfd, t.n, timeout) < 0) {
            if (errno != EINTR) log_error("poll: %s", strerror(errno));
            continue;
        }
        one_turn(s, &t);
    }
}

static int set_up(struct secondary *s,
                  int (*begin)(struct secondary *, struct xlc_error *),
                  struct xlc_error *err)
{
    sigset_t sigs;

    pthread_mutex_init(&s->lock, NULL);
    sec_init(&s->m);
    s->moved_ms = clock_ms();
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigemptyset(&sigs);
    sigaddset(&sigs, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &sigs, NULL);
    s->sigfd = signalfd(-1, &sigs, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->wake < 0 || s->sigfd < 0)
        return xlc_error_set(err, -ENOMEM, "no memory");
    return begin(s, err);
}

static void finish(struct secondary *s)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (s->work_running) pthread_join(s->work_thread, NULL);
    secondary_unlink(s);
    if (s->data_running) pthread_join(s->data_thread, NULL);
    conn_free(s->data);
    /* A start that was refused; what was decided has been done. */
    if (s->m.state == SEC_SYNCING) secondary_disks_drop(s);
    disks_dispose(&s->disks);
    if (s->listener >= 0) close(s->listener);
    if (s->rec.role && s->m.state != SEC_OPEN) {
        snprintf(s->rec.state, sizeof(s->rec.state), "%s",
                 sec_state_name(s->m.state));
        s->rec.epoch = s->m.accepted;
        if (record_save(&s->rec, &e)) log_error("%s", e.msg);
    }
    colo_secondary_free(s->colo);
    restore_free(s->restore);
    /* Last: without it, what the copy sends would go the direct way. */
    secondary_proxy_free(s->proxy);
    if (!s->left) s->sh->building = false;
    control_free(s->control);
    if (s->ctx) libxl_ctx_free(s->ctx);
    conn_secret_wipe(&s->secret);
    secondary_events_end(s);
}

static int live(struct receive_shared *sh, int sync,
                int (*begin)(struct secondary *, struct xlc_error *))
{
    struct secondary *s = calloc(1, sizeof(*s));
    struct xlc_error err = XLC_ERROR_INIT;
    int rc;

    if (!s) return 1;
    s->sh = sh;
    s->sync = sync;
    s->listener = s->wake = s->sigfd = -1;
    s->boot = (struct boot){ STDIN_FILENO, STDOUT_FILENO, -1 };
    rc = set_up(s, begin, &err);
    if (rc) {
        log_error("%s", err.msg);
    } else {
        loop(s);
        log_info("%s: over: %s", s->rec.name, sec_state_name(s->m.state));
    }
    finish(s);
    free(s);
    sh->finished = true;
    return rc ? 1 : 0;
}

int secondary_run(struct receive_shared *sh, int sync)
{
    return live(sh, sync, secondary_boot);
}

int secondary_resume(struct receive_shared *sh)
{
    return live(sh, -1, secondary_take_place);
}
