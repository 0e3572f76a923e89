/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parse-line.h - A line of words as the command line of `xl remus` */
#ifndef XLC_TESTS_PARSE_LINE_H
#define XLC_TESTS_PARSE_LINE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remus-opts.h"

#define PARSE_LINE_ARGS 24

/* Split @line at blanks; '' is an empty argument. Return: how many */
static inline int split(char *line, char **argv)
{
    int argc = 0;

    for (char *p; (p = strsep(&line, " ")) && argc < PARSE_LINE_ARGS - 1;)
        if (*p) argv[argc++] = strcmp(p, "''") ? p : p + 2;
    argv[argc] = NULL;
    return argc;
}

/* What @a holds of a file is freed by the next call, or the last. */
static inline int parse(struct remus_args *a, const char *line, char **keep,
                        struct xlc_error *err)
{
    static char *last[2];
    char *argv[PARSE_LINE_ARGS], *copy = NULL;
    int argc, r;

    free(last[0]);
    free(last[1]);
    last[0] = last[1] = NULL;
    if (!line) return 0;

    if (asprintf(&copy, "remus %s", line) < 0) exit(1);
    argc = split(copy, argv);
    xlc_error_clear(err);
    r = remus_args_parse(a, argc, argv, err);
    last[0] = a->colo.path;
    last[1] = a->colo.text;
    *keep = copy;
    return r;
}

#endif
