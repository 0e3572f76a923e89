/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-proto.c - The codec: what is good passes unchanged, the rest is refused
 *
 * Bodies are decoded from, and frames encoded into, blocks of exactly their
 * size, so that AddressSanitizer sees the first octet that is read or written
 * too much.
 */
#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "proto-samples.h"
#include "tap.h"

#define PATTERN 0xa5

/* A copy of exactly @len octets. */
static uint8_t *exact(const void *src, size_t len)
{
    uint8_t *p = malloc(len ? len : 1);

    if (!p) abort();
    if (len) memcpy(p, src, len);
    return p;
}

/* Decode a frame of @len octets. Return: 0 or the codec's error */
static int decode(struct proto_msg *m, const uint8_t *frame, size_t len,
                  struct xlc_error *err)
{
    CLEANUP_FREE uint8_t *hdr = exact(frame, PROTO_HDR_LEN);
    CLEANUP_FREE uint8_t *body = NULL;
    int r;

    r = proto_decode_hdr(&m->hdr, hdr, err);
    if (r) return r;
    if (m->hdr.length > len - PROTO_HDR_LEN) return -ENODATA;
    body = exact(frame + PROTO_HDR_LEN, m->hdr.length);
    r = proto_decode(m, body, err);
    /* Data stays in the caller's buffer, which is gone in a moment. */
    if (!r && m->u.data == body) m->u.data = frame + PROTO_HDR_LEN;
    return r;
}

static bool carries_data(uint16_t type)
{
    return type == PROTO_DATA || type == PROTO_CONFIG ||
           type == PROTO_DISKS || type & PROTO_OPTIONAL;
}

/* True if the frame is refused with a sentence, and *m stays as it was. */
static bool refused(const uint8_t *frame, size_t len)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct proto_msg m, before;
    int r;

    memset(&m, PATTERN, sizeof(m));
    before = m;
    r = decode(&m, frame, len, &err);
    return r == -EPROTO && err.status == -EPROTO && err.msg[0] &&
           !memcmp(&m.u, &before.u, sizeof(m.u));
}

/* True if the frame decodes, and encodes to the same octets again. */
static bool unchanged(const uint8_t *frame, size_t len)
{
    CLEANUP_FREE uint8_t *again = malloc(len);
    struct proto_msg m;

    return again && !decode(&m, frame, len, NULL) &&
           proto_encode(again, len, &m) == (int)len &&
           !memcmp(again, frame, len);
}

/* ---- For every sample ---------------------------------------------------- */

/* A frame shorter than it says, and one that says less than it is. */
static bool truncations_refused(const struct sample *s)
{
    size_t len = s->len - PROTO_HDR_LEN;

    if (carries_data(s->msg.hdr.type)) return true; /* any length is whole */
    for (size_t n = 0; n < len; n++) {
        CLEANUP_FREE uint8_t *cut = exact(s->frame, s->len);

        proto_encode_hdr(cut, s->msg.hdr.type, (uint32_t)n,
                         s->msg.hdr.incarnation, s->msg.hdr.epoch);
        if (!refused(cut, PROTO_HDR_LEN + n)) return false;
    }
    return true;
}

static bool longer_refused(const struct sample *s)
{
    size_t len = s->len - PROTO_HDR_LEN;
    uint8_t more[SAMPLE_MAX + 8];

    if (carries_data(s->msg.hdr.type)) return true;
    memset(more, 0, sizeof(more));
    memcpy(more, s->frame, s->len);
    for (size_t extra = 1; extra <= 8; extra++) {
        proto_encode_hdr(more, s->msg.hdr.type, (uint32_t)(len + extra),
                         s->msg.hdr.incarnation, s->msg.hdr.epoch);
        if (!refused(more, s->len + extra)) return false;
    }
    return true;
}

/* No bit is without a meaning: flip one, and the frame is refused, or is a
 * different one that encodes to the flipped octets. */
