/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy-meter.c - What one mode does for the clients, and what they do */
#include <config.h>

#include "policy-meter.h"

/* What says how long packets are held is halved so often; what says how much
 * moves more rarely: that goes in leaps, with each checkpoint. */
#define HALVE_US 2000000u
#define LEAPS    4u
/* A look at the kind of a load takes this long at least. */
#define LOOK_US 1000000u
/* Octets with a packet: fewer are as few, and more as many: how much one
 * carries then depends on windows and offloads, not on the load. */
#define FEW  16u
#define MANY 1024u
/* Another kind: so many times more or less, and seen twice. */
#define OTHER   4u
#define STRIKES 2u

static uint64_t since(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

static void halve(uint64_t *n, uint64_t times)
{
    *n = times < 64 ? *n >> times : 0;
}

/* Return: false if it is too much to be true */
static bool add(struct policy_left *to, const struct policy_left *l)
{
    return !__builtin_add_overflow(to->packets, l->packets, &to->packets) &&
           !__builtin_add_overflow(to->held_us, l->held_us, &to->held_us) &&
           !__builtin_add_overflow(to->out, l->out, &to->out) &&
           !__builtin_add_overflow(to->in, l->in, &to->in);
}

/* Of both ways. */
static uint64_t octets(const struct policy_left *l)
{
    uint64_t n;

    return __builtin_add_overflow(l->out, l->in, &n) ? UINT64_MAX : n;
}

/* ----- a mode ----- */

void policy_meter_clear(struct policy_meter *m, uint64_t now)
{
    m->sum = (struct policy_left){ 0 };
    m->moved = m->span_us = 0;
    m->halved_us = m->leapt_us = m->told_us = now;
}

/* What is old counts less; halved often enough, it is nothing. */
static void fade(struct policy_meter *m, uint64_t now)
{
    uint64_t n = since(now, m->halved_us) / HALVE_US;
    uint64_t k = since(now, m->leapt_us) / (LEAPS * HALVE_US);

    halve(&m->sum.packets, n);
    halve(&m->sum.held_us, n);
    m->halved_us += n * HALVE_US;
    halve(&m->sum.out, k);
    halve(&m->sum.in, k);
    halve(&m->moved, k);
    halve(&m->span_us, k);
    m->leapt_us += k * LEAPS * HALVE_US;
}

void policy_meter_add(struct policy_meter *m, const struct policy_left *l,
                      uint64_t now)
{
    fade(m, now);
    m->span_us += since(now, m->told_us);
    m->told_us = now;
    if (!add(&m->sum, l) ||
        __builtin_add_overflow(m->moved, l->packets, &m->moved))
        policy_meter_clear(m, now);
}

uint64_t policy_meter_mean(const struct policy_meter *m, uint32_t least,
                           uint64_t now)
{
    struct policy_meter t = *m;
    uint64_t mean;

    fade(&t, now);
    if (!t.sum.packets || t.sum.packets < least) return 0;
    mean = t.sum.held_us / t.sum.packets;
    return mean ? mean : 1;
}

uint64_t policy_meter_rate(const struct policy_meter *m, uint64_t least_us)
{
    uint64_t n = octets(&m->sum), rate;

    if (!m->span_us || m->span_us < least_us) return 0;
    if (!n && !m->moved) return 0;
    if (__builtin_mul_overflow(n, 1000000u, &rate)) return UINT64_MAX;
    rate /= m->span_us;
    return rate ? rate : 1;
}

bool policy_meter_bulk(const struct policy_meter *m)
{
    return octets(&m->sum) / MANY > m->moved;
}

/* ----- a load ----- */

static uint64_t bounded(uint64_t n)
{
    if (n < FEW) return FEW;
    return n < MANY ? n : MANY;
}

static bool other(uint64_t a, uint64_t b)
{
    return a >= b * OTHER || b >= a * OTHER;
}

/* What comes with a packet in this look. */
static void look(const struct policy_kind *k, uint64_t *out, uint64_t *in)
{
    uint64_t packets = k->sum.packets ? k->sum.packets : 1;

    *out = bounded(k->sum.out / packets);
    *in = bounded(k->sum.in / packets);
}

bool policy_kind_doubt(const struct policy_kind *k, uint64_t now)
{
    uint64_t out, in;

    if (!k->out || since(now, k->begun_us) >= 2 * LOOK_US) return false;
    look(k, &out, &in);
    return k->strikes || ((k->sum.packets || k->sum.out || k->sum.in) &&
                          (other(k->out, out) || other(k->in, in)));
}

bool policy_kind_add(struct policy_kind *k, const struct policy_left *l,
                     uint32_t least, uint64_t now)
{
    uint64_t out, in;
    bool sane = add(&k->sum, l), first = !k->out;

    if (sane && (since(now, k->begun_us) < LOOK_US ||
                 (k->sum.packets < least &&
                  octets(&k->sum) < (uint64_t)least * MANY)))
        return false;
    look(k, &out, &in);
    k->sum = (struct policy_left){ 0 };
    k->begun_us = now;
    if (!sane) return false;
    if (!first && !other(k->out, out) && !other(k->in, in)) {
        /* It may change a little, and over time a lot. */
        k->out = (3 * k->out + out) / 4;
        k->in = (3 * k->in + in) / 4;
        k->strikes = 0;
        return false;
    }
    if (!first && ++k->strikes < STRIKES) return false;
    k->strikes = 0;
    k->out = out;
    k->in = in;
    return !first;
}
