/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-peer.h - The other host's receiver, as far as connections go
 *
 * Listens on 127.0.0.1 alone, lets in who knows the key, says what it is told
 * to say and remembers what it heard. Driven by fake_turn(), by one thread.
 */
#ifndef XLC_TESTS_FAKE_PEER_H
#define XLC_TESTS_FAKE_PEER_H

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "conn.h"
#include "lobby.h"

/**
 * struct fake - the receiver
 * @bound: has the port also while nobody listens there, so that no other
 *         program gets it
 * @state: enum proto_sec_state, for ATTACHED and heartbeats
 * @generation: for ATTACHED
 * @mute: it reads, and says nothing
 * @answer: sent when a DROP, END or YOURS comes, if not 0
 * @attached: how many were let in; @incarnation: of the newest
 * @heard: by type, how many; @last: state in the newest heartbeat
 * @states: bits of all states heard; @ended: the connection was closed
 */
struct fake {
    int listener, bound;
    uint16_t port;
    struct conn_secret secret;
    struct lobby lobby;
    struct conn *conn;
    uint8_t state;
    bool mute, ended;
    uint16_t answer;
    unsigned int attached, heard[64], states;
    uint32_t incarnation;
    uint64_t generation;
    uint8_t last;
    uint64_t beat_ms;
};

/* A socket with the port, any one if there is none yet. */
static int fake_socket(struct fake *f)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(f->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
        getsockname(fd, (struct sockaddr *)&sa, &len))
        abort();
    f->port = ntohs(sa.sin_port);
    return fd;
}

static void fake_listen(struct fake *f)
{
    f->listener = fake_socket(f);
    if (listen(f->listener, 64)) abort();
}

static void fake_init(struct fake *f, bool plaintext)
{
    *f = (struct fake){ .state = PROTO_SEC_PAIRED };
    memset(f->secret.key, 0x5a, sizeof(f->secret.key));
    memset(f->secret.session, 0xa5, sizeof(f->secret.session));
    f->secret.plaintext = plaintext;
    f->bound = fake_socket(f);
    fake_listen(f);
}

static void fake_hang_up(struct fake *f)
{
    conn_free(steal_ptr(&f->conn));
}

static void fake_free(struct fake *f)
{
    fake_hang_up(f);
    lobby_clear(&f->lobby);
    if (f->listener >= 0) close(steal_fd(&f->listener));
    close(f->bound);
}

static void fake_let_in(struct fake *f, unsigned int i)
{
    const struct proto_attached a = { .state = f->state,
                                      .generation = f->generation };

    if (conn_send_attached(f->lobby.conn[i], &a, NULL)) abort();
    conn_io(f->lobby.conn[i], NULL);
    fake_hang_up(f);
    f->conn = lobby_take(&f->lobby, i);
    f->incarnation = conn_incarnation(f->conn);
    f->attached++;
    f->ended = false;
}

static void fake_send(struct fake *f, uint16_t type)
{
    struct proto_msg m = { .hdr.type = type };

    if (!f->conn) return;
    if (type == PROTO_HEARTBEAT) m.u.heartbeat.state = f->state;
    conn_send(f->conn, &m);
    conn_io(f->conn, NULL);
}

static void fake_hear(struct fake *f, const struct proto_msg *m)
{
    f->heard[m->hdr.type]++;
    if (m->hdr.type == PROTO_HEARTBEAT) {
        f->last = m->u.heartbeat.state;
        f->states |= 1u << f->last;
    } else if (f->answer) {
        fake_send(f, f->answer);
    }
}

static void fake_turn(struct fake *f)
{
    uint64_t now = clock_ms();
    struct proto_msg m;
    int fd, io;

    while (f->listener >= 0 &&
           (fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        lobby_enter(&f->lobby, fd, &f->secret, now, NULL);
    for (unsigned int i = 0; i < LOBBY_MAX; i++)
        if (lobby_turn(&f->lobby, i, 1, now, NULL)) fake_let_in(f, i);
    if (!f->conn) return;
    io = conn_io(f->conn, NULL);
    while (conn_recv(f->conn, &m, NULL) > 0)
        fake_hear(f, &m);
    if (io) {
        fake_hang_up(f);
        f->ended = true;
    } else if (!f->mute && now >= f->beat_ms) {
        f->beat_ms = now + 50;
        fake_send(f, PROTO_HEARTBEAT);
    }
}

#endif
