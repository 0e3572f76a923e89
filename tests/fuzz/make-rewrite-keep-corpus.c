/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* make-rewrite-keep-corpus.c - Write the seeds of fuzz-rewrite-keep */
#include <config.h>

#include <stdio.h>

#include "../unit/rewrite-rig.h"
#include "seed-file.h"

/* Flows in every condition that a failover leaves. */
static void fill(struct rig *g)
{
    rig_open_n(g, 64);
    rig_conditions(g);
    rig_failover(g);
}

/* One octet of the table is another. */
static void change(const char *name, size_t at, uint8_t value)
{
    struct rig g;

    fill(&g);
    if (at >= g.kept_len) abort();
    g.kept[at] = value;
    save("bad", name, g.kept, g.kept_len);
    rig_close(&g);
}

int main(int argc, char **argv)
{
    struct rig g;

    if (argc != 2) {
        fprintf(stderr, "usage: make-rewrite-keep-corpus FOLDER\n");
        return 2;
    }
    folder = argv[1];
    rig_open(&g);
    rig_failover(&g);
    save("good", "empty", g.kept, g.kept_len);
    rig_close(&g);
    fill(&g);
    save("good", "flows", g.kept, g.kept_len);
    save("bad", "cut", g.kept, g.kept_len - 9);
    g.port = 1;
    g.v6 = false;
    g.vlan = 0;
    rig_out(&g, (struct seg){ .flags = TH_ACK, .seq = ISN_S + 1,
                              .ack = ISN_C + 1, .len = 9 });
    save("good", "written-twice", g.kept, g.kept_len);
    rig_close(&g);
    change("magic", 0, 0);
    change("version", 5, 9);
    change("slot", 7, 1);
    change("count", 11, 200);
    change("number", 64 + 7, 0);
    change("time", 64 + 8, 0xff);
    change("family", 64 + 16 + 40, 9);
    change("flags", 64 + 16 + 45, 0xff);
    change("scale", 64 + 16 + 46, 15);
    change("offset", 64 + 16 + 48, 1);
    return failed;
}
