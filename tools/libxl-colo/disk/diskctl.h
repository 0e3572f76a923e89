/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * diskctl.h - What the session asks of a disk's plugin, over a local socket
 *
 * A question and an answer of fixed layout, big-endian, over a unix socket
 * that only its owner may connect to; PROTECT and FOLLOW carry a descriptor,
 * connected to the peer's plugin by whatever way the session has. Each answer
 * has the whole status. docs/specs/disk-protocol.md has the layout.
 */
#ifndef XLC_DISKCTL_H
#define XLC_DISKCTL_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define DISKCTL_MAGIC      0x584c4343u /* "XLCC" */
#define DISKCTL_ASK_LEN    32u
#define DISKCTL_NUMBERS    29u
#define DISKCTL_ANSWER_LEN (16u + 8u * DISKCTL_NUMBERS)
#define DISKCTL_TEXT_MAX   480u
#define DISKCTL_ANSWER_MS  5000u /* for who has no other idea */

/**
 * enum diskctl_op - the questions; @a, @b of struct diskctl_ask
 * @DISKCTL_STATUS: nothing else
 * @DISKCTL_PROTECT: primary: mirror over the descriptor, @a the first epoch
 * @DISKCTL_MARK: primary: epoch @a ends here. Never waits
 * @DISKCTL_WAIT: @b ms at most for epoch @a: all of it is at the secondary
 * @DISKCTL_WAIT_DURABLE: the same, and a power cut does not take it
 * @DISKCTL_WAIT_SYNCED: primary, @b ms at most: the first mark may come
 * @DISKCTL_STOP: primary: end the mirror, go on alone
 * @DISKCTL_RATE: primary: a sync copies @a octets a second; 0: no limit
 * @DISKCTL_FOLLOW: secondary: what the descriptor says
 * @DISKCTL_ACCEPT: secondary: epoch @a counts; its commit begins
 * @DISKCTL_DISCARD: secondary: end the stream, drop what was not accepted
 * @DISKCTL_TAKEOVER: secondary: be the primary of generation @a; @b 1: also
 *                    with what a copy wrote that a former process served
 * @DISKCTL_SVM_OPEN: secondary: serve a copy of the guest (COLO), from the
 *                    first checkpoint on
 * @DISKCTL_CHECKPOINT: secondary, instead of ACCEPT: epoch @a counts, what the
 *                      copy wrote is dropped. @b ms at most for the epoch
 *                      below it to be durable
 * @DISKCTL_SVM_CLOSE: secondary: no copy of the guest any more
 * @DISKCTL_UNTAKE: take a TAKEOVER back, after which nobody wrote
 * @DISKCTL_CLAIM: primary: @a is enum identity_claim; durable with the answer.
 *                 Without IDENTITY_HAS_PEER there is no MARK; the others only
 *                 while nothing is mirrored
 * @DISKCTL_OUTRANK: primary, while nothing is mirrored: be of generation @a,
 *                   newer than a peer that may have taken over. Who has such
 *                   an image is asked all the same
 */
enum diskctl_op {
    DISKCTL_STATUS = 1,
    DISKCTL_PROTECT = 2,
    DISKCTL_MARK = 3,
    DISKCTL_WAIT = 4,
    DISKCTL_WAIT_DURABLE = 5,
    DISKCTL_WAIT_SYNCED = 6,
    DISKCTL_STOP = 7,
    DISKCTL_RATE = 8,
    DISKCTL_FOLLOW = 9,
    DISKCTL_ACCEPT = 10,
    DISKCTL_DISCARD = 11,
    DISKCTL_TAKEOVER = 12,
    DISKCTL_SVM_OPEN = 13,
    DISKCTL_CHECKPOINT = 14,
    DISKCTL_SVM_CLOSE = 15,
    DISKCTL_UNTAKE = 16,
    DISKCTL_CLAIM = 17,
    DISKCTL_OUTRANK = 18,
};

struct diskctl_ask {
    enum diskctl_op op;
    uint64_t a;
    uint64_t b;
};

enum diskctl_role { DISKCTL_PLAIN, DISKCTL_PRIMARY, DISKCTL_SECONDARY };

