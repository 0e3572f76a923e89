/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-rewrite-join.c - Connections through a second failover (RULES B4)
 *
 * Host A fails, B's guest goes on behind a table, and is protected by A anew;
 * then B fails. A's own table is fed with what B's guest is given and says,
 * its clients see what B's table makes of it.
 */
#include <config.h>

#include "rewrite-join.h"
#include "rewrite-keep.h"
#include "rewrite-rig.h"
#include "tap.h"

#define ACK TH_ACK
#define LAG 70000u /* the first guest's clock minus that of its copy */

static uint8_t state[65536];
static struct rig b, a;
static struct rewrite *came;

/* B's table reaches A as octets. */
static void travel(void)
{
    struct rewrite_opts opts = REWRITE_OPTS_INIT;
    size_t len;

    opts.flows = 64;
    rewrite_free(came);
    came = NULL;
    if (rewrite_export(b.r, state, sizeof(state), &len, b.now, NULL) ||
        rewrite_new(&came, &opts, NULL) ||
        rewrite_import(came, state, len, b.now, NULL))
        abort();
}

/* A connection of before the first failover, whose client uses timestamps. */
static void connect_ts(struct rig *g)
{
    rig_in(g, (struct seg){ .flags = TH_SYN, .seq = ISN_C, .wscale = 8,
                            .ts = true, .tsval = 50 });
    rig_told(g, ISN_P);
    rig_out(g, (struct seg){ .flags = TH_SYN | ACK, .seq = ISN_S,
                             .ack = ISN_C + 1, .wscale = 8, .ts = true,
                             .tsval = 1000, .tsecr = 50 });
    rig_in(g, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                            .ack = ISN_P + 1, .ts = true, .tsval = 51,
                            .tsecr = 1000 + LAG });
}

/* After the first failover: connections on ports 1 to 3, the third with
 * timestamps; A's copy is the same as B's guest. */
static void begin(uint32_t flows)
{
    rig_open(&b);
    for (b.port = 1; b.port <= 2; b.port++)
        rig_connect(&b);
    connect_ts(&b);
    rewrite_failover(b.r, b.now);
    travel();
    rig_open_n(&a, flows);
    rewrite_cut(a.r, a.now);
    a.port = 1;
}

static uint32_t second(void)
{
    uint32_t lost = rewrite_join(a.r, came, a.now);

    rig_failover(&a);
    return lost;
}

static void end(void)
{
    rig_close(&a);
    rig_close(&b);
    rewrite_free(came);
    came = NULL;
}

/* Does the connection of this port go on with B's offset? */
static bool goes_on(uint32_t at)
{
    return rig_out(&a, (struct seg){ .flags = ACK, .seq = ISN_S + at,
                                     .ack = ISN_C + 1, .len = 9 })->seq ==
               ISN_P + at &&
           rig_in(&a, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                                    .ack = ISN_P + at + 9 })->ack ==
               ISN_S + at + 9;
}

static void test_plain(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin(64);
    ok(!second() && rewrite_live(a.r) == 3, "all connections came along");
    ok(goes_on(1) && !rig_die(&a, &e) && goes_on(10),
       "rule_B4: one goes on after a second failover, and a death %s",
       e.msg);
    a.port = 9;
    rig_in(&a, (struct seg){ .flags = ACK, .seq = 3, .ack = 4 });
    ok(a.verdict == REWRITE_PASS, "others are left alone");
    ok(a.sums, "checksums");
    end();
}

/* It was heard on the way, which tells nothing new of its numbers. */
static void test_heard(void)
{
    begin(64);
    rig_in(&a, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                             .ack = ISN_S + 10 });
    rig_out(&a, (struct seg){ .flags = ACK, .seq = ISN_S + 10,
                              .ack = ISN_C + 1 });
    ok(a.verdict == REWRITE_PASS, "B's guest and its copy say the same");
    ok(!second() && goes_on(10), "rule_B4: and then A's offset is B's");
    end();
}

static void test_clock(void)
{
    const struct seg *s;

    begin(64);
    a.port = 3;
    /* B's guest is ahead: its copy is slower by 500. */
    rig_told_ts(&a, 6000);
    s = rig_out(&a, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                  .ack = ISN_C + 1, .ts = true,
                                  .tsval = 5500, .tsecr = 60 });
    ok(s->tsval == 6000, "before: the copy's clock is as B's guest's");
    ok(!second(), "the second failover");
    s = rig_out(&a, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                  .ack = ISN_C + 1, .ts = true,
                                  .tsval = 5600, .tsecr = 60 });
    ok(s->seq == ISN_P + 1 && s->tsval == 6100 + LAG,
       "rule_B4: both clocks' distances add up (%u)", s->tsval);
    s = rig_in(&a, (struct seg){ .flags = ACK, .seq = ISN_C + 1,
                                 .ack = ISN_P + 2, .ts = true, .tsval = 70,
                                 .tsecr = 6100 + LAG });
    ok(s->tsecr == 5600 && s->ack == ISN_S + 2,
       "and are taken off again (%u)", s->tsecr);
    ok(a.sums, "checksums");
    end();

    begin(64);
    a.port = 3;
    rig_told_ts(&a, 6000);
    second();
    s = rig_out(&a, (struct seg){ .flags = ACK, .seq = ISN_S + 1,
                                  .ack = ISN_C + 1, .ts = true,
                                  .tsval = 5500, .tsecr = 60 });
    ok(s->tsval == 6000 + LAG,
       "rule_B4: nothing is older than what the client has seen (%u)",
       s->tsval);
    end();
}

