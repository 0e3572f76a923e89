/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf.c - Output commit for the network: hold what a domain sends
 *
 * Theory of operation
 * -------------------
 * What a guest sends is what dom0 receives on its vif, and there is no queue
 * on the receiving side. So each vif gets an ifb device, whose only purpose
 * is to have a queue, and a filter on its ingress that sends everything
 * there; from the ifb's end a packet goes back to the vif as if it had just
 * arrived, past the filter, and on to the bridge from the same port.
 *
 *   guest -> netback -> vif3.0 ingress               vif3.0 -> bridge
 *                         | prio 1 [drop]  (mute)      ^
 *                         | prio 2 copy, end           |
 *                         +----> rb3.0: plug qdisc ----+
 *
 * The queue is sch_plug. BUFFER puts a mark behind what is queued,
 * RELEASE_ONE lets go what is before the mark, RELEASE_INDEFINITE opens the
 * queue until the next BUFFER. There is one mark: a second BUFFER before a
 * release moves it and the first epoch's count is lost, its packets come one
 * epoch late from then on. So a port has a state (enum plug_state) and a
 * second BUFFER is refused.
 *
 * The plug's commands change its counts without the queue's lock, under
 * which packets come and go on other processors. A BUFFER beside a packet
 * that comes can count an epoch twice, a RELEASE_ONE beside one that goes
 * can take its decrement back, and an opening beside one that goes leaves a
 * count behind: each lets packets of a later epoch go too early. Hence
 * netbuf_settle() before each BUFFER, when the guest is suspended: nothing
 * comes, and what the last release let go is gone, so that the next release
 * finds the queue at rest as well. And the first BUFFER repeats the opening,
 * now at rest, which zeroes all counts.
 *
 * Why copies (RULES A11): the pages of a packet that netback hands over are
 * the guest's own, mapped by grant, and netback does not let a vif disconnect
 * before it has all of them back; it waits in the one thread that handles
 * device changes of all guests. The usual `action mirred egress redirect`
 * puts the packet itself into the queue, and a guest that closes its vif
 * while we hold would stop that thread. But a redirect whose verdict is
 * "pipe", that is with another action behind it, can't give the packet away:
 * the kernel clones it (tcf_mirred_can_reinsert()), and a clone of a packet
 * with foreign pages gets pages of its own (skb_clone() calls
 * skb_orphan_frags()), which gives the guest's back at once. The action
 * behind it ends the original. A plain `mirror` clones as well, but its
 * clone lacks the redirected mark without which an ifb drops what it gets.
 *
 * Everything fails towards silence. A killed process leaves the queue as it
 * was; an ifb that is down or gone makes mirred drop; without memory for a
 * copy mirred drops; a queue at its limit drops. That includes teardown: a
 * filter that can't be removed keeps its ifb.
 *
 * An ifb that went down is never taken up again: that empties the queue but
 * not the plug's counts, and the next release would let go of as many
 * packets of an epoch that is not committed. So netbuf_cut(), which takes
 * it down, is final.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "netbuf-find.h"
#include "netbuf-lock.h"
#include "netbuf-setup.h"

#define DRAIN_TEARDOWN_MS 1000
#define DRAIN_FIRST_MS    20
#define DRAIN_POLL_NS     (1000 * 1000)

struct netbuf {
    struct tc tc;
    uint32_t domid;
    int lock;
    bool cut, holding;
    unsigned int n;
    struct port port[NETBUF_VIF_MAX];
};

/* A port's failed request as a sentence; the first one stays in @err. */
static int port_error(struct netbuf *nb, const struct port *p, int r,
                      struct xlc_error *err, const char *what)
{
    return xlc_error_set(err, r, "%s: can't %s: %s", p->ifb, what,
                         tc_why(&nb->tc, r));
}

static int check_cut(const struct netbuf *nb, struct xlc_error *err)
{
    if (!nb->cut) return 0;
    return xlc_error_set(err, -ESHUTDOWN, "the network of domain %u is cut "
                         "off; only the teardown of its buffer is left",
                         (unsigned int)nb->domid);
}

/* A new, empty buffer that owns @domid's lock. */
static int make(struct netbuf **nb_r, uint32_t domid, struct xlc_error *err)
{
    struct netbuf *nb;
    int r;

    if (domid > NETBUF_DOMID_MAX)
        return xlc_error_set(err, -EINVAL, "domain %u: no such number",
                             (unsigned int)domid);
    nb = calloc(1, sizeof(*nb));
    if (!nb) return xlc_error_set(err, -ENOMEM, "netbuf: out of memory");
    nb->domid = domid;
    nb->lock = -1;
    r = netbuf_lock_take(domid, &nb->lock, err);
    if (!r) r = tc_open(&nb->tc, err);
    if (r) {
        netbuf_free(nb);
        return r;
    }
    *nb_r = nb;
    return 0;
}

