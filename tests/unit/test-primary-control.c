/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-primary-control.c - What both ends answer on the control socket
 *
 * The real ends, without a guest and without each other: settings that change
 * while protection runs, who waits for the end, and each key of the status,
 * which the manual page must explain.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

#include "cleanup.h"
#include "log.h"
#include "primary.h"
#include "secondary.h"
#include "tap.h"

#define UUID "01020304-0506-0708-090a-0b0c0d0e0f10"

static char dir[] = "/tmp/test-primary-control-XXXXXX";
static char sock[80];
static char page[1 << 17];

static struct primary p;
static struct secondary s;
static struct receive_shared shared;
static struct xlc_options options = {
    .host = "hostb", .config = "/etc/xen/web.cfg", .interval_ms = 200,
};

/* ---- Asking ----------------------------------------------------------- */

static struct control *owner(void)
{
    return p.control ? p.control : s.control;
}

/* One turn of the owner's loop. */
static void turn(void)
{
    struct pollfd pfd[CONTROL_FDS];
    struct control_req req;

    poll(pfd, control_pollfds(owner(), pfd), 20);
    while (control_next(owner(), pfd, &req)) {
        if (p.control) primary_control(&p, &req);
        else secondary_control(&s, &req);
    }
    if (p.control) primary_answer_waiters(&p, false);
}

static int begin(enum control_op op, const char *args)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int fd = control_ask_begin(sock, op, args, 5000, &err);

    if (fd < 0) {
        printf("Bail out! %s\n", err.msg);
        exit(1);
    }
    return fd;
}

static bool answered(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0;
}

/* Turns until the question is read, or answered. */
static void turns(int fd)
{
    for (int i = 0; i < 3 && !answered(fd); i++)
        turn();
}

/* Return: the answer, malloc'd; NULL if it hung up */
static char *hear(int fd)
{
    char *answer = NULL;

    control_ask_end(fd, sock, 5000, &answer, NULL);
    close(fd);
    return answer;
}

static char *ask(enum control_op op, const char *args)
{
    int fd = begin(op, args);

    turns(fd);
    return hear(fd);
}

static bool says(const char *label, char *answer, const char *want)
{
    bool good = answer && strstr(answer, want);

    if (!ok(good, "%s", label))
        printf("# %s, wanted: %s\n", answer ? answer : "nothing", want);
    free(answer);
    return good;
}

/* ---- Settings --------------------------------------------------------- */

static void be_primary(enum prim_state state)
{
    memset(&p, 0, sizeof(p));
    pthread_mutex_init(&p.lock, NULL);
    pthread_mutex_init(&p.nb_lock, NULL);
    pthread_cond_init(&p.cond, NULL);
    libxl_domain_config_init(&p.cfg);
    p.o = &options;
    policy_set_init(&p.live);
    p.live.wish = POLICY_REMUS;
    p.live.interval_ms = options.interval_ms;
    p.m.state = state;
    p.naddr = 1;
    snprintf(p.addr[0], sizeof(p.addr[0]), "10.0.0.2");
    snprintf(p.rec.name, sizeof(p.rec.name), "web");
    snprintf(p.guest.uuid, sizeof(p.guest.uuid), "%s", UUID);
    if (control_listen(&p.control, UUID, NULL)) exit(1);
}

static void end_primary(void)
{
    control_free(steal_ptr(&p.control));
    libxl_domain_config_dispose(&p.cfg);
    pthread_cond_destroy(&p.cond);
    pthread_mutex_destroy(&p.nb_lock);
    pthread_mutex_destroy(&p.lock);
}

static void test_set(void)
{
    be_primary(PRIM_PROTECTED);
    p.next_due_us = 10000000;
    says("a setting", ask(CONTROL_SET, "interval=50"), "{\"rc\":0}");
    ok(p.live.interval_ms == 50 && p.next_due_us == 10000000 - 150000,
       "the next checkpoint is due as if it had always been so");
    says("and it is in the status", ask(CONTROL_STATUS, NULL),
         "\"interval_ms\":50,");
    says("to the longer", ask(CONTROL_SET, "interval=1000"), "{\"rc\":0}");
    ok(p.live.interval_ms == 1000 && p.next_due_us == 10000000 + 800000,
       "it is later then");
    says("nonsense", ask(CONTROL_SET, "interval=5"),
         "\"error\":\"interval 5: it must be 10 to 60000 milliseconds\"");
    says("half of it", ask(CONTROL_SET, "interval=70 frob=1"), "\"rc\":22,");
    says("what does not run", ask(CONTROL_SET, "mode=colo"), "only mode "
         "remus works");
    ok(p.live.interval_ms == 1000 && p.next_due_us == 10000000 + 800000,
       "nothing is changed by any of them");
    end_primary();

    be_primary(PRIM_SYNCING);
    says("before the first checkpoint", ask(CONTROL_SET, "interval=50"),
         "{\"rc\":0}");
    ok(p.live.interval_ms == 50 && !p.next_due_us,
       "there is none that could be moved");
    end_primary();

    for (unsigned int st = 0; st < PRIM_NSTATES; st++) {
        if (st == PRIM_PROTECTED || st == PRIM_SYNCING) continue;
        be_primary(st);
        says(prim_state_name(st), ask(CONTROL_SET, "interval=50"),
             "the guest is not protected now");
        ok(p.live.interval_ms == 200, "nothing is set");
        end_primary();
    }
}

/* ---- Waiting for the end ---------------------------------------------- */

