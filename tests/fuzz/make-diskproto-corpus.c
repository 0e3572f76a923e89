/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * make-diskproto-corpus.c - Write the seeds of fuzz-diskproto into a folder
 *
 * good-*: every sample alone, and what each end says in a session; bad-*: the
 * same with one thing wrong. test-corpus.sh checks that the committed files
 * are what this program writes.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "diskctl.h"
#include "diskproto-samples.h"
#include "seed-file.h"

static bool get(const char *name, struct diskproto_sample *s)
{
    for (unsigned int n = 0; diskproto_sample_get(n, s); n++)
        if (!strcmp(s->name, name)) return true;
    fprintf(stderr, "no sample %s\n", name);
    failed = 1;
    return false;
}

/* What one end says; names end with NULL. */
static void save_stream(const char *name, const char *const *samples)
{
    uint8_t all[8 * SAMPLE_MAX];
    struct diskproto_sample s;
    size_t len = 0;

    for (; *samples && get(*samples, &s); samples++) {
        memcpy(all + len, s.octets, s.len);
        len += s.len;
    }
    save("good", name, all, len);
}

/* A sample with the octet at @at replaced. */
static void save_bad(const char *name, const char *sample, size_t at,
                     uint8_t octet)
{
    struct diskproto_sample s;

    if (!get(sample, &s)) return;
    s.octets[at] = octet;
    save("bad", name, s.octets, s.len);
}

static void save_cut(const char *name, const char *sample)
{
    struct diskproto_sample s;

    if (get(sample, &s)) save("bad", name, s.octets, s.len - 1);
}

#define STREAM(name, ...) \
    save_stream(name, (const char *const[]){ __VA_ARGS__, NULL })

/* MARKS of a range and a half. */
static void save_half(void)
{
    struct diskproto_sample s;

    if (!get("marks", &s)) return;
    s.octets[11] = 24;
    save("bad", "marks-half-range", s.octets, s.len - 8);
}

static void bad_files(void)
{
    save_half();
    save_bad("magic", "mark", 0, 1);
    save_bad("reserved", "mark", 7, 1);
    save_bad("type", "mark", 5, 99);
    save_bad("length", "mark", 11, 1);
    save_bad("length-huge", "write", 8, 1);
    save_bad("epoch-0", "write", 23, 0);
    save_bad("epoch", "sync", 23, 1);
    save_bad("offset", "mark", 31, 1);
    save_bad("beyond", "write", 24, 0x80);
    save_bad("zero-empty", "zero", 37, 0);
    save_bad("zero-long", "zero", 32, 0x80);
    save_bad("hello-version", "hello-primary", 33, 0);
    save_bad("sum-empty", "sum", 37, 0);
    save_bad("summed-neither", "summed", 43, 2);
    save_bad("summed-reserved", "summed", 47, 1);
    save_bad("hello-role", "hello-primary", 35, 3);
    save_bad("hello-flags", "hello-primary", 39, 2);
    save_bad("hello-unknown-epoch", "hello-unknown", 71, 1);
    save_bad("hello-reserved", "hello-primary", 87, 1);
    save_bad("sync-generation", "sync", 39, 0);
    save_bad("sync-reserved", "sync", 47, 1);
    save_bad("state-durable", "state", 47, 43);
    save_bad("state-applied", "state", 55, 43);
    save_bad("marks-half", "marks", 11, 31);
    save_bad("marks-empty-range", "marks", 45, 0);
    save_bad("marks-end", "marks-end", 35, 2);
    save_bad("error-0", "error-secondary", 35, 0);
    save_cut("cut-header", "mark");
    save_cut("cut-data", "write");
}

int main(int argc, char **argv)
{
    const struct diskctl_status st = { .role = DISKCTL_PRIMARY };
    const struct diskctl_ask ask = { DISKCTL_MARK, 42, 0 };
    uint8_t buf[DISKCTL_ANSWER_LEN + 2 * DISKCTL_TEXT_MAX];
    struct diskproto_sample s;

    if (argc != 2) {
        fputs("usage: make-diskproto-corpus FOLDER\n", stderr);
        return 2;
    }
    folder = argv[1];
    for (unsigned int n = 0; diskproto_sample_get(n, &s); n++)
        save("good", s.name, s.octets, s.len);
    STREAM("stream-primary", "hello-primary", "sync", "sum", "write", "zero",
           "sync-end", "mark");
    STREAM("stream-secondary", "hello-secondary", "marks", "marks-end",
           "summed", "summed-differs", "state");
    diskctl_put_ask(&ask, buf);
    save("ctl", "ask", buf, DISKCTL_ASK_LEN);
    save("ctl", "answer", buf, diskctl_put_answer(-1, "", &st, buf));
    bad_files();
    return failed;
}
