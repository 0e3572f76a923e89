/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proto-samples.c - Good frames of every type, for tests and fuzz seeds */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "proto-samples.h"

static const char config_text[] = "{\"c_info\": {\"type\": \"pvh\"}}";
/* Two disks: epoch, flags, count; uuid, size, lengths; names. */
static const uint8_t disks_octets[] =
    "\0\0\x01\x9a\0\0\0\x07" "\0\x01" "\0\x02" "\0\0\0\0"
    "\x30\x31\x32\x33\x34\x35\x36\x37\x38\x39\x3a\x3b\x3c\x3d\x3e\x3f"
    "\0\0\0\0\x10\0\0\0" "\0\x04" "\0\x0a" "\0\0\0\0"
    "xvda" "/srv/a.img"
    "\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49\x4a\x4b\x4c\x4d\x4e\x4f"
    "\0\0\0\0\0\0\x02\0" "\0\x04" "\0\x0a" "\0\0\0\0"
    "xvdb" "/dev/vg/lv";
static const uint8_t data_octets[] = { 0, 1, 2, 0xff, 0x80, 0x7f, 0, 0 };

static void fill(uint8_t *p, size_t len, uint8_t from)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(from + i);
}

static void longest(char *text, size_t max)
{
    for (size_t i = 0; i < max; i++)
        text[i] = (char)('a' + i % 26);
    text[max] = 0;
}

static void hello(struct proto_msg *m, bool biggest)
{
    struct proto_hello *h = &m->u.hello;

    *h = (struct proto_hello){
        .version = PROTO_VERSION,
        .version_min = PROTO_VERSION_MIN,
        .caps = biggest ? PROTO_CAP_ALL : 0,
        .generation = biggest ? UINT64_MAX : 1,
        .role = biggest ? PROTO_ROLE_SECONDARY : PROTO_ROLE_PRIMARY,
        .heartbeat_ms = 100,
        .limit_ms = biggest ? PROTO_LIMIT_MS_MAX : 1000,
        .port = biggest ? UINT16_MAX : 0,
        .xen_major = 4,
        .xen_minor = 17,
        .name = "web",
    };
    fill(h->uuid, sizeof(h->uuid), 0x10);
    fill(h->session, sizeof(h->session), 0x20);
    fill(h->key, sizeof(h->key), 0x80);
    if (biggest) longest(h->name, PROTO_NAME_MAX);
}

static void hello_reply(struct proto_msg *m, const char *addr)
{
    struct proto_hello_reply *h = &m->u.hello_reply;

    *h = (struct proto_hello_reply){
        .version = PROTO_VERSION,
        .port = 40000,
        .caps = PROTO_CAP_PLAINTEXT,
        .generation = 3,
        .xen_major = 4,
        .xen_minor = 20,
    };
    fill(h->session, sizeof(h->session), 0x20);
    snprintf(h->addr, sizeof(h->addr), "%s", addr);
}

static void attach(struct proto_msg *m, uint8_t channel, uint8_t path)
{
    struct proto_attach *a = &m->u.attach;

    a->channel = channel;
    a->path = path;
    fill(a->session, sizeof(a->session), 0x20);
    fill(a->mac, sizeof(a->mac), 0xc0);
}

static void verdict(struct proto_msg *m, uint32_t reason, const char *text)
{
    m->u.verdict.generation = 2;
    m->u.verdict.reason = reason;
    snprintf(m->u.verdict.text, sizeof(m->u.verdict.text), "%s", text);
}

/* Frames of the boot channel and CHALLENGE: no incarnation, no epoch. */
static const char *boot_sample(unsigned int n, struct proto_msg *m)
{
    static const uint16_t of[] = {
        PROTO_HELLO, PROTO_HELLO, PROTO_HELLO_REPLY, PROTO_HELLO_REPLY,
        PROTO_HELLO_REPLY, PROTO_CONFIG, PROTO_READY, PROTO_REFUSED,
        PROTO_REFUSED, PROTO_DISKS, PROTO_CHALLENGE,
    };

    m->hdr = (struct proto_hdr){ .type = of[n] };
    switch (n) {
    case 0: hello(m, false); return "hello";
    case 1: hello(m, true); return "hello-longest";
    case 2: hello_reply(m, "192.0.2.7"); return "hello-reply";
    case 3: hello_reply(m, ""); return "hello-reply-no-address";
    case 4: hello_reply(m, "fe80::1%xenbr0"); return "hello-reply-zone";
    case 5:
        m->hdr.length = sizeof(config_text) - 1;
        m->u.data = (const uint8_t *)config_text;
        return "config";
    case 6: verdict(m, 0, ""); return "ready";
    case 7: verdict(m, PROTO_WHY_ERROR, "no memory"); return "refused";
    case 8:
        verdict(m, PROTO_WHY_MAX, "");
        longest(m->u.verdict.text, PROTO_TEXT_MAX);
        return "refused-longest";
    case 9:
        m->hdr.length = sizeof(disks_octets) - 1;
        m->u.data = disks_octets;
        return "disks";
    default: fill(m->u.nonce, sizeof(m->u.nonce), 1); return "challenge";
    }
}
#define BOOT_SAMPLES 11u

