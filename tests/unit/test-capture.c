/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-capture.c - Epochs out of a guest that is nothing but memory
 *
 * The fake guest writes what libxc would, calls back in libxc's order, and
 * stops when a call-back says so. Every step leaves a letter in a trail, and
 * every octet that the sink takes is checked against what was written.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "cleanup.h"
#include "tap.h"

#define MIB (1u << 20)
#define TRAIL_MAX 256

/**
 * struct world - a guest, its session, and how they shall behave
 * @passes, @first: passes of the first copy, octets of each
 * @epoch_len: octets of an epoch
 * @end_after: @next ends the capture after that many epochs
 * @stop_at: the letter of the step at which *@stop becomes true, with its
 *           number from 1 (@stop_nth)
 * @fail_at, @fail_nth, @fail: the step that fails, and with what
 * @timeouts: suspends that time out first
 * @leave_at: the epoch whose cut says CAPTURE_LEAVE
 * @cut_ends_at: the epoch whose cut says -ECANCELED
 * @sink_fails_at: octet that the sink does not take
 * @trail: p progress, A asked, a not asked, S suspend, R resume, c cut,
 *         w whole, n next
 * @written, @taken: octets into the pipe, and out of the sink
 * @wrong: octets that were not what was written (the sink's)
 * @wrong_epoch, @wrong_bytes, @wrong_whole: what hooks did not expect
 * @paused: between suspend and resume; @in_pause: octets taken then
 */
struct world {
    unsigned int passes;
    size_t first, epoch_len, limit;
    unsigned int end_after;
    char stop_at, fail_at;
    unsigned int stop_nth, fail_nth;
    int fail;
    unsigned int timeouts;
    uint64_t leave_at, cut_ends_at;
    uint64_t sink_fails_at;

    struct capture cap;
    volatile bool stop;
    char trail[TRAIL_MAX];
    unsigned int count[128];
    uint64_t written;
    _Atomic uint64_t taken, in_pause;
    uint64_t wrong, wrong_epoch, wrong_bytes, wrong_whole;
    _Atomic bool paused;
    bool suspended;
    struct xlc_error err;
};

static const struct world usual = {
    .passes = 3, .first = 300000, .epoch_len = 100000, .limit = 64 * MIB,
    .end_after = 3, .sink_fails_at = UINT64_MAX,
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 151 + (at >> 13));
}

/* Note a step. Return: what it shall fail with, or 0 */
static int step(struct world *w, char letter)
{
    size_t n = strlen(w->trail);
    unsigned int nth = ++w->count[(unsigned char)letter];

    if (n < TRAIL_MAX - 1) w->trail[n] = letter;
    if (w->stop_at == letter && w->stop_nth == nth) w->stop = true;
    return w->fail_at == letter && w->fail_nth == nth ? w->fail : 0;
}

static int sink(void *opaque, const uint8_t *data, size_t len,
                struct xlc_error *err)
{
    struct world *w = opaque;

    if (w->paused) w->in_pause += len;
    for (size_t i = 0; i < len; i++) {
        if (w->taken == w->sink_fails_at)
            return xlc_error_set(err, -ECONNRESET, "the sink broke");
        w->wrong += data[i] != pattern(w->taken);
        w->taken++;
    }
    return 0;
}

/* ---- The fake guest ------------------------------------------------------ */

static int fake_suspend(void *g, uint32_t timeout_ms,
                        const volatile bool *stop, struct xlc_error *err)
{
    struct world *w = g;
    int r = step(w, 'S');

    (void)timeout_ms;
    if (*stop) return -ECANCELED;
    if (r) return xlc_error_set(err, r, "no suspend");
    if (w->timeouts) {
        w->timeouts--;
        return xlc_error_set(err, -ETIMEDOUT, "the guest did not suspend");
    }
    w->suspended = true;
    w->paused = true;
    return 0;
}

static int fake_resume(void *g, struct xlc_error *err)
{
    struct world *w = g;
    int r = step(w, 'R');

    if (r) return xlc_error_set(err, r, "no resume");
    w->suspended = false;
    w->paused = false;
    return 0;
}

/* As libxc: all of it, or the capture is over. */
static int put(struct world *w, int fd, size_t len)
{
    uint8_t buf[65536];

    while (len) {
        size_t n = len < sizeof(buf) ? len : sizeof(buf);
        ssize_t done;

        for (size_t i = 0; i < n; i++)
            buf[i] = pattern(w->written + i);
        done = write(fd, buf, n);
        if (done <= 0) return -1;
        w->written += (uint64_t)done;
        len -= (size_t)done;
    }
    return 0;
}

