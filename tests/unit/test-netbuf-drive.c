/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-netbuf-drive.c - Drive a network buffer by hand or from a scenario
 *
 * No test by itself. `test-netbuf-drive DOMID VIF...` sets a buffer up,
 * `test-netbuf-drive DOMID` attaches to one. Then each line of standard input
 * is a command, answered by one line: "ok WHAT" or "failed WHAT: reason",
 * with the time it took. The end of input leaves the buffer as it is, as a
 * crash would.
 *
 *   buffer release open mute unmute cut stat teardown discard
 *   pause MS      do nothing for a while
 *   settle US     wait until nothing has moved for so long
 *   epochs N MS   N times: settle, buffer, MS milliseconds, release
 */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "netbuf-name.h"
#include "netbuf.h"

static struct netbuf *nb;

static void pause_ms(unsigned long ms)
{
    struct timespec t = {
        .tv_sec = (time_t)(ms / 1000),
        .tv_nsec = (long)(ms % 1000) * 1000000,
    };

    nanosleep(&t, NULL);
}

static int show(struct xlc_error *err)
{
    struct netbuf_stat s[NETBUF_VIF_MAX];
    int i, n = netbuf_stat(nb, s, NETBUF_VIF_MAX, err);

    for (i = 0; i < n; i++)
        printf("vif=%s buffer=%s held_packets=%llu held_bytes=%llu "
               "drops_packets=%llu cut=%d\n", s[i].vif, s[i].ifb,
               (unsigned long long)s[i].held_packets,
               (unsigned long long)s[i].held_bytes,
               (unsigned long long)s[i].drops, s[i].cut);
    return n < 0 ? n : 0;
}

static int epochs(unsigned long n, unsigned long ms, struct xlc_error *err)
{
    uint64_t sum = 0, most = 0, t;
    unsigned long i;
    int r = 0;

    for (i = 0; i < n && !r; i++) {
        /* Nobody suspends the guest here: what still moves, moves. */
        (void)netbuf_settle(nb, 200, 2000, NULL);
        t = clock_us();
        r = netbuf_buffer(nb, err);
        t = clock_us() - t;
        sum += t;
        if (t > most) most = t;
        pause_ms(ms);
        if (!r) r = netbuf_release(nb, err);
    }
    printf("buffer_mean_us=%llu buffer_max_us=%llu\n",
           (unsigned long long)(n ? sum / n : 0), (unsigned long long)most);
    return r;
}

static int command(const char *word, unsigned long a, unsigned long b,
                   struct xlc_error *err)
{
    if (!strcmp(word, "buffer")) return netbuf_buffer(nb, err);
    if (!strcmp(word, "settle"))
        return netbuf_settle(nb, (unsigned int)a, 1000000, err);
    if (!strcmp(word, "release")) return netbuf_release(nb, err);
    if (!strcmp(word, "open")) return netbuf_open(nb, err);
    if (!strcmp(word, "mute")) return netbuf_mute(nb, true, err);
    if (!strcmp(word, "unmute")) return netbuf_mute(nb, false, err);
    if (!strcmp(word, "cut")) return netbuf_cut(nb, err);
    if (!strcmp(word, "stat")) return show(err);
    if (!strcmp(word, "teardown")) return netbuf_teardown(nb, false, err);
    if (!strcmp(word, "discard")) return netbuf_teardown(nb, true, err);
    if (!strcmp(word, "epochs")) return epochs(a, b, err);
    if (!strcmp(word, "pause")) {
        pause_ms(a);
        return 0;
    }
    return xlc_error_set(err, -EINVAL, "no such command");
}

static int run_commands(void)
{
    char line[128];
    int status = 0;

    while (fgets(line, sizeof(line), stdin)) {
        struct xlc_error err = XLC_ERROR_INIT;
        size_t end = strcspn(line, " \n");
        char *word = line, *rest = line + end + (line[end] == ' ');
        unsigned long a, b;
        uint64_t t;
        int r;

        if (!end) continue;
        a = strtoul(rest, &rest, 10);
        b = strtoul(rest, NULL, 10);
        line[end] = 0;
        t = clock_us();
        r = command(word, a, b, &err);
        t = clock_us() - t;
        if (r) printf("failed %s: %s\n", word, err.msg);
        else printf("ok %s %llu us\n", word, (unsigned long long)t);
        fflush(stdout);
        status |= r != 0;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct netbuf_vif vifs[NETBUF_VIF_MAX] = { { 0 } };
    struct xlc_error err = XLC_ERROR_INIT;
    unsigned int n = (unsigned int)argc - 2, i;
    uint32_t domid;
    int r;

    log_init("drive", NULL, LOG_LEVEL_DEBUG);
    if (argc < 2 || n > NETBUF_VIF_MAX ||
        netbuf_domid_parse(argv[1], NULL, &domid)) {
        fprintf(stderr, "usage: test-netbuf-drive DOMID [VIF...]\n");
        return 2;
    }
    for (i = 0; i < n; i++) {
        const char *name = argv[i + 2];

        vifs[i].devid = i;
        snprintf(vifs[i].ifname, IFNAMSIZ, "%.*s", IFNAMSIZ - 1, name);
    }
    if (n)
        r = netbuf_setup(&nb, domid, vifs, n, NETBUF_LIMIT_DEFAULT, &err);
    else
        r = netbuf_attach(&nb, domid, &err);
    if (r) {
        printf("failed start: %s\n", err.msg);
        return 1;
    }
    printf("ok start %u\n", netbuf_count(nb));
    fflush(stdout);
    r = run_commands();
    netbuf_free(nb);
    return r;
}
