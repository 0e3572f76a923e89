/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-report.c - Event logs, read and drawn
 *
 * The pictures are compared with those in tests/unit/report. If a change of
 * them is meant: test-report --write FOLDER, look at them, commit them.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "report.h"
#include "tap.h"

#define HEAD "{\"time_us\":1767225600000000,\"domain\":\"web\",\"event\":"

static FILE *log_of(const char *text, size_t len)
{
    FILE *f = tmpfile();

    if (!f || fwrite(text, 1, len, f) != len) abort();
    return f;
}

/* Read @text as a log. Return: what report_read() says */
static int read_text(struct report *r, const char *text, size_t len,
                     struct xlc_error *err)
{
    FILE *f = log_of(text, len);
    const char *name = "log";
    int rc = report_read(r, &f, &name, 1, err);

    fclose(f);
    return rc;
}

/* ----- lines ----- */

static void bad_lines(void)
{
    static const struct {
        const char *line, *says;
    } bad[] = {
        { "", "not JSON" },
        { "nonsense", "not JSON" },
        { "[]", "no JSON object" },
        { "{}", "an object without \"event\"" },
        { "{\"event\":7}", "an object without \"event\"" },
        { "{\"event\":\"note\"}", "an event without \"time_us\"" },
        { "{\"event\":\"new\",\"time_us\":1}", "an event without \"domain\"" },
        { HEAD "\"note\"}", "an event without \"text\"" },
        { HEAD "\"state\"}", "an event without \"to\"" },
        { HEAD "\"state\",\"to\":[]}", "\"to\" is no string" },
        { HEAD "\"state\",\"to\":\"aaaaaaaaaaaaaaaaaaaaaaaa\"}",
          "\"to\" has more than 23 octets" },
        { HEAD "\"mode\",\"mode\":\"colo\"}", "an event without \"why\"" },
        { HEAD "\"hold\",\"packets\":-1}",
          "\"packets\" is -1: it must be 0 to 4294967295" },
        { HEAD "\"hold\",\"packets\":1.5}",
          "\"packets\" is no whole number" },
        { HEAD "\"hold\",\"packets\":\"7\"}",
          "\"packets\" is no whole number" },
        { HEAD "\"checkpoint\",\"epoch\":1,\"cause\":\"late\","
          "\"pause_us\":315360000000001}",
          "\"pause_us\" is 315360000000001: it must be 0 to "
          "315360000000000" },
        { HEAD "\"hold\",\"packets\":99999999999999999999}",
          "\"packets\" is no whole number" },
        { "{\"event\":\"x\",\"domain\":\"web\",\"time_us\":"
          "4102444800000001}",
          "\"time_us\" is 4102444800000001: it must be 0 to "
          "4102444800000000" },
        { HEAD "\"end\"", "not JSON" },
        { HEAD "\"end\"} x", "not JSON" },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct xlc_error err = XLC_ERROR_INIT;
        struct report_event ev = { .epoch = 5 };

        ok(report_line(&ev, bad[i].line, strlen(bad[i].line), &err) ==
           -EINVAL && !strcmp(err.msg, bad[i].says) && ev.epoch == 5,
           "%s: %s", bad[i].line, err.msg);
    }
}

static void odd_lines(void)
{
    static const char other[] = HEAD "\"tomorrow\",\"to\":7}";
    static const char sly[] = HEAD "\"note\",\"text\":\"\\u0001\\u20ac<\"}";
    struct xlc_error err = XLC_ERROR_INIT;
    struct report_event ev;
    char text[REPORT_LINE_MAX + 8];

    ok(!report_line(&ev, other, strlen(other), &err) &&
       ev.kind == REPORT_OTHER, "a kind of a later version is one");
    ok(!report_line(&ev, sly, strlen(sly), &err) &&
       !strcmp(ev.text, "?\?\?\?<"), "text is made plain: %s", ev.text);
    memset(text, ' ', sizeof(text));
    memcpy(text, other, strlen(other));
    ok(!report_line(&ev, text, REPORT_LINE_MAX, &err),
       "4096 octets are a line");
    ok(report_line(&ev, text, REPORT_LINE_MAX + 1, &err) == -EINVAL,
       "4097 are too many: %s", err.msg);
    xlc_error_clear(&err);
    ok(report_line(&ev, "{}\0{}", 5, &err) == -EINVAL &&
       !strcmp(err.msg, "it holds a NUL"), "nor a NUL");
    memset(text, '[', REPORT_LINE_MAX);
    ok(report_line(&ev, text, REPORT_LINE_MAX, NULL) == -EINVAL,
       "nesting as deep as a line is long");
}

