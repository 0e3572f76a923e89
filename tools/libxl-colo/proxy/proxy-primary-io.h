/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proxy-primary-io.h - Between proxy-primary.c and proxy-primary-io.c */
#ifndef XLC_PROXY_PRIMARY_IO_H
#define XLC_PROXY_PRIMARY_IO_H

#include <pthread.h>

#include "frameq.h"
#include "mailbox.h"
#include "pollset.h"
#include "proxy-primary.h"

/**
 * struct pri_port - one vif
 * @ends: its descriptors
 * @engine: its compare engine
 * @older: see struct proxy_primary_cfg
 * @out: a released frame that the kernel did not take yet
 * @in: frames on their way to the guest
 * @untold: so many of them, the oldest, are older than the last cut, and the
 *          peer is to have them in its epoch
 * @out_wait, @in_wait: the kernel did not take a frame; wait until it does
 * @dead: its descriptors can't be read any more
 */
struct pri_port {
    struct proxy_port ends;
    struct compare *engine;
    struct rewrite *older;
    struct compare_packet *out;
    struct frameq in;
    size_t untold;
    bool out_wait, in_wait, dead;
};

/**
 * struct proxy_primary - the thread's, but for what the mailbox protects
 * @thread, @started: it
 * @box: questions to it
 * @event_fd: see proxy_primary_event_fd()
 * @set: what it waits for
 * @stream: to the peer's proxy
 * @peer_from: the first epoch of which what comes by @stream counts
 * @ports: @nports of them
 * @mode_next: from the next cut on
 * @cut_owed: the peer has not been told of the last cut
 * @stuck_ns, @plug_ns: how long input may wait for the peer to read, at most,
 *                      and as long as its copy is not connected
 * @full_ns, @full_sent: since when @stream has had no room, and what it had
 *                       sent then; 0: it has room
 * @wanted: the session was told that a checkpoint is wanted
 * @quit: the thread is to end
 * @cut_us: when the last cut was; @plugged: vifs of the peer's copy that are
 *          connected since, one bit each
 * @told_packets, @told_ns, @told_said, @told_acked: what proxy_primary_held()
 *          has said
 * @ticked: when rewrite_tick() was called last
 * @s: what is counted, and the state that is shown
 */
struct proxy_primary {
    pthread_t thread;
    bool started;
    struct mailbox box;
    int event_fd;
    struct pollset set;
    struct wirestream stream;
    uint64_t peer_from;
    struct pri_port ports[WIRE_VIFS_MAX];
    unsigned int nports;
    enum compare_mode mode_next;
    bool cut_owed;
    uint64_t stuck_ns, plug_ns;
    uint64_t full_ns, full_sent;
    bool wanted;
    bool quit;
    uint64_t cut_us;
    uint32_t plugged;
    uint64_t told_packets, told_ns, told_said, told_acked;
    uint64_t ticked;
    struct proxy_primary_status s;
};

/* Tell the session that something happened. */
void pri_notify(struct proxy_primary *p);

/* The stream is of no more use: close it, and say why (NULL: wanted). */
void pri_drop_peer(struct proxy_primary *p, const struct xlc_error *why);

/* Is the engine of any vif full? Then input is held as well. */
bool pri_full(const struct proxy_primary *p);

/* Move what may move, each as far as it goes now. */
void pri_read_out(struct proxy_primary *p, struct pri_port *port,
                  unsigned int max, uint64_t now);
void pri_write_out(struct proxy_primary *p, struct pri_port *port);
void pri_pass_in(struct proxy_primary *p, unsigned int vif, unsigned int max,
                 uint64_t now);
void pri_read_peer(struct proxy_primary *p, uint64_t now);
void pri_write_peer(struct proxy_primary *p);

/* A peer that does not read must not hold the input: drop it then. */
void pri_watch_peer(struct proxy_primary *p, uint64_t now);

/* When that is due; COMPARE_NEVER. */
uint64_t pri_watch_until(const struct proxy_primary *p);

/* May a frame for the guest be taken now? */
bool pri_may_pass_in(const struct proxy_primary *p);

/*
 * proxy-primary-older.c: connections of before a failover (RULES B4). A frame
 * of the network on its way in, @frame, of which @f tells: false if the guest
 * may not have it, or not yet; one that had to wait, which is put at @frame,
 * where a frame finds room; one that was let go, port->out: false if it may
 * not leave after all.
 */
bool pri_older_in(struct proxy_primary *p, struct pri_port *port,
                  uint8_t *frame, struct wire_frame *f, uint64_t now);
bool pri_older_held(struct pri_port *port, uint8_t *frame,
                    struct wire_frame *f, uint64_t now);
bool pri_older_out(struct proxy_primary *p, struct pri_port *port);

/* How many need that; let those that ended go, and when that is due next. */
uint32_t pri_older_live(const struct proxy_primary *p);
void pri_older_tick(struct proxy_primary *p, uint64_t now);
uint64_t pri_older_until(const struct proxy_primary *p);

/* See proxy_primary_older(). */
struct pri_older {
    uint64_t generation;
    uint8_t *buf;
    size_t len;
};
int pri_older_export(const struct proxy_primary *p, uint64_t vif,
                     struct pri_older *o, uint64_t now,
                     struct xlc_error *err);

#endif
