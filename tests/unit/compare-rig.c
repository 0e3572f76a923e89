/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compare-rig.c - An engine with a clock, and a list of all it released */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare-rig.h"

#define MUST(cond)                                                  \
    do {                                                            \
        if (!(cond)) {                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                \
        }                                                           \
    } while (0)

void rig_start(struct rig *r, const struct compare_opts *o)
{
    struct compare_opts usual = COMPARE_OPTS_INIT;

    memset(r, 0, sizeof(*r));
    if (o) usual = *o;
    else usual.flows = 1024;
    usual.hash_key[0] = 1;
    usual.mode = COMPARE_COLO;
    r->now = 1000 * MS;
    MUST(!compare_new(&r->c, &usual, NULL));
    compare_svm_connected(r->c, r->now);
}

void rig_clear(struct rig *r)
{
    while (r->n)
        free(r->got[--r->n].b);
}

void rig_stop(struct rig *r)
{
    rig_clear(r);
    free(r->got);
    r->got = NULL;
    r->room = 0;
    compare_free(r->c);
}

size_t rig_drain(struct rig *r)
{
    struct compare_packet *p;

    while ((p = compare_next(r->c))) {
        struct got *g;

        if (r->n == r->room) {
            r->room = r->room ? 2 * r->room : 64;
            r->got = realloc(r->got, r->room * sizeof(*r->got));
            MUST(r->got);
        }
        g = &r->got[r->n++];
        *g = (struct got){ .b = malloc(p->len), .len = p->len,
                           .vnet = p->vnet, .made = p->made };
        MUST(g->b);
        memcpy(g->b, p->frame, p->len);
        packet_parse(&g->pk, g->b, g->len, &g->vnet);
        compare_put(r->c, p);
    }
    return r->n;
}

/* A block of the exact size, so that reading beyond it is seen. */
static uint8_t *exact(const struct frame *f)
{
    uint8_t *b = malloc(f->len);

    MUST(b);
    memcpy(b, f->b, f->len);
    return b;
}

size_t rig_p(struct rig *r, const struct frame *f)
{
    uint8_t *b = exact(f);
    int e = compare_primary(r->c, b, f->len, &f->vnet, r->now);

    free(b);
    MUST(!e);
    return rig_drain(r);
}

size_t rig_s(struct rig *r, const struct frame *f)
{
    struct compare_meta m = { .epoch = r->epoch, .seq_off = r->seq_off,
                              .answered = r->answered };
    uint8_t *b = exact(f);
    int e = compare_secondary(r->c, &m, b, f->len, &f->vnet, r->now);

    free(b);
    MUST(!e);
    return rig_drain(r);
}

void rig_cut(struct rig *r)
{
    r->epoch++;
    MUST(!compare_cut(r->c, r->epoch, r->now));
    rig_drain(r);
}

size_t rig_commit(struct rig *r)
{
    MUST(!compare_commit(r->c, r->epoch, r->now));
    compare_svm_connected(r->c, r->now);
    return rig_drain(r);
}

size_t rig_wait(struct rig *r, uint64_t ns)
{
    r->now += ns;
    compare_tick(r->c, r->now);
    return rig_drain(r);
}

enum compare_reason rig_wants(const struct rig *r)
{
    struct compare_want w;

    compare_wanted(r->c, &w);
    return w.reason;
}

struct compare_stats rig_stats(const struct rig *r)
{
    struct compare_stats st;

    compare_get_stats(r->c, &st);
    return st;
}

bool rig_is(const struct rig *r, size_t i, const struct frame *f)
{
    return i < r->n && r->got[i].len == f->len &&
           !memcmp(r->got[i].b, f->b, f->len) &&
           !memcmp(&r->got[i].vnet, &f->vnet, sizeof(f->vnet));
}
