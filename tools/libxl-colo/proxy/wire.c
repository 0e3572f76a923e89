/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire.c - The codec of the wire protocol between the two proxies
 *
 * A table says for each type who may send it, how long it may be and whether
 * its epoch is zero. What leaves is checked by the same functions as what
 * arrives: this end cannot say what the other would refuse.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "cursor.h"
#include "wire.h"

#define FROM_P 1u
#define FROM_S 2u

/* Of a virtio-net header. */
#define VNET_FLAGS (PACKET_VNET_NEEDS_CSUM | PACKET_VNET_DATA_VALID)

#define FRAME_HEAD ((uint32_t)sizeof(struct wire_frame_wire))

/**
 * struct type - what is known of a type
 * @type: enum wire_type
 * @name: its name
 * @from: FROM_*
 * @min, @max: bounds of its body
 */
struct type {
    uint16_t type;
    const char *name;
    unsigned int from;
    uint32_t min, max;
};

#define BODY(s) sizeof(struct s), sizeof(struct s)
#define FRAME   FRAME_HEAD + WIRE_FRAME_MIN, FRAME_HEAD + WIRE_FRAME_MAX

static const struct type types[] = {
    { WIRE_HELLO, "HELLO", FROM_P | FROM_S, BODY(wire_hello_wire) },
    { WIRE_CUT, "CUT", FROM_P, BODY(wire_cut_wire) },
    { WIRE_INBOUND, "INBOUND", FROM_P, FRAME },
    { WIRE_FLOW, "FLOW", FROM_P, BODY(wire_flow_wire) },
    { WIRE_OUTBOUND, "OUTBOUND", FROM_S, FRAME },
    { WIRE_CONNECTED, "CONNECTED", FROM_S, 0, 0 },
    { WIRE_WANT, "WANT", FROM_S, BODY(wire_want_wire) },
    { WIRE_DIGEST, "DIGEST", 0, 0, 0 }, /* nobody may, yet */
};

static const struct type *find_type(unsigned int type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].type == type) return &types[i];
    return NULL;
}

const char *wire_type_name(unsigned int type)
{
    const struct type *t = find_type(type);

    return t ? t->name : "?";
}

/* ---- Values -------------------------------------------------------------- */

static int check_hello(const struct wire_hello *h, struct xlc_error *err)
{
    if (!h->version_min || h->version_min > h->version)
        return xlc_error_set(err, -EPROTO, "HELLO: versions %u to %u",
                             h->version_min, h->version);
    if (!h->vifs || h->vifs > WIRE_VIFS_MAX)
        return xlc_error_set(err, -EPROTO, "HELLO: %u vifs", h->vifs);
    return 0;
}

/* Only what a TAP with our offloads gives. */
static const char *check_vnet(const struct packet_vnet *v, uint32_t len)
{
    unsigned int gso = v->gso_type & ~PACKET_GSO_ECN;

    if (v->flags & ~VNET_FLAGS) return "set of flags";
    if (gso && gso != PACKET_GSO_TCPV4 && gso != PACKET_GSO_TCPV6)
        return "kind of segmentation";
    if (gso ? !v->gso_size : v->gso_type)
        return "size of segments";
    if (v->hdr_len > len) return "length of headers";
    if (v->flags & PACKET_VNET_NEEDS_CSUM &&
        (uint32_t)v->csum_start + v->csum_offset + 2 > len)
        return "place of a checksum";
    return NULL;
}

static int check_frame(const struct wire_msg *m, struct xlc_error *err)
{
    const struct wire_frame *f = &m->u.frame;
    const char *wrong = check_vnet(&f->vnet, f->len);

    if (!wrong && f->said & ~WIRE_SAID_ALL) wrong = "remark";
    if (!wrong && m->type == WIRE_INBOUND && (f->said || f->seq_off))
        wrong = "offset or remark";
    if (wrong)
        return xlc_error_set(err, -EPROTO, "%s: a frame with an impossible "
                             "%s", wire_type_name(m->type), wrong);
    return 0;
}

static bool mapped(const uint8_t *addr)
{
    static const uint8_t head[12] = { [10] = 0xff, [11] = 0xff };

    return !memcmp(addr, head, sizeof(head));
}

