/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* serve-script.h - disk-serve as a script that writes down what it is told */
#ifndef SERVE_SCRIPT_H
#define SERVE_SCRIPT_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The script, and the file of what it was told: to be unlinked. */
static char script[64], told[64];

static inline void serve_by_script(const char *dir)
{
    FILE *f;

    snprintf(script, sizeof(script), "%s/serve", dir);
    snprintf(told, sizeof(told), "%s/told", dir);
    f = fopen(script, "w");
    if (!f || fprintf(f, "#!/bin/sh\necho \"$*\" >>%s\n", told) < 0 ||
        fclose(f) || chmod(script, 0700) ||
        setenv("XL_COLO_DISK_SERVE", script, 1))
        abort();
}

#endif
