/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-drive.c - Checkpoint a guest and put it back, as it is told
 *
 * inplace-drive [--early-log | --restored] DOMAIN
 *
 * For the lab's scenarios, in dom0. One domain is primary and copy at once: it
 * is checkpointed with libxc's Remus stream, the stream is kept as an image,
 * and the domain is put back to it. Commands on standard input, a line each;
 * for each a line of JSON on standard output:
 *
 *   checkpoint   make another checkpoint (the first is made at the start)
 *   back         put the guest back to the last one
 *   verify       the same, and compare all its memory before it runs
 *   connected    wait until its devices are connected
 *   symbols N…   where verify finds what may differ: see inplace-verify.h
 *   clock N      its wall clock shall be N seconds ahead of dom0's
 *   memory       how much of its heap this program uses
 *   quit         let it run, and end
 *
 * --restored: the domain is one that `xl restore -p` has made, a copy that is
 * no primary. Its log of writes is the product's own, the image is made of
 * its memory, and there is no other checkpoint. It runs after
 *
 *   run          let it run for the first time
 *
 * --early-log is a fault: the log of writes is read before the backends are
 * closed (RULES A5), and "verify" has to see it.
 */
#include <config.h>

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xen/hvm/params.h>

#include "capture.h"
#include "clock.h"
#include "guest.h"
#include "image.h"
#include "inplace-snapshot.h"
#include "inplace-verify.h"
#include "inplace-xen.h"
#include "inplace.h"
#include "log.h"
#include "stage.h"
#include "xlctx.h"

#define STAGE_LIMIT  ((size_t)512 << 20)
#define CONNECTED_MS 60000u

/**
 * struct drive - one run
 * @ops: the product's, or with a fault in them
 * @early: bits of the log, read too early
 */
struct drive {
    libxl_ctx *ctx;
    struct guest guest;
    struct image *img;
    struct inplace_xen *x;
    struct inplace ip;
    struct inplace_ops ops;
    struct capture *cap;
    volatile bool stop;
    bool early_log, restored;
    uint64_t *early;
    struct verify verify;
    uint64_t pages;
};

static struct drive the;

static int on_stream(void *opaque, const uint8_t *data, size_t len,
                     struct xlc_error *err)
{
    (void)opaque;
    return image_feed(the.img, data, len, err);
}

static void on_progress(void *opaque, unsigned int iteration,
                        uint64_t written, int64_t dirty)
{
    (void)opaque, (void)iteration, (void)written, (void)dirty;
}

static void on_asked(void *opaque, bool asked)
{
    (void)opaque, (void)asked;
}

static int on_cut(void *opaque, uint64_t n, enum capture_after *after_r,
                  struct xlc_error *err)
{
    (void)opaque, (void)n, (void)err;
    *after_r = CAPTURE_RESUME;
    return 0;
}

/* The fault: the log is read while the backends hold grants. */
static int early_close(void *dom, struct xlc_error *err)
{
    int rc = inplace_xen_ops.dirty(dom, the.early, the.ip.pfns, err);

    return rc ? rc : inplace_xen_ops.close(dom, err);
}

static int early_dirty(void *dom, uint64_t *bits, uint64_t pfns,
                       struct xlc_error *err)
{
    (void)dom, (void)err;
    for (uint64_t i = 0; i < (pfns + 63) / 64; i++) {
        bits[i] |= the.early[i];
        the.early[i] = 0;
    }
    return 0;
}

/* Before the first checkpoint: a guest that can't be put back is refused. Its
 * writes are logged for the checkpoints already. */
static int open_inplace(struct xlc_error *err)
{
    uint64_t pfns = image_limit(the.img);
    int rc = inplace_xen_open(&the.x, the.guest.domid, the.restored, err);

    the.ops = inplace_xen_ops;
    if (the.early_log) {
        the.early = calloc((size_t)(pfns + 63) / 64, 8);
        the.ops.close = early_close;
        the.ops.dirty = early_dirty;
    }
    return rc ? rc : inplace_init(&the.ip, &the.ops, the.x, pfns, err);
}