/* ----- logs ----- */

static const char good[] =
    HEAD "\"state\",\"role\":\"primary\",\"to\":\"protected\"}\n";

static void garbled_logs(void)
{
    static const struct {
        const char *what, *tail;
        uint64_t skipped;
        bool torn;
    } logs[] = {
        { "a line of garbage", "garbage\n", 1, false },
        { "an empty line", "\n", 0, false },
        { "a cut last line", "{\"time_us\":17", 0, true },
        { "a whole last line without its end", HEAD "\"x\"}", 0, false },
        { "another domain",
          "{\"time_us\":5,\"domain\":\"db\",\"event\":\"x\"}\n", 1, false },
    };

    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
        CLEANUP_FREE struct report *r = calloc(2, sizeof(*r));
        struct xlc_error err = XLC_ERROR_INIT;
        char text[1024];
        int rc, n;

        if (!r) abort();
        n = snprintf(text, sizeof(text), "%s%s", good, logs[i].tail);
        rc = read_text(&r[0], text, (size_t)n, &err);
        ok(logs[i].skipped ? rc == -EINVAL && !strncmp(err.msg, "log:2: ", 7)
                           : !rc && r[0].torn == logs[i].torn,
           "%s: %s", logs[i].what, rc ? err.msg : "all right");
        xlc_error_clear(&err);
        r[1].lenient = true;
        rc = read_text(&r[1], text, (size_t)n, &err);
        ok(!rc && r[1].skipped == logs[i].skipped && r[1].nbands[0] == 1,
           "the same, lenient: %" PRIu64 " skipped", r[1].skipped);
    }
}

static void domains(void)
{
    CLEANUP_FREE struct report *r = calloc(3, sizeof(*r));
    struct xlc_error err = XLC_ERROR_INIT;
    char text[1024];
    int n = snprintf(text, sizeof(text), "%s{\"time_us\":5,\"domain\":\"db\","
                     "\"event\":\"x\"}\n", good);

    if (!r) abort();
    snprintf(r[0].domain, sizeof(r[0].domain), "web");
    r[0].picked = true;
    ok(!read_text(&r[0], text, (size_t)n, &err) && r[0].foreign == 1 &&
       r[0].events == 1 && r[0].first_us == 1767225600000000u,
       "--domain: others are passed over");
    snprintf(r[1].domain, sizeof(r[1].domain), "mail");
    r[1].picked = true;
    ok(read_text(&r[1], text, (size_t)n, &err) == -ENODATA &&
       !strcmp(err.msg, "log: no event of mail"), "%s", err.msg);
    xlc_error_clear(&err);
    ok(read_text(&r[2], "", 0, &err) == -ENODATA &&
       !strcmp(err.msg, "log: no event"), "%s", err.msg);
}

