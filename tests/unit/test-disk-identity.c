/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-disk-identity.c - RULES A7: what an image is, and may be used for */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "cursor.h"
#include "fake-disk.h"
#include "identity.h"
#include "tap.h"

#define PATH "/d/x.identity"

static const struct identity good = {
    .uuid = { 1, 2, 3 },
    .generation = 3,
    .epoch = 40,
    .size = 1 << 20,
    .role = IDENTITY_PRIMARY,
    .flags = IDENTITY_CONSISTENT,
    .image = "/srv/web.img",
};

static void test_format(void)
{
    uint8_t b[IDENTITY_FILE_MAX + 1] = { 0 };
    struct identity id, merging = good;
    struct xlc_error err = XLC_ERROR_INIT;
    size_t len = identity_encode(&good, b), bad = 0;

    ok(len == IDENTITY_FIXED + strlen(good.image) + 8 &&
       !identity_decode(&id, b, len, &err) && !memcmp(&id, &good, sizeof(id)),
       "reads as written");
    merging.flags |= IDENTITY_MERGING;
    merging.overlay_generation = 2;
    merging.overlay_epoch = 39;
    len = identity_encode(&merging, b);
    ok(len && !identity_decode(&id, b, len, &err) &&
       id.overlay_epoch == 39 && id.overlay_generation == 2, "an overlay too");
    memset(merging.image, 'x', IDENTITY_IMAGE_MAX);
    merging.image[0] = '/';
    len = identity_encode(&merging, b);
    ok(len == IDENTITY_FILE_MAX && !identity_decode(&id, b, len, &err),
       "the longest");
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);

        memcpy(exact, b, cut);
        bad += identity_decode(&id, exact, cut, NULL) != -EINVAL;
        free(exact);
    }
    ok(!bad && identity_decode(&id, b, len + 1, NULL) == -EINVAL,
       "cut at each octet, and with one more");
    for (size_t i = 0; i < len; i++) {
        b[i] ^= 1;
        bad += identity_decode(&id, b, len, NULL) != -EINVAL;
        b[i] ^= 1;
    }
    ok(!bad, "each octet changed");
    merging.generation = 0;
    ok(!identity_encode(&merging, b), "no sense, no file");
}

/* RULES A7: whether another host may have taken over. */
static void test_claim(void)
{
    uint8_t b[IDENTITY_FILE_MAX];
    struct identity id = good, back;
    struct xlc_error err = XLC_ERROR_INIT;

    for (unsigned int c = IDENTITY_ALONE; c <= IDENTITY_TAKEN; c++) {
        size_t len;

        identity_set_claim(&id, (enum identity_claim)c);
        len = identity_encode(&id, b);
        ok(len && !identity_decode(&back, b, len, &err) &&
           identity_claim(&back) == c && back.flags & IDENTITY_CONSISTENT,
           "claim %u is kept", c);
    }
    id.flags |= IDENTITY_PAIRED;
    ok(!identity_encode(&id, b), "one claim, not two");
    identity_set_claim(&id, IDENTITY_HAS_PEER);
    id.role = IDENTITY_SECONDARY;
    ok(!identity_encode(&id, b), "nobody claims a copy");
}

/* Another version's file may say something else with the same octets. */
static void test_version(void)
{
    for (uint32_t version = 0; version < 5; version++) {
        uint8_t b[IDENTITY_FILE_MAX];
        size_t len = identity_encode(&good, b);
        struct wcur c = { b + 8, 4, false };
        struct xlc_error err = XLC_ERROR_INIT;
        struct identity id;
        int rc;

        wcur_u32(&c, version);
        c = (struct wcur){ b + len - 8, 8, false };
        wcur_u64(&c, XXH3_64bits(b, len - 8));
        rc = identity_decode(&id, b, len, &err);
        ok(version == 2 ? !rc : rc == -EINVAL && strstr(err.msg, "version"),
           "version %u: %s", version, rc ? err.msg : "read");
    }
}

static int save(const struct diskio *io, struct identity id, bool force,
                struct xlc_error *err)
{
    *err = (struct xlc_error)XLC_ERROR_INIT;
    return identity_save(io, PATH, &id, force, err);
}

