/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secondary.h - The secondary's worker: machine, threads and connections
 *
 * Theory of operation
 * -------------------
 * Threads:
 *   main     poll loop (secondary.c): listener, ctrl connections, heartbeats,
 *            control socket; the only one that touches @conns. It also takes
 *            a guest that ran here aside (secondary-aside.c)
 *   data     reads epochs and gives them to the restore (secondary-epoch.c);
 *            an accepted epoch is applied before the next one is read
 *   work     carries out the one decision that takes long: throw the copy
 *            away, or make it the guest (secondary-open.c)
 *   libxl's  inside restore.c
 *
 * @lock guards the machine @m and what is below it; this is the lock of
 * RULES A3. secondary_event() is the only way to tell the machine anything.
 */
#ifndef XLC_SECONDARY_H
#define XLC_SECONDARY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libxl.h>
#include <xxhash.h>

#include "boot.h"
#include "colo-secondary.h"
#include "conn.h"
#include "control.h"
#include "disks.h"
#include "lobby.h"
#include "paths.h"
#include "proto.h"
#include "receive-shared.h"
#include "record.h"
#include "records.h"
#include "restore.h"
#include "sec.h"
#include "secondary-proxy.h"
#include "wallclock.h"

/* ctrl connections by path, then the primary's guard. */
#define SECONDARY_GUARD   6
#define SECONDARY_CONNS   7
#define SECONDARY_WAITERS 4

/**
 * struct secondary - see above
 * @boot: standard input and output while booting
 * @hello: what the primary said; its key moves to @secret
 * @sync: written once booted, for the process that ssh waits for
 * @conns: attached ones; @newest: the newest incarnation of each; @born:
 *         @m.opened when it was attached; @newest_data, @newest_proxy: the
 *         same of the data connection, and of the stream of the peer's proxy
 * @proxy_refused: it was said that no other one is taken
 * @dismissed: somebody wants this process to end; @dead_wait: a takeover waits
 *             for a primary that may still have the guest, since the copy is
 *             dead: that it can end by being dismissed
 * @colo: with --colo the copy is a domain of its own, NULL without
 * @proxy: its packets, if they are compared; else NULL
 * @lobby: accepted but not attached yet
 * @data: the data connection; @data_running: its thread runs
 * @disks: that are mirrored; @last_epoch: their last one, as END says
 * @say: SEC_DO_SEND_* that are repeated; @said: since the last heartbeat
 * @aside: of SEC_DO_ASIDE and SEC_DO_REJOIN, the one that is still to be done
 * @ctx: libxl's, for the guest that runs here or stood aside
 * @look_ms: when a guest that stood aside is looked at next; @told: that the
 *           primary's copy is gone was said; @wish_ms: when it was unpaused
 *           and had to be paused again, or 0
 * @stop_ms: when the end was asked for, which would break connections
 * @announce: how often it is still told where the guest is, and @announce_ms
 *            when next
 * @taken: disks are a primary's here: that our copy won't run is not said
 *         before they are given back, or can't be
 * @work: bits SEC_DO_ABORT or SEC_DO_OPEN that the work thread carries out
 * @clock: of the other host
 * @worked: it is done; @left: but the copy could not be destroyed
 */
struct secondary {
    struct receive_shared *sh;
    struct boot boot;
    int sync;
    struct proto_hello hello;
    struct conn_secret secret;
    struct record rec;
    struct restore *restore;
    struct colo_secondary *colo;
    struct secondary_proxy *proxy;
    struct control *control;
    int listener, wake, sigfd;
    uint16_t port;
    struct conn *conns[SECONDARY_CONNS];
    uint32_t newest[SECONDARY_CONNS], newest_data, newest_proxy;
    unsigned int born[SECONDARY_CONNS];
    struct lobby lobby;
    struct conn *data;
    pthread_t data_thread, work_thread;
    bool data_running, work_running, met, proxy_refused;
    _Atomic bool dismissed, dead_wait;
    bool restore_reported;
    struct paths paths;
    struct disks disks;
    uint64_t next_beat_ms, beat_seq, silent_until_ms, boot_until_ms;
    struct proto_heartbeat peer_beat;
    unsigned int waiter_id;
    bool waiter_used;
    libxl_ctx *ctx;
    uint64_t look_ms, wish_ms, announce_ms, stop_ms;
    bool told;

