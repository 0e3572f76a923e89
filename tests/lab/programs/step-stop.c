/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * step-stop.c - Stop, or kill, a running program at the very step
 *
 * step-stop PID SECONDS stop|kill FUNCTION[=ARGUMENT][:N]...
 *
 * Theory of operation
 * -------------------
 * For the lab's scenarios, in dom0. One breakpoint after the other is put at
 * the beginning of a function of the process, as a debugger does it: for each
 * FUNCTION it is waited until a thread calls it for the N-th time (the first
 * without N; with ARGUMENT only calls count whose second argument it is). At
 * the last one the whole process is stopped, as by SIGSTOP, with that thread in
 * front of the function's first instruction, and let go: nothing of it goes on
 * until SIGCONT. Or it is killed there. Nothing else of the program changes,
 * and until then it runs at its own speed.
 *
 * Lines on standard output: "armed" once the first breakpoint is there; then
 * for each that was reached "FUNCTION SECOND THIRD" with the second and third
 * argument of the call; at last "stopped" or "killed". Exit status: 0; 1 with a
 * sentence on standard error; 2 if it was not reached in time.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "number.h"
#include "step-stop.h"

#define THREADS_MAX 256u
#define POINTS_MAX  8u
#define STOP_MS     2000u
#define INT3        0xccu

/**
 * struct stop - one run
 * @mem: the process's memory
 * @threads, @n: its threads, all of them traced
 * @at: where the breakpoint is; 0 without one. @octet: what was there
 * @were: where it is or was: a thread may be found behind an old one
 */
struct stop {
    pid_t pid;
    int mem;
    pid_t threads[THREADS_MAX];
    unsigned int n;
    uint64_t at;
    uint8_t octet;
    uint64_t were[POINTS_MAX];
    unsigned int nwere;
    struct xlc_error err;
};

/**
 * struct point - one of the functions
 * @argument: only calls whose second argument it is; -1: all
 * @left: calls until it is reached
 */
struct point {
    char name[80];
    int64_t argument;
    uint64_t left;
};

static volatile sig_atomic_t late;

static void on_alarm(int sig)
{
    (void)sig;
    late = 1;
}

static int failed(struct stop *s, const char *what)
{
    return xlc_error_set(&s->err, -errno, "%s: %s", what, strerror(errno));
}

/* ----- threads ----- */

static void add(struct stop *s, pid_t tid)
{
    for (unsigned int i = 0; i < s->n; i++)
        if (s->threads[i] == tid) return;
    if (s->n < THREADS_MAX) s->threads[s->n++] = tid;
}

static void forget(struct stop *s, pid_t tid)
{
    for (unsigned int i = 0; i < s->n; i++)
        if (s->threads[i] == tid) s->threads[i--] = s->threads[--s->n];
}

/* Each thread, and each that one of them begins from now on. */
static int seize(struct stop *s)
{
    unsigned int before;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/task", (int)s->pid);
    do {
        const struct dirent *one;
        DIR *dir = opendir(path);

        if (!dir) return failed(s, path);
        before = s->n;
        while ((one = readdir(dir))) {
            uint64_t tid;

            if (!number_parse(one->d_name, &tid)) continue;
            if (!ptrace(PTRACE_SEIZE, (pid_t)tid, NULL,
                        (void *)PTRACE_O_TRACECLONE))
                add(s, (pid_t)tid);
        }
        closedir(dir);
    } while (s->n != before);
    return s->n ? 0 : xlc_error_set(&s->err, -EPERM, "process %d can't be "
                                    "traced", (int)s->pid);
}

/* Its next stop. Return: 0, or a negative errno if it is gone */
static int wait_thread(struct stop *s, pid_t tid, int *status_r)
{
    int r;

    do {
        r = waitpid(tid, status_r, __WALL);
    } while (r < 0 && errno == EINTR);
    if (r == tid && WIFSTOPPED(*status_r)) return 0;
    forget(s, tid);
    return -ESRCH;
}

/* ----- the breakpoint ----- */

static int poke(struct stop *s, uint64_t at, uint8_t octet)
{
    return pwrite(s->mem, &octet, 1, (off_t)at) == 1 ? 0 :
           failed(s, "writing a breakpoint");
}

static bool is_point(const struct stop *s, uint64_t at)
{
    for (unsigned int i = 0; i < s->nwere; i++)
        if (s->were[i] == at) return true;
    return false;
}

