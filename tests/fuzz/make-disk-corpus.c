/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* make-disk-corpus.c - The seeds of fuzz-disk, written into a folder
 *
 * By hand from docs/specs/disk-format.md, not by the library: a second
 * implementation of the formats. Checksums are left to the target. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "cursor.h"

#define FIXED 128u

static const char *folder;
static uint8_t buf[65536];
static struct wcur c;

static void begin(uint8_t what)
{
    c = (struct wcur){ buf, sizeof(buf), false };
    memset(buf, 0, sizeof(buf));
    wcur_u8(&c, what);
}

static void save(const char *name)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (c.bad || !f || !fwrite(buf, (size_t)(c.p - buf), 1, f) || fclose(f))
        exit(1);
}

static void identity(uint32_t role, uint32_t flags, uint64_t generation,
                     const char *image)
{
    bool merging = flags & 2;

    begin(FIXED | 0);
    wcur_bytes(&c, "XLCDID1\n", 8);
    wcur_u32(&c, 2);
    wcur_u32(&c, role);
    wcur_u32(&c, flags);
    wcur_u32(&c, (uint32_t)strlen(image));
    wcur_bytes(&c, "0123456789abcdef", 16);
    wcur_u64(&c, generation);
    wcur_u64(&c, 77);
    wcur_u64(&c, 1 << 20);
    wcur_u64(&c, merging ? 1 : 0);
    wcur_u64(&c, merging ? 76 : 0);
    wcur_u64(&c, 0);
    wcur_bytes(&c, image, strlen(image));
    wcur_u64(&c, 0);
}

static void header(uint8_t kind)
{
    begin((uint8_t)(FIXED | kind));
    wcur_bytes(&c, "XLCDLOG\n", 8);
    wcur_u32(&c, 1);
    wcur_u32(&c, kind);
    wcur_u64(&c, 0x1234567890ull);
    wcur_bytes(&c, "0123456789abcdef", 16);
    wcur_u64(&c, 3);
    wcur_u64(&c, 77);
    wcur_u64(&c, 1 << 20);
    wcur_zero(&c, 16);
    wcur_u64(&c, 0);
}

struct entry {
    uint32_t type;
    uint64_t off;
    uint64_t len;
};

static void group(uint64_t epoch, const struct entry *e, uint32_t entries)
{
    uint64_t data = 0;
    size_t len;

    for (uint32_t i = 0; i < entries; i++)
        if (e[i].type == 1) data += e[i].len;
    wcur_bytes(&c, "XLCDGRP1", 8);
    wcur_zero(&c, 24);
    wcur_u64(&c, epoch);
    wcur_u64(&c, data);
    wcur_u32(&c, entries);
    wcur_zero(&c, 4);
    wcur_zero(&c, 16);
    for (uint64_t i = 0; i < data; i++) wcur_u8(&c, (uint8_t)i);
    for (uint32_t i = 0; i < entries; i++) {
        wcur_u64(&c, e[i].off);
        wcur_u64(&c, e[i].len);
        wcur_u32(&c, e[i].type);
        wcur_zero(&c, 4);
    }
    len = 72 + (size_t)data + entries * 24;
    if (len % 4096) wcur_zero(&c, 4096 - len % 4096);
}

