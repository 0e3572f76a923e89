/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * report-line.h - One line of an event log, read and checked; docs/events.md
 */
#ifndef XL_REPORT_LINE_H
#define XL_REPORT_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define REPORT_LINE_MAX   4096 /* octets, without the newline */
#define REPORT_DOMAIN_MAX 128
#define REPORT_WORD_MAX   24
#define REPORT_TEXT_MAX   160

/**
 * enum report_kind - what happened; the names are in docs/events.md
 * @REPORT_OTHER: a kind of a later version; only its time is known
 */
enum report_kind {
    REPORT_CHECKPOINT,
    REPORT_END,
    REPORT_FAILOVER,
    REPORT_HOLD,
    REPORT_MODE,
    REPORT_NOTE,
    REPORT_SET,
    REPORT_START,
    REPORT_STATE,
    REPORT_OTHER,
};

/**
 * struct report_event - a line; what its kind does not have is 0 or empty
 * @time_us: of the wall clock, since 1970
 * @domain, @role: whose, and on which of the two hosts
 * @from, @to: states
 * @mode, @why, @cause, @outcome, @level, @key: words of their kinds
 * @flow, @text, @peer: for people
 */
struct report_event {
    enum report_kind kind;
    uint64_t time_us;
    uint64_t epoch, run_us, pause_us, transfer_us, ack_us, bytes;
    uint64_t packets, mean_us, max_us, gap_us, interval_ms, value;
    char domain[REPORT_DOMAIN_MAX];
    char role[REPORT_WORD_MAX], from[REPORT_WORD_MAX], to[REPORT_WORD_MAX];
    char mode[REPORT_WORD_MAX], why[REPORT_WORD_MAX], cause[REPORT_WORD_MAX];
    char outcome[REPORT_WORD_MAX], level[REPORT_WORD_MAX];
    char key[REPORT_WORD_MAX];
    char flow[REPORT_TEXT_MAX], text[REPORT_TEXT_MAX], peer[REPORT_TEXT_MAX];
};

/**
 * report_line() - read a line
 * @ev: touched only on success; its strings are printable ASCII
 * @line: @len octets, without the newline
 * @err: what is wrong with it
 *
 * Return: 0 or -EINVAL
 */
int report_line(struct report_event *ev, const char *line, size_t len,
                struct xlc_error *err);

#endif
