/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disks.c - Both sessions' side of mirrored disks, before plugins that
 * only write down what they are asked
 *
 * RULES A3 and B2: an epoch counts on the disks in one step with the machine's
 * word, after every disk holds all of it, and never once the machine decides.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake-plugin.h"
#include "identity.h"
#include "log.h"
#include "primary.h"
#include "primary-disks.h"
#include "secondary.h"
#include "tap.h"

static struct secondary *sec;
static struct primary *prim;
static struct shared shared;
static unsigned int events;
static bool asked_before_event;
/* Was each plugin served still when the main thread was woken? */
static bool served_at_wake;

/* ---- What is not here ---------------------------------------------------- */

void secondary_wake(struct secondary *s)
{
    served_at_wake = !s->taken && s->disks.at[0].served &&
                     s->disks.at[1].served;
}

void secondary_event_locked(struct secondary *s, enum sec_ev ev, uint64_t n)
{
    events++;
    asked_before_event = count(0, DISKCTL_ACCEPT, FIRST + n - 1) == 1 &&
                         count(1, DISKCTL_ACCEPT, FIRST + n - 1) == 1;
    sec_event(&s->m, ev, n);
}

void primary_event_locked(struct primary *p, enum prim_ev ev, uint64_t n)
{
    events++;
    prim_event(&p->m, ev, n);
}

static void anew(void)
{
    events = 0;
    asked_before_event = false;
    for (int i = 0; i < 2; i++) {
        LOCK_SCOPE(&plugin[i].lock);
        plugin[i].held = FIRST + 100;
        plugin[i].n = plugin[i].slow = 0;
        plugin[i].on_wait = NULL;
        plugin[i].fail = plugin[i].fails = 0;
        plugin[i].st = (struct diskctl_status){ .role = DISKCTL_SECONDARY,
                                                .generation = 7,
                                                .accepted = FIRST + 3 };
    }
}

static void fails(unsigned int i, enum diskctl_op op, int status,
                  unsigned int times)
{
    LOCK_SCOPE(&plugin[i].lock);
    plugin[i].fail = op;
    plugin[i].fail_status = status;
    plugin[i].fails = times;
}

static void untaken(void)
{
    for (int i = 0; i < 2; i++)
        sec->disks.at[i].taken = sec->disks.at[i].asked = false;
}

static void connect_both(struct disks *d)
{
    struct xlc_error e = XLC_ERROR_INIT;

    d->list.n = 2;
    d->list.first = FIRST;
    for (unsigned int i = 0; i < 2; i++) {
        snprintf(d->list.at[i].vdev, DISKLIST_VDEV_MAX, "xvd%c",
                 'a' + (int)i);
        snprintf(d->at[i].folder, sizeof(d->at[i].folder), "%s",
                 plugin[i].folder);
        if (disks_connect(d, i, &e)) {
            printf("Bail out! %s\n", e.msg);
            exit(1);
        }
    }
}

/* ---- The secondary ------------------------------------------------------- */

static void paired(uint64_t n)
{
    sec_init(&sec->m);
    sec->m.state = SEC_PAIRED;
    sec->m.accepted = sec->m.acked = sec->m.applied = n;
}

static void decide(void)
{
    LOCK_SCOPE(&sec->lock);
    sec_event(&sec->m, SEC_EV_SILENCE, 0);
}

static void test_accept(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int r;

    anew();
    paired(4);
    plugin[1].slow = 3;
    r = secondary_disks_whole(sec, SEC_EV_WHOLE, 5, &e);
    ok(!r && events == 1 && sec->m.accepted == 5, "epoch 5 counts: %s", e.msg);
    ok(asked_before_event && count(0, DISKCTL_WAIT, FIRST + 4) == 1 &&
       count(1, DISKCTL_WAIT, FIRST + 4) == 4,
       "RULES B2: when every disk holds it, and was told so before");
}

static void test_decided(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(4);
    plugin[1].held = FIRST; /* never */
    plugin[1].on_wait = decide;
    ok(secondary_disks_whole(sec, SEC_EV_WHOLE, 5, &e) == -ECANCELED &&
       !events && !count(0, DISKCTL_ACCEPT, FIRST + 4) &&
       sec->m.accepted == 4,
       "RULES A3: the decision comes while a disk is waited for: nothing "
       "counts any more");
    anew();
    paired(4);
    plugin[1].on_wait = decide;
    secondary_disks_whole(sec, SEC_EV_WHOLE, 5, &e);
    ok(!count(0, DISKCTL_ACCEPT, FIRST + 4) &&
       !count(1, DISKCTL_ACCEPT, FIRST + 4) && sec->m.accepted == 4,
       "RULES A3: or after it held it, before it was told that it counts");
}

