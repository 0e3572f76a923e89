/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-guard.c - What a guard does after its worker was killed
 *
 * The real xlc_protect(), with a worker that only writes down a state and
 * dies, a receiver in a thread, and a Xen that counts what is done to it.
 */
#include <config.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <libxl.h>
#include <xenctrl.h>
#include <xenstore.h>

#include "control.h"
#include "fake-peer.h"
#include "guest.h"
#include "log.h"
#include "monitor.h"
#include "netbuf.h"
#include "plane.h"
#include "prim.h"
#include "primary.h"
#include "reunion.h"
#include "serve-script.h"
#include "tap.h"
#include "xlctx.h"

/**
 * struct trial - one worker's death
 * @f: the other host; @lock: for it; @thread: it, if @started
 * @state: of the worker when it dies; @breaks: connections that break before
 * @ends: it does not die, but ends, having gone on alone after silence
 * @resumed, @destroyed, @discarded: what was done here
 * @claimed: what disk-serve was told by then, at the end
 * @cleared: its vifs were opened; @too_early: before it was settled or gone
 * @at_resume, @at_destroy: states that had been heard there by then
 * @yours: how often YOURS had been heard when it was destroyed
 * @monitor: somebody stays; @meet: and looks for the other copy
 */
static struct trial {
    struct fake f;
    pthread_mutex_t lock;
    pthread_t thread;
    bool started;
    atomic_bool over;
    enum prim_state state;
    unsigned int breaks;
    bool ends;
    bool resumed, destroyed, discarded, monitor, meet;
    bool cleared, too_early;
    char claimed[128];
    unsigned int at_resume, at_destroy, yours;
} t;

static _Atomic unsigned int *attached; /* shared with the worker */
static char dir[] = "/tmp/xl-colo-test-XXXXXX";

/* ---- What is not here: Xen, and the worker ------------------------------ */

enum xlc_outcome primary_run(const struct xlc_options *o, struct shared *sh)
{
    const struct timespec nap = { 0, 2000000 };

    (void)o;
    memset(sh->uuid, '0', 36);
    snprintf(sh->name, sizeof(sh->name), "web");
    sh->domid = 7;
    sh->known = true;
    sh->peer = (struct glink_peer){ .secret = t.f.secret, .naddr = 1,
                                    .addr = { "127.0.0.1" },
                                    .port = t.f.port };
    sh->heartbeat_ms = 20;
    sh->limit_ms = 400;
    sh->cut = sh->acked = 9;
    sh->final = t.state == PRIM_HANDING;
    sh->asked = sh->final;
    sh->state = t.state;
    sh->netbuf = sh->plane = true;
    snprintf(sh->disks.at[0], sizeof(sh->disks.at[0]), "/a");
    snprintf(sh->disks.at[1], sizeof(sh->disks.at[1]), "/b");
    sh->disks.n = 2;
    sh->linked = true;
    for (int i = 0; i < 3000 && *attached < 1 + t.breaks; i++)
        nanosleep(&nap, NULL);
    if (!t.ends) raise(SIGKILL);
    /* The farewell; meanwhile the guard hears what the worker did not. */
    for (int i = 0; i < 150; i++)
        nanosleep(&nap, NULL);
    sh->alone = true;
    sh->outcome = XLC_PEER_LOST;
    sh->finished = true;
    return XLC_PEER_LOST;
}

int xlctx_new(libxl_ctx **ctx_r, struct xlc_error *err)
{
    (void)err;
    *ctx_r = NULL;
    return 0;
}

int guest_open(struct guest *g, libxl_ctx *ctx, const char *spec,
               struct xlc_error *err)
{
    (void)ctx, (void)spec, (void)err;
    *g = (struct guest){ .domid = 7 };
    return 0;
}

void guest_close(struct guest *g)
{
    (void)g;
}

int guest_state(struct guest *g)
{
    (void)g;
    return t.state == PRIM_HANDING;
}

static unsigned int heard_states(void)
{
    unsigned int s;

    /* What was said is on its way. */
    for (int i = 0; i < 50; i++) {
        const struct timespec nap = { 0, 2000000 };

        nanosleep(&nap, NULL);
    }
    pthread_mutex_lock(&t.lock);
    s = t.f.states;
    pthread_mutex_unlock(&t.lock);
    return s;
}

int guest_clean(struct guest *g, bool asked, struct xlc_error *err)
{
    (void)g, (void)asked, (void)err;
    t.resumed = true;
    t.at_resume = heard_states();
    return 0;
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    (void)ctx, (void)domid, (void)how;
    t.destroyed = true;
    pthread_mutex_lock(&t.lock);
    t.yours = t.f.heard[PROTO_YOURS];
    pthread_mutex_unlock(&t.lock);
    t.at_destroy = heard_states();
    return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    (void)ctx;
    return 0;
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    return 0;
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    return 0;
}