static int fake_save(void *g, int fd, struct capture *cap,
                     struct xlc_error *err)
{
    struct world *w = g;
    int r = 0;

    if (put(w, fd, 40)) return xlc_error_set(err, -EPIPE, "write");
    for (unsigned int i = 0; !r; i++) {
        r = capture_precopy(cap, i, w->written / 4096,
                            i < w->passes ? 10000 : 10);
        if (r < 0) return xlc_error_set(err, -EIO, "precopy ended it");
        if (!r && put(w, fd, w->first))
            return xlc_error_set(err, -EPIPE, "write");
    }
    for (;;) {
        if (!capture_suspend(cap))
            return xlc_error_set(err, -EIO, "suspend ended it");
        if (put(w, fd, w->epoch_len))
            return xlc_error_set(err, -EPIPE, "write");
        if (!capture_postcopy(cap))
            return xlc_error_set(err, -EIO, "postcopy ended it");
        if (!capture_checkpoint(cap))
            return xlc_error_set(err, -EIO, "checkpoint ended it");
    }
}

static const struct guest_ops fake_ops = {
    .suspend = fake_suspend, .resume = fake_resume, .save = fake_save,
};

/* ---- The session --------------------------------------------------------- */

static void hook_progress(void *opaque, unsigned int iteration,
                          uint64_t written, int64_t dirty)
{
    (void)iteration, (void)written, (void)dirty;
    step(opaque, 'p');
}

static void hook_asked(void *opaque, bool asked)
{
    step(opaque, asked ? 'A' : 'a');
}

static int hook_cut(void *opaque, uint64_t n, enum capture_after *after_r,
                    struct xlc_error *err)
{
    struct world *w = opaque;
    int r = step(w, 'c');

    w->wrong_epoch += n != w->count['c'];
    if (r == -ECANCELED) return r; /* no sentence, as the session does */
    if (r) return xlc_error_set(err, r, "no cut");
    if (n == w->leave_at) *after_r = CAPTURE_LEAVE;
    return n == w->cut_ends_at ? -ECANCELED : 0;
}

static int hook_whole(void *opaque, uint64_t n, struct xlc_error *err)
{
    struct world *w = opaque;
    int r = step(w, 'w');

    w->wrong_epoch += n != w->count['c'];
    w->wrong_bytes += w->cap.bytes != w->epoch_len;
    /* All that libxc wrote is with the sink. */
    w->wrong_whole += w->taken != w->written;
    if (r == -ECANCELED) return r;
    return r ? xlc_error_set(err, r, "no ack") : 0;
}

static int hook_next(void *opaque, struct xlc_error *err)
{
    struct world *w = opaque;
    int r = step(w, 'n');

    if (r && r != -ECANCELED) return xlc_error_set(err, r, "no next");
    if (r) return r;
    if (w->stop || w->count['n'] >= w->end_after) return -ECANCELED;
    return 0;
}

static const struct capture_hooks hooks = {
    .progress = hook_progress, .asked = hook_asked, .cut = hook_cut,
    .whole = hook_whole, .next = hook_next,
};

/* Return: what capture_run() says */
static int run(struct world *w)
{
    struct stage *s;
    int r;

    if (stage_new(&s, w->limit, sink, w, &w->err)) abort();
    w->cap = (struct capture){
        .ops = &fake_ops, .guest = w, .stage = s, .suspend_ms = 100,
        .stop = &w->stop, .hooks = &hooks, .opaque = w,
    };
    alarm(60); /* a stuck writer ends the test */
    r = capture_run(&w->cap);
    stage_free(s);
    return r;
}

/* ---- What is tested ------------------------------------------------------ */

static void test_usual(void)
{
    struct world w = usual;

    ok(!run(&w), "three epochs, ended on request");
    ok(!strcmp(w.trail, "ppppAScRawnAScRawnAScRawn"),
       "the steps in their order: %s", w.trail);
    ok(w.taken == w.written && !w.wrong,
       "%llu octets arrive unchanged, in order",
       (unsigned long long)w.written);
    ok(!w.in_pause, "nothing goes out while the guest is suspended");
    ok(!w.wrong_bytes && !w.wrong_whole,
       "each epoch's size is right, and all of it is sent before its end");
    ok(w.cap.epoch == 3 && !w.wrong_epoch && !w.suspended,
       "three epochs, the guest runs");
    ok(w.cap.times.pause >= w.cap.times.suspend + w.cap.times.capture,
       "the pause holds its parts");
    ok(w.cap.err.status == -ECANCELED, "and the reason is a request");
}

