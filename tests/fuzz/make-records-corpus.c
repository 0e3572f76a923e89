/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* make-records-corpus.c - Write the seeds of fuzz-records into a folder */
#include <config.h>

#include <errno.h>
#include <stdio.h>

#include "stream.h"

static const char *folder;
static int failed;

/* @piece and @cut: the first two octets, see fuzz-records.c */
static void save(const char *name, uint8_t piece, uint8_t cut,
                 const struct stream *s)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (f && fputc(piece, f) != EOF && fputc(cut, f) != EOF &&
        fwrite(s->b, 1, s->len, f) == s->len && !fclose(f)) return;
    perror(path);
    failed = 1;
}

static void save_record(const char *name, uint32_t type, uint32_t length)
{
    struct stream s;

    stream_start(&s);
    stream_hdr(&s, type, length);
    save(name, 3, 0, &s);
}

static void save_header(const char *name, size_t at, uint8_t value)
{
    struct stream s;

    stream_start(&s);
    stream_epoch(&s);
    s.b[at] = value;
    save(name, 16, 0, &s);
}

int main(int argc, char **argv)
{
    struct stream s;

    if (argc != 2) {
        fprintf(stderr, "usage: make-records-corpus FOLDER\n");
        return 2;
    }
    folder = argv[1];
    stream_start(&s);
    save("good-headers", 1, 0, &s);
    stream_epoch(&s);
    save("good-epoch", 1, 255, &s);
    save("good-epoch-by-7", 7, 0, &s);
    stream_epoch(&s);
    save("good-two-epochs", 8, (uint8_t)((s.len - 40) / 16 + 5), &s);
    save("bad-after-checkpoint", 8, 0, &s);
    s.len -= 5;
    save("good-cut", 5, 0, &s);
    save_header("bad-marker", 3, 0);
    save_header("bad-id", 8, 0);
    save_header("bad-version", 15, 2);
    save_header("bad-options", 17, 1);
    save_header("bad-domain", 24, 9);
    save_record("bad-end", 0, 0);
    save_record("bad-type", 0x13, 0);
    save_record("bad-length", 2, (128u << 20) + 1);
    save_record("bad-checkpoint", 0x0e, 8);
    save_record("bad-pages", 1, 8);
    save_record("bad-tsc", 8, 16);
    save_record("good-longest", 0x80000001u, 128u << 20);
    return failed;
}
