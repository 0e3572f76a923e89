/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diskproto.c - The codec of the mirror's stream; see diskproto.h */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "cursor.h"
#include "diskproto.h"

#define FROM_P 1u
#define FROM_S 2u

/* One type: who says it, its fixed part, most octets after it, and whether
 * the header's epoch and offset are used. */
static const struct kind {
    uint16_t type;
    uint8_t from;
    bool epoch;
    bool off;
    uint32_t fixed;
    uint32_t least;
    uint32_t most;
    const char *name;
} kinds[] = {
    { DISKPROTO_HELLO, FROM_P | FROM_S, 0, 0, 56, 0, 0, "HELLO" },
    { DISKPROTO_SYNC, FROM_P, 0, 0, 16, 0, 0, "SYNC" },
    { DISKPROTO_WRITE, FROM_P, 1, 1, 0, 1, DISKPROTO_DATA_MAX, "WRITE" },
    { DISKPROTO_ZERO, FROM_P, 1, 1, 8, 0, 0, "ZERO" },
    { DISKPROTO_MARK, FROM_P, 1, 0, 0, 0, 0, "MARK" },
    { DISKPROTO_SYNC_END, FROM_P, 1, 0, 0, 0, 0, "SYNC_END" },
    { DISKPROTO_SUM, FROM_P, 1, 1, 32, 0, 0, "SUM" },
    { DISKPROTO_MARKS, FROM_S, 0, 0, 0, DISKPROTO_RANGE, DISKPROTO_MARKS_MAX,
      "MARKS" },
    { DISKPROTO_MARKS_END, FROM_S, 0, 0, 8, 0, 0, "MARKS_END" },
    { DISKPROTO_STATE, FROM_S, 0, 0, 24, 0, 0, "STATE" },
    { DISKPROTO_SUMMED, FROM_S, 0, 1, 16, 0, 0, "SUMMED" },
    { DISKPROTO_ERROR, FROM_P | FROM_S, 0, 0, 8, 0, DISKPROTO_TEXT_MAX,
      "ERROR" },
};

static const struct kind *kind_of(unsigned int type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type) return &kinds[i];
    return NULL;
}

const char *diskproto_name(unsigned int type)
{
    const struct kind *k = kind_of(type);

    return k ? k->name : "unknown";
}

/* @count octets, not 0, that end at an offset a disk may have. */
static bool range_ok(uint64_t off, uint64_t count)
{
    return count && off <= INT64_MAX && count <= INT64_MAX - off;
}

static bool hello_ok(const struct diskproto_hello *h)
{
    return h->version && h->role <= 2 &&
           !(h->flags & ~DISKPROTO_CONSISTENT) && h->size &&
           h->size <= INT64_MAX && !h->_res &&
           (h->role ? h->generation != 0
                    : !h->generation && !h->epoch && !h->flags);
}

static bool marks_ok(const uint8_t *data, uint32_t len)
{
    if (len % DISKPROTO_RANGE) return false;
    for (uint32_t at = 0; at < len; at += DISKPROTO_RANGE) {
        uint64_t off, count;

        diskproto_range_get(data + at, &off, &count);
        if (!range_ok(off, count)) return false;
    }
    return true;
}

/* What must hold of a message in memory and of one on the wire. */
static bool makes_sense(const struct diskproto_msg *m, const struct kind *k)
{
    if ((k->epoch != (m->epoch != 0)) || (!k->off && m->off) ||
        m->len < k->least || m->len > k->most)
        return false;
    switch (m->type) {
    case DISKPROTO_HELLO:
        return hello_ok(&m->u.hello);
    case DISKPROTO_SYNC:
        return m->u.generation != 0;
    case DISKPROTO_WRITE:
        return range_ok(m->off, m->len);
    case DISKPROTO_ZERO:
        return range_ok(m->off, m->u.count);
    case DISKPROTO_SUM:
        return range_ok(m->off, m->u.sum.count);
    case DISKPROTO_SUMMED:
        return range_ok(m->off, m->u.summed.count) &&
               m->u.summed.differs <= 1 && !m->u.summed._res;
    case DISKPROTO_MARKS:
        return marks_ok(m->data, m->len);
    case DISKPROTO_STATE:
        return m->u.state.durable <= m->u.state.held &&
               m->u.state.applied <= m->u.state.held;
    case DISKPROTO_ERROR:
        return m->u.status && m->u.status <= 4095;
    case DISKPROTO_MARK:
    case DISKPROTO_SYNC_END:
    case DISKPROTO_MARKS_END:
        break;
    }
    return true;
}

