/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf.h - Output commit for the network: hold what a domain sends
 *
 * For each vif an ifb device named "rb<domid>.<devid>" with a plug qdisc as
 * its root, and on the vif's ingress (clsact, matchall, every protocol) a
 * redirection of copies to it. See netbuf.c for how that works and why it
 * holds copies (RULES A11). Names are enough to find everything again: a
 * process that comes after a crash attaches by domid.
 *
 * A buffer has one owner, the process that set it up or attached to it: it
 * holds a lock (netbuf-lock.h) that dies with it. The lock's descriptor and
 * the netlink socket are close-on-exec.
 *
 * All calls are made by one thread at a time. None blocks for longer than
 * netlink needs, except where it says so. Netlink needs the kernel's rtnl
 * lock: while another interface of the host is made or removed, that is tens
 * of milliseconds.
 */
#ifndef XLC_NETBUF_H
#define XLC_NETBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <net/if.h>

#include "error.h"

/* A guest may have at most this many interfaces under protection (the
 * emulated half of an HVM guest's vif counts as one). */
#define NETBUF_VIF_MAX 32

/* Octets of dom0's memory that one vif's buffer holds before it drops: for
 * each packet its length and 1280 (a drop is safe: the packet was never sent;
 * TCP sends it again). */
#define NETBUF_LIMIT_DEFAULT (64u << 20)
#define NETBUF_LIMIT_MIN     (128u << 10)
#define NETBUF_LIMIT_MAX     (1u << 30)

struct netbuf;

/**
 * struct netbuf_vif - one vif to hold
 * @devid: its number in the domain
 * @emulated: the device model's tap of that vif ("vif3.0-emu"). HVM guests
 *            have both, and each is an entry of its own
 * @ifname: its interface in dom0, e.g. "vif3.0"
 */
struct netbuf_vif {
    uint32_t devid;
    bool emulated;
    char ifname[IFNAMSIZ];
};

/**
 * struct netbuf_stat - what one vif's buffer holds
 * @vif: interface in dom0; empty if it is gone
 * @ifb: the ifb device's name; empty if it is gone (the vif is then cut)
 * @domid: the domain
 * @devid: the vif's number in it
 * @emulated: the emulated half of it
 * @cut: what the vif sends is dropped (netbuf_cut(), netbuf_mute())
 * @held_packets: packets in the queue now
 * @held_bytes: octets in the queue now
 * @drops: packets dropped at the limit since set-up
 *
 * Whether a buffer is open can't be asked: the kernel doesn't tell.
 */
struct netbuf_stat {
    char vif[IFNAMSIZ];
    char ifb[IFNAMSIZ];
    uint32_t domid;
    uint32_t devid;
    bool emulated;
    bool cut;
    uint64_t held_packets;
    uint64_t held_bytes;
    uint64_t drops;
};

/**
 * netbuf_setup() - put a buffer on every vif of a domain, open
 * @nb_r: the new buffer; release with netbuf_free()
 * @domid: the domain
 * @vifs: @n of them; 0 is allowed (a guest without network)
 * @limit: octets a vif may hold, NETBUF_LIMIT_MIN to NETBUF_LIMIT_MAX
 * @err: which step failed on which interface
 *
 * Traffic goes on through the (open) buffer. On failure everything that was
 * set up is removed again. Loads the kernel modules it needs, and waits for
 * modprobe. Becomes the owner; waits for up to half a second for a former
 * one that is just dying.
 *
 * Return: 0; -EBUSY if a buffer of this domain exists (the way out:
 * `remus-netbuf clear`) or a vif has a filter of somebody else that would
 * come before ours; another negative errno
 */
int netbuf_setup(struct netbuf **nb_r, uint32_t domid,
                 const struct netbuf_vif *vifs, unsigned int n, size_t limit,
                 struct xlc_error *err);

/**
 * netbuf_add() - take in a vif that came after the set-up
 * @vif: its interface must be there; best before it is connected
 * @limit: as for netbuf_setup()
 *
 * It does as the others do: if they hold what is sent, so does it at once, as
 * a part of the epoch that is being collected. A vif that went and came back
 * as another interface is taken in as well.
 *
 * Return: 1 it is held from now on; 0 it was already; -ENODEV if there is no
 * such interface (yet); another negative errno, and nothing is held
 */
