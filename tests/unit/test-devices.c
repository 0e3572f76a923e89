/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-devices.c - Devices that come and go under protection */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "tap.h"

#define LIBXL "/libxl/7/device"
#define BACK  "/local/domain/0/backend"
#define NODES 160

/* A small xenstore: nodes with values; directories follow from the paths. */
static struct {
    char path[96], value[64];
} node[NODES];
static unsigned int nodes;
static int broken; /* errno of every listing, or 0 */

static void put(const char *path, const char *value)
{
    snprintf(node[nodes].path, sizeof(node[0].path), "%s", path);
    snprintf(node[nodes++].value, sizeof(node[0].value), "%s", value);
}

static void cut(const char *dir)
{
    for (unsigned int i = 0; i < nodes; i++)
        if (!strncmp(node[i].path, dir, strlen(dir))) node[i].path[0] = 0;
}

static char *fake_read(void *h, const char *path)
{
    (void)h;
    for (unsigned int i = 0; i < nodes; i++)
        if (!strcmp(node[i].path, path)) return strdup(node[i].value);
    errno = ENOENT;
    return NULL;
}

/* As libxenstore does: the names follow the pointers, one free() for all. */
static char **fake_list(void *h, const char *path, unsigned int *n_r)
{
    char **list = calloc(NODES, sizeof(char *) + 40), *text;
    size_t len = strlen(path);

    (void)h;
    *n_r = 0;
    if (!list) abort();
    text = (char *)(list + NODES);
    for (unsigned int i = 0; i < nodes && !broken; i++) {
        unsigned int k = 0;

        if (strncmp(node[i].path, path, len) || node[i].path[len] != '/')
            continue;
        snprintf(text, 40, "%.*s", (int)strcspn(node[i].path + len + 1, "/"),
                 node[i].path + len + 1);
        while (k < *n_r && strcmp(list[k], text)) k++;
        if (k < *n_r) continue;
        list[(*n_r)++] = text;
        text += 40;
    }
    if (*n_r) return list;
    free(list);
    errno = broken ? broken : ENOENT;
    return NULL;
}

static const struct devices_store store = { fake_list, fake_read, NULL };
static struct devices_judge j;
static struct xlc_error err;

static void put_vif(const char *n)
{
    char path[96], back[64];

    snprintf(back, sizeof(back), BACK "/vif/7/%s", n);
    snprintf(path, sizeof(path), LIBXL "/vif/%s/backend", n);
    put(path, back);
    snprintf(path, sizeof(path), "%s/state", back);
    put(path, "1");
}

static void put_disk(const char *n, const char *mode, const char *name)
{
    char path[96], back[64];

    snprintf(back, sizeof(back), BACK "/vbd/7/%s", n);
    snprintf(path, sizeof(path), LIBXL "/vbd/%s/backend", n);
    put(path, back);
    snprintf(path, sizeof(path), "%s/mode", back);
    put(path, mode);
    snprintf(path, sizeof(path), "%s/dev", back);
    put(path, name);
}

static void begin(void)
{
    nodes = 0;
    broken = 0;
    memset(&j, 0, sizeof(j));
    xlc_error_clear(&err);
    put_vif("0");
    put_disk("51712", "r", "xvda");
    put(LIBXL "/console/0/backend", BACK "/console/7/0");
    devices_read(&j.was, &store, 7, &err);
}

/* Look and judge. */
static int judge(uint64_t now)
{
    int r;

    xlc_error_clear(&err);
    r = devices_read(&j.now, &store, 7, &err);
    return r ? r : devices_judge(&j, now, &err);
}

