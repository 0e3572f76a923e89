/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disknode.h - A disk that this process serves: one image in its role
 *
 * What the NBD plugin and the control socket work on. A node is
 *   plain      an image, nothing else: no state, no protection
 *   primary    an image, its identity, and from the first protection on a
 *              bitmap and a mirror
 *   secondary  a follower; with COLO it serves the guest's second copy from
 *              an overlay; a takeover makes it a primary
 *
 * Connections (RULES A8): a new NBD connection is served only after the
 * requests of those before it have ended; what the server had read from them
 * and not begun fails. With @connections above 1 that many live together, and
 * one more ends all before it.
 *
 * Threads: any number may call. @session orders what changes the role or the
 * protection; requests do not take it.
 */
#ifndef XLC_DISKNODE_H
#define XLC_DISKNODE_H

#include "diskctl.h"
#include "follow.h"
#include "front.h"
#include "mirror.h"

/**
 * struct disknode_opts - strings, and @io, are the caller's, and outlive the
 * node
 * @io: how to reach files; NULL: diskio_real
 * @image: absolute path
 * @dir: the state folder; NULL: plain
 * @name: of the disk, the prefix of its files there
 * @uuid: the guest's
 * @secondary: which end
 * @force: primary: serve an image that is not known to be the newest.
 *         Secondary: overwrite one of which nothing is known
 * @newest: the other host was asked: see identity_may_boot()
 * @connections: of NBD that may live at once
 * @tidy_ms: how often intents are cleared
 * @mirror: see mirror.h
 * @memory: @spill: @journal: see store.h
 * @overlay: see overlay.h
 */
struct disknode_opts {
    const struct diskio *io;
    const char *image;
    const char *dir;
    const char *name;
    uint8_t uuid[16];
    bool secondary;
    bool force;
    bool newest;
    unsigned int connections;
    uint32_t tidy_ms;
    struct mirror_opts mirror;
    uint64_t memory;
    uint64_t spill;
    uint64_t journal;
    uint64_t overlay;
};

#define DISKNODE_TIDY_MS 2000u

struct disknode;
struct disknode_conn;

/* Opens all files; starts no thread, so a fork may follow. */
int disknode_open(struct disknode **out, const struct disknode_opts *o,
                  struct xlc_error *err);
int disknode_start(struct disknode *n, struct xlc_error *err);

/* No connection is left. NULL is allowed. */
int disknode_close(struct disknode *n, struct xlc_error *err);

uint64_t disknode_size(const struct disknode *n);

/* One NBD connection. Return: 0; -EPERM if no guest runs here. */
int disknode_connect(struct disknode *n, struct disknode_conn **out,
                     struct xlc_error *err);
void disknode_disconnect(struct disknode_conn *c);

/* Requests, as in front.h. -ESHUTDOWN: a newer connection came. */
int disknode_read(struct disknode_conn *c, void *buf, uint32_t len,
                  uint64_t off, struct xlc_error *err);
int disknode_write(struct disknode_conn *c, const void *buf, uint32_t len,
                   uint64_t off, struct xlc_error *err);
int disknode_zero(struct disknode_conn *c, uint32_t len, uint64_t off,
                  struct xlc_error *err);
int disknode_flush(struct disknode_conn *c, struct xlc_error *err);

/**
 * disknode_control() - what the session asks for; see diskctl.h
 * @fd: a descriptor that came along, or -1; taken over in any case
 */
int disknode_control(struct disknode *n, const struct diskctl_ask *ask,
                     int fd, struct xlc_error *err);
void disknode_status(struct disknode *n, struct diskctl_status *st);

#endif