/* More of everything than there is room for, and times that step back. */
static void too_much(void)
{
    CLEANUP_FREE struct report *r = calloc(1, sizeof(*r));
    struct xlc_error err = XLC_ERROR_INIT;
    FILE *f = tmpfile(), *out = tmpfile();
    const char *name = "log";

    if (!r || !f || !out) abort();
    for (unsigned int i = 0; i < 3000; i++) {
        uint64_t at = 1767225600000000u + (i % 7 ? i : 3000 - i) * 1000u;

        fprintf(f, "{\"time_us\":%" PRIu64 ",\"domain\":\"web\",\"event\":"
                "\"note\",\"text\":\"n\"}\n", at);
        fprintf(f, "{\"time_us\":%" PRIu64 ",\"domain\":\"web\",\"event\":"
                "\"state\",\"to\":\"s%u\"}\n", at, i);
        fprintf(f, "{\"time_us\":%" PRIu64 ",\"domain\":\"web\",\"event\":"
                "\"checkpoint\",\"epoch\":%u,\"cause\":\"c%u\","
                "\"pause_us\":315360000000000,\"run_us\":315360000000000,"
                "\"bytes\":4611686018427387903}\n", at, i, i);
        fprintf(f, "{\"time_us\":%" PRIu64 ",\"domain\":\"web\",\"event\":"
                "\"hold\",\"packets\":4294967295,"
                "\"mean_us\":315360000000000,\"max_us\":1}\n", at);
    }
    ok(!report_read(r, &f, &name, 1, &err), "a log of too much: %s", err.msg);
    ok(r->nbands[0] == REPORT_BANDS && r->nmarks == REPORT_MARKS &&
       r->undrawn == 3000 - REPORT_BANDS + 3000 - REPORT_MARKS,
       "what finds no room is counted");
    ok(r->ncauses == REPORT_CAUSES &&
       !strcmp(r->cause[REPORT_CAUSES - 1], "others") &&
       r->causes[REPORT_CAUSES - 1] == 3000 - (REPORT_CAUSES - 1),
       "so are causes");
    ok(r->hold.sum == UINT64_MAX && r->bytes.sum == UINT64_MAX,
       "sums end where numbers end");
    for (unsigned int i = 1; i < r->nmarks; i++)
        if (r->mark[i].at_us < r->mark[i - 1].at_us) err.status = -1;
    ok(!err.status, "marks come in order");
    ok(!report_svg(out, r) && ftell(out) > 1000, "it can be drawn");
    fclose(f);
    fclose(out);
}

/* ----- pictures ----- */

static char *content(FILE *f)
{
    long n = fseek(f, 0, SEEK_END) ? -1 : ftell(f);
    char *s = n < 0 ? NULL : calloc(1, (size_t)n + 1);

    rewind(f);
    if (s && fread(s, 1, (size_t)n, f) != (size_t)n) s[0] = 0;
    return s;
}

static void picture(const char *name, const char *const *logs,
                    unsigned int n, const char *write_to)
{
    const char *src = getenv("abs_top_srcdir");
    CLEANUP_FREE struct report *r = calloc(1, sizeof(*r));
    CLEANUP_FREE char *is = NULL, *want = NULL;
    struct xlc_error err = XLC_ERROR_INIT;
    FILE *f[REPORT_LOGS], *out = tmpfile(), *gold;
    char path[4096];
    int rc;

    for (unsigned int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/tests/unit/report/%s",
                 src ? src : ".", logs[i]);
        f[i] = fopen(path, "re");
        if (!f[i]) abort();
    }
    if (!r || !out) abort();
    rc = report_read(r, f, logs, n, &err);
    if (!rc) rc = report_svg(out, r);
    for (unsigned int i = 0; i < n; i++)
        fclose(f[i]);
    is = content(out);
    fclose(out);
    snprintf(path, sizeof(path), "%s/tests/unit/report/%s", src ? src : ".",
             name);
    if (write_to) snprintf(path, sizeof(path), "%s/%s", write_to, name);
    gold = fopen(path, write_to ? "w+e" : "re");
    if (gold && write_to && is) fputs(is, gold);
    if (gold) want = content(gold);
    if (gold) fclose(gold);
    ok(!rc && is && want && !strcmp(is, want), "%s is as it was %s", name,
       err.msg);
    ok(is && !strstr(is, "<tag>") && !strstr(is, "<script"),
       "and holds no markup from the log");
}

int main(int argc, char **argv)
{
    static const char *const colo[] = { "colo-a.events", "colo-b.events" };
    static const char *const remus[] = { "remus.events" };
    const char *write_to = NULL;

    if (argc == 3 && !strcmp(argv[1], "--write")) write_to = argv[2];
    bad_lines();
    odd_lines();
    garbled_logs();
    domains();
    too_much();
    picture("colo.svg", colo, 2, write_to);
    picture("remus.svg", remus, 1, write_to);
    return done_testing();
}
