/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-xl-status.c - What `xl remus-status` makes of the answers it gets */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "status.h"
#include "tap.h"

#define UUID1 "6a0b3c5e-0000-4000-8000-00163e000001"
#define UUID2 "6a0b3c5e-0000-4000-8000-00163e000002"
#define UUID3 "6a0b3c5e-0000-4000-8000-00163e000003"

static const char primary[] =
    "{\"rc\":0,\"domain\":\"web1\",\"uuid\":\"" UUID1 "\",\"domid\":7,"
    "\"role\":\"primary\",\"state\":\"protected\",\"peer\":\"10.0.0.2\","
    "\"epoch_committed\":1234,\"epoch_accepted\":9,\"pause_us\":12345,"
    "\"interval_ms\":200,\"held_bytes\":3500,"
    "\"warnings\":[\"no arbiter\",\"\\u001b[31mred\",5]}";

static const char secondary[] =
    "{\"rc\":0,\"domain\":\"web2\",\"uuid\":\"" UUID2 "\",\"domid\":9,"
    "\"role\":\"secondary\",\"state\":\"syncing\",\"peer\":\"host1\","
    "\"epoch_committed\":1,\"epoch_accepted\":9,\"sync_percent\":42,"
    "\"held_bytes\":1073741824,\"warnings\":[]}";

static struct status made(const char *json)
{
    struct status s = { .path = strdup("x.sock") };

    memcpy(s.uuid, strstr(json, UUID2) ? UUID2 : UUID1, STATUS_UUID_LEN);
    status_parse(&s, strdup(json));
    return s;
}

static void unmade(struct status *s)
{
    free(s->path);
    free(s->json);
    yajl_tree_free(s->tree);
}

static void test_parse(void)
{
    static const struct {
        const char *json, *says;
    } bad[] = {
        { "", "no JSON object" },
        { "[]", "no JSON object" },
        { "hello", "no JSON object" },
        { "{\"rc\":0", "no JSON object" },
        { "{}", "no rc" },
        { "{\"rc\":\"0\"}", "no rc" },
        { "{\"rc\":0.5}", "no rc" },
        { "{\"rc\":0}", "no domain and role" },
        { "{\"rc\":0,\"domain\":7,\"role\":\"primary\"}", "no domain" },
        { "{\"rc\":0,\"domain\":\"x\"}", "no domain and role" },
        { "{\"rc\":5,\"error\":\"no memory\"}", "no memory" },
    };
    struct status s;
    long long n;
    bool pass = true;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s = made(bad[i].json);
        if (s.err.status != -EPROTO || !strstr(s.err.msg, bad[i].says)) {
            pass = false;
            printf("# %s: %s\n", bad[i].json, s.err.msg);
        }
        unmade(&s);
    }
    ok(pass, "an answer that is no status is an error");

    s = made(primary);
    ok(!s.err.status && status_is_primary(&s) &&
       !strcmp(status_text(&s, "domain"), "web1") &&
       status_number(&s, "epoch_committed", &n) && n == 1234,
       "a good one has its keys");
    ok(!*status_text(&s, "nothing") && !*status_text(&s, "domid") &&
       !status_number(&s, "nothing", &n) && n == 0 &&
       !status_number(&s, "domain", &n), "missing ones are missing");
    unmade(&s);
}

static void test_match(void)
{
    static const struct {
        const char *what;
        bool web1, web2, stock1, stock2;
    } t[] = {
        { "web1", true, false, true, false },
        { "7", true, false, true, false },
        { "007", true, false, true, false },
        { UUID1, true, false, false, false },
        { "6A0B3C5E-0000-4000-8000-00163E000001", true, false, false,
          false },
        { "web2", false, true, false, false },
        { "web2--incoming", false, true, false, true },
        { "web2--colo", false, true, false, true },
        { "web2--other", false, false, false, false },
        { "web1--incoming", false, false, false, false },
        { "9", false, true, false, true },
        { "web", false, false, false, false },
        { "web22", false, false, false, false },
        { "", false, false, false, false },
        { "18446744073709551623", false, false, false, false },
    };
    struct status p = made(primary), s = made(secondary);
    struct status young = made("{\"rc\":0,\"domain\":\"x\",\"domid\":0,"
                               "\"role\":\"secondary\"}");
    struct status hung = { .path = strdup("y.sock"), .uuid = UUID3 };
    struct xlc_error err = XLC_ERROR_INIT;
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        bool good = status_is(&p, t[i].what, false) == t[i].web1 &&
                    status_is(&s, t[i].what, false) == t[i].web2 &&
                    status_is(&p, t[i].what, true) == t[i].stock1 &&
                    status_is(&s, t[i].what, true) == t[i].stock2;

        if (!good) printf("# '%s'\n", t[i].what);
        pass &= good;
    }
    ok(pass, "names, domids and uuids, as we and as stock take them");
    ok(status_is(&hung, UUID3, false) && !status_is(&hung, "", false) &&
       !status_is(&hung, "0", false) && !status_is_primary(&hung),
       "one that does not answer still has its uuid");

    ok(!status_is(&young, "0", true) && !status_is(&young, "0", false),
       "a copy whose domid is not known yet is not domain 0");

    struct status v[] = { p, s, hung };
    struct statuses all = { v, 3 }, twice = { v, 3 };
    ok(statuses_find(&all, "web1", &err) == &v[0] &&
       statuses_find(&all, UUID3, &err) == &v[2], "found");
    ok(!statuses_find(&all, "nobody", &err) && err.status == -ENOENT &&
       strstr(err.msg, "'nobody' is not protected"), "%s", err.msg);
    xlc_error_clear(&err);
    v[1] = v[0];
    ok(!statuses_find(&twice, "web1", &err) && err.status == -ENOTUNIQ,
       "%s", err.msg);
    unmade(&p);
    unmade(&s);
    unmade(&hung);
    unmade(&young);
}

