/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-control.c - xl remus-checkpoint, -failover, -set, -stop */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "control.h"
#include "live.h"
#include "opts.h"
#include "status.h"
#include "xl.h"
#include "xl-ask.h"

int xl_ask(const struct status *s, enum control_op op, const char *args,
           int timeout_ms, struct xlc_error *err)
{
    struct status answer = { .path = s->path };
    char *json = NULL;
    long long rc;
    const char *why;
    CLEANUP_FD int fd = control_ask_begin(s->path, op, args, timeout_ms,
                                          err);
    int r;

    if (fd < 0) return fd;
    r = control_ask_end(fd, s->path, timeout_ms, &json, err);
    if (r) return r;
    status_parse(&answer, json); /* is no status, but has the same frame */
    if (!status_number(&answer, "rc", &rc))
        r = xlc_error_set(err, -EPROTO, "%s: the answer makes no sense",
                          s->path);
    why = status_text(&answer, "error");
    if (!r && rc)
        r = xlc_error_set(err, -EIO, "%s", *why ? why : "it did not work");
    free(answer.json);
    yajl_tree_free(answer.tree);
    return r;
}

/**
 * struct asked - a command that is one question to one protection
 * @name: the command
 * @op: the question; @args: of CONTROL_SET
 * @timeout_ms: for its answer
 * @role: it must be asked of; NULL for any
 * @elsewhere: what to do about the other role
 */
struct asked {
    const char *name;
    enum control_op op;
    const char *args;
    int timeout_ms;
    const char *role;
    const char *elsewhere;
};

static int ask(const struct asked *q, const char *what,
               struct xlc_error *err)
{
    const struct status *one;
    struct statuses s = { NULL, 0 };
    int r = statuses_get(&s, err);

    if (r) goto out;
    one = statuses_find(&s, what, err);
    if (!one) {
        statuses_complain(stderr, &s);
        r = err->status;
        goto out;
    }
    if (one->err.status) {
        r = xlc_error_set(err, one->err.status, "%s", one->err.msg);
        goto out;
    }
    if (q->role && strcmp(status_text(one, "role"), q->role)) {
        r = xlc_error_set(err, -EINVAL, "%s", q->elsewhere);
        goto out;
    }
    r = xl_ask(one, q->op, q->args, q->timeout_ms, err);
out:
    statuses_free(&s);
    return r;
}

/* Options and one domain. Return: its index in argv, or -1 with @err set */
static int one_domain(const struct opt *opts, unsigned int n, void *into,
                      int argc, char **argv, struct xlc_error *err)
{
    int first = opts_parse(opts, n, into, NULL, argc, argv, err);

    if (first < 0) return -1;
    if (first == argc) xlc_error_set(err, -EINVAL, "which domain?");
    if (argc - first > 1)
        xlc_error_set(err, -EINVAL, "%.64s: one argument too many",
                      argv[first + 1]);
    return err->status ? -1 : first;
}

static int run(const struct asked *q, int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int first = one_domain(NULL, 0, NULL, argc, argv, &err);

    if (first < 0) return xl_usage(q->name, &err);
    if (!ask(q, argv[first], &err)) return 0;
    xl_say(q->name, "%s", err.msg);
    return 1;
}

static const char elsewhere[] = "the guest runs on the other host: ask there";

int main_checkpoint(const struct xl_globals *g, int argc, char **argv)
{
    static const struct asked q = {
        .name = "remus-checkpoint", .op = CONTROL_CHECKPOINT,
        .timeout_ms = 60000, .role = "primary", .elsewhere = elsewhere,
    };

    (void)g;
    return run(&q, argc, argv);
}

int main_failover(const struct xl_globals *g, int argc, char **argv)
{
    static const struct asked q = {
        .name = "remus-failover", .op = CONTROL_FAILOVER,
        .timeout_ms = 120000,
    };

    (void)g;
    return run(&q, argc, argv);
}

/* ---- Settings --------------------------------------------------------- */

void help_set(FILE *out)
{
    opts_help(out, NULL, 0);
    fprintf(out, "\nKeys, and what they may be:\n\n");
    for (const struct policy_key *k = policy_keys; k->name; k++)
        if (live_matters(k, false))
            fprintf(out, "%-24s%u to %u %s\n", k->name, k->min, k->max,
                    k->unit);
    fprintf(out, "%-24s%s\n", "mode", "remus");
}

/* "key=value" arguments as one line. Return: 0 or -EINVAL */
static int join(char line[CONTROL_LINE_MAX], int argc, char **argv,
                struct xlc_error *err)
{
    size_t len = 0;

    for (int i = 0; i < argc; i++) {
        size_t n = strlen(argv[i]);

        if (!strchr(argv[i], '=') || strchr(argv[i], ' '))
            return xlc_error_set(err, -EINVAL, "%.64s: it must be key=value",
                                 argv[i]);
        if (len + n + 2 > CONTROL_LINE_MAX)
            return xlc_error_set(err, -EINVAL, "%.64s: too much in one go",
                                 argv[i]);
        if (len) line[len++] = ' ';
        memcpy(line + len, argv[i], n + 1);
        len += n;
    }
    return 0;
}

int main_set(const struct xl_globals *g, int argc, char **argv)
{
    char line[CONTROL_LINE_MAX] = "";
    const struct asked q = {
        .name = "remus-set", .op = CONTROL_SET, .args = line,
        .timeout_ms = 10000, .role = "primary", .elsewhere = elsewhere,
    };
    struct xlc_error err = XLC_ERROR_INIT;
    int first = opts_parse(NULL, 0, NULL, NULL, argc, argv, &err);

    (void)g;
    if (first >= 0 && argc - first < 2)
        first = xlc_error_set(&err, -EINVAL, first == argc ? "which domain?" :
                              "what is to be set?");
    if (first >= 0 && join(line, argc - first - 1, argv + first + 1, &err))
        first = -EINVAL;
    if (first < 0) return xl_usage(q.name, &err);
    if (!ask(&q, argv[first], &err)) return 0;
    xl_say(q.name, "%s", err.msg);
    return 1;
}

/* ---- The end ---------------------------------------------------------- */

static const struct opt stop_opts[] = {
    { 0, "resume", NULL, OPT_FLAG, .where = 0,
      .text = "Bring back a domain that was left suspended when\n"
              "contact was lost in the middle of a failover. Only when\n"
              "it does not run on the other host." },
};

void help_stop(FILE *out)
{
    opts_help(out, stop_opts, 1);
}

int main_stop(const struct xl_globals *g, int argc, char **argv)
{
    static const struct asked q = {
        .name = "remus-stop", .op = CONTROL_STOP, .timeout_ms = 120000,
    };
    struct xlc_error err = XLC_ERROR_INIT;
    bool resume = false;
    int first = one_domain(stop_opts, 1, &resume, argc, argv, &err);

    (void)g;
    if (first < 0) return xl_usage(q.name, &err);
    if (!(resume ? resume_domain(argv[first], &err) :
                   ask(&q, argv[first], &err)))
        return 0;
    xl_say(q.name, "%s", err.msg);
    return 1;
}
