/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-disk.c - xl remus-disk status|verify|end|force, and what hosts ask */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "diskserve.h"
#include "opts.h"
#include "xl.h"

#define CMD "remus-disk"

/* What verify says of two images that are not equal. */
#define DIFFERENT 3

/**
 * struct asked - the options
 * @json: of status
 * @path: the other host's, of verify
 */
struct asked {
    bool json;
    char *path;
};

static const struct opt opts[] = {
    { 0, "json", NULL, OPT_FLAG, .where = offsetof(struct asked, json),
      .text = "status: a JSON array of one object an image." },
    { 0, "path", "PATH", OPT_STRING, .where = offsetof(struct asked, path),
      .text = "verify: the image on the other host, if not PATH." },
};

#define N_OPTS (sizeof(opts) / sizeof(opts[0]))

void help_disk(FILE *out)
{
    opts_help(out, opts, N_OPTS);
}

/* Return: exit status */
static int fail(const struct xlc_error *err)
{
    xl_say(CMD, "%s", err->msg);
    return 1;
}

static int show(const struct asked *a, char **what, int n)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct disk_list all, some;
    int rc = disk_show_get(&all, &err);

    if (rc) return fail(&err);
    some = all;
    if (n) {
        some.v = (struct disk *)(uintptr_t)disk_show_find(&all, what[0]);
        some.n = some.v != NULL;
        if (!some.n) xl_say(CMD, "%s is not served on this host", what[0]);
    }
    if (a->json) rc = disk_show_json(stdout, &some);
    else if (some.n || !n) disk_show_table(stdout, &some);
    if (n && !some.n) rc = -ENOENT;
    for (unsigned int i = 0; i < some.n; i++)
        if (some.v[i].err.status) rc = -EIO;
    disk_show_free(&all);
    return fflush(stdout) || rc ? 1 : 0;
}

static int print(void *ctx, const char *line)
{
    (void)ctx;
    return puts(line) < 0 ? -EIO : 0;
}

/* What the other host runs for verify. */
static int sums(const struct asked *a, char **what, int n)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int rc = disk_may_sum(what[0], false, &err);

    (void)a;
    (void)n;
    if (!rc) rc = disk_sums(what[0], print, NULL, &err);
    if (!rc && fflush(stdout))
        rc = xlc_error_set(&err, -EIO, "the checksums can't be written");
    return rc ? fail(&err) : 0;
}

/**
 * struct pair - of verify
 * @there: path on the other host; NULL: the same
 * @paused: the domain is known to write nothing
 */
struct pair {
    const char *host;
    const char *there;
    bool paused;
    bool different;
    struct xlc_error *err;
};

static int verify_one(void *ctx, const char *path)
{
    struct pair *p = ctx;
    bool same = false;
    int rc = disk_may_sum(path, p->paused, p->err);

    if (!rc)
        rc = disk_verify(path, p->host, p->there ? p->there : path, &same,
                         stdout, p->err);
    if (rc) return rc;
    if (same) printf("%s: both images are equal\n", path);
    p->different |= !same;
    return 0;
}

static int verify(const struct asked *a, char **what, int n)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct pair p = { .host = what[1], .there = a->path, .err = &err };
    int rc;

    (void)n;
    if (what[0][0] == '/') {
        rc = verify_one(&p, what[0]);
    } else if (a->path) {
        rc = xlc_error_set(&err, -EINVAL, "--path goes with an image, and "
                           "'%.80s' is a domain", what[0]);
    } else {
        p.paused = true;
        rc = disk_domain_each(what[0], verify_one, &p, &err);
    }
    if (fflush(stdout) && !rc)
        rc = xlc_error_set(&err, -EIO, "the result can't be written");
    if (rc) return fail(&err);
    return p.different ? DIFFERENT : 0;
}

static int serve(const char *word, const char *path)
{
    struct xlc_error err = XLC_ERROR_INIT;

    return diskserve((const char *[]){ word, path, NULL }, NULL, &err)
               ? fail(&err)
               : 0;
}

static int end(const struct asked *a, char **what, int n)
{
    (void)a;
    (void)n;
    return serve("end", what[0]);
}

/* What the other host runs before it starts a guest from its own image. */
static int history(const struct asked *a, char **what, int n)
{
    (void)a;
    (void)n;
    execl(diskserve_program(), diskserve_program(), "history", what[0],
          (char *)NULL);
    xl_say(CMD, "%s: %s", diskserve_program(), strerror(errno));
    return 1;
}

/* The same, of the image here that is mirrored to that path there. */
static int origin(const struct asked *a, char **what, int n)
{
    (void)a;
    (void)n;
    execl(diskserve_program(), diskserve_program(), "origin", what[0],
          what[1], (char *)NULL);
    xl_say(CMD, "%s: %s", diskserve_program(), strerror(errno));
    return 1;
}

static int force(const struct asked *a, char **what, int n)
{
    int status = serve("force", what[0]);

    (void)a;
    (void)n;
    if (!status)
        xl_say(CMD, "a guest may run from %s now; what only the other host "
               "has of this disk will be lost", what[0]);
    return status;
}

/**
 * actions - the words after remus-disk
 * @min: @max: operands
 */
static const struct {
    const char *name;
    int min, max;
    int (*run)(const struct asked *a, char **what, int n);
} actions[] = {
    { "end", 1, 1, end },         { "force", 1, 1, force },
    { "history", 1, 1, history }, { "origin", 2, 2, origin },
    { "status", 0, 1, show },     { "sums", 1, 1, sums },
    { "verify", 2, 2, verify },
};

int main_disk(const struct xl_globals *g, int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct asked a = { false, NULL };
    int first = opts_parse(opts, N_OPTS, &a, NULL, argc, argv, &err);

    (void)g;
    if (first < 0) return xl_usage(CMD, &err);
    for (size_t i = 0; first < argc &&
         i < sizeof(actions) / sizeof(actions[0]); i++) {
        int n = argc - first - 1;

        if (strcmp(argv[first], actions[i].name)) continue;
        if (n >= actions[i].min && n <= actions[i].max)
            return actions[i].run(&a, argv + first + 1, n);
        xlc_error_set(&err, -EINVAL, "%s: %d words follow it, and there are "
                      "%d", argv[first], actions[i].min, n);
        return xl_usage(CMD, &err);
    }
    xlc_error_set(&err, -EINVAL, first < argc
                  ? "'%.40s' is none of status, verify, end, force"
                  : "one of status, verify, end, force is missing%s",
                  first < argc ? argv[first] : "");
    return xl_usage(CMD, &err);
}