static int check_flow(const struct wire_flow *f, struct xlc_error *err)
{
    const struct packet_key *k = &f->key;
    bool good = k->family == 6 ||
                (k->family == 4 && mapped(k->src) && mapped(k->dst));

    good = good && f->has && !(f->has & ~WIRE_FLOW_ALL) &&
           (f->has & WIRE_FLOW_ISN || !f->isn) &&
           (f->has & WIRE_FLOW_TSVAL || !f->tsval) &&
           k->vlan[0] <= 4096 && k->vlan[1] <= (k->vlan[0] ? 4096 : 0);
    if (!good)
        return xlc_error_set(err, -EPROTO, "FLOW: an impossible connection");
    return 0;
}

static int check(const struct wire_msg *m, struct xlc_error *err)
{
    switch (m->type) {
    case WIRE_HELLO:
        return check_hello(&m->u.hello, err);
    case WIRE_CUT:
        if (m->u.mode == WIRE_MODE_PASSIVE || m->u.mode == WIRE_MODE_COLO)
            return 0;
        return xlc_error_set(err, -EPROTO, "CUT: unknown mode %u",
                             (unsigned int)m->u.mode);
    case WIRE_INBOUND:
    case WIRE_OUTBOUND:
        return check_frame(m, err);
    case WIRE_FLOW:
        return check_flow(&m->u.flow, err);
    case WIRE_WANT:
        if (m->u.want && m->u.want <= WIRE_WANT_LAST) return 0;
        return xlc_error_set(err, -EPROTO, "WANT: unknown reason %u",
                             (unsigned int)m->u.want);
    default:
        return 0;
    }
}

/* The header alone, before anyone waits for the rest. */
static int check_hdr(const struct wire_msg *m, uint32_t length, unsigned from,
                     struct xlc_error *err)
{
    const struct type *t = find_type(m->type);

    if (!t && !(m->type & WIRE_OPTIONAL))
        return xlc_error_set(err, -EPROTO, "proxy: unknown message type %u",
                             m->type);
    if (t && !(t->from & from))
        return xlc_error_set(err, -EPROTO, "proxy: %s from the %s", t->name,
                             from == FROM_P ? "primary" : "secondary");
    if (t ? length < t->min || length > t->max : length > WIRE_OPTIONAL_MAX)
        return xlc_error_set(err, -EPROTO, "proxy: %s of %u octets",
                             t ? t->name : "an optional message",
                             (unsigned int)length);
    if (m->vif >= WIRE_VIFS_MAX)
        return xlc_error_set(err, -EPROTO, "proxy: vif %u", m->vif);
    if (t && (m->type == WIRE_HELLO) != !m->epoch)
        return xlc_error_set(err, -EPROTO, "proxy: %s %s an epoch", t->name,
                             m->epoch ? "with" : "without");
    return 0;
}

/* ---- Octets -------------------------------------------------------------- */

static void read_flow(struct wire_flow *f, struct rcur *c)
{
    f->key.kind = PACKET_TCP;
    f->key.proto = PACKET_IP_TCP;
    f->key.family = rcur_u8(c);
    f->has = rcur_u8(c);
    f->key.vlan[0] = rcur_u16(c);
    f->key.vlan[1] = rcur_u16(c);
    f->key.sport = rcur_u16(c);
    f->key.dport = rcur_u16(c);
    rcur_zero(c, 2);
    f->isn = rcur_u32(c);
    f->tsval = rcur_u32(c);
    rcur_bytes(c, f->key.src, sizeof(f->key.src));
    rcur_bytes(c, f->key.dst, sizeof(f->key.dst));
}

static void write_flow(const struct wire_flow *f, struct wcur *c)
{
    wcur_u8(c, f->key.family);
    wcur_u8(c, f->has);
    wcur_u16(c, f->key.vlan[0]);
    wcur_u16(c, f->key.vlan[1]);
    wcur_u16(c, f->key.sport);
    wcur_u16(c, f->key.dport);
    wcur_zero(c, 2);
    wcur_u32(c, f->isn);
    wcur_u32(c, f->tsval);
    wcur_bytes(c, f->key.src, sizeof(f->key.src));
    wcur_bytes(c, f->key.dst, sizeof(f->key.dst));
}

static void read_frame(struct wire_frame *f, struct rcur *c)
{
    f->vnet.flags = rcur_u8(c);
    f->vnet.gso_type = rcur_u8(c);
    f->vnet.hdr_len = rcur_u16(c);
    f->vnet.gso_size = rcur_u16(c);
    f->vnet.csum_start = rcur_u16(c);
    f->vnet.csum_offset = rcur_u16(c);
    f->said = rcur_u16(c);
    f->seq_off = rcur_u32(c);
    f->len = (uint32_t)c->left;
    f->data = rcur_take(c, c->left);
}

