/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * events.h - The event log: a line of JSON for each thing that happened
 *
 * What the lines say is in docs/events.md. One log a process; without one,
 * nothing here does anything. A line is put together on the stack and handed
 * to a thread that writes (lineq.h), so that anybody may do it, also while a
 * guest stands still or with a lock. A line that can't be written is lost and
 * counted; protection goes on.
 *
 * struct event e;
 * event_begin(&e, "state", "web", "primary");
 * event_str(&e, "to", "protected");
 * event_end(&e);
 */
#ifndef XLC_EVENTS_H
#define XLC_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define EVENT_LINE_MAX 1024

/**
 * struct event - a line that is being put together
 * @line, @len: so far
 * @full: something found no room: the line is not written
 */
struct event {
    char line[EVENT_LINE_MAX];
    size_t len;
    bool full;
};

/**
 * events_open() - begin the event log of this process
 * @path: a file to append to, created 0600; nothing else will do
 *
 * Return: 0 or a negative errno
 */
int events_open(const char *path, struct xlc_error *err);

/* Waits for the file system, but not for long. */
void events_close(void);

/* The same, and the log stays: events_lost() knows all now. */
void events_flush(void);

/* Is there an event log? */
bool events_on(void);

/* Lines that could not be written since the log was begun. */
unsigned int events_lost(void);

/* The time is this call's. */
void event_begin(struct event *e, const char *kind, const char *domain,
                 const char *role);

/* Text of any kind; control characters and what is not ASCII become '?'. */
void event_str(struct event *e, const char *key, const char *value);

/* A whole number; what is above INT64_MAX is INT64_MAX. */
void event_uint(struct event *e, const char *key, uint64_t value);

/* Have the line written. */
void event_end(struct event *e);

#endif
