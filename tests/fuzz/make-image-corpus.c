/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* make-image-corpus.c - Write the seeds of fuzz-image into a folder */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "image-stream.h"

static const char *folder;
static int failed;

/* Do the next octets make a page of one value? */
static bool is_flat(const uint8_t *p, size_t left)
{
    if (left < IS_PAGE) return false;
    return !memcmp(p, p + 1, IS_PAGE - 1);
}

/* Packed as fuzz-image.c unpacks it. */
static void save(const char *name, struct is *s)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (!f) {
        perror(path);
        failed = 1;
        return;
    }
    for (size_t i = 0; i < s->len;) {
        if (is_flat(s->b + i, s->len - i)) {
            fputc(0xee, f);
            fputc(s->b[i], f);
            i += IS_PAGE;
        } else {
            if (s->b[i] == 0xee) fputc(0xee, f);
            fputc(s->b[i++], f);
        }
    }
    if (ferror(f) | fclose(f)) {
        perror(path);
        failed = 1;
    }
    is_free(s);
}

/* A base of three page frames, one of them absent: small seeds. */
static void small_base(struct is *s)
{
    static const uint64_t pfns[] = { 1, 2 | IS_ABSENT, IS_STORE };

    is_start(s);
    is_epoch(s, pfns, 3, IS_FLAT + 1);
}

/* The base, and a record with one octet changed, @at octets after the base. */
static void save_changed(const char *name, void (*rec)(struct is *),
                         size_t at, uint8_t value)
{
    struct is s = { .b = NULL };
    size_t base;

    small_base(&s);
    base = s.len;
    rec(&s);
    s.b[base + at] = value;
    save(name, &s);
}

static void one_page(struct is *s)
{
    static const uint64_t pfn = 2;

    is_pages(s, &pfn, 1, IS_FLAT + 2);
}

static void machine(struct is *s)
{
    is_machine(s, 2);
}

int main(int argc, char **argv)
{
    static const uint64_t some[] = { 2, 1 | IS_ABSENT };
    struct is s = { .b = NULL };

    if (argc != 2) {
        fprintf(stderr, "usage: make-image-corpus FOLDER\n");
        return 2;
    }
    folder = argv[1];
    is_start(&s);
    save("good-headers", &s);
    small_base(&s);
    save("good-base", &s);
    small_base(&s);
    is_epoch(&s, some, 2, IS_FLAT + 2);
    is_epoch(&s, some, 1, IS_FLAT + 3);
    save("good-epochs", &s);
    small_base(&s);
    is_rec(&s, 0x80000001u, 9);
    is_le(&s, 0, 9);
    is_pad(&s);
    is_epoch(&s, NULL, 0, 2);
    save("good-optional", &s);
    is_start(&s);
    is_rec(&s, 0x10, 0);
    is_rec(&s, 0x11, 3);
    is_le(&s, 0, 3);
    is_pad(&s);
    is_machine(&s, 1);
    is_checkpoint(&s);
    save("good-empty", &s);
    save_changed("bad-pfn", one_page, 16, 64);
    save_changed("bad-type", one_page, 23, 0x20);
    save_changed("bad-count", one_page, 8, 2);
    save_changed("bad-record", one_page, 0, 2);
    save_changed("bad-length", one_page, 7, 0x80);
    save_changed("bad-tsc", machine, 28, 1);
    save_changed("bad-context-magic", machine, 32 + 16, 1);
    save_changed("bad-context-vcpu", machine, 32 + 8 + 26, 2);
    save_changed("bad-context-length", machine, 32 + 8 + 28, 200);
    save_changed("bad-param", machine, 32 + 8 + 128 + 8 + 8, 64);
    return failed;
}
