/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * primary.h - The primary's worker: machine, threads and connections
 *
 * Theory of operation
 * -------------------
 * Three threads:
 *   main        poll loop (primary.c): ctrl connections, heartbeats, control
 *               socket, guest watch; the only one that touches @ctrl
 *   checkpoint  inside capture_run() (primary-epoch.c)
 *   stage       reads libxc's pipe; during the first copy it also writes to
 *               @data, otherwise the checkpoint thread does
 *
 * @lock guards the machine @m and every field below it. primary_event() is
 * the only way to tell the machine anything; it carries out at once what is
 * quick (buffer, flags) and leaves the rest in @say and @finished for the
 * main loop, which @wake wakes. @cond tells the checkpoint thread that
 * something it waits for may have changed. @nb_lock guards @nb and is taken
 * inside @lock, never the other way round.
 */
#ifndef XLC_PRIMARY_H
#define XLC_PRIMARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <libxl.h>
#include <xxhash.h>

#include "boot.h"
#include "capture.h"
#include "conn.h"
#include "control.h"
#include "disks.h"
#include "guest.h"
#include "live.h"
#include "netbuf.h"
#include "paths.h"
#include "prim.h"
#include "progress.h"
#include "record.h"
#include "shared.h"
#include "stage.h"
#include "wallclock.h"
#include "xlcolo.h"

#define PRIMARY_PATHS    (XLC_PEER_MAX + 1)
#define PRIMARY_ADDR_MAX 256
#define PRIMARY_WAITERS  8
#define PRIMARY_WATCHERS 4 /* of them, those that wait for the end */

/**
 * struct primary_waiter - a control client that waits
 * @used: in use; @id: whom to answer
 * @op: what it asked; @epoch: a checkpoint: the epoch that answers it
 */
struct primary_waiter {
    bool used;
    unsigned int id;
    enum control_op op;
    uint64_t epoch;
};

/**
 * struct primary - see above
 * @o, @sh: from the caller
 * @ctx: libxl, main thread until the checkpoint thread ends
 * @cfg: the guest's configuration; @json: the same as text
 * @guest, @look: the guest for the checkpoint and for the main thread
 * @devices: what notices devices that come and go
 * @px: the proxy of its packets, NULL without one (primary-proxy.h)
 * @tot_pages: of the guest when protection began
 * @rec: this host's record of the guest
 * @boot: the ssh command, until the connections stand
 * @booted: the peer said READY and waits for us; @dialled: connecting to it
 *          was tried; @recorded: @rec was written;
 *          @published: our nodes are in xenstore
 * @caps: what both ends can do
 * @disks: that are mirrored; @disks_syncing: their first copy goes on;
 *         @disks_refused: the other host did not want it; @disks_over: one
 *         lost its mirror; @disks_paired: the images say that the other host
 *         may take over
 * @addr, @naddr: addresses of the peer; the first carries the data
 * @peer_beat: the heartbeat that came last; @clock: of the other host
 * @ahead_s: how far the guest's clock is ahead of this host's
 * @unheard: the end came by silence
 * @stop: the checkpoint thread ends; @freeze: and leaves the guest suspended
 * @final_next: the next capture is the last; @final_now: this one is
 * @demand: somebody wants a checkpoint now
 * @live: what may be changed while it runs; from @o at first
 * @destroy: the peer runs the guest, ours goes; @discard: and what it said
 *           and nobody heard
 * @last_epoch: the disks' last one, of a guest that has ended; 0: none
 * @asked_epoch: newest epoch whose suspend was begun
 * @say: PRIM_DO_SEND_* that stand until the end; @said: of those, what went
 *        out since the last heartbeat
 * @copy: the first copy: its pass
 * @cause: why the current epoch is made, NULL: it is the first
 * @resumed_us: when the guest last went on after a whole epoch
 * @begun: EPOCH_BEGIN of the current epoch was sent; @hash, @sent: of it
 */
