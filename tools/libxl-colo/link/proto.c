/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proto.c - The codec of the wire protocol between the two hosts
 *
 * Theory of operation
 *
 * Two tables say everything. A type's fields are listed in the order of the
 * wire, each with its place in struct proto_msg; one function reads by that
 * list and one writes by it, so the two directions cannot differ. The table
 * of types adds name, bounds of the body, and a function that checks values.
 * A frame that arrives is read into a local message, checked, and only then
 * stored; one that leaves is checked by the same function, so that this end
 * cannot say what the other would refuse. The one difference: unprintable
 * text is refused when it arrives, and cleaned when it leaves.
 *
 * Nothing here does I/O, allocates or keeps state.
 */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cursor.h"
#include "proto.h"
#include "proto-fields.h"

/* ---- Fields -------------------------------------------------------------- */

#define AT(kind, member)                                    \
    { kind, sizeof(((const struct proto_msg *)0)->member),  \
      offsetof(struct proto_msg, member) }
#define INT(member)   AT(FIELD_INT, u.member)
#define BYTES(member) AT(FIELD_BYTES, u.member)
#define LEN(member)   AT(FIELD_LEN, u.member)
#define TEXT(member)  AT(FIELD_TEXT, u.member)
#define ZERO(n)       { FIELD_ZERO, n, 0 }
#define LAST          { FIELD_END, 0, 0 }

static const struct field hello_fields[] = {
    INT(hello.version), INT(hello.version_min), INT(hello.caps),
    BYTES(hello.uuid), BYTES(hello.session), INT(hello.generation),
    INT(hello.role), ZERO(3), INT(hello.heartbeat_ms), INT(hello.limit_ms),
    INT(hello.port), INT(hello.xen_major), INT(hello.xen_minor),
    LEN(hello.name), BYTES(hello.key), TEXT(hello.name), LAST,
};

static const struct field hello_reply_fields[] = {
    INT(hello_reply.version), INT(hello_reply.port), INT(hello_reply.caps),
    BYTES(hello_reply.session), INT(hello_reply.generation),
    INT(hello_reply.xen_major), INT(hello_reply.xen_minor),
    LEN(hello_reply.addr), ZERO(2), TEXT(hello_reply.addr), LAST,
};

static const struct field challenge_fields[] = { BYTES(nonce), LAST };

static const struct field attach_fields[] = {
    BYTES(attach.session), INT(attach.channel), INT(attach.path), ZERO(2),
    BYTES(attach.mac), LAST,
};

static const struct field attached_fields[] = {
    INT(attached.generation), INT(attached.accepted), INT(attached.state),
    ZERO(7), LAST,
};

static const struct field epoch_begin_fields[] = {
    INT(epoch_flags), ZERO(4), LAST,
};

static const struct field epoch_end_fields[] = {
    INT(epoch_end.bytes), INT(epoch_end.hash), LAST,
};

static const struct field heartbeat_fields[] = {
    INT(heartbeat.seq), INT(heartbeat.accepted), INT(heartbeat.applied),
    INT(heartbeat.idle_ms), INT(heartbeat.suspended_ms),
    INT(heartbeat.state), ZERO(7), LAST,
};

static const struct field clock_fields[] = {
    INT(clock.host_us), INT(clock.ahead_s), ZERO(4), LAST,
};

static const struct field ack_fields[] = { INT(applied), LAST };

static const struct field verdict_fields[] = {
    INT(verdict.generation), INT(verdict.reason), LEN(verdict.text), ZERO(2),
    TEXT(verdict.text), LAST,
};

static const struct field data_fields[] = { { FIELD_DATA, 0, 0 }, LAST };

/* ---- Values -------------------------------------------------------------- */

/* A numeric address, perhaps with a zone: nothing that a shell, a resolver
 * or a log would take for something else. */
static bool address_ok(const char *s, size_t len)
{
    static const char set[] = "0123456789abcdefABCDEF.:";
    size_t n = strspn(s, set);

    if (n == len) return true;
    if (n == 0 || s[n] != '%' || len - n < 2) return false;
    for (n++; n < len; n++) {
        char ch = s[n];

        if (!(ch >= '0' && ch <= '9') && !(ch >= 'a' && ch <= 'z') &&
            !(ch >= 'A' && ch <= 'Z') && !strchr("._-", ch))
            return false;
    }
    return true;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return !*p && !memcmp(p, p + 1, len - 1);
}

