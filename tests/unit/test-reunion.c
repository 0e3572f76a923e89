/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-reunion.c - RULES A2: whoever went on alone looks for the other copy
 *
 * reunion_run() in a thread of its own, against a receiver in this one.
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>

#include "control.h"
#include "fake-peer.h"
#include "log.h"
#include "record.h"
#include "reunion.h"
#include "serve-script.h"
#include "tap.h"

#define UUID    "01020304-0506-0708-090a-0b0c0d0e0f10"
#define WAIT_MS 15000u

static char dir[] = "/tmp/xl-colo-test-XXXXXX";

/**
 * struct meeting - one reunion and its other side
 * @here: what is true of the guest here; @announced: its domid, once it was
 * @over: reunion_run() has returned, and @met is what it said
 */
struct meeting {
    struct fake f;
    struct reunion r;
    pthread_t thread;
    int stop;
    _Atomic int here;
    _Atomic uint32_t announced;
    bool met;
    atomic_bool over;
};

/* The record, in memory. */
static struct record kept;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

int record_load(struct record *r, const char *uuid, struct xlc_error *err)
{
    (void)uuid, (void)err;
    pthread_mutex_lock(&kept_lock);
    *r = kept;
    pthread_mutex_unlock(&kept_lock);
    return 0;
}

int record_save(const struct record *r, struct xlc_error *err)
{
    (void)err;
    pthread_mutex_lock(&kept_lock);
    kept = *r;
    pthread_mutex_unlock(&kept_lock);
    return 0;
}

static bool recorded(const char *state, uint64_t generation)
{
    struct record r;

    record_load(&r, UUID, NULL);
    return !strcmp(r.state, state) && r.generation == generation;
}

static enum reunion_here look(void *opaque, uint32_t *domid_r)
{
    struct meeting *m = opaque;

    *domid_r = 5;
    return (enum reunion_here)m->here;
}

static void announce(void *opaque, uint32_t domid)
{
    struct meeting *m = opaque;

    m->announced = domid;
}

static void *thread(void *opaque)
{
    struct meeting *m = opaque;

    m->met = reunion_run(&m->r, m->stop);
    m->over = true;
    return NULL;
}

static void begin(struct meeting *m)
{
    fake_init(&m->f, true);
    m->f.incarnation = 0;
    m->f.generation = 4;
    m->here = REUNION_RUNS;
    m->over = false;
    m->announced = 0;
    kept = (struct record){ .generation = 3, .state = "peer-lost" };
    m->r = (struct reunion){
        .peer = { .secret = m->f.secret, .addr = { "127.0.0.1" },
                  .naddr = 1, .port = m->f.port },
        .incarnation = 40, .limit_ms = 1000, .generation = 3, .acked = 17,
        .uuid = UUID, .name = "web", .host = "hostb",
        .look = look, .announce = announce, .opaque = m,
    };
    snprintf(m->r.disks.at[0], sizeof(m->r.disks.at[0]), "/a");
    m->r.disks.n = 1;
    m->stop = eventfd(0, EFD_CLOEXEC);
    if (pthread_create(&m->thread, NULL, thread, m)) abort();
}

static void end(struct meeting *m)
{
    const uint64_t one = 1;

    if (write(m->stop, &one, sizeof(one)) < 0) abort();
    pthread_join(m->thread, NULL);
    close(m->stop);
    fake_free(&m->f);
}

/* Turn until @what, or too long. */
#define UNTIL(m, what) do {                                             \
        uint64_t until_ = clock_ms() + WAIT_MS;                         \
                                                                        \
        while (!(what) && clock_ms() < until_) {                        \
            const struct timespec nap_ = { 0, 2000000 };                \
                                                                        \
            fake_turn(&(m)->f);                                         \
            nanosleep(&nap_, NULL);                                     \
        }                                                               \
    } while (0)

static bool ask(enum control_op op, const char *wanted)
{
    CLEANUP_FREE char *answer = NULL;
    char path[128];

    snprintf(path, sizeof(path), "%s/" UUID ".sock", dir);
    if (control_ask(path, op, 5000, &answer, NULL)) return false;
    return strstr(answer, wanted);
}

static bool was_told(const char *what)
{
    char text[64] = "";
    FILE *f = fopen(told, "r");

    if (f && !fgets(text, sizeof(text), f)) text[0] = '\0';
    if (f) fclose(f);
    return !strcmp(text, what);
}