bool xs_rm(struct xs_handle *h, xs_transaction_t x, const char *path)
{
    (void)h, (void)x, (void)path;
    return true;
}

int netbuf_attach(struct netbuf **nb_r, uint32_t domid, struct xlc_error *err)
{
    (void)domid, (void)err;
    *nb_r = NULL;
    return 0;
}

int netbuf_teardown(struct netbuf *nb, bool discard, struct xlc_error *err)
{
    (void)nb, (void)err;
    t.discarded = discard;
    return 0;
}

int netbuf_cut(struct netbuf *nb, struct xlc_error *err)
{
    (void)nb, (void)err;
    return 0;
}

int plane_clear_domain(uint32_t domid, struct xlc_error *err)
{
    (void)err;
    t.cleared = domid == 7;
    t.too_early = !t.resumed && !t.destroyed;
    return 0;
}

void netbuf_free(struct netbuf *nb)
{
    (void)nb;
}

int monitor_act(uint32_t *domid_r, struct xlc_error *err)
{
    (void)domid_r, (void)err;
    return 0;
}

int monitor_daemon(uint32_t domid, const char *name, bool act,
                   const struct reunion *r, struct xlc_error *err)
{
    (void)domid, (void)name, (void)err;
    t.monitor = act;
    t.meet = r && r->peer.naddr == 1 && r->acked == 9 && r->incarnation;
    return 0;
}

/* ---- The trials --------------------------------------------------------- */

static void *receiver(void *opaque)
{
    const struct timespec nap = { 0, 1000000 };

    (void)opaque;
    while (!t.over) {
        pthread_mutex_lock(&t.lock);
        fake_turn(&t.f);
        *attached = t.f.attached;
        if (t.f.attached && t.f.attached <= t.breaks && t.f.states)
            fake_hang_up(&t.f);
        pthread_mutex_unlock(&t.lock);
        nanosleep(&nap, NULL);
    }
    return NULL;
}

/*
 * The receiver's thread begins when the guard has forked its worker. A thread
 * that allocates while another forks can leave ASan's allocator locked in the
 * child for good; the guard itself has no thread then.
 */
static void worker_forked(void)
{
    if (pthread_create(&t.thread, NULL, receiver, NULL)) abort();
    t.started = true;
}

static void read_claimed(void)
{
    FILE *f = fopen(told, "r");
    size_t n = f ? fread(t.claimed, 1, sizeof(t.claimed) - 1, f) : 0;

    t.claimed[n] = '\0';
    if (f) fclose(f);
    unlink(told);
}

static bool claimed(const char *word)
{
    char want[128] = "";

    if (word) snprintf(want, sizeof(want), "%s /a\n%s /b\n", word, word);
    return !strcmp(t.claimed, want);
}

static enum xlc_outcome try_with(enum prim_state state, uint16_t answer,
                                 unsigned int breaks, bool ends,
                                 uint8_t there)
{
    struct xlc_options o;
    enum xlc_outcome outcome;

    xlc_options_init(&o);
    o.domain = "web";
    o.host = "hostb";
    memset(&t, 0, sizeof(t));
    pthread_mutex_init(&t.lock, NULL);
    fake_init(&t.f, true);
    t.f.answer = answer;
    t.f.mute = !answer;
    t.f.state = there;
    t.state = state;
    t.breaks = breaks;
    t.ends = ends;
    *attached = 0;
    outcome = xlc_protect(&o);
    t.over = true;
    if (!t.started || pthread_join(t.thread, NULL)) abort();
    fake_free(&t.f);
    read_claimed();
    return outcome;
}

static enum xlc_outcome try(enum prim_state state, uint16_t answer,
                            unsigned int breaks)
{
    return try_with(state, answer, breaks, false, PROTO_SEC_PAIRED);
}

#define HEARD(bits, s) ((bits) >> PROTO_PRIM_##s & 1)

static void test_drop(void)
{
    ok(try(PRIM_PROTECTED, PROTO_DROPPED, 0) == XLC_WORKER_DIED &&
       t.f.heard[PROTO_DROP] && t.resumed && !t.destroyed,
       "killed, the peer drops its copy: the guest goes on");
    ok(claimed("alone"), "RULES A7: and nobody is to be asked for its disks");
    ok(t.cleared && !t.too_early,
       "RULES A12: once it does, its vifs are as they were");
    ok(HEARD(t.f.states, PROTECTED) && HEARD(t.f.states, DROPPING) &&
       !HEARD(t.at_resume, SOLO), "each state was heard while it was true");
    ok(t.monitor && !t.meet, "nobody has to look for another copy");
    ok(try(PRIM_PROTECTED, PROTO_PROMOTED, 0) == XLC_MOVED && t.destroyed &&
       !t.resumed && t.discarded && !t.monitor,
       "killed, the peer runs the guest: ours goes, with what it said");
    ok(!t.cleared, "RULES A12: its vifs stay closed until they are gone");
    ok(claimed("handed"), "RULES A7: nothing starts from its disks");
}

