/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* colo-secondary.c - The copy is a domain; see colo-secondary.h */
#include <config.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "bridge.h"
#include "cleanup.h"
#include "clock.h"
#include "colo-secondary.h"
#include "epochmem.h"
#include "inplace-xen.h"
#include "log.h"
#include "secondary.h"
#include "svm.h"
#include "svmdisks.h"

/* A rollback that failed is tried again after a moment. */
#define AGAIN_MS 200
/* It is given up after so long if the primary is there all the time: if that
 * is gone, too, this copy is the last. */
#define GIVE_UP_MS 2000
/* How often it is looked whether the copy's vifs are connected, and for how
 * long that is nothing to talk about. */
#define LOOK_MS 10
#define LATE_MS 10000
/* If nobody says what an epoch's mode is. */
#define MODE_MS 1000
/* Pages that a guest has besides its memory: rings, tables. */
#define SPECIAL ((uint64_t)4 << 20)

/**
 * struct colo_secondary - see colo-secondary.h
 * @x: the domain @domid
 * @finishing: the restore was told to end
 * @failed_ms: since when rollbacks fail, or 0
 * @epoch: the newest that counts
 * @may_run: the copy runs from it if its mode says so; @compared: so it did
 *           the last time that it was known
 * @went_us: when it was let go to run beside; @look_us: when its vifs are
 *           looked at next; @late: it was said that they are not connected
 * @connected: they are; @lag_us: how long that took the last time
 * @dead_ms: when a takeover first found it dead, or 0
 */
struct colo_secondary {
    struct secondary *s;
    struct svm *svm;
    struct inplace_xen *x;
    _Atomic uint32_t domid;
    _Atomic bool finishing;
    uint64_t failed_ms, epoch;
    bool may_run, compared, late;
    uint64_t went_us, look_us, dead_ms;
    _Atomic bool connected;
    _Atomic uint64_t lag_us;
};

static bool still_paired(struct secondary *s)
{
    LOCK_SCOPE(&s->lock);
    return s->m.state == SEC_SYNCING || s->m.state == SEC_PAIRED;
}

/* From here on the restore is the data thread's to end; whoever throws the
 * copy away waits for it. */
static int begin_finish(struct colo_secondary *c)
{
    LOCK_SCOPE(&c->s->lock);
    if (sec_out(&c->s->m)) return -ECANCELED;
    c->finishing = true;
    return 0;
}

static int leave(const char *ifname, const char *bridge,
                 struct xlc_error *err)
{
    (void)bridge;
    return bridge_leave(ifname, err);
}

/* From here on what the vifs carry goes through our hands. */
static int take_vifs(struct colo_secondary *c, struct xlc_error *err)
{
    char vifs[WIRE_VIFS_MAX][IFNAMSIZ];
    unsigned int n;

    if (!c->s->proxy) return 0;
    n = restore_vif_names(c->s->restore, vifs, WIRE_VIFS_MAX);
    return secondary_proxy_start(c->s->proxy, vifs, n, err);
}

static int host_build(void *host, const struct inplace_ops **ops_r,
                      void **dom_r, struct xlc_error *err)
{
    struct colo_secondary *c = host;
    struct restore *r = c->s->restore;
    uint32_t domid = 0;
    int rc = begin_finish(c);

    if (rc) return rc;
    rc = restore_finish(r, &domid, err);
    if (!rc) rc = restore_keep(r, err);
    if (!rc) rc = svmdisks_open(&c->s->disks, domid, c->epoch, err);
    if (!rc) rc = restore_devices(r, err);
    if (!rc) rc = restore_vifs(r, leave, err);
    if (!rc) rc = take_vifs(c, err);
    if (!rc) rc = inplace_xen_open(&c->x, domid, true, err);
    if (rc) return rc;
    inplace_xen_held(c->x);
    c->domid = domid;
    *ops_r = &inplace_xen_ops;
    *dom_r = c->x;
    log_info("%s: the copy is domain %u, paused, on no bridge",
             c->s->rec.name, domid);
    return 0;
}