int netbuf_add(struct netbuf *nb, const struct netbuf_vif *vif, size_t limit,
               struct xlc_error *err);

/**
 * netbuf_attach() - find the buffers that another process left
 * @nb_r: what was found, possibly without any vif
 * @domid: the domain
 *
 * Changes nothing in the kernel, but becomes the owner, and waits as
 * netbuf_setup() does. What is held stays held. Whether an epoch was closed
 * can't be asked, so netbuf_buffer() is refused until a netbuf_open().
 *
 * Return: 0; -EBUSY while the former owner lives; another negative errno
 */
int netbuf_attach(struct netbuf **nb_r, uint32_t domid,
                  struct xlc_error *err);

/* The number of vifs in @nb. */
unsigned int netbuf_count(const struct netbuf *nb);

/**
 * netbuf_settle() - wait until nothing of a suspended guest is under way
 * @quiet_us: for so long nothing may have moved; 200 covers what dom0 does
 *            between taking a packet and queueing it, unless it is busy
 * @max_us: give up after so long
 *
 * Before each netbuf_buffer(), while the guest is suspended (RULES A4): the
 * kernel changes the plug's counts without a lock, so that a packet that
 * just comes or goes may be counted twice, and as many of a later epoch
 * would be released too early. It may run beside the capture of the guest's
 * memory, after which BUFFER then follows at once.
 *
 * Return: 0; -ETIMEDOUT if something still moves; another negative errno
 */
int netbuf_settle(struct netbuf *nb, unsigned int quiet_us,
                  unsigned int max_us, struct xlc_error *err);

/**
 * netbuf_buffer() - close the epoch: what comes from now on is the next one's
 *
 * Must strictly alternate with netbuf_release() once the first was made
 * (sch_plug keeps one closed epoch; a second BUFFER loses its count): while
 * an epoch is closed and not released it is refused with -EBUSY and nothing
 * is changed. Called while the guest is suspended, just before it resumes
 * (RULES A4) and after netbuf_settle(). Tried on every vif even if one
 * fails; returns only after the kernel acknowledged each. The first one after
 * an open buffer waits (20 ms at most) for packets on their way out.
 */
int netbuf_buffer(struct netbuf *nb, struct xlc_error *err);

/* Let the closed epoch's packets go; without a closed epoch nothing. */
int netbuf_release(struct netbuf *nb, struct xlc_error *err);

/* Let everything go, now and from now on, until the next netbuf_buffer(). */
int netbuf_open(struct netbuf *nb, struct xlc_error *err);

/**
 * netbuf_mute() - drop what the guest sends from now on, or stop doing so
 *
 * What is held stays, in every state of the buffer: the first thing a guard
 * does (RULES A12).
 */
int netbuf_mute(struct netbuf *nb, bool on, struct xlc_error *err);

/**
 * netbuf_cut() - throw away everything that is held, and all that comes
 *
 * For a copy that must never be heard again. Nothing undoes it: the other
 * calls then fail with -ESHUTDOWN, except netbuf_stat() and
 * netbuf_teardown(), for which the domain must be paused or gone: after it
 * the vif is an ordinary one again.
 */
int netbuf_cut(struct netbuf *nb, struct xlc_error *err);

/**
 * netbuf_stat() - what the vifs hold
 * @out: room for @max
 *
 * Return: how many were filled in, or a negative errno
 */
int netbuf_stat(struct netbuf *nb, struct netbuf_stat *out, unsigned int max,
                struct xlc_error *err);

/**
 * netbuf_teardown() - remove every filter, qdisc and ifb of this buffer
 * @discard: drop what is held (else it is let go first, and waited for, at
 *           most one second)
 *
 * Idempotent; goes on after a failure and returns the first one. A vif that
 * is gone meanwhile is no error. Afterwards the vif is an ordinary one.
 */
int netbuf_teardown(struct netbuf *nb, bool discard, struct xlc_error *err);

/* Forget @nb without touching the kernel's state, and give the ownership up;
 * NULL is allowed. What is held stays held. */
void netbuf_free(struct netbuf *nb);

/**
 * netbuf_scan() - all buffers on this host, whoever made them
 * @out: room for @max
 *
 * Return: how many there are (at most @max are filled in), or negative errno
 */
int netbuf_scan(struct netbuf_stat *out, unsigned int max,
                struct xlc_error *err);

#endif