static bool every_bit_counts(const struct sample *s)
{
    for (size_t bit = 0; bit < s->len * 8; bit++) {
        CLEANUP_FREE uint8_t *flipped = exact(s->frame, s->len);
        struct proto_hdr h;

        flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (refused(flipped, s->len)) continue;
        if (proto_decode_hdr(&h, flipped, NULL)) return false;
        /* It now speaks of octets that are not here yet, or of fewer. */
        if (h.length != s->len - PROTO_HDR_LEN) continue;
        if (!unchanged(flipped, s->len)) return false;
    }
    return true;
}

static bool hdr_bits_refused(const struct sample *s)
{
    /* Magic, and the reserved field. */
    static const size_t octets[] = { 0, 1, 2, 3, 6, 7 };

    for (size_t i = 0; i < sizeof(octets) / sizeof(octets[0]); i++)
        for (unsigned int bit = 0; bit < 8; bit++) {
            CLEANUP_FREE uint8_t *flipped = exact(s->frame, s->len);

            flipped[octets[i]] ^= (uint8_t)(1u << bit);
            if (!refused(flipped, s->len)) return false;
        }
    return true;
}

static bool small_buffers_refused(const struct sample *s)
{
    for (size_t size = 0; size < s->len; size++) {
        CLEANUP_FREE uint8_t *buf = exact(s->frame, size);

        if (proto_encode(buf, size, &s->msg) != -EMSGSIZE) return false;
    }
    return true;
}

static void test_samples(void)
{
    bool seen[64] = { false };
    struct sample s;
    unsigned int n;

    for (n = 0; sample_get(n, &s); n++) {
        struct proto_msg m;

        if (s.msg.hdr.type < 64) seen[s.msg.hdr.type] = true;
        ok(unchanged(s.frame, s.len) && !decode(&m, s.frame, s.len, NULL) &&
           (carries_data(m.hdr.type) ||
            !memcmp(&m.u, &s.msg.u, sizeof(m.u))), "%s: round trip", s.name);
        ok(truncations_refused(&s), "%s: cut at every octet", s.name);
        ok(longer_refused(&s), "%s: octets left over", s.name);
        ok(hdr_bits_refused(&s), "%s: magic and reserved bits", s.name);
        ok(every_bit_counts(&s), "%s: every bit counts", s.name);
        ok(small_buffers_refused(&s), "%s: every too small buffer", s.name);
    }
    ok(n == 36, "36 samples");
    for (unsigned int t = 0; t < 64; t++)
        if (strcmp(proto_type_name(t), "?") && !seen[t])
            ok(false, "no sample of %s", proto_type_name(t));
}

/* ---- The layout in proto.h is what is on the wire ------------------------ */

static bool find_sample(const char *name, struct sample *s_r)
{
    for (unsigned int n = 0; sample_get(n, s_r); n++)
        if (!strcmp(s_r->name, name)) return true;
    return false;
}

