/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-disklist.c - The list of mirrored disks: round trip, cuts, bad values */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "disklist.h"
#include "tap.h"

static void fill(struct disklist *l, unsigned int n, bool longest)
{
    memset(l, 0, sizeof(*l));
    l->first = longest ? UINT64_MAX : 1;
    l->force = longest;
    l->n = n;
    for (unsigned int i = 0; i < n; i++) {
        struct disklist_item *d = &l->at[i];

        memset(d->uuid, (int)i + 1, sizeof(d->uuid));
        d->size = longest ? INT64_MAX : 512 * (i + 1);
        snprintf(d->vdev, sizeof(d->vdev), "xvd%c%s", 'a' + (int)i,
                 longest ? "12345678901" : "");
        memset(d->path, 'x', DISKLIST_PATH_MAX);
        snprintf(d->path, sizeof(d->path), "/srv/%u", i);
        if (longest) d->path[strlen(d->path)] = 'x';
    }
}

static void test_round(unsigned int n, bool longest)
{
    static struct disklist l, got;
    static uint8_t buf[PROTO_DISKS_MAX], again[PROTO_DISKS_MAX];
    struct xlc_error err = XLC_ERROR_INIT;
    bool cut = true;
    int len;

    fill(&l, n, longest);
    len = disklist_put(&l, buf, &err);
    ok(len > 0 && (!longest || n < DISKLIST_MAX || len == PROTO_DISKS_MAX),
       "%u disks%s: %d octets %s", n, longest ? " with long names" : "", len,
       err.msg);
    ok(!disklist_get(&got, buf, (size_t)len, &err) &&
       disklist_put(&got, again, &err) == len &&
       !memcmp(buf, again, (size_t)len) && got.n == n &&
       got.first == l.first && got.force == l.force &&
       !strcmp(got.at[n - 1].path, l.at[n - 1].path),
       "and back: %s", err.msg);
    for (int i = 0; i < len && cut; i++) {
        CLEANUP_FREE uint8_t *part = malloc((size_t)i + 1);

        memcpy(part, buf, (size_t)i);
        cut = disklist_get(&got, part, (size_t)i, NULL) == -EPROTO;
    }
    ok(cut, "cut at every octet it is refused");
    ok(disklist_find(&l, l.at[n - 1].vdev) == &l.at[n - 1] &&
       !disklist_find(&l, "xvd"), "a disk is found by its whole name");
}

/* What disklist_put() must refuse, as disklist_get() would. */
static void test_bad(void)
{
    static const struct {
        const char *vdev, *path, *said;
    } bad[] = {
        { "", "/a", "name" },         { "xv/a", "/a", "name" },
        { "xvda", "a", "absolute" },  { "xvda", "/a\n", "printable" },
        { "xvda", "/\xc3\xa4", "printable" },
        { "xvdb", "/a", "one disk" }, { "xvda", "/srv/1", "one disk" },
    };
    static struct disklist l;
    static uint8_t buf[PROTO_DISKS_MAX];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct xlc_error err = XLC_ERROR_INIT;

        fill(&l, 2, false);
        snprintf(l.at[0].vdev, sizeof(l.at[0].vdev), "%s", bad[i].vdev);
        snprintf(l.at[0].path, sizeof(l.at[0].path), "%s", bad[i].path);
        ok(disklist_put(&l, buf, &err) == -EINVAL &&
           strstr(err.msg, bad[i].said), "refused: %s", err.msg);
    }
    fill(&l, 1, false);
    l.first = 0;
    ok(disklist_put(&l, buf, NULL) == -EINVAL, "no epoch");
    fill(&l, 1, false);
    l.at[0].size = (uint64_t)INT64_MAX + 1;
    ok(disklist_put(&l, buf, NULL) == -EINVAL, "a size that is none");
    fill(&l, 1, false);
    memset(l.at[0].uuid, 0, sizeof(l.at[0].uuid));
    ok(disklist_put(&l, buf, NULL) == -EINVAL, "no uuid");
    fill(&l, 1, false);
    l.n = 0;
    ok(disklist_put(&l, buf, NULL) == -EINVAL, "no disk");
    l.n = DISKLIST_MAX + 1;
    ok(disklist_put(&l, buf, NULL) == -EINVAL, "too many disks");
}

int main(void)
{
    test_round(1, false);
    test_round(DISKLIST_MAX, false);
    test_round(DISKLIST_MAX, true);
    test_bad();
    return done_testing();
}