static void test_silence(void)
{
    ok(try(PRIM_PROTECTED, 0, 0) == XLC_WORKER_DIED && t.resumed,
       "killed, the peer is silent: the guest goes on");
    ok(claimed("solo"), "RULES A7: it may be started again though the peer "
       "can't be asked");
    ok(HEARD(t.at_resume, SOLO), "after the peer was told that it does");
    ok(t.monitor && t.meet, "RULES A2: and somebody looks for the other copy");
    ok(try(PRIM_SOLO, PROTO_PROMOTED, 0) == XLC_WORKER_DIED &&
       !t.f.heard[PROTO_DROP] && t.resumed && !t.destroyed,
       "killed when it had gone on alone: it asks nobody, and goes on");
    ok(t.meet, "RULES A2: somebody looks for the other copy then, too");
    ok(try(PRIM_YIELDING, 0, 0) == XLC_STUCK && !t.resumed && !t.destroyed,
       "killed when the peer was taking over: it stands still");
    ok(!t.cleared, "RULES A12: and its vifs stay closed");
    ok(claimed(NULL), "RULES A7: its disks are to be asked for");
}

/* RULES A13 */
static void test_handing(void)
{
    ok(try(PRIM_HANDING, PROTO_PROMOTED, 0) == XLC_MOVED && t.destroyed &&
       t.f.heard[PROTO_YOURS] && !t.f.heard[PROTO_DROP] && !t.resumed,
       "killed in mid-swap: YOURS, PROMOTED, and ours goes");
    ok(t.yours && HEARD(t.at_destroy, HANDING) &&
       !HEARD(t.f.states, DROPPING),
       "RULES A13: not before it was answered");
    ok(try(PRIM_HANDING, 0, 0) == XLC_STUCK && !t.destroyed && !t.resumed &&
       t.f.heard[PROTO_YOURS] && !HEARD(t.f.states, SOLO),
       "RULES A13: no answer: it stays suspended");
    ok(t.meet && !t.monitor, "and what the peer makes of it is looked for");
    ok(try(PRIM_HANDING, PROTO_FAILED, 0) == XLC_WORKER_DIED && t.resumed &&
       !t.destroyed, "RULES A13: the peer can't: ours goes on");
}

/* The worker heard nothing and went on alone; the guard did hear. */
static void test_late_word(void)
{
    ok(try_with(PRIM_SOLO, PROTO_DROPPED, 0, true, PROTO_SEC_PAIRED) ==
       XLC_PEER_LOST && t.meet,
       "the worker went on alone: somebody looks for the other copy");
    ok(t.cleared, "what an orderly end could not give back is opened");
    ok(try_with(PRIM_SOLO, PROTO_DROPPED, 0, true, PROTO_SEC_OPEN) ==
       XLC_PEER_LOST && t.meet, "all the more if it runs there");
    ok(try_with(PRIM_SOLO, PROTO_DROPPED, 0, true, PROTO_SEC_DROPPED) ==
       XLC_PEER_LOST && t.monitor && !t.meet,
       "but not if the guard has heard that it never will");
    ok(try_with(PRIM_SOLO, PROTO_FAILED, 0, false, PROTO_SEC_FAILED) ==
       XLC_WORKER_DIED && t.resumed && t.monitor && !t.meet,
       "nor if the worker was killed after that");
}

/* The worker may be killed before it has the guest's socket. */
static void test_socket(void)
{
    struct control *c = NULL;
    char uuid[37] = { 0 }, path[128];

    memset(uuid, '0', 36);
    snprintf(path, sizeof(path), "%s/%s.sock", control_dir(), uuid);
    if (control_listen(&c, uuid, NULL)) abort();
    ok(try(PRIM_PROTECTED, PROTO_DROPPED, 0) == XLC_WORKER_DIED &&
       !access(path, F_OK), "a socket at which somebody listens stays");
    control_forked(c);
    ok(!access(path, F_OK) &&
       try(PRIM_PROTECTED, PROTO_DROPPED, 0) == XLC_WORKER_DIED &&
       access(path, F_OK), "what a killed worker left is removed");
}

static void test_again(void)
{
    ok(try(PRIM_PROTECTED, PROTO_DROPPED, 3) == XLC_WORKER_DIED &&
       t.f.attached >= 4 && t.f.heard[PROTO_DROP],
       "its connection broke 3 times while the worker lived: made again");
}

int main(void)
{
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    if (!mkdtemp(dir)) abort();
    control_set_dir(dir);
    serve_by_script(dir);
    if (pthread_atfork(NULL, worker_forked, NULL)) abort();
    attached = mmap(NULL, sizeof(*attached), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (attached == MAP_FAILED) abort();
    test_drop();
    test_silence();
    test_handing();
    test_late_word();
    test_socket();
    test_again();
    unlink(script);
    rmdir(dir);
    return done_testing();
}
