/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * receive.c - xlc_receive(): the secondary's processes
 *
 * Theory of operation
 * -------------------
 * ssh starts this process. It forks the guard, and waits until the boot
 * conversation is over, so that ssh keeps the pipes alive that long; then it
 * ends, and ssh with it. The guard has a session of its own and forks the
 * worker. A killed worker leaves a half-built domain, which is on no bridge
 * and paused, and never runs: the guard destroys it, unless it had been
 * chosen to run, when it may be the last copy.
 *
 * While the guest runs here another child of the guard is its monitor, and
 * should the worker be killed, that connections of before the takeover go
 * through (RULES B4), the guard forks one in its place (secondary-resume.c).
 * The vifs drop everything meanwhile. If that can't be, it gives them their
 * direct way. So it does for a monitor, whose end counts as the guest's only
 * if it says so. The guard itself has no thread and no libxl, so that it may
 * fork at any time (PLATFORM 7.6).
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "daemon.h"
#include "diskserve.h"
#include "log.h"
#include "monitor.h"
#include "receive-vifs.h"
#include "restore.h"
#include "secondary.h"
#include "xlcolo.h"

/* How often the guard looks whether the guest runs here by now. */
#define LOOK_MS 200
/* A child that lives for less than this was killed early; after so many of a
 * kind the guard gives up. */
#define EARLY_MS  3000u
#define EARLY_MAX 3u

static void clear_planes(struct receive_shared *sh)
{
    if (receive_vifs_clear(sh))
        log_error("%s: the receiver is gone; packets go their direct way, and "
                  "connections from before the takeover may break", sh->name);
}

static void after_kill(struct receive_shared *sh)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!sh->known || !sh->building) return;
    if (sh->opening) {
        log_error("%s: the receiver was killed while it took over; what it "
                  "built stays%s: see `xl list`, and xl-remus(1) under \"The "
                  "processes on the secondary are killed\"", sh->name,
                  sh->nvifs ? ", cut off from the network until `remus-netbuf "
                  "clear`" : "");
        return;
    }
    log_error("%s: the receiver ended and left the copy; removing it",
              sh->name);
    if (restore_sweep(sh->uuid_raw, &e)) log_error("%s: %s", sh->name, e.msg);
    for (uint32_t i = 0; i < sh->ndisks; i++) {
        xlc_error_clear(&e);
        if (diskserve_end(sh->disk[i], &e))
            log_error("%s: %s: %s", sh->name, sh->disk[i], e.msg);
    }
}

/* ----- while the guest runs here ----- */

/**
 * struct kept - a child that gets a successor
 * @since_ms: when it was started; @early: how many were killed early
 */
struct kept {
    struct child child;
    uint64_t since_ms;
    unsigned int early;
};

/**
 * struct stay - the guard while the guest runs here
 * @worker, @monitor: its children
 */
struct stay {
    struct receive_shared *sh;
    struct kept worker, monitor;
};

/* Fork @job(sh), whose result is its exit status; it gets @sig, if any, when
 * the guard dies. */
static int start(struct child *c, struct receive_shared *sh,
                 int (*job)(struct receive_shared *), int sig)
{
    pid_t guard = getpid(), pid = fork();

    if (pid < 0) {
        log_error("%s: fork: %s", sh->name, strerror(errno));
        return -1;
    }
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, sig);
        if (getppid() != guard) _exit(1);
        exit(job(sh));
    }
    child_watch(c, pid);
    return 0;
}

static int monitor(struct receive_shared *sh)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!monitor_run(&sh->domid, &e)) {
        sh->watched_out = true;
        return 0;
    }
    log_error("%s: %s", sh->name, e.msg);
    return 1;
}

/* It is gone, and was not done. Return: may there be another one? */
static bool once_more(struct kept *k)
{
    uint64_t now = clock_ms();

    k->early = now - k->since_ms < EARLY_MS ? k->early + 1 : 0;
    k->since_ms = now;
    return k->early < EARLY_MAX;
}

/* The worker is gone. One that was killed gets a successor. */
static void succeed(struct stay *st)
{
    struct receive_shared *sh = st->sh;
    struct child *c = &st->worker.child;

    child_wait(c); /* its descriptor */
    if (sh->finished) {
        log_debug("%s: the receiver ended in order", sh->name);
    } else if (once_more(&st->worker)) {
        log_error("%s: the receiver was killed; another one takes its place",
                  sh->name);
        if (!start(c, sh, secondary_resume, SIGTERM)) return;
    } else {
        log_error("%s: the receiver was killed again and again", sh->name);
    }
    conn_secret_wipe(&sh->secret); /* nobody needs it any more */
    clear_planes(sh);
}

