/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* primary-rig.c - A primary whose planes, proxy and connection are a test's */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plane-name.h"
#include "plane.h"
#include "policy.h"
#include "primary-rig.h"

struct rig rig = { .evfd = -1 };

/* ---- What is not here --------------------------------------------------- */

static int word(const char *w)
{
    size_t n = strlen(rig.said);

    snprintf(rig.said + n, sizeof(rig.said) - n, "%s%s", n ? " " : "", w);
    return 0;
}

static int word_n(const char *w, uint64_t n)
{
    char buf[48];

    snprintf(buf, sizeof(buf), "%s%llu", w, (unsigned long long)n);
    return word(buf);
}

bool rig_did(const char *all)
{
    bool same = !strcmp(rig.said, all);

    if (!same) printf("# said: %s\n", rig.said);
    rig.said[0] = 0;
    return same;
}

int tc_open(struct tc *tc, struct xlc_error *err)
{
    (void)tc, (void)err;
    return 0;
}

void tc_close(struct tc *tc)
{
    (void)tc;
}

void tapdev_close(struct tapdev *t)
{
    (void)t;
    word("tap-closed");
}

int plane_name(char name[IFNAMSIZ], const char *vif, bool inbound)
{
    (void)name, (void)inbound;
    return strncmp(vif, "vif7.", 5) ? -EINVAL : 0;
}

int plane_left(struct tc *tc, const char *vif)
{
    (void)tc, (void)vif;
    return rig.left;
}

int plane_setup(struct plane *p, struct tc *tc, const char *vif,
                struct xlc_error *err)
{
    *p = (struct plane)PLANE_INIT;
    p->tc = tc;
    if (rig.fails) return xlc_error_set(err, rig.fails, "no plane");
    return word(vif);
}

int plane_inline(struct plane *p, struct xlc_error *err)
{
    (void)p, (void)err;
    return word("inline");
}

int plane_direct(struct plane *p, struct xlc_error *err)
{
    (void)p, (void)err;
    return word("direct");
}

int plane_settle(struct plane *p, uint32_t quiet_us, uint32_t limit_us,
                 struct xlc_error *err)
{
    (void)p, (void)quiet_us, (void)limit_us, (void)err;
    return word("settle");
}

int plane_teardown(struct plane *p, struct xlc_error *err)
{
    (void)p, (void)err;
    return word("teardown");
}

int proxy_primary_start(struct proxy_primary **p_r,
                        const struct proxy_primary_cfg *cfg,
                        struct xlc_error *err)
{
    (void)err;
    *p_r = (struct proxy_primary *)&rig;
    rig.evfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rig.now = (struct proxy_primary_status){ .peer = false };
    return word_n("start", cfg->compare.late_ns / 1000000u);
}

void proxy_primary_stop(struct proxy_primary *p)
{
    if (!p) return;
    word("stop");
    close(rig.evfd);
}

int proxy_primary_event_fd(const struct proxy_primary *p)
{
    (void)p;
    return rig.evfd;
}

int proxy_primary_peer(struct proxy_primary *p, int fd,
                       const struct wirestream_ops *ops, void *ctx,
                       struct xlc_error *err)
{
    (void)p, (void)fd, (void)ops, (void)ctx;
    if (rig.fails) return xlc_error_set(err, rig.fails, "no peer");
    rig.now.peer = rig.now.greeted = true;
    return word("peer");
}

int proxy_primary_hold(struct proxy_primary *p, bool hold,
                       struct xlc_error *err)
{
    (void)p, (void)err;
    return word(hold ? "hold" : "unhold");
}

int proxy_primary_cut(struct proxy_primary *p, uint64_t n,
                      struct xlc_error *err)
{
    (void)p;
    if (rig.fails) return xlc_error_set(err, rig.fails, "no cut");
    rig.now.epoch = n;
    rig.now.connected = false;
    return word_n("cut", n);
}

int proxy_primary_commit(struct proxy_primary *p, uint64_t n,
                         struct xlc_error *err)
{
    (void)p, (void)err;
    return word_n("commit", n);
}

int proxy_primary_mode(struct proxy_primary *p, enum compare_mode mode,
                       struct xlc_error *err)
{
    (void)p, (void)err;
    return word(mode == COMPARE_COLO ? "colo" : "passive");
}