static int insert(struct stop *s, uint64_t at)
{
    if (pread(s->mem, &s->octet, 1, (off_t)at) != 1)
        return failed(s, "reading the program");
    s->at = at;
    if (!is_point(s, at)) s->were[s->nwere++] = at;
    return poke(s, at, INT3);
}

static int take_out(struct stop *s)
{
    uint64_t at = s->at;

    s->at = 0;
    return at ? poke(s, at, s->octet) : 0;
}

/* Is the thread, which stopped, behind a breakpoint? Then its next instruction
 * is the function's first again. */
static bool rewound(struct stop *s, pid_t tid, int status,
                    struct user_regs_struct *regs)
{
    if (WSTOPSIG(status) != SIGTRAP || status >> 16 ||
        ptrace(PTRACE_GETREGS, tid, NULL, regs) ||
        !is_point(s, regs->rip - 1))
        return false;
    regs->rip--;
    return !ptrace(PTRACE_SETREGS, tid, NULL, regs);
}

/* Over the first instruction, which is where it was. */
static int step_over(struct stop *s, pid_t tid)
{
    int status = SIGTRAP << 8, sig = 0;

    do {
        if (ptrace(PTRACE_SINGLESTEP, tid, NULL, (void *)(uintptr_t)sig))
            return failed(s, "PTRACE_SINGLESTEP");
        if (wait_thread(s, tid, &status)) return 0;
        sig = status >> 16 ? 0 : WSTOPSIG(status);
    } while (sig != SIGTRAP);
    return ptrace(PTRACE_CONT, tid, NULL, NULL) ?
           failed(s, "PTRACE_CONT") : 0;
}

/* ----- the end ----- */

/* It stopped for another reason first, and has still to hear of the
 * breakpoint that it ran into. */
static bool trap_pending(pid_t tid)
{
    const struct __ptrace_peeksiginfo_args args = { .nr = 16 };
    siginfo_t info[16];
    long n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, info);

    for (long i = 0; i < n; i++)
        if (info[i].si_signo == SIGTRAP) return true;
    return false;
}

/* All of them stand, none behind a breakpoint. */
static void halt(struct stop *s, pid_t but)
{
    pid_t all[THREADS_MAX];
    unsigned int n = s->n;

    memcpy(all, s->threads, n * sizeof(all[0]));
    for (unsigned int i = 0; i < n; i++) {
        struct user_regs_struct regs;
        int status;

        if (all[i] == but || ptrace(PTRACE_INTERRUPT, all[i], NULL, NULL))
            continue;
        while (!wait_thread(s, all[i], &status) &&
               !rewound(s, all[i], status, &regs) && trap_pending(all[i]))
            ptrace(PTRACE_CONT, all[i], NULL, NULL);
    }
}

static void let_go(struct stop *s)
{
    take_out(s);
    for (unsigned int i = 0; i < s->n; i++)
        ptrace(PTRACE_DETACH, s->threads[i], NULL, NULL);
    s->n = 0;
}

static bool stands(const struct stop *s)
{
    char path[64], text[512] = "";
    CLEANUP_FD int fd = -1;
    const char *name;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)s->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0) return false;
    name = strrchr(text, ')');
    return name && !strncmp(name, ") T", 3);
}

static int finish(struct stop *s, pid_t tid, bool kills)
{
    uint64_t end = clock_ms() + STOP_MS;

    if (kills) {
        if (kill(s->pid, SIGKILL)) return failed(s, "kill");
        puts("killed");
        return 0;
    }
    halt(s, tid);
    if (kill(s->pid, SIGSTOP)) return failed(s, "kill");
    let_go(s);
    while (!stands(s)) {
        if (clock_ms() > end)
            return xlc_error_set(&s->err, -ETIMEDOUT, "process %d does not "
                                 "stand still", (int)s->pid);
        usleep(100);
    }
    puts("stopped");
    return 0;
}

/* ----- until it is reached ----- */

/* Something other than the breakpoint stopped the thread. */
static void pass_on(struct stop *s, pid_t tid, int status)
{
    int sig = WSTOPSIG(status), event = status >> 16;

    add(s, tid);
    if (event == PTRACE_EVENT_STOP && sig != SIGTRAP)
        ptrace(PTRACE_LISTEN, tid, NULL, NULL);
    else
        ptrace(PTRACE_CONT, tid, NULL, (void *)(uintptr_t)(event ? 0 : sig));
}

/* Return: the thread that made the call that is waited for, in front of the
 * function; 0: too late; negative: an error */