static void write_frame(const struct wire_frame *f, struct wcur *c)
{
    wcur_u8(c, f->vnet.flags);
    wcur_u8(c, f->vnet.gso_type);
    wcur_u16(c, f->vnet.hdr_len);
    wcur_u16(c, f->vnet.gso_size);
    wcur_u16(c, f->vnet.csum_start);
    wcur_u16(c, f->vnet.csum_offset);
    wcur_u16(c, f->said);
    wcur_u32(c, f->seq_off);
    wcur_bytes(c, f->data, f->len);
}

static void read_body(struct wire_msg *m, struct rcur *c)
{
    switch (m->type) {
    case WIRE_HELLO:
        m->u.hello.version = rcur_u16(c);
        m->u.hello.version_min = rcur_u16(c);
        m->u.hello.caps = rcur_u32(c);
        m->u.hello.vifs = rcur_u16(c);
        rcur_zero(c, 2);
        break;
    case WIRE_CUT:
        m->u.mode = rcur_u8(c);
        rcur_zero(c, 7);
        break;
    case WIRE_INBOUND:
    case WIRE_OUTBOUND:
        read_frame(&m->u.frame, c);
        break;
    case WIRE_FLOW:
        read_flow(&m->u.flow, c);
        break;
    case WIRE_WANT:
        m->u.want = rcur_u32(c);
        rcur_zero(c, 4);
        break;
    default: /* CONNECTED has no body; what is optional is skipped */
        rcur_take(c, c->left);
    }
}

static void write_body(const struct wire_msg *m, struct wcur *c)
{
    switch (m->type) {
    case WIRE_HELLO:
        wcur_u16(c, m->u.hello.version);
        wcur_u16(c, m->u.hello.version_min);
        wcur_u32(c, m->u.hello.caps);
        wcur_u16(c, m->u.hello.vifs);
        wcur_zero(c, 2);
        break;
    case WIRE_CUT:
        wcur_u8(c, (uint8_t)m->u.mode);
        wcur_zero(c, 7);
        break;
    case WIRE_INBOUND:
    case WIRE_OUTBOUND:
        write_frame(&m->u.frame, c);
        break;
    case WIRE_FLOW:
        write_flow(&m->u.flow, c);
        break;
    case WIRE_WANT:
        wcur_u32(c, (uint32_t)m->u.want);
        wcur_zero(c, 4);
        break;
    default:
        break;
    }
}

int wire_decode(struct wire_msg *m, const uint8_t *buf, size_t len,
                bool from_primary, size_t *used_r, struct xlc_error *err)
{
    struct rcur c = { .p = buf, .left = len };
    struct wire_msg got = { 0 };
    uint32_t length;
    int r;

    if (len < WIRE_HDR_LEN) return 0;
    got.type = rcur_u16(&c);
    got.vif = rcur_u16(&c);
    length = rcur_u32(&c);
    got.epoch = rcur_u64(&c);
    r = check_hdr(&got, length, from_primary ? FROM_P : FROM_S, err);
    if (r) return r;
    if (c.left < length) return 0;
    c.left = length;
    read_body(&got, &c);
    if (!rcur_done(&c))
        return xlc_error_set(err, -EPROTO, "%s: reserved octets are not zero",
                             wire_type_name(got.type));
    r = check(&got, err);
    if (r) return r;
    *m = got;
    *used_r = WIRE_HDR_LEN + length;
    return 1;
}

static uint32_t body_len(const struct wire_msg *m, const struct type *t)
{
    return t->min == t->max ? t->min : FRAME_HEAD + m->u.frame.len;
}

int wire_encode(const struct wire_msg *m, bool from_primary, uint8_t *buf,
                size_t size)
{
    const struct type *t = find_type(m->type);
    struct wcur c = { .p = buf, .left = size };
    uint32_t length;

    if (!t || (t->min != t->max && m->u.frame.len > WIRE_FRAME_MAX))
        return -EINVAL;
    length = body_len(m, t);
    if (check_hdr(m, length, from_primary ? FROM_P : FROM_S, NULL) ||
        check(m, NULL))
        return -EINVAL;
    wcur_u16(&c, m->type);
    wcur_u16(&c, m->vif);
    wcur_u32(&c, length);
    wcur_u64(&c, m->epoch);
    write_body(m, &c);
    return c.bad ? -ENOSPC : (int)(WIRE_HDR_LEN + length);
}