static bool watch(struct stay *st)
{
    if (!start(&st->monitor.child, st->sh, monitor, 0)) return true;
    log_error("%s: nobody acts on its shutdown, reboot or crash here",
              st->sh->name);
    return false;
}

/* The monitor is gone, and the guest is not as far as anybody knows. Return:
 * has it another one? */
static bool watch_again(struct stay *st)
{
    const char *name = st->sh->name;

    child_wait(&st->monitor.child);
    if (!once_more(&st->monitor)) {
        log_error("%s: its monitor was killed, or failed, again and again: "
                  "nobody acts on its shutdown, reboot or crash here", name);
        return false;
    }
    log_error("%s: its monitor was killed, or failed; another one takes its "
              "place", name);
    return watch(st);
}

/* Until the guest is gone, or somebody protects it anew; without a monitor, as
 * long as there is a worker. */
static void guard_guest(struct receive_shared *sh, struct child *worker)
{
    struct stay st = { .sh = sh, .worker = { *worker, clock_ms(), 0 },
                       .monitor = { { 0, -1 }, clock_ms(), 0 } };
    struct child *w = &st.worker.child, *m = &st.monitor.child;
    bool watched = watch(&st), gone = false;

    while (watched || !gone) {
        struct pollfd pfd[2] = {
            { .fd = watched ? m->fd : -1, .events = POLLIN },
            { .fd = gone ? -1 : w->fd, .events = POLLIN },
        };

        if (watched && child_ended(m)) {
            if (sh->watched_out) break;
            watched = watch_again(&st);
            continue;
        }
        if (!gone && child_ended(w)) {
            succeed(&st);
            gone = !w->pid;
            continue;
        }
        if (poll(pfd, 2, LOOK_MS) < 0 && errno != EINTR)
            log_error("poll: %s", strerror(errno));
    }
    child_wait(m);
    child_kill(w, SIGTERM);
    *worker = *w;
}

static void guard_worker(struct receive_shared *sh, pid_t worker)
{
    struct pollfd pfd = { .events = POLLIN };
    struct child child;
    bool detached = false;

    child_watch(&child, worker);
    pfd.fd = child.fd;
    while (!child_ended(&child) && !sh->open) {
        if (poll(&pfd, 1, LOOK_MS) < 0 && errno != EINTR)
            log_error("poll: %s", strerror(errno));
        if (!sh->known || detached) continue;
        daemon_detach("receive-guard", sh->name);
        detached = true;
    }
    if (sh->open) {
        if (!detached) daemon_detach("receive-guard", sh->name);
        guard_guest(sh, &child);
    }
    child_wait(&child);
    /* It was killed just now. */
    if (sh->open && !sh->finished) clear_planes(sh);
    after_kill(sh);
    conn_secret_wipe(&sh->secret);
    keepfile_close(&sh->keep);
}

static void guard_life(struct receive_shared *sh, int sync)
{
    struct xlc_error e = XLC_ERROR_INIT;
    pid_t guard = getpid(), worker;

    if (keepfile_new(&sh->keep, &e)) log_warn("%s", e.msg);
    setsid();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    worker = fork();
    if (worker < 0) {
        log_error("fork: %s", strerror(errno));
        return;
    }
    if (!worker) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != guard) _exit(1);
        exit(secondary_run(sh, sync));
    }
    /* ssh must see the end of the pipes when the worker has left them. */
    close(sync);
    guard_worker(sh, worker);
}

/* Wait for the worker's word. Return: 0 if it booted */
static int wait_boot(int fd)
{
    char c;
    ssize_t n;

    do {
        n = read(fd, &c, 1);
    } while (n < 0 && errno == EINTR);
    return n == 1 ? 0 : 1;
}

int xlc_receive(bool verbose)
{
    struct receive_shared *sh;
    int fds[2], null;
    char exe[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    pid_t pid;

    if (n > 0) {
        const char *argv[] = { exe, "remus-receive",
                               verbose ? "--verbose" : NULL, NULL };

        exe[n] = 0;
        daemon_scope(argv);
    }
    log_init("receive", NULL, verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sh == MAP_FAILED || pipe2(fds, O_CLOEXEC)) return 1;
    pid = fork();
    if (pid < 0) return 1;
    if (!pid) {
        close(fds[0]);
        guard_life(sh, fds[1]);
        exit(0);
    }
    close(fds[1]);
    /* The pipes of ssh are the worker's now. */
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) dup2(null, STDIN_FILENO);
    return wait_boot(fds[0]);
}
