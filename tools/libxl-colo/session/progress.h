/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * progress.h - How far the first copy of the memory is, in words
 *
 * The first pass is all of the guest; each further one what the guest wrote
 * during the one before. How many there will be nobody knows, so a time is
 * told of the first pass alone, and afterwards what is left of this one.
 */
#ifndef XLC_PROGRESS_H
#define XLC_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct progress - the first copy
 * @all: octets of the guest's memory
 * @sent: octets so far, in @ms
 * @pass: this one, from 1 on
 * @from: what @sent was when it began; @pages: that it has to copy
 * @cut: the last octet was captured; the other host has not answered yet
 */
struct progress {
    uint64_t all, sent, ms;
    unsigned int pass;
    uint64_t from, pages;
    bool cut;
};

/* Of the first pass; 99 at most: 100 is for the other host to say. */
int progress_percent(const struct progress *p);

/* " 42 %  10.0 MB/s  ETA 5 s" */
void progress_text(char *buf, size_t size, const struct progress *p);

#endif
