/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-xl-options.c - What `xl` understands on its command line */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "distrib.h"
#include "guard.h"
#include "number.h"
#include "parse-line.h"
#include "tap.h"
#include "xl.h"

#define ARGS_MAX PARSE_LINE_ARGS

/* ---- Numbers ------------------------------------------------------------ */

static void test_numbers(void)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t v;
    } t[] = {
        { "0", true, 0 },
        { "200", true, 200 },
        { "007", true, 7 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "99999999999999999999", false, 0 },
        { "", false, 0 }, { " 1", false, 0 }, { "1 ", false, 0 },
        { "+1", false, 0 }, { "-1", false, 0 }, { "0x10", false, 0 },
        { "1.5", false, 0 }, { "1k", false, 0 }, { "ms", false, 0 },
    }, sizes[] = {
        { "1048576", true, 1048576 },
        { "64K", true, 65536 }, { "64k", true, 65536 },
        { "2M", true, 2 << 20 }, { "2m", true, 2 << 20 },
        { "1G", true, 1 << 30 }, { "1024G", true, 1ull << 40 },
        { "17179869183G", true, 17179869183ull << 30 },
        { "17179869184G", false, 0 },
        { "", false, 0 }, { "G", false, 0 }, { "1T", false, 0 },
        { "1 ", false, 0 }, { "1GB", false, 0 }, { "1.5G", false, 0 },
        { "-1G", false, 0 }, { "1+", false, 0 },
        { "0000000000000000000000000001", false, 0 },
    };
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        uint64_t v = 4711;

        pass &= number_parse(t[i].text, &v) == t[i].good &&
                v == (t[i].good ? t[i].v : 4711);
    }
    ok(pass, "numbers are decimal digits and nothing else");
    pass = true;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t v = 4711;

        pass &= opts_size(sizes[i].text, &v) == sizes[i].good &&
                v == (sizes[i].good ? sizes[i].v : 4711);
    }
    ok(pass, "sizes may end in K, M or G");
}

/* ---- xl remus ----------------------------------------------------------- */

static void test_defaults(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct remus_args a;
    char *keep = NULL;

    ok(!parse(&a, "web1 host2", &keep, &err) &&
       !strcmp(a.o.domain, "web1") && !strcmp(a.o.host, "host2") &&
       !strcmp(a.o.ssh, "ssh") && a.o.interval_ms == 200 &&
       a.o.heartbeat_ms == 100 && a.o.limit_ms == 1000 &&
       a.o.suspend_ms == 5000 && !a.o.port && !a.o.npeers &&
       !a.notes.n, "defaults");
    ok(!a.o.unsafe && !a.o.no_net && !a.o.no_disk && !a.o.no_monitor &&
       !a.o.plaintext && !a.o.quiet && !a.o.verbose, "all flags are off");
    free(keep);
}

