/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* report.c - An event log, read into columns, bands and marks */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/**
 * struct reading - a log while it is read
 * @f, @name: the log; @line: its number
 * @left: octets that the first reading saw: a log may grow meanwhile
 */
struct reading {
    FILE *f;
    const char *name;
    uint64_t line, left;
};

typedef int (*line_fn)(struct report *r, const struct report_event *ev,
                       struct xlc_error *err);

static void sum_add(struct report_sum *s, uint64_t v)
{
    if (__builtin_add_overflow(s->sum, v, &s->sum)) s->sum = UINT64_MAX;
    s->n++;
    if (v > s->max) s->max = v;
}

/* ----- lines ----- */

enum got {
    GOT_LINE,
    GOT_LONG, /* a line, of which only the beginning is there */
    GOT_TORN, /* the log ends without a newline */
    GOT_END,
};

static enum got next_line(struct reading *in, char *buf, size_t size,
                          size_t *len_r)
{
    size_t len = 0;
    int c = EOF;

    while (in->left && (c = getc_unlocked(in->f)) != EOF && c != '\n') {
        if (len < size) buf[len] = (char)c;
        len++;
        in->left--;
    }
    if (c == '\n') in->left--;
    *len_r = len < size ? len : size;
    if (c != '\n' && !len) return GOT_END;
    in->line++;
    if (c != '\n') return GOT_TORN;
    return len > size ? GOT_LONG : GOT_LINE;
}

/* An event that counts goes to @take. Return: 0 or a negative errno */
static int one_line(struct report *r, const char *buf, size_t len,
                    bool whole, line_fn take, struct xlc_error *err)
{
    struct report_event ev;
    int rc;

    if (!whole)
        return xlc_error_set(err, -EINVAL, "more than %d octets",
                             REPORT_LINE_MAX);
    rc = report_line(&ev, buf, len, err);
    return rc ? rc : take(r, &ev, err);
}

static int read_lines(struct report *r, struct reading *in, line_fn take,
                      struct xlc_error *err)
{
    char buf[REPORT_LINE_MAX];
    enum got got;
    size_t len;

    while ((got = next_line(in, buf, sizeof(buf), &len)) != GOT_END) {
        struct xlc_error e = XLC_ERROR_INIT;

        if (got == GOT_LINE && !len) continue;
        if (!one_line(r, buf, len, got != GOT_LONG, take, &e)) continue;
        if (got == GOT_TORN) {
            r->torn = true; /* its host lost power, or it is being written */
        } else if (!r->lenient) {
            return xlc_error_set(err, e.status, "%s:%" PRIu64 ": %s "
                                 "(--lenient skips such lines)", in->name,
                                 in->line, e.msg);
        } else {
            r->skipped++;
        }
    }
    if (ferror(in->f))
        return xlc_error_set(err, -EIO, "%s can't be read: %s", in->name,
                             strerror(errno));
    return 0;
}

/* ----- the first reading: whose, and how long ----- */

static int survey(struct report *r, const struct report_event *ev,
                  struct xlc_error *err)
{
    uint64_t *heard = &r->heard_us[!strcmp(ev->role, "secondary")];

    if (!r->domain[0]) memcpy(r->domain, ev->domain, sizeof(r->domain));
    if (strcmp(r->domain, ev->domain)) {
        r->foreign++;
        if (r->picked) return 0;
        return xlc_error_set(err, -EINVAL, "an event of %.64s among those of "
                             "%.64s: --domain picks one", ev->domain,
                             r->domain);
    }
    if (!r->events++ || ev->time_us < r->first_us) r->first_us = ev->time_us;
    if (ev->time_us > r->last_us) r->last_us = ev->time_us;
    if (ev->time_us > *heard) *heard = ev->time_us;
    r->unknown += ev->kind == REPORT_OTHER;
    return 0;
}

/* ----- the second: what happened ----- */

static struct report_column *column(struct report *r, uint64_t at_us)
{
    uint64_t span = r->last_us - r->first_us;
    uint64_t at = at_us > r->first_us ? at_us - r->first_us : 0;