/* Something came from the primary just now: it can go on alone. */
static bool primary_heard(const struct secondary *s)
{
    return paths_silence_ms(&s->paths, clock_ms()) <=
           3 * (uint64_t)s->hello.heartbeat_ms;
}

static bool host_again(void *host, const struct xlc_error *why)
{
    const struct timespec nap = { 0, AGAIN_MS * 1000000 };
    struct colo_secondary *c = host;
    uint64_t now = clock_ms();

    if (!c->failed_ms) c->failed_ms = now;
    if (!restore_exists(c->s->restore) || !still_paired(c->s) ||
        (now - c->failed_ms >= c->s->paths.limit_ms + GIVE_UP_MS &&
         primary_heard(c->s)))
        return false;
    log_warn("%s: the copy can't be put back: %s; trying again",
             c->s->rec.name, why->msg);
    nanosleep(&nap, NULL);
    return true;
}

static uint64_t host_spare(void *host)
{
    (void)host;
    return epochmem_spare_now();
}

static int host_quiet(void *host, struct xlc_error *err)
{
    struct colo_secondary *c = host;
    int rc = svmdisks_checkpoint(&c->s->disks, c->epoch, err);

    c->connected = false;
    if (rc || !c->s->proxy) return rc;
    return secondary_proxy_cut(c->s->proxy, c->epoch, err);
}

static bool host_paused(void *host)
{
    struct colo_secondary *c = host;

    return inplace_xen_look(c->x, NULL) == INPLACE_XEN_PAUSED;
}

static const struct svm_ops host_ops = {
    .build = host_build,
    .again = host_again,
    .spare = host_spare,
    .quiet = host_quiet,
    .paused = host_paused,
};

int colo_secondary_new(struct colo_secondary **c_r, struct secondary *s,
                       struct xlc_error *err)
{
    const libxl_domain_config *cfg = restore_config(s->restore);
    uint64_t memory = restore_memory(s->restore);
    struct image_limits lim = {
        .pfns = image_pfns(memory),
        .pages = (memory + SPECIAL) / IMAGE_PAGE,
        .epoch_pages = 2 * ((memory + SPECIAL) / IMAGE_PAGE),
        .vcpus = (unsigned int)cfg->b_info.max_vcpus,
    };
    struct colo_secondary *c;
    int rc;

    if (cfg->c_info.type != LIBXL_DOMAIN_TYPE_PVH)
        return xlc_error_set(err, -EPERM, "only the copy of a PVH guest can "
                             "be put back in place, which --colo needs");
    /* What the copy writes must not be what the guest reads. */
    if (restore_writable(s->restore) != s->disks.list.n)
        return xlc_error_set(err, -EPERM, "the guest has a writable disk that "
                             "is not mirrored, and the copy would write to "
                             "it, too");
    c = calloc(1, sizeof(*c));
    if (!c) return xlc_error_set(err, -ENOMEM, "no memory");
    c->s = s;
    rc = svm_new(&c->svm, &lim, &host_ops, c, err);
    if (rc) {
        colo_secondary_free(c);
        return rc;
    }
    *c_r = c;
    return 0;
}

void colo_secondary_free(struct colo_secondary *c)
{
    if (!c) return;
    inplace_xen_close(steal_ptr(&c->x));
    svm_free(c->svm);
    free(c);
}

int colo_secondary_feed(struct colo_secondary *c, const uint8_t *data,
                        size_t len, struct xlc_error *err)
{
    return svm_feed(c->svm, data, len, err);
}

int colo_secondary_check(struct colo_secondary *c, struct xlc_error *err)
{
    return svm_check(c->svm, err);
}

/* What the data thread tells of a copy that it could not put back. */
static int told(struct colo_secondary *c, const struct xlc_error *e,
                struct xlc_error *err)
{
    if (!still_paired(c->s)) return -ECANCELED;
    /* Not what a broken connection is called. */
    return xlc_error_set(err, -EIO, "%s", e->msg);
}