static void test_broken(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(4);
    fails(0, DISKCTL_WAIT, -ENOTCONN, 1);
    ok(secondary_disks_whole(sec, SEC_EV_WHOLE, 5, &e) == -ECONNRESET &&
       !events && strstr(e.msg, "disk xvda: the plugin says no"),
       "a stream that broke decides nothing: %s", e.msg);
}

/* Disk 0 has taken the epoch, disk 1 does not say so: there is no way back. */
static void test_half_accepted(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(4);
    fails(1, DISKCTL_ACCEPT, -EIO, 1);
    ok(!secondary_disks_whole(sec, SEC_EV_WHOLE, 5, &e) && events == 1 &&
       sec->m.accepted == 5 && plugin[0].st.accepted == FIRST + 4 &&
       plugin[1].st.accepted == FIRST + 3,
       "an epoch that one disk has taken counts: %s", e.msg);
    untaken();
    ok(!secondary_disks_take(sec, &e) &&
       plugin[1].st.accepted == FIRST + 4 &&
       count(1, DISKCTL_ACCEPT, FIRST + 4) == 2 &&
       count(1, DISKCTL_TAKEOVER, 8) == 1,
       "and the other is asked again before the takeover: %s", e.msg);
    secondary_disks_taken(sec);
}

/* It has had all the time that heartbeats leave. */
static void test_silent(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(4);
    fails(0, DISKCTL_ACCEPT, -EAGAIN, 1);
    ok(!secondary_disks_whole(sec, SEC_EV_WHOLE, 5, &e) &&
       sec->m.accepted == 5 && !count(1, DISKCTL_ACCEPT, FIRST + 4),
       "after a plugin that is silent no other one is asked: %s", e.msg);
}

static void test_never_mixed(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(5);
    untaken();
    plugin[0].st.accepted = FIRST + 4;
    plugin[1].st.accepted = FIRST + 3;
    fails(1, DISKCTL_ACCEPT, -EIO, 1);
    ok(secondary_disks_take(sec, &e) == -EIO &&
       !count(1, DISKCTL_TAKEOVER, 8), "a disk that can't be asked: %s",
       e.msg);
    xlc_error_clear(&e);
    plugin[1].st.accepted = FIRST + 5;
    ok(secondary_disks_take(sec, &e) == -ESTALE &&
       !count(1, DISKCTL_TAKEOVER, 8) && strstr(e.msg, "epoch 6"),
       "one that is ahead of the memory is not opened: %s", e.msg);
    secondary_disks_taken(sec);
}

static void test_take(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(4);
    untaken();
    fails(1, DISKCTL_TAKEOVER, -EIO, 1);
    ok(secondary_disks_take(sec, &e) == -EIO, "one disk fails: %s", e.msg);
    xlc_error_clear(&e);
    ok(!secondary_disks_take(sec, &e) &&
       count(0, DISKCTL_TAKEOVER, 8) == 1 &&
       count(1, DISKCTL_TAKEOVER, 8) == 2,
       "and is tried again alone; the image's next generation: %s", e.msg);
    secondary_disks_taken(sec);
}

/* The place of a question among those that were asked; -1: it was not. */
static int place(unsigned int i, enum diskctl_op op, uint64_t a)
{
    LOCK_SCOPE(&plugin[i].lock);
    for (unsigned int k = 0; k < plugin[i].n; k++)
        if (plugin[i].asked[k].op == op && plugin[i].asked[k].a == a)
            return (int)k;
    return -1;
}

/* What the plugin says of the last epoch goes out over the stream, which must
 * not be cut before. */
static void test_take_last(void)
{
    const uint64_t last = FIRST + 4;
    bool good = true;

    anew();
    paired(4);
    untaken();
    setenv("XL_COLO_DISK_SERVE", "/bin/true", 1);
    sec->m.ended = true;
    sec->last_epoch = 5;
    for (unsigned int i = 0; i < 2; i++) {
        plugin[i].held = last;
        sec->disks.at[i].served = sec->disks.at[i].svm = true;
    }
    secondary_disks_last(sec);
    ok(place(0, DISKCTL_SVM_CLOSE, 0) < 0 && sec->disks.at[1].svm,
       "the data thread, which lives still, is not disturbed on its sockets");
    secondary_disks_drop(sec);
    for (unsigned int i = 0; i < 2; i++) {
        int durable = place(i, DISKCTL_WAIT_DURABLE, last);
        int over = place(i, DISKCTL_WAIT, last + 1);

        good = good && plugin[i].st.accepted == last && durable >= 0 &&
               over > durable && place(i, DISKCTL_SVM_CLOSE, 0) > over &&
               place(i, DISKCTL_DISCARD, 0) > place(i, DISKCTL_SVM_CLOSE, 0);
    }
    ok(good, "RULES A13: a guest's last writes are taken; the primary has "
       "heard of it, and ended the stream, before it is dropped");
    sec->m.ended = false;
    sec->last_epoch = 0;
}