/* Where a field is in a frame. */
#define AT(s_, field) (offsetof(struct s_, field) + PROTO_HDR_LEN)
#define SIZE(s_, field) sizeof(((struct s_ *)0)->field)
static const struct {
    const char *sample;
    size_t at, size;
    uint64_t value;
} layout[] = {
    { "hello", offsetof(struct proto_hdr_wire, magic), 4, 0x584c434f },
    { "hello", offsetof(struct proto_hdr_wire, type), 2, 1 },
    { "hello", offsetof(struct proto_hdr_wire, length), 4, 103 },
    { "ack", offsetof(struct proto_hdr_wire, incarnation), 4, 1 },
    { "ack", offsetof(struct proto_hdr_wire, epoch), 8, 41 },
#define L(sample, s_, field, value) \
    { sample, AT(s_, field), SIZE(s_, field), value }
    L("hello", proto_hello_wire, version, 1),
    L("hello", proto_hello_wire, version_min, 1),
    L("hello-longest", proto_hello_wire, caps, PROTO_CAP_ALL),
    L("hello", proto_hello_wire, uuid[0], 0x10),
    L("hello", proto_hello_wire, session[0], 0x20),
    L("hello", proto_hello_wire, generation, 1),
    L("hello", proto_hello_wire, role, 1),
    L("hello", proto_hello_wire, heartbeat_ms, 100),
    L("hello", proto_hello_wire, limit_ms, 1000),
    L("hello-longest", proto_hello_wire, port, 65535),
    L("hello", proto_hello_wire, xen_major, 4),
    L("hello", proto_hello_wire, xen_minor, 17),
    L("hello", proto_hello_wire, name_len, 3),
    L("hello", proto_hello_wire, key[31], 0x9f),
    L("hello-reply", proto_hello_reply_wire, version, 1),
    L("hello-reply", proto_hello_reply_wire, port, 40000),
    L("hello-reply", proto_hello_reply_wire, caps, 1),
    L("hello-reply", proto_hello_reply_wire, session[0], 0x20),
    L("hello-reply", proto_hello_reply_wire, generation, 3),
    L("hello-reply", proto_hello_reply_wire, xen_major, 4),
    L("hello-reply", proto_hello_reply_wire, xen_minor, 20),
    L("hello-reply", proto_hello_reply_wire, addr_len, 9),
    L("attach-guard", proto_attach_wire, session[0], 0x20),
    L("attach-guard", proto_attach_wire, channel, 3),
    L("attach-guard", proto_attach_wire, path, 7),
    L("attach-guard", proto_attach_wire, mac[0], 0xc0),
    L("attached", proto_attached_wire, generation, 2),
    L("attached", proto_attached_wire, accepted, 41),
    L("attached", proto_attached_wire, state, 1),
    L("epoch-begin-final", proto_epoch_begin_wire, flags, 2),
    L("epoch-end", proto_epoch_end_wire, bytes, 8),
    L("epoch-end", proto_epoch_end_wire, hash, 0x0123456789abcdef),
    L("heartbeat", proto_heartbeat_wire, seq, 77),
    L("heartbeat", proto_heartbeat_wire, accepted, 41),
    L("heartbeat", proto_heartbeat_wire, applied, 40),
    L("heartbeat", proto_heartbeat_wire, idle_ms, 12),
    L("heartbeat", proto_heartbeat_wire, suspended_ms, 3),
    L("heartbeat", proto_heartbeat_wire, state, 1),
    L("ack", proto_ack_wire, applied, 40),
    L("refused", proto_verdict_wire, generation, 2),
    L("clock", proto_clock_wire, host_us, 1795318594123456),
    L("clock", proto_clock_wire, ahead_s, (uint32_t)-3600),
    L("refused", proto_verdict_wire, reason, PROTO_WHY_ERROR),
    L("refused", proto_verdict_wire, text_len, 9),
#undef L
};

static void test_layout(void)
{
    unsigned int wrong = 0;
    size_t i;

    for (i = 0; i < sizeof(layout) / sizeof(layout[0]); i++) {
        struct sample s;
        uint64_t v = 0;

        if (!find_sample(layout[i].sample, &s)) {
            wrong++;
            continue;
        }
        for (size_t n = 0; n < layout[i].size; n++)
            v = v << 8 | s.frame[layout[i].at + n];
        if (v == layout[i].value) continue;
        wrong++;
        printf("# %s: %zu octets at %zu are %#llx\n", layout[i].sample,
               layout[i].size, layout[i].at, (unsigned long long)v);
    }
    ok(!wrong, "%zu fields are where proto.h says", i);
}

/* ---- Values that are refused --------------------------------------------- */

