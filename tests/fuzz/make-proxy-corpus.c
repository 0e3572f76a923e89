/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * make-proxy-corpus.c - Write the seeds of fuzz-proxy into a folder
 *
 * good-*: every sample alone, and what each end says in a session; bad-*: the
 * same with one thing wrong. test-corpus.sh checks that the committed files
 * are what this program writes.
 */
#include <config.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "seed-file.h"
#include "wire-samples.h"

static bool get(const char *name, struct wire_sample *s)
{
    for (unsigned int n = 0; wire_sample_get(n, s); n++)
        if (!strcmp(s->name, name)) return true;
    fprintf(stderr, "no sample %s\n", name);
    failed = 1;
    return false;
}

/* What one end says; names end with NULL. */
static void save_stream(const char *name, const char *const *samples)
{
    static uint8_t all[4 * WIRE_MSG_MAX];
    static struct wire_sample s;
    size_t len = 0;

    for (; *samples && get(*samples, &s); samples++) {
        memcpy(all + len, s.octets, s.len);
        len += s.len;
    }
    save("good", name, all, len);
}

/* A sample with the octet at @at replaced. */
static void save_bad(const char *name, const char *sample, size_t at,
                     uint8_t octet)
{
    static struct wire_sample s;

    if (!get(sample, &s)) return;
    s.octets[at] = octet;
    save("bad", name, s.octets, s.len);
}

static void save_cut(const char *name, const char *sample, size_t cut)
{
    static struct wire_sample s;

    if (get(sample, &s)) save("bad", name, s.octets, s.len - cut);
}

#define STREAM(name, ...) \
    save_stream(name, (const char *const[]){ __VA_ARGS__, NULL })
#define BODY(s_, field) (WIRE_HDR_LEN + offsetof(struct s_, field))
#define FRAME(field)    BODY(wire_frame_wire, field)
#define FLOW(field)     BODY(wire_flow_wire, field)

static void bad_files(void)
{
    save_bad("type-0", "connected", 1, 0);
    save_bad("type-unknown", "connected", 1, 99);
    save_bad("type-digest", "connected", 1, WIRE_DIGEST);
    save_bad("vif", "connected", 3, 16);
    save_bad("epoch-0", "connected", 15, 0);
    save_bad("hello-epoch", "hello-primary", 15, 1);
    save_bad("length", "connected", 7, 1);
    save_bad("length-huge", "inbound", 4, 1);
    save_bad("hello-version-0", "hello-primary", WIRE_HDR_LEN + 3, 0);
    save_bad("hello-versions", "hello-primary", WIRE_HDR_LEN + 3, 2);
    save_bad("hello-vifs", "hello-primary", BODY(wire_hello_wire, vifs), 1);
    save_bad("hello-reserved", "hello-primary", BODY(wire_hello_wire, _res),
             1);
    save_bad("cut-mode", "cut", WIRE_HDR_LEN, 3);
    save_bad("cut-reserved", "cut", WIRE_HDR_LEN + 7, 1);
    save_bad("frame-flags", "outbound-super", FRAME(flags), 4);
    save_bad("frame-gso", "outbound-super", FRAME(gso_type), 3);
    save_bad("frame-gso-ecn", "outbound", FRAME(gso_type), 0x80);
    save_bad("frame-gso-size", "inbound", FRAME(gso_type), 1);
    save_bad("frame-hdr-len", "inbound", FRAME(hdr_len), 1);
    save_bad("frame-csum", "outbound-super", FRAME(csum_start), 0xff);
    save_bad("frame-said", "outbound", FRAME(said), 1);
    save_bad("inbound-said", "inbound", FRAME(said) + 1, 1);
    save_bad("inbound-offset", "inbound", FRAME(seq_off), 1);
    save_bad("flow-family", "flow-both", FLOW(family), 5);
    save_bad("flow-mapped", "flow-isn", FLOW(src), 1);
    save_bad("flow-has", "flow-both", FLOW(has), 0);
    save_bad("flow-has-unknown", "flow-both", FLOW(has), 7);
    save_bad("flow-isn-unsaid", "flow-isn", FLOW(has), 2);
    save_bad("flow-vlan", "flow-both", FLOW(vlan), 0x10);
    save_bad("flow-vlan-inner", "flow-isn", FLOW(vlan) + 3, 1);
    save_bad("flow-reserved", "flow-isn", FLOW(_res), 1);
    save_bad("want-0", "want", WIRE_HDR_LEN + 3, 0);
    save_bad("want-unknown", "want", WIRE_HDR_LEN + 3, 4);
    save_bad("want-reserved", "want", WIRE_HDR_LEN + 4, 1);
    save_cut("cut-in-header", "connected", 1);
    save_cut("cut-in-frame", "inbound", 1);
}

int main(int argc, char **argv)
{
    static struct wire_sample s;
    static const uint8_t optional[] = {
        0x80, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb,
    };

    if (argc != 2) {
        fputs("usage: make-proxy-corpus FOLDER\n", stderr);
        return 2;
    }
    folder = argv[1];
    for (unsigned int n = 0; wire_sample_get(n, &s); n++)
        save("good", s.name, s.octets, s.len);
    save("good", "empty", optional, 0);
    save("good", "optional", optional, sizeof(optional));
    STREAM("stream-primary", "hello-primary", "cut", "inbound", "flow-both",
           "inbound");
    STREAM("stream-secondary", "hello-secondary", "connected", "outbound",
           "outbound-super", "want");
    bad_files();
    return failed;
}