/* RULES A7: the primary is told that our copy won't run when its disk is one
 * again: a backend may have it a while longer. */
static void test_give_back(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(4);
    untaken();
    sec->taken = false;
    ok(!secondary_disks_take(sec, &e) && sec->taken, "taken: %s", e.msg);
    sec->disks.at[0].served = sec->disks.at[1].served = true;
    fails(1, DISKCTL_UNTAKE, -EBUSY, 3);
    secondary_disks_drop(sec);
    ok(count(0, DISKCTL_UNTAKE, 0) == 1 && count(1, DISKCTL_UNTAKE, 0) == 4 &&
       !sec->taken, "RULES A7: a disk that is busy is given back all the same");
    ok(served_at_wake && !sec->disks.at[0].served &&
       !sec->disks.at[1].served, "which is told before any plugin is ended");
    anew();
    untaken();
    if (secondary_disks_take(sec, &e)) abort();
    sec->disks.at[0].served = sec->disks.at[1].served = true;
    fails(0, DISKCTL_UNTAKE, -EPERM, 9);
    secondary_disks_drop(sec);
    ok(count(0, DISKCTL_UNTAKE, 0) == 1 && !sec->taken,
       "one that can't be is not asked for ever");
    anew();
    untaken();
    fails(1, DISKCTL_TAKEOVER, -EIO, 1);
    if (!secondary_disks_take(sec, &e)) abort();
    sec->disks.at[0].served = sec->disks.at[1].served = true;
    secondary_disks_drop(sec);
    ok(count(1, DISKCTL_UNTAKE, 0) == 1 && !count(1, DISKCTL_DISCARD, 0),
       "RULES A7: one whose takeover failed may be half taken");
    anew();
    fails(0, DISKCTL_TAKEOVER, -EIO, 1);
    if (!secondary_disks_take(sec, &e)) abort();
    fails(0, DISKCTL_UNTAKE, -EPERM, 1);
    sec->disks.at[0].served = sec->disks.at[1].served = true;
    secondary_disks_drop(sec);
    ok(count(0, DISKCTL_DISCARD, 0) == 1 && !count(1, DISKCTL_UNTAKE, 0) &&
       count(1, DISKCTL_DISCARD, 0) == 1,
       "one that was not has what does not count dropped");
}

/* The same of a copy that is a domain: until its takeover is taken back, or is
 * known never to have been, nobody knows whether its writes are kept. */
static void test_give_back_copy(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    for (int never = 0; never < 2; never++) {
        anew();
        paired(4);
        untaken();
        fails(0, DISKCTL_TAKEOVER, -EIO, 1);
        if (!secondary_disks_take(sec, &e)) abort();
        if (never) fails(0, DISKCTL_UNTAKE, -EPERM, 1);
        for (int i = 0; i < 2; i++)
            sec->disks.at[i].served = sec->disks.at[i].svm = true;
        secondary_disks_drop(sec);
        ok(place(0, DISKCTL_UNTAKE, 0) >= 0 &&
           (!never ? !count(0, DISKCTL_SVM_CLOSE, 0) :
            place(0, DISKCTL_SVM_CLOSE, 0) > place(0, DISKCTL_UNTAKE, 0) &&
            place(0, DISKCTL_DISCARD, 0) > place(0, DISKCTL_SVM_CLOSE, 0)) &&
           place(1, DISKCTL_SVM_CLOSE, 0) >= 0 && !sec->disks.at[0].svm,
           "a copy whose takeover was %s", never ? "never begun is closed "
           "after that is known" : "half done is not closed under it");
    }
}

/* RULES A7: until the guest has run, the image says so. */
static void test_opened(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    paired(4);
    untaken();
    if (secondary_disks_take(sec, &e)) abort();
    ok(!count(0, DISKCTL_CLAIM, IDENTITY_ALONE), "taken, and not opened");
    secondary_disks_taken(sec);
    ok(count(0, DISKCTL_CLAIM, IDENTITY_ALONE) == 1 &&
       count(1, DISKCTL_CLAIM, IDENTITY_ALONE) == 1, "opened: they say so");
    untaken();
}

