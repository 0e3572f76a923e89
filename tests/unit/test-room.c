/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-room.c - RULES A2: who looks for the other copy, or waits to be found,
 * stays until the guest is really protected anew
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "primary.h"
#include "shared.h"
#include "tap.h"

#define UUID "01020304-0506-0708-090a-0b0c0d0e0f10"

static char dir[] = "/tmp/xl-colo-test-XXXXXX";
static struct primary p;
static char name[] = "web";
static const struct xlc_options options = { .host = "hostb" };

/**
 * owner - who has the socket
 * @status: what it answers; @stops: how often it was told to go
 */
static struct {
    struct control *control;
    const char *_Atomic status;
    atomic_uint stops;
    atomic_bool over;
} owner;

static void *own(void *opaque)
{
    static const struct xlc_error ok = XLC_ERROR_INIT;
    struct pollfd pfd[CONTROL_FDS];
    struct control_req req;
    bool go = false;

    (void)opaque;
    while (!owner.over && (!go || control_busy(owner.control))) {
        poll(pfd, control_pollfds(owner.control, pfd), 5);
        while (control_next(owner.control, pfd, &req)) {
            if (req.op == CONTROL_STATUS) {
                control_reply(owner.control, req.id, owner.status);
                continue;
            }
            owner.stops++;
            control_reply_error(owner.control, req.id, &ok);
            go = true;
        }
    }
    control_free(owner.control);
    return NULL;
}

static pthread_t begin(const char *status)
{
    pthread_t thread;

    owner.status = status;
    owner.stops = 0;
    owner.over = false;
    if (control_listen(&owner.control, UUID, NULL) ||
        pthread_create(&thread, NULL, own, NULL))
        abort();
    memset(&p, 0, sizeof(p));
    p.o = &options;
    p.guest.name = name;
    snprintf(p.guest.uuid, sizeof(p.guest.uuid), "%s", UUID);
    return thread;
}

static void end(pthread_t thread)
{
    owner.over = true;
    pthread_join(thread, NULL);
    control_free(p.control);
}

static const char looks[] = "{\"rc\":0,\"role\":\"primary\","
                            "\"peer\":\"hostb\","
                            "\"state\":\"unprotected\",\"split\":false}";
static const char runs[] = "{\"rc\":0,\"role\":\"secondary\","
                           "\"state\":\"running\",\"split\":false}";
static const char met[] = "{\"rc\":0,\"role\":\"primary\","
                          "\"state\":\"unprotected\",\"split\":true}";
static const char busy[] = "{\"rc\":0,\"role\":\"primary\","
                           "\"state\":\"protected\",\"split\":false}";

static void test_room(const char *status, const char *who)
{
    struct xlc_error e = XLC_ERROR_INIT;
    pthread_t thread = begin(status);

    ok(!primary_find_room(&p, &e) && !p.control && !owner.stops,
       "%s: stays while the other host is asked", who);
    ok(!primary_make_room(&p, &e) && p.control && owner.stops == 1,
       "%s: goes when it is ready %s", who, e.msg);
    end(thread);
}

/* RULES A2: the one that ran on a third host will not be met. */
static void test_elsewhere(void)
{
    static const char host[2][6] = { "hostb", "hostc" };
    struct xlc_error e = XLC_ERROR_INIT;
    struct xlc_options o = { .host = NULL };
    char path[64], text[512];

    snprintf(path, sizeof(path), "%s/log", dir);
    log_init("test", path, LOG_LEVEL_WARN);
    for (int i = 0; i < 2; i++) {
        pthread_t thread = begin(looks);
        FILE *f;

        o.host = host[i];
        p.o = &o;
        text[0] = 0;
        ok(!primary_find_room(&p, &e) && !primary_make_room(&p, &e),
           "protected anew, by %s", host[i]);
        f = fopen(path, "r");
        if (!f) abort();
        text[fread(text, 1, sizeof(text) - 1, f)] = 0;
        fclose(f);
        ok(!!strstr(text, "xl destroy") == i, "%s", i ?
           "a warning: nobody looks where the copy may run" :
           "it is known that no copy runs there");
        end(thread);
    }
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    unlink(path);
}

