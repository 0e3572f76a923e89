/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* seed-file.h - For the makers of corpora: one file a seed */
#ifndef SEED_FILE_H
#define SEED_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static const char *folder;
static int failed;

/* Write @folder/@kind-@name; what goes wrong is said and kept in @failed. */
static void save(const char *kind, const char *name, const uint8_t *p,
                 size_t len)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s-%s", folder, kind, name);
    f = fopen(path, "wb");
    if (!f || fwrite(p, 1, len, f) != len || fclose(f)) {
        perror(path);
        failed = 1;
    }
}

#endif
