/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-record.c - What a host remembers: only what makes sense is believed */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "proto.h"
#include "record.h"
#include "tap.h"

#define UUID "11111111-2222-3333-4444-555555555555"

/* The fields in their order; a record is their concatenation. */
enum { F_UUID, F_NAME, F_GEN, F_ROLE, F_STATE, F_EPOCH, F_PEER, NFIELDS };
static const char *const good[NFIELDS] = {
    [F_UUID] = "\"uuid\": \"" UUID "\"",
    [F_NAME] = "\"name\": \"web\"",
    [F_GEN] = "\"generation\": 7",
    [F_ROLE] = "\"role\": 2",
    [F_STATE] = "\"state\": \"paired\"",
    [F_EPOCH] = "\"epoch\": 4711",
    [F_PEER] = "\"peer\": \"hostb\"",
};

/* Parse the good record with field @f replaced by @text, or left out (NULL).
 * From a block of exactly its size. */
static int parse(struct record *r, int f, const char *text,
                 struct xlc_error *err)
{
    CLEANUP_FREE char *block = NULL;
    char buf[2048];
    size_t at = 0;

    buf[at++] = '{';
    for (int i = 0; i < NFIELDS; i++) {
        const char *field = i == f ? text : good[i];

        if (!field) continue;
        at += (size_t)snprintf(buf + at, sizeof(buf) - at, "%s%s",
                               at > 1 ? "," : "", field);
        if (at >= sizeof(buf) - 2) abort();
    }
    buf[at++] = '}';
    buf[at] = 0;
    block = strdup(buf);
    if (!block) abort();
    return record_parse(r, block, err);
}

/* Refused with a sentence, and the record stays as it was. */
static void refused(int f, const char *text, const char *what)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct record r, before;
    int rc;

    memset(&r, 0x5a, sizeof(r));
    before = r;
    rc = parse(&r, f, text, &err);
    ok(rc == -EINVAL && err.status == -EINVAL &&
       !strcmp(err.msg, "a field is missing or makes no sense") &&
       !memcmp(&r, &before, sizeof(r)), "%s: refused", what);
}

static void test_good(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct record r;

    ok(!parse(&r, -1, NULL, &err) && !err.status &&
       !strcmp(r.uuid, UUID) && !strcmp(r.name, "web") &&
       r.generation == 7 && r.role == PROTO_ROLE_SECONDARY &&
       !strcmp(r.state, "paired") && r.epoch == 4711 &&
       !strcmp(r.peer, "hostb"), "a good record, every field");
    ok(!parse(&r, F_ROLE, "\"role\": 1", &err) &&
       r.role == PROTO_ROLE_PRIMARY, "of a primary");
    ok(!parse(&r, F_GEN, "\"generation\": 0", &err) && !r.generation,
       "generation 0");
    ok(!parse(&r, F_GEN, "\"generation\": 9223372036854775807", &err) &&
       r.generation == INT64_MAX, "the highest generation");
    ok(!parse(&r, F_EPOCH, "\"epoch\": 9223372036854775807", &err) &&
       r.epoch == INT64_MAX, "the highest epoch");
    ok(!parse(&r, F_PEER, "\"peer\": \"\", \"later\": [1, {\"x\": null}]",
              &err) && !r.peer[0],
       "an empty peer, and a key of a later version");
}