/* Each option alone, in its place. */
static void test_each(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct remus_args a;
    char *keep = NULL;

#define GOOD(line, cond)                                             \
    do {                                                             \
        int r_ = parse(&a, line, &keep, &err);                       \
        ok(!r_ && (cond), "%s%s%s", line, r_ ? ": " : "", err.msg);  \
        free(keep);                                                  \
    } while (0)
    GOOD("-i 50 d h", a.o.interval_ms == 50);
    GOOD("-i50 d h", a.o.interval_ms == 50);
    GOOD("--interval 50 d h", a.o.interval_ms == 50);
    GOOD("--interval=50 d h", a.o.interval_ms == 50);
    GOOD("--int 50 d h", a.o.interval_ms == 50);
    GOOD("d -i 50 h", a.o.interval_ms == 50 && !strcmp(a.o.host, "h"));
    GOOD("d h -i 50", a.o.interval_ms == 50);
    GOOD("-i 10 d h", a.o.interval_ms == 10);
    GOOD("-i 60000 d h", a.o.interval_ms == 60000);
    GOOD("-i 1000 -i 50 d h", a.o.interval_ms == 50);
    GOOD("-s rsh d h", !strcmp(a.o.ssh, "rsh"));
    GOOD("-s '' d run", !strcmp(a.o.ssh, "") && !strcmp(a.o.host, "run"));
    GOOD("-s '' -- d -run", !strcmp(a.o.host, "-run"));
    GOOD("-e d h", a.o.no_monitor);
    GOOD("-F d h", a.o.unsafe && !a.o.no_net && !a.o.no_disk);
    GOOD("-F -n d h", a.o.unsafe && a.o.no_net && !a.o.no_disk);
    GOOD("-F -d d h", a.o.unsafe && !a.o.no_net && a.o.no_disk);
    GOOD("-Fnd d h", a.o.unsafe && a.o.no_net && a.o.no_disk);
    GOOD("-n d h -dF", a.o.unsafe && a.o.no_net && a.o.no_disk);
    GOOD("-Fnde -i 100 d h", a.o.no_monitor && a.o.interval_ms == 100);
    GOOD("--port 7000 d h", a.o.port == 7000);
    GOOD("--port 0 d h", a.o.port == 0);
    GOOD("--port 65535 d h", a.o.port == 65535);
    GOOD("--heartbeat 50 d h", a.o.heartbeat_ms == 50);
    GOOD("--limit 300 d h", a.o.limit_ms == 300);
    GOOD("--link-timeout 5000 d h", a.o.limit_ms == 5000);
    GOOD("--limit 30 --heartbeat 10 d h", a.o.limit_ms == 30);
    GOOD("--heartbeat 400 --limit 1200 d h", a.o.heartbeat_ms == 400);
    GOOD("--suspend-timeout 100 d h", a.o.suspend_ms == 100);
    GOOD("--staging-limit 2G d h", a.o.staging_bytes == 2ull << 30);
    GOOD("--staging-limit 1024G d h", a.o.staging_bytes == 1ull << 40);
    GOOD("--netbuf-limit 131072 d h", a.o.netbuf_bytes == 131072);
    GOOD("--plaintext d h", a.o.plaintext);
    GOOD("--colo --mode=remus d h", a.o.colo);
    GOOD("--mode remus d h", !a.o.colo && a.o.mode == XLC_MODE_REMUS);
    GOOD("d h", !a.o.colo && a.o.mode == XLC_MODE_REMUS);
    GOOD("-c d h", a.o.colo && a.o.mode == XLC_MODE_AUTO);
    GOOD("-c -p d h", a.o.colo && a.notes.n == 1);
    GOOD("--mode auto d h", a.o.colo && a.o.mode == XLC_MODE_AUTO);
    GOOD("--colo --mode=colo d h", a.o.colo && a.o.mode == XLC_MODE_COLO);
    GOOD("--colo --mode=remus -Fn d h", a.o.mode == XLC_MODE_REMUS);
    GOOD("--colo --set late-limit=7 --set min-run=20 d h",
         a.o.nsettings == 2 && !strcmp(a.o.settings[1], "min-run=20"));
    GOOD("--quiet d h", a.o.quiet);
    GOOD("--verbose d h", a.o.verbose);
    GOOD("--peer 10.0.0.2 d h", a.o.npeers == 1 &&
         !strcmp(a.o.peers[0], "10.0.0.2"));
    GOOD("--peer a --peer=b d --peer c h --peer d", a.o.npeers == 4 &&
         !strcmp(a.o.peers[1], "b") && !strcmp(a.o.peers[3], "d") &&
         !strcmp(a.o.domain, "d") && !strcmp(a.o.host, "h"));
    GOOD("-u d h", a.notes.n == 1 && strstr(a.notes.text[0], "-u"));
    GOOD("-uuu d h", a.notes.n == 1);
    GOOD("-- -d h", !strcmp(a.o.domain, "-d"));
    GOOD("42 h", !strcmp(a.o.domain, "42"));
#undef GOOD
}

