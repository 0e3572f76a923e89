/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control.h - The local socket by which a running protection is asked
 *
 * /run/xl-colo/UUID.sock, mode 0600 in a directory of mode 0700, one for each
 * guest this host has a part in. A client sends one line, "OPERATION\n", and
 * gets one JSON object on one line, after which the connection is closed:
 *   {"rc":0,…} or {"rc":ERRNO,"error":"a sentence"}
 * Operations: status, checkpoint, stop, failover, shutdown, reboot, wait, and
 * "set KEY=VALUE…" (live.h), the only one with something behind its name.
 * "checkpoint" is answered when the checkpoint is committed; "stop",
 * "shutdown" and "reboot" when protection has ended; "failover" when the
 * other side has agreed or refused. "wait" is answered when protection has
 * ended, too, but does not end it: {"rc":0,"outcome":NAME,"outcome_status":N}.
 *
 * The server side is driven by its owner's poll loop and never blocks. At
 * most CONTROL_CLIENTS at once; a line is at most CONTROL_LINE_MAX octets. A
 * client that comes when all places are taken gets the place of the oldest
 * one that has not asked yet, or else does not read its answer.
 *
 * Whoever forks after control_listen() must close the socket in the child, or
 * the child keeps it answering (and silent) when the owner is gone:
 * control_forked().
 */
#ifndef XLC_CONTROL_H
#define XLC_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <poll.h>

#include "error.h"
#include "xlcolo.h"

#ifndef XLC_RUNDIR
#define XLC_RUNDIR "/run/xl-colo"
#endif

#define CONTROL_CLIENTS    16
#define CONTROL_FDS        (CONTROL_CLIENTS + 1)
#define CONTROL_LINE_MAX   256       /* with its newline */
#define CONTROL_ANSWER_MAX (1u << 20) /* octets of JSON */
#define CONTROL_SUFFIX     ".sock"

enum control_op {
    CONTROL_STATUS,
    CONTROL_CHECKPOINT,
    CONTROL_STOP,
    CONTROL_FAILOVER,
    CONTROL_SHUTDOWN,
    CONTROL_REBOOT,
    CONTROL_WAIT,
    CONTROL_SET,
    CONTROL_NOPS,
};

/* "status", … */
const char *control_op_name(enum control_op op);

/* The directory of the sockets, XLC_RUNDIR unless a test chose another. */
const char *control_dir(void);

/* For tests: use @dir, which must outlive the process, instead. */
void control_set_dir(const char *dir);

struct control;

/**
 * struct control_req - a client's question
 * @op: what it asks
 * @id: to answer it with control_reply()
 * @args: what CONTROL_SET carries, plain ASCII; "" with every other. It is
 *        good until the next call on the same struct control
 */
struct control_req {
    enum control_op op;
    unsigned int id;
    const char *args;
};

/**
 * control_listen() - make the socket
 * @c_r: release with control_free()
 * @uuid: the guest's, as text
 *
 * A socket that nobody answers on (its owner was killed) is replaced.
 *
 * Return: 0; -EBUSY if the guest is protected by another process already;
 * another negative errno
 */
int control_listen(struct control **c_r, const char *uuid,
                   struct xlc_error *err);

/**
 * control_pollfds() - fill in what to poll
 * @pfd: room for CONTROL_FDS; places without a client have fd -1, which
 *       poll() passes over
 *
 * Return: how many entries were filled in
 */
unsigned int control_pollfds(struct control *c, struct pollfd *pfd);

/**
 * control_next() - after poll(): the next whole question
 *
 * Call it until it returns false. @pfd as control_pollfds() filled it in.
 * Lines that make no sense are answered here.
 */
bool control_next(struct control *c, const struct pollfd *pfd,
                  struct control_req *req_r);

/**
 * control_reply() - answer a question
 * @id: of the question; unknown ids are passed over (the client is gone)
 * @json: one JSON object without newline, at most CONTROL_ANSWER_MAX octets
 */
void control_reply(struct control *c, unsigned int id, const char *json);

/* control_reply() with {"rc":…,"error":…}, or {"rc":0}. */
void control_reply_error(struct control *c, unsigned int id,
                         const struct xlc_error *err);

/* control_reply() to a CONTROL_WAIT: protection ended so. */
void control_reply_outcome(struct control *c, unsigned int id,
                           enum xlc_outcome outcome);

/* True while the client that asked question @id is there and waits. */
bool control_waits(const struct control *c, unsigned int id);

/* True while an answer is still being written to somebody. Who waits for that
 * before it exits, must not wait for ever: a client may be stopped. */
bool control_busy(const struct control *c);

/* Close everything and remove the socket; NULL is allowed. */
void control_free(struct control *c);

/* control_free() in a child of the owner: the socket's name stays. */
void control_forked(struct control *c);

/**
 * control_ask() - the client's side; blocks
 * @path: the socket
 * @timeout_ms: to wait for the answer; negative for ever
 * @answer_r: malloc'd JSON text
 *
 * The answer is what came up to the newline; it was not parsed.
 *
 * Return: 0; -ENOENT or -ECONNREFUSED if nobody is there; -ETIMEDOUT;
 * -ECONNRESET if it hung up first; another errno
 */
int control_ask(const char *path, enum control_op op, int timeout_ms,
                char **answer_r, struct xlc_error *err);

/**
 * control_ask_begin() - the first half of control_ask()
 * @args: what CONTROL_SET carries, NULL with every other
 * @timeout_ms: to be let in; negative for ever
 *
 * Return: a descriptor that is readable when the answer comes; the caller's
 * to close. -EINVAL if @args is too long or no plain line; or as
 * control_ask()
 */
int control_ask_begin(const char *path, enum control_op op, const char *args,
                      int timeout_ms, struct xlc_error *err);

/* The second half: wait for the answer on @fd, which stays open. */
int control_ask_end(int fd, const char *path, int timeout_ms,
                    char **answer_r, struct xlc_error *err);

#endif