static int check_name(const char *name, struct xlc_error *err)
{
    size_t len = strnlen(name, PROTO_NAME_MAX + 1);

    if (len == 0 || len > PROTO_NAME_MAX || !proto_printable(name, len) ||
        memchr(name, '/', len) || !strcmp(name, ".") || !strcmp(name, ".."))
        return xlc_error_set(err, -EPROTO,
                             "HELLO: the domain's name must be 1 to %u "
                             "printable characters without '/'",
                             PROTO_NAME_MAX);
    return 0;
}

/* Unknown capabilities are no error here: HELLO offers, and a newer peer may
 * offer more than this one has heard of. */
static int check_hello(const struct proto_msg *m, struct xlc_error *err)
{
    const struct proto_hello *h = &m->u.hello;

    if (h->version_min == 0 || h->version_min > h->version)
        return xlc_error_set(err, -EPROTO, "HELLO: versions %u to %u",
                             h->version_min, h->version);
    if (h->role != PROTO_ROLE_PRIMARY && h->role != PROTO_ROLE_SECONDARY)
        return xlc_error_set(err, -EPROTO, "HELLO: unknown role %u", h->role);
    if (h->heartbeat_ms == 0 || h->heartbeat_ms > h->limit_ms ||
        h->limit_ms > PROTO_LIMIT_MS_MAX)
        return xlc_error_set(err, -EPROTO,
                             "HELLO: a heartbeat each %u ms with a limit of "
                             "%u ms (0 < heartbeat <= limit <= %u)",
                             h->heartbeat_ms, h->limit_ms,
                             PROTO_LIMIT_MS_MAX);
    if (all_zero(h->session, sizeof(h->session)) ||
        all_zero(h->key, sizeof(h->key)))
        return xlc_error_set(err, -EPROTO,
                             "HELLO: the session or its key is all zeroes");
    return check_name(h->name, err);
}

static int check_hello_reply(const struct proto_msg *m, struct xlc_error *err)
{
    const struct proto_hello_reply *h = &m->u.hello_reply;
    size_t len = strnlen(h->addr, PROTO_ADDR_MAX + 1);

    if (h->version < PROTO_VERSION_MIN || h->version > PROTO_VERSION)
        return xlc_error_set(err, -EPROTO,
                             "HELLO_REPLY: version %u, this end speaks %u to "
                             "%u", h->version, PROTO_VERSION_MIN,
                             PROTO_VERSION);
    if (h->port == 0)
        return xlc_error_set(err, -EPROTO, "HELLO_REPLY: port 0");
    if (h->caps & ~PROTO_CAP_ALL)
        return xlc_error_set(err, -EPROTO,
                             "HELLO_REPLY: capabilities %#x that were not "
                             "offered", h->caps & ~PROTO_CAP_ALL);
    if (len > PROTO_ADDR_MAX || !address_ok(h->addr, len))
        return xlc_error_set(err, -EPROTO,
                             "HELLO_REPLY: the address is not numeric");
    return 0;
}

static int check_attach(const struct proto_msg *m, struct xlc_error *err)
{
    const struct proto_attach *a = &m->u.attach;

    if (a->channel < PROTO_CH_DATA || a->channel > PROTO_CH_PROXY)
        return xlc_error_set(err, -EPROTO, "ATTACH: unknown channel %u",
                             a->channel);
    if (a->path >= PROTO_PATH_MAX)
        return xlc_error_set(err, -EPROTO, "ATTACH: path %u of at most %u",
                             a->path, PROTO_PATH_MAX);
    return 0;
}

static int check_state(const char *what, uint8_t state, struct xlc_error *err)
{
    if (state > PROTO_STATE_MAX)
        return xlc_error_set(err, -EPROTO, "%s: unknown state %u", what,
                             state);
    return 0;
}

