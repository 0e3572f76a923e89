/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* claim.c - Has the other host something newer than this image? */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "claim.h"
#include "cursor.h"

/* Take @word, if it comes next. */
static bool next(struct rcur *c, const char *word)
{
    size_t len = strlen(word);
    struct rcur at = *c;
    const uint8_t *p = rcur_take(&at, len);

    if (!p || memcmp(p, word, len)) return false;
    *c = at;
    return true;
}

static int digit(uint8_t ch)
{
    if (ch >= '0' && ch <= '9') return ch - '0';
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* The rest, in hex. Return: octets, 0 if it is none. */
static size_t bytes(struct rcur *c, uint8_t *to)
{
    size_t n = 0;

    while (!rcur_done(c)) {
        int high = digit(rcur_u8(c)), low = digit(rcur_u8(c));

        if (c->bad || high < 0 || low < 0 || n == IDENTITY_FILE_MAX) return 0;
        to[n++] = (uint8_t)(high << 4 | low);
    }
    return n;
}

int claim_parse(struct claim_answer *out, const char *text, size_t len,
                struct xlc_error *err)
{
    struct claim_answer n = { .known = true };
    struct xlc_error why = XLC_ERROR_INIT;
    uint8_t buf[IDENTITY_FILE_MAX];
    struct rcur c;
    size_t size;

    if (len && text[len - 1] == '\n') len--;
    c = (struct rcur){ (const uint8_t *)text, len, false };
    if (!next(&c, CLAIM_HEAD))
        return xlc_error_set(err, -EPROTO, "it answers nonsense: is its "
                             "xl-colo another version?");
    n.served = next(&c, "served ");
    n.solo = !n.served && next(&c, "solo ");
    if (!n.served && !n.solo && !next(&c, "idle "))
        return xlc_error_set(err, -EPROTO, "it answers nonsense");
    if (next(&c, "none") && rcur_done(&c)) {
        n.known = false;
    } else {
        size = bytes(&c, buf);
        if (!size || identity_decode(&n.id, buf, size, &why))
            return xlc_error_set(err, -EPROTO, "what it knows of its image "
                                 "can't be used: %s", why.status ? why.msg
                                 : "it answers nonsense");
    }
    *out = n;
    return 0;
}

/* Of what was taken over from @theirs, which is no newer. */
static int judge_taken(const struct identity *mine,
                       const struct claim_answer *theirs, const char *host,
                       struct xlc_error *err)
{
    if (theirs->id.role != IDENTITY_PRIMARY)
        return xlc_error_set(err, -EPERM, "%s may not be the newest: it was "
                             "taken over from %s, whose image is a copy of "
                             "yet another one now", mine->image, host);
    if (theirs->served)
        return xlc_error_set(err, -EBUSY, "%s is not the newest: it was taken "
                             "over, no guest is known to have run from it, "
                             "and %s has the guest's own disk in use",
                             mine->image, host);
    if (theirs->solo)
        return xlc_error_set(err, -ESTALE, "%s is not the newest: it was taken "
                             "over, no guest is known to have run from it, "
                             "and on %s the guest ran on", mine->image, host);
    if (theirs->id.epoch > mine->epoch)
        return xlc_error_set(err, -ESTALE, "%s is not the newest: it was taken "
                             "over, no guest is known to have run from it, "
                             "and %s was mirrored to another host since",
                             mine->image, host);
    return 0;
}

/* Was @theirs taken over from what @mine is, and has never run since? */
static bool never_ran(const struct identity *mine,
                      const struct claim_answer *theirs)
{
    const struct identity *id = &theirs->id;

    return identity_claim(mine) == IDENTITY_HAS_PEER &&
           id->role == IDENTITY_PRIMARY && id->generation > mine->generation &&
           id->generation - mine->generation == 1 &&
           identity_claim(id) == IDENTITY_TAKEN;
}

/* Of what was taken over from @mine. */
static int judge_took(const struct identity *mine,
                      const struct claim_answer *theirs, const char *host,
                      struct xlc_error *err)
{
    if (theirs->served)
        return xlc_error_set(err, -EAGAIN, "%s is not the newest: %s has taken "
                             "it over, as generation %" PRIu64 ", and has "
                             "that in use", mine->image, host,
                             theirs->id.generation);
    return xlc_error_set(err, -ENOENT, "%s may not be the newest: %s has taken "
                         "it over, as generation %" PRIu64 ", and no guest is "
                         "known to have run from that: it starts there, if "
                         "none ran on here", mine->image, host,
                         theirs->id.generation);
}

int claim_judge(const struct identity *mine, const struct claim_answer *theirs,
                const char *host, struct xlc_error *err)
{
    const struct identity *id = &theirs->id;

    if (!theirs->known)
        return xlc_error_set(err, -ENOENT, "%s may not be the newest: it was "
                             "mirrored to %s, which knows nothing of the disk "
                             "any more", mine->image, host);
    if (memcmp(id->uuid, mine->uuid, sizeof(id->uuid)))
        return xlc_error_set(err, -EPERM, "%s may not be the newest: it was "
                             "mirrored to %s, where another guest has the "
                             "disk now", mine->image, host);
    if (never_ran(mine, theirs)) return judge_took(mine, theirs, host, err);
    if (id->generation > mine->generation ||
        (id->generation == mine->generation && id->role == IDENTITY_PRIMARY))
        return xlc_error_set(err, -ESTALE, "%s is not the newest: %s has "
                             "generation %" PRIu64 " of the disk, from which "
                             "the guest runs or ran last, and this is "
                             "generation %" PRIu64, mine->image, host,
                             id->generation, mine->generation);
    if (identity_claim(mine) == IDENTITY_TAKEN)
        return judge_taken(mine, theirs, host, err);
    if (id->role == IDENTITY_SECONDARY && theirs->served)
        return xlc_error_set(err, -EBUSY, "%s may not be the newest: %s keeps "
                             "a copy of it at this moment, which may take "
                             "over", mine->image, host);
    return 0;
}
