/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-xl-config.c - colo="…" of a domain's configuration file */
#include <config.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config-file.h"
#include "parse-line.h"
#include "tap.h"

static char etc[] = "/tmp/test-xl-etc-XXXXXX";

/* A file of domain @name. */
static void config(const char *name, const char *text)
{
    char path[80];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.cfg", etc, name);
    f = fopen(path, "w");
    if (!f) exit(1);
    fputs(text, f);
    fclose(f);
}

static void unconfig(const char *name)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/%s.cfg", etc, name);
    unlink(path);
}

static void test_config(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct remus_args a;
    char *keep = NULL, line[160];

    if (!mkdtemp(etc)) exit(1);
    config_file_set_dir(etc);
    config("web", "# a guest\nname = 'web'\nmemory = 512\n"
           "disk = [ 'format=raw,vdev=xvda,access=rw,target=/x' ]\n"
           "colo = \"interval=50, heartbeat=20,peer=10.0.0.2,peer=10.0.1.2,"
           "\tplaintext,quiet=1,verbose=0 ,staging-limit=2G\"\n");
    config("plain", "name = 'plain'\ncolour = 'blue'\n");
    config("mine", "colo='port=7000'\n");
    config("theirs", "name = 'other'\ncolo='port=7000'\n");

#define GOOD(label, cond)                                             \
    do {                                                              \
        int r_ = parse(&a, line, &keep, &err);                        \
        ok(!r_ && (cond), "%s: %s%s%s", label, line, r_ ? ": " : "",  \
           err.msg);                                                  \
        free(keep);                                                   \
    } while (0)
#define LINE(...) snprintf(line, sizeof(line), __VA_ARGS__)
    LINE("web h");
    GOOD("the domain's own", a.o.interval_ms == 50 &&
         a.o.heartbeat_ms == 20 && a.o.npeers == 2 &&
         !strcmp(a.o.peers[0], "10.0.0.2") &&
         !strcmp(a.o.peers[1], "10.0.1.2") && a.o.plaintext && a.o.quiet &&
         !a.o.verbose && a.o.staging_bytes == 2ull << 30 &&
         a.o.limit_ms == 1000 && !strncmp(a.o.config, etc, strlen(etc)) &&
         !strcmp(a.o.config + strlen(etc), "/web.cfg"));
    LINE("-i 70 web h --peer a");
    GOOD("the command line wins", a.o.interval_ms == 70 &&
         a.o.heartbeat_ms == 20 && a.o.npeers == 1 &&
         !strcmp(a.o.peers[0], "a") && a.o.config);
    LINE("--config %s/mine.cfg web h", etc);
    GOOD("another one", a.o.interval_ms == 200 && a.o.port == 7000 &&
         strstr(a.o.config, "/mine.cfg"));
    LINE("--config %s/theirs.cfg web h", etc);
    GOOD("even of another domain", a.o.port == 7000);
    LINE("--config '' web h");
    GOOD("none", a.o.interval_ms == 200 && !a.o.config);
    LINE("mine h");
    GOOD("one without a name", a.o.port == 7000);
    LINE("plain h");
    GOOD("one without colo", a.o.interval_ms == 200 && !a.o.config);
    LINE("nofile h");
    GOOD("no file", a.o.interval_ms == 200 && !a.o.config);
    LINE("../%s/web h", etc + 5);
    GOOD("no domain is called like a path", !a.o.config);
    LINE("42 h");
    GOOD("a domid that is not here", !a.o.config);
#undef LINE
#undef GOOD
}

/* Long because of its table. */
static void test_config_refused(void)
{
    static const struct {
        const char *file, *line, *says;
    } t[] = {
        { "colo='interval=5'", "bad h",
          "/bad.cfg: colo: interval 5: it must be 10 to 60000 milliseconds" },
        { "colo='interval=5'", "-i 50 bad h", "colo: interval 5: it must" },
        { "colo='intervall=50'", "bad h", "colo: intervall: no such key" },
        { "colo='interva=50'", "bad h", "colo: interva: no such key" },
        { "colo='interval'", "bad h", "colo: interval: needs a value" },
        { "colo='interval='", "bad h", "colo: interval : it must be" },
        { "colo='interval=50,interval=60'", "bad h",
          "colo: interval: more than once" },
        { "colo='plaintext=yes'", "bad h", "plaintext: it must be 0 or 1" },
        { "colo='plaintext=0,plaintext'", "bad h", "more than once" },
        { "colo=''", "bad h", "colo: an empty key" },
        { "colo='quiet,'", "bad h", "colo: an empty key" },
        { "colo='quiet, ,verbose'", "bad h", "colo: an empty key" },
        { "colo='=5'", "bad h", "colo: : no such key" },
        { "colo='F'", "bad h", "colo: F: no such key" },
        { "colo='config=/x'", "bad h", "config: only on the command line" },
        { "colo='help'", "bad h", "colo: help: no such key" },
        { "colo='peer='", "bad h", "colo: peer: an empty ADDRESS" },
        { "colo='peer=1,peer=2,peer=3,peer=4,peer=5'", "bad h",
          "peer 5: at most 4 of them" },
        { "colo='peer.a=b'", "bad h", "colo: peer.a: no such key" },
        { "colo='heartbeat=500'", "bad h", "/bad.cfg says: --limit 1000" },
        { "colo='heartbeat=500'", "--limit 900 bad h",
          "/bad.cfg says: --limit 900: it must be at least 3 heartbeats" },
        { "colo=[ 'interval=50' ]", "bad h", "colo is no text" },
        { "colo=50", "bad h", "colo: 50: no such key" },
        { "colo='\x1b[31m'", "bad h", "colo: ?[31m: no such key" },
        { "colo='interval=50", "bad h", "is no configuration of a domain" },
        { "]", "bad h", "--config '' does without" },
        { "name='other'\ncolo='quiet'", "bad h", "it is of domain 'other'" },
        { "name=[1]\ncolo='quiet'", "bad h", "name is no text" },
        { "name='bad'", "--config ETC/bad.cfg web h", "it has no colo=" },
        { "", "--config ETC/none.cfg web h", "/none.cfg: No such file" },
        { "", "--config ETC web h", "it is no file" },
    };
    char line[160];

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct xlc_error err = XLC_ERROR_INIT;
        const char *at = strstr(t[i].line, "ETC");
        struct remus_args a;
        char *keep = NULL;
        int r;

        config("bad", t[i].file);
        if (at)
            snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - t[i].line),
                     t[i].line, etc, at + 3);
        else
            snprintf(line, sizeof(line), "%s", t[i].line);
        r = parse(&a, line, &keep, &err);
        if (!ok(r < 0 && r != OPTS_HELP && strstr(err.msg, t[i].says),
                "%s", err.msg))
            printf("# wanted: %s\n", t[i].says);
        free(keep);
    }
    unconfig("bad");
    unconfig("web");
    unconfig("plain");
    unconfig("mine");
    unconfig("theirs");
    ok(rmdir(etc) == 0, "nothing is left behind");
}