static void put_fixed(struct wcur *c, const struct diskproto_msg *m)
{
    const struct diskproto_hello *h = &m->u.hello;

    switch (m->type) {
    case DISKPROTO_HELLO:
        wcur_u16(c, h->version);
        wcur_u16(c, h->role);
        wcur_u32(c, h->flags);
        wcur_bytes(c, h->uuid, sizeof(h->uuid));
        wcur_u64(c, h->generation);
        wcur_u64(c, h->epoch);
        wcur_u64(c, h->size);
        wcur_zero(c, 8);
        break;
    case DISKPROTO_SYNC:
        wcur_u64(c, m->u.generation);
        wcur_zero(c, 8);
        break;
    case DISKPROTO_ZERO:
        wcur_u64(c, m->u.count);
        break;
    case DISKPROTO_SUM:
        wcur_u64(c, m->u.sum.count);
        wcur_u64(c, m->u.sum.seed);
        wcur_bytes(c, m->u.sum.sum, sizeof(m->u.sum.sum));
        break;
    case DISKPROTO_SUMMED:
        wcur_u64(c, m->u.summed.count);
        wcur_u32(c, m->u.summed.differs);
        wcur_zero(c, 4);
        break;
    case DISKPROTO_MARKS_END:
        wcur_u32(c, m->u.everything);
        wcur_zero(c, 4);
        break;
    case DISKPROTO_STATE:
        wcur_u64(c, m->u.state.held);
        wcur_u64(c, m->u.state.durable);
        wcur_u64(c, m->u.state.applied);
        break;
    case DISKPROTO_ERROR:
        wcur_u32(c, m->u.status);
        wcur_zero(c, 4);
        break;
    case DISKPROTO_WRITE:
    case DISKPROTO_MARK:
    case DISKPROTO_SYNC_END:
    case DISKPROTO_MARKS:
        break;
    }
}

size_t diskproto_encode(const struct diskproto_msg *m, uint8_t *buf)
{
    const struct kind *k = kind_of(m->type);
    struct wcur c = { buf, DISKPROTO_HEAD_MAX, false };

    if (!k || !makes_sense(m, k)) return 0;
    wcur_u32(&c, DISKPROTO_MAGIC);
    wcur_u16(&c, k->type);
    wcur_zero(&c, 2);
    wcur_u32(&c, k->fixed + m->len);
    wcur_zero(&c, 4);
    wcur_u64(&c, m->epoch);
    wcur_u64(&c, m->off);
    put_fixed(&c, m);
    return c.bad ? 0 : (size_t)(c.p - buf);
}

static void get_hello(struct rcur *c, struct diskproto_hello *h)
{
    h->version = rcur_u16(c);
    h->role = rcur_u16(c);
    h->flags = rcur_u32(c);
    rcur_bytes(c, h->uuid, sizeof(h->uuid));
    h->generation = rcur_u64(c);
    h->epoch = rcur_u64(c);
    h->size = rcur_u64(c);
    h->_res = rcur_u64(c);
}