static void bitmap(uint32_t state, uint64_t size)
{
    begin(FIXED | 3);
    wcur_bytes(&c, "XLCDBIT\n", 8);
    wcur_u32(&c, 1);
    wcur_u32(&c, state);
    wcur_bytes(&c, "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    wcur_u64(&c, 1);
    wcur_u64(&c, size);
    wcur_u64(&c, 99);
    wcur_u64(&c, 0);
    wcur_u32(&c, 16);
    wcur_zero(&c, 4);
    wcur_u64(&c, 0);
    wcur_zero(&c, 512); /* the sector of intents */
}

static void identities(void)
{
    identity(1, 1, 3, "/srv/web.img");
    save("good-identity");
    identity(2, 0, 3, "/dev/vg/web");
    save("good-identity-secondary");
    identity(1, 3, 3, "/srv/web.img");
    save("good-identity-merging");
    identity(2, 3, 3, "/srv/web.img");
    save("bad-identity-merging");
    identity(1, 1, 0, "/srv/web.img");
    save("bad-identity-generation");
    identity(1, 1, 3, "srv");
    save("bad-identity-path");
    identity(1, 5, 3, "/srv/web.img");
    save("good-identity-paired");
    identity(1, 11, 3, "/srv/web.img");
    save("good-identity-handed");
    identity(2, 5, 3, "/srv/web.img");
    save("bad-identity-paired");
    identity(1, 13, 3, "/srv/web.img");
    save("bad-identity-claims");
    identity(1, 17, 3, "/srv/web.img");
    save("bad-identity-flags");
    begin(0);
    save("bad-identity-empty");
}

/* What the other host says of its image. */
static void answer(const char *text, const char *name)
{
    begin(4);
    wcur_bytes(&c, text, strlen(text));
    save(name);
}

/* With a checksum that is right: nobody mends this one. */
static void whole_answer(void)
{
    static const char digits[] = "0123456789abcdef";
    static const char head[] = "xl-colo-disk 1 served ";
    uint8_t id[256];
    size_t len;

    identity(1, 5, 3, "/srv/web.img");
    len = (size_t)(c.p - buf) - 1;
    if (c.bad || len > sizeof(id)) exit(1);
    memcpy(id, buf + 1, len);
    c = (struct wcur){ id + len - 8, 8, false };
    wcur_u64(&c, XXH3_64bits(id, len - 8));
    begin(4);
    wcur_bytes(&c, head, strlen(head));
    for (size_t i = 0; i < len; i++) {
        wcur_u8(&c, (uint8_t)digits[id[i] >> 4]);
        wcur_u8(&c, (uint8_t)digits[id[i] & 15]);
    }
    save("good-answer");
}

static void answers(void)
{
    answer("xl-colo-disk 1 idle none\n", "good-answer-none");
    whole_answer();
    answer("xl-colo-disk 1 idle 584c4344\n", "bad-answer-cut");
    answer("xl-colo-disk 1 idle 58Zc4344\n", "bad-answer-hex");
    answer("xl-colo-disk 2 idle none\n", "bad-answer-version");
}

static void logs(void)
{
    static const struct entry some[] = {
        { 1, 4096, 512 }, { 2, 8192, 65536 }, { 1, 4608, 100 } };
    static const struct entry clear[] = { { 1, 0, 512 }, { 3, 0, 100 } };
    static const struct entry outside[] = { { 1, (1 << 20) - 1, 2 } };
    static const struct entry far[] = { { 2, UINT64_MAX, UINT64_MAX } };
    static const struct entry odd[] = { { 9, 0, 1 } };
    static const struct entry empty[] = { { 2, 5, 0 } };

    header(1);
    save("good-journal-empty");
    header(1);
    group(78, some, 3);
    group(79, some, 1);
    save("good-journal");
    header(1);
    group(78, clear, 2);
    save("bad-journal-clear");
    header(1);
    group(70, some, 1);
    save("bad-journal-epoch");
    header(1);
    group(78, outside, 1);
    save("bad-journal-outside");
    header(1);
    group(78, far, 1);
    save("bad-journal-overflow");
    header(1);
    group(78, odd, 1);
    save("bad-journal-type");
    header(1);
    group(78, empty, 1);
    save("bad-journal-length");
    header(2);
    group(77, some, 3);
    group(77, clear, 2);
    save("good-overlay");
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    folder = argv[1];
    answers();
    identities();
    logs();
    bitmap(1, 9 << 20);
    save("good-bitmap-open");
    bitmap(2, 9 << 20);
    save("good-bitmap-saved");
    bitmap(1, 8 << 20);
    save("bad-bitmap-size");
    bitmap(3, 9 << 20);
    save("bad-bitmap-state");
    return 0;
}
