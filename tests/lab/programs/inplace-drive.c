/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-drive.c - Checkpoint a guest and put it back, as it is told
 *
 * inplace-drive [--early-log] DOMAIN
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
 *   clock N      its wall clock shall be N seconds ahead of dom0's
 *   quit         let it run, and end
 *
 * --early-log is a fault: the log of writes is read before the backends are
 * closed (RULES A5), and "verify" has to see it.
 */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

#include "capture.h"
#include "clock.h"
#include "guest.h"
#include "image.h"
#include "inplace-xen.h"
#include "inplace.h"
#include "log.h"
#include "stage.h"
#include "xlctx.h"

#define STAGE_LIMIT  ((size_t)512 << 20)
#define CONNECTED_MS 20000u

/**
 * struct drive - one run
 * @ops: the product's, or with a fault in them
 * @early: bits of the log, read too early
 * @differs, @first: what verify found
 */
struct drive {
    libxl_ctx *ctx;
    struct guest guest;
    struct image *img;
    struct inplace_xen *x;
    struct inplace ip;
    struct inplace_ops ops;
    xenforeignmemory_handle *fmem;
    struct capture *cap;
    volatile bool stop;
    bool early_log;
    uint64_t *early;
    unsigned int differs;
    uint64_t first[8];
    uint64_t store, console;
    unsigned int vcpus;
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
    int rc = inplace_xen_open(&the.x, the.guest.domid, false, err);

    the.ops = inplace_xen_ops;
    if (the.early_log) {
        the.early = calloc((size_t)(pfns + 63) / 64, 8);
        the.ops.close = early_close;
        the.ops.dirty = early_dirty;
    }
    return rc ? rc : inplace_init(&the.ip, &the.ops, the.x, pfns, err);
}

static int on_whole(void *opaque, uint64_t n, struct xlc_error *err)
{
    int rc = image_commit(the.img, err);

    (void)opaque;
    if (rc) return rc;
    /* The domain is its own primary: it has what it sent. */
    image_settle(the.img);
    image_param(the.img, HVM_PARAM_STORE_PFN, &the.store);
    image_param(the.img, HVM_PARAM_CONSOLE_PFN, &the.console);
    printf("{\"checkpoint\": %llu, \"octets\": %llu, \"pages\": %llu, "
           "\"image_octets\": %llu}\n", (unsigned long long)n,
           (unsigned long long)the.cap->bytes,
           (unsigned long long)image_pages(the.img),
           (unsigned long long)image_memory(the.img));
    return 0;
}

/* For the log: where a page differs. */
static void describe(uint64_t pfn, const uint8_t *now, const uint8_t *was)
{
    unsigned int from = 0, to = IMAGE_PAGE;

    while (now[from] == was[from]) from++;
    while (now[to - 1] == was[to - 1]) to--;
    log_info("page frame 0x%llx differs from 0x%x to 0x%x",
             (unsigned long long)pfn, from, to);
    for (unsigned int i = from & ~3u; i < to && i < from + 128; i += 4) {
        uint32_t a, b;

        memcpy(&a, was + i, sizeof(a));
        memcpy(&b, now + i, sizeof(b));
        if (a != b) log_info("  %03x: 0x%08x was 0x%08x", i, b, a);
    }
}

/* Frames of the grant table are empty now, but for two seeds in the first. */
static bool is_grants(const uint8_t *now)
{
    static const uint8_t zero[IMAGE_PAGE];
    static const size_t seeds = 8 * sizeof(struct grant_entry_v1);

    return !memcmp(now + seeds, zero, IMAGE_PAGE - seeds);
}

/* The hypervisor writes into guest pages, too, which no log shows (nor does a
 * primary send it): vcpu_info, control blocks, which are small; and words of
 * the event array, pending and their links. The guest sets all of that up anew
 * when it comes back. */
static bool is_hypervisors(const uint8_t *now, const uint8_t *was)
{
    const uint32_t event = 1u << EVTCHN_FIFO_PENDING |
                           1u << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK;
    unsigned int from = 0, to = IMAGE_PAGE;
    bool events = true;

    while (now[from] == was[from]) from++;
    while (now[to - 1] == was[to - 1]) to--;
    for (unsigned int i = 0; i < IMAGE_PAGE; i += 4) {
        uint32_t a, b;

        memcpy(&a, was + i, sizeof(a));
        memcpy(&b, now + i, sizeof(b));
        events = events && !((a ^ b) & ~event);
    }
    return events || from / 64 == (to - 1) / 64;
}

/* What may differ is counted, too: @left frames of grant table, @xen pages of
 * the hypervisor. */