/**
 * struct pairs - what a small table fills in
 * @list: pairs, @n of them
 * @more: a simple list, @m of them
 */
struct pairs {
    const char *list[3];
    const char *more[2];
    unsigned int n, m;
};

static const struct opt pair_opts[] = {
    { 0, "disk", "VDEV=PATH", OPT_LIST, .where = offsetof(struct pairs, list),
      .count = offsetof(struct pairs, n), .max = 3, .text = "x" },
    { 0, "more", "X", OPT_LIST, .where = offsetof(struct pairs, more),
      .count = offsetof(struct pairs, m), .max = 2, .text = "x" },
    { 0, "no", NULL, OPT_REFUSE, .text = "not here" },
};

static void test_config_text(void)
{
    static const struct {
        const char *text, *first, *says;
        unsigned int n;
    } t[] = {
        { "disk.xvda=/a", "xvda=/a", "", 1 },
        { "disk.xvda=/a=b", "xvda=/a=b", "", 1 },
        { "disk.xvda=", "xvda=", "", 1 },
        { "disk.xvda=/a, disk.xvdb=/b", "xvda=/a", "", 2 },
        { "disk.a.b=/a", "a.b=/a", "", 1 },
        { "disk=/a", NULL, "disk: disk.VDEV=PATH it must be", 0 },
        { "disk", NULL, "disk: disk.VDEV=PATH it must be", 0 },
        { "disk.=/a", NULL, "disk.: disk.VDEV=PATH it must be", 0 },
        { "disk.xvda", NULL, "disk.xvda: disk.VDEV=PATH it must be", 0 },
        { "disks.xvda=/a", NULL, "disks.xvda: no such key", 0 },
        { "disk.a=1,disk.b=2,disk.c=3,disk.d=4", "a=1",
          "disk.d d=4: at most 3 of them", 3 },
        { "no", NULL, "no: not here", 0 },
        { "no=1", NULL, "no: not here", 0 },
        { "no=0", NULL, "", 0 },
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct xlc_error err = XLC_ERROR_INIT;
        struct pairs p = { .n = 0 };
        char text[80];
        int r;

        snprintf(text, sizeof(text), "%s", t[i].text);
        r = opts_text(pair_opts, 3, &p, NULL, text, &err);
        ok(!r == !*t[i].says && !strcmp(err.msg, t[i].says) &&
           p.n == t[i].n && (!p.n || !strcmp(p.list[0], t[i].first)),
           "%s: %s", t[i].text, err.msg);
    }
}

static void test_yield(void)
{
    struct pairs file = { { "xvda=/a", "xvdb=/b", "xvd=/c" },
                          { "1", "2" }, 3, 2 };
    struct pairs line = { { "xvdb=/z", "xvdc=/y" }, { "3" }, 2, 0 };
    const struct pairs none = { .n = 0 };

    opts_yield(pair_opts, 3, &file, &none);
    ok(file.n == 3 && file.m == 2, "nothing stronger: all stays");
    opts_yield(pair_opts, 3, &file, &line);
    ok(file.n == 2 && !strcmp(file.list[0], "xvda=/a") &&
       !strcmp(file.list[1], "xvd=/c") && file.m == 2,
       "of pairs those with the same key go");
    line.m = 1;
    opts_yield(pair_opts, 3, &file, &line);
    ok(file.n == 2 && file.m == 0, "of others all");
}

int main(void)
{
    test_config();
    test_config_refused();
    test_config_text();
    test_yield();
    parse(NULL, NULL, NULL, NULL);
    return done_testing();
}