static void test_fields(void)
{
    static const char *const names[NFIELDS] = {
        "uuid", "name", "generation", "role", "state", "epoch", "peer",
    };
    static const char *const values[] = {
        "null", "true", "[]", "{}", "[\"x\"]",
    };
    char text[128], what[192];

    for (int f = 0; f < NFIELDS; f++) {
        bool number = f == F_GEN || f == F_ROLE || f == F_EPOCH;

        snprintf(what, sizeof(what), "no %s", names[f]);
        refused(f, NULL, what);
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            snprintf(text, sizeof(text), "\"%s\": %s", names[f], values[i]);
            refused(f, text, text);
        }
        snprintf(text, sizeof(text), "\"%s\": %s", names[f],
                 number ? "\"1\"" : "1");
        refused(f, text, text);
        if (!number) continue;
        for (int i = 0; i < 6; i++) {
            static const char *const numbers[] = {
                "-1", "1.5", "1e0", "9223372036854775808",
                "18446744073709551616", "-9223372036854775809",
            };

            snprintf(text, sizeof(text), "\"%s\": %s", names[f], numbers[i]);
            refused(f, text, text);
        }
    }
    refused(F_ROLE, "\"role\": 0", "role 0");
    refused(F_ROLE, "\"role\": 3", "role 3");
    refused(F_ROLE, "\"role\": 4294967297", "role 1 in 32 bits only");
}

/* The longest text that fits, and one octet more. */
static void test_lengths(void)
{
    static const struct {
        int field;
        const char *name;
        unsigned int max;
    } texts[] = {
        { F_NAME, "name", 255 }, { F_STATE, "state", 23 },
        { F_PEER, "peer", 255 },
    };
    char text[300], what[64], x[280];
    struct record r;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        memset(x, 'x', sizeof(x));
        x[texts[i].max] = 0;
        snprintf(text, sizeof(text), "\"%s\": \"%s\"", texts[i].name, x);
        ok(!parse(&r, texts[i].field, text, NULL),
           "%s of %u octets", texts[i].name, texts[i].max);
        x[texts[i].max] = 'x';
        x[texts[i].max + 1] = 0;
        snprintf(text, sizeof(text), "\"%s\": \"%s\"", texts[i].name, x);
        snprintf(what, sizeof(what), "%s of one more", texts[i].name);
        refused(texts[i].field, text, what);
    }
    refused(F_UUID, "\"uuid\": \"\"", "an empty uuid");
    refused(F_UUID, "\"uuid\": \"11111111-2222-3333-4444-55555555555\"",
            "a uuid of 35");
    refused(F_UUID, "\"uuid\": \"" UUID "5\"", "a uuid of 37");
    refused(F_UUID, "\"uuid\": \"1\\u00001111111-2222-3333-4444-"
            "55555555555\"", "a uuid with a zero in it");
}

static void test_not_json(void)
{
    static const char *const texts[] = {
        "", " ", "{", "{\"uuid\":", "hello", "{\"uuid\" \"x\"}", "{]",
        "{\"name\": \"\xff\xfe\"}",
    };
    static const char *const others[] = { "{}", "[]", "1", "\"x\"", "null" };
    struct record r, before;

    memset(&r, 0x5a, sizeof(r));
    before = r;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct xlc_error err = XLC_ERROR_INIT;

        ok(record_parse(&r, texts[i], &err) == -EINVAL &&
           !strcmp(err.msg, "not JSON") && !memcmp(&r, &before, sizeof(r)),
           "text %zu is not JSON", i);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ok(record_parse(&r, others[i], NULL) == -EINVAL &&
           !memcmp(&r, &before, sizeof(r)), "%s is no record", others[i]);
}

/* What a crash in the middle of writing would leave is never believed. */
static void test_cut(void)
{
    static const char text[] =
        "{\"uuid\":\"" UUID "\",\"name\":\"web\",\"generation\":7,"
        "\"role\":2,\"state\":\"paired\",\"epoch\":4711,"
        "\"peer\":\"hostb\"}";
    struct record r;
    bool good_cuts = true;

    ok(!record_parse(&r, text, NULL), "a whole text");
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        CLEANUP_FREE char *cut = strndup(text, n);

        if (!cut) abort();
        good_cuts = good_cuts && record_parse(&r, cut, NULL) == -EINVAL;
    }
    ok(good_cuts, "cut at every octet: refused");
}

int main(void)
{
    test_good();
    test_fields();
    test_lengths();
    test_not_json();
    test_cut();
    return done_testing();
}