    if (at >= span) return &r->column[span ? REPORT_COLUMNS - 1 : 0];
    /* A span of a hundred years is less than 2^52 us. */
    return &r->column[at * REPORT_COLUMNS / span];
}

static void band(struct report *r, enum report_lane lane, uint64_t at_us,
                 const char *word, const char *why)
{
    unsigned int n = r->nbands[lane];
    struct report_band *b = r->band[lane];

    if (n) {
        if (!strcmp(b[n - 1].word, word)) return;
        /* Clocks of two hosts, or one that was set: never backwards. */
        if (at_us < b[n - 1].from_us) at_us = b[n - 1].from_us;
        b[n - 1].to_us = at_us;
    }
    if (n == REPORT_BANDS) {
        r->undrawn++;
        return;
    }
    b[n].from_us = at_us;
    /* What a host that fell silent would have said, nobody knows. */
    b[n].to_us = r->heard_us[lane == REPORT_SECONDARY];
    memcpy(b[n].word, word, strnlen(word, REPORT_WORD_MAX - 1));
    memcpy(b[n].why, why, strnlen(why, REPORT_WORD_MAX - 1));
    r->nbands[lane]++;
}

static void mark(struct report *r, const struct report_event *ev, bool bad,
                 const char *text)
{
    struct report_mark *m = &r->mark[r->nmarks];

    if (r->nmarks == REPORT_MARKS) {
        r->undrawn++;
        return;
    }
    m->at_us = ev->time_us;
    m->kind = ev->kind;
    m->bad = bad;
    snprintf(m->text, sizeof(m->text), "%s", text);
    r->nmarks++;
}

/* The index of a cause; the last one is for all that found no room. */
static unsigned int cause_of(struct report *r, const char *name)
{
    unsigned int i = 0;

    while (i < r->ncauses && strcmp(r->cause[i], name))
        i++;
    if (i < r->ncauses) return i;
    if (i == REPORT_CAUSES - 1) name = "others";
    else if (i == REPORT_CAUSES) return i - 1;
    snprintf(r->cause[i], sizeof(r->cause[i]), "%s", name);
    r->ncauses++;
    return i;
}

static void checkpoint(struct report *r, const struct report_event *ev)
{
    uint64_t after = ev->transfer_us + ev->ack_us;
    uint64_t cut = ev->time_us > after ? ev->time_us - after : 0;
    struct report_column *c = column(r, cut);
    unsigned int i = cause_of(r, ev->cause);

    c->cause[i]++;
    r->causes[i]++;
    if (ev->mode[0]) band(r, REPORT_MODES, cut, ev->mode, "");
    if (!strcmp(ev->cause, "first")) return; /* all of the guest */
    sum_add(&c->pause, ev->pause_us);
    sum_add(&r->pause, ev->pause_us);
    sum_add(&c->bytes, ev->bytes);
    sum_add(&r->bytes, ev->bytes);
    /* Said just after the cut before, let go when this one was there. */
    if (ev->run_us && strcmp(ev->mode, "colo")) {
        sum_add(&c->bound, ev->run_us + ev->pause_us + after);
        sum_add(&r->bound, ev->run_us + ev->pause_us + after);
    }
}

static void hold(struct report *r, const struct report_event *ev)
{
    struct report_sum *of[] = { &column(r, ev->time_us)->hold, &r->hold };

    for (int i = 0; i < 2; i++) {
        uint64_t all;

        if (__builtin_mul_overflow(ev->mean_us, ev->packets, &all) ||
            __builtin_add_overflow(of[i]->sum, all, &of[i]->sum))
            of[i]->sum = UINT64_MAX;
        of[i]->n += ev->packets;
        if (ev->max_us > of[i]->max) of[i]->max = ev->max_us;
    }
}

static void say_failover(struct report *r, const struct report_event *ev)
{
    char text[REPORT_TEXT_MAX + 64];

    snprintf(text, sizeof(text), "failover%s%s", ev->text[0] ? ": " : "",
             ev->text);
    if (ev->gap_us)
        snprintf(text, sizeof(text), "failover, %" PRIu64 " ms%s%s",
                 ev->gap_us / 1000, ev->text[0] ? ": " : "", ev->text);
    mark(r, ev, true, text);
}

