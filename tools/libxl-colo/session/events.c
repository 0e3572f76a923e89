/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* events.c - The event log: a line of JSON for each thing that happened */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "events.h"
#include "lineq.h"

/* How long the end of the log waits for its file system. */
#define DRAIN_MS 2000

static int sink = -1;
static struct lineq *queue;
static _Atomic unsigned int lost;

int events_open(const char *path, struct xlc_error *err)
{
    /* Not to hang on a pipe that nobody reads. */
    CLEANUP_FD int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
                             O_NONBLOCK | O_NOCTTY, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st))
        return xlc_error_set(err, -errno, "the event log %.200s can't be "
                             "opened: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return xlc_error_set(err, -EINVAL, "the event log %.200s is no file",
                             path);
    events_close();
    lost = 0;
    queue = lineq_new(fd, &lost);
    if (!queue)
        return xlc_error_set(err, -ENOMEM, "the event log %.200s can't be "
                             "written: no memory, or no thread for it", path);
    sink = steal_fd(&fd);
    return 0;
}

void events_close(void)
{
    if (sink < 0) return;
    /* If it stands still its thread goes on with it, to the process's end. */
    if (lineq_free(queue, DRAIN_MS)) close(sink);
    queue = NULL;
    sink = -1;
}

void events_flush(void)
{
    if (queue) lineq_drain(queue, DRAIN_MS);
}

bool events_on(void)
{
    return sink >= 0;
}

unsigned int events_lost(void)
{
    return lost;
}

static void put(struct event *e, const char *s, size_t n)
{
    /* One octet is kept for the newline. */
    if (e->full || n >= sizeof(e->line) - e->len) {
        e->full = true;
        return;
    }
    memcpy(e->line + e->len, s, n);
    e->len += n;
}

static void put_string(struct event *e, const char *s)
{
    put(e, "\"", 1);
    for (; *s; s++) {
        char c = *s;

        if (c == '"' || c == '\\') put(e, "\\", 1);
        if (c < 0x20 || c > 0x7e) c = '?';
        put(e, &c, 1);
    }
    put(e, "\"", 1);
}

static void put_key(struct event *e, const char *key)
{
    put(e, e->len ? "," : "{", 1);
    put_string(e, key);
    put(e, ":", 1);
}

void event_str(struct event *e, const char *key, const char *value)
{
    if (sink < 0) return;
    put_key(e, key);
    put_string(e, value);
}

void event_uint(struct event *e, const char *key, uint64_t value)
{
    char digits[24];

    if (sink < 0) return;
    snprintf(digits, sizeof(digits), "%" PRIu64,
             value > INT64_MAX ? INT64_MAX : value);
    put_key(e, key);
    put(e, digits, strlen(digits));
}

void event_begin(struct event *e, const char *kind, const char *domain,
                 const char *role)
{
    e->len = 0;
    e->full = false;
    if (sink < 0) return;
    event_uint(e, "time_us", clock_wall_us());
    event_str(e, "event", kind);
    event_str(e, "domain", domain);
    event_str(e, "role", role);
}

void event_end(struct event *e)
{
    if (sink < 0) return;
    put(e, "}", 1);
    if (!e->full) e->line[e->len++] = '\n';
    if (e->full || !lineq_put(queue, e->line, e->len)) lost++;
}