/* The first copy ends by itself: after five passes at the latest. */
static void test_precopy(void)
{
    struct world w = usual;

    w.passes = 100;
    ok(!run(&w) && w.count['p'] == 6, "the first copy has five passes");
    w = usual;
    w.passes = 0;
    ok(!run(&w) && w.count['p'] == 1 && w.taken == w.written,
       "or none, if little is dirty");
}

/* Everything is larger than the pipe, the chunks, and not a multiple. */
static void test_large(void)
{
    struct world w = usual;

    w.first = 3 * MIB + 12345;
    w.epoch_len = 5 * MIB + 777;
    ok(!run(&w) && w.taken == w.written && !w.wrong && !w.in_pause &&
       !w.wrong_bytes && !w.wrong_whole, "epochs of several MiB");
    w = usual;
    w.epoch_len = 0;
    ok(!run(&w) && w.taken == w.written && !w.wrong_whole,
       "epochs of nothing");
    w = usual;
    w.end_after = 40;
    w.epoch_len = MIB;
    ok(!run(&w) && w.taken == w.written && !w.wrong && !w.in_pause &&
       w.cap.epoch == 40, "forty epochs of one chunk each");
}

/* Stopped, or failing, at each step of the first three epochs. */
static void test_ends(void)
{
    static const char steps[] = "pAScRawn";
    unsigned int bad = 0, runs = 0;

    for (size_t i = 0; i < sizeof(steps) - 1; i++)
        for (unsigned int nth = 1; nth <= 3; nth++) {
            struct world w = usual;
            int r;

            w.stop_at = steps[i];
            w.stop_nth = nth;
            w.end_after = 100;
            r = run(&w);
            runs++;
            if (!r && w.stop && !w.suspended && !w.wrong && !w.in_pause &&
                w.taken <= w.written && w.cap.epoch <= nth + 1) continue;
            bad++;
            printf("# stop at %c%u: %d, %s\n", steps[i], nth, r, w.trail);
        }
    ok(!bad, "stopped at any step: ends at once, the guest runs (%u)", runs);

    for (size_t i = 0; i < sizeof(steps) - 1; i++)
        for (unsigned int nth = 1; nth <= 3; nth++) {
            struct world w = usual;
            bool can = strchr("SRcwn", steps[i]), last;
            int r;

            if (!can) continue;
            w.fail_at = steps[i];
            w.fail_nth = nth;
            w.fail = -EPROTO;
            w.end_after = 100;
            r = run(&w);
            /* A cut that fails is still followed by a resume. */
            last = strlen(w.trail) &&
                   strchr(steps[i] == 'c' || steps[i] == 'R' ? "a" :
                          (char[]){ steps[i], 0 },
                          w.trail[strlen(w.trail) - 1]);
            if (r == -EPROTO && w.cap.err.status == r && last &&
                w.cap.epoch == nth &&
                w.suspended == (steps[i] == 'R') &&
                strncmp(w.cap.err.msg, "no ", 3) == 0) continue;
            ok(false, "fail at %c%u: %d %s, %s", steps[i], nth, r,
               w.cap.err.msg, w.trail);
        }
    ok(true, "a failure at any step ends it with that step's reason");

    for (size_t i = 0; i < 3; i++) {
        struct world w = usual;

        w.fail_at = "cwn"[i];
        w.fail_nth = 2;
        w.fail = -ECANCELED;
        ok(!run(&w) && w.cap.err.status == -ECANCELED && !w.suspended &&
           w.cap.epoch == 2, "%c may end it on request", "cwn"[i]);
    }
}

/* A request does not hide that the guest could not be resumed. */
static void test_resume_fails(void)
{
    struct world w = usual;

    w.fail_at = 'R';
    w.fail_nth = 2;
    w.fail = -EIO;
    w.cut_ends_at = 2;
    ok(run(&w) == -EIO && !strcmp(w.cap.err.msg, "no resume"),
       "ended on request, but the guest was not resumed: %s", w.cap.err.msg);
}

static void test_suspend(void)
{
    struct world w = usual;

    w.timeouts = 5;
    ok(!run(&w) && !strncmp(w.trail, "ppppASSSSSSc", 12),
       "five missed suspends are tried again: %s", w.trail);
    w = usual;
    w.timeouts = 6;
    ok(run(&w) == -ETIMEDOUT && !strcmp(w.trail, "ppppASSSSSS") &&
       !strcmp(w.cap.err.msg, "the guest did not suspend"),
       "six are given up on: %s", w.cap.err.msg);
    w = usual;
    w.fail_at = 'S';
    w.fail_nth = 2;
    w.fail = -ESHUTDOWN;
    ok(run(&w) == -ESHUTDOWN && w.count['S'] == 2 && !w.suspended &&
       w.cap.epoch == 2, "a guest that ended is not asked again");
}