static void test_refused(void)
{
    static const struct {
        const char *line, *says;
    } t[] = {
        { "", "which domain" },
        { "d", "which domain" },
        { "d h x", "x: one argument too many" },
        { "'' h", "empty" },
        { "d ''", "empty" },
        { "-- d -oProxyCommand=x", "is no host" },
        { "-i 9 d h", "-i 9: it must be 10 to 60000 milliseconds" },
        { "-i 60001 d h", "-i 60001: it must be 10 to 60000" },
        { "-i 0 d h", "-i 0: it must be" },
        { "-i -5 d h", "-i -5: it must be" },
        { "-i 1s d h", "-i 1s: it must be" },
        { "--interval=fast d h", "--interval fast: it must be" },
        { "--int 4294967496 d h", "--interval 4294967496: it must be" },
        { "d h -i", "-i: needs an argument" },
        { "d h --interval", "--interval: needs an argument" },
        { "d h --plaintext=yes", "--plaintext takes no argument" },
        { "--port 65536 d h", "--port 65536: it must be 0 to 65535" },
        { "--port ssh d h", "--port ssh: it must be" },
        { "--heartbeat 9 d h", "it must be 10 to 60000 milliseconds" },
        { "--limit 29 d h", "it must be 30 to 3600000 milliseconds" },
        { "--limit 3600001 d h", "it must be 30 to 3600000" },
        { "--link-timeout 29 d h", "--link-timeout 29: it must be" },
        { "--limit 299 d h", "at least 3 heartbeats of 100" },
        { "--heartbeat 400 d h", "--limit 1000: it must be at least 3" },
        { "--suspend-timeout 99 d h", "it must be 100 to 120000" },
        { "--staging-limit 16383K d h", "it must be 16M to 1024G" },
        { "--staging-limit 1025G d h", "it must be 16M to 1024G" },
        { "--netbuf-limit 127K d h", "it must be 128K to 1G" },
        { "--netbuf-limit 2G d h", "it must be 128K to 1G" },
        { "--peer '' d h", "--peer: an empty ADDRESS" },
        { "--peer 1 --peer 2 --peer 3 --peer 4 --peer 5 d h",
          "--peer 5: at most 4 of them" },
        { "-n d h", "unsafe mode must be enabled (-F)" },
        { "-d d h", "unsafe mode must be enabled (-F)" },
        { "-b d h", "-b: replicating to nowhere is left to" },
        { "-F -b d h", "/usr/lib/xen-*/bin/xl remus" },
        { "-N /script d h", "-N: a network buffer script" },
        { "--colo --mode fast d h", "--mode fast: it must be auto, colo or" },
        { "-F -n --colo d h", "-n: while the copy runs beside the guest" },
        { "--set late-limit=7 d h", "--set: late-limit 7: it would change "
          "nothing" },
        { "--colo --set late-limit d h", "--set: 'late-limit': it must be "
          "key=value" },
        { "--colo --set late-limit=0 d h", "--set: late-limit 0: it must be "
          "1 to 60000" },
        { "--colo --set fast=1 d h", "--set: fast: no setting" },
        { "--colo --set mode=colo d h", "--set: mode: --mode says that" },
        { "-x d h", "-x: no such option" },
        { "--frobnicate d h", "--frobnicate: no such option" },
        { "--p 1 d h", "--p: no such option" }, /* peer, port, plaintext */
        { "-Fx d h", "-x: no such option" },
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct xlc_error err = XLC_ERROR_INIT;
        struct remus_args a;
        char *keep = NULL;
        int r = parse(&a, t[i].line, &keep, &err);

        if (!ok(r == -EINVAL && strstr(err.msg, t[i].says), "%s: %s",
                t[i].line, err.msg))
            printf("# wanted: %s\n", t[i].says);
        free(keep);
    }
}

static void test_help(void)
{
    static const char *const lines[] = { "-h", "--help", "d -h", "--hel" };
    struct xlc_error err = XLC_ERROR_INIT;
    struct remus_args a;
    char *keep = NULL, *text = NULL;
    size_t size;
    bool pass = true;
    FILE *f;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        pass &= parse(&a, lines[i], &keep, &err) == OPTS_HELP && !err.status;
        free(keep);
    }
    ok(pass, "help wherever it is asked for");

    f = open_memstream(&text, &size);
    for (const struct xl_command *c = xl_commands; c->name; c++)
        xl_command_help(f, c);
    fclose(f);
    pass = strstr(text, "--suspend-timeout MS") && strstr(text, "--resume");
    for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1)
        if (end - p > 80) {
            pass = false;
            printf("# %.*s\n", (int)(end - p), p);
        }
    ok(pass, "all help fits in 80 columns");
    free(text);
}

/* ---- xl itself ---------------------------------------------------------- */

