/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pollset.h - What a proxy's loop waits for
 *
 * Each turn the loop says anew what it wants of which descriptor; only what
 * changed costs a system call.
 */
#ifndef XLC_POLLSET_H
#define XLC_POLLSET_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "wire.h"

/* A mailbox, a stream, four ends a vif. */
#define POLLSET_MAX (2u + 4u * WIRE_VIFS_MAX)

/**
 * struct pollset - descriptors
 * @ep: the epoll descriptor; -1: not made
 * @n: how many
 * @at: @fd wants @want; the kernel knows @known; @got of it is there.
 *      @want is collected anew for each turn
 */
struct pollset {
    int ep;
    unsigned int n;
    struct {
        int fd;
        uint32_t want, known, got;
    } at[POLLSET_MAX];
};

int pollset_init(struct pollset *p, struct xlc_error *err);
void pollset_dispose(struct pollset *p);

/* Want @events (EPOLLIN, EPOLLOUT) of @fd in this turn, beside others. */
void pollset_want(struct pollset *p, int fd, uint32_t events);

/* @fd is about to be closed. */
void pollset_forget(struct pollset *p, int fd);

/**
 * pollset_wait() - wait for what is wanted
 * @timeout_ms: -1: for ever
 *
 * Return: 0 or a negative errno
 */
int pollset_wait(struct pollset *p, int timeout_ms, struct xlc_error *err);

/* Is one of @events there, or an error? */
bool pollset_got(const struct pollset *p, int fd, uint32_t events);

#endif
