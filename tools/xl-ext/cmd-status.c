/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-status.c - xl remus-status */
#include <config.h>

#include <stdio.h>

#include "opts.h"
#include "status.h"
#include "xl.h"

static const struct opt opts[] = {
    { 0, "json", NULL, OPT_FLAG, .where = 0,
      .text = "A JSON array, one object for each domain; [] if none." },
};

void help_status(FILE *out)
{
    opts_help(out, opts, 1);
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
    bool json = false;
    int status = 1, first = opts_parse(opts, 1, &json, NULL, argc, argv,
                                       &err);

    (void)g;
    if (first >= 0 && argc - first > 1)
        first = xlc_error_set(&err, -EINVAL, "%.64s: one argument too many",
                              argv[first + 1]);
    if (first < 0) return xl_usage("remus-status", &err);
    if (statuses_get(&s, &err)) xl_say("remus-status", "%s", err.msg);
    else status = show(&s, first < argc ? argv[first] : NULL, json);
    statuses_free(&s);
    return status;
}