static int check_attached(const struct proto_msg *m, struct xlc_error *err)
{
    return check_state("ATTACHED", m->u.attached.state, err);
}

static int check_epoch_begin(const struct proto_msg *m, struct xlc_error *err)
{
    if (m->u.epoch_flags & ~PROTO_EPOCH_ALL)
        return xlc_error_set(err, -EPROTO, "EPOCH_BEGIN: unknown flags %#x",
                             m->u.epoch_flags & ~PROTO_EPOCH_ALL);
    return 0;
}

static int check_applied(const char *what, uint64_t applied, uint64_t accepted,
                         struct xlc_error *err)
{
    if (applied > accepted)
        return xlc_error_set(err, -EPROTO,
                             "%s: epoch %llu applied, only %llu accepted",
                             what, (unsigned long long)applied,
                             (unsigned long long)accepted);
    return 0;
}

/* Epoch 1 is applied while it comes, perhaps before it is known to be whole. */
static int check_heartbeat(const struct proto_msg *m, struct xlc_error *err)
{
    const struct proto_heartbeat *h = &m->u.heartbeat;
    uint64_t most = h->accepted ? h->accepted : 1;
    int r = check_applied("HEARTBEAT", h->applied, most, err);

    return r ? r : check_state("HEARTBEAT", h->state, err);
}

static int check_clock(const struct proto_msg *m, struct xlc_error *err)
{
    if (m->u.clock.host_us > PROTO_CLOCK_MAX)
        return xlc_error_set(err, -EPROTO, "CLOCK: it is not that late");
    return 0;
}

static int check_ack(const struct proto_msg *m, struct xlc_error *err)
{
    return check_applied("ACK", m->u.applied, m->hdr.epoch, err);
}

static int check_verdict(const struct proto_msg *m, struct xlc_error *err)
{
    const struct proto_verdict *v = &m->u.verdict;

    if (v->reason > PROTO_WHY_MAX)
        return xlc_error_set(err, -EPROTO, "%s: unknown reason %u",
                             proto_type_name(m->hdr.type), v->reason);
    return 0;
}

/* ---- Types --------------------------------------------------------------- */

/* What a type asks of a field of its header. */
enum want {
    WANT_ANY,
    WANT_ZERO,
    WANT_SOME, /* anything but zero */
};

/**
 * struct type_info - all there is to know about a type
 * @type: enum proto_type
 * @name: for people
 * @min, @max: bounds of the body's length
 * @incarnation, @epoch: what the header's fields must be
 * @fields: the body
 * @check: are the values allowed? NULL if all are
 */
struct type_info {
    uint16_t type;
    const char *name;
    uint32_t min, max;
    enum want incarnation, epoch;
    const struct field *fields;
    int (*check)(const struct proto_msg *m, struct xlc_error *err);
};

#define FIXED(wire)  sizeof(struct wire), sizeof(struct wire)
#define MORE(wire, lo, hi) \
    sizeof(struct wire) + (lo), sizeof(struct wire) + (hi)
#define BOOT         WANT_ZERO, WANT_ZERO /* incarnation, epoch */
#define LINK(epoch_) WANT_SOME, WANT_##epoch_
#define VERDICT(NAME, hdr)                                                \
    { PROTO_##NAME, #NAME, MORE(proto_verdict_wire, 0, PROTO_TEXT_MAX),   \
      hdr, verdict_fields, check_verdict }

