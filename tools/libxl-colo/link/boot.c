/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* boot.c - The boot channel: frames over the two pipes of an ssh command */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot.h"
#include "cleanup.h"
#include "clock.h"

extern char **environ;

/* The shell that runs the ssh command. It gets the defaults for signals that
 * this process blocks or ignores. */
static int spawn_shell(struct boot *b, const char *script, const char *host,
                       int in, int out, struct xlc_error *err)
{
    char *const argv[] = { (char *)"sh", (char *)"-c", (char *)script,
                           (char *)"sh", (char *)host, NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&at);
    posix_spawn_file_actions_adddup2(&fa, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
    posix_spawnattr_setsigmask(&at, &none);
    posix_spawnattr_setsigdefault(&at, &all);
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK |
                             POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn(&b->pid, "/bin/sh", &fa, &at, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    if (r) {
        b->pid = -1;
        return xlc_error_set(err, -r, "can't start a shell: %s",
                             strerror(r));
    }
    return 0;
}

int boot_spawn(struct boot *b, const char *ssh, const char *host,
               bool verbose, struct xlc_error *err)
{
    const char *v = verbose ? " --verbose" : "";
    CLEANUP_FREE char *script = NULL;
    int to[2], from[2], r;

    *b = (struct boot){ -1, -1, -1 };
    if (*ssh && *host == '-')
        return xlc_error_set(err, -EINVAL, "\"%s\" is no host's name", host);
    r = *ssh ? asprintf(&script, "exec %s \"$1\" xl remus-receive%s", ssh, v)
             : asprintf(&script, "exec %s", host);
    if (r < 0) {
        script = NULL;
        return xlc_error_set(err, -ENOMEM, "no memory");
    }
    if (pipe2(to, O_CLOEXEC))
        return xlc_error_set(err, -errno, "pipe: %s", strerror(errno));
    if (pipe2(from, O_CLOEXEC)) {
        r = -errno;
        close(to[0]);
        close(to[1]);
        return xlc_error_set(err, r, "pipe: %s", strerror(-r));
    }
    r = spawn_shell(b, script, host, to[0], from[1], err);
    close(to[0]);
    close(from[1]);
    b->wr = to[1];
    b->rd = from[0];
    if (r) boot_close(b);
    return r;
}

static int write_all(int fd, const uint8_t *p, size_t len,
                     struct xlc_error *err)
{
    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return xlc_error_set(err, -errno, "the connection through ssh "
                                 "broke: %s", strerror(errno));
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int boot_send(struct boot *b, const struct proto_msg *m,
              struct xlc_error *err)
{
    size_t size = PROTO_SMALL_MAX + PROTO_CONFIG_MAX;
    CLEANUP_FREE uint8_t *buf = malloc(size);
    int n;

    if (!buf) return xlc_error_set(err, -ENOMEM, "no memory");
    n = proto_encode(buf, size, m);
    if (n < 0)
        return xlc_error_set(err, n, "%s can't be encoded",
                             proto_type_name(m->hdr.type));
    n = write_all(b->wr, buf, (size_t)n, err);
    explicit_bzero(buf, PROTO_SMALL_MAX); /* HELLO holds the key */
    return n;
}

static int read_all(int fd, uint8_t *p, size_t len, uint64_t deadline,
                    struct xlc_error *err)
{
    while (len) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        uint64_t now = clock_ms();
        ssize_t n;

        if (now >= deadline)
            return xlc_error_set(err, -ETIMEDOUT,
                                 "the other host did not answer in time");
        if (poll(&pfd, 1, (int)(deadline - now)) < 0 && errno != EINTR)
            return xlc_error_set(err, -errno, "poll: %s", strerror(errno));
        if (!pfd.revents) continue;
        n = read(fd, p, len);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0)
            return xlc_error_set(err, -errno, "the connection through ssh "
                                 "broke: %s", strerror(errno));
        if (!n)
            return xlc_error_set(err, -ECONNRESET, "the other host ended "
                                 "the conversation (can ssh log in there as "
                                 "root, and is xl-colo installed there?)");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int recv_one(struct boot *b, struct proto_msg *m, uint8_t **buf_r,
                    uint64_t deadline_ms, struct xlc_error *err)
{
    CLEANUP_FREE uint8_t *body = NULL;
    uint8_t hdr[PROTO_HDR_LEN];
    int r;

    r = read_all(b->rd, hdr, sizeof(hdr), deadline_ms, err);
    if (!r) r = proto_decode_hdr(&m->hdr, hdr, err);
    if (r) return r;
    body = malloc(m->hdr.length + 1u);
    if (!body) return xlc_error_set(err, -ENOMEM, "no memory");
    r = read_all(b->rd, body, m->hdr.length, deadline_ms, err);
    if (!r) r = proto_decode(m, body, err);
    if (!r) *buf_r = steal_ptr(&body);
    return r;
}

int boot_recv(struct boot *b, struct proto_msg *m, uint8_t **buf_r,
              uint64_t deadline_ms, struct xlc_error *err)
{
    int r;

    do {
        free(steal_ptr(buf_r));
        r = recv_one(b, m, buf_r, deadline_ms, err);
    } while (!r && m->hdr.type & PROTO_OPTIONAL);
    if (!r && m->hdr.type == PROTO_REFUSED)
        r = xlc_error_set(err, -EPERM, "the other host refuses: %s",
                          m->u.verdict.text);
    return r;
}

void boot_close(struct boot *b)
{
    uint64_t deadline = clock_ms() + 2000;

    if (b->wr >= 0) close(b->wr);
    if (b->rd >= 0) close(b->rd);
    b->wr = b->rd = -1;
    while (b->pid > 0) {
        int pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0);
        struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
        uint64_t now = clock_ms();

        if (now < deadline && pidfd >= 0)
            poll(&pfd, 1, (int)(deadline - now));
        else
            kill(b->pid, SIGTERM);
        if (pidfd >= 0) close(pidfd);
        if (waitpid(b->pid, NULL, now < deadline ? WNOHANG : 0))
            b->pid = -1;
    }
}
