/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* netbuf-args.c - The command line of remus-netbuf */
#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "netbuf-args.h"
#include "netbuf-name.h"

#define OPERANDS_MAX 2

/* @word in an error sentence: printable, and not longer than useful. */
static int bad_word(struct xlc_error *err, const char *what, const char *word)
{
    char shown[64];

    xlc_sanitise(shown, sizeof(shown), word, (unsigned int)strlen(word));
    return xlc_error_set(err, -EINVAL, "%s '%s'; see remus-netbuf --help",
                         what, shown);
}

static int parse_option(const char *word, struct netbuf_args *a, bool *list,
                        bool *clear, struct xlc_error *err)
{
    if (!strcmp(word, "--json")) {
        a->json = *list = true;
    } else if (!strcmp(word, "--discard")) {
        a->discard = *clear = true;
    } else if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
        a->cmd = NETBUF_CMD_HELP;
    } else if (!strcmp(word, "-V") || !strcmp(word, "--version")) {
        a->cmd = NETBUF_CMD_VERSION;
    } else {
        return bad_word(err, "unknown option", word);
    }
    return 0;
}

static int parse_target(const char *word, struct netbuf_args *a,
                        struct xlc_error *err)
{
    if (!strcmp(word, "all")) {
        a->all = true;
        return 0;
    }
    if (netbuf_domid_parse(word, NULL, &a->domid))
        return bad_word(err, "not a domain's number, nor 'all':", word);
    return 0;
}

static int parse_operands(const char *const *word, unsigned int n,
                          struct netbuf_args *a, struct xlc_error *err)
{
    if (n == 0)
        return xlc_error_set(err, -EINVAL, "what to do is missing; see "
                             "remus-netbuf --help");
    if (!strcmp(word[0], "list")) {
        a->cmd = NETBUF_CMD_LIST;
        return n > 1 ? bad_word(err, "list takes no operand:", word[1]) : 0;
    }
    if (strcmp(word[0], "clear"))
        return bad_word(err, "unknown command", word[0]);
    a->cmd = NETBUF_CMD_CLEAR;
    if (n == 1)
        return xlc_error_set(err, -EINVAL, "clear: a domain's number, or "
                             "'all', is missing");
    return parse_target(word[1], a, err);
}

int netbuf_args_parse(int argc, char *const argv[], struct netbuf_args *args,
                      struct xlc_error *err)
{
    struct netbuf_args a = { .cmd = NETBUF_CMD_LIST };
    const char *word[OPERANDS_MAX] = { NULL };
    bool list = false, clear = false, ended = false;
    unsigned int n = 0;
    int i, r = 0;

    for (i = 1; i < argc && !r; i++) {
        if (!ended && !strcmp(argv[i], "--")) {
            ended = true;
        } else if (!ended && argv[i][0] == '-' && argv[i][1]) {
            r = parse_option(argv[i], &a, &list, &clear, err);
        } else if (n == OPERANDS_MAX) {
            r = bad_word(err, "too many operands:", argv[i]);
        } else {
            word[n++] = argv[i];
        }
    }
    if (!r && a.cmd != NETBUF_CMD_HELP && a.cmd != NETBUF_CMD_VERSION)
        r = parse_operands(word, n, &a, err);
    if (!r && a.cmd == NETBUF_CMD_CLEAR && list)
        r = xlc_error_set(err, -EINVAL, "--json goes with list");
    if (!r && a.cmd == NETBUF_CMD_LIST && clear)
        r = xlc_error_set(err, -EINVAL, "--discard goes with clear");
    if (!r) *args = a;
    return r;
}
