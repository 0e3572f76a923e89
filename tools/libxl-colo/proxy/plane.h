/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plane.h - Take a vif's packets through two TAPs, and give the vif back
 *
 * The same plane serves both hosts, before and after a failover; only what
 * reads and writes the TAPs differs. It has two states: set up, where the
 * guest's packets still go their direct way, and inline, where all of them
 * go through the TAPs, in both directions.
 */
#ifndef XLC_PLANE_H
#define XLC_PLANE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "netbuf-name.h"
#include "plane-tc.h"
#include "tapdev.h"

/*
 * Marks of packets that the program wrote: they pass the vif's filters. Not
 * numbers that an administrator's own rules are likely to use.
 */
#define PLANE_MARK_OUT 0x786c00c0u
#define PLANE_MARK_IN  0x786c00c1u

/*
 * Ours on a vif. They are behind those of the network buffer, whose drop
 * (TC_PRIO_DROP) thereby also silences an inline vif.
 */
#define PLANE_PRIO_PASS 3u
#define PLANE_PRIO_MOVE 4u
/* What drops all, in front of everything, while a plane changes hands. */
#define PLANE_PRIO_HUSH TC_PRIO_DROP

/* Filters of one vif, in the order in which they are added. */
#define PLANE_FILTERS 6u

/**
 * struct plane - one vif
 * @tc: to talk to the kernel with; not owned
 * @vif: its name
 * @ifindex: its number
 * @out: TAP from which the guest's packets are read, and to which those that
 *       may leave are written
 * @in: the same for packets on their way into the guest
 * @clsact_ours: this process made the vif's clsact
 * @added: how many of its filters there are; all of them: it is inline
 */
struct plane {
    struct tc *tc;
    char vif[IFNAMSIZ];
    int ifindex;
    struct tapdev out, in;
    bool clsact_ours;
    unsigned int added;
};

#define PLANE_INIT { .out = TAPDEV_INIT, .in = TAPDEV_INIT }

/**
 * plane_setup() - TAPs and all filters but the two that move packets
 * @tc: open; must outlive @p
 * @vif: "vif<domid>.<devid>", perhaps with "-emu" behind it
 *
 * Refuses a vif that has filters which could let packets pass ours, and what
 * an earlier process left (plane_clear() removes that). On failure nothing
 * is left behind.
 *
 * A vif without a clsact gets one. Linux (6.1: qdisc_graft()) stops a device's
 * queues for that moment, here and when plane_teardown() or plane_clear() takes
 * it away: a packet that is sent to the guest just then may be lost, as on any
 * network. On a clsact that was there nothing is.
 */
int plane_setup(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err);

/**
 * plane_adopt() - take over the vif of a process that died, and go inline
 *
 * Its TAPs are gone, its filters drop everything. New TAPs, and filters that
 * lead there; no packet takes the direct way meanwhile, all are lost. On
 * failure, or if this process dies too, the vif stays closed, and plane_adopt()
 * or plane_clear() can follow.
 */
int plane_adopt(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err);

/**
 * plane_inline() - from here on everything goes through the TAPs
 *
 * First what leaves the guest, then what goes in. The TAPs must be read from
 * now on. No packet is lost, doubled or overtaken by it.
 */
int plane_inline(struct plane *p, struct xlc_error *err);

/**
 * plane_direct() - the vif's packets go their direct way again
 *
 * Nothing is lost or doubled; what the TAPs still hold is to be read and
 * written on as before. A packet on the direct way may overtake those.
 */
int plane_direct(struct plane *p, struct xlc_error *err);

/**
 * plane_settle() - wait until the guest's packets have come to rest
 * @quiet_us: no packet arrived for that long
 * @limit_us: give up after that
 *
 * For a guest that is suspended: what its backend had not yet taken over
 * arrives in the TAP meanwhile.
 *
 * Return: 0; -ETIMEDOUT; another negative errno
 */
int plane_settle(struct plane *p, uint32_t quiet_us, uint32_t limit_us,
                 struct xlc_error *err);

/**
 * plane_teardown() - remove everything; may be repeated
 *
 * Goes on after a failure, the first one is reported. A vif that is gone is
 * no failure.
 */
int plane_teardown(struct plane *p, struct xlc_error *err);

/**
 * plane_clear() - remove what a process that died left on @vif
 *
 * From then on the vif's packets go their direct way. Nothing to remove is
 * no failure.
 */
int plane_clear(struct tc *tc, const char *vif, struct xlc_error *err);

/* Does what a vif receives go to a plane? Return: 1; 0, also if there is no
 * such interface; a negative errno, see tc_why() */
int plane_left(struct tc *tc, const char *vif);

/**
 * plane_clear_domain() - plane_clear() for every "vif<domid>.<devid>"
 *
 * Those that have no plane are left as they are.
 *
 * Return: how many had one; -EBUSY if a process takes care of one; another
 * negative errno
 */
int plane_clear_domain(uint32_t domid, struct xlc_error *err);

/* The same for every domain. */
int plane_clear_all(struct xlc_error *err);

/**
 * struct plane_seen - a vif whose packets go to a plane
 * @port: whose it is
 * @served: a process reads what the guest sends; if not, the vif is closed
 */
struct plane_seen {
    char vif[IFNAMSIZ];
    struct netbuf_port port;
    bool served;
};

/**
 * plane_scan() - all of them
 * @list: @room entries
 *
 * Return: how many there are, which may be more than @room; a negative errno
 */
int plane_scan(struct plane_seen *list, unsigned int room,
               struct xlc_error *err);

/**
 * plane_filters() - the filters of a vif whose numbers are these
 * @f: room for PLANE_FILTERS; in the order in which they are added. The last
 *     two are those that plane_inline() adds.
 */
void plane_filters(struct plane_filter *f, int vif, int out, int in);

/* The filter that drops what a vif receives, or (@egress) is to send. */
struct plane_filter plane_hush(int vif, bool egress);

#endif