int proxy_primary_open(struct proxy_primary *p, struct xlc_error *err)
{
    (void)p;
    if (rig.fails) return xlc_error_set(err, rig.fails, "the proxy has ended");
    return word("open");
}

int proxy_primary_idle(struct proxy_primary *p, struct xlc_error *err)
{
    (void)p, (void)err;
    if (!rig.busy) return word("idle");
    rig.busy--;
    return -EAGAIN;
}

int proxy_primary_status(struct proxy_primary *p,
                         struct proxy_primary_status *s,
                         struct xlc_error *err)
{
    (void)p, (void)err;
    *s = rig.now;
    return 0;
}

int proxy_primary_held(struct proxy_primary *p, struct proxy_primary_held *h,
                       struct xlc_error *err)
{
    (void)p, (void)err;
    *h = (struct proxy_primary_held){ .packets = 0 };
    return 0;
}

int proxy_primary_limits(struct proxy_primary *p, uint64_t late_ns,
                         uint64_t plug_ns, struct xlc_error *err)
{
    (void)p, (void)err;
    word_n("late", late_ns / 1000000u);
    return word_n("plug", plug_ns / 1000000u);
}

libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid,
                                        int *n)
{
    libxl_device_nic *nics = calloc(2, sizeof(*nics));

    (void)ctx, (void)domid;
    if (!nics) abort();
    nics[1].devid = 1;
    *n = 2;
    return nics;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int n)
{
    (void)n;
    free(list);
}

void conn_free(struct conn *c)
{
    (void)c;
    word("conn-freed");
}

int conn_fd(const struct conn *c)
{
    (void)c;
    return -1;
}

const struct wirestream_ops conn_stream_ops;

void redial_init(struct redial *r, const struct conn *first,
                 const struct conn_secret *secret, uint16_t port,
                 uint8_t channel, uint64_t now_ms)
{
    (void)r, (void)first, (void)secret, (void)port, (void)channel;
    (void)now_ms;
}

void redial_lost(struct redial *r, const char *why, uint64_t now_ms)
{
    (void)why, (void)now_ms;
    r->lost = true;
}

void redial_close(struct redial *r)
{
    r->lost = false;
}

int redial_fd(const struct redial *r)
{
    (void)r;
    return -1;
}

short redial_events(const struct redial *r)
{
    (void)r;
    return 0;
}

bool redial_turn(struct redial *r, uint64_t now_ms)
{
    (void)now_ms;
    return r->lost && rig.through;
}

struct conn *redial_take(struct redial *r, uint64_t now_ms)
{
    (void)now_ms;
    r->lost = rig.through = false;
    return (struct conn *)&rig;
}

/* ---- A primary ---------------------------------------------------------- */

struct primary *rig_primary(enum xlc_mode mode)
{
    struct primary *p = calloc(1, sizeof(*p));

    if (!p) abort();
    rig.options = (struct xlc_options){ .colo = true, .mode = mode };
    rig.sh.plane = false;
    p->o = &rig.options;
    p->sh = &rig.sh;
    p->cfg.num_nics = 2;
    p->guest.domid = 7;
    policy_set_init(&p->live);
    p->live.wish = (enum policy_wish)mode;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->nb_lock, NULL);
    pthread_cond_init(&p->cond, NULL);
    rig.said[0] = 0;
    return p;
}

void rig_gone(struct primary *p)
{
    primary_proxy_free(p);
    free(p);
}

struct primary *rig_begun(enum xlc_mode mode)
{
    struct primary *p = rig_primary(mode);

    if (primary_proxy_begin(p, NULL) ||
        primary_proxy_peer(p, (struct conn *)&rig, NULL)) abort();
    rig.said[0] = 0;
    return p;
}

void rig_cut(struct primary *p, uint64_t n)
{
    primary_proxy_asked(p, true);
    if (primary_proxy_settle(p, NULL) || primary_proxy_cut(p, n, NULL))
        abort();
    primary_proxy_asked(p, false);
    p->m.cut = n;
}

void rig_acked(struct primary *p, uint64_t n)
{
    p->m.acked = n;
    primary_proxy_committed(p);
}

void rig_epoch(struct primary *p, uint64_t n)
{
    rig_cut(p, n);
    rig_acked(p, n);
}

void rig_turn(struct primary *p)
{
    primary_proxy_turn(p, !eventfd_write(rig.evfd, 1), 0);
}
