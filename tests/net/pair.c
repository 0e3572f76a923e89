/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pair.c - Two proxies between three network namespaces */
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

#include "pair.h"

int pair_enter(struct pair *p, enum pair_ns which)
{
    int fd = which == PAIR_NS ? p->home : p->ns[which];

    return setns(fd, CLONE_NEWNET) ? -errno : 0;
}

/* ---- Namespaces ---------------------------------------------------------- */

static int make_ns(struct pair *p, enum pair_ns which, struct xlc_error *err)
{
    static const char *const how =
        "ip link set lo up && ip link set eth0 address 02:00:00:00:00:0%c "
        "mtu 1500 up && ip addr add %s/24 dev eth0 && "
        "ip neigh replace %s lladdr 02:00:00:00:00:0%c dev eth0 "
        "nud permanent && ip link set eth0 txqueuelen 10000";
    bool client = which == PAIR_LAN;
    char command[512];
    int r;

    if (unshare(CLONE_NEWNET))
        return xlc_error_set(err, -errno, "no network namespace: %s",
                             strerror(errno));
    p->ns[which] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    r = tapdev_open(&p->tap[which], "eth0", err);
    if (r) return r;
    snprintf(command, sizeof(command), how, client ? '2' : '1',
             client ? PAIR_CLIENT : PAIR_GUEST,
             client ? PAIR_GUEST : PAIR_CLIENT, client ? '1' : '2');
    r = system(command);
    if (r)
        return xlc_error_set(err, -EIO, "%s: status %d", command, r);
    return 0;
}

/* ---- A cable that loses frames ------------------------------------------- */

static void relay_one(struct pair *p, int from, int to, unsigned int *seed)
{
    static uint8_t frame[PACKET_MAX];
    struct packet_vnet vnet;

    for (unsigned int i = 0; i < 64; i++) {
        ssize_t n = tapdev_read(from, &vnet, frame, sizeof(frame));

        if (n <= 0) return;
        if ((unsigned int)rand_r(seed) % 10000 < p->loss) continue;
        while (!tapdev_write(to, &vnet, frame, (size_t)n) && !p->relay_quit)
            usleep(100);
    }
}

static void *relay(void *arg)
{
    struct pair *p = arg;
    unsigned int seed = 1;

    while (!p->relay_quit) {
        struct pollfd f[2] = {
            { .fd = p->relay_peer, .events = POLLIN },
            { .fd = p->tap[PAIR_LAN].fd, .events = POLLIN },
        };

        poll(f, 2, 20);
        relay_one(p, f[0].fd, f[1].fd, &seed);
        relay_one(p, f[1].fd, f[0].fd, &seed);
    }
    return NULL;
}

static int start_relay(struct pair *p)
{
    int fds[2], big = 8 << 20;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   fds))
        return -errno;
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
    p->relay_fd = fds[0];
    p->relay_peer = fds[1];
    return -pthread_create(&p->relay_thread, NULL, relay, p);
}

/* ---- All of it ----------------------------------------------------------- */

static struct proxy_port secondary_port(const struct pair *p)
{
    int lan = p->relay_fd >= 0 ? p->relay_fd : p->tap[PAIR_LAN].fd;

    return (struct proxy_port){
        .out_rd = p->tap[PAIR_S].fd, .in_wr = p->tap[PAIR_S].fd,
        .in_rd = lan, .out_wr = lan,
    };
}

static int start_proxies(struct pair *p, const struct compare_opts *compare,
                         struct xlc_error *err)
{
    int lan = p->relay_fd >= 0 ? p->relay_fd : p->tap[PAIR_LAN].fd, fds[2];
    struct proxy_port one = {
        .out_rd = p->tap[PAIR_P].fd, .in_wr = p->tap[PAIR_P].fd,
        .in_rd = lan, .out_wr = lan,
    };
    struct proxy_port two = secondary_port(p);
    const struct proxy_primary_cfg primary = {
        .ports = &one, .nports = 1, .compare = *compare,
    };
    const struct proxy_secondary_cfg secondary = {
        .ports = &two, .nports = 1, .rewrite = REWRITE_OPTS_INIT,
        .keep = &p->keep,
    };
    int r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   fds))
        return xlc_error_set(err, -errno, "socketpair: %s", strerror(errno));
    r = keepfile_new(&p->keep, err);
    if (!r) r = proxy_primary_start(&p->primary, &primary, err);
    if (!r) r = proxy_secondary_start(&p->secondary, &secondary, err);
    if (!r)
        r = proxy_primary_peer(p->primary, fds[0], &wirestream_plain, NULL,
                               err);
    if (!r)
        r = proxy_secondary_peer(p->secondary, fds[1], &wirestream_plain,
                                 NULL, err);
    return r;
}