static pid_t reach(struct stop *s, struct point *p,
                   struct user_regs_struct *regs)
{
    while (!late) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        uint64_t at = s->at;
        int r;

        if (tid < 0 && errno == EINTR) continue;
        if (tid < 0) return failed(s, "the process ended");
        if (!WIFSTOPPED(status)) {
            forget(s, tid);
            continue;
        }
        if (!rewound(s, tid, status, regs)) {
            pass_on(s, tid, status);
            continue;
        }
        if (regs->rip != at) {
            ptrace(PTRACE_CONT, tid, NULL, NULL);
            continue;
        }
        if ((p->argument < 0 || (uint32_t)regs->rsi == p->argument) &&
            !--p->left)
            return tid;
        r = take_out(s);
        if (!r) r = step_over(s, tid);
        if (!r) r = insert(s, at);
        if (r) return r;
    }
    return 0;
}

static int arm(struct stop *s, const struct point *p)
{
    uint64_t at = 0;
    int r = step_symbol(s->pid, p->name, &at, &s->err);

    return r ? r : insert(s, at);
}

/* Return: 0, a negative errno, or 1: too late */
static int drive(struct stop *s, struct point *points, unsigned int n,
                 bool kills)
{
    int r = seize(s);

    for (unsigned int i = 0; i < n && !r; i++) {
        struct user_regs_struct regs;
        pid_t tid;

        if (!i) {
            r = arm(s, &points[i]);
            if (r) return r;
            puts("armed");
        }
        tid = reach(s, &points[i], &regs);
        if (tid <= 0) return tid ? (int)tid : 1;
        printf("%s %llu %llu\n", points[i].name, regs.rsi, regs.rdx);
        if (i == n - 1) return finish(s, tid, kills);
        /* The next one is there before the thread goes on. */
        r = take_out(s);
        if (!r) r = arm(s, &points[i + 1]);
        if (!r && ptrace(PTRACE_CONT, tid, NULL, NULL))
            r = failed(s, "PTRACE_CONT");
    }
    return r;
}

/* FUNCTION[=ARGUMENT][:N] */
static bool parse(const char *text, struct point *p)
{
    size_t len = strcspn(text, "=:");
    uint64_t v;

    *p = (struct point){ .argument = -1, .left = 1 };
    if (!len || len >= sizeof(p->name)) return false;
    memcpy(p->name, text, len);
    text += len;
    if (*text == '=') {
        char digits[16] = "";

        len = strcspn(++text, ":");
        if (len >= sizeof(digits)) return false;
        memcpy(digits, text, len);
        if (!number_parse(digits, &v) || v > UINT32_MAX) return false;
        p->argument = (int64_t)v;
        text += len;
    }
    return !*text || (number_parse(text + 1, &p->left) && p->left);
}

int main(int argc, char **argv)
{
    struct stop s = { .mem = -1, .err = XLC_ERROR_INIT };
    struct sigaction sa = { .sa_handler = on_alarm };
    struct itimerval limit = { .it_interval.tv_usec = 100000 };
    struct point points[POINTS_MAX];
    unsigned int n = argc > 4 ? (unsigned int)argc - 4 : 0;
    uint64_t pid = 0, seconds = 0;
    bool kills = n && !strcmp(argv[3], "kill"), good = n && n <= POINTS_MAX;
    char path[64];
    int r;

    for (unsigned int i = 0; i < n && good; i++)
        good = parse(argv[i + 4], &points[i]);
    if (!good || !number_parse(argv[1], &pid) || pid < 2 ||
        pid > INT32_MAX || !number_parse(argv[2], &seconds) || !seconds ||
        seconds > 3600 || (!kills && strcmp(argv[3], "stop"))) {
        fputs("usage: step-stop PID SECONDS stop|kill "
              "FUNCTION[=ARGUMENT][:N]...\n", stderr);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    s.pid = (pid_t)pid;
    sigaction(SIGALRM, &sa, NULL);
    /* Again and again: it may come just before a wait. */
    limit.it_value.tv_sec = (time_t)seconds;
    setitimer(ITIMER_REAL, &limit, NULL);
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)s.pid);
    s.mem = open(path, O_RDWR | O_CLOEXEC);
    r = s.mem < 0 ? failed(&s, path) : drive(&s, points, n, kills);
    if (r && s.n) {
        halt(&s, 0);
        let_go(&s);
    }
    if (r < 0) fprintf(stderr, "step-stop: %s\n", s.err.msg);
    return r < 0 ? 1 : r ? 2 : 0;
}