/* Its ports were used anew: A knows, B's table is older. */
static void test_anew(void)
{
    const uint32_t p = 0x500, s = 0x90000;

    begin(64);
    rig_in(&a, (struct seg){ .flags = TH_SYN, .seq = 77 });
    rig_told(&a, p);
    rig_out(&a, (struct seg){ .flags = TH_SYN | ACK, .seq = s, .ack = 78 });
    rig_in(&a, (struct seg){ .flags = ACK, .seq = 78, .ack = p + 1 });
    ok(!second() &&
       rig_out(&a, (struct seg){ .flags = ACK, .seq = s + 1, .ack = 78,
                                 .len = 3 })->seq == p + 1,
       "rule_B4: a new connection on old ports has its own offset");
    end();

    begin(64);
    rig_in(&a, (struct seg){ .flags = TH_SYN, .seq = 77 });
    ok(!second() && goes_on(1),
       "rule_B4: an unanswered SYN does not end the older connection");
    rig_in(&a, (struct seg){ .flags = TH_SYN, .seq = 77 });
    rig_out(&a, (struct seg){ .flags = TH_SYN | ACK, .seq = s, .ack = 78 });
    rig_out(&a, (struct seg){ .flags = ACK, .seq = s + 1, .ack = 78 });
    ok(a.verdict == REWRITE_PASS && a.same, "but an answer does");
    end();

    /* The primary has answered, could not tell, and is dead. */
    begin(64);
    rig_in(&a, (struct seg){ .flags = TH_SYN, .seq = 77 });
    second();
    rig_out(&a, (struct seg){ .flags = TH_SYN | ACK, .seq = s, .ack = 78 });
    rig_in(&a, (struct seg){ .flags = ACK, .seq = 78, .ack = p + 1 });
    ok(a.out.ack == s + 1 &&
       rig_out(&a, (struct seg){ .flags = ACK, .seq = s + 1,
                                 .ack = 78 })->seq == p + 1,
       "rule_B4: and the client tells what the primary could not");
    end();
}

/* What A saw of its end counts. */
static void test_end(void)
{
    begin(64);
    rig_out(&a, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 1,
                              .ack = ISN_C + 1, .ts = true, .tsval = 1 });
    rig_in(&a, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_C + 1,
                             .ack = ISN_S + 2, .ts = true, .tsval = 1 });
    rig_out(&a, (struct seg){ .flags = ACK, .seq = ISN_S + 2,
                              .ack = ISN_C + 2, .ts = true, .tsval = 1 });
    second();
    a.now += 119 * SEC;
    rewrite_tick(a.r, a.now);
    ok(rewrite_live(a.r) == 3, "closed while A listened: not at once");
    a.now += 2 * SEC;
    rewrite_tick(a.r, a.now);
    ok(rewrite_live(a.r) == 2, "gone after two minutes: %u are left",
       rewrite_live(a.r));
    end();

    /* A's half of it; the rest comes after the failover, in the clients'
     * numbers. */
    begin(64);
    rig_out(&a, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_S + 1,
                              .ack = ISN_C + 1, .ts = true, .tsval = 1 });
    second();
    rig_in(&a, (struct seg){ .flags = ACK | TH_FIN, .seq = ISN_C + 1,
                             .ack = ISN_P + 2 });
    rig_out(&a, (struct seg){ .flags = ACK, .seq = ISN_S + 2,
                              .ack = ISN_C + 2 });
    a.now += 121 * SEC;
    rewrite_tick(a.r, a.now);
    ok(rewrite_live(a.r) == 2, "a FIN's position is the clients'");
    end();
}

static void test_room(void)
{
    begin(2);
    ok(second() == 1 && rewrite_live(a.r) == 2,
       "what finds no room is counted");
    end();
}

/* A fails, B fails, A fails: the table is one each time. */
static void test_third(void)
{
    begin(64);
    a.port = 20;
    rig_connect(&a);
    second();
    ok(rewrite_live(a.r) == 4, "older ones and one of its own");
    rig_close(&b);
    b = a;
    memset(&a, 0, sizeof(a));
    travel();
    rig_open(&a);
    rewrite_cut(a.r, a.now);
    ok(!second() && rewrite_live(a.r) == 4, "a third failover");
    a.port = 20;
    ok(goes_on(1), "rule_B4: with one offset,");
    a.port = 2;
    ok(goes_on(1), "and with that of the first");
    end();
}

/* A copy's clock lags by @lag; through two tables, or through one of both. */
static bool as_chained(uint32_t seq, uint32_t lag)
{
    struct seg s = { .flags = ACK, .seq = ISN_S + seq, .ack = ISN_C + seq,
                     .ts = true, .tsval = 9000 + seq, .tsecr = seq };
    struct seg two, one;
    struct rewrite *r;

    begin(64);
    a.port = b.port = 3;
    rig_told_ts(&a, 9000 + lag);
    two = *rig_out(&a, s);
    r = a.r;
    a.r = came;
    two = *rig_out(&a, (struct seg){ .flags = ACK, .seq = two.seq,
                                     .ack = two.ack, .ts = true,
                                     .tsval = two.tsval,
                                     .tsecr = two.tsecr });
    a.r = r;
    rig_close(&a);
    rig_open(&a);
    a.port = 3;
    rewrite_cut(a.r, a.now);
    rig_told_ts(&a, 9000 + lag);
    travel();
    second();
    one = *rig_out(&a, s);
    end();
    return one.seq == two.seq && one.ack == two.ack &&
           one.tsval == two.tsval && one.tsecr == two.tsecr;
}

static void test_chain(void)
{
    bool all = true;

    for (uint32_t i = 0; i < 200 && all; i++)
        all = as_chained(1 + 77 * i, i * i);
    ok(all, "rule_B4: one table is as the two, one behind the other");
}

int main(void)
{
    test_plain();
    test_heard();
    test_clock();
    test_anew();
    test_end();
    test_room();
    test_third();
    test_chain();
    return done_testing();
}