static void compare_page(uint64_t pfn, const uint8_t *now, unsigned int *left,
                         unsigned int *xen)
{
    static const uint8_t zero[IMAGE_PAGE];
    const uint8_t *was = image_page(the.img, pfn);

    if (now && !memcmp(now, was, IMAGE_PAGE)) return;
    if (now) {
        /* xenstored may have put an event there; it begins anew with @go. */
        if (pfn == the.store) return;
        if (pfn == the.console && !memcmp(now, zero, IMAGE_PAGE)) return;
        if (*left && is_grants(now)) {
            (*left)--;
            return;
        }
        describe(pfn, now, was);
        if (*xen && is_hypervisors(now, was)) {
            (*xen)--;
            return;
        }
    }
    if (the.differs < 8) the.first[the.differs] = pfn;
    the.differs++;
}

/* All memory of the written domain with the image. */
static void verify(void)
{
    struct gnttab_query_size q = { .dom = (domid_t)the.guest.domid };
    unsigned int left, xen = 3 * the.vcpus;
    int errs[INPLACE_BATCH];

    left = xc_gnttab_query_size(the.guest.xch, &q) ? 0 : q.nr_frames;
    the.differs = 0;
    for (uint64_t from = 0; from < the.ip.pfns;) {
        xen_pfn_t pfns[INPLACE_BATCH];
        unsigned int n = 0;
        uint8_t *p;

        for (; from < the.ip.pfns && n < INPLACE_BATCH; from++)
            if (image_page(the.img, from)) pfns[n++] = from;
        if (!n) break;
        p = xenforeignmemory_map(the.fmem, the.guest.domid, PROT_READ, n,
                                 pfns, errs);
        for (unsigned int i = 0; i < n; i++)
            compare_page(pfns[i], p && !errs[i] ? p + (size_t)i * IMAGE_PAGE :
                         NULL, &left, &xen);
        if (p) xenforeignmemory_unmap(the.fmem, p, n);
    }
}

static int back(bool verified, struct xlc_error *err)
{
    const struct inplace_times *t = &the.ip.times;
    int rc = inplace_quiet(&the.ip, the.img, err);

    if (!rc) rc = inplace_write(&the.ip, the.img, err);
    the.differs = 0;
    if (!rc && verified) verify();
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
           the.differs);
    for (unsigned int i = 0; i < the.differs && i < 8; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)the.first[i]);
    printf("]}\n");
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

static int on_next(void *opaque, struct xlc_error *err)
{
    char line[64];

    (void)opaque;
    for (;;) {
        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin)) break;
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "checkpoint")) return 0;
        if (!strcmp(line, "quit")) break;
        if (!strcmp(line, "connected")) connected();
        else if (!strcmp(line, "back")) back(false, err);
        else if (!strcmp(line, "verify")) back(true, err);
        else if (!strncmp(line, "clock ", 6)) set_clock(line + 6);
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

/* An image with room for the domain. */
static int new_image(struct xlc_error *err)
{
    struct image_limits lim = { .vcpus = 1 };
    xc_domaininfo_t info;

    if (xc_domain_getinfolist(the.guest.xch, the.guest.domid, 1, &info) != 1)
        return xlc_error_set(err, -errno, "no such domain");
    lim.pages = info.max_pages;
    lim.pfns = image_pfns(lim.pages * IMAGE_PAGE);
    lim.epoch_pages = 2 * lim.pages;
    lim.vcpus = the.vcpus = info.max_vcpu_id + 1;
    return image_new(&the.img, &lim, err);
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
    if (argc != 2 && !the.early_log) {
        fprintf(stderr, "usage: inplace-drive [--early-log] DOMAIN\n");
        return 2;
    }
    log_init("inplace", NULL, LOG_LEVEL_DEBUG);
    the.cap = &cap;
    rc = xlctx_new(&the.ctx, &e);
    if (!rc) rc = guest_open(&the.guest, the.ctx, argv[argc - 1], &e);
    if (!rc && !(the.fmem = xenforeignmemory_open(NULL, 0)))
        rc = xlc_error_set(&e, -errno, "xenforeignmemory: %s",
                           strerror(errno));
    if (!rc) rc = new_image(&e);
    if (!rc) rc = open_inplace(&e);
    if (!rc) rc = stage_new(&cap.stage, STAGE_LIMIT, on_stream, NULL, &e);
    if (!rc) rc = guest_watch(&the.guest, &e);
    if (!rc) {
        rc = capture_run(&cap);
        e = cap.err;
    }
    if (rc) fprintf(stderr, "inplace-drive: %s\n", e.msg);
    stage_free(cap.stage);
    inplace_dispose(&the.ip);
    inplace_xen_close(the.x);
    image_free(the.img);
    guest_close(&the.guest);
    return rc ? 1 : 0;
}
