/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-qemu-defects-tcp.c - What QEMU's colo-compare gets wrong about TCP
 *
 * Each test is one defect that was measured in QEMU 7.2 and 10.0.
 */
#include <config.h>

#include <stdio.h>

#include "defect.h"

/* SYN/ACKs of both sides. */
static bool syns_with_ack(uint32_t ack)
{
    struct frame_spec s = tcp(0, 0, TH_SYN);

    s.seq--;
    s.ack = ack;
    return pvm(&s) == 0 && svm(&s) == 1;
}

static bool syns(void)
{
    return syns_with_ack(5000);
}

/* ---- tcp: flags and headers ----------------------------------------------*/

static bool flag_counts(uint8_t p_flags, uint8_t s_flags, size_t len)
{
    struct frame_spec p = tcp(0, len, p_flags), s = tcp(0, len, s_flags);

    WANT(syns());
    if (p_flags & TH_URG) p.urgent = 1;
    if (s_flags & TH_URG) s.urgent = 1;
    pvm(&p);
    svm(&s);
    rig_wait(&rig, RIG_LATE_MS + 1);
    WANT(take() == 1 && !unwanted());
    return true;
}

static bool tcp_fin(void)
{
    return flag_counts(TH_FIN, 0, 10);
}

static bool tcp_empty_fin(void)
{
    return flag_counts(TH_FIN, 0, 0);
}

static bool tcp_rst(void)
{
    return flag_counts(TH_RST, 0, 0);
}

static bool tcp_urg(void)
{
    return flag_counts(TH_URG, 0, 10);
}

static bool tcp_urg_for_rst(void)
{
    return flag_counts(TH_URG, TH_RST, 10);
}

static bool tcp_rst_for_syn(void)
{
    struct frame_spec p = tcp(0, 0, TH_RST), s = tcp(0, 0, TH_SYN);

    p.seq = 0;
    pvm(&p);
    svm(&s);
    rig_wait(&rig, RIG_LATE_MS + 1);
    WANT(take() == 0 && !unwanted());
    return true;
}

static bool tcp_syn_options(void)
{
    static const uint8_t a[4] = { 2, 4, 5, 0xb4 }, b[4] = { 2, 4, 2, 0x18 };
    struct frame_spec s = tcp(0, 0, TH_SYN);

    s.opts = a;
    s.opts_len = 4;
    pvm(&s);
    s.opts = b;
    svm(&s);
    WANT(take() == 0 && wanted(COMPARE_OPTIONS));
    return true;
}

static bool tcp_window(void)
{
    struct frame_spec p = tcp(0, 10, 0), s = tcp(0, 10, 0);

    WANT(syns());
    p.ack = s.ack = 9000;
    s.window = 100;
    pvm(&p);
    WANT(svm(&s) == 2 && unwanted());
    WANT(out.tcp.ack + out.tcp.window == 9100 && out.sums);
    return true;
}

static bool tcp_sack(void)
{
    static const uint8_t sack[12] = {
        1, 1, 5, 10, 0, 0, 0x20, 0, 0, 0, 0x24, 0,
    };
    struct frame_spec s = tcp(0, 0, 0);

    WANT(syns());
    svm(&s);
    s.opts = sack;
    s.opts_len = 12;
    WANT(pvm(&s) == 2 && !out.sacks && out.sums);
    svm(&s);
    WANT(pvm(&s) == 3 && out.sacks && out.sums);
    return true;
}

/* ---- tcp: acknowledgements -----------------------------------------------*/

/* Any packet of the secondary's was consent to an empty one. */
static bool tcp_empty_is_compared(void)
{
    struct frame_spec p = tcp(0, 0, 0), s = tcp(0, 0, 0);

    WANT(syns());
    p.ack += 500;
    pvm(&p);
    svm(&s);
    WANT(take() == 1 && out.made == 0);
    s.ack += 500;
    svm(&s);
    WANT(out.n + out.made == 2 && out.tcp.ack == s.ack && out.sums);
    return true;
}

static bool tcp_lone_ack(void)
{
    struct frame_spec p = tcp(0, 10, 0), s = tcp(0, 10, 0);

    WANT(syns());
    s.ack += 500;
    pvm(&p);
    WANT(svm(&s) == 2);
    p = tcp(10, 0, 0);
    p.ack += 500;
    WANT(pvm(&p) == 3 && out.tcp.ack == p.ack);
    WANT(pvm(&p) == 4);
    rig_wait(&rig, 10 * RIG_LATE_MS);
    WANT(unwanted());
    return true;
}

static bool ack_ahead(uint32_t ack, size_t p_len, size_t s_len)
{
    struct frame_spec p = tcp(0, p_len, 0), s = tcp(0, s_len, 0);

    WANT(syns_with_ack(ack));
    p.ack = ack + 400;
    s.ack = ack;
    pvm(&p);
    WANT(svm(&s) == 2 && unwanted());
    WANT(out.tcp.ack == ack && out.tcp.len == p_len && out.sums);
    s = tcp((uint32_t)s_len, 0, 0);
    s.ack = ack + 400;
    svm(&s);
    WANT(out.tcp.ack == ack + 400 && out.sums && unwanted());
    return true;
}

