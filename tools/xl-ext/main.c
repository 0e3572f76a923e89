/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - `xl`: ours, or the distribution's */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "distrib.h"
#include "guard.h"
#include "xl.h"

int main(int argc, char **argv)
{
    const struct xl_command *c;
    struct xl_globals g;
    char **words;
    int n, r;

    xl_globals_parse(&g, argc, argv);
    words = argv + g.command;
    n = argc - g.command;
    if (g.unknown) return distrib_exec(argv);
    if (n <= 0) return xl_help(argv, NULL);
    if (!strcmp(words[0], "help")) return xl_help(argv, words[1]);

    c = xl_command_find(words[0]);
    if (c && g.dry_run) { /* in stock's words */
        fprintf(stderr, "command does not implement -N (dryrun) option\n");
        return EXIT_FAILURE;
    }
    if (c) return c->run(&g, n, words);
    r = guard(n, words);
    return r >= 0 ? r : distrib_exec(argv);
}
