/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-xl-watch.c - Rates, the curve and the cut of `remus-status --watch` */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "watch.h"

#define WHEN "2026-01-02T03:04:05+0000"

static void sample(struct watch *w, struct status *s, uint64_t now_ms,
                   long long checkpoints, long long bytes, long long pause)
{
    char *json = NULL;

    free(s->path);
    free(s->json);
    yajl_tree_free(s->tree);
    *s = (struct status){ .path = strdup("x") };
    if (asprintf(&json, "{\"rc\":0,\"domain\":\"web\",\"role\":\"primary\","
                 "\"state\":\"protected\",\"checkpoints_total\":%lld,"
                 "\"bytes_total\":%lld,\"pause_us\":%lld}", checkpoints,
                 bytes, pause) < 0)
        exit(1);
    status_parse(s, json);
    watch_sample(w, s, now_ms);
}

static void release(struct status *s)
{
    free(s->path);
    free(s->json);
    yajl_tree_free(s->tree);
}

static char *line(const struct watch *w, const struct status *s)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    watch_line(f, w, s, "now");
    fclose(f);
    return text;
}

static void test_rates(void)
{
    struct status s = { .path = NULL };
    struct watch w = { .sampled = false };
    char *text;

    sample(&w, &s, 5000, 100, 1 << 20, 1000);
    text = line(&w, &s);
    ok(!w.rated && !strcmp(text, "now web primary protected pause 1.0 ms\n"),
       "one sample has no rate");
    free(text);
    sample(&w, &s, 7000, 109, 21 << 20, 12345);
    text = line(&w, &s);
    if (!ok(!strcmp(text, "now web primary protected pause 12.3 ms 4.50/s "
                    "10.0M/s\n"), "9 checkpoints, 20M in 2 s"))
        printf("# %s", text);
    free(text);
    sample(&w, &s, 7000 + WATCH_RATE_MS - 1, 200, 210 << 20, 5);
    ok(w.checkpoints_100s == 450 && w.bytes_s == 10 << 20,
       "too soon for another");
    sample(&w, &s, 8000, 209, 221 << 20, 5);
    ok(w.checkpoints_100s == 10000 && w.bytes_s == 200 << 20,
       "and nothing is lost by that");
    sample(&w, &s, 9000, 209, 221 << 20, 5);
    ok(w.rated && !w.checkpoints_100s && !w.bytes_s, "none at all");
    sample(&w, &s, 10000, 3, 4096, 5);
    ok(!w.rated && w.n == 1, "totals that begin again are another process");
    release(&s);
}

/* The curve: each checkpoint that was seen once, as many as fit. */
static void test_curve(void)
{
    struct status s = { .path = NULL };
    struct watch w = { .sampled = false };
    char *text = NULL;
    size_t size;
    FILE *f;

    for (unsigned int i = 0; i < WATCH_HISTORY + 50; i++)
        sample(&w, &s, i * 1000ull, i / 2 + 1, 0, 1000 * (1 + i / 2 % 8));
    ok(w.n == (WATCH_HISTORY + 50) / 2, "each pause counts once: %u", w.n);
    for (unsigned int i = 0; i < 2 * WATCH_HISTORY; i++)
        sample(&w, &s, 1000000 + i * 1000ull, 1000 + i, 0,
               1000 * (1 + i % 8));
    ok(w.n == WATCH_HISTORY && w.pause_us[WATCH_HISTORY - 1] == 8000,
       "%u are kept, the newest last", w.n);
    f = open_memstream(&text, &size);
    watch_text(f, &w, &s, WHEN, 30, false);
    fclose(f);
    if (!ok(strstr(text, "_.,-~=+#\n") &&
            strstr(text, "the last 17 that were seen, at most 8.0 ms\n"),
            "a curve of as many as there are columns"))
        printf("# %s", text);
    free(text);
    release(&s);
}

static void test_frame(void)
{
    static const struct {
        const char *text, *frame;
        unsigned int width, height;
    } t[] = {
        { "", "\033[H\033[J", 10, 3 },
        { "abc\n", "\033[Habc\033[K\033[J", 10, 3 },
        { "abc\nde\n", "\033[Habc\033[K\r\nde\033[K\033[J", 10, 3 },
        { "abc\n\nde", "\033[Habc\033[K\r\n\033[K\r\nde\033[K\033[J", 9, 3 },
        { "abc\nde\nf\n", "\033[Habc\033[K\r\nde\033[K\033[J", 10, 2 },
        { "abcdef\nde\n", "\033[Habc\r\nde\033[K\033[J", 3, 2 },
        { "abc\n", "\033[Habc\033[J", 3, 2 },
        { "\u2581\u2582\u2583\u2584\n", "\033[H\u2581\u2582\033[J", 2, 2 },
        { "abc\n", "\033[H\033[J", 3, 0 },
    };
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        watch_frame(f, t[i].text, t[i].width, t[i].height);
        fclose(f);
        if (strcmp(text, t[i].frame)) {
            pass = false;
            printf("# %zu: %s\n", i, text);
        }
        free(text);
    }
    ok(pass, "a frame keeps to its terminal");
}

int main(void)
{
    test_rates();
    test_curve();
    test_frame();
    return done_testing();
}