/* What is there already belongs to somebody who is dead: we have the lock. */
static int check_none_left(struct netbuf *nb, struct xlc_error *err)
{
    struct ports found = { 0 };
    int r = netbuf_find(&nb->tc, &nb->domid, &found, err);

    free(found.at);
    if (r || !found.n) return r;
    return xlc_error_set(err, -EBUSY, "domain %u has a network buffer left "
                         "over from a process that died; remove it with "
                         "`remus-netbuf clear %u`", (unsigned int)nb->domid,
                         (unsigned int)nb->domid);
}

int netbuf_setup(struct netbuf **nb_r, uint32_t domid,
                 const struct netbuf_vif *vifs, unsigned int n, size_t limit,
                 struct xlc_error *err)
{
    struct netbuf *nb = NULL;
    unsigned int i;
    int rc;

    if (n > NETBUF_VIF_MAX)
        return xlc_error_set(err, -E2BIG, "domain %u has %u interfaces; at "
                             "most %d can be held", (unsigned int)domid, n,
                             NETBUF_VIF_MAX);
    if (limit < NETBUF_LIMIT_MIN || limit > NETBUF_LIMIT_MAX)
        return xlc_error_set(err, -EINVAL, "network buffer of %zu octets: "
                             "from %u to %u are possible", limit,
                             NETBUF_LIMIT_MIN, NETBUF_LIMIT_MAX);
    rc = make(&nb, domid, err);
    if (rc) return rc;
    rc = check_none_left(nb, err);
    if (rc) goto out;
    if (n) netbuf_modules();
    for (i = 0; i < n && !rc; i++) {
        nb->n = i + 1; /* so that a half-made one is removed, too */
        rc = netbuf_port_setup(&nb->tc, &nb->port[i], domid, &vifs[i],
                               (uint32_t)limit, err);
    }
    if (rc) netbuf_teardown(nb, false, NULL);
out:
    if (rc) netbuf_free(nb);
    else *nb_r = nb;
    return rc;
}

int netbuf_attach(struct netbuf **nb_r, uint32_t domid, struct xlc_error *err)
{
    struct ports found = { 0 };
    struct netbuf *nb;
    unsigned int i;
    int rc;

    rc = make(&nb, domid, err);
    if (rc) return rc;
    rc = netbuf_find(&nb->tc, &domid, &found, err);
    if (!rc && found.n > NETBUF_VIF_MAX)
        rc = xlc_error_set(err, -E2BIG, "domain %u has %u network buffers; "
                           "at most %d are possible", (unsigned int)domid,
                           found.n, NETBUF_VIF_MAX);
    for (i = 0; !rc && i < found.n; i++) {
        nb->port[nb->n++] = found.at[i];
        nb->cut |= found.at[i].down;
    }
    free(found.at);
    if (rc) {
        netbuf_free(nb);
        return rc;
    }
    if (!nb->n) netbuf_lock_remove(domid); /* nothing to own */
    *nb_r = nb;
    return 0;
}

unsigned int netbuf_count(const struct netbuf *nb)
{
    return nb->n;
}

/*
 * Has everything on its way out of @p left it? @tail: also what the plug
 * has given to the device. What can't be asked is gone.
 */
static bool is_drained(struct netbuf *nb, struct port *p, bool tail)
{
    struct tc_traffic t;

    if (!p->ifb_index || tc_queue_get(&nb->tc, p->ifb_index, &p->queue))
        return true;
    if (p->queue.packets) return false;
    return !tail || tc_link_traffic(&nb->tc, p->ifb_index, &t) ||
           t.in == t.out;
}

static void drain(struct netbuf *nb, uint64_t deadline_ms, bool tail)
{
    const struct timespec pause = { .tv_nsec = DRAIN_POLL_NS };
    unsigned int i;

    for (i = 0; i < nb->n; i++)
        while (!is_drained(nb, &nb->port[i], tail) &&
               clock_ms() < deadline_ms)
            nanosleep(&pause, NULL);
}

