/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * report.h - An event log as a picture
 *
 * The log is read twice, first for its span, then into a fixed number of
 * columns: memory does not grow with the log.
 */
#ifndef XL_REPORT_H
#define XL_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "report-line.h"

#define REPORT_LOGS    8
#define REPORT_COLUMNS 840 /* of the picture; as many pixels */
#define REPORT_BANDS   1024
#define REPORT_MARKS   256
#define REPORT_CAUSES  12

/**
 * enum report_lane - bands, one after the other
 * @REPORT_PRIMARY, @REPORT_SECONDARY: the states of the two hosts
 * @REPORT_MODES: "colo" and "passive"
 */
enum report_lane {
    REPORT_PRIMARY,
    REPORT_SECONDARY,
    REPORT_MODES,
    REPORT_NLANES,
};

/**
 * struct report_band - @word from @from_us to @to_us
 * @why: what it follows from, or empty
 */
struct report_band {
    uint64_t from_us, to_us;
    char word[REPORT_WORD_MAX], why[REPORT_WORD_MAX];
};

/* struct report_mark - something at @at_us; @text says what */
struct report_mark {
    uint64_t at_us;
    enum report_kind kind;
    bool bad;
    char text[REPORT_TEXT_MAX + 64];
};

/**
 * struct report_sum - of pauses, holds or sizes
 * @sum, @n, @max: of them
 */
struct report_sum {
    uint64_t sum, n, max;
};

/**
 * struct report_column - what happened in its share of the time
 * @cause: checkpoints, by their index in struct report's @cause
 * @pause, @bytes: of checkpoints; @hold: as measured; @bound: the longest
 *                 that a packet can have been held, from the checkpoints
 */
struct report_column {
    uint32_t cause[REPORT_CAUSES];
    struct report_sum pause, bytes, hold, bound;
};

/**
 * struct report - what an event log holds
 * @domain: whose events count; empty: those of the first
 * @picked: @domain was asked for: others are passed over
 * @lenient: lines that make no sense are counted in @skipped
 * @peer: the other host; @first_us, @last_us: the span; @heard_us: the last
 *        of the primary's and of the secondary's events
 * @events: that count; @unknown: those of other kinds; @foreign: events of
 *          other domains
 * @torn: a log's last line was cut off
 * @undrawn: bands and marks for which there was no room
 * @band, @nbands: lanes; @mark, @nmarks
 * @cause, @causes, @ncauses: names, and checkpoints with it
 * @pause, @bytes, @hold, @bound: of all; the first copy is no checkpoint
 */
struct report {
    char domain[REPORT_DOMAIN_MAX];
    bool picked, lenient;
    char peer[REPORT_TEXT_MAX];
    uint64_t first_us, last_us, heard_us[2];
    uint64_t events, skipped, unknown, foreign, undrawn;
    bool torn;
    struct report_band band[REPORT_NLANES][REPORT_BANDS];
    unsigned int nbands[REPORT_NLANES];
    struct report_mark mark[REPORT_MARKS];
    unsigned int nmarks;
    char cause[REPORT_CAUSES][REPORT_WORD_MAX];
    uint64_t causes[REPORT_CAUSES];
    unsigned int ncauses;
    struct report_sum pause, bytes, hold, bound;
    struct report_column column[REPORT_COLUMNS];
};

/**
 * report_read() - read a log
 * @r: zeroed, but for @domain, @picked and @lenient; touched in any case
 * @logs: @n of them, REPORT_LOGS at most, which can be read twice
 * @names: of the logs, for sentences
 *
 * Return: 0 or a negative errno; @err names the log and the line
 */
int report_read(struct report *r, FILE *const *logs, const char *const *names,
                unsigned int n, struct xlc_error *err);

/* report-svg.c: the picture. Return: 0 or -ENOMEM; whether it could be
 * written, @out knows. */
int report_svg(FILE *out, const struct report *r);

#endif