static void test_wait(void)
{
    int fd[PRIMARY_WATCHERS + 1], other;
    bool pass = true;

    be_primary(PRIM_PROTECTED);
    for (int i = 0; i <= PRIMARY_WATCHERS; i++) {
        fd[i] = begin(CONTROL_WAIT, NULL);
        turns(fd[i]);
        pass &= answered(fd[i]) == (i == PRIMARY_WATCHERS);
    }
    ok(pass, "so many may watch, and wait");
    says("one more may not", hear(fd[PRIMARY_WATCHERS]),
         "too many are waiting already");
    other = begin(CONTROL_CHECKPOINT, NULL);
    turns(other);
    ok(!answered(other), "a checkpoint still has room");
    close(fd[0]);
    turn();
    turn();
    fd[0] = begin(CONTROL_WAIT, NULL);
    turns(fd[0]);
    ok(!answered(fd[0]), "who has gone makes room");
    p.m.outcome = XLC_PEER_LOST;
    primary_answer_waiters(&p, true);
    for (int i = 0; i < PRIMARY_WATCHERS; i++)
        says("the outcome", hear(fd[i]), "{\"rc\":0,\"outcome\":"
             "\"peer-lost\",\"outcome_status\":4}");
    close(other);
    end_primary();
}

/* ---- The manual page -------------------------------------------------- */

/* The section about the status alone. */
static void read_page(void)
{
    const char *top = getenv("abs_top_srcdir");
    char path[4096], *from, *to;
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/docs/xl-remus.pod", top ? top : ".");
    f = fopen(path, "r");
    if (f) {
        n = fread(page, 1, sizeof(page) - 1, f);
        fclose(f);
    }
    page[n] = 0;
    from = strstr(page, "=head1 STATUS AS JSON");
    to = from ? strstr(from, "\n=head1 ") : NULL;
    if (!to) {
        printf("Bail out! %s has no section about the status\n", path);
        exit(1);
    }
    to[1] = 0;
    memmove(page, from, strlen(from) + 1);
}

/* Is @key in the list behind an "=item "? */
static bool is_item(const char *key)
{
    const char *item = page;
    size_t len = strlen(key);

    while ((item = strstr(item, "\n=item "))) {
        const char *end = strchr(item + 1, '\n');

        for (const char *w = item + 7; w < end; w += strcspn(w, ",\n") + 2)
            if (strcspn(w, ",\n") == len && !memcmp(w, key, len)) return true;
        item = end;
    }
    return false;
}

static bool is_told(const char *key)
{
    char text[80];

    snprintf(text, sizeof(text), "I<%s>", key);
    return strstr(page, text);
}

/* The keys inside of @v: those are told of in the text. */
static unsigned int untold(yajl_val v)
{
    unsigned int n = 0;

    for (size_t i = 0; YAJL_IS_ARRAY(v) && i < YAJL_GET_ARRAY(v)->len; i++)
        n += untold(YAJL_GET_ARRAY(v)->values[i]);
    for (size_t i = 0; YAJL_IS_OBJECT(v) && i < YAJL_GET_OBJECT(v)->len;
         i++) {
        if (!is_told(YAJL_GET_OBJECT(v)->keys[i])) {
            printf("# %s\n", YAJL_GET_OBJECT(v)->keys[i]);
            n++;
        }
        n += untold(YAJL_GET_OBJECT(v)->values[i]);
    }
    return n;
}

/* All keys of a status. Return: how many there are, and *@lack_r are not
 * in the page */
static size_t keys(char *json, unsigned int *lack_r)
{
    yajl_val tree = json ? yajl_tree_parse(json, NULL, 0) : NULL;
    size_t n = tree && YAJL_IS_OBJECT(tree) ? YAJL_GET_OBJECT(tree)->len : 0;

    for (size_t i = 0; i < n; i++) {
        if (!is_item(YAJL_GET_OBJECT(tree)->keys[i])) {
            printf("# %s\n", YAJL_GET_OBJECT(tree)->keys[i]);
            ++*lack_r;
        }
        *lack_r += untold(YAJL_GET_OBJECT(tree)->values[i]);
    }
    yajl_tree_free(tree);
    free(json);
    return n;
}

static void put_disk(struct disklist *list)
{
    list->n = 1;
    snprintf(list->at[0].vdev, sizeof(list->at[0].vdev), "xvda");
    snprintf(list->at[0].path, sizeof(list->at[0].path), "/srv/web.img");
}

static void test_page(void)
{
    unsigned int lack = 0;
    size_t n;

    be_primary(PRIM_PROTECTED);
    disks_init(&p.disks, NULL, NULL);
    put_disk(&p.disks.list);
    n = keys(ask(CONTROL_STATUS, NULL), &lack);
    ok(n > 30 && !lack, "a primary: %zu keys, all explained", n);
    end_primary();

    s.sh = &shared;
    pthread_mutex_init(&s.lock, NULL);
    disks_init(&s.disks, NULL, NULL);
    put_disk(&s.disks.list);
    snprintf(s.rec.name, sizeof(s.rec.name), "web");
    if (control_listen(&s.control, UUID, NULL)) exit(1);
    lack = 0;
    s.paths.used[0] = true;
    s.newest[0] = 1;
    n = keys(ask(CONTROL_STATUS, NULL), &lack);
    ok(n > 25 && !lack, "a secondary: %zu keys, all explained", n);
    says("which sets nothing", ask(CONTROL_SET, "interval=50"),
         "ask on the host that runs the guest");
    says("and tells no outcome", ask(CONTROL_WAIT, NULL),
         "ask on the host that runs the guest");
    control_free(s.control);
    pthread_mutex_destroy(&s.lock);
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    snprintf(sock, sizeof(sock), "%s/" UUID CONTROL_SUFFIX, dir);
    control_set_dir(dir);
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    read_page();
    test_set();
    test_wait();
    test_page();
    ok(rmdir(dir) == 0, "nothing is left behind");
    return done_testing();
}
