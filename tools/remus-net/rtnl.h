/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rtnl.h - Put a netlink message together, send it, wait for its end
 *
 * Only for tc.c: what the rest of the buffer needs is in tc.h.
 */
#ifndef XLC_RTNL_H
#define XLC_RTNL_H

#include <stdbool.h>
#include <stddef.h>

#include <netlink/attr.h>
#include <netlink/msg.h>

#include "tc.h"

/**
 * struct request - a message under construction
 * @msg: as far as it is
 * @bad: something did not fit; request_talk() then refuses
 */
struct request {
    struct nl_msg *msg;
    bool bad;
};

/* Called for each answer; a negative return becomes the request's. */
typedef int answer_fn(struct nlmsghdr *hdr, void *arg);

void request_start(struct request *q, int type, int flags, const void *head,
                   size_t len);
void request_put(struct request *q, int type, const void *data, size_t len);
void request_text(struct request *q, int type, const char *text);
struct nlattr *request_nest(struct request *q, int type);
void request_end(struct request *q, struct nlattr *nest);

/**
 * request_talk() - send @q, and release it; wait for the acknowledgement
 * @fn: called for each answer that is not one; NULL if none is expected
 *
 * Return: 0; the kernel's or @fn's negative errno; -EINTR if a dump was
 * interrupted by a change (what @fn saw is then incomplete)
 */
int request_talk(struct tc *tc, struct request *q, answer_fn *fn, void *arg);

#endif
