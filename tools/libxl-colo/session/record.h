/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * record.h - What a host remembers of a guest over a crash
 *
 * /var/lib/xl-colo/UUID.json, written durably (temporary file, fsync, rename,
 * fsync of the folder). Its generation grows with each takeover and never
 * goes back: a host that knows a newer generation refuses an older primary
 * (RULES A1, A7; the arbiter's record will carry the same fields).
 */
#ifndef XLC_RECORD_H
#define XLC_RECORD_H

#include <stdint.h>

#include "error.h"

#ifndef XLC_STATEDIR
#define XLC_STATEDIR "/var/lib/xl-colo"
#endif

/**
 * struct record - of one guest on this host
 * @uuid: the guest's, as text
 * @name: its name, for people
 * @generation: 0 if nothing was ever recorded
 * @role: enum proto_role, 0 if nothing was ever recorded
 * @state: "paired", "open", "ended", …
 * @epoch: newest epoch this host knows of
 * @peer: the other host, as it was named
 */
struct record {
    char uuid[37];
    char name[256];
    uint64_t generation;
    unsigned int role;
    char state[24];
    uint64_t epoch;
    char peer[256];
};

/**
 * record_load() - what was last written about @uuid
 *
 * Return: 0, also when there is no record (all fields but @uuid are zero);
 * -EINVAL if the file makes no sense: it is never silently overwritten
 */
int record_load(struct record *r, const char *uuid, struct xlc_error *err);

/* Write it durably. */
int record_save(const struct record *r, struct xlc_error *err);

/* Parse the text of a record; pure. */
int record_parse(struct record *r, const char *text, struct xlc_error *err);

#endif