/* ---- The primary --------------------------------------------------------- */

static void test_mark(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    ok(!primary_disks_mark(prim, 1, &e) && count(0, DISKCTL_MARK, FIRST) &&
       count(1, DISKCTL_MARK, FIRST), "the first cut marks the first epoch");
    fails(1, DISKCTL_MARK, -ENOTCONN, 1);
    ok(primary_disks_mark(prim, 2, &e) == -ENOTCONN &&
       strstr(e.msg, "disk xvdb"), "a disk without its mirror: %s", e.msg);
}

static void test_sync(void)
{
    static struct xlc_options o = { .disk_rate = 12345 };
    struct xlc_error e = XLC_ERROR_INIT;

    anew();
    prim->o = &o;
    ok(!primary_disks_sync(prim, &e) && count(0, DISKCTL_PROTECT, FIRST) &&
       count(1, DISKCTL_PROTECT, FIRST) && count(1, DISKCTL_RATE, 12345) &&
       count(0, DISKCTL_WAIT_SYNCED, 0) && count(1, DISKCTL_WAIT_SYNCED, 0) &&
       !prim->disks_refused && !prim->disks_syncing,
       "all disks are copied before the guest's memory: %s", e.msg);
    fails(1, DISKCTL_WAIT_SYNCED, -ETIMEDOUT, 3);
    ok(!primary_disks_sync(prim, &e) &&
       count(1, DISKCTL_WAIT_SYNCED, 0) == 5, "however long that takes");
    fails(0, DISKCTL_PROTECT, -EPERM, 1);
    ok(primary_disks_sync(prim, &e) == -EPERM && prim->disks_refused &&
       strstr(e.msg, "disk xvda"), "the other host does not want it: %s",
       e.msg);
    xlc_error_clear(&e);
    prim->stop = true;
    fails(0, DISKCTL_WAIT_SYNCED, -ETIMEDOUT, 1);
    ok(primary_disks_sync(prim, &e) == -ECANCELED, "it can be stopped");
    prim->stop = false;
}

static void test_last(void)
{
    anew();
    prim->m.state = PRIM_PROTECTED;
    prim->m.cut = 0;
    primary_disks_last(prim);
    ok(!prim->last_epoch && !plugin[0].n,
       "a guest that ended unprotected has no last epoch");
    prim->m.cut = 9;
    primary_disks_last(prim);
    primary_disks_last(prim);
    ok(prim->last_epoch == 10 && count(0, DISKCTL_MARK, FIRST + 9) == 1 &&
       count(1, DISKCTL_MARK, FIRST + 9) == 1,
       "RULES A13: what it wrote last is one more epoch, once");
}

static void test_lost(void)
{
    anew();
    prim->m.state = PRIM_PROTECTED;
    primary_disks_check(prim);
    ok(!events, "nothing is lost");
    snprintf(plugin[1].st.why, sizeof(plugin[1].st.why), "no room");
    snprintf(prim->disks.at[1].why, 20, "closed");
    prim->disks.at[1].lost = true;
    primary_disks_check(prim);
    primary_disks_check(prim);
    ok(events == 1 && prim->m.state == PRIM_DROPPING &&
       strstr(prim->why.msg, "disk xvdb") && strstr(prim->why.msg, "no room"),
       "a disk that lost its mirror ends protection: %s", prim->why.msg);
}

/* What disk-serve was told since the last time. */
static const char *served(void)
{
    static char text[1024];
    char path[128];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/serve.log", plugin[0].folder);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    if (fd >= 0) close(fd);
    unlink(path);
    return text;
}

/* It was looked whether the other host can be asked: by another thread. */
static bool reached(void)
{
    const struct timespec nap = { 0, 10000000 };
    char path[128], text[1024] = "";

    snprintf(path, sizeof(path), "%s/serve.log", plugin[0].folder);
    for (int i = 0; i < 3000 && !strstr(text, "reach "); i++) {
        FILE *f = fopen(path, "r");

        text[f ? fread(text, 1, sizeof(text) - 1, f) : 0] = '\0';
        if (f) fclose(f);
        nanosleep(&nap, NULL);
    }
    return strstr(text, "reach ");
}

