/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proto-fields.c - Bodies of frames, field by field */
#include <config.h>

#include <assert.h>
#include <string.h>

#include "proto-fields.h"

static_assert(PROTO_NAME_MAX <= PROTO_TEXT_MAX &&
              PROTO_ADDR_MAX <= PROTO_TEXT_MAX, "there is room");

static void store_int(void *dst, size_t size, uint64_t v)
{
    switch (size) {
    case 1: *(uint8_t *)dst = (uint8_t)v; break;
    case 2: *(uint16_t *)dst = (uint16_t)v; break;
    case 4: *(uint32_t *)dst = (uint32_t)v; break;
    default: *(uint64_t *)dst = v; break;
    }
}

static uint64_t load_int(const void *src, size_t size)
{
    switch (size) {
    case 1: return *(const uint8_t *)src;
    case 2: return *(const uint16_t *)src;
    case 4: return *(const uint32_t *)src;
    default: return *(const uint64_t *)src;
    }
}

bool proto_printable(const void *text, size_t len)
{
    const uint8_t *s = text;

    for (size_t i = 0; i < len; i++)
        if (s[i] < 0x20 || s[i] > 0x7e) return false;
    return true;
}

/**
 * read_text() - read octets that must be printable
 * @c: where from; becomes bad if they are not (a zero octet is not)
 * @dst: room for @size octets, the last one for a terminator
 * @len: how many, as the peer says
 */
static void read_text(struct rcur *c, char *dst, size_t size, size_t len)
{
    const uint8_t *p = len < size ? rcur_take(c, len) : NULL;

    if (!p || !proto_printable(p, len)) {
        c->bad = true;
        len = 0;
    } else {
        memcpy(dst, p, len);
    }
    dst[len] = 0;
}

void proto_read_fields(struct proto_msg *m, const struct field *f,
                       struct rcur *c)
{
    size_t len = 0;

    for (; f->kind != FIELD_END; f++) {
        void *at = (char *)m + f->offset;

        switch (f->kind) {
        case FIELD_INT: store_int(at, f->size, rcur_be(c, f->size)); break;
        case FIELD_BYTES: rcur_bytes(c, at, f->size); break;
        case FIELD_ZERO: rcur_zero(c, f->size); break;
        case FIELD_LEN: len = rcur_u16(c); break;
        case FIELD_TEXT: read_text(c, at, f->size, len); break;
        case FIELD_DATA: m->u.data = rcur_take(c, c->left); break;
        case FIELD_END: break;
        }
    }
}

void proto_write_fields(const struct proto_msg *m, const struct field *f,
                        struct wcur *c)
{
    char text[PROTO_TEXT_MAX + 1];
    size_t len;

    for (; f->kind != FIELD_END; f++) {
        const void *at = (const char *)m + f->offset;

        switch (f->kind) {
        case FIELD_INT: wcur_be(c, load_int(at, f->size), f->size); break;
        case FIELD_BYTES: wcur_bytes(c, at, f->size); break;
        case FIELD_ZERO: wcur_zero(c, f->size); break;
        case FIELD_LEN:
            wcur_u16(c, (uint16_t)strnlen(at, f->size - 1u));
            break;
        case FIELD_TEXT:
            len = strnlen(at, f->size - 1u);
            xlc_sanitise(text, sizeof(text), at, (unsigned int)len);
            wcur_bytes(c, text, len);
            break;
        case FIELD_DATA: wcur_bytes(c, m->u.data, m->hdr.length); break;
        case FIELD_END: break;
        }
    }
}
