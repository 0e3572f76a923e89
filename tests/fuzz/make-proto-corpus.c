/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * make-proto-corpus.c - Write the seeds of fuzz-proto into a folder
 *
 * good-*: every sample alone, and what each channel looks like in a session;
 * bad-*: the same with one thing wrong. test-corpus.sh checks that the
 * committed files are what this program writes.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "proto-samples.h"
#include "seed-file.h"

static bool get(const char *name, struct sample *s_r)
{
    for (unsigned int n = 0; sample_get(n, s_r); n++)
        if (!strcmp(s_r->name, name)) return true;
    fprintf(stderr, "no sample %s\n", name);
    failed = 1;
    return false;
}

/* Several samples, one after the other; names end with NULL. */
static void save_stream(const char *name, const char *const *samples)
{
    static uint8_t all[16 * SAMPLE_MAX];
    struct sample s;
    size_t len = 0;

    for (; *samples && get(*samples, &s); samples++) {
        memcpy(all + len, s.frame, s.len);
        len += s.len;
    }
    save("good", name, all, len);
}

/* A sample with the octet at @at replaced. */
static void save_bad(const char *name, const char *sample, size_t at,
                     uint8_t octet)
{
    struct sample s;

    if (!get(sample, &s)) return;
    s.frame[at] = octet;
    save("bad", name, s.frame, s.len);
}

static void save_cut(const char *name, const char *sample, size_t cut)
{
    struct sample s;

    if (get(sample, &s)) save("bad", name, s.frame, s.len - cut);
}

#define STREAM(name, ...) \
    save_stream(name, (const char *const[]){ __VA_ARGS__, NULL })
#define BODY(s_, field) (PROTO_HDR_LEN + offsetof(struct s_, field))

static void bad_files(void)
{
    save_bad("magic", "hello", 0, 'Y');
    save_bad("type-0", "hello", 5, 0);
    save_bad("type-unknown", "hello", 4, 0x7f);
    save_bad("hdr-reserved", "hello", 7, 1);
    save_bad("length-huge", "data", 8, 0xff);
    save_bad("length-short", "ack", 11, 7);
    save_bad("optional-too-long", "optional", 9, 2);
    save_bad("boot-incarnation", "ready", 15, 1);
    save_bad("data-epoch-0", "data", 23, 0);
    save_bad("hello-version-0", "hello",
             BODY(proto_hello_wire, version) + 1, 0);
    save_bad("hello-role", "hello", BODY(proto_hello_wire, role), 9);
    save_bad("hello-reserved", "hello", BODY(proto_hello_wire, _res), 1);
    save_bad("hello-heartbeat", "hello",
             BODY(proto_hello_wire, heartbeat_ms), 1);
    save_bad("hello-name-len", "hello",
             BODY(proto_hello_wire, name_len) + 1, 200);
    save_bad("hello-name-slash", "hello", sizeof(struct proto_hello_wire) +
             PROTO_HDR_LEN, '/');
    save_bad("hello-name-zero", "hello", sizeof(struct proto_hello_wire) +
             PROTO_HDR_LEN, 0);
    save_bad("reply-caps", "hello-reply",
             BODY(proto_hello_reply_wire, caps), 1);
    save_bad("reply-address", "hello-reply",
             sizeof(struct proto_hello_reply_wire) + PROTO_HDR_LEN, '$');
    save_bad("attach-channel", "attach-data",
             BODY(proto_attach_wire, channel), 6);
    save_bad("attach-path", "attach-data", BODY(proto_attach_wire, path), 8);
    save_bad("attached-state", "attached",
             BODY(proto_attached_wire, state), 16);
    save_bad("begin-flags", "epoch-begin",
             BODY(proto_epoch_begin_wire, flags), 1);
    save_bad("heartbeat-applied", "heartbeat",
             BODY(proto_heartbeat_wire, applied), 1);
    save_bad("ack-applied", "ack", BODY(proto_ack_wire, applied), 1);
    save_bad("verdict-reason", "drop", BODY(proto_verdict_wire, reason), 1);
    save_bad("verdict-text", "refused",
             sizeof(struct proto_verdict_wire) + PROTO_HDR_LEN, 0x1b);
    save_bad("disks-short", "disks", 11, 49);
    save_bad("disks-flags", "disks", PROTO_HDR_LEN + 9, 2);
    save_bad("disks-count", "disks", PROTO_HDR_LEN + 11, 3);
    save_bad("disks-reserved", "disks", PROTO_HDR_LEN + 12, 1);
    save_bad("disks-size", "disks", PROTO_HDR_LEN + 32, 0x80);
    save_bad("disks-vdev", "disks", PROTO_HDR_LEN + 48, '-');
    save_bad("disks-vdev-len", "disks", PROTO_HDR_LEN + 41, 16);
    save_bad("disks-path", "disks", PROTO_HDR_LEN + 52, 's');
    save_bad("disks-twice", "disks", PROTO_HDR_LEN + 97, 'a');
    save_bad("clock-late", "clock", BODY(proto_clock_wire, host_us), 0x80);
    save_bad("clock-reserved", "clock", BODY(proto_clock_wire, _res) + 3, 1);
    save_cut("cut-in-header", "heartbeat", 50);
    save_cut("cut-in-body", "heartbeat", 1);
    save_cut("cut-in-data", "data", 3);
}

int main(int argc, char **argv)
{
    struct sample s;

    if (argc != 2) {
        fprintf(stderr, "usage: make-proto-corpus FOLDER\n");
        return 2;
    }
    folder = argv[1];
    for (unsigned int n = 0; sample_get(n, &s); n++)
        save("good", s.name, s.frame, s.len);
    STREAM("stream-boot-primary", "hello", "config");
    STREAM("stream-boot-disks", "hello", "disks", "config");
    STREAM("stream-boot-secondary", "hello-reply", "ready");
    STREAM("stream-boot-refused", "hello-reply", "refused");
    STREAM("stream-data", "attach-data", "epoch-begin", "data", "data",
           "epoch-end");
    STREAM("stream-ctrl-secondary", "challenge", "attached", "heartbeat",
           "ack", "optional", "heartbeat", "promoted");
    STREAM("stream-ctrl-primary", "attach-guard", "heartbeat", "drop",
           "drop", "end");
    save("good", "empty", s.frame, 0);
    bad_files();
    return failed;
}
