/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-status.c - xl remus-status (--watch: cmd-watch.c) */
#include <config.h>

#include <stdio.h>

#include "opts.h"
#include "status.h"
#include "xl.h"

#define WATCH_MS_DEFAULT 1000u
#define WATCH_MS_MIN     100u
#define WATCH_MS_MAX     3600000u

/**
 * struct args - the command line
 * @interval_ms: 0 if it was not given
 */
struct args {
    bool json, watch;
    uint32_t interval_ms;
};

static const struct opt opts[] = {
    { 0, "json", NULL, OPT_FLAG, .where = offsetof(struct args, json),
      .text = "A JSON array, one object for each domain; [] if none.\n"
              "With --watch: an object a line." },
    { 0, "watch", NULL, OPT_FLAG, .where = offsetof(struct args, watch),
      .text = "Go on until protection ends, and say how; or until\n"
              "Ctrl-C. On a terminal as a picture, else as lines." },
    { 0, "interval", "MS", OPT_U32,
      .where = offsetof(struct args, interval_ms), .min = WATCH_MS_MIN,
      .max = WATCH_MS_MAX, .unit = "milliseconds",
      .text = "Of --watch: look every MS milliseconds (default 1000)." },
};
#define NOPTS ((unsigned int)(sizeof(opts) / sizeof(opts[0])))

void help_status(FILE *out)
{
    opts_help(out, opts, NOPTS);
}

/* Return: exit status */
static int show(const struct statuses *s, const char *what, bool json)
{
    struct xlc_error err = XLC_ERROR_INIT;
    const struct status *only = what ? statuses_find(s, what, &err) : NULL;
    struct statuses one = { .n = 1 };

    statuses_complain(stderr, s);
    if (what && !only) {
        if (json) puts("[]");
        xl_say("remus-status", "%s", err.msg);
        return 1;
    }
    if (json) {
        statuses_json(stdout, s, only);
    } else if (only) {
        one.v = (struct status *)(s->v + (only - s->v));
        statuses_table(stdout, &one);
    } else {
        statuses_table(stdout, s);
    }
    return fflush(stdout) ? 1 : 0;
}

int main_status(const struct xl_globals *g, int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct statuses s = { NULL, 0 };
    struct args a = { .json = false };
    int status = 1, first = opts_parse(opts, NOPTS, &a, NULL, argc, argv,
                                       &err);

    (void)g;
    if (first >= 0 && argc - first > 1)
        first = xlc_error_set(&err, -EINVAL, "%.64s: one argument too many",
                              argv[first + 1]);
    if (first >= 0 && a.interval_ms && !a.watch)
        first = xlc_error_set(&err, -EINVAL, "--interval %u: it is for "
                              "--watch", a.interval_ms);
    if (first < 0) return xl_usage("remus-status", &err);
    if (a.watch)
        return watch_status(first < argc ? argv[first] : NULL, a.json,
                            a.interval_ms ? a.interval_ms :
                            WATCH_MS_DEFAULT);
    if (statuses_get(&s, &err)) xl_say("remus-status", "%s", err.msg);
    else status = show(&s, first < argc ? argv[first] : NULL, a.json);
    statuses_free(&s);
    return status;
}
