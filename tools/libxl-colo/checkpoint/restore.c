/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* restore.c - The copy on the secondary: built by libxl, epoch by epoch */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <libxl_utils.h>
#include <libxl_uuid.h>

#include "cleanup.h"
#include "clock.h"
#include "disklist.h"
#include "host.h"
#include "log.h"
#include "records.h"
#include "restore.h"
#include "vifname.h"
#include "xlctx.h"

/* libxl's own stream, version 2 (docs/specs/libxl-migration-stream). */
#define LIBXL_IDENT           0x4c6962786c466d74ull
#define LIBXL_VERSION_        2u
#define LIBXL_LIBXC_CONTEXT   1u
#define LIBXL_CHECKPOINT_END  4u

/* How often the pipe is looked at while an epoch is being applied. */
#define APPLIED_POLL_NS 1000000

/**
 * struct restore - see restore.h
 * @cfg: what libxl builds; @disks, @nics: kept out of it until it is built
 * @rd, @wr: the pipe; @done: eventfd, set once @ended
 * @thread: runs libxl; @ctx: its context
 * @lock: guards what is below
 * @op: libxl's operation is under way, @how names it
 * @ended: @thread has seen its end; @rc: libxl's result
 */
struct restore {
    libxl_domain_config cfg;
    libxl_device_disk *disks;
    libxl_device_nic *nics;
    int ndisks, nnics, disks_added, nics_added;
    char *name, *incoming;
    char uuid[37];
    uint8_t uuid_raw[16];
    int rd, wr, done;
    libxl_ctx *ctx;
    libxl_asyncop_how how;
    pthread_t thread;
    bool running;

    pthread_mutex_t lock;
    bool op, ended;
    int rc;
    uint32_t domid;
};

const char *restore_name(const struct restore *r)
{
    return r->name;
}

const char *restore_uuid(const struct restore *r)
{
    return r->uuid;
}

uint64_t restore_memory(const struct restore *r)
{
    return r->cfg.b_info.max_memkb * 1024;
}

unsigned int restore_writable(const struct restore *r)
{
    unsigned int n = 0;

    for (int i = 0; i < r->ndisks; i++)
        n += r->disks[i].readwrite != 0;
    return n;
}

const libxl_domain_config *restore_config(const struct restore *r)
{
    return &r->cfg;
}

int restore_fd(const struct restore *r)
{
    return r->done;
}

/* Take disks and vifs out of what libxl is going to build. */
static void set_devices_aside(struct restore *r)
{
    r->disks = r->cfg.disks;
    r->ndisks = r->cfg.num_disks;
    r->nics = r->cfg.nics;
    r->nnics = r->cfg.num_nics;
    r->cfg.disks = NULL;
    r->cfg.nics = NULL;
    r->cfg.num_disks = r->cfg.num_nics = 0;
}

static int parse_config(struct restore *r, const char *json,
                        struct xlc_error *err)
{
    libxl_domain_create_info *c = &r->cfg.c_info;

    if (libxl_domain_config_from_json(r->ctx, &r->cfg, json))
        return xlc_error_set(err, -EPROTO, "the domain's configuration can't "
                             "be read by the libxl of this host");
    if (!c->name || !*c->name)
        return xlc_error_set(err, -EPROTO, "the domain has no name");
    if (c->type != LIBXL_DOMAIN_TYPE_PV && c->type != LIBXL_DOMAIN_TYPE_PVH)
        return xlc_error_set(err, -EPERM, "only PVH and PV guests can be "
                             "protected yet");
    r->name = strdup(c->name);
    if (!r->name || asprintf(&r->incoming, "%s--incoming", c->name) < 0)
        return xlc_error_set(err, -ENOMEM, "no memory");
    free(c->name);
    c->name = strdup(r->incoming);
    c->domid = 0;
    memcpy(r->uuid_raw, libxl_uuid_bytearray(&c->uuid), 16);
    snprintf(r->uuid, sizeof(r->uuid), LIBXL_UUID_FMT,
             LIBXL_UUID_BYTES(c->uuid));
    set_devices_aside(r);
    return 0;
}

/* Start libxl's operation. Called with xl's lock held: memory is taken. */
static int start_op(struct restore *r)
{
    libxl_domain_restore_params params;
    int rc;

    libxl_domain_restore_params_init(&params);
    params.checkpointed_stream = LIBXL_CHECKPOINTED_STREAM_REMUS;
    params.stream_version = 2;
    r->how = (libxl_asyncop_how){ .u.for_event = 1 };
    rc = libxl_domain_create_restore(r->ctx, &r->cfg, &r->domid, r->rd, -1,
                                     &params, &r->how, NULL);
    libxl_domain_restore_params_dispose(&params);
    return rc;
}

