/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-progress.c - What is said of the first copy, and what nobody knows */
#include <config.h>

#include <string.h>

#include "progress.h"
#include "tap.h"

#define MB UINT64_C(1000000)

static const struct {
    const char *what;
    struct progress p;
    const char *text;
} t[] = {
    { "before the first octet there is no time to tell",
      { .all = 100 * MB }, "  0 %  0.0 MB/s" },
    { "nor before the first pass is known to have begun",
      { .all = 100 * MB, .ms = 10, .sent = 5 }, "  0 %  0.0 MB/s" },
    { "in the first pass there is",
      { .all = 100 * MB, .sent = 40 * MB, .ms = 4000, .pass = 1 },
      " 40 %  10.0 MB/s  ETA 6 s" },
    { "which is not 0 while anything is left",
      { .all = 100 * MB, .sent = 100 * MB - 1, .ms = 10000, .pass = 1 },
      " 99 %  9.9 MB/s  ETA 1 s" },
    { "nor too short",
      { .all = 100 * MB, .sent = 49 * MB, .ms = 16000, .pass = 1 },
      " 49 %  3.0 MB/s  ETA 17 s" },
    { "what comes with the pages is more than all",
      { .all = 100 * MB, .sent = 101 * MB, .ms = 10000, .pass = 1 },
      " 99 %  10.1 MB/s  the last pages" },
    { "a further pass: what is left of it",
      { .all = 100 * MB, .sent = 104 * MB, .ms = 10400, .pass = 2,
        .from = 101 * MB, .pages = 5000 },
      " 99 %  10.0 MB/s  written meanwhile: 17.4 MB left" },
    { "before its first octet all of it",
      { .all = 100 * MB, .sent = 101 * MB, .ms = 10100, .pass = 2,
        .from = 101 * MB, .pages = 5000 },
      " 99 %  10.0 MB/s  written meanwhile: 20.4 MB left" },
    { "then nothing",
      { .all = 100 * MB, .sent = 122 * MB, .ms = 12200, .pass = 2,
        .from = 101 * MB, .pages = 5000 },
      " 99 %  10.0 MB/s  the last pages" },
    { "a pass without a page",
      { .all = 100 * MB, .sent = 101 * MB, .ms = 10100, .pass = 3,
        .from = 101 * MB },
      " 99 %  10.0 MB/s  the last pages" },
    { "a guest with less memory than it may have",
      { .all = 100 * MB, .sent = 60 * MB, .ms = 6000, .pass = 2,
        .from = 59 * MB, .pages = 1000 },
      " 60 %  10.0 MB/s  written meanwhile: 3.0 MB left" },
    { "all was captured",
      { .all = 100 * MB, .sent = 125 * MB, .ms = 12500, .pass = 2,
        .from = 101 * MB, .pages = 9000, .cut = true },
      " 99 %  10.0 MB/s  waiting for the other host" },
    { "a guest of many terabytes",
      { .all = UINT64_MAX / 2, .sent = UINT64_MAX / 4, .ms = 1, .pass = 1 },
      " 50 %  4611686018427387.9 MB/s  ETA 1 s" },
};

int main(void)
{
    struct progress none = { .sent = 5 };
    char text[96];

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        progress_text(text, sizeof(text), &t[i].p);
        if (!ok(!strcmp(text, t[i].text), "%s:%s", t[i].what, text))
            printf("# expected:%s\n", t[i].text);
    }
    ok(!progress_percent(&none), "a guest whose size is not known");
    memset(text, 'x', sizeof(text));
    progress_text(text, 12, &t[2].p);
    ok(!strcmp(text, " 40 %  10.0") && text[12] == 'x', "room for half of it");
    return done_testing();
}
