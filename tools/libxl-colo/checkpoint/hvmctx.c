/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hvmctx.c - Is an HVM context one that Xen can load into this domain? */
#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdbool.h>

#include "cursor.h"
#include "hvmctx.h"

/* Types of records (Xen's public/arch-x86/hvm/save.h). */
#define TYPE_END    0u
#define TYPE_HEADER 1u
#define TYPE_CPU    2u
#define TYPE_PIC    3u /* there are two, for any number of virtual CPUs */
#define TYPE_XSAVE  16u
#define TYPE_MSR    20u

#define HEADER_MAGIC 0x54381286u
/* Xen has some twenty types of records; this bounds the work. */
#define TYPE_MAX     63u
/* An extended state, or all MSRs, of one virtual CPU. */
#define VARIABLE_MAX (64u << 10)

/**
 * struct entry - one record
 * @body: of @length octets
 */
struct entry {
    uint16_t type, instance;
    uint32_t length;
    const uint8_t *body;
};

/* The next record; false (and @c bad) if it is cut off. */
static bool next_entry(struct rcur *c, struct entry *e)
{
    rcur_bytes(c, &e->type, sizeof(e->type));
    rcur_bytes(c, &e->instance, sizeof(e->instance));
    rcur_bytes(c, &e->length, sizeof(e->length));
    e->type = le16toh(e->type);
    e->instance = le16toh(e->instance);
    e->length = le32toh(e->length);
    e->body = rcur_take(c, e->length);
    return !c->bad;
}

/* Is there such a record before @end? Contexts have some ten records for each
 * virtual CPU. */
static bool seen_before(const uint8_t *ctx, const uint8_t *end,
                        const struct entry *e)
{
    struct rcur c = { .p = ctx, .left = (size_t)(end - ctx) };
    struct entry o;

    while (c.left && next_entry(&c, &o))
        if (o.type == e->type && o.instance == e->instance) return true;
    return false;
}

static int check_header(const struct entry *e, struct xlc_error *err)
{
    uint32_t magic;

    if (e->type != TYPE_HEADER || e->instance || e->length < sizeof(magic))
        return xlc_error_set(err, -EPROTO,
                             "an HVM context without its header");
    memcpy(&magic, e->body, sizeof(magic));
    if (le32toh(magic) != HEADER_MAGIC)
        return xlc_error_set(err, -EPROTO, "an HVM context with magic 0x%x",
                             le32toh(magic));
    return 0;
}

int hvmctx_check(const uint8_t *ctx, size_t len, unsigned int vcpus,
                 struct xlc_error *err)
{
    struct rcur c = { .p = ctx, .left = len };
    unsigned int cpus = 0;
    bool first = true;
    struct entry e;
    int rc;

    for (;; first = false) {
        const uint8_t *at = c.p;

        if (!next_entry(&c, &e))
            return xlc_error_set(err, -EPROTO, "an HVM context of %zu octets "
                                 "that is cut off", len);
        if (first) {
            rc = check_header(&e, err);
            if (rc) return rc;
            continue;
        }
        if (e.type == TYPE_END) break;
        if (e.type > TYPE_MAX)
            return xlc_error_set(err, -EPROTO, "an HVM context with a record "
                                 "of unknown type %u", e.type);
        if (e.instance >= (e.type == TYPE_PIC ? 2 : vcpus))
            return xlc_error_set(err, -EPROTO, "an HVM context with record "
                                 "%u of virtual CPU %u of %u", e.type,
                                 e.instance, vcpus);
        if (seen_before(ctx, at, &e))
            return xlc_error_set(err, -EPROTO, "an HVM context with record "
                                 "%u of virtual CPU %u twice", e.type,
                                 e.instance);
        cpus += e.type == TYPE_CPU;
    }
    if (e.instance || e.length || c.left)
        return xlc_error_set(err, -EPROTO, "an HVM context that goes on "
                             "after its end");
    if (!cpus)
        return xlc_error_set(err, -EPROTO, "an HVM context without a virtual "
                             "CPU");
    return 0;
}

/* Has the hypervisor a record of the type and of the length? */
static bool known(const struct entry *e, const uint8_t *own, size_t own_len)
{
    struct rcur c = { .p = own, .left = own_len };
    bool variable = e->type == TYPE_XSAVE || e->type == TYPE_MSR;
    struct entry o;

    if (variable) return e->length <= VARIABLE_MAX;
    while (c.left && next_entry(&c, &o))
        if (o.type == e->type) return o.length == e->length;
    return false;
}

int hvmctx_fits(const uint8_t *ctx, size_t len, const uint8_t *own,
                size_t own_len, struct xlc_error *err)
{
    struct rcur c = { .p = ctx, .left = len };
    struct entry e;

    while (c.left && next_entry(&c, &e))
        if (!known(&e, own, own_len))
            return xlc_error_set(err, -EPROTO, "an HVM context with record "
                                 "%u of %u octets, which this hypervisor "
                                 "does not write", e.type, e.length);
    return c.bad ? xlc_error_set(err, -EPROTO, "an HVM context that is cut "
                                 "off") : 0;
}