static const struct type_info types[] = {
    { PROTO_HELLO, "HELLO", MORE(proto_hello_wire, 1, PROTO_NAME_MAX), BOOT,
      hello_fields, check_hello },
    { PROTO_HELLO_REPLY, "HELLO_REPLY",
      MORE(proto_hello_reply_wire, 0, PROTO_ADDR_MAX), BOOT,
      hello_reply_fields, check_hello_reply },
    { PROTO_CONFIG, "CONFIG", 1, PROTO_CONFIG_MAX, BOOT, data_fields, NULL },
    VERDICT(READY, BOOT),
    VERDICT(REFUSED, BOOT),
    { PROTO_DISKS, "DISKS", PROTO_DISKS_MIN, PROTO_DISKS_MAX, BOOT,
      data_fields, NULL },
    /* Sent before S can know the incarnation, so without one. */
    { PROTO_CHALLENGE, "CHALLENGE", PROTO_NONCE_LEN, PROTO_NONCE_LEN, BOOT,
      challenge_fields, NULL },
    { PROTO_ATTACH, "ATTACH", FIXED(proto_attach_wire), LINK(ZERO),
      attach_fields, check_attach },
    { PROTO_ATTACHED, "ATTACHED", FIXED(proto_attached_wire), LINK(ZERO),
      attached_fields, check_attached },
    { PROTO_EPOCH_BEGIN, "EPOCH_BEGIN", FIXED(proto_epoch_begin_wire),
      LINK(SOME), epoch_begin_fields, check_epoch_begin },
    { PROTO_DATA, "DATA", 1, PROTO_DATA_MAX, LINK(SOME), data_fields, NULL },
    { PROTO_EPOCH_END, "EPOCH_END", FIXED(proto_epoch_end_wire), LINK(SOME),
      epoch_end_fields, NULL },
    { PROTO_HEARTBEAT, "HEARTBEAT", FIXED(proto_heartbeat_wire), LINK(ZERO),
      heartbeat_fields, check_heartbeat },
    { PROTO_ACK, "ACK", FIXED(proto_ack_wire), LINK(SOME), ack_fields,
      check_ack },
    VERDICT(DROP, LINK(ANY)),
    VERDICT(DROPPED, LINK(ANY)),
    VERDICT(END, LINK(ANY)),
    VERDICT(ENDED, LINK(ANY)),
    VERDICT(SWAP, LINK(ANY)),
    VERDICT(SWAP_REFUSED, LINK(ANY)),
    VERDICT(YOURS, LINK(ANY)),
    VERDICT(PROMOTED, LINK(ANY)),
    VERDICT(FAILED, LINK(ANY)),
    { PROTO_CLOCK, "CLOCK", FIXED(proto_clock_wire), LINK(ZERO),
      clock_fields, check_clock },
};

static const struct type_info unknown_optional = {
    PROTO_OPTIONAL, "OPTIONAL", 0, PROTO_OPTIONAL_MAX, WANT_ANY, WANT_ANY,
    data_fields, NULL,
};

/* What is known of @type; NULL if it is neither known nor optional. */
static const struct type_info *find_type(unsigned int type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].type == type) return &types[i];
    return type & PROTO_OPTIONAL && type <= UINT16_MAX ? &unknown_optional
                                                       : NULL;
}

const char *proto_type_name(unsigned int type)
{
    const struct type_info *t = find_type(type);

    return t ? t->name : "?";
}

bool proto_unknown(unsigned int type)
{
    const struct type_info *t = find_type(type);

    return !t || t == &unknown_optional;
}

const char *proto_reason_text(unsigned int reason)
{
    static const char *const texts[] = {
        [0] = "no reason given",
        [PROTO_WHY_STOP] = "protection was stopped",
        [PROTO_WHY_POWEROFF] = "guest powered off",
        [PROTO_WHY_REBOOT] = "guest rebooted",
        [PROTO_WHY_CRASH] = "guest crashed",
        [PROTO_WHY_WORKER_DIED] = "protecting process died",
        [PROTO_WHY_ERROR] = "an error",
        [PROTO_WHY_WATCHDOG] = "guest's watchdog fired",
        [PROTO_WHY_DESTROYED] = "guest was destroyed",
    };
    static_assert(sizeof(texts) / sizeof(texts[0]) == PROTO_WHY_MAX + 1,
                  "a text for each reason");

    return reason <= PROTO_WHY_MAX ? texts[reason] : "?";
}

/* ---- Decode -------------------------------------------------------------- */

static bool wanted(enum want want, uint64_t value)
{
    return want == WANT_ANY || (want == WANT_SOME) == (value != 0);
}