static void test_save(void)
{
    struct fake_disk *d = fake_disk_new(1);
    struct diskio io = fake_disk_io(d);
    struct identity id = good;
    struct xlc_error err = XLC_ERROR_INIT;

    ok(identity_load(&io, PATH, &id, &err) == -ENOENT && !err.status,
       "none is no error");
    ok(!save(&io, good, false, &err), "the first");
    id = good;
    id.epoch--;
    ok(save(&io, id, false, &err) == -ESTALE, "%s", err.msg);
    id.generation++;
    ok(!save(&io, id, false, &err), "a newer generation");
    ok(save(&io, good, false, &err) == -ESTALE, "%s", err.msg);
    id.uuid[0]++;
    ok(save(&io, id, false, &err) == -EPERM, "%s", err.msg);
    ok(!save(&io, id, true, &err), "by force");
    fake_disk_put(d, PATH, 70, 7);
    ok(save(&io, id, false, &err) == -EINVAL, "%s", err.msg);
    fake_disk_free(d);
}

/* Old or new, at each call, whatever reached the medium. */
static void test_crash(void)
{
    unsigned int odd = 0, old = 0, new = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        for (unsigned long n = 1; n < 14; n++) {
            struct fake_disk *d = fake_disk_new(seed * 100 + n);
            struct diskio io = fake_disk_io(d);
            struct identity id = good;
            struct xlc_error err = XLC_ERROR_INIT;
            int rc;

            if (save(&io, good, false, &err)) abort();
            id.epoch = 41;
            fake_disk_fault(d, n, FAKE_CUT);
            rc = save(&io, id, false, &err);
            fake_disk_reboot(d);
            if (identity_load(&io, PATH, &id, &err)) odd++;
            else if (id.epoch == 41) new++;
            else if (rc) old++;
            else odd++;
            fake_disk_free(d);
        }
    }
    ok(!odd && old && new, "a power cut leaves the old (%u) or the new (%u)",
       old, new);
}

static void refused(int rc, int want, const struct xlc_error *err)
{
    ok(rc == want && err->msg[0], "refused: %s", err->msg);
}

static void test_use(void)
{
    struct identity id = good, peer = good;
    struct xlc_error err = XLC_ERROR_INIT;

    peer.uuid[3]++;
    ok(!identity_may_boot(&good, false, &err), "a primary's image boots");
    identity_set_claim(&id, IDENTITY_HAS_PEER);
    refused(identity_may_boot(&id, false, &err), -ESTALE, &err);
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(!identity_may_boot(&id, true, &err), "once the peer was asked");
    identity_set_claim(&id, IDENTITY_TAKEN);
    refused(identity_may_boot(&id, false, &err), -ESTALE, &err);
    err = (struct xlc_error)XLC_ERROR_INIT;
    ok(!identity_may_boot(&id, true, &err), "taken over, and asked");
    identity_set_claim(&id, IDENTITY_GIVEN);
    refused(identity_may_boot(&id, true, &err), -ESTALE, &err);
    id.flags = 0;
    err = (struct xlc_error)XLC_ERROR_INIT;
    refused(identity_may_boot(&id, true, &err), -ESTALE, &err);
    id = good;
    id.role = IDENTITY_SECONDARY;
    err = (struct xlc_error)XLC_ERROR_INIT;
    refused(identity_may_boot(&id, true, &err), -ESTALE, &err);
    err = (struct xlc_error)XLC_ERROR_INIT;
    refused(identity_belongs(&good, good.uuid, "/srv/db.img", 1 << 20, &err),
            -EPERM, &err);
    err = (struct xlc_error)XLC_ERROR_INIT;
    refused(identity_belongs(&good, good.uuid, good.image, 1 << 21, &err),
            -EPERM, &err);
    err = (struct xlc_error)XLC_ERROR_INIT;
    refused(identity_belongs(&good, peer.uuid, good.image, 1 << 20, &err),
            -EPERM, &err);
    ok(!identity_belongs(&good, good.uuid, good.image, 1 << 20, &err),
       "its own");
}

int main(void)
{
    test_format();
    test_claim();
    test_version();
    test_save();
    test_crash();
    test_use();
    return done_testing();
}
