/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * opts.h - Command line options as tables
 *
 * A table says what each option is called, where its value goes and what it
 * may be; the same table makes the help text, and reads the same options from
 * a configuration file. Parsing a command line is getopt_long(): short and
 * long options, abbreviations, "--", operands anywhere.
 */
#ifndef XL_OPTS_H
#define XL_OPTS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"

/**
 * enum opt_kind - what becomes of an option
 * @OPT_FLAG: sets a bool
 * @OPT_U16, @OPT_U32: a decimal number from @min to @max
 * @OPT_SIZE: octets into an uint64_t; K, M and G may follow the number
 * @OPT_STRING: a pointer to the argument
 * @OPT_LIST: the same, repeatable: an array of @max pointers, the number of
 *            them in the unsigned int at @count. If there is a '=' in what its
 *            argument is called, each is a pair, "KEY=VALUE"
 * @OPT_NOTE: accepted and without effect; @text goes to the notes
 * @OPT_REFUSE: not possible; @text says why
 */
enum opt_kind {
    OPT_FLAG,
    OPT_U16,
    OPT_U32,
    OPT_SIZE,
    OPT_STRING,
    OPT_LIST,
    OPT_NOTE,
    OPT_REFUSE,
};

/**
 * struct opt - one option
 * @letter: its short form, or 0
 * @name: its long form, or NULL
 * @arg: what its argument is called in the help, NULL without one
 * @kind: see above
 * @typed: only on a command line, never in a file
 * @where, @count: offsets in the structure that is filled in
 * @min, @max: bounds
 * @unit: of the number, for the sentence about the bounds
 * @text: help, a line or two; or the sentence of a note or refusal
 */
struct opt {
    char letter;
    const char *name;
    const char *arg;
    enum opt_kind kind;
    bool typed;
    size_t where, count;
    uint64_t min, max;
    const char *unit;
    const char *text;
};

#define OPTS_NOTES_MAX 4

/* What opts_parse() returns for -h and --help, which every command has. */
#define OPTS_HELP (-ECANCELED)

/**
 * struct opt_notes - options that have no effect, said once each
 * @text: @n sentences
 */
struct opt_notes {
    const char *text[OPTS_NOTES_MAX];
    unsigned int n;
};

/**
 * opts_parse() - read a command line
 * @opts: @n of them
 * @into: what they fill in
 * @notes: sentences for the user; NULL if there are none
 * @argc, @argv: as main() gets them; @argv is permuted, operands last
 * @err: names the option, its value and what it may be
 *
 * Return: the index of the first operand; OPTS_HELP, with @err untouched; or
 * -EINVAL
 */
int opts_parse(const struct opt *opts, unsigned int n, void *into,
               struct opt_notes *notes, int argc, char **argv,
               struct xlc_error *err);

/**
 * opts_text() - read options from a line of a configuration file
 * @opts, @n, @into, @notes: as for opts_parse()
 * @text: "key=value,key,key=value": keys are the long names, none more than
 *        once but OPT_LIST; a flag may be followed by =0 or =1; a pair is
 *        written NAME.KEY=VALUE. It is cut in pieces, which @into points to
 * @err: names the key, its value and what it may be
 *
 * Return: 0 or -EINVAL; @into is half filled in then
 */
int opts_text(const struct opt *opts, unsigned int n, void *into,
              struct opt_notes *notes, char *text, struct xlc_error *err);

/**
 * opts_yield() - make room for the lists that a stronger source has
 * @into: loses those lists, and of lists of pairs the keys, that @strong has
 */
void opts_yield(const struct opt *opts, unsigned int n, void *into,
                const void *strong);

/* Print the help of @opts, and of --help. */
void opts_help(FILE *out, const struct opt *opts, unsigned int n);

/* number_parse() with K, M or G behind it, powers of 1024. */
bool opts_size(const char *s, uint64_t *v_r);

#endif
