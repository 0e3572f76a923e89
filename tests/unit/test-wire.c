/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-wire.c - The codec of the proxies' protocol */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "tap.h"
#include "wire-samples.h"

static struct xlc_error err;
static struct wire_sample s;

static bool same_msg(const struct wire_msg *a, const struct wire_msg *b)
{
    uint8_t one[256], two[256];
    bool from_p = s.from_primary;
    int n;

    if (a->type == WIRE_INBOUND || a->type == WIRE_OUTBOUND)
        return b->type == a->type && a->vif == b->vif &&
               a->epoch == b->epoch &&
               !memcmp(&a->u.frame.vnet, &b->u.frame.vnet,
                       sizeof(a->u.frame.vnet)) &&
               a->u.frame.said == b->u.frame.said &&
               a->u.frame.seq_off == b->u.frame.seq_off &&
               a->u.frame.len == b->u.frame.len &&
               !memcmp(a->u.frame.data, b->u.frame.data, a->u.frame.len);
    n = wire_encode(a, from_p, one, sizeof(one));
    return n > 0 && wire_encode(b, from_p, two, sizeof(two)) == n &&
           !memcmp(one, two, (size_t)n);
}

static void test_samples(void)
{
    struct wire_msg m;
    unsigned int n;
    size_t used;

    for (n = 0; wire_sample_get(n, &s); n++) {
        bool cut = true, other;

        for (size_t len = 0; len < s.len; len++) {
            m.type = 0xdead;
            used = 77;
            cut = cut && !err.status && m.type == 0xdead && used == 77 &&
                  wire_decode(&m, s.octets, len, s.from_primary, &used,
                              &err) == 0;
        }
        ok(cut, "%s cut at every octet is waited for", s.name);
        ok(wire_decode(&m, s.octets, s.len, s.from_primary, &used, &err) ==
           1 && used == s.len && same_msg(&m, &s.msg), "%s is read",
           s.name);
        if (m.type == WIRE_HELLO) continue;
        other = wire_decode(&m, s.octets, s.len, !s.from_primary, &used,
                            &err) == -EPROTO && strstr(err.msg, " from the ");
        ok(other, "%s of the wrong end: %s", s.name, err.msg);
        xlc_error_clear(&err);
    }
    ok(n == 14, "%u samples", n);
}

/* Replace one octet of a sample; the sentence must hold @why. */
static void refused(unsigned int sample, size_t at, uint8_t octet,
                    const char *why)
{
    struct wire_msg m;
    size_t used;
    int r;

    wire_sample_get(sample, &s);
    s.octets[at] = octet;
    r = wire_decode(&m, s.octets, s.len, s.from_primary, &used, &err);
    ok(r == -EPROTO && strstr(err.msg, why), "%s with %u at %zu: %d %s",
       s.name, octet, at, r, err.msg);
    xlc_error_clear(&err);
}

static void test_refused(void)
{
    refused(12, 1, 0, "unknown message type 0");
    refused(12, 1, 99, "unknown message type 99");
    refused(12, 1, WIRE_DIGEST, "DIGEST from the secondary");
    refused(12, 3, WIRE_VIFS_MAX, "vif 16");
    refused(12, 15, 0, "CONNECTED without an epoch");
    refused(0, 15, 1, "HELLO with an epoch");
    refused(12, 7, 1, "CONNECTED of 1 octets");
    refused(3, 4, 1, "INBOUND of 16777274 octets");
    refused(10, 7, 29, "OUTBOUND of 29 octets");
    refused(0, 19, 2, "versions 2 to 1");
    refused(0, 25, 0, "0 vifs");
    refused(0, 27, 1, "reserved");
    refused(1, 16, 3, "unknown mode 3");
    refused(11, 16, 4, "set of flags");
    refused(11, 17, PACKET_GSO_UDP, "kind of segmentation");
    refused(3, 17, PACKET_GSO_TCPV4, "size of segments");
    refused(9, 17, PACKET_GSO_ECN, "size of segments");
    refused(3, 18, 1, "length of headers");
    refused(11, 22, 0xff, "place of a checksum");
    refused(9, 26, 1, "remark");
    refused(3, 27, 1, "offset or remark");
    refused(3, 31, 1, "offset or remark");
    refused(7, 16, 5, "impossible connection");
    refused(5, 36, 1, "impossible connection");
    refused(7, 17, 0, "impossible connection");
    refused(7, 17, 4, "impossible connection");
    refused(5, 17, WIRE_FLOW_TSVAL, "impossible connection");
    refused(7, 18, 0x20, "impossible connection");
    refused(5, 21, 1, "impossible connection");
    refused(5, 26, 1, "reserved");
    refused(13, 19, 0, "unknown reason 0");
    refused(13, 19, 4, "unknown reason 4");
}

static void test_encode(void)
{
    uint8_t buf[64];
    struct wire_msg m;
    size_t used;

    wire_sample_get(3, &s);
    ok(wire_encode(&s.msg, true, buf, 10) == -ENOSPC, "no room");
    m = s.msg;
    m.u.frame.len = WIRE_FRAME_MAX + 1;
    ok(wire_encode(&m, true, s.octets, sizeof(s.octets)) == -EINVAL,
       "a frame that is too long is not sent");
    m = s.msg;
    m.u.frame.vnet.gso_type = PACKET_GSO_UDP;
    ok(wire_encode(&m, true, s.octets, sizeof(s.octets)) == -EINVAL,
       "nor one that the other end would refuse");
    m = s.msg;
    ok(wire_encode(&m, false, s.octets, sizeof(s.octets)) == -EINVAL,
       "nor by the wrong end");
    m.type = WIRE_DIGEST;
    ok(wire_encode(&m, false, s.octets, sizeof(s.octets)) == -EINVAL,
       "nor what is reserved");
    memset(buf, 0, sizeof(buf));
    buf[0] = 0x80;
    buf[1] = 5;
    buf[7] = 4;
    ok(wire_decode(&m, buf, 19, true, &used, &err) == 0 &&
       wire_decode(&m, buf, 20, true, &used, &err) == 1 && used == 20 &&
       m.type == 0x8005, "an optional type is passed over");
    buf[6] = 0x10;
    ok(wire_decode(&m, buf, 20, true, &used, &err) == -EPROTO &&
       strstr(err.msg, "optional message of 4100"), "unless too long: %s",
       err.msg);
    xlc_error_clear(&err);
    ok(!strcmp(wire_type_name(WIRE_INBOUND), "INBOUND") &&
       !strcmp(wire_type_name(0), "?"), "names");
}

int main(void)
{
    test_samples();
    test_refused();
    test_encode();
    return done_testing();
}
