/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pollset.c - What a proxy's loop waits for */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "pollset.h"

int pollset_init(struct pollset *p, struct xlc_error *err)
{
    *p = (struct pollset){ .ep = epoll_create1(EPOLL_CLOEXEC) };
    if (p->ep < 0)
        return xlc_error_set(err, -errno, "can't make an epoll descriptor: "
                             "%s", strerror(errno));
    return 0;
}

void pollset_dispose(struct pollset *p)
{
    if (p->ep >= 0) close(p->ep);
    p->ep = -1;
    p->n = 0;
}

static unsigned int find(const struct pollset *p, int fd)
{
    unsigned int i = 0;

    while (i < p->n && p->at[i].fd != fd)
        i++;
    return i;
}

void pollset_want(struct pollset *p, int fd, uint32_t events)
{
    unsigned int i = find(p, fd);

    if (fd < 0) return;
    if (i == p->n) {
        i = find(p, -1); /* the place of one that was forgotten */
        if (i == POLLSET_MAX) return;
        if (i == p->n) p->n++;
        p->at[i].fd = fd;
        p->at[i].want = p->at[i].known = p->at[i].got = 0;
    }
    p->at[i].want |= events;
}

static int ctl(struct pollset *p, int op, unsigned int i)
{
    struct epoll_event e = { .events = p->at[i].want, .data.u32 = i };

    return epoll_ctl(p->ep, op, p->at[i].fd, &e) ? -errno : 0;
}

void pollset_forget(struct pollset *p, int fd)
{
    unsigned int i = find(p, fd);

    if (i == p->n) return;
    if (p->at[i].known) ctl(p, EPOLL_CTL_DEL, i);
    /* The kernel knows the others by their place: keep the place. */
    p->at[i].fd = -1;
    p->at[i].want = p->at[i].known = p->at[i].got = 0;
}

/* A descriptor of which nothing is wanted is not polled for errors either:
 * they would wake the loop again and again. */
static int tell_kernel(struct pollset *p, unsigned int i)
{
    int r = 0;

    if (p->at[i].want == p->at[i].known) return 0;
    if (!p->at[i].want) r = ctl(p, EPOLL_CTL_DEL, i);
    else r = ctl(p, p->at[i].known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, i);
    if (!r) p->at[i].known = p->at[i].want;
    return r;
}

int pollset_wait(struct pollset *p, int timeout_ms, struct xlc_error *err)
{
    struct epoll_event e[POLLSET_MAX];
    int n, r = 0;

    for (unsigned int i = 0; i < p->n && !r; i++) {
        r = tell_kernel(p, i);
        p->at[i].want = p->at[i].got = 0;
    }
    if (r)
        return xlc_error_set(err, r, "can't poll for packets: %s",
                             strerror(-r));
    n = epoll_wait(p->ep, e, (int)POLLSET_MAX, timeout_ms);
    if (n < 0 && errno != EINTR)
        return xlc_error_set(err, -errno, "can't wait for packets: %s",
                             strerror(errno));
    for (int i = 0; i < n; i++)
        p->at[e[i].data.u32].got = e[i].events;
    return 0;
}

bool pollset_got(const struct pollset *p, int fd, uint32_t events)
{
    unsigned int i = find(p, fd);

    return fd >= 0 && i < p->n &&
           p->at[i].got & (events | EPOLLERR | EPOLLHUP);
}
