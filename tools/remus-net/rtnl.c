/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rtnl.c - Put a netlink message together, send it, wait for its end
 *
 * Theory of operation
 * -------------------
 * A request is sent with NLM_F_ACK and its answers are read until that
 * acknowledgement (or, for a dump, NLMSG_DONE). Answers to an older request,
 * left over after a time-out, carry another sequence number and are skipped,
 * and so is what does not come from the kernel.
 *
 * libnl's own receive loop is not used: it turns errno into its smaller set
 * of errors and throws the kernel's words about a refusal away.
 */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netlink.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "rtnl.h"

void request_start(struct request *q, int type, int flags, const void *head,
                   size_t len)
{
    q->msg = nlmsg_alloc_simple(type, flags);
    q->bad = !q->msg ||
             nlmsg_append(q->msg, (void *)(uintptr_t)head, len,
                          NLMSG_ALIGNTO) < 0;
}

void request_put(struct request *q, int type, const void *data, size_t len)
{
    if (!q->bad) q->bad = nla_put(q->msg, type, (int)len, data) < 0;
}

void request_text(struct request *q, int type, const char *text)
{
    request_put(q, type, text, strlen(text) + 1);
}

struct nlattr *request_nest(struct request *q, int type)
{
    struct nlattr *nest = q->bad ? NULL : nla_nest_start(q->msg, type);

    q->bad |= !nest;
    return nest;
}

void request_end(struct request *q, struct nlattr *nest)
{
    if (!q->bad) nla_nest_end(q->msg, nest);
}

/* Keep the kernel's words about a refusal, if it gave any. */
static void note_why(struct tc *tc, const struct nlmsghdr *hdr)
{
    const struct nlmsgerr *e = nlmsg_data(hdr);
    int left = (int)hdr->nlmsg_len - (int)nlmsg_size(sizeof(*e));
    const char *at = (const char *)(e + 1);
    struct nlattr *words;

    if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS)) return;
    if (!(hdr->nlmsg_flags & NLM_F_CAPPED)) { /* the request comes first */
        int echo = (int)NLMSG_ALIGN(e->msg.nlmsg_len) - (int)sizeof(e->msg);

        if (echo < 0 || echo > left) return;
        at += echo;
        left -= echo;
    }
    words = nla_find((const struct nlattr *)(const void *)at, left,
                     NLMSGERR_ATTR_MSG);
    if (!words) return;
    xlc_sanitise(tc->why, sizeof(tc->why), nla_data(words),
                 (unsigned int)strnlen(nla_data(words),
                                       (size_t)nla_len(words)));
}

/*
 * Look at the messages of one read. Return: 1 if the request goes on, else
 * (in *@rc) how it ended.
 */
static int read_answers(struct tc *tc, struct nlmsghdr *hdr, int len,
                        uint32_t seq, answer_fn *fn, void *arg, int *rc)
{
    for (; nlmsg_ok(hdr, len); hdr = nlmsg_next(hdr, &len)) {
        const struct nlmsgerr *e = nlmsg_data(hdr);
        const int *status = nlmsg_data(hdr);
        int r;

        if (hdr->nlmsg_seq != seq) continue;
        if (hdr->nlmsg_flags & NLM_F_DUMP_INTR) *rc = *rc ? *rc : -EINTR;
        switch (hdr->nlmsg_type) {
        case NLMSG_ERROR:
            if (hdr->nlmsg_len < (uint32_t)nlmsg_size(sizeof(*e))) {
                *rc = -EPROTO;
                return 0;
            }
            if (e->error) note_why(tc, hdr);
            if (e->error || !*rc) *rc = e->error;
            return 0;
        case NLMSG_DONE:
            if (!*rc && nlmsg_datalen(hdr) >= (int)sizeof(*status))
                *rc = *status;
            return 0;
        case NLMSG_NOOP:
            break;
        default:
            /* A caller that has had enough still lets the dump run out, so
             * that the next request finds an empty socket. */
            if (!fn || *rc) break;
            r = fn(hdr, arg);
            if (r < 0) *rc = r;
        }
    }
    return 1;
}

int request_talk(struct tc *tc, struct request *q, answer_fn *fn, void *arg)
{
    struct sockaddr_nl from = { 0 };
    unsigned char *buf = NULL;
    uint32_t seq;
    int n, more, rc = 0;

    tc->why[0] = 0;
    n = q->bad ? -NLE_NOMEM : nl_send_auto(tc->sk, q->msg);
    seq = q->msg ? nlmsg_hdr(q->msg)->nlmsg_seq : 0;
    nlmsg_free(q->msg);
    q->msg = NULL;
    if (n < 0) return n == -NLE_NOMEM ? -ENOMEM : -EIO;

    do {
        n = nl_recv(tc->sk, &from, &buf, NULL);
        if (n <= 0) return n == -NLE_AGAIN ? -ETIMEDOUT : -EIO;
        more = from.nl_pid ||
               read_answers(tc, (struct nlmsghdr *)(void *)buf, n, seq, fn,
                            arg, &rc);
        free(buf);
        buf = NULL;
    } while (more);
    return rc;
}
