/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-plugin.h - Disks' plugins that only write down what they are asked
 */
#ifndef XLC_TESTS_FAKE_PLUGIN_H
#define XLC_TESTS_FAKE_PLUGIN_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "diskctl.h"

#define FIRST 1000u
#define NASKED 64

/**
 * struct plugin - one of them, on a thread for each connection
 * @held: what WAIT reaches
 * @slow: WAIT says "not yet" that often
 * @on_wait: called before WAIT is answered
 * @fail: the question that fails, and with what, @fails times
 * @asked, @n: questions, but for STATUS
 */
static struct plugin {
    pthread_mutex_t lock;
    char folder[64];
    int listener;
    uint64_t held;
    unsigned int slow;
    void (*on_wait)(void);
    enum diskctl_op fail;
    unsigned int fails;
    int fail_status;
    struct diskctl_status st;
    struct diskctl_ask asked[NASKED];
    unsigned int n;
} plugin[2];

static unsigned int count(unsigned int i, enum diskctl_op op, uint64_t a)
{
    unsigned int n = 0;

    LOCK_SCOPE(&plugin[i].lock);
    for (unsigned int k = 0; k < plugin[i].n; k++)
        n += plugin[i].asked[k].op == op && plugin[i].asked[k].a == a;
    return n;
}

static int reply(struct plugin *p, const struct diskctl_ask *a)
{
    void (*call)(void) = NULL;
    int r = 0;

    pthread_mutex_lock(&p->lock);
    if (a->op != DISKCTL_STATUS && p->n < NASKED) p->asked[p->n++] = *a;
    if (p->fails && a->op == p->fail) {
        r = p->fail_status;
        p->fails--;
    } else if (a->op == DISKCTL_ACCEPT) {
        if (p->st.accepted < a->a) p->st.accepted = a->a;
    } else if (a->op == DISKCTL_WAIT) {
        call = p->on_wait;
        if (p->slow || p->held < a->a) r = -ETIMEDOUT;
        if (p->slow) p->slow--;
    } else if (a->op == DISKCTL_TAKEOVER) {
        p->st.role = DISKCTL_PRIMARY;
    }
    pthread_mutex_unlock(&p->lock);
    if (call) call();
    return r;
}

static void *serve(void *arg)
{
    struct plugin *p = *(struct plugin **)arg;
    int fd = (int)((intptr_t *)arg)[1];
    uint8_t ask[DISKCTL_ASK_LEN];

    free(arg);
    while (recv(fd, ask, sizeof(ask), MSG_WAITALL) == sizeof(ask)) {
        uint8_t answer[DISKCTL_ANSWER_LEN + 2 * DISKCTL_TEXT_MAX];
        struct diskctl_ask a;
        size_t len;
        int r;

        if (diskctl_get_ask(&a, ask, sizeof(ask))) abort();
        r = reply(p, &a);
        len = diskctl_put_answer(r, r ? "the plugin says no" : "", &p->st,
                                 answer);
        if (send(fd, answer, len, MSG_NOSIGNAL) != (ssize_t)len) break;
    }
    close(fd);
    return NULL;
}

static void *listening(void *arg)
{
    struct plugin *p = arg;

    for (;;) {
        int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        intptr_t *both = calloc(2, sizeof(*both));
        pthread_t t;

        if (fd < 0 || !both) {
            free(both);
            return NULL;
        }
        both[0] = (intptr_t)p;
        both[1] = fd;
        if (pthread_create(&t, NULL, serve, both)) abort();
        pthread_detach(t);
    }
}

static void plugin_open(struct plugin *p)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    pthread_t t;

    pthread_mutex_init(&p->lock, NULL);
    snprintf(p->folder, sizeof(p->folder), "/tmp/xl-colo-disks-XXXXXX");
    if (!mkdtemp(p->folder)) abort();
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control", p->folder);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->listener < 0 ||
        bind(p->listener, (struct sockaddr *)&sa, sizeof(sa)) ||
        listen(p->listener, 8) ||
        pthread_create(&t, NULL, listening, p)) abort();
    pthread_detach(t);
}

static void plugin_close(struct plugin *p)
{
    char path[128];

    shutdown(p->listener, SHUT_RDWR);
    snprintf(path, sizeof(path), "%s/control", p->folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/keep", p->folder);
    unlink(path);
    rmdir(p->folder);
}

#endif