/* It hears nothing for a while, then the other copy, which stands aside. */
static void test_meet(void)
{
    struct meeting m;
    int fd;

    begin(&m);
    fd = steal_fd(&m.f.listener);
    close(fd);
    m.f.listener = -1;
    UNTIL(&m, ask(CONTROL_STATUS, "\"split\":false"));
    ok(ask(CONTROL_STATUS, "\"split\":false"),
       "nobody is heard: the status says that it is looked for");
    ok(was_told(""), "nothing is said of its disks");
    m.f.state = PROTO_SEC_OPEN;
    fake_listen(&m.f);
    UNTIL(&m, m.f.last == PROTO_PRIM_SOLO);
    ok(m.f.last == PROTO_PRIM_SOLO && m.f.incarnation > 40,
       "the paths are healed: it says that the guest runs here");
    ok(ask(CONTROL_STATUS, "\"split\":false"), "both run");
    UNTIL(&m, was_told("passed /a\n"));
    ok(was_told("passed /a\n"), "RULES A7: its disks are not the newest");
    m.f.state = PROTO_SEC_ASIDE;
    UNTIL(&m, ask(CONTROL_STATUS, "\"split\":true"));
    ok(ask(CONTROL_STATUS, "xl destroy"), "they met: the status says what "
       "can be done");
    ok(m.f.states == 1u << PROTO_PRIM_SOLO, "it never said anything else");
    ok(recorded("split", 3), "and the record, too");
    ok(m.announced == 5, "rule_B7: the network is told where it is");
    m.here = REUNION_STILL;
    UNTIL(&m, m.f.last == PROTO_PRIM_STUCK);
    ok(m.f.last == PROTO_PRIM_STUCK &&
       ask(CONTROL_STATUS, "\"state\":\"stuck\""),
       "paused here: it says so");
    m.here = REUNION_GONE;
    UNTIL(&m, m.f.last == PROTO_PRIM_GONE);
    ok(m.f.last == PROTO_PRIM_GONE && !m.over, "destroyed here: it says so");
    end(&m);
    ok(m.f.states == (1u << PROTO_PRIM_SOLO | 1u << PROTO_PRIM_STUCK |
                      1u << PROTO_PRIM_GONE), "and nothing untrue");
    ok(m.met, "RULES A7: who destroyed it decided for the one that it met");
}

static void test_broken(void)
{
    struct meeting m;

    begin(&m);
    m.f.state = PROTO_SEC_OPEN;
    for (unsigned int i = 1; i < 4; i++) {
        UNTIL(&m, m.f.attached >= i && m.f.last == PROTO_PRIM_SOLO);
        ok(m.f.attached >= i, "connection %u", i);
        m.f.last = 0;
        fake_hang_up(&m.f);
    }
    end(&m);
    ok(!m.met, "RULES A7: what never stood aside was not decided for");
}

static void test_ends(void)
{
    static const uint8_t lost[] = {
        PROTO_SEC_OVER, PROTO_SEC_DROPPED, PROTO_SEC_FAILED,
    };
    struct meeting m;

    for (size_t i = 0; i < sizeof(lost); i++) {
        begin(&m);
        m.f.state = lost[i];
        UNTIL(&m, m.over);
        ok(m.over, "the other copy is gone (state %u): it ends", lost[i]);
        end(&m);
    }
    begin(&m);
    m.f.state = PROTO_SEC_ASIDE;
    UNTIL(&m, recorded("split", 3));
    m.f.state = PROTO_SEC_OVER;
    UNTIL(&m, m.over);
    ok(m.over && recorded("peer-lost", 5), "the administrator destroys the "
       "one that stood aside: this history is the newest");
    end(&m);
    ok(!m.met, "and nothing more is to be decided");
    begin(&m);
    close(steal_fd(&m.f.listener));
    UNTIL(&m, ask(CONTROL_STATUS, "\"rc\":0"));
    ok(ask(CONTROL_STOP, "\"rc\":0"), "it is told to stop");
    UNTIL(&m, m.over);
    ok(m.over && !ask(CONTROL_STATUS, ""), "it ends, and its socket is gone");
    end(&m);
}

int main(void)
{
    /* A sanitizer's log shows what happens; the words are for people. */
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    if (!mkdtemp(dir)) abort();
    chmod(dir, 0700);
    control_set_dir(dir);
    serve_by_script(dir);
    test_meet();
    test_broken();
    test_ends();
    unlink(script);
    unlink(told);
    rmdir(dir);
    return done_testing();
}
