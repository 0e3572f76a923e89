/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * repair.h - Copy a TCP connection from one guest into the other
 *
 * With the kernel's TCP_REPAIR. A copy has the numbers, options, window and
 * unacknowledged octets of the original, as a guest's memory would have.
 */
#ifndef XLC_TESTS_REPAIR_H
#define XLC_TESTS_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#define REPAIR_QUEUE (8u << 20)

/**
 * struct repair - a connection
 * @me, @other: its ends
 * @seq: next of what was sent, and received; the queue is part of it
 * @tsval: its clock
 * @opt, @nopt: of its SYN
 * @window: both
 * @queued: octets in @queue, which the other end has not acknowledged
 * @unsent: of them, the last ones, which have not been sent yet
 */
struct repair {
    struct sockaddr_in me, other;
    uint32_t seq_out, seq_in;
    uint32_t tsval;
    struct tcp_repair_opt opt[4];
    uint32_t nopt;
    struct tcp_repair_window window;
    uint32_t queued, unsent;
    uint8_t queue[REPAIR_QUEUE];
};

/* Can this kernel do it? */
bool repair_works(void);

/* Look at @fd, of which all input was read. Return: 0 or a negative errno */
int repair_dump(int fd, struct repair *r);

/* Return: a socket that is still under repair, or a negative errno */
int repair_make(const struct repair *r);

/* It lives from now on. */
int repair_go(int fd, const struct repair *r);

/* @fd is closed without a word to the other end. */
void repair_drop(int fd);

#endif