/* Bounds and header fields; the part of the check that needs no body. */
static int check_hdr(const struct proto_hdr *h, struct xlc_error *err)
{
    const struct type_info *t = find_type(h->type);

    if (!t)
        return xlc_error_set(err, -EPROTO, "unknown frame type %u", h->type);
    if (h->length < t->min || h->length > t->max)
        return xlc_error_set(err, -EPROTO,
                             "%s of %u octets, expected %u to %u", t->name,
                             h->length, t->min, t->max);
    if (!wanted(t->incarnation, h->incarnation))
        return xlc_error_set(err, -EPROTO, "%s with incarnation %u", t->name,
                             h->incarnation);
    if (!wanted(t->epoch, h->epoch))
        return xlc_error_set(err, -EPROTO, "%s with epoch %llu", t->name,
                             (unsigned long long)h->epoch);
    return 0;
}

int proto_decode_hdr(struct proto_hdr *hdr_r, const uint8_t *buf,
                     struct xlc_error *err)
{
    struct rcur c = { buf, PROTO_HDR_LEN, false };
    struct proto_hdr h;
    uint32_t magic;
    uint16_t res;
    int r;

    magic = rcur_u32(&c);
    h.type = rcur_u16(&c);
    res = rcur_u16(&c);
    h.length = rcur_u32(&c);
    h.incarnation = rcur_u32(&c);
    h.epoch = rcur_u64(&c);
    if (magic != PROTO_MAGIC)
        return xlc_error_set(err, -EPROTO,
                             "not a frame: %#010x instead of %#010x", magic,
                             PROTO_MAGIC);
    if (res)
        return xlc_error_set(err, -EPROTO,
                             "frame header: reserved field is %#x", res);
    r = check_hdr(&h, err);
    if (r) return r;
    *hdr_r = h;
    return 0;
}

int proto_decode(struct proto_msg *m, const uint8_t *body,
                 struct xlc_error *err)
{
    struct rcur c = { body, m->hdr.length, false };
    struct proto_msg got = { .hdr = m->hdr };
    const struct type_info *t;
    int r;

    r = check_hdr(&m->hdr, err);
    if (r) return r;
    t = find_type(m->hdr.type);
    proto_read_fields(&got, t->fields, &c);
    if (!rcur_done(&c))
        return xlc_error_set(err, -EPROTO,
                             "%s: a length inside it is wrong, a reserved "
                             "field is set or text is unprintable", t->name);
    r = t->check ? t->check(&got, err) : 0;
    if (r) return r;
    m->u = got.u;
    return 0;
}

/* ---- Encode -------------------------------------------------------------- */

void proto_encode_hdr(uint8_t buf[PROTO_HDR_LEN], uint16_t type,
                      uint32_t length, uint32_t incarnation, uint64_t epoch)
{
    struct wcur c = { buf, PROTO_HDR_LEN, false };

    wcur_u32(&c, PROTO_MAGIC);
    wcur_u16(&c, type);
    wcur_u16(&c, 0);
    wcur_u32(&c, length);
    wcur_u32(&c, incarnation);
    wcur_u64(&c, epoch);
    assert(!c.bad && c.left == 0);
}

int proto_encode(uint8_t *buf, size_t size, const struct proto_msg *m)
{
    const struct type_info *t = find_type(m->hdr.type);
    struct wcur c;
    uint32_t length;

    if (!t || !wanted(t->incarnation, m->hdr.incarnation) ||
        !wanted(t->epoch, m->hdr.epoch))
        return -EINVAL;
    if (t->fields == data_fields &&
        (m->hdr.length < t->min || m->hdr.length > t->max))
        return -EINVAL;
    if (t->check && t->check(m, NULL)) return -EINVAL;
    if (size < PROTO_HDR_LEN) return -EMSGSIZE;

    c = (struct wcur){ buf + PROTO_HDR_LEN, size - PROTO_HDR_LEN, false };
    proto_write_fields(m, t->fields, &c);
    if (c.bad) return -EMSGSIZE;
    length = (uint32_t)(c.p - buf) - PROTO_HDR_LEN;
    /* The structs of proto.h and the lists of fields agree. */
    assert(length >= t->min && length <= t->max);
    proto_encode_hdr(buf, m->hdr.type, length, m->hdr.incarnation,
                     m->hdr.epoch);
    return (int)(PROTO_HDR_LEN + length);
}