static void get_fixed(struct rcur *c, struct diskproto_msg *m)
{
    uint32_t word;

    switch (m->type) {
    case DISKPROTO_HELLO:
        get_hello(c, &m->u.hello);
        break;
    case DISKPROTO_SYNC:
        m->u.generation = rcur_u64(c);
        rcur_zero(c, 8);
        break;
    case DISKPROTO_ZERO:
        m->u.count = rcur_u64(c);
        break;
    case DISKPROTO_SUM:
        m->u.sum.count = rcur_u64(c);
        m->u.sum.seed = rcur_u64(c);
        rcur_bytes(c, m->u.sum.sum, sizeof(m->u.sum.sum));
        break;
    case DISKPROTO_SUMMED:
        m->u.summed.count = rcur_u64(c);
        m->u.summed.differs = rcur_u32(c);
        m->u.summed._res = rcur_u32(c);
        break;
    case DISKPROTO_MARKS_END:
        word = rcur_u32(c);
        if (word > 1) c->bad = true;
        m->u.everything = word;
        rcur_zero(c, 4);
        break;
    case DISKPROTO_STATE:
        m->u.state.held = rcur_u64(c);
        m->u.state.durable = rcur_u64(c);
        m->u.state.applied = rcur_u64(c);
        break;
    case DISKPROTO_ERROR:
        m->u.status = rcur_u32(c);
        rcur_zero(c, 4);
        break;
    case DISKPROTO_WRITE:
    case DISKPROTO_MARK:
    case DISKPROTO_SYNC_END:
    case DISKPROTO_MARKS:
        break;
    }
}

/* The header alone says how much to wait for, so it is judged alone. */
static const struct kind *get_header(struct rcur *c, struct diskproto_msg *m,
                                     bool from_primary, uint32_t *length,
                                     struct xlc_error *err)
{
    bool magic = rcur_u32(c) == DISKPROTO_MAGIC;
    uint16_t type = rcur_u16(c);
    const struct kind *k = kind_of(type);

    rcur_zero(c, 2);
    *length = rcur_u32(c);
    rcur_zero(c, 4);
    m->epoch = rcur_u64(c);
    m->off = rcur_u64(c);
    if (!magic || c->bad)
        xlc_error_set(err, -EPROTO, "no message of a mirrored disk");
    else if (!k)
        xlc_error_set(err, -EPROTO, "a message of unknown type %u", type);
    else if (!(k->from & (from_primary ? FROM_P : FROM_S)))
        xlc_error_set(err, -EPROTO, "a %s of the wrong end", k->name);
    else if (*length < k->fixed + k->least || *length > k->fixed + k->most)
        xlc_error_set(err, -EPROTO, "a %s of %u octets", k->name, *length);
    else {
        m->type = (enum diskproto_type)type;
        return k;
    }
    return NULL;
}

int diskproto_decode(struct diskproto_msg *m, const uint8_t *buf, size_t len,
                     bool from_primary, size_t *used, struct xlc_error *err)
{
    struct rcur c = { buf, len, false };
    struct diskproto_msg n;
    const struct kind *k;
    uint32_t length;

    if (len < DISKPROTO_HDR_LEN) return 0;
    memset(&n, 0, sizeof(n));
    k = get_header(&c, &n, from_primary, &length, err);
    if (!k) return -EPROTO;
    if (c.left < length) return 0;
    get_fixed(&c, &n);
    n.len = length - k->fixed;
    n.data = n.len ? rcur_take(&c, n.len) : NULL;
    if (c.bad || !makes_sense(&n, k))
        return xlc_error_set(err, -EPROTO, "a %s that makes no sense",
                             k->name);
    *m = n;
    *used = (size_t)DISKPROTO_HDR_LEN + length;
    return 1;
}

void diskproto_range_put(uint8_t *data, uint64_t off, uint64_t len)
{
    struct wcur c = { data, DISKPROTO_RANGE, false };

    wcur_u64(&c, off);
    wcur_u64(&c, len);
}

void diskproto_range_get(const uint8_t *data, uint64_t *off, uint64_t *len)
{
    struct rcur c = { data, DISKPROTO_RANGE, false };

    *off = rcur_u64(&c);
    *len = rcur_u64(&c);
}