static void ended_as(enum prim_state state, enum xlc_outcome outcome,
                     bool unheard, uint64_t cut, const char *word)
{
    char want[128] = "";

    anew();
    prim->m.state = state;
    prim->m.outcome = outcome;
    prim->m.cut = cut;
    prim->unheard = unheard;
    primary_disks_claim(prim);
    if (word)
        snprintf(want, sizeof(want), "%s /img/a\n%s /img/b\n", word, word);
    ok(!strcmp(served(), want), "RULES A7: %s, %s, %s: %s",
       prim_state_name(state), xlc_outcome_name(outcome),
       unheard ? "silence" : "heard", word ? word : "to be asked");
}

/* What the images say of the other host, by how a protection ended. */
static void test_claim(void)
{
    static libxl_device_disk disks[3] = {
        { .vdev = (char *)"xvda", .pdev_path = (char *)"/img/a",
          .readwrite = 1 },
        { .vdev = (char *)"xvdc", .pdev_path = (char *)"/img/c" },
        { .vdev = (char *)"xvdb", .pdev_path = (char *)"/img/b",
          .readwrite = 1 },
    };
    static struct xlc_options o = { .host = "hostb", .ssh = "ssh -4" };
    static const char script[] = "#!/bin/sh\necho \"$@\" >>\"$0.log\"\n";
    struct xlc_error e = XLC_ERROR_INIT;
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/serve", plugin[0].folder);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    if (fd < 0 || write(fd, script, sizeof(script) - 1) < 0 || close(fd))
        abort();
    setenv("XL_COLO_DISK_SERVE", path, 1);
    prim->o = &o;
    prim->cfg.disks = disks;
    prim->cfg.num_disks = 3;
    snprintf(prim->disks.list.at[0].path, 16, "/there/a");
    snprintf(prim->disks.list.at[1].path, 16, "/there/b");
    prim->disks_paired = false;
    ended_as(PRIM_SOLO, XLC_STOPPED, false, 5, NULL);
    ok(!primary_disks_sync(prim, &e) && reached() &&
       !strcmp(served(), "pair /img/a hostb ssh -4 /there/a\n"
                         "pair /img/b hostb ssh -4 /there/b\n"
                         "reach /img/a\n") &&
       shared.disks.n == 2 && !strcmp(shared.disks.at[1], "/img/b"),
       "RULES A7: before the first epoch the images know whom to ask: %s",
       e.msg);
    ended_as(PRIM_SOLO, XLC_STOPPED, false, 5, "alone");
    ended_as(PRIM_GONE, XLC_REBOOT, false, 5, "alone");
    ended_as(PRIM_SOLO, XLC_PEER_LOST, true, 5, "solo");
    ended_as(PRIM_SOLO, XLC_PEER_LOST, true, 0, "alone");
    ended_as(PRIM_GONE, XLC_UNCONFIRMED, true, 5, NULL);
    ended_as(PRIM_YIELDED, XLC_MOVED, false, 5, "handed");
    ended_as(PRIM_YIELDED, XLC_UNCONFIRMED, true, 5, NULL);
    ended_as(PRIM_STUCK, XLC_STUCK, true, 5, NULL);
    unlink(path);
    setenv("XL_COLO_DISK_SERVE", "/bin/false", 1);
    ok(primary_disks_sync(prim, &e) && strstr(e.msg, "disk xvda"),
       "no epoch if that can't be kept: %s", e.msg);
    setenv("XL_COLO_DISK_SERVE", "/bin/true", 1);
    prim->cfg = (libxl_domain_config){ .num_disks = 0 };
    prim->unheard = prim->disks_paired = false;
}

static void wake(void *opaque)
{
    (void)opaque;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    alarm(120);
    log_init("test", NULL, LOG_LEVEL_ERROR);
    sec = calloc(1, sizeof(*sec));
    prim = calloc(1, sizeof(*prim));
    if (!sec || !prim) return 1;
    prim->sh = &shared;
    pthread_mutex_init(&sec->lock, NULL);
    pthread_mutex_init(&prim->lock, NULL);
    for (int i = 0; i < 2; i++)
        plugin_open(&plugin[i]);
    disks_init(&sec->disks, wake, NULL);
    disks_init(&prim->disks, wake, NULL);
    connect_both(&sec->disks);
    connect_both(&prim->disks);
    test_accept();
    test_decided();
    test_broken();
    test_half_accepted();
    test_silent();
    test_never_mixed();
    test_take();
    test_take_last();
    test_give_back();
    test_give_back_copy();
    test_opened();
    test_sync();
    test_claim();
    test_mark();
    test_last();
    test_lost();
    disks_dispose(&sec->disks);
    disks_dispose(&prim->disks);
    for (int i = 0; i < 2; i++)
        plugin_close(&plugin[i]);
    free(sec);
    free(prim);
    return done_testing();
}
