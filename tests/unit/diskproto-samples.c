/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * diskproto-samples.c - One good message of every kind, octet by octet
 *
 * Written from docs/specs/disk-protocol.md, without the codec under test.
 */
#include <config.h>

#include <string.h>

#include "diskproto-samples.h"

static void put(struct diskproto_sample *s, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->octets[s->len++] = (uint8_t)(v >> 8 * (n - 1 - i));
}

static void head(struct diskproto_sample *s, const char *name, bool primary,
                 uint16_t type, uint32_t length, uint64_t epoch, uint64_t off)
{
    memset(s, 0, sizeof(*s));
    s->name = name;
    s->from_primary = primary;
    put(s, 0x584c4344, 4);
    put(s, type, 2);
    put(s, 0, 2);
    put(s, length, 4);
    put(s, 0, 4);
    put(s, epoch, 8);
    put(s, off, 8);
}

static void hello(struct diskproto_sample *s, const char *name, bool primary,
                  uint16_t role, uint32_t flags, uint64_t generation,
                  uint64_t epoch)
{
    head(s, name, primary, 1, 56, 0, 0);
    put(s, 2, 2);
    put(s, role, 2);
    put(s, flags, 4);
    for (uint8_t i = 0; i < 16; i++) put(s, 0xa0 + i, 1);
    put(s, generation, 8);
    put(s, epoch, 8);
    put(s, 1 << 20, 8);
    put(s, 0, 8);
}

static void range(struct diskproto_sample *s, uint64_t off, uint64_t len)
{
    put(s, off, 8);
    put(s, len, 8);
}

static void from_primary(unsigned int n, struct diskproto_sample *s)
{
    switch (n) {
    case 0:
        hello(s, "hello-primary", true, 1, 1, 7, 41);
        break;
    case 1:
        head(s, "sync", true, 2, 16, 0, 0);
        put(s, 7, 8);
        put(s, 0, 8);
        break;
    case 2:
        head(s, "write", true, 3, 5, 42, 0x1200);
        for (uint8_t i = 0; i < 5; i++) put(s, 0x30 + i, 1);
        break;
    case 3:
        head(s, "zero", true, 4, 8, 42, 0x10000);
        put(s, 0x20000, 8);
        break;
    case 4:
        head(s, "mark", true, 5, 0, 42, 0);
        break;
    case 5:
        head(s, "sync-end", true, 6, 0, 42, 0);
        break;
    case 6:
        head(s, "sum", true, 7, 32, 42, 0x40000);
        put(s, 0x40000, 8);
        put(s, 0x0123456789abcdef, 8);
        for (uint8_t i = 0; i < 16; i++) put(s, 0x80 + i, 1);
        break;
    default:
        head(s, "error-primary", true, 48, 8 + 4, 0, 0);
        put(s, 5, 4);
        put(s, 0, 4);
        put(s, 0x676f6e65, 4);
    }
}

static void from_secondary(unsigned int n, struct diskproto_sample *s)
{
    switch (n) {
    case 0:
        hello(s, "hello-secondary", false, 2, 1, 7, 41);
        break;
    case 1:
        hello(s, "hello-unknown", false, 0, 0, 0, 0);
        break;
    case 2:
        head(s, "marks", false, 32, 32, 0, 0);
        range(s, 0, 0x10000);
        range(s, 0x40000, 0x20000);
        break;
    case 3:
        head(s, "marks-end", false, 33, 8, 0, 0);
        put(s, 0, 8);
        break;
    case 4:
        head(s, "marks-end-all", false, 33, 8, 0, 0);
        put(s, 1, 4);
        put(s, 0, 4);
        break;
    case 5:
        head(s, "state", false, 34, 24, 0, 0);
        put(s, 42, 8);
        put(s, 40, 8);
        put(s, 41, 8);
        break;
    case 6:
        head(s, "summed", false, 35, 16, 0, 0x40000);
        put(s, 0x40000, 8);
        put(s, 0, 8);
        break;
    case 7:
        head(s, "summed-differs", false, 35, 16, 0, 0x40000);
        put(s, 0x40000, 8);
        put(s, 1, 4);
        put(s, 0, 4);
        break;
    default:
        head(s, "error-secondary", false, 48, 8, 0, 0);
        put(s, 28, 4);
        put(s, 0, 4);
    }
}

bool diskproto_sample_get(unsigned int n, struct diskproto_sample *s)
{
    if (n < 8) from_primary(n, s);
    else if (n < 17) from_secondary(n - 8, s);
    return n < 17;
}
