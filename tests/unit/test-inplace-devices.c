/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-inplace-devices.c - Backends are disconnected by a paused guest's
 * frontends, which are played
 *
 * With a xenstore of a few nodes; its backends answer as Linux's do.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "inplace-devices.h"
#include "tap.h"

#define NODES 64

struct node {
    char path[128], value[64];
};

/* The store, and what happens in it. */
static struct {
    struct node nodes[NODES];
    unsigned int n, writes, watches;
    const char *stuck;     /* this backend answers no more */
    const char *late;      /* the guest's own word for this frontend ... */
    unsigned int late_at;  /* ... comes after so many writes */
    bool changed;          /* the list of devices has changed */
    char log[512];         /* what was written, in order */
} st;

static struct node *find(const char *path)
{
    for (unsigned int i = 0; i < st.n; i++)
        if (!strcmp(st.nodes[i].path, path)) return &st.nodes[i];
    return NULL;
}

static void put(const char *path, const char *value)
{
    struct node *n = find(path);

    if (!n) n = &st.nodes[st.n++];
    if (st.n > NODES) abort();
    snprintf(n->path, sizeof(n->path), "%s", path);
    snprintf(n->value, sizeof(n->value), "%s", value);
}

static void add_device(const char *kind, const char *id, const char *backend)
{
    char path[128], value[64];

    snprintf(path, sizeof(path), "/libxl/5/device/%s/%s/backend", kind, id);
    snprintf(value, sizeof(value), "/local/domain/%s/backend/%s/5/%s",
             backend, kind, id);
    put(path, value);
    snprintf(path, sizeof(path), "/local/domain/5/device/%s/%s/state", kind,
             id);
    put(path, "4");
    /* What the guest says of its backend is never looked at. */
    snprintf(path, sizeof(path), "/local/domain/5/device/%s/%s/backend", kind,
             id);
    put(path, "/local/domain/0/backend/vif/1/0");
    snprintf(path, sizeof(path), "%s/state", value);
    put(path, "4");
}

/* As netback and blkback: 5 to 5, 6 to 6, 1 (once they are closed) to 2. */
static void backend_answers(const char *frontend, const char *value)
{
    char path[128];
    struct node *n;

    snprintf(path, sizeof(path), "/local/domain/0/backend/%.3s/5/%.*s",
             frontend, (int)strcspn(frontend + 4, "/"), frontend + 4);
    if (st.stuck && strstr(path, st.stuck)) return;
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/state");
    n = find(path);
    if (!n) return;
    if (!strcmp(value, "5") && strcmp(n->value, "6")) put(path, "5");
    if (!strcmp(value, "6") && !strcmp(n->value, "5")) put(path, "6");
    if (!strcmp(value, "1") && !strcmp(n->value, "6")) put(path, "2");
}

/* ---- libxenstore, as far as it is used ---- */

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return (struct xs_handle *)&st;
}

void xs_close(struct xs_handle *h)
{
    (void)h;
}

int xs_fileno(struct xs_handle *h)
{
    (void)h;
    return -1;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    (void)h, (void)path, (void)token;
    st.watches++;
    return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    (void)h, (void)path, (void)token;
    st.watches--;
    return true;
}

char **xs_check_watch(struct xs_handle *h)
{
    char **v;

    (void)h;
    if (!st.changed) return NULL;
    st.changed = false;
    v = malloc(2 * sizeof(*v));
    if (!v) abort();
    v[XS_WATCH_PATH] = v[XS_WATCH_TOKEN] = (char *)(uintptr_t)"devices";
    return v;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    struct node *n = find(path);

    (void)h, (void)t;
    if (!n) return NULL;
    if (len) *len = (unsigned int)strlen(n->value);
    return strdup(n->value);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    char value[64];
    const char *device = strstr(path, "/device/");

    (void)h, (void)t;
    snprintf(value, sizeof(value), "%.*s", (int)len, (const char *)data);
    put(path, value);
    st.writes++;
    snprintf(st.log + strlen(st.log), sizeof(st.log) - strlen(st.log), "%s ",
             value);
    if (st.late && st.writes == st.late_at) {
        put(st.late, "4"); /* before the backend has looked */
        return true;
    }
    if (device) backend_answers(device + strlen("/device/"), value);
    return true;
}

/* The names right below a path, in one block as libxenstore gives them. */
char **xs_directory(struct xs_handle *h, xs_transaction_t t,
                    const char *path, unsigned int *num)
{
    char (*names)[32], **v = malloc(NODES * (sizeof(char *) + 32));
    size_t len = strlen(path);

    (void)h, (void)t;
    if (!v) abort();
    names = (void *)(v + NODES);
    *num = 0;
    for (unsigned int i = 0; i < st.n; i++) {
        const char *p = st.nodes[i].path;
        bool seen = false;

        if (strncmp(p, path, len) || p[len] != '/') continue;
        p += len + 1;
        for (unsigned int k = 0; k < *num; k++)
            seen = seen || (strlen(v[k]) == strcspn(p, "/") &&
                            !strncmp(v[k], p, strlen(v[k])));
        if (seen) continue;
        snprintf(names[*num], 32, "%.*s", (int)strcspn(p, "/"), p);
        v[*num] = names[*num];
        (*num)++;
    }
    return v;
}

