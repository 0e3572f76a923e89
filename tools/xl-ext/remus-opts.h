/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * remus-opts.h - The command line of `xl remus`
 *
 * Takes stock's options with stock's meaning, and ours by their long names.
 */
#ifndef XL_REMUS_OPTS_H
#define XL_REMUS_OPTS_H

#include "config-file.h"
#include "netbuf.h"
#include "opts.h"
#include "xlcolo.h"

#define REMUS_INTERVAL_MS_MIN   XLC_INTERVAL_MS_MIN
#define REMUS_INTERVAL_MS_MAX   XLC_INTERVAL_MS_MAX
#define REMUS_HEARTBEAT_MS_MIN  10u
#define REMUS_HEARTBEAT_MS_MAX  60000u
#define REMUS_LIMIT_MS_MIN      30u
#define REMUS_LIMIT_MS_MAX      3600000u
#define REMUS_LIMIT_BEATS       3u /* a limit holds this many heartbeats */
#define REMUS_SUSPEND_MS_MIN    100u
#define REMUS_SUSPEND_MS_MAX    120000u
#define REMUS_STAGING_BYTES_MIN (16ull << 20)
#define REMUS_STAGING_BYTES_MAX (1ull << 40)
#define REMUS_DISK_RATE_MIN     (64ull << 10)
#define REMUS_DISK_RATE_MAX     (1ull << 40)
#define REMUS_NETBUF_BYTES_MIN  NETBUF_LIMIT_MIN
#define REMUS_NETBUF_BYTES_MAX  NETBUF_LIMIT_MAX

/**
 * struct remus_args - what `xl remus` was told
 * @o: for xlc_protect()
 * @notes: what to tell the user about options without effect
 * @mode: "auto", "colo", "remus", or NULL
 * @config: --config; NULL to look for the domain's own, "" for none
 * @colo: what was read from it; @o points into it
 */
struct remus_args {
    struct xlc_options o;
    struct opt_notes notes;
    const char *mode;
    const char *config;
    struct xl_config colo;
};

/**
 * remus_args_parse() - read and check the command line and the file
 * @a: release with remus_args_free(), whatever came back
 * @argc, @argv: from the word "remus" on; @argv is permuted
 * @err: which option (or file and key), its value, and what is allowed
 *
 * What the command line says wins. @a must not be moved: @a->o points into it.
 *
 * Return: 0, OPTS_HELP, or a negative errno
 */
int remus_args_parse(struct remus_args *a, int argc, char **argv,
                     struct xlc_error *err);

void remus_args_free(struct remus_args *a);

void remus_args_help(FILE *out);

#endif
