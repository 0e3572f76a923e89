/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-disk-claim.c - RULES A7: has the other host something newer? */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "tap.h"

#define ROOM (CLAIM_ANSWER_MAX + 16u)

static const struct identity mine = {
    .uuid = { 1, 2, 3 },
    .generation = 3,
    .epoch = 40,
    .size = 1 << 20,
    .role = IDENTITY_PRIMARY,
    .flags = IDENTITY_CONSISTENT | IDENTITY_PAIRED,
    .image = "/srv/web.img",
};

/* As disk-serve says it. Return: octets */
static size_t say(char *to, const char *head, const struct identity *id)
{
    uint8_t b[IDENTITY_FILE_MAX];
    size_t len = identity_encode(id, b);
    size_t at = (size_t)snprintf(to, ROOM, "%s", head);

    for (size_t i = 0; i < len; i++)
        at += (size_t)snprintf(to + at, ROOM - at, "%02x", b[i]);
    to[at++] = '\n';
    return at;
}

static void test_format(void)
{
    char text[ROOM];
    struct claim_answer a;
    struct xlc_error err = XLC_ERROR_INIT;
    struct identity longest = mine;
    size_t len = say(text, CLAIM_HEAD "served ", &mine), bad = 0;

    ok(!claim_parse(&a, text, len, &err) && a.served && a.known &&
       !memcmp(&a.id, &mine, sizeof(mine)), "an answer is read as it was said");
    ok(!claim_parse(&a, text, len - 1, &err) && a.known,
       "without its line's end too");
    for (size_t cut = 0; cut < len - 1; cut++) {
        char *exact = malloc(cut ? cut : 1);
        struct xlc_error why = XLC_ERROR_INIT;

        if (!exact) abort();
        memcpy(exact, text, cut);
        bad += claim_parse(&a, exact, cut, &why) != -EPROTO || !why.msg[0];
        free(exact);
    }
    ok(!bad, "cut at each octet");
    for (size_t i = 0; i < len - 1; i++) {
        text[i] ^= 1;
        bad += claim_parse(&a, text, len, NULL) != -EPROTO;
        text[i] ^= 1;
    }
    ok(!bad, "each octet changed");
    text[len - 1] = '0';
    ok(claim_parse(&a, text, len, &err) == -EPROTO, "%s", err.msg);
    memset(longest.image, 'x', IDENTITY_IMAGE_MAX);
    longest.image[0] = '/';
    len = say(text, CLAIM_HEAD "idle ", &longest);
    ok(len <= CLAIM_ANSWER_MAX && !claim_parse(&a, text, len, NULL) &&
       !a.served, "the longest");
    len = say(text, CLAIM_HEAD "solo ", &mine);
    ok(!claim_parse(&a, text, len, NULL) && a.solo && !a.served,
       "one whose guest ran on");
    len = (size_t)snprintf(text, sizeof(text), CLAIM_HEAD "idle none\n");
    ok(!claim_parse(&a, text, len, NULL) && !a.known, "nothing is known");
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(claim_parse(&a, "xl: unknown command\n", 20, &err) == -EPROTO &&
       strstr(err.msg, "another version"), "%s", err.msg);
}

static void judge(uint64_t generation, uint32_t role, bool served, int want,
                  const char *what)
{
    struct claim_answer a = { .served = served, .known = true, .id = mine };
    struct xlc_error err = XLC_ERROR_INIT;
    int rc;

    a.id.generation = generation;
    a.id.role = role;
    a.id.epoch = 90; /* of a copy: further than our identity knows */
    rc = claim_judge(&mine, &a, "hostb", &err);
    ok(rc == want && (!rc || (strstr(err.msg, "hostb") &&
                              strstr(err.msg, mine.image))),
       "%s%s%s", what, rc ? ": " : "", err.msg);
}

