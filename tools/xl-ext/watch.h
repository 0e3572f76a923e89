/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * watch.h - How a protection looks from sample to sample
 *
 * For `xl remus-status --watch`. Pure: text from a status object and the ones
 * before it. Everything from the status is sanitised.
 */
#ifndef XL_WATCH_H
#define XL_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

#define WATCH_HISTORY 200
#define WATCH_RATE_MS 100 /* a rate is not told over less */

/**
 * struct watch - what is known of one domain
 * @sampled: there was a sample; @rated: the rates are known
 * @at_ms: when the rates were counted last; @checkpoints, @bytes: totals then
 * @checkpoints_100s, @bytes_s: in 100 s, and in one
 * @pause_us: of the last checkpoints that were seen, @n of them, oldest first
 * @newest: the total when the last of them was seen
 */
struct watch {
    bool sampled, rated;
    uint64_t at_ms;
    long long checkpoints, bytes, checkpoints_100s, bytes_s, newest;
    uint32_t pause_us[WATCH_HISTORY];
    unsigned int n;
};

/* Take a status object in. */
void watch_sample(struct watch *w, const struct status *s, uint64_t now_ms);

/* One line: @when, then what changes. */
void watch_line(FILE *out, const struct watch *w, const struct status *s,
                const char *when);

/**
 * watch_text() - some lines for a person
 * @width: columns, for the curve
 * @utf8: whether it may be drawn with blocks
 */
void watch_text(FILE *out, const struct watch *w, const struct status *s,
                const char *when, unsigned int width, bool utf8);

/**
 * watch_frame() - lines as one picture of a terminal
 * @text: lines; octets beyond ASCII only in whole UTF-8 characters that are
 *        one column wide
 *
 * Overwrites what is there from the top, cuts lines at @width and the
 * whole at @height.
 */
void watch_frame(FILE *out, const char *text, unsigned int width,
                 unsigned int height);

#endif
