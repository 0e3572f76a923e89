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
 * chosen to run, when it may be the last copy. While the guest runs here the
 * guard is its monitor, and should the worker die that its packets go through
 * (secondary-proxy.h), it gives them their direct way.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "child.h"
#include "daemon.h"
#include "diskserve.h"
#include "log.h"
#include "monitor.h"
#include "plane.h"
#include "restore.h"
#include "secondary.h"
#include "xlcolo.h"

/* How often the guard looks whether the guest runs here by now. */
#define LOOK_MS 200

/* What the worker had on the vifs of the guest, which runs here, drops all
 * that they carry now that the worker is gone. */
static void clear_planes(const struct receive_shared *sh)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct tc tc;

    if (!sh->nvifs) return;
    if (tc_open(&tc, &e)) {
        log_error("%s: %s", sh->name, e.msg);
        return;
    }
    for (uint32_t i = 0; i < sh->nvifs; i++) {
        xlc_error_clear(&e);
        if (plane_clear(&tc, sh->vif[i], &e))
            log_error("%s: %s", sh->name, e.msg);
    }
    tc_close(&tc);
    log_error("%s: the receiver ended; packets go their direct way, and "
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

/**
 * struct watch - whoever looks at the worker while the guard is the monitor
 * @stop: eventfd: it shall end
 */
struct watch {
    struct receive_shared *sh;
    struct child *child;
    int stop;
};

static void *watch_worker(void *opaque)
{
    struct watch *w = opaque;
    struct pollfd pfd[2] = {
        { .fd = w->stop, .events = POLLIN },
        { .fd = w->child->fd, .events = POLLIN },
    };

    while (!pfd[0].revents && !child_ended(w->child))
        if (poll(pfd, 2, LOOK_MS) < 0 && errno != EINTR)
            log_error("poll: %s", strerror(errno));
    if (!w->child->pid) clear_planes(w->sh);
    return NULL;
}

/* While the guest runs here. */
static void guard_guest(struct receive_shared *sh, struct child *child)
{
    struct watch w = { sh, child, eventfd(0, EFD_CLOEXEC) };
    struct xlc_error e = XLC_ERROR_INIT;
    const uint64_t one = 1;
    pthread_t thread;
    bool watched = w.stop >= 0 &&
                   !pthread_create(&thread, NULL, watch_worker, &w);

    if (!watched) log_error("%s: the receiver can't be watched", sh->name);
    if (monitor_run(sh->domid, &e)) log_error("%s: %s", sh->name, e.msg);
    if (watched) {
        if (write(w.stop, &one, sizeof(one)) < 0)
            log_error("eventfd: %s", strerror(errno));
        pthread_join(thread, NULL);
    }
    if (w.stop >= 0) close(w.stop);
    child_kill(child, SIGTERM);
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
    after_kill(sh);
}

static void guard_life(struct receive_shared *sh, int sync)
{
    pid_t guard = getpid(), worker;

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