static void test_leave(void)
{
    struct world w = usual;

    w.leave_at = 3;
    ok(!run(&w) && !strcmp(w.trail, "ppppAScRawnAScRawnAScwn") &&
       w.suspended && w.taken == w.written,
       "a last epoch: sent whole, the guest stays suspended: %s", w.trail);
}

/* The sink breaks at octet N: the writer never notices but by a call-back. */
static void test_sink_fails(void)
{
    static const uint64_t at[] = {
        0, 1, 39, 40, 41, 65536, 300000, 900039, 900040, 900041, 950000,
        1000039, 1000040, 1000041, 1100000, 1200039, 1200040,
    };
    unsigned int bad = 0, runs = 0;

    for (size_t i = 0; i < 2 * sizeof(at) / sizeof(at[0]); i++) {
        struct world w = usual;
        int r;

        w.sink_fails_at = at[i / 2];
        /* The second time with so much that pipe and chunks would fill. */
        if (i & 1) w.epoch_len = 9 * MIB;
        w.limit = 4 * MIB;
        w.end_after = 5;
        if (w.sink_fails_at >= 5 * w.epoch_len + 900040) continue;
        r = run(&w);
        runs++;
        if (r == -ECONNRESET && w.taken == w.sink_fails_at && !w.wrong &&
            !w.suspended && !strcmp(w.cap.err.msg, "the sink broke"))
            continue;
        bad++;
        printf("# at %llu: %d %s, %s\n", (unsigned long long)at[i / 2], r,
               w.cap.err.msg, w.trail);
    }
    ok(!bad, "a sink that breaks at any octet never blocks libxc (%u)", runs);
}

/* More than the stage may keep goes out early, and in order. */
static void test_overflow(void)
{
    struct world w = usual;
    struct stage *s;
    CLEANUP_FREE uint8_t *buf = malloc(MIB);

    w.epoch_len = 11 * MIB + 5;
    w.limit = 4 * MIB;
    ok(!run(&w) && w.taken == w.written && !w.wrong && !w.wrong_bytes &&
       !w.wrong_whole, "epochs above the limit arrive unchanged");
    ok(w.in_pause >= 3ull * 7 * MIB && w.in_pause <= 3ull * 8 * MIB,
       "only what is above it goes out in the pause: %llu",
       (unsigned long long)w.in_pause);

    w = usual;
    if (!buf || stage_new(&s, 4 * MIB, sink, &w, NULL)) abort();
    stage_settle(s);
    stage_hold(s, true);
    for (unsigned int i = 0; i < 4; i++)
        if (put(&w, stage_fd(s), MIB)) abort();
    stage_settle(s);
    ok(!w.taken && stage_held(s) == 4 * MIB && !stage_overflows(s) &&
       stage_total(s) == 4 * MIB, "a stage holds up to its limit");
    if (put(&w, stage_fd(s), 3 * MIB)) abort();
    stage_settle(s);
    ok(w.taken == 3 * MIB && stage_held(s) == 4 * MIB &&
       stage_overflows(s) == 1, "one overflow, the oldest went out");
    ok(!stage_emit(s, NULL) && w.taken == 7 * MIB && !stage_held(s) &&
       !w.wrong, "the rest on request");
    stage_hold(s, false);
    if (put(&w, stage_fd(s), 100)) abort();
    stage_settle(s);
    ok(w.taken == 7 * MIB + 100 && !stage_held(s) && !w.wrong,
       "a stage that passes keeps nothing");
    stage_hold(s, true);
    if (put(&w, stage_fd(s), 2 * MIB + 1)) abort();
    stage_free(s); /* with octets in it, and in the pipe */
    ok(w.taken == 7 * MIB + 100, "closed: what it held is lost, not sent");
    stage_free(NULL);
}

/* Many settles while nothing, or one octet, is on the way. */
static void test_settle(void)
{
    struct world w = usual;
    struct stage *s;
    unsigned int late = 0;

    if (stage_new(&s, 4 * MIB, sink, &w, NULL)) abort();
    for (unsigned int i = 0; i < 3000; i++) {
        if (put(&w, stage_fd(s), i % 3)) abort();
        stage_settle(s);
        late += w.taken != w.written || stage_total(s) != w.written;
    }
    ok(!late && !w.wrong, "settled: everything written has been read");
    stage_free(s);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    test_usual();
    test_precopy();
    test_large();
    test_ends();
    test_resume_fails();
    test_suspend();
    test_leave();
    test_sink_fails();
    test_overflow();
    test_settle();
    return done_testing();
}
