/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wire-samples.c - Good messages of the proxies, for tests and fuzz seeds */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "wire-samples.h"

/* Ethernet's shortest useful frame, an ARP request. */
static const uint8_t arp[42] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x16, 0x3e, 1, 2, 3, 8, 6,
    0, 1, 8, 0, 6, 4, 0, 1, 0, 0x16, 0x3e, 1, 2, 3, 10, 0, 0, 1,
    0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
};

static uint8_t longest[WIRE_FRAME_MAX];

/* What all have in common. */
static struct wire_msg msg(uint16_t type)
{
    return (struct wire_msg){ .type = type, .vif = 1, .epoch = 7 };
}

static struct wire_msg flow(unsigned int family, unsigned int has)
{
    struct wire_msg m = msg(WIRE_FLOW);
    struct packet_key *k = &m.u.flow.key;

    k->family = (uint8_t)family;
    k->kind = PACKET_TCP;
    k->proto = PACKET_IP_TCP;
    k->sport = 80;
    k->dport = 40000;
    memset(k->src, 0x20, sizeof(k->src));
    memset(k->dst, 0x30, sizeof(k->dst));
    if (family == 4) {
        memset(k->src, 0, 10);
        memset(k->dst, 0, 10);
        memset(k->src + 10, 0xff, 2);
        memset(k->dst + 10, 0xff, 2);
    } else {
        k->vlan[0] = 11;
        k->vlan[1] = 4096;
    }
    m.u.flow.has = (uint8_t)has;
    if (has & WIRE_FLOW_ISN) m.u.flow.isn = 0x81828384;
    if (has & WIRE_FLOW_TSVAL) m.u.flow.tsval = 0x91929394;
    return m;
}

static struct wire_msg frame(uint16_t type, const uint8_t *data, size_t len)
{
    struct wire_msg m = msg(type);

    m.u.frame.data = data;
    m.u.frame.len = (uint32_t)len;
    return m;
}

static struct wire_msg super(void)
{
    struct wire_msg m = frame(WIRE_OUTBOUND, longest, 3000);

    m.u.frame.vnet = (struct packet_vnet){
        .flags = PACKET_VNET_NEEDS_CSUM,
        .gso_type = PACKET_GSO_TCPV4 | PACKET_GSO_ECN,
        .hdr_len = 66,
        .gso_size = 1448,
        .csum_start = 34,
        .csum_offset = 16,
    };
    m.u.frame.seq_off = 0xfffffffe;
    return m;
}

/* Long, since each sample is a case. */
bool wire_sample_get(unsigned int n, struct wire_sample *s)
{
    struct wire_msg m = msg(WIRE_HELLO);
    const char *name;
    int len;

    s->from_primary = n < 8;
    switch (n) {
    case 0:
    case 8:
        name = n ? "hello-secondary" : "hello-primary";
        m.vif = 0;
        m.epoch = 0;
        m.u.hello = (struct wire_hello){ 1, 1, 0, 2 };
        break;
    case 1:
        name = "cut";
        m = msg(WIRE_CUT);
        m.vif = 0;
        m.u.mode = WIRE_MODE_COLO;
        break;
    case 2:
        name = "cut-passive";
        m = msg(WIRE_CUT);
        m.vif = 0;
        m.u.mode = WIRE_MODE_PASSIVE;
        break;
    case 3:
        name = "inbound";
        m = frame(WIRE_INBOUND, arp, sizeof(arp));
        break;
    case 4:
        name = "inbound-longest";
        m = frame(WIRE_INBOUND, longest, sizeof(longest));
        break;
    case 5:
        name = "flow-isn";
        m = flow(4, WIRE_FLOW_ISN);
        break;
    case 6:
        name = "flow-tsval";
        m = flow(6, WIRE_FLOW_TSVAL);
        break;
    case 7:
        name = "flow-both";
        m = flow(6, WIRE_FLOW_ISN | WIRE_FLOW_TSVAL);
        break;
    case 9:
        name = "outbound";
        m = frame(WIRE_OUTBOUND, arp, sizeof(arp));
        m.u.frame.said = WIRE_SAID_ANSWERED;
        break;
    case 10:
        name = "outbound-shortest";
        m = frame(WIRE_OUTBOUND, arp, WIRE_FRAME_MIN);
        break;
    case 11:
        name = "outbound-super";
        m = super();
        break;
    case 12:
        name = "connected";
        m = msg(WIRE_CONNECTED);
        break;
    case 13:
        name = "want";
        m = msg(WIRE_WANT);
        m.u.want = WIRE_WANT_SPLIT;
        break;
    default:
        return false;
    }
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->msg = m;
    len = wire_encode(&m, s->from_primary, s->octets, sizeof(s->octets));
    if (len < 0) fprintf(stderr, "sample %s can't be encoded\n", name);
    s->len = len < 0 ? 0 : (size_t)len;
    return len > 0;
}
