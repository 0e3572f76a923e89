/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run-pair.c - Run programs of the machine through a pair of proxies
 *
 * usage: run-pair [-p] [-f MS] SERVER CLIENT
 *
 * SERVER runs (sh -c) in both guests, CLIENT in the client's namespace once
 * the server's port, $PAIR_PORT, can be connected to. COLO from the start;
 * the first checkpoint that is wanted changes to passive, an epoch each 10
 * ms: the two guests can't be made the same again here. -p: passive from the
 * start. -f: the primary dies after MS. Prints JSON on descriptor 3, or else
 * on standard error. Exit status: the client's; 99: it could not be run.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "pair.h"

#define EPOCH_MS   10
#define LATE_MS    2000
#define PATIENCE_S 20

static struct pair pair;
static struct xlc_error err;
static struct proxy_primary_status last;
static const char *wanted = "none";
static int report_fd = 2;

static uint16_t port(void)
{
    const char *text = getenv("PAIR_PORT");

    return (uint16_t)(text ? strtoul(text, NULL, 10) : 7000);
}

/* Can a server of this namespace be connected to? */
static bool listening(void)
{
    struct sockaddr_in me = {
        .sin_family = AF_INET, .sin_port = htons(port()),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

    r = connect(fd, (struct sockaddr *)&me, sizeof(me));
    close(fd);
    return r == 0;
}

static void run_server(enum pair_ns which, void *arg)
{
    pid_t pid;

    setenv("PAIR_ROLE", which == PAIR_P ? "primary" : "secondary", 1);
    /* The first process of the name space takes all others along. */
    if (unshare(CLONE_NEWPID)) _exit(99);
    pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(3);
        execl("/bin/sh", "sh", "-c", (const char *)arg, (char *)NULL);
        _exit(127);
    }
    for (unsigned int i = 0; i < PATIENCE_S * 100 && !listening(); i++)
        usleep(10000);
    close(3);
    waitpid(pid, NULL, 0);
    pause();
}

static pid_t run_client(const char *command)
{
    pid_t pid = fork();

    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pair_enter(&pair, PAIR_LAN)) _exit(99);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* One step of what a session would do. */
static int step(bool *passive)
{
    int r = proxy_primary_status(pair.primary, &last, &err);

    if (!r && !*passive && last.want.reason != COMPARE_OK) {
        wanted = compare_reason_name(last.want.reason);
        *passive = true;
        r = proxy_primary_mode(pair.primary, COMPARE_PASSIVE, &err);
    }
    if (!r && *passive) r = pair_commit(&pair, &err);
    return r;
}

static int drive(pid_t client, bool passive, int fail_ms)
{
    uint64_t start = clock_ms();
    int status;

    while (waitpid(client, &status, WNOHANG) == 0) {
        if (!pair.primary) {
            usleep(EPOCH_MS * 1000);
        } else if (fail_ms >= 0 && clock_ms() - start >= (uint64_t)fail_ms) {
            if (step(&passive) || pair_failover(&pair, &err)) break;
        } else {
            struct pollfd e = {
                .fd = proxy_primary_event_fd(pair.primary), .events = POLLIN,
            };

            if (!passive) poll(&e, 1, EPOCH_MS);
            else usleep(EPOCH_MS * 1000);
            if (step(&passive)) break;
        }
    }
    if (err.status) {
        fprintf(stderr, "run-pair: %s\n", err.msg);
        kill(client, SIGKILL);
        waitpid(client, &status, 0);
        return 99;
    }
    if (pair.primary) step(&passive);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void report(int status)
{
    struct proxy_secondary_status s = { 0 };

    proxy_secondary_status(pair.secondary, &s, NULL);
    dprintf(report_fd,
            "{\"client_status\": %d, \"wanted\": \"%s\", "
            "\"in_frames\": %llu, \"out_frames\": %llu, "
            "\"compared_frames\": %llu, \"committed_frames\": %llu, "
            "\"lost_frames\": %llu, \"open\": %s, "
            "\"rewritten_flows\": %u}\n", status, wanted,
            (unsigned long long)last.in_frames,
            (unsigned long long)last.out_frames,
            (unsigned long long)last.compare.compared,
            (unsigned long long)last.compare.committed,
            (unsigned long long)(last.out_lost + last.in_lost),
            s.open ? "true" : "false", (unsigned int)s.live);
}

int main(int argc, char **argv)
{
    struct compare_opts opts = COMPARE_OPTS_INIT;
    bool passive = false;
    int c, status, fail_ms = -1;

    if (fcntl(3, F_GETFD) >= 0) report_fd = fcntl(3, F_DUPFD_CLOEXEC, 10);
    while ((c = getopt(argc, argv, "pf:")) != -1) {
        if (c == 'p') passive = true;
        else if (c == 'f') fail_ms = (int)strtol(optarg, NULL, 10);
        else argc = 0;
    }
    if (argc - optind != 2) {
        fputs("usage: run-pair [-p] [-f MS] SERVER CLIENT\n", stderr);
        return 99;
    }
    log_init("run-pair", NULL, LOG_LEVEL_ERROR);
    signal(SIGPIPE, SIG_IGN);
    opts.late_ns = UINT64_C(1000000) * LATE_MS;
    if (pair_open(&pair, 0, &opts, &err) ||
        pair_serve(&pair, run_server, argv[optind], &err) ||
        (!passive && pair_colo(&pair, &err))) {
        fprintf(stderr, "run-pair: %s\n", err.msg);
        pair_close(&pair);
        return 99;
    }
    status = drive(run_client(argv[optind + 1]), passive, fail_ms);
    report(status);
    pair_close(&pair);
    return status;
}
