/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-receive.c - The receiver's guard, whose worker or monitor is killed
 *
 * The real receive.c and its processes; what they would do to a guest is a
 * letter in a pipe.
 *
 * None of them outlives what failed: the guard gets a signal when the test
 * dies, the others when the guard does; and each test ends what is left of
 * the one before.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "daemon.h"
#include "diskserve.h"
#include "log.h"
#include "monitor.h"
#include "plane.h"
#include "restore.h"
#include "secondary.h"
#include "tap.h"
#include "xlcolo.h"

#define PATIENCE_MS 20000

/**
 * now - between this process and those of receive.c
 * @open: the worker's guest runs here; or its copy is still being built
 * @refuse: a successor can't take the place; @leave: the worker ends in order
 * @rude: nor does it when it is asked to
 * @test: this process; @guard, @worker, @monitor: the newest
 * @kept: the successor had the tables' memory; @domid: what the monitor got
 * @wiped: how often the key was forgotten
 */
static struct {
    _Atomic bool open, refuse, leave, rude, kept;
    _Atomic pid_t test, guard, worker, monitor;
    _Atomic uint32_t domid, wiped;
} *now;

static int letters[2], gone[2];

static void say(char c)
{
    if (write(letters[1], &c, 1) != 1) _exit(99);
}

/* The next letter; 0: none comes. */
static char hear(int ms)
{
    struct pollfd p = { .fd = letters[0], .events = POLLIN };
    char c;

    return poll(&p, 1, ms) == 1 && read(letters[0], &c, 1) == 1 ? c : 0;
}

/* ---- What is not here: Xen, and the two workers -------------------------- */

static struct receive_shared *worker_sh;

static void die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
}

static void in_order(int sig)
{
    (void)sig;
    worker_sh->nvifs = 0;
    worker_sh->finished = true;
    _exit(0);
}

static void work_on(struct receive_shared *sh, char word)
{
    worker_sh = sh;
    if (!now->rude) signal(SIGTERM, in_order);
    now->worker = getpid();
    say(word);
    for (;;)
        pause();
}

int secondary_run(struct receive_shared *sh, int sync)
{
    now->guard = getppid();
    if (write(sync, "+", 1) != 1) return 1;
    close(sync);
    snprintf(sh->name, sizeof(sh->name), "g1");
    memcpy(sh->vif[0], "vif9.0", 7);
    sh->nvifs = 1;
    sh->known = sh->building = true;
    if (now->open) {
        sh->domid = 9;
        sh->building = false;
        sh->open = true;
    }
    if (now->leave) {
        sh->nvifs = 0;
        sh->finished = true;
        say('w');
        return 0;
    }
    work_on(sh, 'W');
    return 0;
}

int secondary_resume(struct receive_shared *sh)
{
    now->kept = sh->keep.fd > 0 && sh->nvifs == 1 && !sh->finished;
    if (now->refuse) {
        sh->finished = true;
        say('r');
        return 1;
    }
    work_on(sh, 'R');
    return 0;
}

/* Until the guest is gone, or the monitor fails. */
int monitor_run(_Atomic uint32_t *domid, struct xlc_error *err)
{
    char c;

    die_with(now->guard);
    now->domid = *domid;
    now->monitor = getpid();
    say('M');
    while (read(gone[0], &c, 1) == 1 && c == 'b') {
        *domid = 12; /* it was started again */
        say('B');
    }
    return c == 'g' ? 0 : xlc_error_set(err, -EIO, "no events");
}

int plane_clear(struct tc *tc, const char *vif, struct xlc_error *err)
{
    (void)tc, (void)err;
    say(strcmp(vif, "vif9.0") ? '?' : 'C');
    return 0;
}

int tc_open(struct tc *tc, struct xlc_error *err)
{
    (void)tc, (void)err;
    return 0;
}

void tc_close(struct tc *tc)
{
    (void)tc;
}

int restore_sweep(const uint8_t uuid[16], struct xlc_error *err)
{
    (void)uuid, (void)err;
    say('S');
    return 0;
}

int diskserve_end(const char *image, struct xlc_error *err)
{
    (void)image, (void)err;
    return 0;
}

/* The guard does, as soon as it knows its guest. */
void daemon_detach(const char *role, const char *name)
{
    (void)role, (void)name;
    die_with(now->test);
}

void daemon_scope(const char *const *argv)
{
    (void)argv;
}

void conn_secret_wipe(struct conn_secret *s)
{
    (void)s;
    now->wiped++;
}

/* ---- Tests -------------------------------------------------------------- */

/* Nobody of the test before is left, nor what it said. */
static void sweep(void)
{
    struct pollfd p = { .fd = gone[0], .events = POLLIN };
    char c;

    if (now->guard && !waitpid(now->guard, NULL, WNOHANG))
        kill(now->guard, SIGKILL);
    while (wait(NULL) > 0)
        ; /* the guard, and those who died with it */
    now->guard = 0;
    while (hear(0))
        ;
    while (poll(&p, 1, 0) == 1 && read(gone[0], &c, 1) == 1)
        ;
}

