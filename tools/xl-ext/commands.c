/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* commands.c - The subcommands of ours, and what they share */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "distrib.h"
#include "remus-opts.h"
#include "xl.h"

const struct xl_command xl_commands[] = {
    { "remus", "[options] <Domain> <host>",
      "Protect a domain with a copy on another host", remus_args_help,
      main_remus },
    { "remus-checkpoint", "<Domain>",
      "Make a checkpoint now; returns when the other host holds it", NULL,
      main_checkpoint },
    { "remus-disk", "status|verify|end|force [<path>] [<host>]",
      "Look at the mirrored disks' images, compare, release them", help_disk,
      main_disk },
    { "remus-failover", "<Domain>",
      "Let the other host of the two run a protected domain", NULL,
      main_failover },
    { "remus-receive", "- for internal use only",
      "Keep the copy of another host's domain", help_receive,
      main_receive },
    { "remus-report", "[options] <log>...",
      "Draw what an event log says as a timeline", help_report,
      main_report },
    { "remus-set", "<Domain> <key=value>...",
      "Change how a domain is protected while it is", help_set, main_set },
    { "remus-status", "[--json] [--watch] [<Domain>]",
      "Show what is protected on this host, and how", help_status,
      main_status },
    { "remus-stop", "[--resume] <Domain>",
      "End a domain's protection", help_stop, main_stop },
    { NULL, NULL, NULL, NULL, NULL },
};

void xl_globals_parse(struct xl_globals *g, int argc, char **argv)
{
    int i;

    *g = (struct xl_globals){ .verbose = 0 };
    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (!strcmp(argv[i], "--")) {
            i++;
            break;
        }
        for (const char *p = argv[i] + 1; *p; p++) {
            g->verbose += *p == 'v';
            g->dry_run |= *p == 'N';
            g->unknown |= !strchr("vftTN", *p);
        }
    }
    g->command = i;
}

const struct xl_command *xl_command_find(const char *name)
{
    const struct xl_command *c, *found = NULL;
    size_t len = strlen(name);
    unsigned int hits = 0;

    for (c = xl_commands; c->name; c++) {
        if (strncmp(name, c->name, len)) continue;
        /* "rem" is unambiguous to stock: it stays "remus", the first. */
        if (!c->name[len] || (len >= strlen("rem") && c == xl_commands))
            return c;
        found = c;
        hits++;
    }
    return hits == 1 && len > strlen("remus") ? found : NULL;
}

void xl_say(const char *cmd, const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "xl %s: ", cmd);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int xl_usage(const char *cmd, const struct xlc_error *err)
{
    if (!err->status) { /* nothing is wrong: help was asked for */
        xl_command_help(stdout, xl_command_find(cmd));
        return 0;
    }
    xl_say(cmd, "%s", err->msg);
    fprintf(stderr, "`xl help %s` lists its options.\n", cmd);
    return XLC_USAGE;
}

void xl_command_help(FILE *out, const struct xl_command *c)
{
    fprintf(out, "Usage: xl [-v] %s %s\n\n%s.\n\nOptions:\n\n", c->name,
            c->usage, c->desc);
    if (c->help) c->help(out);
    else opts_help(out, NULL, 0);
    fputc('\n', out);
}

int xl_help(char **argv, const char *topic)
{
    const struct xl_command *c = topic ? xl_command_find(topic) : NULL;
    int status = 0;

    if (!c || c == xl_commands) status = distrib_run(argv);
    if (c) {
        if (c == xl_commands)
            printf("With xl-colo, which is what runs here:\n\n");
        xl_command_help(stdout, c);
    } else if (!topic || !strcmp(topic, "help")) {
        printf("\nxl-colo %s adds these, see xl-remus(8):\n\n",
               PACKAGE_VERSION);
        for (c = xl_commands; c->name; c++)
            printf(" %-19s %s\n", c->name, c->desc);
    }
    fflush(stdout);
    return status;
}