    pthread_mutex_t lock;
    struct sec m;
    uint64_t last_epoch;
    unsigned int say, said, work, aside, announce;
    bool worked, finished, left, taken;
    struct wallclock clock;
    uint64_t moved_ms, epoch_bytes, epochs, apply_us, bytes_total, pages;
    uint64_t epoch_memory, epoch_limit; /* see epochmem.h */
    struct xlc_error why;
    char note[PROTO_TEXT_MAX + 1]; /* what FAILED and PROMOTED explain */
};

/* secondary.c: the worker's life. Return: its exit status. */
int secondary_run(struct receive_shared *sh, int sync);
/* The same for one that takes the place of a worker which was killed while the
 * guest ran here. */
int secondary_resume(struct receive_shared *sh);

void secondary_event(struct secondary *s, enum sec_ev ev, uint64_t n);
/* The same with the lock held. */
void secondary_event_locked(struct secondary *s, enum sec_ev ev, uint64_t n);
void secondary_wake(struct secondary *s);

/* secondary-boot.c */
int secondary_boot(struct secondary *s, struct xlc_error *err);

/* secondary-link.c */
void secondary_accept(struct secondary *s, uint64_t now_ms);
void secondary_pending(struct secondary *s, unsigned int i, short revents,
                       uint64_t now_ms);
void secondary_read(struct secondary *s, unsigned int i, uint64_t now_ms);
void secondary_heartbeat(struct secondary *s, uint64_t now_ms);
void secondary_say(struct secondary *s);
bool secondary_linked(const struct secondary *s);
/* True if a connection is there on which something came in @within_ms. */
bool secondary_heard(const struct secondary *s, uint64_t now_ms,
                     uint64_t within_ms);
void secondary_unlink(struct secondary *s);

/* secondary-disks.c */
int secondary_disks_list(struct secondary *s, const struct proto_msg *m,
                         struct xlc_error *err);
int secondary_disks_serve(struct secondary *s, struct xlc_error *err);
int secondary_disks_attach(struct secondary *s, struct conn *c,
                           struct xlc_error *err);
void secondary_disks_check(struct secondary *s);
/* Memory has all of epoch @n: tell the machine once the disks have it, too. */
int secondary_disks_whole(struct secondary *s, enum sec_ev ev, uint64_t n,
                          struct xlc_error *err);
int secondary_disks_take(struct secondary *s, struct xlc_error *err);
void secondary_disks_taken(struct secondary *s);
/* What the guest wrote before it ended, while the copy is still there. */
void secondary_disks_last(struct secondary *s);
void secondary_disks_drop(struct secondary *s);

/* secondary-epoch.c */
int secondary_start_data(struct secondary *s, struct xlc_error *err);

/* secondary-resume.c */
int secondary_take_place(struct secondary *s, struct xlc_error *err);

/* secondary-open.c */
void secondary_start_work(struct secondary *s);
/* With the lock held: tell where the guest is. */
void secondary_announce_begin(struct secondary *s);
void secondary_announce(struct secondary *s, uint64_t now_ms);

/* secondary-primary.c: does the primary (or its guard) wait for how the
 * takeover goes? That our copy won't run gives it the guest. */
bool secondary_primary_waits(const struct secondary *s);
/* It is heard, and may still have the guest or come to wait. */
bool secondary_primary_there(const struct secondary *s);
/* How long it is waited for by a copy that was heard and is dead. */
uint64_t secondary_primary_wait_ms(const struct secondary *s);

/* secondary-aside.c */
void secondary_aside(struct secondary *s, uint64_t now_ms);
bool secondary_guest_gone(struct secondary *s);

/* secondary-status.c */
void secondary_control(struct secondary *s, const struct control_req *req);
void secondary_answer_waiter(struct secondary *s);

/* secondary-events.c: lines in the event log */
void secondary_events_begin(struct secondary *s);
void secondary_events_state(const struct secondary *s, enum sec_state was);
void secondary_events_failover(const struct secondary *s, uint64_t gap_ms);
/* A thread writes them: wait for it, and say what was lost. */
void secondary_events_end(const struct secondary *s);

#endif