static void test_read(void)
{
    const struct device *v;

    begin();
    ok(j.was.n == 3 && !err.status, "three devices %s", err.msg);
    v = devices_find(&j.was, "vif/0");
    ok(v && v->vif && !v->disk && !v->elsewhere && v->devid == 0 &&
       !strcmp(v->ifname, "vif7.0"), "a vif and its interface");
    v = devices_find(&j.was, "vbd/51712");
    ok(v && v->disk && !v->writable && !strcmp(v->vdev, "xvda"),
       "a disk that can't be written to");
    ok(!devices_find(&j.was, "vif/1"), "nothing else");
    put(BACK "/vif/7/0/vifname", "a-name-of-its-own-that-is-too-long");
    put(LIBXL "/vif/3/backend", "/local/domain/2/backend/vif/7/3");
    put(LIBXL "/vif/99999999999/backend", BACK "/vif/7/9");
    put(LIBXL "/vif/x/backend", BACK "/vif/7/x");
    ok(!devices_read(&j.now, &store, 7, &err) && j.now.n == 4,
       "what is no number is passed over");
    v = devices_find(&j.now, "vif/0");
    ok(v && !strcmp(v->ifname, "a-name-of-its-o"), "a name of its own");
    v = devices_find(&j.now, "vif/3");
    ok(v && v->elsewhere, "a vif of a driver domain");
    nodes = 0;
    ok(!devices_read(&j.now, &store, 7, &err) && !j.now.n,
       "no directory, no devices");
    broken = EIO;
    ok(devices_read(&j.now, &store, 7, &err) == -EIO &&
       strstr(err.msg, "/libxl/7/device"), "xenstore fails: %s", err.msg);
}

static void test_too_many(void)
{
    char path[96];

    nodes = 0;
    broken = 0;
    xlc_error_clear(&err);
    for (unsigned int i = 0; i < DEVICES_MAX; i++) {
        snprintf(path, sizeof(path), LIBXL "/c%u/0/backend", i);
        put(path, BACK "/c/7/0");
    }
    ok(!devices_read(&j.now, &store, 7, &err) && j.now.n == DEVICES_MAX,
       "%d devices", DEVICES_MAX);
    put(LIBXL "/one/0/backend", BACK "/one/7/0");
    ok(devices_read(&j.now, &store, 7, &err) == -E2BIG &&
       strstr(err.msg, "more than 128 devices"), "%s", err.msg);
}

static void test_added(void)
{
    begin();
    ok(!judge(0), "nothing changed");
    put_vif("1");
    ok(judge(0) == -ESTALE && strstr(err.msg, "vif 1 was added"),
       "rule_A4: a vif that is added: %s", err.msg);
    begin();
    put(BACK "/vif/7/1/state", "1"); /* by no libxl */
    ok(judge(0) == -ESTALE && strstr(err.msg, "vif 1 was added"),
       "rule_A4: one that only the backend knows");
    begin();
    put_disk("51728", "w", "xvdb");
    ok(judge(0) == -ESTALE && strstr(err.msg, "writable disk xvdb was added"),
       "rule_A14: a writable disk: %s", err.msg);
    begin();
    put_disk("51728", "r", "xvdb");
    ok(judge(0) == -ESTALE && strstr(err.msg, "disk xvdb was added") &&
       !strstr(err.msg, "writable"), "a read-only disk: %s", err.msg);
    begin();
    put(LIBXL "/pci/0/backend", BACK "/pci/7/0");
    ok(judge(0) == -ESTALE && strstr(err.msg, "pci 0 was added"),
       "anything else: %s", err.msg);
}

static void test_removed(void)
{
    begin();
    cut(LIBXL "/vif/0");
    cut(BACK "/vif/7/0");
    ok(!judge(1000), "a vif that goes may be the guest's end");
    ok(!judge(1000 + DEVICES_GONE_MS - 1), "and is waited for");
    ok(judge(1000 + DEVICES_GONE_MS) == -ESTALE &&
       strstr(err.msg, "vif 0 was removed"), "not for ever: %s", err.msg);
    begin();
    cut(LIBXL "/vif/0");
    cut(BACK "/vif/7/0");
    ok(!judge(1000), "a vif goes");
    put_vif("0");
    ok(judge(1001) == -ESTALE && strstr(err.msg, "vif 0 was replaced"),
       "and comes back: %s", err.msg);
    begin();
    cut(LIBXL "/vif/0");
    ok(!judge(1000) && !judge(1000 + 2 * DEVICES_GONE_MS),
       "as long as the backend has it, it is there");
}

int main(void)
{
    test_read();
    test_too_many();
    test_added();
    test_removed();
    return done_testing();
}