static void say_set(struct report *r, const struct report_event *ev)
{
    char text[REPORT_TEXT_MAX + 64];

    if (ev->text[0])
        snprintf(text, sizeof(text), "set %s to %s", ev->key, ev->text);
    else
        snprintf(text, sizeof(text), "set %s to %" PRIu64, ev->key,
                 ev->value);
    mark(r, ev, false, text);
}

static void say_end(struct report *r, const struct report_event *ev)
{
    char text[REPORT_TEXT_MAX + 64];

    snprintf(text, sizeof(text), "end: %s%s%s", ev->outcome,
             ev->text[0] ? ", " : "", ev->text);
    mark(r, ev, false, text);
}

static int take(struct report *r, const struct report_event *ev,
                struct xlc_error *err)
{
    bool second = !strcmp(ev->role, "secondary");

    (void)err;
    if (strcmp(r->domain, ev->domain)) return 0;
    switch (ev->kind) {
    case REPORT_CHECKPOINT:
        checkpoint(r, ev);
        break;
    case REPORT_END:
        say_end(r, ev);
        break;
    case REPORT_FAILOVER:
        say_failover(r, ev);
        break;
    case REPORT_HOLD:
        if (ev->packets) hold(r, ev);
        break;
    case REPORT_MODE:
        band(r, REPORT_MODES, ev->time_us, ev->mode, ev->why);
        break;
    case REPORT_NOTE:
        mark(r, ev, !strcmp(ev->level, "error"), ev->text);
        break;
    case REPORT_SET:
        say_set(r, ev);
        break;
    case REPORT_START:
        if (ev->peer[0]) memcpy(r->peer, ev->peer, sizeof(r->peer));
        break;
    case REPORT_STATE:
        band(r, second ? REPORT_SECONDARY : REPORT_PRIMARY, ev->time_us,
             ev->to, ev->from);
        break;
    case REPORT_OTHER:
        break;
    }
    return 0;
}

static uint64_t size_of(FILE *f)
{
    off_t end = fseeko(f, 0, SEEK_END) ? -1 : ftello(f);

    return end < 0 ? UINT64_MAX : (uint64_t)end;
}

static int by_time(const void *a, const void *b)
{
    const struct report_mark *x = a, *y = b;

    return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

/* One reading of all logs. Return: 0 or a negative errno */
static int pass(struct report *r, FILE *const *logs, const char *const *names,
                const uint64_t *sizes, unsigned int n, line_fn fn,
                struct xlc_error *err)
{
    int rc = 0;

    for (unsigned int i = 0; i < n && !rc; i++) {
        struct reading in = { logs[i], names[i], 0, sizes[i] };

        rewind(logs[i]);
        rc = read_lines(r, &in, fn, err);
    }
    return rc;
}

int report_read(struct report *r, FILE *const *logs, const char *const *names,
                unsigned int n, struct xlc_error *err)
{
    uint64_t sizes[REPORT_LOGS], skipped;
    int rc;

    for (unsigned int i = 0; i < n; i++) {
        sizes[i] = size_of(logs[i]);
        if (sizes[i] == UINT64_MAX)
            return xlc_error_set(err, -ESPIPE, "%s can't be read twice: it "
                                 "must be a file", names[i]);
    }
    rc = pass(r, logs, names, sizes, n, survey, err);
    if (rc) return rc;
    if (!r->events)
        return xlc_error_set(err, -ENODATA, "%s%s: no event%s%.64s",
                             names[0], n > 1 ? " and the others" : "",
                             r->picked ? " of " : "",
                             r->picked ? r->domain : "");
    skipped = r->skipped;
    rc = pass(r, logs, names, sizes, n, take, err);
    r->skipped = skipped;
    if (!rc)
        qsort(r->mark, r->nmarks, sizeof(r->mark[0]), by_time);
    return rc;
}