int colo_secondary_apply(struct colo_secondary *c, uint64_t n, bool final,
                         struct xlc_error *err)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int rc;

    c->failed_ms = 0;
    c->epoch = n;
    c->may_run = c->s->proxy && !final;
    rc = n == 1 ? svm_build(c->svm, &e) : svm_take(c->svm, &e);
    if (!rc && n != 1) rc = svm_put(c->svm, &e);
    return rc ? told(c, &e, err) : 0;
}

/* Worth a line whenever it changes. */
static void compare(struct colo_secondary *c, bool compared)
{
    if (compared != c->compared)
        log_info("%s: %s, from epoch %llu on", c->s->rec.name, compared ?
                 "the copy runs, and its packets are compared" :
                 "the copy waits, paused, and takes checkpoints only",
                 (unsigned long long)c->epoch);
    c->compared = compared;
}

/* RULES C3: when it goes its clock is the primary's. A peer that does not say
 * what time it is leaves it as it is. */
static void align_clock(struct colo_secondary *c)
{
    struct secondary *s = c->s;
    int32_t offset_s;
    bool known;

    pthread_mutex_lock(&s->lock);
    known = wallclock_offset(&s->clock, &offset_s);
    pthread_mutex_unlock(&s->lock);
    if (known) inplace_xen_clock(c->x, offset_s);
}

/* Let it run beside. One that can't is put back, and waits for the next
 * epoch. */
static int run_beside(struct colo_secondary *c, struct xlc_error *err)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int rc;

    c->may_run = c->late = false;
    align_clock(c);
    c->went_us = c->look_us = clock_us();
    rc = svm_beside(c->svm, &e);
    if (!rc) return 0;
    log_warn("%s: the copy can't run from epoch %llu: %s", c->s->rec.name,
             (unsigned long long)c->epoch, e.msg);
    xlc_error_clear(&e);
    c->failed_ms = 0;
    rc = svm_put(c->svm, &e);
    return rc ? told(c, &e, err) : 0;
}

/* It runs: are its vifs back? */
static void look_at_vifs(struct colo_secondary *c)
{
    uint64_t now = clock_us();

    if (now < c->look_us) return;
    c->look_us = now + LOOK_MS * 1000u;
    if (inplace_xen_connected(c->x)) {
        secondary_proxy_connected(c->s->proxy);
        c->connected = true;
        c->lag_us = clock_us() - c->went_us;
    } else if (!c->late && now - c->went_us > LATE_MS * 1000u) {
        c->late = true;
        log_warn("%s: the copy runs, but has not connected its network for "
                 "%u s", c->s->rec.name, LATE_MS / 1000u);
    }
}

int colo_secondary_turn(struct colo_secondary *c, int *wait_ms,
                        struct xlc_error *err)
{
    int rc;

    *wait_ms = -1;
    if (!c->s->proxy) return 0;
    if (c->may_run) {
        switch (secondary_proxy_mode(c->s->proxy, c->epoch)) {
        case WIRE_MODE_COLO:
            compare(c, true);
            rc = run_beside(c, err);
            if (rc) return rc;
            break;
        case 0:
            *wait_ms = MODE_MS;
            return 0;
        default:
            compare(c, false);
            c->may_run = false;
        }
    }
    if (svm_state(c->svm) != SVM_BESIDE || c->connected) return 0;
    look_at_vifs(c);
    if (!c->connected) *wait_ms = LOOK_MS;
    return 0;
}

bool colo_secondary_finishing(struct colo_secondary *c)
{
    return c->finishing;
}

/* A copy that died after it was heard is no good, but as long as the primary
 * may come back its guest lives: insist() looks, and gives up for it. After
 * that the guest has crashed, and its configuration says what follows. */
