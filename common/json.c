/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.c - Write one JSON object with yajl, errors remembered */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_gen.h>

#include "json.h"

static void check(struct json *j, yajl_gen_status s)
{
    if (s != yajl_gen_status_ok) j->bad = true;
}

static void text(struct json *j, const char *s)
{
    if (!j->bad)
        check(j, yajl_gen_string(j->gen, (const unsigned char *)s,
                                 strlen(s)));
}

static void key_(struct json *j, const char *key)
{
    if (key) text(j, key);
}

void json_begin(struct json *j)
{
    j->gen = yajl_gen_alloc(NULL);
    j->bad = !j->gen;
    json_object(j, NULL);
}

void json_str(struct json *j, const char *key, const char *value)
{
    key_(j, key);
    text(j, value);
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
    json_int(j, key, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void json_int(struct json *j, const char *key, int64_t value)
{
    key_(j, key);
    if (!j->bad) check(j, yajl_gen_integer(j->gen, value));
}

void json_bool(struct json *j, const char *key, bool value)
{
    key_(j, key);
    if (!j->bad) check(j, yajl_gen_bool(j->gen, value));
}

void json_array(struct json *j, const char *key)
{
    key_(j, key);
    if (!j->bad) check(j, yajl_gen_array_open(j->gen));
}

void json_array_end(struct json *j)
{
    if (!j->bad) check(j, yajl_gen_array_close(j->gen));
}

void json_object(struct json *j, const char *key)
{
    key_(j, key);
    if (!j->bad) check(j, yajl_gen_map_open(j->gen));
}

void json_object_end(struct json *j)
{
    if (!j->bad) check(j, yajl_gen_map_close(j->gen));
}

char *json_end(struct json *j)
{
    const unsigned char *buf;
    char *s = NULL;
    size_t len;

    json_object_end(j);
    if (!j->bad &&
        yajl_gen_get_buf(j->gen, &buf, &len) == yajl_gen_status_ok)
        s = strndup((const char *)buf, len);
    if (j->gen) yajl_gen_free(j->gen);
    j->gen = NULL;
    return s;
}
