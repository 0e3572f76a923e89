/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log.h - Where a process of this project says what it does
 *
 * One sink a process, chosen once at its start: standard error, or a file
 * (the receiver, which outlives its ssh session). Lines carry the wall clock
 * to the millisecond, the level and the process's role. errno is preserved.
 * Thread-safe: a line is one write().
 *
 * A file gets every line, unless log_no_wait() was called and it stands still
 * for long. A terminal, pipe or socket never makes the caller wait: lines that
 * it does not take are lost and counted, and a line says how many as soon as
 * it takes one again.
 */
#ifndef XLC_LOG_H
#define XLC_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

/**
 * log_init() - choose the sink
 * @role: short name in each line, e.g. "remus"; must outlive the process
 * @path: a file to append to (created 0600), or NULL for standard error
 * @level: the most talkative level that is written
 *
 * Return: 0, or a negative errno if @path can't be opened
 */
int log_init(const char *role, const char *path, enum log_level level);

/**
 * log_no_wait() - from now on a file never makes the caller wait either
 *
 * For a process that sends heartbeats. A thread writes the lines, until the
 * process ends; its forks wait as before. Without memory nothing changes.
 */
void log_no_wait(void);

/* Wait, a little, until what was said is written. exit() does so too. */
void log_flush(void);

/* The most talkative level that is written. */
enum log_level log_level_now(void);

/* The role alone changes, as a fork does. */
void log_role(const char *role);

/* The sink's file descriptor, for a child's standard error. */
int log_fd(void);

/* Lines that were lost since the start of the process. */
unsigned int log_lost(void);

/* Text as it is, for somebody who looks on (progress). It may be lost, which
 * is not counted. */
void log_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void log_at(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

/**
 * log_xtl() - a xentoollog logger that writes into this log
 *
 * Xen's own debug and progress chatter goes to the debug level.
 *
 * Return: a logger that lives as long as the process; NULL without memory
 */
struct xentoollog_logger *log_xtl(void);

/**
 * log_xtl_expect() - an error of Xen's libraries that is none here
 * @text: messages that hold it go to the debug level; a literal, or NULL
 */
void log_xtl_expect(const char *text);

/* The same, with errors too at the debug level. */
struct xentoollog_logger *log_xtl_debug(void);

#endif