/* ---- the tests ---- */

static void begin(struct inplace_devices *d)
{
    struct xlc_error e = XLC_ERROR_INIT;

    memset(&st, 0, sizeof(st));
    put("/libxl/5/device/console/0/backend", "whatever");
    add_device("vif", "0", "0");
    add_device("vbd", "51712", "0");
    if (inplace_devices_open(d, 5, &e)) abort();
}

static void test_reset(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct inplace_devices d;

    begin(&d);
    ok(!inplace_devices_read(&d, &e) && d.n == 2, "a vif and a disk %s",
       e.msg);
    ok(inplace_devices_connected(&d), "both are connected");
    ok(!inplace_devices_reset(&d, 1000, &e) && !strcmp(st.log,
       "5 5 6 6 1 1 "), "all go to 5, to 6 and to 1 together: %s", st.log);
    ok(!strcmp(find("/local/domain/0/backend/vif/5/0/state")->value, "2") &&
       !strcmp(find("/local/domain/0/backend/vbd/5/51712/state")->value,
               "2"), "the backends wait for their frontends");
    ok(!inplace_devices_connected(&d), "and are not connected");
    ok(!inplace_devices_reset(&d, 1000, &e),
       "once more, of a guest that has not connected them yet");
    add_device("vif", "1", "0");
    st.changed = true;
    ok(!inplace_devices_reset(&d, 1000, &e) && d.n == 3 &&
       !strcmp(find("/local/domain/0/backend/vif/5/1/state")->value, "2"),
       "a vif that was added in the meantime goes along %s", e.msg);
    ok(st.watches == 1 + 3, "one watch each, and one for the list");
    inplace_devices_close(&d);
    inplace_devices_close(&d); /* allowed */
}

/* A request that the guest had sent before it was paused comes late. */
static void test_late_word(void)
{
    for (unsigned int at = 1; at <= 6; at++) {
        struct xlc_error e = XLC_ERROR_INIT;
        struct inplace_devices d;

        begin(&d);
        st.late = at % 2 ? "/local/domain/5/device/vif/0/state" :
                  "/local/domain/5/device/vbd/51712/state";
        st.late_at = at;
        ok(!inplace_devices_reset(&d, 3000, &e) && st.writes == 7 &&
           !strcmp(find("/local/domain/0/backend/vif/5/0/state")->value,
                   "2"),
           "the guest's own word at write %u is written over %s", at, e.msg);
        inplace_devices_close(&d);
    }
}

/* Requests that are under way: looks at the rings till they are gone. */
static unsigned int looks;
static int answer;

static int rings(void *opaque, struct xlc_error *err)
{
    (void)opaque;
    looks++;
    if (answer < 0) return xlc_error_set(err, answer, "it is gone");
    return answer == 1 || looks < 3;
}

static void test_under_way(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct inplace_devices d;

    begin(&d);
    d.bound = rings;
    ok(!inplace_devices_reset(&d, 1000, &e) && looks == 3 &&
       !strcmp(st.log, "5 5 6 6 6 6 6 6 1 1 "), "rule_A5: closed with requests "
       "under way, they are told again until no ring is left: %s", st.log);
    inplace_devices_close(&d);
    begin(&d);
    d.bound = rings;
    answer = 1;
    ok(inplace_devices_reset(&d, 100, &e) == -ETIMEDOUT && !strchr(st.log, '1'),
       "or it fails: %s", e.msg);
    xlc_error_clear(&e);
    inplace_devices_close(&d);
    begin(&d);
    d.bound = rings;
    answer = -ENOENT;
    ok(inplace_devices_reset(&d, 100, &e) == -ENOENT && !strchr(st.log, '1'),
       "nor is it guessed: %s", e.msg);
    inplace_devices_close(&d);
}

static void test_refused(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    struct inplace_devices d;

    begin(&d);
    st.stuck = "vbd";
    ok(inplace_devices_reset(&d, 200, &e) == -ETIMEDOUT &&
       !strcmp(e.msg, "/local/domain/0/backend/vbd/5/51712 is in state 4, "
               "not 5, after 200 ms"), "%s", e.msg);
    begin(&d);
    add_device("vif", "1", "7");
    xlc_error_clear(&e);
    ok(inplace_devices_read(&d, &e) == -ENOTSUP &&
       strstr(e.msg, "vif 1 of domain 5 is not served by dom0's kernel"),
       "%s", e.msg);
    begin(&d);
    add_device("9pfs", "0", "0");
    xlc_error_clear(&e);
    ok(inplace_devices_read(&d, &e) == -ENOTSUP &&
       strstr(e.msg, "a device of kind \"9pfs\""), "%s", e.msg);
    begin(&d);
    put("/libxl/5/device/console/1/backend", "whatever");
    xlc_error_clear(&e);
    ok(inplace_devices_read(&d, &e) == -ENOTSUP &&
       strstr(e.msg, "a device of kind \"console\""), "%s", e.msg);
}

int main(void)
{
    test_reset();
    test_late_word();
    test_under_way();
    test_refused();
    return done_testing();
}
