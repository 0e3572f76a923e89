/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-report.c - xl remus-report */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "opts.h"
#include "report.h"
#include "xl.h"

/* struct report_args - what `xl remus-report` was told */
struct report_args {
    const char *out, *domain;
    bool lenient;
};

#define AT(field) .where = offsetof(struct report_args, field)

static const struct opt opts[] = {
    { 'o', "output", "FILE", OPT_STRING, AT(out),
      .text = "Write the picture to FILE, not to standard output." },
    { 0, "domain", "NAME", OPT_STRING, AT(domain),
      .text = "Of several domains in the log, this one." },
    { 0, "lenient", NULL, OPT_FLAG, AT(lenient),
      .text = "Skip and count lines that make no sense." },
};
#define NOPTS ((unsigned int)(sizeof(opts) / sizeof(opts[0])))

void help_report(FILE *out)
{
    opts_help(out, opts, NOPTS);
}

static int open_logs(FILE **logs, char **names, unsigned int n,
                     struct xlc_error *err)
{
    for (unsigned int i = 0; i < n; i++) {
        struct stat st;

        logs[i] = fopen(names[i], "re");
        if (!logs[i] || fstat(fileno(logs[i]), &st))
            return xlc_error_set(err, -errno, "%.200s: %s", names[i],
                                 strerror(errno));
        /* The log is read twice; a pipe or a terminal would never end. */
        if (!S_ISREG(st.st_mode))
            return xlc_error_set(err, -EINVAL, "%.200s is no file",
                                 names[i]);
    }
    return 0;
}

/* The picture must not take the place of what it is drawn from. */
static int check_output(const char *out, FILE **logs, char **names,
                        unsigned int n, struct xlc_error *err)
{
    struct stat to, from;

    if (!out || stat(out, &to)) return 0;
    for (unsigned int i = 0; i < n; i++)
        if (!fstat(fileno(logs[i]), &from) && to.st_dev == from.st_dev &&
            to.st_ino == from.st_ino)
            return xlc_error_set(err, -EINVAL, "%.200s is the event log "
                                 "itself: give the picture another name",
                                 names[i]);
    return 0;
}

static int write_picture(const struct report *r, const char *name,
                         struct xlc_error *err)
{
    FILE *out = name ? fopen(name, "we") : stdout;
    int rc, failed;

    if (!out)
        return xlc_error_set(err, -errno, "%.200s: %s", name,
                             strerror(errno));
    rc = report_svg(out, r);
    failed = ferror(out);
    failed |= name ? fclose(out) : fflush(out);
    if (rc) return xlc_error_set(err, rc, "no memory");
    if (failed)
        return xlc_error_set(err, -EIO, "%.200s can't be written: %s",
                             name ? name : "standard output",
                             strerror(errno));
    return 0;
}

/* Return: 0 or a negative errno */
static int make_report(const struct report_args *a, char **names,
                       unsigned int n, struct xlc_error *err)
{
    CLEANUP_FREE struct report *r = calloc(1, sizeof(*r));
    FILE *logs[REPORT_LOGS] = { NULL };
    int rc;

    if (!r) return xlc_error_set(err, -ENOMEM, "no memory");
    r->lenient = a->lenient;
    r->picked = a->domain;
    if (a->domain)
        snprintf(r->domain, sizeof(r->domain), "%s", a->domain);
    rc = open_logs(logs, names, n, err);
    if (!rc) rc = check_output(a->out, logs, names, n, err);
    if (!rc) rc = report_read(r, logs, (const char *const *)names, n, err);
    for (unsigned int i = 0; i < n; i++)
        if (logs[i]) fclose(logs[i]);
    if (!rc) rc = write_picture(r, a->out, err);
    if (!rc && r->skipped)
        xl_say("remus-report", "%llu lines made no sense and were skipped",
               (unsigned long long)r->skipped);
    return rc;
}

int main_report(const struct xl_globals *g, int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct report_args a = { .domain = NULL };
    int first = opts_parse(opts, NOPTS, &a, NULL, argc, argv, &err);

    (void)g;
    if (first >= 0 && first == argc)
        first = xlc_error_set(&err, -EINVAL, "which event log?");
    if (first >= 0 && argc - first > REPORT_LOGS)
        first = xlc_error_set(&err, -EINVAL, "at most %d logs", REPORT_LOGS);
    if (first >= 0 && a.domain &&
        (!*a.domain || strlen(a.domain) >= REPORT_DOMAIN_MAX))
        first = xlc_error_set(&err, -EINVAL, "--domain %.64s: no domain has "
                              "such a name", a.domain);
    if (first < 0) return xl_usage("remus-report", &err);
    if (!make_report(&a, argv + first, (unsigned int)(argc - first), &err))
        return 0;
    xl_say("remus-report", "%s", err.msg);
    return 1;
}