/* Look at @p's counts. Return: 1 if they are the last look's, else 0. */
static int port_still(struct netbuf *nb, struct port *p,
                      struct xlc_error *err)
{
    struct tc_queue queue = { 0 };
    struct tc_traffic vif = { 0 };
    int r = 0;
    bool still;

    if (p->ifb_index) r = tc_queue_get(&nb->tc, p->ifb_index, &queue);
    if (r) return port_error(nb, p, r, err, "ask what is held");
    if (p->vif_index) r = tc_link_traffic(&nb->tc, p->vif_index, &vif);
    if (r && r != -ENODEV)
        return port_error(nb, p, r, err, "ask what the vif received");
    still = queue.packets == p->queue.packets &&
            queue.sent == p->queue.sent && vif.in == p->received;
    p->queue = queue;
    p->received = vif.in;
    return still;
}

int netbuf_settle(struct netbuf *nb, unsigned int quiet_us,
                  unsigned int max_us, struct xlc_error *err)
{
    const struct timespec pause = {
        .tv_sec = quiet_us / 1000000,
        .tv_nsec = (long)(quiet_us % 1000000) * 1000,
    };
    uint64_t until = clock_us() + max_us;
    unsigned int i, moving;
    bool first = true; /* an older look must not count */
    int r;

    for (;;) {
        for (i = moving = 0; !nb->cut && i < nb->n; i++) {
            r = port_still(nb, &nb->port[i], err);
            if (r < 0) return r;
            moving += !r;
        }
        if (!i || (!first && !moving)) return 0;
        if (!first && clock_us() >= until)
            return xlc_error_set(err, -ETIMEDOUT, "domain %u: packets still "
                                 "come after %u us",
                                 (unsigned int)nb->domid, max_us);
        first = false;
        nanosleep(&pause, NULL);
    }
}

static int port_buffer(struct netbuf *nb, struct port *p,
                       struct xlc_error *err)
{
    int r;

    if (p->state == PLUG_UNKNOWN)
        return xlc_error_set(err, -EBUSY, "%s: another process left this "
                             "buffer; open it first", p->ifb);
    if (p->state == PLUG_CLOSED)
        return xlc_error_set(err, -EBUSY, "%s: an epoch is closed and not "
                             "released", p->ifb);
    r = 0;
    if (p->state == PLUG_OPEN)
        r = tc_plug_do(&nb->tc, p->ifb_index, TC_PLUG_OPEN);
    if (!r) r = tc_plug_do(&nb->tc, p->ifb_index, TC_PLUG_BUFFER);
    if (r) return port_error(nb, p, r, err, "close the epoch");
    p->state = p->state == PLUG_OPEN ? PLUG_HOLDING : PLUG_CLOSED;
    return 0;
}

int netbuf_buffer(struct netbuf *nb, struct xlc_error *err)
{
    int rc = check_cut(nb, err), r;
    unsigned int i;

    /* A packet that an open plug still has was not counted: with it, as many
     * of the first epoch's would stay behind at each release. */
    nb->holding |= !rc;
    if (!rc && nb->n && nb->port[0].state == PLUG_OPEN)
        drain(nb, clock_ms() + DRAIN_FIRST_MS, false);
    for (i = 0; !nb->cut && i < nb->n; i++) {
        r = port_buffer(nb, &nb->port[i], err);
        if (!rc) rc = r;
    }
    return rc;
}

int netbuf_release(struct netbuf *nb, struct xlc_error *err)
{
    int rc = check_cut(nb, err), r;
    unsigned int i;

    for (i = 0; !nb->cut && i < nb->n; i++) {
        struct port *p = &nb->port[i];

        if (p->state == PLUG_OPEN || p->state == PLUG_HOLDING) continue;
        r = tc_plug_do(&nb->tc, p->ifb_index, TC_PLUG_RELEASE_ONE);
        if (r) r = port_error(nb, p, r, err, "release the epoch");
        else if (p->state == PLUG_CLOSED) p->state = PLUG_HOLDING;
        if (!rc) rc = r;
    }
    return rc;
}

static int port_open(struct netbuf *nb, struct port *p)
{
    int r = tc_plug_do(&nb->tc, p->ifb_index, TC_PLUG_OPEN);

    if (r == -ENOENT) r = 0; /* an ifb without its plug holds nothing */
    if (!r) p->state = PLUG_OPEN;
    return r;
}