static int wait_for_primary(struct colo_secondary *c, struct xlc_error *err)
{
    const char *name = c->s->rec.name;
    uint64_t now = clock_ms(), waited;

    if (!c->dead_ms) c->dead_ms = now;
    waited = now - c->dead_ms;
    c->s->dead_wait = true;
    if (c->s->dismissed)
        return xlc_error_set(err, -EINTR, "the copy has shut down or crashed "
                             "since epoch %llu, after it was heard, and the "
                             "wait for the primary was ended from outside: "
                             "nothing runs here",
                             (unsigned long long)c->epoch);
    /* One that is heard at the last moment has not said yet that it waits. */
    if (secondary_primary_there(c->s) ||
        waited < secondary_primary_wait_ms(c->s))
        return xlc_error_set(err, -EIO, "the copy has shut down or crashed "
                             "since epoch %llu, after it was heard; the "
                             "primary's may live",
                             (unsigned long long)c->epoch);
    c->s->dead_wait = false;
    log_error("%s: the copy has shut down or crashed since epoch %llu, after "
              "it was heard, and the primary did not come back within %llu s: "
              "the guest has, too", name, (unsigned long long)c->epoch,
              (unsigned long long)(waited / 1000));
    return 0;
}

/* It ran beside: is it still any good? A guest that lives is not given up for
 * one that is dead. */
static int judge_beside(struct colo_secondary *c, struct xlc_error *err)
{
    int seen;

    if (!restore_exists(c->s->restore))
        return xlc_error_set(err, -ENOENT, "the copy is gone");
    seen = inplace_xen_look(c->x, err);
    if (seen < 0) return seen;
    if (seen == INPLACE_XEN_PAUSED)
        log_warn("%s: somebody has paused the copy", c->s->rec.name);
    if (seen != INPLACE_XEN_DEAD) return 0;
    if (!secondary_proxy_said(c->s->proxy) &&
        !svmdisks_taken(&c->s->disks)) {
        log_warn("%s: the copy has shut down or crashed since epoch %llu, "
                 "unheard: putting it back there", c->s->rec.name,
                 (unsigned long long)c->epoch);
        svm_disturbed(c->svm);
        return 0;
    }
    return wait_for_primary(c, err);
}

int colo_secondary_ready(struct colo_secondary *c, struct xlc_error *err)
{
    int rc = 0;

    if (c->x) align_clock(c);
    /* RULES A1: what ran without us is not the checkpoint. */
    if (c->x && inplace_xen_runs(c->x)) svm_disturbed(c->svm);
    if (svm_state(c->svm) == SVM_BESIDE) rc = judge_beside(c, err);
    if (!rc) rc = svm_ready(c->svm, err);
    return rc ? rc : restore_vifs(c->s->restore, bridge_join, err);
}

int colo_secondary_settle(struct colo_secondary *c, struct xlc_error *err)
{
    return svmdisks_settle(&c->s->disks, svm_state(c->svm) == SVM_BESIDE, err);
}

int colo_secondary_go(struct colo_secondary *c, struct xlc_error *err)
{
    int rc = 0;

    if (c->s->proxy) rc = secondary_proxy_open(c->s->proxy, err);
    if (!rc) rc = svm_go(c->svm, err);
    if (!rc) restore_rename(c->s->restore);
    return rc;
}

void colo_secondary_release(struct colo_secondary *c)
{
    inplace_xen_close(steal_ptr(&c->x));
    svm_release(c->svm);
}

uint32_t colo_secondary_domid(struct colo_secondary *c)
{
    return c->domid;
}

void colo_secondary_status(struct colo_secondary *c, struct json *j)
{
    struct svm_view v;

    svm_view(c->svm, &v);
    json_object(j, "svm");
    json_uint(j, "domid", c->domid);
    json_str(j, "state", svm_state_name(v.state));
    json_uint(j, "image_bytes", v.image_bytes);
    json_uint(j, "put_us", v.put_us);
    json_uint(j, "put_pages", v.written);
    json_uint(j, "puts_total", v.puts);
    json_uint(j, "put_failures_total", v.failures);
    json_uint(j, "runs_total", v.runs);
    json_uint(j, "go_us", v.go_us);
    json_bool(j, "connected", c->connected);
    json_uint(j, "lag_us", c->lag_us);
    if (c->s->proxy) secondary_proxy_status(c->s->proxy, j);
    json_object_end(j);
}
