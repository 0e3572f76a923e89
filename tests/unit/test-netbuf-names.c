/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-netbuf-names.c - Names, handles and the command line of remus-netbuf */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "netbuf-args.h"
#include "netbuf-name.h"
#include "tap.h"

/* What no ifb of ours is called. Several are one step from a good name. */
static const char *const hostile[] = {
    "", "r", "rb", "rb.", "rb1", "rb1.", "rb.1", "rb.e", "rb1.e", "rb1.2ee",
    "rb1.2E", "rb1.2-emu", "rb1.2 ", " rb1.2", "RB1.2", "rb 1.2", "rb1 .2",
    "rb1. 2", "rb+1.2", "rb-1.2", "rb1.-2", "rb01.2", "rb1.02", "rb00.0",
    "rb1.00", "rb1,2", "rb1.2.3", "rb1..2", "rb0x1.2", "rb1.0x2",
    "rb32752.0", "rb65535.0", "rb99999.0", "rb4294967296.0",
    "rb4294967297.0", "rb1.32768", "rb1.99999", "rb1.4294967296",
    "rb18446744073709551617.0", "rb99999999999999999999999999999.1",
    "rb1.99999999999999999999999999999", "rb1.2\n", "rb1.2\x01", "vif1.2",
    "ifb0", "rbx.y", "rb1.2/..", "../rb1.2", "rb\xc2\xb2.1",
};

static void test_name(void)
{
    static const struct {
        struct netbuf_port port;
        const char *name;
    } good[] = {
        { { 0, 0, false }, "rb0.0" },
        { { 3, 0, false }, "rb3.0" },
        { { 3, 0, true }, "rb3.0e" },
        { { 10, 12, false }, "rb10.12" },
        { { NETBUF_DOMID_MAX, NETBUF_DEVID_MAX, true }, "rb32751.32767e" },
    };
    struct netbuf_port p;
    char name[IFNAMSIZ];
    unsigned int i;
    bool same = true, back = true;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        memset(name, 'x', sizeof(name));
        same &= netbuf_name_format(name, &good[i].port) == 0 &&
                strcmp(name, good[i].name) == 0;
        back &= netbuf_name_parse(good[i].name, &p) == 0 &&
                netbuf_port_same(&p, &good[i].port);
    }
    ok(same, "ports have the names that are documented");
    ok(back, "names give the ports back");
}

static void test_range(void)
{
    static const struct netbuf_port bad[] = {
        { NETBUF_DOMID_MAX + 1, 0, false }, { 65535, 0, false },
        { UINT32_MAX, 0, false }, { 1, NETBUF_DEVID_MAX + 1, false },
        { 1, UINT32_MAX, true },
    };
    char name[IFNAMSIZ];
    unsigned int i;
    bool all = true;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(name, sizeof(name), "untouched");
        all &= netbuf_name_format(name, &bad[i]) == -ERANGE &&
               strcmp(name, "untouched") == 0;
    }
    ok(all, "numbers that don't fit are refused and write nothing");
}

static void test_hostile_names(void)
{
    const struct netbuf_port before = { 7, 7, true };
    struct netbuf_port p;
    unsigned int i;

    for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        char shown[64];

        p = before;
        xlc_sanitise(shown, sizeof(shown), hostile[i],
                     (unsigned int)strlen(hostile[i]));
        ok(netbuf_name_parse(hostile[i], &p) == -EINVAL &&
               netbuf_port_same(&p, &before),
           "'%s' is no name of ours and changes nothing", shown);
    }
}

static void test_handle(void)
{
    struct netbuf_port p = { 0, 0, false }, q;
    uint32_t last = 0, h;
    bool all = true, apart = true;

    for (p.domid = 0; p.domid <= NETBUF_DOMID_MAX; p.domid += 127)
        for (p.devid = 0; p.devid <= NETBUF_DEVID_MAX; p.devid += 1021) {
            p.emulated = p.devid & 1;
            h = netbuf_handle(&p);
            all &= netbuf_handle_parse(h, &q) == 0 &&
                   netbuf_port_same(&p, &q);
            apart &= h != last;
            last = h;
        }
    ok(all && apart, "a handle gives its port back");
    ok(netbuf_handle_parse(0, &q) == -EINVAL &&
           netbuf_handle_parse(1, &q) == -EINVAL &&
           netbuf_handle_parse(0x7fffffff, &q) == -EINVAL,
       "handles that the kernel numbers are not ours");
    ok(netbuf_handle_parse(0xffffffff, &q) == -EINVAL &&
           netbuf_handle_parse(0x80000000u | 0x7ff0u << 16, &q) == -EINVAL,
       "a handle with a reserved domid is not ours");
}