int netbuf_open(struct netbuf *nb, struct xlc_error *err)
{
    int rc = check_cut(nb, err), r;
    unsigned int i;

    nb->holding = false;
    for (i = 0; !nb->cut && i < nb->n; i++) {
        r = port_open(nb, &nb->port[i]);
        if (r) port_error(nb, &nb->port[i], r, err, "open the buffer");
        if (!rc) rc = r;
    }
    return rc;
}

/* Did the thing that a request was about go by itself? */
static bool is_gone(int r)
{
    /* EINVAL: the vif has no ingress side any more. */
    return r == -ENODEV || r == -ENOENT || r == -EINVAL;
}

static int port_mute(struct netbuf *nb, struct port *p, bool on,
                     struct xlc_error *err)
{
    uint32_t handle = netbuf_handle(&p->id);
    int r = 0;

    if (!p->vif_index) return 0;
    if (on) {
        r = tc_drop_add(&nb->tc, p->vif_index, handle);
        if (r == -EEXIST && p->muted) r = 0;
    } else if (p->muted) {
        r = tc_filter_del(&nb->tc, p->vif_index, TC_PRIO_DROP, handle);
        if (is_gone(r)) r = 0;
    }
    if (r == -ENODEV) r = 0; /* the vif is gone: it can't send */
    if (r) return port_error(nb, p, r, err, on ? "mute the vif" :
                             "stop muting the vif");
    p->muted = on;
    return 0;
}

int netbuf_mute(struct netbuf *nb, bool on, struct xlc_error *err)
{
    int rc = check_cut(nb, err), r;
    unsigned int i;

    for (i = 0; !nb->cut && i < nb->n; i++) {
        r = port_mute(nb, &nb->port[i], on, err);
        if (!rc) rc = r;
    }
    return rc;
}

/* Taking the ifb down empties the plug, and mirred drops what comes. */
static int port_down(struct netbuf *nb, struct port *p, struct xlc_error *err)
{
    int r;

    if (!p->ifb_index || p->down) return 0;
    r = tc_link_set_up(&nb->tc, p->ifb_index, false);
    if (r && r != -ENODEV)
        return port_error(nb, p, r, err, "throw away what is held");
    p->down = true;
    return 0;
}

int netbuf_cut(struct netbuf *nb, struct xlc_error *err)
{
    unsigned int i;
    int rc = 0, r;

    nb->cut = true;
    for (i = 0; i < nb->n; i++) {
        /* First the vif: what it sends must not find an empty, open way. */
        r = port_mute(nb, &nb->port[i], true, err);
        if (!rc) rc = r;
        r = port_down(nb, &nb->port[i], err);
        if (!rc) rc = r;
    }
    return rc;
}

int netbuf_stat(struct netbuf *nb, struct netbuf_stat *out, unsigned int max,
                struct xlc_error *err)
{
    char name[IFNAMSIZ];
    unsigned int i;
    int r;

    for (i = 0; i < nb->n && i < max; i++) {
        struct port *p = &nb->port[i];

        if (p->ifb_index) {
            r = tc_queue_get(&nb->tc, p->ifb_index, &p->queue);
            if (r == -ENODEV) p->ifb_index = 0;
            /* EINVAL: killed between the ifb and its plug. */
            else if (r && r != -EINVAL)
                return port_error(nb, p, r, err, "ask what is held");
        }
        if (p->vif_index && !if_indextoname((unsigned int)p->vif_index, name))
            p->vif_index = 0;
        if (!p->vif_index) p->vif[0] = 0;
        netbuf_port_stat(p, &out[i]);
    }
    return (int)i;
}

static int on_any_filter(const struct tc_filter *filter, void *arg)
{
    (void)filter;
    *(bool *)arg = true;
    return 0;
}

/* The vif's clsact goes if it is ours, or may be, and nobody uses it. */
static int remove_clsact(struct netbuf *nb, struct port *p,
                         struct xlc_error *err)
{
    bool used = false;
    int r;

    if (p->clsact == CLSACT_OTHERS) return 0;
    r = tc_each_filter(&nb->tc, p->vif_index, false, on_any_filter, &used);
    if (!r && !used)
        r = tc_each_filter(&nb->tc, p->vif_index, true, on_any_filter, &used);
    if (is_gone(r) || used) return 0;
    if (!r) r = tc_clsact_del(&nb->tc, p->vif_index);
    /* EINVAL: it is an ingress qdisc, which we never make. */
    if (is_gone(r)) return 0;
    return r ? port_error(nb, p, r, err, "remove the vif's clsact") : 0;
}

/*
 * Take @p apart: first the way into the ifb, then the ifb, at last what
 * drops. @deadline_ms: let what came in go out first; 0 not to wait.
 */