/* The second copy, of COLO. */
enum diskctl_svm {
    DISKCTL_SVM_NONE,
    DISKCTL_SVM_CLOSED,  /* before the first checkpoint, or after an error */
    DISKCTL_SVM_OVERLAY, /* it runs */
    DISKCTL_SVM_MERGING, /* it took over: its overlay goes to the image */
};

/**
 * struct diskctl_status - numbers in the order of the wire, then a sentence
 * @role: enum diskctl_role
 * @state: enum mirror_state, or enum follow_state
 * @mode: of a secondary's store, enum store_mode; else 0
 * @generation: @size: of the image
 * @epoch: primary: the open one, or the newest that is known
 * @held: @durable: @accepted: watermarks
 * @lacking: @unsafe: octets the peer lacks, or may lose
 * @intents: octets that would be copied after a crash of the primary
 * @queued: @queue_limit: octets that wait for the peer, and most of them
 * @copied: octets that the last sync copied
 * @waits: @wait_us: writes that had to wait for the peer
 * @losses: how often the peer was lost
 * @kept: @kept_limit: octets of epochs kept aside
 * @journal: octets in the journal
 * @connections: NBD connections that are served
 * @failed: a positive errno after an error that only a restart heals
 * @forgotten: 1: the bitmap's file can't be written and is gone; after a crash
 *             everything is compared
 * @compared: octets that the last sync found to be there already
 * @svm: enum diskctl_svm
 * @overlay: @overlay_limit: octets of what the copy wrote
 * @claim: enum identity_claim
 * @why: why the peer was lost
 */
struct diskctl_status {
    uint64_t role;
    uint64_t state;
    uint64_t mode;
    uint64_t generation;
    uint64_t size;
    uint64_t epoch;
    uint64_t held;
    uint64_t durable;
    uint64_t accepted;
    uint64_t lacking;
    uint64_t unsafe;
    uint64_t intents;
    uint64_t queued;
    uint64_t queue_limit;
    uint64_t copied;
    uint64_t waits;
    uint64_t wait_us;
    uint64_t losses;
    uint64_t kept;
    uint64_t kept_limit;
    uint64_t journal;
    uint64_t connections;
    uint64_t failed;
    uint64_t forgotten;
    uint64_t compared;
    uint64_t svm;
    uint64_t overlay;
    uint64_t overlay_limit;
    uint64_t claim;
    char why[DISKCTL_TEXT_MAX];
};

/* ---- For the session ----------------------------------------------------- */

/* The socket gives up after @ms without an answer, or a place in the plugin's
 * queue; not 0. Return: a descriptor, or a negative errno. */
int diskctl_connect(const char *path, unsigned int ms, struct xlc_error *err);

/**
 * diskctl_call() - ask, and wait for the answer
 * @sock: from diskctl_connect()
 * @fd: sent along; stays the caller's; -1: none
 * @st: the status after it; NULL: not wanted
 *
 * Return: 0; a negative errno with the plugin's sentence, or the socket's
 */
int diskctl_call(int sock, const struct diskctl_ask *ask, int fd,
                 struct diskctl_status *st, struct xlc_error *err);

/* ---- Both ends; pure ----------------------------------------------------- */

void diskctl_put_ask(const struct diskctl_ask *ask, uint8_t *buf);
/* Return: 0 or -EPROTO; @ask is touched on success only. */
int diskctl_get_ask(struct diskctl_ask *ask, const uint8_t *buf, size_t len);

/* @buf has room for both parts. Return: octets. */
size_t diskctl_put_answer(int status, const char *text,
                          const struct diskctl_status *st, uint8_t *buf);
/* How many octets of text follow the fixed part; -EPROTO. */
int diskctl_get_answer(const uint8_t *buf, size_t len, int *status,
                       struct diskctl_status *st);

/* ---- The plugin's end ---------------------------------------------------- */

struct disknode;
struct diskctl_server;

/* Makes the socket, mode 0600. No thread yet. */
int diskctl_serve_open(struct diskctl_server **out, const char *path,
                       struct xlc_error *err);
int diskctl_serve_start(struct diskctl_server *s, struct disknode *n,
                        struct xlc_error *err);
/* Ends all threads, removes the socket. NULL is allowed. */
void diskctl_serve_close(struct diskctl_server *s);

#endif
