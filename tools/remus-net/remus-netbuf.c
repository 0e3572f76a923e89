/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * remus-netbuf.c - The command: look at network buffers, clear what is left
 *
 * Works on the kernel's state alone, so it needs neither Xen nor the process
 * that made a buffer.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_gen.h>

#include "cleanup.h"
#include "log.h"
#include "netbuf-args.h"
#include "netbuf-lock.h"
#include "netbuf.h"
#include "plane.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* More than this many may come up between two looks: then once again. */
#define ROOM_SPARE 8

static const char help[] =
    "Usage: remus-netbuf list [--json]\n"
    "       remus-netbuf clear [--discard] DOMID|all\n"
    "\n"
    "Shows the network buffers of protected domains, or removes what a\n"
    "process that died left behind. What is held is let go first; with\n"
    "--discard it is thrown away. See remus-netbuf(8) before choosing.\n"
    "\n"
    "  -h, --help     this text\n"
    "  -V, --version  the version\n";

static int fail(const struct xlc_error *err)
{
    fprintf(stderr, "remus-netbuf: %s\n", err->msg);
    return NETBUF_EXIT_FAILURE;
}

static int by_domain(const void *a, const void *b)
{
    const struct netbuf_stat *x = a, *y = b;

    if (x->domid != y->domid) return x->domid < y->domid ? -1 : 1;
    if (x->devid != y->devid) return x->devid < y->devid ? -1 : 1;
    return (int)x->emulated - (int)y->emulated;
}

/* All buffers, sorted. Return: how many, or a negative errno. */
static int scan(struct netbuf_stat **list, struct xlc_error *err)
{
    unsigned int room = 0;
    int n = 0;

    do {
        free(*list);
        room = (unsigned int)n + ROOM_SPARE;
        *list = calloc(room, sizeof(**list));
        if (!*list) return xlc_error_set(err, -ENOMEM, "out of memory");
        n = netbuf_scan(*list, room, err);
    } while (n > (int)room);
    if (n > 0) qsort(*list, (size_t)n, sizeof(**list), by_domain);
    return n;
}

/* All vifs whose packets go through a proxy. */
static int scan_planes(struct plane_seen **list, struct xlc_error *err)
{
    unsigned int room = 0;
    int n = 0;

    do {
        free(*list);
        room = (unsigned int)n + ROOM_SPARE;
        *list = calloc(room, sizeof(**list));
        if (!*list) return xlc_error_set(err, -ENOMEM, "out of memory");
        n = plane_scan(*list, room, err);
    } while (n > (int)room);
    return n;
}

/* A vif with a proxy as a line of the list: what that holds, it alone knows. */
static struct netbuf_stat plane_stat(const struct plane_seen *p)
{
    struct netbuf_stat s = {
        .domid = p->port.domid,
        .devid = p->port.devid,
        .emulated = p->port.emulated,
        .cut = !p->served,
    };

    memcpy(s.vif, p->vif, sizeof(s.vif));
    return s;
}

/* An interface's name as text; a dash for none. */
static void show_name(char out[IFNAMSIZ], const char *name)
{
    xlc_sanitise(out, IFNAMSIZ, *name ? name : "-",
                 *name ? (unsigned int)strnlen(name, IFNAMSIZ) : 1);
}

static void print_header(void)
{
    printf("%5s %5s %-15s %-15s %9s %12s %9s  %-5s %s\n", "DOMID", "DEVID",
           "VIF", "BUFFER", "PACKETS", "BYTES", "DROPS", "OWNER", "STATE");
}

static void print_line(const struct netbuf_stat *s, const char *buffer,
                       bool alive)
{
    char vif[IFNAMSIZ], shown[IFNAMSIZ];

    show_name(vif, s->vif);
    show_name(shown, buffer);
    printf("%5u %5u %-15s %-15s %9llu %12llu %9llu  %-5s %s\n",
           (unsigned int)s->domid, (unsigned int)s->devid, vif, shown,
           (unsigned long long)s->held_packets,
           (unsigned long long)s->held_bytes, (unsigned long long)s->drops,
           alive ? "alive" : "none", s->cut ? "cut" : "-");
}

/**
 * struct listed - all there is
 * @buffers, @n: network buffers; @planes, @m: vifs with a proxy
 */
struct listed {
    struct netbuf_stat *buffers;
    struct plane_seen *planes;
    int n, m;
};

static void print_table(const struct listed *l)
{
    if (l->n + l->m) print_header();
    for (int i = 0; i < l->n; i++)
        print_line(&l->buffers[i], l->buffers[i].ifb,
                   netbuf_owner_alive(l->buffers[i].domid));
    for (int i = 0; i < l->m; i++) {
        struct netbuf_stat s = plane_stat(&l->planes[i]);

        print_line(&s, "(proxy)", l->planes[i].served);
    }
}

static void gen_text(yajl_gen g, const char *text)
{
    yajl_gen_string(g, (const unsigned char *)text, strlen(text));
}

static void gen_name(yajl_gen g, const char *key, const char *name)
{
    char shown[IFNAMSIZ];

    gen_text(g, key);
    if (*name) {
        show_name(shown, name);
        gen_text(g, shown);
    } else {
        yajl_gen_null(g);
    }
}

static void gen_count(yajl_gen g, const char *key, uint64_t value)
{
    gen_text(g, key);
    yajl_gen_integer(g, (long long)value);
}

static void gen_flag(yajl_gen g, const char *key, bool value)
{
    gen_text(g, key);
    yajl_gen_bool(g, value);
}

