/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json.h - Write one JSON object with yajl, errors remembered
 *
 * json_begin(&j); json_str(&j, "name", "web1"); … text = json_end(&j);
 * A call after a failed one does nothing; json_end() then returns NULL.
 */
#ifndef XLC_JSON_H
#define XLC_JSON_H

#include <stdbool.h>
#include <stdint.h>

struct yajl_gen_t;

struct json {
    struct yajl_gen_t *gen;
    bool bad;
};

void json_begin(struct json *j);

void json_str(struct json *j, const char *key, const char *value);
void json_uint(struct json *j, const char *key, uint64_t value);
void json_int(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);

/* An array; values and objects inside have a NULL key. */
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_object(struct json *j, const char *key);
void json_object_end(struct json *j);

/* The text, malloc'd, without a newline; NULL if anything failed. */
char *json_end(struct json *j);

#endif