struct primary {
    const struct xlc_options *o;
    struct shared *sh;
    libxl_ctx *ctx;
    libxl_domain_config cfg;
    char *json;
    struct guest guest, look;
    uint64_t tot_pages;
    struct record rec;
    struct boot boot;
    bool booted, dialled, recorded, published;
    struct conn_secret secret;
    uint32_t caps;
    char addr[PRIMARY_PATHS][PRIMARY_ADDR_MAX];
    unsigned int naddr;
    uint16_t port;
    struct conn *ctrl[PRIMARY_PATHS];
    struct conn *data;
    struct paths paths;
    struct disks disks;
    volatile bool disks_syncing, disks_refused;
    bool disks_over, disks_paired;
    struct control *control;
    struct primary_devices *devices;
    struct primary_proxy *px;
    struct stage *stage;
    struct capture cap;
    pthread_t thread;
    bool thread_running, cfg_inited, data_broken, unheard;
    volatile bool trouble; /* the buffer failed: protection must end */
    int wake, sigfd;
    uint64_t stall_ms, stall_bytes;
    uint64_t heartbeat_seq, next_beat_ms, started_ms, progress_ms;
    int progress_last;
    struct proto_heartbeat peer_beat;
    struct wallclock clock;
    int32_t ahead_s;
    char peer_text[PROTO_TEXT_MAX + 1];

    pthread_mutex_t nb_lock;
    struct netbuf *nb;

    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct prim m;
    struct policy_set live;
    volatile bool stop; /* the checkpoint thread reads it without the lock */
    bool paused; /* we paused the guest, see stand_still() */
    bool freeze, final_next, final_now, demand, finished, destroy, discard;
    uint64_t last_epoch, asked_epoch, next_due_us, suspended_since_ms, moved_ms;
    unsigned int say, said;
    struct capture_times times;
    uint64_t epoch_bytes, checkpoints, bytes_total, resumed_us;
    struct progress copy;
    const char *cause;
    struct primary_waiter waiters[PRIMARY_WAITERS];
    struct xlc_error why;

    bool begun;
    uint64_t sent;
    XXH3_state_t *hash;
};

/* primary.c: the worker's whole life. Return: the outcome. */
enum xlc_outcome primary_run(const struct xlc_options *o, struct shared *sh);

/* Tell the machine, and do what it says; takes the lock. */
void primary_event(struct primary *p, enum prim_ev ev, uint64_t n);
/* The same with the lock held. */
void primary_event_locked(struct primary *p, enum prim_ev ev, uint64_t n);

/* primary-room.c: the control socket, before and after the peer said READY */
int primary_find_room(struct primary *p, struct xlc_error *err);
int primary_make_room(struct primary *p, struct xlc_error *err);

/* primary-link.c */
int primary_boot(struct primary *p, struct xlc_error *err);
int primary_dial(struct primary *p, struct xlc_error *err);
void primary_heartbeat(struct primary *p, uint64_t now_ms);
void primary_say(struct primary *p);
void primary_read(struct primary *p, unsigned int path, uint64_t now_ms);
void primary_data_ended(struct primary *p);
void primary_goodbye(struct primary *p);
void primary_unlink(struct primary *p);

/* primary-clock.c */
void primary_clock_begin(struct primary *p);
void primary_clock_msg(const struct primary *p, struct proto_msg *m);
void primary_clock_heard(struct primary *p, const struct proto_clock *c);

/* primary-epoch.c */
int primary_start_capture(struct primary *p, struct xlc_error *err);
void primary_end_capture(struct primary *p);

/* primary-devices.c: @moved: the descriptor is readable. */
int primary_devices_begin(struct primary *p, struct xlc_error *err);
int primary_devices_fd(const struct primary *p);
void primary_devices(struct primary *p, bool moved, uint64_t now_ms);
/* Is something expected that no descriptor tells of? */
bool primary_devices_wait(const struct primary *p);
void primary_devices_end(struct primary *p);

/* primary-events.c: lines in the event log, if there is one */
int primary_events_begin(struct primary *p, struct xlc_error *err);
void primary_events_state(struct primary *p, enum prim_state was);
void primary_events_checkpoint(struct primary *p);
void primary_events_end(struct primary *p);

/* primary-status.c */
void primary_control(struct primary *p, const struct control_req *req);
void primary_answer_waiters(struct primary *p, bool over);
void primary_progress(struct primary *p, uint64_t now_ms);
void primary_publish(struct primary *p);
void primary_unpublish(struct primary *p);

#endif
