/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disks.h - A protected guest's mirrored disks, as the session of one end
 *
 * Theory of operation
 * -------------------
 * Each disk is served by an nbdkit with our plugin, which outlives this
 * process. It is asked over its control socket (diskctl.h), on two
 * connections: @ctl for what may wait, by one thread at a time, and @look for
 * questions that are answered at once. The stream to the other host's plugin
 * goes through a relay of ours.
 *
 * The disks count epochs of their own, which never go back while the session's
 * begin anew at 1: @list.first belongs to the session's first (disk_epoch()).
 */
#ifndef XLC_DISKS_H
#define XLC_DISKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "diskctl.h"
#include "disklist.h"
#include "diskserve.h"
#include "relay.h"

struct json;

/* No answer within this is as good as none. */
#define DISKS_ANSWER_MS  5000u
#define DISKS_LOOK_MS    500u  /* of all, beside heartbeats */
#define DISKS_DEAF_MS    5000u /* nor is it asked again so soon */
#define DISKS_PROTECT_MS 15000u /* the other host's plugin is asked, too */
#define DISKS_TAKE_MS    60000u /* what was accepted is committed first */

/**
 * struct disks_one - one of them
 * @all: what it is part of
 * @folder: of the image that is served here
 * @ctl, @look, @last: to its plugin, or -1
 * @relay: to the other host, or NULL
 * @plugin: the end of @relay that is for the plugin, until it has it; or -1
 * @lost: the relay has ended; @why says how
 * @served: secondary: we had it served; @taken: and it took the disk over;
 *          @asked: to do so, and it may have
 * @svm: and it serves a copy that is a domain (svmdisks.h)
 * @told: @lost was logged
 * @deaf_until_ms: it did not answer: its status is not asked before
 */
struct disks_one {
    struct disks *all;
    char folder[DISKSERVE_FOLDER_MAX];
    int ctl, look, last, plugin;
    struct relay *relay;
    atomic_bool lost;
    bool served, taken, asked, svm, told;
    uint64_t deaf_until_ms;
    char why[160];
};

/**
 * struct disks - all of them; @list.n is how many
 * @list: what the two ends agreed on
 * @quick_ms: for the answers of all disks to MARK, or ACCEPT: heartbeats wait
 *            for the session's lock, which is held meanwhile, and a plugin that
 *            is stopped must not look like a failed host
 * @look_ms: for the answers of all disks to a question of the main thread,
 *           which sends the heartbeats
 * @wake: called by a relay's thread that has ended; @opaque: its parameter
 */
struct disks {
    struct disklist list;
    struct disks_one at[DISKLIST_MAX];
    unsigned int quick_ms, look_ms;
    void (*wake)(void *opaque);
    void *opaque;
};

/* After disks_init(): silence of @limit_ms is a failed host. */
void disks_limit(struct disks *d, unsigned int limit_ms);

void disks_init(struct disks *d, void (*wake)(void *opaque), void *opaque);

/* Stops the relays and closes everything; the plugins live on. */
void disks_dispose(struct disks *d);

/* The disks' epoch that belongs to the session's epoch @n, from 1. */
uint64_t disk_epoch(const struct disks *d, uint64_t n);

/* Connect to the plugin of disk @i, whose folder is known. */
int disks_connect(struct disks *d, unsigned int i, struct xlc_error *err);

/**
 * disks_relay() - give disk @i its way to the other host
 * @c: attached; taken over, whatever happens
 *
 * Return: 0, and @plugin is the end for the plugin
 */
int disks_relay(struct disks *d, unsigned int i, struct conn *c,
                struct xlc_error *err);

/**
 * disks_ask() - ask the plugin of disk @i on @ctl
 * @fd: goes along, stays the caller's; or -1
 * @st: what it answered; NULL: not wanted
 *
 * Return: 0; a negative errno, with a sentence that names the disk
 */
int disks_ask(struct disks *d, unsigned int i, enum diskctl_op op, uint64_t a,
              uint64_t b, int fd, struct diskctl_status *st,
              struct xlc_error *err);

/* When questions that begin now, to all disks together, are to be answered:
 * those that are asked with the session's lock held, or on the main thread. */
uint64_t disks_until(const struct disks *d);
uint64_t disks_look_until(const struct disks *d);

/* As disks_ask() for what is answered at once; -EAGAIN: not until then. */
int disks_quick(struct disks *d, unsigned int i, enum diskctl_op op,
                uint64_t a, uint64_t until_ms, struct xlc_error *err);

/* As disks_ask(), beside it: on a connection that the work thread has for
 * what a guest wrote last. */
int disks_last(struct disks *d, unsigned int i, enum diskctl_op op, uint64_t a,
               uint64_t b, struct xlc_error *err);

/* As disks_quick(), on @look. */
int disks_look(struct disks *d, unsigned int i, enum diskctl_op op,
               uint64_t a, uint64_t until_ms, struct diskctl_status *st,
               struct xlc_error *err);

/* Secondary: hand the stream of disk @i to its plugin. */
int disks_follow(struct disks *d, unsigned int i, struct xlc_error *err);

/* The first disk whose relay has ended; -1: none */
int disks_lost(const struct disks *d);

/* "disks": an array of an object each. */
void disks_json(struct disks *d, struct json *j);

#endif
