/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lineq.h - Lines for a file whose disk may stand still
 *
 * write() to a file waits while its file system does: for a journal, for
 * other writers, for a path that is gone. Who has a heartbeat to send can't
 * wait, nor can who has locked something that heartbeats need. Here a thread
 * does the writing; the others only copy a line into memory.
 */
#ifndef XLC_LINEQ_H
#define XLC_LINEQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Octets that wait at most, besides as many that are being written. */
#define LINEQ_BYTES 65536

struct lineq;

/**
 * lineq_new() - begin to write lines
 * @fd: open for append; stays the caller's, and open, until lineq_free()
 * @lost: grows by the lines that could not be written; outlives the queue
 *
 * Any thread may call what follows; a child that fork() makes may not.
 *
 * Return: a queue, or NULL without memory or a thread
 */
struct lineq *lineq_new(int fd, _Atomic unsigned int *lost);

/**
 * lineq_put() - hand over whole lines; never waits for the file
 *
 * Return: false if there was no room for them, which is not in @lost
 */
bool lineq_put(struct lineq *q, const char *text, size_t len);

/**
 * lineq_drain() - wait until all that was handed over is written, or lost
 * @ms: at most so long
 *
 * Return: false if it still waits
 */
bool lineq_drain(struct lineq *q, unsigned int ms);

/**
 * lineq_free() - drain, and end the thread; nobody else may use @q now
 * @ms: for lineq_drain()
 *
 * Return: false if the file still stands: queue and @fd are left to it
 */
bool lineq_free(struct lineq *q, unsigned int ms);

#endif