static void test_globals(void)
{
    static const struct {
        const char *line;
        int command;
        unsigned int verbose;
        bool dry_run, unknown;
    } t[] = {
        { "xl", 1, 0, false, false },
        { "xl list", 1, 0, false, false },
        { "xl -v list", 2, 1, false, false },
        { "xl -vvv list -v", 2, 3, false, false },
        { "xl -vf -tTN create x", 3, 1, true, false },
        { "xl -f -N -t -T -v remus", 6, 1, true, false },
        { "xl -- list", 2, 0, false, false },
        { "xl -v -- -v", 3, 1, false, false },
        { "xl -", 1, 0, false, false },
        { "xl '' -v", 1, 0, false, false },
        { "xl -x list", 2, 0, false, true },
        { "xl -vx", 2, 1, false, true },
        { "xl --help", 2, 0, false, true },
    };
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char line[80], *argv[ARGS_MAX];
        struct xl_globals g;

        snprintf(line, sizeof(line), "%s", t[i].line);
        xl_globals_parse(&g, split(line, argv), argv);
        if (g.command == t[i].command && g.verbose == t[i].verbose &&
            g.dry_run == t[i].dry_run && g.unknown == t[i].unknown)
            continue;
        pass = false;
        printf("# %s: command %d\n", t[i].line, g.command);
    }
    ok(pass, "global options, as stock reads them");
}

static void test_find(void)
{
    static const struct {
        const char *typed, *means;
    } t[] = {
        { "remus", "remus" }, { "remu", "remus" }, { "rem", "remus" },
        { "re", NULL }, { "r", NULL }, { "", NULL }, { "ren", NULL },
        { "remus-", NULL }, { "remus-s", NULL }, { "remus-st", NULL },
        { "remus-sta", "remus-status" }, { "remus-sto", "remus-stop" },
        { "remus-stop", "remus-stop" }, { "remus-stopp", NULL },
        { "remus-c", "remus-checkpoint" }, { "remus-f", "remus-failover" },
        { "remus-r", NULL }, { "remus-rec", "remus-receive" },
        { "remus-se", "remus-set" }, { "list", NULL }, { "help", NULL },
        { "migrate-receive", NULL }, { "Remus", NULL },
    };
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        const struct xl_command *c = xl_command_find(t[i].typed);

        if (t[i].means ? c && !strcmp(c->name, t[i].means) : !c) continue;
        pass = false;
        printf("# %s\n", t[i].typed);
    }
    ok(pass, "our subcommands and what abbreviates them");
}

/* ---- The guarded commands ----------------------------------------------- */

static void test_guarded(void)
{
    static const struct {
        const char *typed, *means;
        bool exact;
    } t[] = {
        { "destroy", "destroy", true }, { "des", "destroy", false },
        { "shutdown", "shutdown", true }, { "shu", "shutdown", false },
        { "reboot", "reboot", true }, { "migrate", "migrate", true },
        { "migrate-receive", NULL, false }, { "list", NULL, false },
        { "console", NULL, false }, { "create", NULL, false },
        { "", NULL, false }, { "block-list", NULL, false },
        { "vcpu-list", NULL, false }, { "vcpu-pin", NULL, false },
        { "restore", NULL, false }, { "dump-core", NULL, false },
        { "block-attach", "block-attach", true },
        { "usbdev-detach", "usbdev-detach", true },
        { "pause", "pause", true }, { "paused", NULL, false },
    };
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        bool exact;
        const struct guarded *g = guarded_find(t[i].typed, &exact);

        if ((t[i].means ? g && !strcmp(g->name, t[i].means) : !g) &&
            exact == t[i].exact)
            continue;
        pass = false;
        printf("# %s\n", t[i].typed);
    }
    ok(pass, "which stock commands are guarded");
}

static void test_operand(void)
{
    static const struct {
        const char *line, *domain; /* "*" is all, NULL is none */
    } t[] = {
        { "destroy web1", "web1" }, { "destroy -f web1", "web1" },
        { "destroy web1 -f", "web1" }, { "destroy", NULL },
        { "destroy -h web1", NULL }, { "destroy --help web1", NULL },
        { "destroy -x web1", NULL }, { "destroy -- -f", "-f" },
        { "shutdown web1", "web1" }, { "shutdown -w web1", "web1" },
        { "shutdown web1 -wF", "web1" }, { "shutdown -a", "*" },
        { "shutdown -aw", "*" }, { "shutdown --all", "*" },
        { "shutdown --wait web1", "web1" }, { "shutdown --al", "*" },
        { "shutdown", NULL }, { "shutdown -w", NULL },
        { "reboot -aF", "*" }, { "reboot web1", "web1" },
        { "save -c web1 file", "web1" }, { "save web1 file cfg", "web1" },
        { "migrate -s rsh web1 host", "web1" },
        { "migrate --debug -C cfg web1 host", "web1" },
        { "migrate web1 host -s rsh", "web1" },
        { "vcpu-set -i web1 2", "web1" },
        { "vcpu-set --ignore-host web1 2", "web1" },
        { "block-detach --force web1 xvda", "web1" },
        { "block-attach web1 phy:/x,xvdb,w", "web1" },
        { "mem-set 7 512m", "7" }, { "rename '' x", "" },
        { "pci-detach -f web1 0:1.0", "web1" },
    };
    bool pass = true;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char line[80], *argv[ARGS_MAX], *was[ARGS_MAX];
        const char *domain = NULL;
        bool exact, r;
        int argc;

        snprintf(line, sizeof(line), "%s", t[i].line);
        argc = split(line, argv);
        memcpy(was, argv, sizeof(was));
        r = guarded_operand(guarded_find(argv[0], &exact), argc, argv,
                            &domain);
        r = !t[i].domain ? !r : r && (t[i].domain[0] == '*' ? !domain :
                                      domain &&
                                      !strcmp(domain, t[i].domain));
        if (r && !memcmp(was, argv, (size_t)argc * sizeof(*argv))) continue;
        pass = false;
        printf("# %s: %s\n", t[i].line, domain ? domain : "-");
    }
    ok(pass, "the domain among a command's arguments, which stay in order");
}