static void *restore_thread(void *opaque)
{
    struct restore *r = opaque;
    uint64_t one = 1;
    int rc = 0;

    for (;;) {
        libxl_event *ev;

        rc = libxl_event_wait(r->ctx, &ev, LIBXL_EVENTMASK_ALL, NULL, NULL);
        if (rc) break;
        if (ev->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE &&
            ev->for_user == 1) {
            rc = ev->u.operation_complete.rc;
            libxl_event_free(r->ctx, ev);
            break;
        }
        libxl_event_free(r->ctx, ev);
    }
    pthread_mutex_lock(&r->lock);
    r->op = false;
    r->ended = true;
    r->rc = rc;
    close(steal_fd(&r->rd)); /* a writer gets EPIPE from now on */
    pthread_mutex_unlock(&r->lock);
    if (write(r->done, &one, sizeof(one)) < 0)
        log_error("eventfd: %s", strerror(errno));
    return NULL;
}

static int write_pipe(struct restore *r, const void *data, size_t len,
                      struct xlc_error *err)
{
    const uint8_t *p = data;

    while (len) {
        ssize_t n = write(r->wr, p, len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return xlc_error_set(err, -errno, "the restore of %s ended too "
                                 "early", r->incoming);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* libxl's header, and the record that announces libxc's stream. */
static int write_head(struct restore *r, struct xlc_error *err)
{
    struct {
        uint64_t ident;
        uint32_t version, options;
        uint32_t type, length;
    } head = {
        htobe64(LIBXL_IDENT), htobe32(LIBXL_VERSION_), 0,
        LIBXL_LIBXC_CONTEXT, 0,
    };

    return write_pipe(r, &head, sizeof(head), err);
}

/* Wait until libxc and libxl have read everything out of the pipe. */
static int wait_empty(struct restore *r, struct xlc_error *err)
{
    const struct timespec nap = { 0, APPLIED_POLL_NS };

    for (;;) {
        bool ended;
        int n = 0;

        pthread_mutex_lock(&r->lock);
        ended = r->ended;
        if (!ended && ioctl(r->rd, FIONREAD, &n)) n = -errno;
        pthread_mutex_unlock(&r->lock);
        if (ended)
            return xlc_error_set(err, -EPIPE, "the restore of %s ended too "
                                 "early (libxl error %d)", r->incoming,
                                 r->rc);
        if (n < 0) return xlc_error_set(err, n, "FIONREAD: %s", strerror(-n));
        if (!n) return 0;
        nanosleep(&nap, NULL);
    }
}

static int start_building(struct restore *r, struct xlc_error *err)
{
    CLEANUP_FD int lock = -1;
    int fds[2], rc;

    if (pipe2(fds, O_CLOEXEC))
        return xlc_error_set(err, -errno, "pipe: %s", strerror(errno));
    r->rd = fds[0];
    r->wr = fds[1];
    fcntl(r->wr, F_SETPIPE_SZ, 1 << 20);
    r->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->done < 0)
        return xlc_error_set(err, -errno, "eventfd: %s", strerror(errno));
    lock = host_xl_lock(err);
    if (lock < 0) return lock;
    rc = host_check_memory(r->ctx, &r->cfg, err);
    if (rc) return rc;
    rc = start_op(r);
    if (rc)
        return xlc_error_set(err, -EIO, "libxl can't begin to build %s "
                             "(libxl error %d)", r->incoming, rc);
    r->op = true;
    rc = pthread_create(&r->thread, NULL, restore_thread, r);
    if (rc)
        return xlc_error_set(err, -rc, "pthread_create: %s", strerror(rc));
    r->running = true;
    /* libxl reads the head and starts its helper in one go, under its lock.
     * Before that it can't be aborted: it calls a function that is not set
     * yet (4.17, libxl__save_helper_abort()). */
    rc = write_head(r, err);
    return rc ? rc : wait_empty(r, err);
}

/* A mirrored disk is where the primary said that it is here. */
static int place_disks(struct restore *r, const struct disklist *l,
                       struct xlc_error *err)
{
    for (unsigned int i = 0; i < l->n; i++) {
        libxl_device_disk *d = NULL;

        for (int k = 0; k < r->ndisks && !d; k++)
            if (r->disks[k].vdev && r->disks[k].readwrite &&
                !strcmp(r->disks[k].vdev, l->at[i].vdev))
                d = &r->disks[k];
        if (!d || !host_disk_mirrored(d))
            return xlc_error_set(err, -EPROTO, "disk %s: the configuration "
                                 "has no mirrored disk of that name",
                                 l->at[i].vdev);
        free(d->pdev_path);
        d->pdev_path = strdup(l->at[i].path);
        if (!d->pdev_path) return xlc_error_set(err, -ENOMEM, "no memory");
    }
    return 0;
}

int restore_start(struct restore **r_r, const char *json,
                  const struct disklist *disks, struct xlc_error *err)
{
    struct restore *r = calloc(1, sizeof(*r));
    int rc;

    if (!r) return xlc_error_set(err, -ENOMEM, "no memory");
    r->rd = r->wr = r->done = -1;
    pthread_mutex_init(&r->lock, NULL);
    libxl_domain_config_init(&r->cfg);
    rc = xlctx_new(&r->ctx, err);
    if (!rc) rc = parse_config(r, json, err);
    if (!rc) rc = place_disks(r, disks, err);
    if (!rc) rc = host_check_free_name(r->ctx, r->name, r->uuid_raw, err);
    if (!rc) rc = host_check_nics(r->nics, r->nnics, err);
    if (!rc) rc = host_check_disks(r->disks, r->ndisks, err);
    if (!rc) rc = start_building(r, err);
    if (rc) {
        restore_free(r);
        return rc;
    }
    *r_r = r;
    return 0;
}

int restore_write(struct restore *r, const uint8_t *data, size_t len,
                  struct xlc_error *err)
{
    return write_pipe(r, data, len, err);
}

int restore_epoch(struct restore *r, const uint8_t *tsc, size_t tsc_len,
                  struct xlc_error *err)
{
    struct {
        uint32_t end_type, end_length;
        uint32_t tsc_type, tsc_length;
        uint8_t tsc[RECORDS_TSC_LEN];
    } tail = {
        LIBXL_CHECKPOINT_END, 0, RECORD_TSC_INFO, RECORDS_TSC_LEN, { 0 },
    };
    int rc;

    if (tsc_len != RECORDS_TSC_LEN)
        return xlc_error_set(err, -EPROTO, "an epoch without TSC_INFO");
    memcpy(tail.tsc, tsc, tsc_len);
    rc = write_pipe(r, &tail, sizeof(tail), err);
    return rc ? rc : wait_empty(r, err);
}

/* A copy that never ran is found by its name. While libxl builds it, a domain
 * may have none yet. */
static bool is_copy_name(const char *name)
{
    static const char *const ends[] = { "--incoming", "--colo" };
    size_t len = name ? strlen(name) : 0;

    for (size_t i = 0; len && i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t n = strlen(ends[i]);

        if (len > n && !strcmp(name + len - n, ends[i])) return true;
    }
    return !len;
}

/* The copy's domid, if there is such a domain. */
static bool find_copy(libxl_ctx *ctx, const uint8_t uuid[16],
                      uint32_t *domid_r)
{
    int n = 0;
    libxl_dominfo *all = libxl_list_domain(ctx, &n);
    bool found = false;

    for (int i = 0; i < n && !found; i++) {
        char *name;

        if (memcmp(libxl_uuid_bytearray(&all[i].uuid), uuid, 16)) continue;
        name = libxl_domid_to_name(ctx, all[i].domid);
        found = is_copy_name(name);
        free(name);
        if (found) *domid_r = all[i].domid;
    }
    libxl_dominfo_list_free(all, n);
    return found;
}

static int destroy_copy(libxl_ctx *ctx, const uint8_t uuid[16],
                        struct xlc_error *err)
{
    uint32_t domid;

    if (!find_copy(ctx, uuid, &domid)) return 0;
    if (libxl_domain_destroy(ctx, domid, NULL) && find_copy(ctx, uuid, &domid))
        return xlc_error_set(err, -EIO, "the copy (domain %u) could not be "
                             "destroyed: `xl destroy %u`", domid, domid);
    return 0;
}

int restore_sweep(const uint8_t uuid[16], struct xlc_error *err)
{
    libxl_ctx *ctx;
    int rc = xlctx_new(&ctx, err);

    if (rc) return rc;
    rc = destroy_copy(ctx, uuid, err);
    libxl_ctx_free(ctx);
    return rc;
}

int restore_abort(struct restore *r, struct xlc_error *err)
{
    pthread_mutex_lock(&r->lock);
    if (r->op) {
        int rc = libxl_ao_abort(r->ctx, &r->how);

        if (rc && rc != ERROR_NOTFOUND)
            log_warn("libxl_ao_abort: libxl error %d", rc);
    }
    pthread_mutex_unlock(&r->lock);
    /* The writer's end stays open: another thread may be writing, and gets
     * EPIPE now that the reader's end is closed. */
    if (r->running) pthread_join(r->thread, NULL);
    r->running = false;
    return destroy_copy(r->ctx, r->uuid_raw, err);
}

int restore_finish(struct restore *r, uint32_t *domid_r,
                   struct xlc_error *err)
{
    /* This is the failover; libxc calls the end of its stream an error. */
    log_xtl_expect("Failed to read Record Header");
    if (r->wr >= 0) close(steal_fd(&r->wr));
    if (r->running) pthread_join(r->thread, NULL);
    r->running = false;
    log_xtl_expect(NULL);
    if (r->rc)
        return xlc_error_set(err, -EIO, "libxl could not finish %s (libxl "
                             "error %d)", r->incoming, r->rc);
    *domid_r = r->domid;
    return 0;
}

bool restore_exists(struct restore *r)
{
    libxl_dominfo info;
    bool there;

    libxl_dominfo_init(&info);
    there = !libxl_domain_info(r->ctx, &info, r->domid) && !info.dying &&
            !memcmp(libxl_uuid_bytearray(&info.uuid), r->uuid_raw, 16);
    libxl_dominfo_dispose(&info);
    return there;
}

int restore_devices(struct restore *r, struct xlc_error *err)
{
    while (r->disks_added < r->ndisks) {
        libxl_device_disk *d = &r->disks[r->disks_added];

        if (libxl_device_disk_add(r->ctx, r->domid, d, NULL)) {
            libxl_device_disk_destroy(r->ctx, r->domid, d, NULL);
            return xlc_error_set(err, -EIO, "disk %s (%s) can't be attached",
                                 d->vdev, d->pdev_path);
        }
        r->disks_added++;
    }
    while (r->nics_added < r->nnics) {
        libxl_device_nic *n = &r->nics[r->nics_added];

        if (libxl_device_nic_add(r->ctx, r->domid, n, NULL)) {
            libxl_device_nic_destroy(r->ctx, r->domid, n, NULL);
            return xlc_error_set(err, -EIO, "vif %d can't be attached to %s "
                                 "(see /var/log/xen/xen-hotplug.log)",
                                 n->devid, n->bridge ? n->bridge : "?");
        }
        r->nics_added++;
    }
    return 0;
}

int restore_keep(struct restore *r, struct xlc_error *err)
{
    char *kept;

    if (asprintf(&kept, "%s--colo", r->name) < 0)
        return xlc_error_set(err, -ENOMEM, "no memory");
    if (libxl_domain_rename(r->ctx, r->domid, r->incoming, kept)) {
        free(kept);
        return xlc_error_set(err, -EIO, "%s can't be renamed to %s--colo",
                             r->incoming, r->name);
    }
    free(r->incoming);
    r->incoming = kept;
    return 0;
}

int restore_vifs(struct restore *r, restore_vif *fn, struct xlc_error *err)
{
    int rc = 0;

    for (int i = 0; i < r->nics_added; i++) {
        const libxl_device_nic *n = &r->nics[i];
        char name[IFNAMSIZ];
        int one;

        vif_name(name, r->domid, n);
        one = fn(name, n->bridge, err);
        if (!rc) rc = one;
    }
    return rc;
}

unsigned int restore_vif_names(const struct restore *r,
                               char (*names)[IFNAMSIZ], unsigned int max)
{
    /* While libxl builds it, the number is libxl's to write. */
    uint32_t domid = r->running ? 0 : r->domid;

    for (unsigned int i = 0; i < max && i < (unsigned int)r->nnics; i++)
        vif_name(names[i], domid, &r->nics[i]);
    return (unsigned int)r->nnics;
}

void restore_rename(struct restore *r)
{
    if (libxl_domain_rename(r->ctx, r->domid, r->incoming, r->name))
        log_warn("%s can't be renamed to %s", r->incoming, r->name);
}

int restore_unpause(struct restore *r, struct xlc_error *err)
{
    int rc = libxl_domain_unpause(r->ctx, r->domid, NULL);

    if (rc)
        return xlc_error_set(err, -EIO, "%s can't be let go (libxl error "
                             "%d)", r->name, rc);
    /* Only now: a copy that never ran is found by its name and removed. */
    restore_rename(r);
    return 0;
}

void restore_free(struct restore *r)
{
    struct xlc_error e = XLC_ERROR_INIT;

    if (!r) return;
    if (r->running && restore_abort(r, &e)) log_error("%s", e.msg);
    if (r->rd >= 0) close(r->rd);
    if (r->wr >= 0) close(r->wr);
    if (r->done >= 0) close(r->done);
    for (int i = 0; i < r->ndisks; i++)
        libxl_device_disk_dispose(&r->disks[i]);
    for (int i = 0; i < r->nnics; i++)
        libxl_device_nic_dispose(&r->nics[i]);
    free(r->disks);
    free(r->nics);
    free(r->name);
    free(r->incoming);
    libxl_domain_config_dispose(&r->cfg);
    if (r->ctx) libxl_ctx_free(r->ctx);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