static const char *link_sample(unsigned int n, struct proto_msg *m)
{
    static const uint16_t of[] = {
        PROTO_ATTACH, PROTO_ATTACH, PROTO_ATTACHED, PROTO_EPOCH_BEGIN,
        PROTO_EPOCH_BEGIN, PROTO_DATA, PROTO_EPOCH_END, PROTO_HEARTBEAT,
        PROTO_ACK, PROTO_OPTIONAL | 0x123, PROTO_OPTIONAL, PROTO_HEARTBEAT,
        PROTO_ATTACH, PROTO_ATTACH, PROTO_CLOCK, PROTO_CLOCK,
    };

    m->hdr = (struct proto_hdr){ .type = of[n], .incarnation = 1 };
    switch (n) {
    case 0: attach(m, PROTO_CH_DATA, 0); return "attach-data";
    case 1:
        attach(m, PROTO_CH_GUARD, PROTO_PATH_MAX - 1);
        return "attach-guard";
    case 2:
        m->u.attached = (struct proto_attached){ 2, 41, 1 };
        return "attached";
    case 3:
        m->hdr.epoch = 1;
        m->u.epoch_flags = PROTO_EPOCH_STREAM;
        return "epoch-begin";
    case 4:
        m->hdr.epoch = UINT64_MAX;
        m->u.epoch_flags = PROTO_EPOCH_FINAL;
        return "epoch-begin-final";
    case 5:
    case 9:
        m->hdr.epoch = n == 5;
        m->hdr.length = sizeof(data_octets);
        m->u.data = data_octets;
        return n == 5 ? "data" : "optional";
    case 6:
        m->hdr.epoch = 1;
        m->u.epoch_end = (struct proto_epoch_end){ sizeof(data_octets),
                                                   0x0123456789abcdef };
        return "epoch-end";
    case 7:
        m->u.heartbeat = (struct proto_heartbeat){ 77, 41, 40, 12, 3, 1 };
        return "heartbeat";
    case 8:
        m->hdr.epoch = 41;
        m->u.applied = 40;
        return "ack";
    case 10: return "optional-empty";
    case 12: attach(m, PROTO_CH_DISK, 1); return "attach-disk";
    case 13: attach(m, PROTO_CH_PROXY, 0); return "attach-proxy";
    case 14:
        m->u.clock = (struct proto_clock){ 1795318594123456, -3600 };
        return "clock";
    case 15:
        m->u.clock = (struct proto_clock){ PROTO_CLOCK_MAX, INT32_MIN };
        return "clock-last";
    default:
        m->u.heartbeat = (struct proto_heartbeat){ .seq = 1, .applied = 1 };
        return "heartbeat-first";
    }
}
#define LINK_SAMPLES 16u

static const char *verdict_sample(unsigned int n, struct proto_msg *m)
{
    static const struct {
        uint16_t type;
        const char *name, *text;
    } of[] = {
        { PROTO_DROP, "drop", "" },
        { PROTO_DROPPED, "dropped", "" },
        { PROTO_END, "end", "" },
        { PROTO_ENDED, "ended", "" },
        { PROTO_SWAP, "swap", "" },
        { PROTO_SWAP_REFUSED, "swap-refused", "not protected yet" },
        { PROTO_YOURS, "yours", "" },
        { PROTO_PROMOTED, "promoted", "" },
        { PROTO_FAILED, "failed", "the restore ended" },
    };

    if (n >= sizeof(of) / sizeof(of[0])) return NULL;
    m->hdr = (struct proto_hdr){ .type = of[n].type, .incarnation = 2,
                                 .epoch = n % 2 ? 0 : 41 };
    verdict(m, n % (PROTO_WHY_MAX + 1), of[n].text);
    return of[n].name;
}

bool sample_get(unsigned int n, struct sample *s_r)
{
    const char *name;
    int len;

    memset(s_r, 0, sizeof(*s_r));
    if (n < BOOT_SAMPLES)
        name = boot_sample(n, &s_r->msg);
    else if (n < BOOT_SAMPLES + LINK_SAMPLES)
        name = link_sample(n - BOOT_SAMPLES, &s_r->msg);
    else
        name = verdict_sample(n - BOOT_SAMPLES - LINK_SAMPLES, &s_r->msg);
    if (!name) return false;
    len = proto_encode(s_r->frame, sizeof(s_r->frame), &s_r->msg);
    if (len < 0) {
        fprintf(stderr, "sample %u (%s) can't be encoded: %d\n", n, name, len);
        return false;
    }
    s_r->len = (size_t)len;
    snprintf(s_r->name, sizeof(s_r->name), "%s", name);
    return true;
}
