/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* netbuf-args.h - The command line of remus-netbuf */
#ifndef XLC_NETBUF_ARGS_H
#define XLC_NETBUF_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* Exit statuses; documented in remus-netbuf(8). */
enum netbuf_exit {
    NETBUF_EXIT_OK = 0,
    NETBUF_EXIT_FAILURE = 1,
    NETBUF_EXIT_USAGE = 2,
    NETBUF_EXIT_NONE = 3,
};

enum netbuf_cmd {
    NETBUF_CMD_LIST,
    NETBUF_CMD_CLEAR,
    NETBUF_CMD_HELP,
    NETBUF_CMD_VERSION,
};

/**
 * struct netbuf_args - what is asked for
 * @cmd: to do what
 * @json: list: as JSON
 * @discard: clear: throw away what is held
 * @all: clear: every domain's; else @domid's
 * @domid: clear: whose
 */
struct netbuf_args {
    enum netbuf_cmd cmd;
    bool json;
    bool discard;
    bool all;
    uint32_t domid;
};

/**
 * netbuf_args_parse() - read a command line
 * @argv: @argc words, the program's name first
 *
 * Options may stand before and behind the operands.
 *
 * Return: 0; -EINVAL with a sentence for the user
 */
int netbuf_args_parse(int argc, char *const argv[], struct netbuf_args *args,
                      struct xlc_error *err);

#endif
