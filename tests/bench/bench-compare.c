/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-compare.c - How fast the compare engine is, beside QEMU's
 *
 * usage: bench-compare STAND-IN
 *
 * Prints tables for docs/measured.md. STAND-IN is the program with our
 * engine behind sockets.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "qemu.h"

/* A build that would measure something else. */
static const char *unfit(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return "this build has sanitizers; configure without --enable-sanitizers";
#elif !defined(__OPTIMIZE__)
    return "this build is not optimised; configure with CFLAGS=-O2";
#else
    return NULL;
#endif
}

/* The value of the first line of @file that starts with @key. */
static void print_value(const char *file, const char *key)
{
    FILE *f = fopen(file, "r");
    char line[256];
    const char *value = NULL;

    while (f && !value && fgets(line, sizeof(line), f)) {
        if (strncmp(line, key, strlen(key))) continue;
        value = strchr(line, ':');
        line[strcspn(line, "\n")] = 0;
    }
    if (f) fclose(f);
    printf("%s", value ? value + 2 : "unknown CPU");
}

static void print_machine(bool qemu)
{
    char date[32] = "", version[128] = "";
    time_t now = time(NULL);
    struct utsname u;
    struct tm tm;
    FILE *f;

    strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &tm));
    uname(&u);
    printf("Date: %s\nMachine: ", date);
    print_value("/proc/cpuinfo", "model name");
    printf(", %ld CPUs, Linux %s, compiler %s\n",
           sysconf(_SC_NPROCESSORS_ONLN), u.release, __VERSION__);
    f = qemu ? popen("qemu-system-x86_64 --version", "r") : NULL;
    if (f && !fgets(version, sizeof(version), f)) version[0] = 0;
    if (f) pclose(f);
    version[strcspn(version, "\n")] = 0;
    printf("Peer: %s\nCommand: make bench\n",
           qemu ? version : "none, qemu-system-x86_64 is not installed");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *why = unfit();
    bool qemu = qemu_present();

    if (argc != 2 || why) {
        fprintf(stderr, "bench-compare: %s\n",
                why ? why : "usage: bench-compare STAND-IN");
        return 2;
    }
    print_machine(qemu);
    if (bench_engine()) return 1;
    return bench_sockets(argv[1], qemu) != 0;
}