/* A receiver, whose worker has booted. Return: did its guard start it? */
static bool begin(bool opened)
{
    sweep();
    now->open = opened;
    now->refuse = now->leave = now->rude = now->kept = false;
    now->wiped = 0;
    fflush(stdout);
    return !xlc_receive(false);
}

static void kill_worker(void)
{
    kill(now->worker, SIGKILL);
}

static void tell_monitor(char c)
{
    if (write(gone[1], &c, 1) != 1) abort();
}

/* The guard is there until now, then it ends, without another word, and
 * leaves nobody. */
static bool ends(void)
{
    struct child guard = { 0, -1 };
    struct pollfd p = { .events = POLLIN };
    int status = -1;
    bool over;

    child_watch(&guard, now->guard);
    p.fd = guard.fd;
    over = poll(&p, 1, PATIENCE_MS) == 1;
    close(guard.fd);
    return over && waitpid(now->guard, &status, 0) > 0 && !status &&
           !hear(0) && waitpid(-1, NULL, WNOHANG) < 0;
}

/* So it does when the guest is gone. */
static bool end(void)
{
    if (waitpid(now->guard, NULL, WNOHANG)) return false;
    tell_monitor('g');
    return ends();
}

/* A monitor that is killed has a successor, as long as there is a guard. */
static bool guarded(void)
{
    kill(now->monitor, SIGKILL);
    return hear(PATIENCE_MS) == 'M';
}

/* Both letters, in any order. */
static bool both(char a, char b)
{
    char one = hear(PATIENCE_MS), two = hear(PATIENCE_MS);

    return (one == a && two == b) || (one == b && two == a);
}

static void test_successors(void)
{
    pid_t first;

    ok(begin(true) && both('W', 'M') && now->domid == 9,
       "the guest runs here, and has a monitor");
    first = now->worker;
    kill_worker();
    ok(hear(PATIENCE_MS) == 'R' && now->kept && now->worker != first,
       "rule_B4: a worker that is killed has a successor, who gets the "
       "tables' memory");
    kill_worker();
    ok(hear(PATIENCE_MS) == 'R' && !now->wiped, "which has one, too");
    kill_worker();
    ok(hear(PATIENCE_MS) == 'C' && now->wiped, "but not again and again at "
       "once: then the vif goes its direct way, and nobody has the key");
    ok(guarded() && end(), "the guard stays until the guest is gone");
}

static void test_monitor(void)
{
    ok(begin(true) && both('W', 'M'), "a monitor is killed");
    tell_monitor('b');
    ok(hear(PATIENCE_MS) == 'B' && guarded() && now->domid == 12,
       "another one goes on with the domain that this one started");
    ok(!now->wiped && end(), "and nothing else was touched");

    ok(begin(true) && both('W', 'M'), "one fails");
    tell_monitor('x');
    ok(hear(PATIENCE_MS) == 'M' && end(), "it has a successor, too");

    ok(begin(true) && both('W', 'M') && guarded() && guarded(), "one is "
       "killed again and again");
    kill(now->monitor, SIGKILL);
    ok(!hear(600), "at last it has none");
    kill_worker();
    ok(hear(PATIENCE_MS) == 'R' && now->kept, "the worker still has");
    kill(now->worker, SIGTERM);
    ok(ends(), "until it ends in order");

    ok(begin(true) && both('W', 'M'), "the guest is gone");
    now->rude = true;
    kill_worker();
    ok(hear(PATIENCE_MS) == 'R', "and the worker is killed at once");
    tell_monitor('g');
    ok(hear(PATIENCE_MS) == 'C' && ends(), "what it had on the vifs is not "
       "left there");
}

static void test_refused(void)
{
    ok(begin(true) && both('W', 'M'), "another");
    now->refuse = true;
    kill_worker();
    ok(hear(PATIENCE_MS) == 'r' && hear(PATIENCE_MS) == 'C' && now->wiped,
       "a successor that can't take the place: the direct way");
    ok(guarded() && end(), "and the guard stays");
}

static void test_in_order(void)
{
    sweep();
    now->leave = true;
    now->open = true;
    now->refuse = now->rude = false;
    fflush(stdout);
    ok(!xlc_receive(false) && both('w', 'M'), "a worker that ended in order");
    ok(!hear(600), "has no successor");
    ok(end(), "nor is anything left to be done");
    ok(begin(true) && both('W', 'M') && end(),
       "the guest goes first: the worker is told, and has none either");
}

static void test_before(void)
{
    ok(begin(false) && hear(PATIENCE_MS) == 'W', "before a takeover");
    kill_worker();
    ok(hear(PATIENCE_MS) == 'S' && ends(),
       "what a killed worker left is removed, and that is all");
}

int main(void)
{
    now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (now == MAP_FAILED || pipe(letters) || pipe(gone) ||
        prctl(PR_SET_CHILD_SUBREAPER, 1))
        return 99;
    now->test = getpid();
    test_successors();
    test_refused();
    test_monitor();
    test_in_order();
    test_before();
    sweep();
    return done_testing();
}
