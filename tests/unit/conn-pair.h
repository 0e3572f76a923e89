/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conn-pair.h - Two ends of a connection in one process, over a socket pair
 *
 * Everything is tried in plaintext and over TLS.
 */
#ifndef XLC_TESTS_CONN_PAIR_H
#define XLC_TESTS_CONN_PAIR_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "tap.h"

#define TURNS 20000 /* far more than any exchange takes */

static struct conn_secret secret[2]; /* [true] is plaintext */

/**
 * struct pair - the two ends
 * @c: the primary's; @s: the secondary's
 * @cr, @sr: what conn_io() of either returned last
 */
struct pair {
    struct conn *c, *s;
    int cr, sr;
    struct xlc_error ce, se;
};

static inline const char *how(bool plain)
{
    return plain ? "plaintext" : "TLS";
}

static inline void sockets(int fd[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd)) abort();
}

static inline void pair_open(struct pair *p, const struct conn_secret *cs,
                      const struct conn_secret *ss, uint32_t incarnation)
{
    int fd[2];

    *p = (struct pair){ .cr = 0 };
    sockets(fd);
    if (conn_client(&p->c, fd[0], cs, PROTO_CH_CTRL, 3, incarnation, NULL) ||
        conn_server(&p->s, fd[1], ss, NULL)) abort();
}

static inline void pair_close(struct pair *p)
{
    conn_free(p->c);
    conn_free(p->s);
    *p = (struct pair){ .cr = 0 };
}

static const struct proto_attached answer = {
    .generation = 5, .accepted = 17, .state = 2,
};

/* Both ends go on until they are ready or one failed. Return: both ready */
static inline bool pair_attach(struct pair *p)
{
    for (int i = 0; i < TURNS && !p->cr && !p->sr; i++) {
        p->cr = conn_io(p->c, &p->ce);
        p->sr = conn_io(p->s, &p->se);
        if (conn_wants_attached(p->s) && !p->sr)
            conn_send_attached(p->s, &answer, NULL);
        if (conn_ready(p->c) && conn_ready(p->s)) return true;
    }
    return false;
}

static inline struct pair attached(bool plain)
{
    struct pair p;

    pair_open(&p, &secret[plain], &secret[plain], 1);
    if (!pair_attach(&p)) {
        ok(false, "attach: %s %s", p.ce.msg, p.se.msg);
        exit(1);
    }
    return p;
}

/* One end alone, until it fails. Return: its error */
static inline int until_failed(struct conn *c, struct xlc_error *err)
{
    int r = 0;

    for (int i = 0; i < TURNS && !r; i++)
        r = conn_io(c, err);
    return r;
}

static inline struct proto_msg heartbeat(uint64_t seq)
{
    struct proto_msg m = { .hdr.type = PROTO_HEARTBEAT };

    m.u.heartbeat.seq = seq;
    return m;
}

static inline void write_raw(int fd, const void *buf, size_t len)
{
    if (len && send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len) abort();
}

static inline void read_raw(int fd, void *buf, size_t len)
{
    if (recv(fd, buf, len, MSG_WAITALL) != (ssize_t)len) abort();
}

/* First of all in a test. */
static inline void pair_begin(void)
{
    signal(SIGPIPE, SIG_DFL); /* no call may raise it */
    alarm(120);
    for (int i = 0; i < 2; i++) {
        memset(secret[i].session, 0x11, sizeof(secret[i].session));
        memset(secret[i].key, 0x22, sizeof(secret[i].key));
        secret[i].plaintext = i;
    }
}

#endif