static void say_checkpoint(uint64_t n, uint64_t octets)
{
    image_param(the.img, HVM_PARAM_STORE_PFN, &the.verify.store);
    image_param(the.img, HVM_PARAM_CONSOLE_PFN, &the.verify.console);
    printf("{\"checkpoint\": %llu, \"octets\": %llu, \"pages\": %llu, "
           "\"image_octets\": %llu}\n", (unsigned long long)n,
           (unsigned long long)octets,
           (unsigned long long)image_pages(the.img),
           (unsigned long long)image_memory(the.img));
}

static int on_whole(void *opaque, uint64_t n, struct xlc_error *err)
{
    int rc = image_commit(the.img, err);

    (void)opaque;
    if (rc) return rc;
    /* The domain is its own primary: it has what it sent. */
    image_settle(the.img);
    say_checkpoint(n, the.cap->bytes);
    return 0;
}

static int back(bool verified, struct xlc_error *err)
{
    static const char *const kinds[VERIFY_KINDS] = {
        "vcpu_info", "control", "event", "grant", "ring",
    };
    const struct inplace_times *t = &the.ip.times;
    struct verify *v = &the.verify;
    int rc = inplace_quiet(&the.ip, the.img, err);

    if (!rc) rc = inplace_write(&the.ip, the.img, err);
    v->differs = 0;
    if (!rc && verified) rc = verify_run(v, the.img, err);
    if (!rc) rc = inplace_go(&the.ip, the.img, err);
    if (rc) {
        printf("{\"failed\": %d, \"why\": \"%s\"}\n", -rc, err->msg);
        xlc_error_clear(err);
        return 0;
    }
    printf("{\"back\": true, \"quiet_us\": %llu, \"write_us\": %llu, "
           "\"go_us\": %llu, \"dirty\": %llu, \"written\": %llu, "
           "\"dropped\": %llu, \"differs\": %u, \"first\": [",
           (unsigned long long)t->quiet_us, (unsigned long long)t->write_us,
           (unsigned long long)t->go_us, (unsigned long long)t->dirty,
           (unsigned long long)t->written, (unsigned long long)t->dropped,
           v->differs);
    for (unsigned int i = 0; i < v->differs && i < VERIFY_FIRST; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)v->first[i]);
    printf("]");
    for (unsigned int i = 0; verified && i < VERIFY_KINDS; i++)
        printf(", \"%s\": %u", kinds[i], v->may[i]);
    printf("}\n");
    return 0;
}

static void connected(void)
{
    const struct timespec nap = { 0, 50000000 };
    uint64_t begun = clock_us();
    bool there;

    while (!(there = inplace_xen_connected(the.x)) &&
           clock_us() - begun < CONNECTED_MS * 1000u)
        nanosleep(&nap, NULL);
    printf("{\"connected\": %s, \"after_us\": %llu}\n",
           there ? "true" : "false",
           (unsigned long long)(clock_us() - begun));
}

/* "clock N", N as short as a test needs it. */
static void set_clock(const char *arg)
{
    char *end;
    long n = strtol(arg, &end, 10);

    if (*end || n < -1000000 || n > 1000000) {
        printf("{\"unknown\": true}\n");
        return;
    }
    inplace_xen_clock(the.x, (int32_t)n);
    printf("{\"clock_s\": %ld}\n", n);
}

/* What is allocated and not freed; the image is not in the heap. */
static void say_memory(void)
{
    struct mallinfo2 m = mallinfo2();

    printf("{\"heap_octets\": %zu}\n", m.uordblks + m.hblkhd);
}

/* "symbols N N N N N" */
static void set_symbols(const char *numbers)
{
    printf("{\"symbols\": %s}\n",
           verify_tell(&the.verify, numbers) ? "true" : "false");
}

/* The restored domain, for the first time. */
static void run(void)
{
    printf("{\"runs\": %s}\n",
           xc_domain_unpause(the.guest.xch, the.guest.domid) ? "false" :
           "true");
}