static void test_refused(const char *status, const char *why)
{
    struct xlc_error e = XLC_ERROR_INIT;
    pthread_t thread = begin(status);

    ok(primary_find_room(&p, &e) && strstr(e.msg, why) && !owner.stops,
       "refused: %s", e.msg);
    end(thread);
}

/* The linker has primary_run() call these (--wrap). */
int __wrap_xlctx_new(libxl_ctx **ctx_r, struct xlc_error *err);
int __wrap_guest_open(struct guest *g, libxl_ctx *ctx, const char *spec,
                      struct xlc_error *err);
int __wrap_guest_clone(struct guest *g, const struct guest *of,
                       struct xlc_error *err);
int __wrap_guest_watch(struct guest *g, struct xlc_error *err);
void __wrap_guest_close(struct guest *g);
bool __wrap_xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path);

static unsigned int cloned, removed;

int __wrap_xlctx_new(libxl_ctx **ctx_r, struct xlc_error *err)
{
    (void)err;
    *ctx_r = NULL;
    return 0;
}

/* The guest is there; whether it runs may not be asked yet. */
int __wrap_guest_open(struct guest *g, libxl_ctx *ctx, const char *spec,
                      struct xlc_error *err)
{
    (void)ctx, (void)spec, (void)err;
    g->xch = (xc_interface *)&removed;
    g->name = name;
    g->domid = 7;
    snprintf(g->uuid, sizeof(g->uuid), "%s", UUID);
    return 0;
}

int __wrap_guest_clone(struct guest *g, const struct guest *of,
                       struct xlc_error *err)
{
    (void)err;
    *g = *of;
    cloned++;
    return 0;
}

int __wrap_guest_watch(struct guest *g, struct xlc_error *err)
{
    (void)g;
    return xlc_error_set(err, -EIO, "no watch");
}

void __wrap_guest_close(struct guest *g)
{
    g->xch = NULL;
}

bool __wrap_xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    (void)h, (void)t, (void)path;
    removed++;
    return true;
}

/* A second protection: nothing of the first is touched, and the guest, which
 * may stand still in a checkpoint, is not looked at. */
static void test_twice(void)
{
    struct xlc_options o = { .domain = "web", .host = "hostb" };
    struct shared sh = { .domid = 0 };
    pthread_t thread = begin(busy);

    ok(primary_run(&o, &sh) == XLC_REFUSED && !sh.known && !owner.stops,
       "protecting it twice is a refusal");
    ok(!cloned && !removed, "before the guest is looked at");
    end(thread);

    thread = begin(looks);
    ok(primary_run(&o, &sh) == XLC_REFUSED && cloned && !owner.stops &&
       !removed, "a refusal after that leaves another's nodes in xenstore");
    end(thread);
}

static void test_changed(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    pthread_t thread = begin(looks);

    ok(!primary_find_room(&p, &e), "it looks for the other copy");
    owner.status = met;
    ok(primary_make_room(&p, &e) && !owner.stops && !p.control,
       "and finds it meanwhile: it is not sent away");
    end(thread);
}

static void test_free(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    memset(&p, 0, sizeof(p));
    snprintf(p.guest.uuid, sizeof(p.guest.uuid), "%s", UUID);
    ok(!primary_find_room(&p, &e) && p.control, "nobody is there: taken");
    ok(!primary_make_room(&p, &e) && p.control, "and kept");
    control_free(p.control);
}

int main(void)
{
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    if (!mkdtemp(dir)) abort();
    chmod(dir, 0700);
    control_set_dir(dir);
    test_room(looks, "who looks");
    test_room(runs, "who waits to be found");
    test_refused(met, "stands aside");
    test_refused(busy, "protected already");
    test_twice();
    test_changed();
    test_elsewhere();
    test_free();
    rmdir(dir);
    return done_testing();
}