/* Parse up to 5 words behind the program's name; @a as it was on failure. */
static int parse(struct netbuf_args *a, struct xlc_error *err,
                 const char *w0, const char *w1, const char *w2,
                 const char *w3, const char *w4)
{
    const char *words[] = { "remus-netbuf", w0, w1, w2, w3, w4 };
    char *argv[7] = { NULL };
    int argc = 0;

    while (argc < 6 && words[argc]) {
        argv[argc] = (char *)(uintptr_t)words[argc];
        argc++;
    }
    memset(a, 0x5a, sizeof(*a));
    xlc_error_clear(err);
    return netbuf_args_parse(argc, argv, a, err);
}

static void test_args(void)
{
    struct netbuf_args a;
    struct xlc_error err = XLC_ERROR_INIT;

    ok(!parse(&a, &err, "list", NULL, NULL, NULL, NULL) &&
           a.cmd == NETBUF_CMD_LIST && !a.json, "list");
    ok(!parse(&a, &err, "list", "--json", NULL, NULL, NULL) &&
           a.cmd == NETBUF_CMD_LIST && a.json, "list --json");
    ok(!parse(&a, &err, "--json", "list", NULL, NULL, NULL) && a.json,
       "an option may come first");
    ok(!parse(&a, &err, "clear", "12", NULL, NULL, NULL) &&
           a.cmd == NETBUF_CMD_CLEAR && a.domid == 12 && !a.all &&
           !a.discard, "clear 12");
    ok(!parse(&a, &err, "clear", "0", NULL, NULL, NULL) && a.domid == 0,
       "clear 0");
    ok(!parse(&a, &err, "clear", "--discard", "all", NULL, NULL) && a.all &&
           a.discard, "clear --discard all");
    ok(!parse(&a, &err, "clear", "--", "5", NULL, NULL) && a.domid == 5,
       "-- ends the options");
    ok(!parse(&a, &err, "--help", NULL, NULL, NULL, NULL) &&
           a.cmd == NETBUF_CMD_HELP, "--help needs no operand");
    ok(!parse(&a, &err, "-V", "whatever", NULL, NULL, NULL) &&
           a.cmd == NETBUF_CMD_VERSION, "-V takes no interest in operands");
}

static void test_bad_args(void)
{
    static const struct {
        const char *w[5];
        const char *sentence; /* a part of it */
    } bad[] = {
        { { NULL }, "what to do is missing" },
        { { "" }, "unknown command ''" },
        { { "-" }, "unknown command '-'" },
        { { "lists" }, "unknown command 'lists'" },
        { { "list", "3" }, "list takes no operand: '3'" },
        { { "list", "--discard" }, "--discard goes with clear" },
        { { "clear" }, "is missing" },
        { { "clear", "all", "3" }, "too many operands: '3'" },
        { { "clear", "3", "--json" }, "--json goes with list" },
        { { "clear", "-3" }, "unknown option '-3'" },
        { { "clear", "--", "-3" }, "'-3'" },
        { { "clear", "+3" }, "'+3'" },
        { { "clear", " 3" }, "' 3'" },
        { { "clear", "3 " }, "'3 '" },
        { { "clear", "03" }, "'03'" },
        { { "clear", "0x3" }, "'0x3'" },
        { { "clear", "3.0" }, "'3.0'" },
        { { "clear", "" }, "''" },
        { { "clear", "32752" }, "'32752'" },
        { { "clear", "4294967299" }, "'4294967299'" },
        { { "clear", "18446744073709551619" }, "'18446744073709551619'" },
        { { "clear", "ALL" }, "'ALL'" },
        { { "clear", "guest" }, "not a domain's number" },
        { { "clear", "\x1b[31mred" }, "'?[31mred'" },
        { { "--jsonx", "list" }, "unknown option '--jsonx'" },
        { { "-x" }, "unknown option '-x'" },
    };
    struct netbuf_args a, before;
    struct xlc_error err = XLC_ERROR_INIT;
    unsigned int i;

    memset(&before, 0x5a, sizeof(before));
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int r = parse(&a, &err, bad[i].w[0], bad[i].w[1], bad[i].w[2],
                      bad[i].w[3], bad[i].w[4]);

        ok(r == -EINVAL && strstr(err.msg, bad[i].sentence) &&
               !memcmp(&a, &before, sizeof(a)),
           "refused: %s", err.msg);
    }
}

int main(void)
{
    test_name();
    test_range();
    test_hostile_names();
    test_handle();
    test_args();
    test_bad_args();
    return done_testing();
}