static void gen_stat(yajl_gen g, const struct netbuf_stat *s, bool proxy,
                     bool alive)
{
    yajl_gen_map_open(g);
    gen_count(g, "domid", s->domid);
    gen_count(g, "devid", s->devid);
    gen_flag(g, "emulated", s->emulated);
    gen_name(g, "vif", s->vif);
    gen_name(g, "buffer", s->ifb);
    gen_count(g, "held_packets", s->held_packets);
    gen_count(g, "held_bytes", s->held_bytes);
    gen_count(g, "drops_packets", s->drops);
    gen_flag(g, "cut", s->cut);
    gen_flag(g, "proxy", proxy);
    gen_flag(g, "owner_alive", alive);
    yajl_gen_map_close(g);
}

static int print_json(const struct listed *l, struct xlc_error *err)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;

    if (!g) return xlc_error_set(err, -ENOMEM, "out of memory");
    yajl_gen_config(g, yajl_gen_beautify, 1);
    yajl_gen_array_open(g);
    for (int i = 0; i < l->n; i++)
        gen_stat(g, &l->buffers[i], false,
                 netbuf_owner_alive(l->buffers[i].domid));
    for (int i = 0; i < l->m; i++) {
        struct netbuf_stat s = plane_stat(&l->planes[i]);

        gen_stat(g, &s, true, l->planes[i].served);
    }
    /* A failure before shows here: the document is not complete then. */
    if (yajl_gen_array_close(g) != yajl_gen_status_ok ||
        yajl_gen_get_buf(g, &text, &len) != yajl_gen_status_ok) {
        yajl_gen_free(g);
        return xlc_error_set(err, -ENOMEM, "can't make JSON");
    }
    fwrite(text, 1, len, stdout);
    yajl_gen_free(g);
    return 0;
}

static int do_list(const struct netbuf_args *args, struct xlc_error *err)
{
    CLEANUP_FREE struct netbuf_stat *buffers = NULL;
    CLEANUP_FREE struct plane_seen *planes = NULL;
    struct listed l = { .n = scan(&buffers, err) };

    if (l.n >= 0) l.m = scan_planes(&planes, err);
    if (l.n < 0 || l.m < 0) return fail(err);
    l.buffers = buffers;
    l.planes = planes;
    if (args->json) {
        if (print_json(&l, err)) return fail(err);
    } else {
        print_table(&l);
    }
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "remus-netbuf: can't write: %s\n", strerror(errno));
        return NETBUF_EXIT_FAILURE;
    }
    return NETBUF_EXIT_OK;
}

static int clear_domain(uint32_t domid, bool discard)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct netbuf *nb = NULL;
    int r;

    if (netbuf_owner_alive(domid)) {
        xlc_error_set(&err, -EBUSY, "domain %u is protected by a process "
                      "that lives; end that with `xl remus-stop %u` (see "
                      "xl-remus(1)), or stop the process", (unsigned int)domid,
                      (unsigned int)domid);
        return fail(&err);
    }
    r = netbuf_attach(&nb, domid, &err);
    if (!r) r = netbuf_teardown(nb, discard, &err);
    netbuf_free(nb);
    if (r) return fail(&err);
    return NETBUF_EXIT_OK;
}

/* Vifs that the proxy of a process that died left closed. Nothing of what
 * they sent is held anywhere. Return: an exit status */
static int clear_planes(const struct netbuf_args *args)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int n = args->all ? plane_clear_all(&err) :
            plane_clear_domain(args->domid, &err);

    if (n < 0) return fail(&err);
    return n ? NETBUF_EXIT_OK : NETBUF_EXIT_NONE;
}

static int do_clear(const struct netbuf_args *args, struct xlc_error *err)
{
    CLEANUP_FREE struct netbuf_stat *list = NULL;
    int n = scan(&list, err), i, status = NETBUF_EXIT_NONE;

    if (n < 0) return fail(err);
    for (i = 0; i < n; i++) {
        int s;

        if (!args->all && list[i].domid != args->domid) continue;
        if (i && list[i].domid == list[i - 1].domid) continue; /* done */
        s = clear_domain(list[i].domid, args->discard);
        if (status == NETBUF_EXIT_NONE || s) status = s;
    }
    if (status == NETBUF_EXIT_NONE || status == NETBUF_EXIT_OK) {
        int s = clear_planes(args);

        if (status == NETBUF_EXIT_NONE || s == NETBUF_EXIT_FAILURE)
            status = s;
    }
    if (status == NETBUF_EXIT_NONE && args->all)
        fprintf(stderr, "remus-netbuf: there is no network buffer\n");
    else if (status == NETBUF_EXIT_NONE)
        fprintf(stderr, "remus-netbuf: domain %u has no network buffer\n",
                (unsigned int)args->domid);
    return status;
}

int main(int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct netbuf_args args;

    log_init("remus-netbuf", NULL, LOG_LEVEL_WARN);
    if (netbuf_args_parse(argc, argv, &args, &err)) {
        fail(&err);
        return NETBUF_EXIT_USAGE;
    }
    switch (args.cmd) {
    case NETBUF_CMD_HELP:
        fputs(help, stdout);
        return NETBUF_EXIT_OK;
    case NETBUF_CMD_VERSION:
        printf("remus-netbuf %s\n", PACKAGE_VERSION);
        return NETBUF_EXIT_OK;
    case NETBUF_CMD_LIST:
        return do_list(&args, &err);
    case NETBUF_CMD_CLEAR:
        return do_clear(&args, &err);
    }
    return NETBUF_EXIT_USAGE;
}
