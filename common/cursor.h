/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cursor.h - Bounds-checked reading and writing of big-endian fields
 *
 * Every octet that comes from the peer is read through a struct rcur. A read
 * that does not fit sets @bad and yields zero; once bad, a cursor stays bad
 * and consumes nothing, so that a decoder reads all its fields and tests once.
 */
#ifndef XLC_CURSOR_H
#define XLC_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * struct rcur - what is left to read
 * @p: next octet
 * @left: octets left
 * @bad: a read went beyond the end
 */
struct rcur {
    const uint8_t *p;
    size_t left;
    bool bad;
};

/**
 * struct wcur - room that is left to write
 * @p: next octet
 * @left: octets left
 * @bad: a write did not fit
 */
struct wcur {
    uint8_t *p;
    size_t left;
    bool bad;
};

static inline const uint8_t *rcur_take(struct rcur *c, size_t n)
{
    const uint8_t *p = c->p;

    if (c->bad || c->left < n) {
        c->bad = true;
        return NULL;
    }
    c->p += n;
    c->left -= n;
    return p;
}

static inline void rcur_bytes(struct rcur *c, void *dst, size_t n)
{
    const uint8_t *p = rcur_take(c, n);

    if (p) memcpy(dst, p, n);
    else memset(dst, 0, n);
}

static inline uint64_t rcur_be(struct rcur *c, size_t n)
{
    const uint8_t *p = rcur_take(c, n);
    uint64_t v = 0;

    for (size_t i = 0; p && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static inline uint8_t rcur_u8(struct rcur *c)
{
    return (uint8_t)rcur_be(c, 1);
}

static inline uint16_t rcur_u16(struct rcur *c)
{
    return (uint16_t)rcur_be(c, 2);
}

static inline uint32_t rcur_u32(struct rcur *c)
{
    return (uint32_t)rcur_be(c, 4);
}

static inline uint64_t rcur_u64(struct rcur *c)
{
    return rcur_be(c, 8);
}

/* The next @n octets must be zero (reserved fields). */
static inline void rcur_zero(struct rcur *c, size_t n)
{
    const uint8_t *p = rcur_take(c, n);

    for (size_t i = 0; p && i < n; i++)
        if (p[i]) c->bad = true;
}

/* True if everything was read, and nothing went wrong. */
static inline bool rcur_done(const struct rcur *c)
{
    return !c->bad && c->left == 0;
}

static inline uint8_t *wcur_take(struct wcur *c, size_t n)
{
    uint8_t *p = c->p;

    if (c->bad || c->left < n) {
        c->bad = true;
        return NULL;
    }
    c->p += n;
    c->left -= n;
    return p;
}

static inline void wcur_bytes(struct wcur *c, const void *src, size_t n)
{
    uint8_t *p = wcur_take(c, n);

    if (p && n) memcpy(p, src, n);
}

static inline void wcur_be(struct wcur *c, uint64_t v, size_t n)
{
    uint8_t *p = wcur_take(c, n);

    for (size_t i = n; p && i > 0; i--, v >>= 8)
        p[i - 1] = (uint8_t)v;
}

static inline void wcur_u8(struct wcur *c, uint8_t v)
{
    wcur_be(c, v, 1);
}

static inline void wcur_u16(struct wcur *c, uint16_t v)
{
    wcur_be(c, v, 2);
}

static inline void wcur_u32(struct wcur *c, uint32_t v)
{
    wcur_be(c, v, 4);
}

static inline void wcur_u64(struct wcur *c, uint64_t v)
{
    wcur_be(c, v, 8);
}

static inline void wcur_zero(struct wcur *c, size_t n)
{
    uint8_t *p = wcur_take(c, n);

    if (p) memset(p, 0, n);
}

#endif