static bool tcp_ack_beyond_equal_segment(void)
{
    return ack_ahead(5000, 100, 100);
}

static bool tcp_ack_beyond_longer_segment(void)
{
    return ack_ahead(5000, 100, 300);
}

static bool tcp_ack_wraps(void)
{
    return ack_ahead(0xffffff00u, 100, 300);
}

static bool tcp_ack_is_a_maximum(void)
{
    struct frame_spec p = tcp(10, 10, 0), s = tcp(0, 10, 0);

    WANT(syns());
    s.ack = 9000;
    svm(&s);
    s = tcp(0, 10, 0);
    WANT(pvm(&s) == 2);
    svm(&s);
    p.ack = 9000;
    pvm(&p);
    s = tcp(10, 10, 0);
    s.ack = 8500;
    WANT(svm(&s) == 3 && out.tcp.ack == 9000);
    return true;
}

/* ---- tcp: position -------------------------------------------------------*/

static bool shifted(uint32_t p_at, uint32_t s_at)
{
    struct frame_spec p = tcp(0, 100, 0), s = tcp(0, 100, 0);

    WANT(syns());
    p.seq += p_at;
    s.seq += s_at;
    pvm(&p);
    svm(&s);
    rig_wait(&rig, RIG_LATE_MS + 1);
    WANT(take() == 1 && !unwanted());
    return true;
}

static bool tcp_secondary_ahead(void)
{
    return shifted(0, 100);
}

static bool tcp_primary_ahead(void)
{
    return shifted(100, 0);
}

static bool tcp_secondary_reordered(void)
{
    struct frame_spec a = tcp(0, 100, 0), b = tcp(100, 100, 0);

    WANT(syns());
    pvm(&a);
    WANT(pvm(&b) == 1);
    WANT(svm(&b) == 1 && unwanted());
    WANT(svm(&a) == 3 && unwanted() && in_order());
    return true;
}

static bool tcp_reuse(void)
{
    struct frame_spec s = tcp(0, 100, 0);

    WANT(syns());
    pvm(&s);
    WANT(svm(&s) == 2);
    s = tcp(0, 0, TH_SYN);
    s.seq -= 50000;
    pvm(&s);
    WANT(svm(&s) == 3 && unwanted());
    s = tcp(0, 100, 0);
    s.seq -= 49999;
    WANT(pvm(&s) == 3);
    bytes[7] ^= 1;
    svm(&s);
    bytes[7] ^= 1;
    WANT(take() == 3 && wanted(COMPARE_PAYLOAD));
    return true;
}

static bool tcp_retransmission(void)
{
    struct frame_spec s = tcp(0, 100, 0);

    WANT(syns());
    pvm(&s);
    WANT(svm(&s) == 2);
    WANT(pvm(&s) == 3);
    rig_wait(&rig, 10 * RIG_LATE_MS);
    WANT(unwanted());
    return true;
}

static bool tcp_position_zero(void)
{
    struct frame_spec s = tcp(0, 100, 0);

    s.seq = 0u - 100;
    pvm(&s);
    WANT(svm(&s) == 1);
    WANT(pvm(&s) == 2);
    s.seq = 0;
    WANT(pvm(&s) == 2);
    bytes[50] ^= 1;
    svm(&s);
    bytes[50] ^= 1;
    WANT(take() == 2 && wanted(COMPARE_PAYLOAD));
    return true;
}

/* ---- The table -----------------------------------------------------------*/

static const struct defect defects[] = {
    { "tcp: FIN with data makes no difference", tcp_fin },
    { "tcp: FIN makes no difference", tcp_empty_fin },
    { "tcp: RST makes no difference", tcp_rst },
    { "tcp: URG makes no difference", tcp_urg },
    { "tcp: URG matches RST", tcp_urg_for_rst },
    { "tcp: RST matches SYN/ACK", tcp_rst_for_syn },
    { "tcp: SYN options make no difference", tcp_syn_options },
    { "tcp: the window makes no difference", tcp_window },
    { "tcp: SACK blocks promise what the secondary lacks", tcp_sack },
    { "tcp: any packet is consent to an empty one", tcp_empty_is_compared },
    { "tcp: a lone ack waits and ends in a checkpoint", tcp_lone_ack },
    { "tcp: an equal segment lets any ack out",
      tcp_ack_beyond_equal_segment },
    { "tcp: an ack that is ahead counts as different bytes",
      tcp_ack_beyond_longer_segment },
    { "tcp: acks are compared without the wrap at 2^32", tcp_ack_wraps },
    { "tcp: the last ack counts, not the highest", tcp_ack_is_a_maximum },
    { "tcp: equal bytes match at a higher position", tcp_secondary_ahead },
    { "tcp: equal bytes match at a lower position", tcp_primary_ahead },
    { "tcp: a reordering of the secondary's asks for a checkpoint",
      tcp_secondary_reordered },
    { "tcp: a 4-tuple used again passes uncompared", tcp_reuse },
    { "tcp: a retransmission waits and ends in a checkpoint",
      tcp_retransmission },
    { "tcp: position 0 is taken for no position", tcp_position_zero },
};

int main(void)
{
    return defect_main(defects, sizeof(defects) / sizeof(defects[0]));
}