static void test_judge(void)
{
    struct claim_answer a = { .id = mine };
    struct xlc_error err = XLC_ERROR_INIT;

    judge(3, IDENTITY_SECONDARY, false, 0, "a copy that nobody keeps");
    judge(2, IDENTITY_SECONDARY, false, 0, "a copy of before");
    judge(2, IDENTITY_PRIMARY, false, 0, "a primary of before");
    judge(2, IDENTITY_PRIMARY, true, 0, "even if it is served");
    judge(3, IDENTITY_SECONDARY, true, -EBUSY, "a copy that is kept");
    judge(4, IDENTITY_PRIMARY, true, -ESTALE, "it runs there");
    judge(4, IDENTITY_PRIMARY, false, -ESTALE, "it ran there");
    judge(3, IDENTITY_PRIMARY, false, -ESTALE, "both ran");
    judge(4, IDENTITY_SECONDARY, false, -ESTALE, "a copy of a newer one");
    judge(UINT64_MAX, IDENTITY_SECONDARY, true, -ESTALE, "much newer");
    ok(claim_judge(&mine, &a, "hostb", &err) == -ENOENT, "%s", err.msg);
    a.known = true;
    a.id.uuid[15] ^= 1;
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(claim_judge(&mine, &a, "hostb", &err) == -EPERM, "%s", err.msg);
}

/* Ours was taken over in generation 3, and nobody knows whether a guest ran
 * from it. */
static void judge_taken(struct claim_answer a, int want, const char *what)
{
    struct identity taken = mine;
    struct xlc_error err = XLC_ERROR_INIT;
    int rc;

    identity_set_claim(&taken, IDENTITY_TAKEN);
    a.known = true;
    rc = claim_judge(&taken, &a, "hosta", &err);
    ok(rc == want && (!rc || (strstr(err.msg, "hosta") &&
                              strstr(err.msg, mine.image))),
       "RULES A7: taken over: %s%s%s", what, rc ? ": " : "", err.msg);
}

static void test_taken(void)
{
    struct claim_answer a = { .id = mine };

    a.id.generation = 2;
    judge_taken(a, 0, "the primary's lies there as it was");
    a.served = true;
    judge_taken(a, -EBUSY, "its guest has it, or asks for it");
    a.served = false;
    a.solo = true;
    judge_taken(a, -ESTALE, "its guest ran on");
    a.solo = false;
    a.id.epoch++;
    judge_taken(a, -ESTALE, "it was mirrored on");
    a.id.epoch--;
    a.id.generation = 4;
    judge_taken(a, -ESTALE, "it was resumed");
    a.id.generation = 3;
    judge_taken(a, -ESTALE, "it was forced");
    a.id.generation = 2;
    a.id.flags = IDENTITY_CONSISTENT;
    a.id.role = IDENTITY_SECONDARY;
    judge_taken(a, -EPERM, "it is a copy by now");
}

/* Theirs was taken over from ours, and the same is not known of that. */
static void test_took(void)
{
    struct claim_answer a = { .known = true, .id = mine };
    struct xlc_error err = XLC_ERROR_INIT;
    struct identity ours = mine;

    a.id.generation = 4;
    identity_set_claim(&a.id, IDENTITY_TAKEN);
    ok(claim_judge(&ours, &a, "hostb", &err) == -ENOENT &&
       strstr(err.msg, "generation 4"), "%s", err.msg);
    a.served = true;
    ok(claim_judge(&ours, &a, "hostb", NULL) == -EAGAIN, "about to run");
    a.served = false;
    a.id.generation = 5;
    ok(claim_judge(&ours, &a, "hostb", NULL) == -ESTALE,
       "taken over from a newer one than ours");
    a.id.generation = 3;
    ok(claim_judge(&ours, &a, "hostb", NULL) == -ESTALE,
       "as new as ours, and not from it");
    ours.generation = 2;
    identity_set_claim(&ours, IDENTITY_TAKEN);
    ok(claim_judge(&ours, &a, "hostb", NULL) == -ESTALE,
       "neither is known to have run");
}

int main(void)
{
    test_format();
    test_judge();
    test_taken();
    test_took();
    return done_testing();
}