/* The sample, with a field's value replaced on the wire. */
static const struct {
    const char *sample;
    size_t at, size;
    uint64_t value;
} wrong_values[] = {
#define L(sample, s_, field, value) \
    { sample, AT(s_, field), SIZE(s_, field), value }
    L("hello", proto_hello_wire, version, 0),
    L("hello", proto_hello_wire, version_min, 0),
    L("hello", proto_hello_wire, version_min, 2),
    L("hello", proto_hello_wire, role, 0),
    L("hello", proto_hello_wire, role, 3),
    L("hello", proto_hello_wire, role, 255),
    L("hello", proto_hello_wire, heartbeat_ms, 0),
    L("hello", proto_hello_wire, heartbeat_ms, 1001),
    L("hello", proto_hello_wire, limit_ms, 0),
    L("hello", proto_hello_wire, limit_ms, 99),
    L("hello", proto_hello_wire, limit_ms, PROTO_LIMIT_MS_MAX + 1),
    L("hello", proto_hello_wire, name_len, 0),
    L("hello", proto_hello_wire, name_len, 2),
    L("hello", proto_hello_wire, name_len, 4),
    L("hello", proto_hello_wire, name_len, 256),
    L("hello", proto_hello_wire, name_len, 65535),
    L("hello-longest", proto_hello_wire, name_len, 254),
    L("hello-longest", proto_hello_wire, name_len, 256),
    L("hello-reply", proto_hello_reply_wire, version, 0),
    L("hello-reply", proto_hello_reply_wire, version, PROTO_VERSION + 1),
    L("hello-reply", proto_hello_reply_wire, port, 0),
    L("hello-reply", proto_hello_reply_wire, caps, 0x40),
    L("hello-reply", proto_hello_reply_wire, addr_len, 8),
    L("hello-reply", proto_hello_reply_wire, addr_len, 10),
    L("hello-reply", proto_hello_reply_wire, addr_len, 64),
    L("attach-data", proto_attach_wire, channel, 0),
    L("attach-data", proto_attach_wire, channel, 6),
    L("attach-data", proto_attach_wire, path, PROTO_PATH_MAX),
    L("attached", proto_attached_wire, state, PROTO_STATE_MAX + 1),
    L("epoch-begin", proto_epoch_begin_wire, flags, 4),
    L("epoch-begin", proto_epoch_begin_wire, flags, 0x80000001),
    L("heartbeat", proto_heartbeat_wire, applied, 42),
    L("heartbeat-first", proto_heartbeat_wire, applied, 2),
    L("heartbeat", proto_heartbeat_wire, state, PROTO_STATE_MAX + 1),
    L("ack", proto_ack_wire, applied, 42),
    L("clock", proto_clock_wire, host_us, PROTO_CLOCK_MAX + 1),
    L("clock", proto_clock_wire, _res, 1),
    L("refused", proto_verdict_wire, reason, PROTO_WHY_MAX + 1),
    L("refused", proto_verdict_wire, reason, UINT32_MAX),
    L("refused", proto_verdict_wire, text_len, 0),
    L("refused", proto_verdict_wire, text_len, 10),
    L("refused-longest", proto_verdict_wire, text_len, 481),
    /* Fields of the header that a type may not have, or must. */
#define H(sample, field, value)                                       \
    { sample, offsetof(struct proto_hdr_wire, field),                 \
      SIZE(proto_hdr_wire, field), value }
    H("hello", incarnation, 1),
    H("hello", epoch, 1),
    H("config", incarnation, 1),
    H("ready", epoch, 1),
    H("challenge", incarnation, 1),
    H("attach-data", incarnation, 0),
    H("attach-data", epoch, 1),
    H("attached", epoch, 1),
    H("epoch-begin", epoch, 0),
    H("data", epoch, 0),
    H("data", incarnation, 0),
    H("epoch-end", epoch, 0),
    H("heartbeat", epoch, 1),
    H("ack", epoch, 0),
    H("clock", epoch, 1),
    H("clock", incarnation, 0),
    H("clock", length, 17),
    H("drop", incarnation, 0),
    /* Lengths beyond the type's bounds: refused before anyone allocates. */
    H("hello", length, 100),
    H("hello", length, 356),
    H("config", length, 0),
    H("config", length, PROTO_CONFIG_MAX + 1),
    H("data", length, 0),
    H("data", length, PROTO_DATA_MAX + 1),
    H("data", length, UINT32_MAX),
    H("ack", length, UINT32_MAX),
    H("refused-longest", length, 497),
    H("optional", length, PROTO_OPTIONAL_MAX + 1),
#undef H
#undef L
};