static void test_over(void)
{
    static const struct {
        const char *role, *state;
        bool over;
    } t[] = {
        { "primary", "syncing", false }, { "primary", "protected", false },
        { "primary", "dropping", false }, { "primary", "swapping", false },
        { "primary", "unprotected", true }, { "primary", "stuck", true },
        { "primary", "moved", true }, { "primary", "guest-ended", true },
        { "secondary", "syncing", false },
        { "secondary", "protecting", false },
        { "secondary", "taking-over", false },
        { "secondary", "running", true }, { "secondary", "dropped", true },
        { "secondary", "stood-aside", true }, { "secondary", "over", true },
        { "secondary", "failed", true }, { "secondary", "?", false },
    };
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char json[128];
        struct status s;

        snprintf(json, sizeof(json), "{\"rc\":0,\"domain\":\"x\",\"role\":"
                 "\"%s\",\"state\":\"%s\"}", t[i].role, t[i].state);
        s = made(json);
        pass &= status_is_over(&s) == t[i].over;
        unmade(&s);
    }
    ok(pass, "in which states a domain is an ordinary one");
}

/* What @print writes. */
#define PRINTED(text, print)                          \
    do {                                              \
        size_t size_;                                 \
        FILE *out = open_memstream(&(text), &size_);  \
        print;                                        \
        fclose(out);                                  \
    } while (0)

static void test_show(void)
{
    static const char table[] =
        "Domain               Role      State        Peer                "
        "Epoch Pause/ms Every/ms     Held\n"
        "web1                 primary   protected    10.0.0.2             "
        "1234     12.3      200     3.4K\n"
        "  warning: no arbiter\n"
        "  warning: ?[31mred\n"
        "web2                 secondary syncing 42%  host1                   "
        "9        -        -     1.0G\n";
    struct status v[3] = { made(primary), made(secondary), made("rubbish") };
    struct statuses all = { v, 3 }, none = { v, 0 };
    char *text = NULL;

    PRINTED(text, statuses_table(out, &all));
    if (!ok(!strcmp(text, table), "the table"))
        printf("# %s\n", text);
    free(text);
    PRINTED(text, statuses_json(out, &all, NULL));
    ok(text[0] == '[' && !strncmp(text + 1, primary, strlen(primary)) &&
       strstr(text, secondary) && !strstr(text, "rubbish") &&
       !strcmp(text + strlen(text) - 3, "}]\n"), "the JSON array");
    free(text);
    PRINTED(text, statuses_json(out, &all, &v[1]));
    ok(!strncmp(text + 1, secondary, strlen(secondary)) &&
       !strstr(text, "web1"), "an array of one");
    free(text);
    PRINTED(text, statuses_json(out, &none, NULL));
    ok(!strcmp(text, "[]\n"), "an empty array");
    free(text);
    PRINTED(text, statuses_complain(out, &all));
    ok(strstr(text, "x.sock: the answer is no JSON") &&
       strchr(text, '\n') == text + strlen(text) - 1,
       "one line about what makes no sense");
    free(text);
    for (int i = 0; i < 3; i++)
        unmade(&v[i]);
}

/* ---- Real sockets -------------------------------------------------------- */

static atomic_bool serving = true;

static void *serve(void *arg)
{
    struct control *c = arg;
    struct pollfd pfd[CONTROL_FDS];
    struct control_req q;

    while (serving) {
        poll(pfd, control_pollfds(c, pfd), 20);
        while (control_next(c, pfd, &q))
            control_reply(c, q.id, primary);
    }
    return NULL;
}

static void test_sockets(void)
{
    struct control *c = NULL, *dead = NULL;
    struct statuses s;
    char *text = NULL;
    pthread_t t;
    pid_t pid;

    ok(!status_any() && !statuses_get(&s, NULL) && s.n == 0,
       "no directory: nothing is protected");
    statuses_free(&s);
    if (control_listen(&c, UUID1, NULL)) exit(1);
    pid = fork();
    if (pid == 0) _exit(control_listen(&dead, UUID2, NULL) != 0);
    waitpid(pid, NULL, 0);
    pthread_create(&t, NULL, serve, c);
    ok(status_any() && !statuses_get(&s, NULL) && s.n == 2, "two sockets");
    ok(!s.v[0].err.status && !strcmp(s.v[0].uuid, UUID1) &&
       !strcmp(s.v[0].json, primary), "one answers");
    ok(s.v[1].err.status == -ECONNREFUSED && !strcmp(s.v[1].uuid, UUID2),
       "the other's owner was killed");
    PRINTED(text, statuses_complain(out, &s));
    ok(strstr(text, UUID2) && strstr(text, "killed process") &&
       strstr(text, "`rm "), "which is said, with the way out");
    free(text);
    statuses_free(&s);
    serving = false;
    pthread_join(t, NULL);
    control_free(c);
}

int main(void)
{
    static char dir[] = "/tmp/test-xl-status-XXXXXX";
    static char run[64], sock[128];

    if (!mkdtemp(dir)) return 1;
    snprintf(run, sizeof(run), "%s/run", dir);
    control_set_dir(run);
    test_parse();
    test_match();
    test_over();
    test_show();
    test_sockets();
    snprintf(sock, sizeof(sock), "%s/" UUID2 CONTROL_SUFFIX, run);
    unlink(sock);
    rmdir(run);
    ok(rmdir(dir) == 0, "nothing is left behind");
    return done_testing();
}