int pair_open(struct pair *p, unsigned int loss,
              const struct compare_opts *compare, struct xlc_error *err)
{
    int r = 0;

    *p = (struct pair){ .loss = loss, .relay_fd = -1, .relay_peer = -1 };
    for (int i = 0; i < PAIR_NS; i++) {
        p->tap[i] = (struct tapdev)TAPDEV_INIT;
        p->ns[i] = -1;
    }
    /* What servers leave behind comes to us, to be waited for. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    p->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (p->home < 0) return xlc_error_set(err, -errno, "no /proc");
    for (int i = 0; i < PAIR_NS && !r; i++)
        r = make_ns(p, (enum pair_ns)i, err);
    pair_enter(p, PAIR_NS);
    if (!r) r = start_relay(p);
    if (!r) r = start_proxies(p, compare, err);
    if (r) pair_close(p);
    return r;
}

static void end_server(struct pair *p, enum pair_ns which)
{
    int status;

    if (p->server[which] <= 0) return;
    kill(-p->server[which], SIGKILL);
    waitpid(p->server[which], &status, 0);
    p->server[which] = 0;
}

static void end_successor(struct pair *p)
{
    if (p->successor <= 0) return;
    kill(p->successor, SIGKILL);
    waitpid(p->successor, NULL, 0);
    p->successor = 0;
}

void pair_close(struct pair *p)
{
    end_successor(p);
    keepfile_close(&p->keep);
    proxy_primary_stop(p->primary);
    proxy_secondary_stop(p->secondary);
    p->primary = NULL;
    p->secondary = NULL;
    if (p->relay_fd >= 0) {
        p->relay_quit = true;
        pthread_join(p->relay_thread, NULL);
        close(p->relay_fd);
        close(p->relay_peer);
        p->relay_fd = -1;
    }
    for (int i = 0; i < PAIR_NS; i++) {
        end_server(p, (enum pair_ns)i);
        tapdev_close(&p->tap[i]);
        if (p->ns[i] >= 0) close(p->ns[i]);
        p->ns[i] = -1;
    }
    for (unsigned int i = 0; i < 1000; i++) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);

        if (pid < 0) break;
        if (!pid) usleep(1000);
    }
    if (p->home >= 0) close(p->home);
    p->home = -1;
}

int pair_serve(struct pair *p, pair_server *server, void *arg,
               struct xlc_error *err)
{
    for (int i = PAIR_P; i <= PAIR_S; i++) {
        int ready[2];
        char c;
        pid_t pid;

        if (pipe2(ready, O_CLOEXEC))
            return xlc_error_set(err, -errno, "pipe: %s", strerror(errno));
        pid = fork();
        if (!pid) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            setpgid(0, 0); /* what it starts ends with it */
            close(ready[0]);
            if (pair_enter(p, (enum pair_ns)i)) _exit(99);
            /* The server says that it is ready by closing descriptor 3. */
            if (dup2(ready[1], 3) < 0) _exit(99);
            if (ready[1] != 3) close(ready[1]);
            server((enum pair_ns)i, arg);
            _exit(0);
        }
        close(ready[1]);
        setpgid(pid, pid);
        p->server[i] = pid;
        if (read(ready[0], &c, 1) != 0) pid = -1;
        close(ready[0]);
        if (pid < 0) return xlc_error_set(err, -EIO, "no server");
    }
    return 0;
}

int pair_colo(struct pair *p, struct xlc_error *err)
{
    int r = proxy_primary_mode(p->primary, COMPARE_COLO, err);

    p->epoch++;
    if (!r) r = proxy_primary_cut(p->primary, p->epoch, err);
    if (!r) r = proxy_secondary_cut(p->secondary, p->epoch, err);
    if (!r) r = proxy_secondary_connected(p->secondary, err);
    if (!r) r = proxy_primary_commit(p->primary, p->epoch, err);
    return r;
}

int pair_commit(struct pair *p, struct xlc_error *err)
{
    int r = proxy_primary_cut(p->primary, ++p->epoch, err);

    return r ? r : proxy_primary_commit(p->primary, p->epoch, err);
}

int pair_failover(struct pair *p, struct xlc_error *err)
{
    end_server(p, PAIR_P);
    proxy_primary_stop(p->primary);
    p->primary = NULL;
    return proxy_secondary_open(p->secondary, err);
}

/* Never returns; one octet says that it works. */
static void succeed(struct pair *p, int ready)
{
    struct proxy_port port = secondary_port(p);
    const struct proxy_secondary_cfg cfg = {
        .ports = &port, .nports = 1, .rewrite = REWRITE_OPTS_INIT,
        .keep = &p->keep, .resume = true,
    };
    struct xlc_error e = XLC_ERROR_INIT;
    struct proxy_secondary *s;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (proxy_secondary_start(&s, &cfg, &e)) {
        printf("# successor: %s\n", e.msg);
        fflush(stdout);
        _exit(1);
    }
    if (write(ready, "", 1) != 1) _exit(1);
    for (;;)
        pause();
}

int pair_succeed(struct pair *p, struct xlc_error *err)
{
    int ready[2];
    ssize_t n;
    char c;

    proxy_secondary_stop(p->secondary);
    p->secondary = NULL;
    end_successor(p);
    if (pipe2(ready, O_CLOEXEC))
        return xlc_error_set(err, -errno, "pipe: %s", strerror(errno));
    p->successor = fork();
    if (!p->successor) succeed(p, ready[1]);
    close(ready[1]);
    n = p->successor < 0 ? -1 : read(ready[0], &c, 1);
    close(ready[0]);
    return n == 1 ? 0 : xlc_error_set(err, -EIO, "no successor");
}

int pair_connect(struct pair *p, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port),
    };
    struct timeval limit = { .tv_sec = 20 };
    int fd, r = 0;

    inet_pton(AF_INET, PAIR_GUEST, &to.sin_addr);
    if (pair_enter(p, PAIR_LAN)) return -EIO;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pair_enter(p, PAIR_NS);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to))) r = -errno;
    if (!r) return fd;
    close(fd);
    return r;
}
