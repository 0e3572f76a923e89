/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* report-line.c - One line of an event log, read and checked */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <yajl/yajl_tree.h>

#include "report-line.h"

/* The year 2100, and ten years. */
#define TIME_US_MAX 4102444800000000u
#define SPAN_US_MAX 315360000000000u

#define BIT(kind) (1u << (kind))
#define ANY       (BIT(REPORT_OTHER + 1) - 1)

/**
 * struct field - a key that is looked at
 * @where: in struct report_event
 * @size: of the string there, or 0 for a number, which is at most @max
 * @in: kinds that may have it; @must: those that must
 */
struct field {
    const char *name;
    size_t where, size;
    uint64_t max;
    unsigned int in, must;
};

#define NUMBER(key, most, in_, must_)                                \
    { #key, offsetof(struct report_event, key), 0, (most), (in_), (must_) }
#define WORDS(key, in_, must_)                                       \
    { #key, offsetof(struct report_event, key),                      \
      sizeof(((struct report_event *)0)->key), 0, (in_), (must_) }

static const struct field fields[] = {
    NUMBER(time_us, TIME_US_MAX, ANY, ANY),
    WORDS(domain, ANY, ANY),
    WORDS(role, ANY, 0),
    NUMBER(epoch, INT64_MAX, BIT(REPORT_CHECKPOINT) | BIT(REPORT_FAILOVER),
           BIT(REPORT_CHECKPOINT)),
    WORDS(cause, BIT(REPORT_CHECKPOINT), BIT(REPORT_CHECKPOINT)),
    WORDS(flow, BIT(REPORT_CHECKPOINT), 0),
    NUMBER(run_us, SPAN_US_MAX, BIT(REPORT_CHECKPOINT), 0),
    NUMBER(pause_us, SPAN_US_MAX, BIT(REPORT_CHECKPOINT),
           BIT(REPORT_CHECKPOINT)),
    NUMBER(transfer_us, SPAN_US_MAX, BIT(REPORT_CHECKPOINT), 0),
    NUMBER(ack_us, SPAN_US_MAX, BIT(REPORT_CHECKPOINT), 0),
    NUMBER(bytes, INT64_MAX / 2, BIT(REPORT_CHECKPOINT), 0),
    NUMBER(packets, UINT32_MAX, BIT(REPORT_HOLD), BIT(REPORT_HOLD)),
    NUMBER(mean_us, SPAN_US_MAX, BIT(REPORT_HOLD), BIT(REPORT_HOLD)),
    NUMBER(max_us, SPAN_US_MAX, BIT(REPORT_HOLD), BIT(REPORT_HOLD)),
    WORDS(mode, BIT(REPORT_CHECKPOINT) | BIT(REPORT_HOLD) |
          BIT(REPORT_MODE) | BIT(REPORT_START), BIT(REPORT_MODE)),
    WORDS(why, BIT(REPORT_MODE), BIT(REPORT_MODE)),
    NUMBER(interval_ms, UINT32_MAX, BIT(REPORT_START), 0),
    WORDS(peer, BIT(REPORT_START), 0),
    WORDS(from, BIT(REPORT_STATE), 0),
    WORDS(to, BIT(REPORT_STATE), BIT(REPORT_STATE)),
    WORDS(key, BIT(REPORT_SET), BIT(REPORT_SET)),
    NUMBER(value, INT64_MAX, BIT(REPORT_SET), 0),
    NUMBER(gap_us, SPAN_US_MAX, BIT(REPORT_FAILOVER), 0),
    WORDS(level, BIT(REPORT_NOTE), 0),
    WORDS(text, BIT(REPORT_END) | BIT(REPORT_FAILOVER) | BIT(REPORT_MODE) |
          BIT(REPORT_NOTE) | BIT(REPORT_SET), BIT(REPORT_NOTE)),
    WORDS(outcome, BIT(REPORT_END), BIT(REPORT_END)),
};

static const char *const kinds[REPORT_OTHER] = {
    [REPORT_CHECKPOINT] = "checkpoint", [REPORT_END] = "end",
    [REPORT_FAILOVER] = "failover",     [REPORT_HOLD] = "hold",
    [REPORT_MODE] = "mode",             [REPORT_NOTE] = "note",
    [REPORT_SET] = "set",               [REPORT_START] = "start",
    [REPORT_STATE] = "state",
};

static yajl_val find(yajl_val tree, const char *key)
{
    const char *path[] = { key, NULL };

    return yajl_tree_get(tree, path, yajl_t_any);
}

static int get_number(struct report_event *ev, const struct field *f,
                      yajl_val v, struct xlc_error *err)
{
    long long n;

    if (!YAJL_IS_INTEGER(v))
        return xlc_error_set(err, -EINVAL, "\"%s\" is no whole number",
                             f->name);
    n = YAJL_GET_INTEGER(v);
    if (n < 0 || (uint64_t)n > f->max)
        return xlc_error_set(err, -EINVAL, "\"%s\" is %lld: it must be 0 to "
                             "%" PRIu64, f->name, n, f->max);
    memcpy((char *)ev + f->where, &(uint64_t){ (uint64_t)n },
           sizeof(uint64_t));
    return 0;
}

static int get_words(struct report_event *ev, const struct field *f,
                     yajl_val v, struct xlc_error *err)
{
    const char *s = YAJL_GET_STRING(v);

    if (!s)
        return xlc_error_set(err, -EINVAL, "\"%s\" is no string", f->name);
    /* Names and words are what they are; of what is for people, the
     * beginning will do. */
    if (strlen(s) >= f->size && f->size != REPORT_TEXT_MAX)
        return xlc_error_set(err, -EINVAL, "\"%s\" has more than %zu octets",
                             f->name, f->size - 1);
    xlc_sanitise((char *)ev + f->where, (unsigned int)f->size, s,
                 (unsigned int)strlen(s));
    return 0;
}

static int get_field(struct report_event *ev, const struct field *f,
                     yajl_val tree, struct xlc_error *err)
{
    yajl_val v;

    if (!(f->in & BIT(ev->kind))) return 0;
    v = find(tree, f->name);
    if (v && f->size) return get_words(ev, f, v, err);
    if (v) return get_number(ev, f, v, err);
    if (!(f->must & BIT(ev->kind))) return 0;
    return xlc_error_set(err, -EINVAL, "an event without \"%s\"", f->name);
}

static int get_kind(struct report_event *ev, yajl_val tree,
                    struct xlc_error *err)
{
    const char *kind = YAJL_GET_STRING(find(tree, "event"));
    unsigned int k = 0;

    if (!kind)
        return xlc_error_set(err, -EINVAL, "an object without \"event\"");
    while (k < REPORT_OTHER && strcmp(kinds[k], kind))
        k++;
    ev->kind = k;
    return 0;
}

static int read_tree(struct report_event *ev, yajl_val tree,
                     struct xlc_error *err)
{
    struct report_event got = { .kind = REPORT_OTHER };
    int r;

    if (!YAJL_IS_OBJECT(tree))
        return xlc_error_set(err, -EINVAL, "no JSON object");
    r = get_kind(&got, tree, err);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && !r; i++)
        r = get_field(&got, &fields[i], tree, err);
    if (!r) *ev = got;
    return r;
}

int report_line(struct report_event *ev, const char *line, size_t len,
                struct xlc_error *err)
{
    char text[REPORT_LINE_MAX + 1];
    yajl_val tree;
    int r;

    if (len > REPORT_LINE_MAX)
        return xlc_error_set(err, -EINVAL, "more than %d octets",
                             REPORT_LINE_MAX);
    if (memchr(line, 0, len))
        return xlc_error_set(err, -EINVAL, "it holds a NUL");
    memcpy(text, line, len);
    text[len] = 0;
    tree = yajl_tree_parse(text, NULL, 0);
    if (!tree) return xlc_error_set(err, -EINVAL, "not JSON");
    r = read_tree(ev, tree, err);
    yajl_tree_free(tree);
    return r;
}