static void test_wrong_values(void)
{
    for (size_t i = 0; i < sizeof(wrong_values) / sizeof(wrong_values[0]);
         i++) {
        uint64_t v = wrong_values[i].value;
        struct sample s;

        if (!find_sample(wrong_values[i].sample, &s)) {
            ok(false, "sample %s", wrong_values[i].sample);
            continue;
        }
        for (size_t n = wrong_values[i].size; n > 0; n--, v >>= 8)
            s.frame[wrong_values[i].at + n - 1] = (uint8_t)v;
        ok(refused(s.frame, s.len), "%s: %zu octets at %zu = %llu refused",
           s.name, wrong_values[i].size, wrong_values[i].at,
           (unsigned long long)wrong_values[i].value);
    }
}

/* ---- Text ---------------------------------------------------------------- */

/* A sample whose text, at the end of the frame, becomes @text (@len octets),
 * with the length of it in the two octets at @len_at. */
static bool text_refused(const char *sample, size_t len_at, size_t old_len,
                         const char *text, size_t len)
{
    struct sample s;
    size_t body;

    if (!find_sample(sample, &s)) return false;
    s.len += len - old_len;
    body = s.len - PROTO_HDR_LEN;
    memcpy(s.frame + s.len - len, text, len);
    s.frame[len_at] = (uint8_t)(len >> 8);
    s.frame[len_at + 1] = (uint8_t)len;
    proto_encode_hdr(s.frame, s.msg.hdr.type, (uint32_t)body,
                     s.msg.hdr.incarnation, s.msg.hdr.epoch);
    return refused(s.frame, s.len);
}

#define NAME_REFUSED(text) \
    text_refused("hello", AT(proto_hello_wire, name_len), 3, text, \
                 sizeof(text) - 1)
#define ADDR_REFUSED(text) \
    text_refused("hello-reply", AT(proto_hello_reply_wire, addr_len), 9, \
                 text, sizeof(text) - 1)
#define TEXT_REFUSED(text) \
    text_refused("refused", AT(proto_verdict_wire, text_len), 9, text, \
                 sizeof(text) - 1)

static void test_text(void)
{
    char longest[PROTO_NAME_MAX + 2];

    memset(longest, 'n', sizeof(longest));
    ok(!NAME_REFUSED("db 2.example"), "a good name");
    ok(NAME_REFUSED("a/b") && NAME_REFUSED("/") && NAME_REFUSED(".") &&
       NAME_REFUSED(".."), "names that could be a path");
    ok(NAME_REFUSED("a\nb") && NAME_REFUSED("a\x1b") &&
       NAME_REFUSED("a\x7f") && NAME_REFUSED("\xc3\xa4"),
       "unprintable names");
    ok(NAME_REFUSED("ab\0") && NAME_REFUSED("a\0b") && NAME_REFUSED("\0"),
       "names with a zero octet");
    ok(!text_refused("hello", AT(proto_hello_wire, name_len), 3, longest,
                     PROTO_NAME_MAX), "a name of 255 octets");
    ok(text_refused("hello", AT(proto_hello_wire, name_len), 3, longest,
                    PROTO_NAME_MAX + 1), "a name of 256 octets");

    ok(!ADDR_REFUSED("2001:db8::1") && !ADDR_REFUSED("fe80::1%eth0.7") &&
       !ADDR_REFUSED("192.0.2.1"), "good addresses");
    ok(ADDR_REFUSED("host2") && ADDR_REFUSED("192.0.2.1 ") &&
       ADDR_REFUSED("$(id)") && ADDR_REFUSED("192.0.2.1\n") &&
       ADDR_REFUSED("-192.0.2.1") && ADDR_REFUSED("192.0.2.1;id") &&
       ADDR_REFUSED("192.0.2.1host"), "addresses that are not numeric");
    ok(ADDR_REFUSED("fe80::1%") && ADDR_REFUSED("%eth0") &&
       ADDR_REFUSED("fe80::1%e;0") && ADDR_REFUSED("fe80::1%e\0"),
       "bad zones");

    ok(TEXT_REFUSED("a\n") && TEXT_REFUSED("\x1b[2J") &&
       TEXT_REFUSED("a\0b") && TEXT_REFUSED("\xff"),
       "an unprintable sentence");
}

