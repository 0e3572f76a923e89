/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mailbox.c - Ask a proxy's thread for something, and wait for the answer */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "mailbox.h"

int mailbox_init(struct mailbox *mb, struct xlc_error *err)
{
    *mb = (struct mailbox){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
    if (mb->fd < 0)
        return xlc_error_set(err, -errno, "can't make an eventfd: %s",
                             strerror(errno));
    pthread_mutex_init(&mb->lock, NULL);
    pthread_cond_init(&mb->answered, NULL);
    return 0;
}

void mailbox_dispose(struct mailbox *mb)
{
    if (mb->fd < 0) return;
    close(mb->fd);
    mb->fd = -1;
    pthread_cond_destroy(&mb->answered);
    pthread_mutex_destroy(&mb->lock);
}

int mailbox_ask(struct mailbox *mb, struct letter *l, struct xlc_error *err)
{
    const uint64_t one = 1;
    LOCK_SCOPE(&mb->lock);

    if (mb->closed)
        return xlc_error_set(err, -ESHUTDOWN, "the proxy has ended");
    l->answered = false;
    l->next = NULL;
    if (mb->last) mb->last->next = l;
    else mb->first = l;
    mb->last = l;
    /* Only a counter at its limit refuses, and then it is readable. */
    (void)!write(mb->fd, &one, sizeof(one));
    while (!l->answered && !mb->closed)
        pthread_cond_wait(&mb->answered, &mb->lock);
    if (!l->answered)
        return xlc_error_set(err, -ESHUTDOWN, "the proxy has ended");
    if (l->result && err) xlc_error_set(err, l->result, "%s", l->err.msg);
    return l->result;
}

struct letter *mailbox_take(struct mailbox *mb)
{
    struct letter *l;
    uint64_t count;
    LOCK_SCOPE(&mb->lock);

    l = mb->first;
    if (l) mb->first = l->next;
    if (!mb->first) {
        mb->last = NULL;
        (void)!read(mb->fd, &count, sizeof(count)); /* EAGAIN: it was 0 */
    }
    return l;
}

void mailbox_answer(struct mailbox *mb, struct letter *l)
{
    LOCK_SCOPE(&mb->lock);

    l->answered = true;
    pthread_cond_broadcast(&mb->answered);
}

void mailbox_close(struct mailbox *mb)
{
    LOCK_SCOPE(&mb->lock);

    mb->closed = true;
    mb->first = mb->last = NULL;
    pthread_cond_broadcast(&mb->answered);
}
