/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * status.h - What is protected on this host: every socket, asked
 */
#ifndef XL_STATUS_H
#define XL_STATUS_H

#include <stdbool.h>
#include <stdio.h>

#include <yajl/yajl_tree.h>

#include "error.h"

#define STATUS_UUID_LEN 36

/* What the name of a standby copy ends in (PLATFORM trap 8). */
#define STATUS_INCOMING "--incoming"
#define STATUS_COLO     "--colo"

/**
 * struct status - one socket, and what came out of it
 * @path: the socket
 * @uuid: the guest's, from the socket's name
 * @err: @err.status is 0 if it answered with a status object; -ECONNREFUSED
 *       if its owner was killed
 * @json: the object as it came
 * @tree: the same, parsed
 */
struct status {
    char *path;
    char uuid[STATUS_UUID_LEN + 1];
    struct xlc_error err;
    char *json;
    yajl_val tree;
};

/**
 * struct statuses - all of them, by uuid
 * @v: @n of them
 */
struct statuses {
    struct status *v;
    unsigned int n;
};

/* True if there is any socket at all: one look into the directory. */
bool status_any(void);

/**
 * statuses_get() - ask all sockets
 * @s: release with statuses_free(), whatever came back
 *
 * A socket that does not answer is no failure: see @err of its entry.
 *
 * Return: 0 or a negative errno
 */
int statuses_get(struct statuses *s, struct xlc_error *err);

void statuses_free(struct statuses *s);

/* A key's text, or "" if there is none. */
const char *status_text(const struct status *s, const char *key);

/* A key's number. Return: false if there is none, and *@v_r is 0 */
bool status_number(const struct status *s, const char *key, long long *v_r);

/* True if it answered, and has the role "primary". */
bool status_is_primary(const struct status *s);

/* True if it answered, and its protection has ended: what is left is an
 * ordinary domain, or none. */
bool status_is_over(const struct status *s);

/**
 * status_is() - does somebody who says @what mean this one?
 * @what: a name, a domid, or a uuid
 * @stock: as stock's xl reads it: no uuids, and what it calls the domain
 *
 * The standby copy of domain X is called "X--incoming", or "X--colo". "X"
 * means it too, unless @stock: another domain may have that name here.
 */
bool status_is(const struct status *s, const char *what, bool stock);

/**
 * statuses_find() - the one that @what means
 * @err: not protected here, or more than one
 *
 * Return: NULL with @err
 */
const struct status *statuses_find(const struct statuses *s,
                                   const char *what, struct xlc_error *err);

/**
 * status_parse() - check an answer and keep it
 * @json: malloc'd; given away
 *
 * Return: 0 or -EPROTO; @s->err says the same
 */
int status_parse(struct status *s, char *json);

/* One line for each that does not answer: what it is, and the way out. */
void statuses_complain(FILE *out, const struct statuses *s);

/* "3.4K" of a number of octets; "-" if it is negative. */
void status_bytes(char *text, size_t size, long long v);

/* A table for people. */
void statuses_table(FILE *out, const struct statuses *s);

/* A JSON array of the objects as they came; @only one of them if not NULL. */
void statuses_json(FILE *out, const struct statuses *s,
                   const struct status *only);

#endif
