/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* make-rewrite-state-corpus.c - Write the seeds of fuzz-rewrite-state */
#include <config.h>

#include <stdio.h>

#define XXH_NO_STREAM
#include <xxhash.h>

#include "../unit/rewrite-rig.h"

static const char *folder;
static uint8_t state[16384];
static size_t len;
static int failed;

static void save(const char *name)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (f && fwrite(state, 1, len, f) == len && !fclose(f)) return;
    perror(path);
    failed = 1;
}

static void take(struct rig *g)
{
    if (rewrite_export(g->r, state, sizeof(state), &len, g->now, NULL))
        abort();
}

/* Flows in every condition. */
static void fill(struct rig *g)
{
    for (g->port = 1; g->port <= 3; g->port++)
        rig_connect(g);
    rig_in(g, (struct seg){ .flags = TH_SYN, .seq = ISN_C });
    g->port++;
    rig_out(g, (struct seg){ .flags = TH_SYN, .seq = ISN_S, .ts = true,
                             .tsval = 9 });
    g->v6 = true;
    g->vlan = 7;
    rig_connect(g);
    rig_out(g, (struct seg){ .flags = TH_ACK | TH_FIN, .seq = ISN_S + 1,
                             .ack = ISN_C + 1, .ts = true, .tsval = 1000 });
    rig_told_ts(g, 2000);
    g->port++;
    rig_connect(g);
    rig_in(g, (struct seg){ .flags = TH_RST, .seq = ISN_C + 1 });
}

/* One octet is another; the checksum is right. */
static void bad(struct rig *g, const char *name, size_t at, uint8_t value)
{
    uint64_t h;

    take(g);
    state[at] = value;
    h = XXH64(state, len - 8, 0);
    for (unsigned int i = 1; i <= 8; i++, h >>= 8)
        state[len - i] = (uint8_t)h;
    save(name);
}

int main(int argc, char **argv)
{
    struct rig g;

    if (argc != 2) {
        fprintf(stderr, "usage: make-rewrite-state-corpus FOLDER\n");
        return 2;
    }
    folder = argv[1];
    rig_open(&g);
    take(&g);
    save("good-empty");
    fill(&g);
    take(&g);
    save("good-paired");
    len -= 9;
    save("bad-cut");
    len += 9;
    state[30] ^= 1;
    save("bad-checksum");
    bad(&g, "bad-magic", 0, 0);
    bad(&g, "bad-version", 5, 9);
    bad(&g, "bad-count", 11, 200);
    bad(&g, "bad-mode", 12, 7);
    bad(&g, "bad-family", 24 + 40, 9);
    bad(&g, "bad-flags", 24 + 45, 0xff);
    bad(&g, "bad-scale", 24 + 46, 15);
    bad(&g, "bad-offset", 24 + 48, 1);
    bad(&g, "bad-order", 24 + 33, 0xff);
    rewrite_failover(g.r, g.now);
    take(&g);
    save("good-failover");
    rig_close(&g);
    return failed;
}
