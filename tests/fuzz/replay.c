/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay.c - Run each file given through the fuzz target
 *
 * So that a corpus is also a regression test for builds without libFuzzer.
 * The block that the target sees is exactly the file's size.
 */
#include <config.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    CLEANUP_FREE uint8_t *buf = NULL;
    FILE *f = fopen(path, "rb");
    long size = -1;
    int r = -1;

    if (!f) return -1;
    if (!fseek(f, 0, SEEK_END)) size = ftell(f);
    if (size >= 0 && !fseek(f, 0, SEEK_SET))
        buf = malloc(size ? (size_t)size : 1);
    if (buf && fread(buf, 1, (size_t)size, f) == (size_t)size) {
        LLVMFuzzerTestOneInput(buf, (size_t)size);
        r = 0;
    }
    fclose(f);
    return r;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!replay(argv[i])) continue;
        perror(argv[i]);
        return 1;
    }
    return 0;
}