static int port_teardown(struct netbuf *nb, struct port *p,
                         uint64_t deadline_ms, struct xlc_error *err)
{
    const struct timespec pause = { .tv_nsec = DRAIN_POLL_NS };
    int rc = 0, r;

    if (p->vif_index) {
        r = tc_filter_del(&nb->tc, p->vif_index, TC_PRIO_HOLD,
                          netbuf_handle(&p->id));
        if (r && !is_gone(r)) /* the vif would be cut off without its ifb */
            return port_error(nb, p, r, err, "remove the vif's filter");
    }
    if (p->ifb_index) {
        while (clock_ms() < deadline_ms && !is_drained(nb, p, true))
            nanosleep(&pause, NULL);
        r = tc_link_del(&nb->tc, p->ifb_index);
        if (r && r != -ENODEV) rc = port_error(nb, p, r, err, "remove it");
        else p->ifb_index = 0;
    }
    if (p->vif_index) {
        r = port_mute(nb, p, false, err);
        if (!rc) rc = r;
        r = remove_clsact(nb, p, err);
        if (!rc) rc = r;
        if (!rc) p->vif_index = 0;
    }
    return rc;
}

/* A port that is not among the others before it does as they do. */
static int add_port(struct netbuf *nb, const struct netbuf_vif *vif,
                    size_t limit, struct xlc_error *err)
{
    struct port *p = &nb->port[nb->n];
    int r;

    if (nb->n == NETBUF_VIF_MAX)
        return xlc_error_set(err, -E2BIG, "domain %u has more than %d "
                             "interfaces", (unsigned int)nb->domid,
                             NETBUF_VIF_MAX);
    if (!nb->n) netbuf_modules();
    r = netbuf_port_setup(&nb->tc, p, nb->domid, vif, (uint32_t)limit, err);
    if (!r && nb->holding) r = port_buffer(nb, p, err);
    if (r) port_teardown(nb, p, 0, NULL);
    else nb->n++;
    return r;
}

int netbuf_add(struct netbuf *nb, const struct netbuf_vif *vif, size_t limit,
               struct xlc_error *err)
{
    int index = (int)if_nametoindex(vif->ifname), r = check_cut(nb, err);
    struct port *p = nb->port, *end = p + nb->n;

    if (r) return r;
    while (p < end && (p->id.devid != vif->devid ||
                       p->id.emulated != vif->emulated))
        p++;
    if (p == end) r = add_port(nb, vif, limit, err);
    else if (index && index == p->vif_index) return 0;
    else r = netbuf_port_rejoin(&nb->tc, p, vif, err);
    return r ? r : 1;
}

int netbuf_teardown(struct netbuf *nb, bool discard, struct xlc_error *err)
{
    uint64_t deadline = 0;
    unsigned int i;
    int rc = 0, r;

    if (!discard && !nb->cut) {
        for (i = 0; i < nb->n; i++) {
            r = port_open(nb, &nb->port[i]);
            if (r && r != -ENODEV) /* what it holds will be lost */
                port_error(nb, &nb->port[i], r, err, "open the buffer");
            if (!rc && r != -ENODEV) rc = r;
        }
        deadline = clock_ms() + DRAIN_TEARDOWN_MS;
        drain(nb, deadline, false);
    }
    for (i = 0; i < nb->n; i++) {
        /* Else what is held could leave while the filter is removed. */
        r = discard ? port_down(nb, &nb->port[i], err) : 0;
        if (!rc) rc = r;
        r = port_teardown(nb, &nb->port[i], deadline, err);
        if (!rc) rc = r;
    }
    if (!rc) {
        nb->n = 0;
        netbuf_lock_remove(nb->domid);
    }
    return rc;
}

void netbuf_free(struct netbuf *nb)
{
    if (!nb) return;
    tc_close(&nb->tc);
    if (nb->lock >= 0) close(nb->lock);
    free(nb);
}

int netbuf_scan(struct netbuf_stat *out, unsigned int max,
                struct xlc_error *err)
{
    struct ports found = { 0 };
    struct tc tc;
    unsigned int i;
    int r;

    r = tc_open(&tc, err);
    if (r) return r;
    r = netbuf_find(&tc, NULL, &found, err);
    for (i = 0; !r && i < found.n && i < max; i++)
        netbuf_port_stat(&found.at[i], &out[i]);
    if (!r) r = (int)found.n;
    free(found.at);
    tc_close(&tc);
    return r;
}
