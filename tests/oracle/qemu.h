/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu.h - QEMU's colo-compare and filter-rewriter as programs of their own
 *
 * A QEMU without a machine runs one object between socket pairs. Frames have
 * a big-endian length before them, and with vnet headers that header's length
 * after it. Nothing here waits for a fixed time: qemu_barrier() says when all
 * that was sent has been looked at.
 */
#ifndef XLC_TESTS_QEMU_H
#define XLC_TESTS_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** enum qemu_end - the sockets of a colo-compare, or of a rewriter */
enum qemu_end {
    QEMU_PRI,             /* compare: the primary's frames go in */
    QEMU_SEC,             /* compare: the secondary's go in */
    QEMU_OUT,             /* compare: released frames come out */
    QEMU_NTF,             /* compare: notifications, both ways */
    QEMU_ENDS,
    QEMU_NET = QEMU_PRI,  /* rewriter: the network's side */
    QEMU_GUEST = QEMU_SEC /* rewriter: the secondary guest's side */
};

/* Octets of the vnet header in front of a frame, with vnet headers. */
#define QEMU_VNET_LEN 12u

/**
 * struct qemu - a running QEMU
 * @pid: process, 0 if none
 * @fd: our ends
 * @vnet: frames have vnet headers
 * @in: what was read from each end and not taken yet
 * @have: octets in @in
 * @room: size of @in
 * @barriers: barriers so far, to make each unlike the others
 * @notified: DO_CHECKPOINTs that came
 */
struct qemu {
    pid_t pid;
    int fd[QEMU_ENDS];
    bool vnet;
    uint8_t *in[QEMU_ENDS];
    size_t have[QEMU_ENDS];
    size_t room[QEMU_ENDS];
    uint32_t barriers;
    unsigned int notified;
};

/**
 * struct qemu_opts - how to run a colo-compare
 * @program: NULL: qemu-system-x86_64
 * @timeout_ms: age at which a packet is late
 * @scan_ms: how often QEMU looks
 * @vnet: with vnet headers
 */
struct qemu_opts {
    const char *program;
    unsigned int timeout_ms;
    unsigned int scan_ms;
    bool vnet;
};

/**
 * qemu_frame_fn() - called for each frame that QEMU lets out
 * @ctx: the caller's
 * @frame: Ethernet frame, without vnet header
 * @len: its length
 */
typedef void qemu_frame_fn(void *ctx, const uint8_t *frame, size_t len);

/* Return: whether qemu-system-x86_64 is to be found in PATH. */
bool qemu_present(void);

/**
 * qemu_spawn() - run a program with four socket pairs as its fds 10 to 13
 * @q: set
 * @argv: the program and its arguments
 * @ends: how many of the pairs there are to be
 *
 * Return: 0 or -errno. @q owns the child; qemu_stop() ends it.
 */
int qemu_spawn(struct qemu *q, char *const argv[], unsigned int ends);

/* Start a colo-compare and shake hands. Return: 0 or -errno. */
int qemu_start_compare(struct qemu *q, const struct qemu_opts *opts);

/* Start a filter-rewriter. Return: 0 or -errno. */
int qemu_start_rewriter(struct qemu *q, const char *program);

/* End it and wait for it. Harmless if it does not run. */
void qemu_stop(struct qemu *q);

/**
 * qemu_put() - send a frame
 * @q: running
 * @end: QEMU_PRI or QEMU_SEC
 * @frame: Ethernet frame
 * @len: its length
 *
 * Return: 0 or -errno.
 */
int qemu_put(struct qemu *q, enum qemu_end end, const uint8_t *frame,
             size_t len);

/**
 * qemu_get() - wait for one frame
 * @q: running
 * @end: where it is expected
 * @frame: set to it; valid until the next call for this end
 * @timeout_ms: how long to wait
 *
 * Return: its length, -ETIMEDOUT, or another -errno.
 */
ssize_t qemu_get(struct qemu *q, enum qemu_end end, const uint8_t **frame,
                 int timeout_ms);

/**
 * qemu_barrier() - wait until QEMU has looked at all that was sent
 * @q: a running compare
 * @fn: called for each frame that came out meanwhile
 * @ctx: for @fn
 *
 * Notifications that came meanwhile are counted in @q->notified.
 * Return: 0 or -errno.
 */
int qemu_barrier(struct qemu *q, qemu_frame_fn *fn, void *ctx);

/**
 * qemu_checkpoint() - tell it of a checkpoint, and wait until it is done
 * @q: a running compare
 * @fn: called for each frame that came out meanwhile
 * @ctx: for @fn
 *
 * Return: 0 or -errno.
 */
int qemu_checkpoint(struct qemu *q, qemu_frame_fn *fn, void *ctx);

/* Count the notifications that are there. Return: 0 or -errno. */
int qemu_drain_notify(struct qemu *q);

/* Wait for a notification, and count it. Return: 0 or -errno. */
int qemu_wait_notify(struct qemu *q);

#endif
