/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proxy-secondary-io.h - Between proxy-secondary.c and proxy-secondary-io.c */
#ifndef XLC_PROXY_SECONDARY_IO_H
#define XLC_PROXY_SECONDARY_IO_H

#include <pthread.h>

#include "frameq.h"
#include "keepfile.h"
#include "mailbox.h"
#include "neigh.h"
#include "pollset.h"
#include "proxy-secondary.h"

/**
 * struct sec_port - one vif
 * @ends: its descriptors
 * @rewrite: its rewriter
 * @older: see proxy_secondary_older(), or NULL
 * @kept: its part of the keepfile, or NULL
 * @neigh: its neighbours
 * @in, @in_len, @in_vnet: a frame for the guest that the kernel did not take
 *                         yet; none if @in_len is 0
 * @out, @out_len, @out_vnet: the same for the bridge; also where frames are
 *                            read to
 * @wanted: REWRITE_WANT_* that the peer was told in this epoch
 * @dead: its descriptors can't be read any more
 */
struct sec_port {
    struct proxy_port ends;
    struct rewrite *rewrite, *older;
    void *kept;
    struct neigh neigh;
    uint8_t *in, *out;
    size_t in_len, out_len;
    struct packet_vnet in_vnet, out_vnet;
    uint32_t wanted;
    bool dead;
};

/**
 * struct proxy_secondary - the thread's, but for what the mailbox protects
 * @thread, @started: it
 * @box: questions to it
 * @event_fd: see proxy_secondary_event_fd()
 * @set: what it waits for
 * @stream: to the peer's proxy
 * @ports: @nports of them
 * @backlog: messages that wait for their epoch, or for the guest
 * @again: the last TCP segments that the guest was given, as they came
 * @again_left: of them, those that are to be given again now
 * @tell_connected: the peer was not told yet that the vifs are
 * @full_told: the peer was asked for a checkpoint since @backlog was full
 * @done_told: the session knows that the rewriter is not needed
 * @ticked: when rewrite_tick() was called last
 * @keep: see struct proxy_secondary_cfg
 * @quit: the thread is to end
 * @s: what is counted, and the state that is shown
 */
struct proxy_secondary {
    pthread_t thread;
    bool started;
    struct mailbox box;
    int event_fd;
    struct pollset set;
    struct wirestream stream;
    struct sec_port ports[WIRE_VIFS_MAX];
    unsigned int nports;
    struct frameq backlog, again;
    size_t again_left;
    bool tell_connected, full_told, done_told;
    uint64_t ticked;
    struct keepfile keep;
    bool quit;
    struct proxy_secondary_status s;
};

/* Tell the session that something happened. */
void sec_notify(struct proxy_secondary *s);

/* The stream is of no more use: close it, and say why (NULL: wanted). */
void sec_drop_peer(struct proxy_secondary *s, const struct xlc_error *why);

/* Move what may move, each as far as it goes now. */
void sec_read_peer(struct proxy_secondary *s, uint64_t now);
void sec_write_peer(struct proxy_secondary *s);
void sec_deliver(struct proxy_secondary *s, uint64_t now);
void sec_read_out(struct proxy_secondary *s, unsigned int vif,
                  uint64_t now);
void sec_read_in(struct proxy_secondary *s, unsigned int vif, uint64_t now);
void sec_retry(struct proxy_secondary *s, struct sec_port *port,
               uint64_t now);

/* May a frame of the guest be taken now? */
bool sec_may_read_out(const struct proxy_secondary *s,
                      const struct sec_port *port);

/* A cut: what the guest sent goes (false: it goes on to send); what it was
 * given may be given again. */
bool sec_forget_out(struct proxy_secondary *s);
void sec_forget_in(struct proxy_secondary *s);

/* What the peer has told goes, and so does what might be given again. */
void sec_forget_stream(struct proxy_secondary *s);

#endif