static void test_zeroes(void)
{
    struct sample s;

    find_sample("hello", &s);
    memset(s.frame + AT(proto_hello_wire, key), 0, PROTO_KEY_LEN);
    ok(refused(s.frame, s.len), "HELLO: a key of zeroes");
    find_sample("hello", &s);
    memset(s.frame + AT(proto_hello_wire, session), 0, PROTO_SESSION_LEN);
    ok(refused(s.frame, s.len), "HELLO: a session of zeroes");
    find_sample("hello", &s);
    s.frame[AT(proto_hello_wire, caps)] = 0x80;
    s.frame[AT(proto_hello_wire, version) + 1] = 9;
    ok(unchanged(s.frame, s.len),
       "HELLO: a newer peer's version and capabilities pass");
}

/* ---- Types --------------------------------------------------------------- */

static void test_types(void)
{
    unsigned int known = 0, optional = 0;
    uint8_t hdr[PROTO_HDR_LEN];
    struct proto_hdr h;

    for (unsigned int t = 0; t <= UINT16_MAX; t++) {
        bool named = strcmp(proto_type_name(t), "?");

        if (t < PROTO_OPTIONAL && named) known++;
        proto_encode_hdr(hdr, (uint16_t)t, 40, 1, 0);
        if (t >= PROTO_OPTIONAL)
            optional += !proto_decode_hdr(&h, hdr, NULL) && h.length == 40;
        else if (!named && proto_decode_hdr(&h, hdr, NULL) != -EPROTO)
            ok(false, "type %u is unknown and mandatory", t);
    }
    ok(known == 23, "23 types have a name");
    ok(optional == 0x7fff, "every unknown optional type is accepted");
    ok(proto_unknown(PROTO_OPTIONAL) && !proto_unknown(PROTO_CLOCK) &&
       !proto_unknown(PROTO_ACK), "and passed over");
    ok(!strcmp(proto_type_name(PROTO_HEARTBEAT), "HEARTBEAT") &&
       !strcmp(proto_type_name(0), "?") &&
       !strcmp(proto_type_name(0x18000), "?"), "names of types");
    ok(!strcmp(proto_reason_text(PROTO_WHY_CRASH), "guest crashed") &&
       !strcmp(proto_reason_text(0), "no reason given") &&
       !strcmp(proto_reason_text(PROTO_WHY_MAX + 1), "?"),
       "texts of reasons");
}

/* ---- Data ---------------------------------------------------------------- */

static void test_data(uint16_t type, uint32_t max, uint32_t incarnation,
                      uint64_t epoch)
{
    CLEANUP_FREE uint8_t *data = calloc(1, max);
    CLEANUP_FREE uint8_t *frame = malloc(PROTO_HDR_LEN + (size_t)max);
    struct proto_msg m = {
        .hdr = { type, max, incarnation, epoch },
        .u.data = data,
    };
    const char *name = proto_type_name(type);
    size_t all = PROTO_HDR_LEN + (size_t)max;

    if (!data || !frame) abort();
    data[max - 1] = 7;
    ok(proto_encode(frame, all, &m) == (int)all && unchanged(frame, all),
       "%s: the longest", name);
    ok(proto_encode(frame, all - 1, &m) == -EMSGSIZE, "%s: one octet short",
       name);
    m.hdr.length = max + 1;
    ok(proto_encode(frame, all, &m) == -EINVAL, "%s: too long to send", name);
    m.hdr.length = 0;
    ok(proto_encode(frame, all, &m) ==
       (type & PROTO_OPTIONAL ? (int)PROTO_HDR_LEN : -EINVAL), "%s: empty",
       name);
}

