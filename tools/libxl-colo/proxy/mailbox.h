/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mailbox.h - Ask a proxy's thread for something, and wait for the answer
 *
 * Any thread may ask. The letter lives on the asker's stack, so asking takes
 * no memory; the proxy's thread polls mailbox_fd() and never blocks, so the
 * answer comes within a turn of its loop.
 */
#ifndef XLC_MAILBOX_H
#define XLC_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/**
 * struct letter - a question
 * @what: the proxy's own enum
 * @number: its parameter
 * @data: more of it, or where an answer goes
 * @result: 0 or a negative errno
 * @err: with a sentence
 * @answered: that is there
 * @next: the letter behind it
 */
struct letter {
    int what;
    uint64_t number;
    void *data;
    int result;
    struct xlc_error err;
    bool answered;
    struct letter *next;
};

/**
 * struct mailbox - letters that wait
 * @lock: protects what follows, and the letters
 * @answered: some letter was
 * @fd: an eventfd; -1: the box was not made
 * @first, @last: they
 * @closed: the thread has ended
 */
struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    int fd;
    struct letter *first, *last;
    bool closed;
};

int mailbox_init(struct mailbox *mb, struct xlc_error *err);
void mailbox_dispose(struct mailbox *mb);

/**
 * mailbox_ask() - hand in a letter, wait for its answer
 *
 * Return: @l->result; -ESHUTDOWN if the thread has ended
 */
int mailbox_ask(struct mailbox *mb, struct letter *l, struct xlc_error *err);

/* The proxy's thread: the next letter, or NULL. As long as there is one @mb->fd
 * is readable, so that it need not be asked otherwise. */
struct letter *mailbox_take(struct mailbox *mb);

/* The proxy's thread: @l->result and @l->err are there; @l is gone then. */
void mailbox_answer(struct mailbox *mb, struct letter *l);

/* The proxy's thread ends: nobody waits any more. */
void mailbox_close(struct mailbox *mb);

#endif
