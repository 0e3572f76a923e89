/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-settings.c - What `xl remus-set` sends, and colo="…" of a file
 *
 * What is taken keeps to its bounds; what is refused comes with a sentence,
 * and of a running protection nothing is changed then.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "live.h"
#include "opts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)             \
    do {                       \
        if (!(cond)) abort();  \
    } while (0)

/**
 * struct settings - one of each kind
 */
struct settings {
    uint32_t ms;
    uint16_t port;
    uint64_t size;
    bool flag;
    const char *text;
    const char *list[2], *pairs[2];
    unsigned int n, m;
};

#define AT(field) .where = offsetof(struct settings, field)

static const struct opt opts[] = {
    { 'i', "interval", "MS", OPT_U32, AT(ms), .min = 10, .max = 60000,
      .unit = "milliseconds" },
    { 0, "port", "N", OPT_U16, AT(port), .max = 65535 },
    { 0, "limit", "SIZE", OPT_SIZE, AT(size), .min = 1024, .max = 1 << 20 },
    { 0, "plaintext", NULL, OPT_FLAG, AT(flag) },
    { 0, "mode", "MODE", OPT_STRING, AT(text) },
    { 0, "peer", "ADDRESS", OPT_LIST, AT(list),
      .count = offsetof(struct settings, n), .max = 2 },
    { 0, "disk", "VDEV=PATH", OPT_LIST, AT(pairs),
      .count = offsetof(struct settings, m), .max = 2 },
    { 'F', NULL, NULL, OPT_FLAG, AT(flag) },
    { 0, "config", "FILE", OPT_STRING, .typed = true, AT(text) },
    { 'c', "colo", NULL, OPT_REFUSE, .text = "no" },
};
#define NOPTS ((unsigned int)(sizeof(opts) / sizeof(opts[0])))

static void live(const char *text, bool colo)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct policy_set set, before;
    char said[80];
    int r;

    policy_set_init(&set);
    set.wish = POLICY_REMUS;
    before = set;
    r = live_parse(&set, colo, text, &err);
    live_changes(said, sizeof(said), &before, &set);
    if (r) {
        MUST(r == -EINVAL && err.status == r && err.msg[0] && !*said);
        MUST(!memcmp(&set, &before, sizeof(set)));
        return;
    }
    MUST(!err.status && !policy_set_check(&set, &err));
    if (colo) return;
    before.interval_ms = set.interval_ms;
    MUST(!memcmp(&set, &before, sizeof(set)));
}

static void file(char *text, size_t size)
{
    struct settings s = { .ms = 200, .size = 1024 }, none = { .ms = 0 };
    struct xlc_error err = XLC_ERROR_INIT;
    const char *end = text + size;
    int r = opts_text(opts, NOPTS, &s, NULL, text, &err);

    MUST(r ? r == -EINVAL && err.status == r && err.msg[0] : !err.status);
    MUST(s.ms >= 10 && s.ms <= 60000 && s.size >= 1024 &&
         s.size <= 1 << 20 && s.n <= 2 && s.m <= 2);
    for (unsigned int i = 0; i < s.n; i++)
        MUST(s.list[i] > text && s.list[i] < end && *s.list[i]);
    for (unsigned int i = 0; i < s.m; i++)
        MUST(s.pairs[i] > text && strchr(s.pairs[i], '=') > s.pairs[i]);
    opts_yield(opts, NOPTS, &s, &none);
    opts_yield(opts, NOPTS, &s, &s);
    MUST(!s.n && !s.m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = malloc(size + 1);

    MUST(text);
    if (size) memcpy(text, data, size);
    text[size] = 0;
    live(text, false);
    live(text, true);
    file(text, size);
    return 0;
}