/* ---- What this end may not say ------------------------------------------- */

/* What encoding the sample @name gives after @change. */
#define ENCODE(name, change)                              \
    __extension__({                                       \
        struct sample with_;                              \
        struct proto_msg *m = &with_.msg;                 \
        uint8_t buf_[SAMPLE_MAX];                         \
                                                          \
        find_sample(name, &with_);                        \
        change;                                           \
        proto_encode(buf_, sizeof(buf_), m);              \
    })

static void test_encode_refuses(void)
{
    ok(ENCODE("hello", m->u.hello.role = 3) == -EINVAL &&
       ENCODE("hello", m->u.hello.limit_ms = 0) == -EINVAL &&
       ENCODE("attach-data", m->u.attach.channel = 9) == -EINVAL &&
       ENCODE("epoch-begin", m->u.epoch_flags = 8) == -EINVAL &&
       ENCODE("drop", m->u.verdict.reason = 99) == -EINVAL &&
       ENCODE("ack", m->u.applied = 42) == -EINVAL, "wrong values");
    ok(ENCODE("hello", m->u.hello.name[0] = 0) == -EINVAL &&
       ENCODE("hello", m->u.hello.name[1] = '/') == -EINVAL &&
       ENCODE("hello", m->u.hello.name[1] = '\n') == -EINVAL, "wrong names");
    ok(ENCODE("hello", memset(m->u.hello.name, 'n',
                              sizeof(m->u.hello.name))) == -EINVAL &&
       ENCODE("hello-reply", memset(m->u.hello_reply.addr, '1',
              sizeof(m->u.hello_reply.addr))) == -EINVAL,
       "unterminated name and address");
    ok(ENCODE("heartbeat", m->hdr.incarnation = 0) == -EINVAL &&
       ENCODE("heartbeat", m->hdr.epoch = 1) == -EINVAL &&
       ENCODE("data", m->hdr.epoch = 0) == -EINVAL &&
       ENCODE("hello", m->hdr.incarnation = 1) == -EINVAL &&
       ENCODE("hello", m->hdr.type = 0x7fff) == -EINVAL, "wrong headers");
}

static void test_verdict_is_cleaned(void)
{
    struct proto_msg m = {
        .hdr = { PROTO_FAILED, 0, 1, 0 },
        .u.verdict = { .text = "line\none\xff" },
    };
    uint8_t buf[PROTO_SMALL_MAX];
    int len = proto_encode(buf, sizeof(buf), &m);

    ok(len > 0 && !decode(&m, buf, (size_t)len, NULL) &&
       !strcmp(m.u.verdict.text, "line?one?"),
       "a sentence is cleaned before it leaves");
    memset(m.u.verdict.text, 'x', sizeof(m.u.verdict.text));
    len = proto_encode(buf, sizeof(buf), &m);
    ok(len > 0 && !decode(&m, buf, (size_t)len, NULL) &&
       strlen(m.u.verdict.text) == PROTO_TEXT_MAX,
       "and cut if it has no end");
}

int main(void)
{
    test_samples();
    test_layout();
    test_wrong_values();
    test_text();
    test_zeroes();
    test_types();
    test_data(PROTO_DATA, PROTO_DATA_MAX, 1, 1);
    test_data(PROTO_CONFIG, PROTO_CONFIG_MAX, 0, 0);
    test_data(PROTO_DISKS, PROTO_DISKS_MAX, 0, 0);
    test_data(PROTO_OPTIONAL | 0x123, PROTO_OPTIONAL_MAX, 0, 0);
    test_encode_refuses();
    test_verdict_is_cleaned();
    return done_testing();
}
