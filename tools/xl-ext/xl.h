/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xl.h - The parts of this project's `xl`
 *
 * An `xl` in front of the distribution's: it runs the remus subcommands,
 * looks after protected domains when others are run on them (guard.h), and
 * becomes the distribution's xl for everything else.
 */
#ifndef XL_XL_H
#define XL_XL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"

/**
 * struct xl_globals - the options in front of the subcommand
 * @verbose: how many -v
 * @dry_run: -N
 * @unknown: one that stock does not know; it will say so
 * @command: index of the subcommand in argv, or argc
 */
struct xl_globals {
    unsigned int verbose;
    bool dry_run, unknown;
    int command;
};

/* Read them; pure. */
void xl_globals_parse(struct xl_globals *g, int argc, char **argv);

/**
 * struct xl_command - a subcommand of ours
 * @name: as typed
 * @usage: what follows it
 * @desc: a line for the list
 * @help: prints its options; NULL if there are none
 * @run: does it; @argv starts at the subcommand and may be permuted.
 *       Return: exit status
 */
struct xl_command {
    const char *name;
    const char *usage;
    const char *desc;
    void (*help)(FILE *out);
    int (*run)(const struct xl_globals *g, int argc, char **argv);
};

extern const struct xl_command xl_commands[];

/**
 * xl_command_find() - look a subcommand up
 * @name: whole, or an abbreviation that means one of ours; "rem" and "remu"
 *        mean "remus", as they do with stock
 *
 * Return: NULL if it is not ours
 */
const struct xl_command *xl_command_find(const char *name);

/* "xl CMD: " and a sentence, on standard error. */
void xl_say(const char *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "xl CMD: " and the error, and where to look; or the command's help if @err
 * is none (OPTS_HELP). Return: exit status */
int xl_usage(const char *cmd, const struct xlc_error *err);

/* One of ours. */
void xl_command_help(FILE *out, const struct xl_command *c);

/**
 * xl_help() - `xl help [COMMAND]`, and `xl` alone
 * @argv: the whole command line, for the distribution's xl
 * @topic: the COMMAND, or NULL
 *
 * Return: exit status, the distribution's where that was run
 */
int xl_help(char **argv, const char *topic);

/* The subcommands: cmd-remus.c */
int main_remus(const struct xl_globals *g, int argc, char **argv);
void help_receive(FILE *out);
int main_receive(const struct xl_globals *g, int argc, char **argv);

/* cmd-report.c */
void help_report(FILE *out);
int main_report(const struct xl_globals *g, int argc, char **argv);

/* cmd-status.c */
void help_status(FILE *out);
int main_status(const struct xl_globals *g, int argc, char **argv);

/**
 * watch_status() - look again and again
 * @what: one domain, or NULL for all
 *
 * Return: exit status: 0 after a signal, or how the protection of @what
 * ended, 1 if that is not known
 */
int watch_status(const char *what, bool json, uint32_t interval_ms);

/* cmd-disk.c */
void help_disk(FILE *out);
int main_disk(const struct xl_globals *g, int argc, char **argv);

/* cmd-control.c */
int main_checkpoint(const struct xl_globals *g, int argc, char **argv);
int main_failover(const struct xl_globals *g, int argc, char **argv);
void help_set(FILE *out);
int main_set(const struct xl_globals *g, int argc, char **argv);
void help_stop(FILE *out);
int main_stop(const struct xl_globals *g, int argc, char **argv);

/**
 * resume_domain() - bring back a domain that `xl remus` left suspended
 * @what: its name, domid or uuid
 *
 * For the outcome XLC_STUCK: nobody protects it any more. Removes its network
 * buffer, letting out what is held, and lets it run.
 *
 * Return: 0 or a negative errno
 */
int resume_domain(const char *what, struct xlc_error *err);

/* The uuid of a running domain, as text. Return: 0 or a negative errno */
int domain_uuid(const char *what, char uuid[37], struct xlc_error *err);

/* The name of a running domain, malloc'd; NULL if there is none. */
char *domain_name(const char *what);

#endif
