/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * claim.h - Has the other host something newer than this image?
 *
 * RULES A7. An image that was mirrored may have been taken over since: whoever
 * wants to start a guest from it asks the other host what it has of the same
 * disk. The answer is one line of text (docs/specs/disk-protocol.md), which
 * `disk-serve history` says and ssh brings. All of this is pure.
 */
#ifndef XLC_CLAIM_H
#define XLC_CLAIM_H

#include "identity.h"

#define CLAIM_HEAD       "xl-colo-disk 1 "
#define CLAIM_ANSWER_MAX (64u + 2u * IDENTITY_FILE_MAX)

/**
 * struct claim_answer - what the other host has
 * @served: an nbdkit, or who may start one, has the image at this moment
 * @solo: its guest ran on there when it lost its peer; then @served isn't said
 * @known: there is an identity; then @id is it
 */
struct claim_answer {
    bool served;
    bool solo;
    bool known;
    struct identity id;
};

/* @out is touched on success only. Return: 0 or -EPROTO with a sentence. */
int claim_parse(struct claim_answer *out, const char *text, size_t len,
                struct xlc_error *err);

/**
 * claim_judge() - may a guest start from @mine?
 * @host: who said @theirs, for the sentence
 *
 * A copy that nobody serves can't take over any more: a new protection would
 * have to begin with this host. Which epoch it is at does not matter: as long
 * as it took nothing over, the primary's image is what the guest boots from
 * (RULES B3).
 *
 * If @mine was taken over, and no guest is known to have run from it, then it
 * is the newest only if nothing ran on from @theirs.
 *
 * Return: 0; -EBUSY: the copy may still take over, or who has @theirs only
 * asks, too: ask again; -EAGAIN: the same of what took over from @mine, but no,
 * if nothing ran on from @mine; -ESTALE, -EPERM, -ENOENT: no
 */
int claim_judge(const struct identity *mine, const struct claim_answer *theirs,
                const char *host, struct xlc_error *err);

#endif
