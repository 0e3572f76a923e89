/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-live.c - What of a protection can be changed while it runs */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "live.h"
#include "tap.h"

static struct policy_set settings(enum policy_wish wish)
{
    struct policy_set s;

    policy_set_init(&s);
    s.wish = wish;
    return s;
}

static void test_good(void)
{
    static const struct {
        const char *text, *change;
        bool colo;
    } t[] = {
        { "interval=50", "interval 200 -> 50 milliseconds", false },
        { "interval=10", "interval 200 -> 10 milliseconds", false },
        { "interval=60000", "interval 200 -> 60000 milliseconds", false },
        { "interval=0050", "interval 200 -> 50 milliseconds", false },
        { "interval=200", "", false },
        { "mode=remus", "", false },
        { "mode=remus interval=30", "interval 200 -> 30 milliseconds",
          false },
        { "mode=auto", "mode remus -> auto", true },
        { "mode=colo late-limit=70 min-run=80", "mode remus -> colo, "
          "late-limit 200 -> 70 milliseconds, min-run 100 -> 80 "
          "milliseconds", true },
        { "short-runs=7", "short-runs 4 -> 7 runs", true },
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        const struct policy_set was = settings(POLICY_REMUS);
        struct xlc_error err = XLC_ERROR_INIT;
        struct policy_set s = was;
        char text[256];
        int r = live_parse(&s, t[i].colo, t[i].text, &err);

        live_changes(text, sizeof(text), &was, &s);
        ok(!r && !err.status && !strcmp(text, t[i].change), "%s: %s%s",
           t[i].text, text, err.msg);
    }
}

static void test_bad(void)
{
    static const struct {
        const char *text, *says;
    } t[] = {
        { "", "'': it must be key=value" },
        { "=", "'=': it must be key=value" },
        { "=5", "'=5': it must be key=value" },
        { "limit=100", "limit: no setting that can be changed while "
          "protection runs; these are: interval, mode" },
        { "Interval=100", "Interval: no setting" },
        { "interva=100", "interva: no setting" },
        { "intervals=100", "intervals: no setting" },
        { "\x1b[31m=1", "?[31m: no setting" },
        { "interval", "'interval': it must be key=value" },
        { "interval 50", "'interval': it must be key=value" },
        { "interval=", "interval : it must be 10 to 60000 milliseconds" },
        { "interval=9", "interval 9: it must be 10 to 60000 milliseconds" },
        { "interval=60001", "interval 60001: it must be" },
        { "interval=4294967396", "interval 4294967396: it must be" },
        { "interval=99999999999999999999", "it must be 10 to" },
        { "interval=-50", "interval -50: it must be" },
        { "interval=50ms", "interval 50ms: it must be" },
        { "interval=0x50", "it must be 10 to" },
        { "interval==50", "interval =50: it must be" },
        { "interval=50 interval=60", "interval: more than once" },
        { "mode=remus interval=50 mode=remus", "mode: more than once" },
        { "interval=50 ", "'': it must be key=value" },
        { " interval=50", "'': it must be key=value" },
        { "interval=50  mode=remus", "'': it must be key=value" },
        { "interval=50 frob=1", "frob: no setting" },
        { "frob=1 interval=50", "frob: no setting" },
        { "interval=50 mode=colo", "mode colo: the copy of this domain "
          "can't run beside it; only mode remus works" },
        { "mode=auto", "mode auto: the copy of this domain can't run" },
        { "mode=fast", "mode fast: it must be auto, colo or remus" },
        { "mode=col", "mode col: it must be auto" },
        { "mode=", "mode : it must be auto" },
        { "late-limit=100", "late-limit 100: it would change nothing" },
        { "late-limit=0", "late-limit 0: it must be 1 to 60000" },
        { "late-limit=x", "late-limit x: it must be 1 to 60000" },
        { "min-run=100", "min-run 100: it would change nothing" },
        { "interval=000000000000000000000000000000000000000000000000000050",
          "interval: such a long value" },
        { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=5",
          "it must be key=value" },
    };
    char text[300];

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct policy_set s = settings(POLICY_REMUS), was = s;
        struct xlc_error err = XLC_ERROR_INIT;
        int r = live_parse(&s, false, t[i].text, &err);

        xlc_sanitise(text, sizeof(text), t[i].text,
                     (unsigned int)strlen(t[i].text));
        if (!ok(r == -EINVAL && strstr(err.msg, t[i].says) &&
                !memcmp(&s, &was, sizeof(s)), "'%s': %s", text, err.msg))
            printf("# wanted: %s\n", t[i].says);
    }
}

/* Each threshold: both its bounds, and one beyond, with and without COLO. */
static void test_table(void)
{
    char text[128];
    bool pass = true;

    for (const struct policy_key *k = policy_keys; k->name; k++)
        for (int edge = 0; edge < 4; edge++) {
            int64_t v = edge < 2 ? (int64_t)k->min - 1 + edge :
                                   (int64_t)k->max - 2 + edge;
            struct policy_set s = settings(POLICY_REMUS);
            bool inside = edge == 1 || edge == 2;
            int r;

            snprintf(text, sizeof(text), "%s=%lld", k->name, (long long)v);
            r = live_parse(&s, false, text, NULL);
            pass &= !r == (inside && live_matters(k, false));
            if (!inside) pass &= live_parse(&s, true, text, NULL) != 0;
            pass &= live_matters(k, true);
        }
    ok(pass, "every threshold keeps to its bounds");
}

/* A short buffer is cut, never overrun. */
static void test_changes(void)
{
    struct policy_set a = settings(POLICY_REMUS), b = settings(POLICY_COLO);
    char text[128];
    bool pass = true;

    b.interval_ms = 60000;
    b.min_run_ms = 1;
    for (size_t size = 1; size < sizeof(text); size++) {
        memset(text, 'x', sizeof(text));
        live_changes(text, size, &a, &b);
        pass &= strlen(text) < size;
    }
    live_changes(text, 0, &a, &b);
    ok(pass, "what changed, in any room");
}

int main(void)
{
    test_good();
    test_bad();
    test_table();
    test_changes();
    return done_testing();
}