/* Commands, until the next checkpoint (0) or the end. */
static int on_next(void *opaque, struct xlc_error *err)
{
    char line[128];

    (void)opaque;
    for (;;) {
        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin)) break;
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "checkpoint") && !the.restored) return 0;
        if (!strcmp(line, "quit")) break;
        if (!strcmp(line, "run") && the.restored) run();
        else if (!strcmp(line, "connected")) connected();
        else if (!strcmp(line, "back")) back(false, err);
        else if (!strcmp(line, "verify")) back(true, err);
        else if (!strcmp(line, "memory")) say_memory();
        else if (!strncmp(line, "clock ", 6)) set_clock(line + 6);
        else if (!strncmp(line, "symbols ", 8)) set_symbols(line + 8);
        else printf("{\"unknown\": true}\n");
    }
    return xlc_error_set(err, -ECANCELED, "told to end");
}

static const struct capture_hooks hooks = {
    .progress = on_progress,
    .asked = on_asked,
    .cut = on_cut,
    .whole = on_whole,
    .next = on_next,
};

static int open_verify(struct xlc_error *err)
{
    the.verify.xch = the.guest.xch;
    the.verify.domid = the.guest.domid;
    the.verify.fmem = xenforeignmemory_open(NULL, 0);
    if (the.verify.fmem) return 0;
    return xlc_error_set(err, -errno, "xenforeignmemory: %s",
                         strerror(errno));
}

/* An image with room for the domain. */
static int new_image(struct xlc_error *err)
{
    struct image_limits lim = { .vcpus = 1 };
    xc_domaininfo_t info;

    if (xc_domain_getinfolist(the.guest.xch, the.guest.domid, 1, &info) != 1)
        return xlc_error_set(err, -errno, "no such domain");
    lim.pages = the.pages = info.max_pages;
    lim.pfns = image_pfns(lim.pages * IMAGE_PAGE);
    lim.epoch_pages = 2 * lim.pages;
    lim.vcpus = the.verify.vcpus = info.max_vcpu_id + 1;
    return image_new(&the.img, &lim, err);
}

/* Checkpoints and commands, until the end. */
static int drive_primary(struct capture *cap, struct xlc_error *err)
{
    int rc = open_inplace(err);

    if (!rc) rc = stage_new(&cap->stage, STAGE_LIMIT, on_stream, NULL, err);
    if (!rc) rc = guest_watch(&the.guest, err);
    if (!rc) {
        rc = capture_run(cap);
        *err = cap->err;
    }
    stage_free(cap->stage);
    return rc;
}

static int drive_copy(struct xlc_error *err)
{
    int rc = snapshot_take(the.guest.xch, the.verify.fmem, the.guest.domid,
                           the.pages, the.img, err);

    if (!rc) rc = open_inplace(err);
    if (rc) return rc;
    say_checkpoint(1, 0);
    rc = on_next(NULL, err);
    return rc == -ECANCELED ? 0 : rc;
}

int main(int argc, char **argv)
{
    struct capture cap = {
        .ops = &guest_xen_ops, .guest = &the.guest, .suspend_ms = 30000,
        .stop = &the.stop, .hooks = &hooks,
    };
    struct xlc_error e = XLC_ERROR_INIT;
    int rc;

    the.early_log = argc == 3 && !strcmp(argv[1], "--early-log");
    the.restored = argc == 3 && !strcmp(argv[1], "--restored");
    if (argc != 2 && !the.early_log && !the.restored) {
        fprintf(stderr, "usage: inplace-drive [--early-log | --restored] "
                "DOMAIN\n");
        return 2;
    }
    log_init("inplace", NULL, LOG_LEVEL_DEBUG);
    the.cap = &cap;
    rc = xlctx_new(&the.ctx, &e);
    if (!rc) rc = guest_open(&the.guest, the.ctx, argv[argc - 1], &e);
    if (!rc) rc = open_verify(&e);
    if (!rc) rc = new_image(&e);
    if (!rc) rc = the.restored ? drive_copy(&e) : drive_primary(&cap, &e);
    if (rc) fprintf(stderr, "inplace-drive: %s\n", e.msg);
    inplace_dispose(&the.ip);
    inplace_xen_close(the.x);
    image_free(the.img);
    if (the.verify.fmem) xenforeignmemory_close(the.verify.fmem);
    guest_close(&the.guest);
    return rc ? 1 : 0;
}