/* ---- The distribution's xl ----------------------------------------------- */

static const char *below(const char *root, const char *path)
{
    static char full[PATH_MAX];

    snprintf(full, sizeof(full), "%s%s", root, path);
    return full;
}

/* A file below @root, with all directories on the way to it. */
static void put(const char *root, const char *path, const char *text,
                mode_t mode)
{
    char full[PATH_MAX];
    FILE *f;

    snprintf(full, sizeof(full), "%s", below(root, path));
    unlink(full);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0700);
        *p = '/';
    }
    f = fopen(full, "w");
    if (!f) exit(1);
    fputs(text, f);
    fclose(f);
    chmod(full, mode);
}

static bool finds(const char *root, const char *path)
{
    struct xlc_error err = XLC_ERROR_INIT;
    char found[PATH_MAX] = "";
    int r = distrib_find(found, root, &err);

    if (!path) return r == -ENOENT && err.msg[0];
    if (!r && !strcmp(found + strlen(root), path)) return true;
    printf("# %s, %s\n", found, err.msg);
    return false;
}

static void test_distrib(void)
{
    char root[] = "/tmp/test-xl-options-XXXXXX", cmd[80];

    if (!mkdtemp(root)) exit(1);
    unsetenv(DISTRIB_ENV);
    ok(finds(root, NULL), "no distribution's xl is an error");
    put(root, "/usr/lib/xen-4.9/bin/xl", "x", 0755);
    put(root, "/usr/lib/xen-4.17/bin/xl", "x", 0755);
    put(root, "/usr/lib/xen-4.20/bin/xl", "x", 0644);
    ok(finds(root, "/usr/lib/xen-4.17/bin/xl"),
       "the newest that can be run, if nothing else is known");
    put(root, "/usr/sbin/xl", "x", 0755);
    ok(finds(root, "/usr/sbin/xl"), "/usr/sbin/xl before that");
    put(root, "/sys/hypervisor/version/major", "4\n", 0444);
    put(root, "/sys/hypervisor/version/minor", ".9\n", 0444);
    ok(finds(root, "/usr/lib/xen-4.9/bin/xl"), "the running one's first");
    put(root, "/sys/hypervisor/version/minor", "17\n", 0444);
    ok(finds(root, "/usr/lib/xen-4.17/bin/xl"), "with or without its dot");
    put(root, "/sys/hypervisor/version/minor", "../../x\n", 0644);
    ok(finds(root, "/usr/sbin/xl"), "a version is digits");
    put(root, "/sys/hypervisor/version/minor", "20\n", 0644);
    ok(finds(root, "/usr/sbin/xl"), "what can't be run is passed over");
    setenv(DISTRIB_ENV, below(root, "/usr/sbin/xl"), 1);
    ok(finds("", below(root, "/usr/sbin/xl")), "$" DISTRIB_ENV);
    setenv(DISTRIB_ENV, "/nowhere", 1);
    ok(finds(root, NULL), "alone, if it is set");
    snprintf(cmd, sizeof(cmd), "rm -r %s", root);
    ok(system(cmd) == 0, "nothing is left behind");
}

int main(void)
{
    test_numbers();
    test_defaults();
    test_each();
    test_refused();
    parse(NULL, NULL, NULL, NULL);
    test_help();
    test_globals();
    test_find();
    test_guarded();
    test_operand();
    test_distrib();
    return done_testing();
}
