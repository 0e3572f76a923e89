/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-resume.c - `xl remus-stop --resume`, before a Xen that writes down what
 * is done to it and a disk-serve that is a script
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xenstore.h>

#include "announce.h"
#include "log.h"
#include "netbuf.h"
#include "plane.h"
#include "status.h"
#include "tap.h"
#include "xl.h"

static char dir[] = "/tmp/xl-colo-resume-XXXXXX";
static char script[sizeof(dir) + 16], said[sizeof(dir) + 16];
static const char *name = "web";
static unsigned int resumed, unpaused, ndisks, protected, nplanes;
static int no_buffer, no_opening;
/* What disk-serve had been told when the guest was let go. */
static char told[256];

static void read_told(void)
{
    FILE *f = fopen(said, "r");
    size_t n = f ? fread(told, 1, sizeof(told) - 1, f) : 0;

    told[n] = '\0';
    if (f) fclose(f);
}

/* A line among those of disk-serve. */
static void tell(const char *what)
{
    FILE *f = fopen(said, "a");

    if (!f || fprintf(f, "%s\n", what) < 0 || fclose(f)) abort();
}

/* ---- What is not here ---------------------------------------------------- */

int libxl_ctx_alloc(libxl_ctx **ctx, int version, unsigned int flags,
                    xentoollog_logger *lg)
{
    (void)version, (void)flags, (void)lg;
    *ctx = NULL;
    return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    (void)ctx;
    return 0;
}

xc_interface *xc_interface_open(xentoollog_logger *a, xentoollog_logger *b,
                                unsigned int flags)
{
    static int x;

    (void)a, (void)b, (void)flags;
    return (xc_interface *)&x;
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return 0;
}

struct xs_handle *xs_open(unsigned long flags)
{
    static int x;

    (void)flags;
    return (struct xs_handle *)&x;
}

void xs_close(struct xs_handle *h)
{
    (void)h;
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *what, uint32_t *domid)
{
    (void)ctx;
    *domid = 7;
    return strcmp(what, "web") != 0;
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    (void)ctx, (void)domid;
    return strdup(name);
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *n)
{
    libxl_dominfo *d = calloc(1, sizeof(*d));

    (void)ctx;
    if (!d) abort();
    d->domid = 7;
    *n = 1;
    return d;
}

libxl_device_disk *libxl_device_disk_list(libxl_ctx *ctx, uint32_t domid,
                                          int *n)
{
    static const struct {
        const char *vdev, *path, *script;
        int writable;
    } all[] = {
        { "xvda", "/srv/a.img", "block-colo", 1 },
        { "xvdb", "/srv/b.img", NULL, 1 },
        { "xvdc", "/srv/c.img", "/etc/xen/scripts/block-colo", 0 },
        { "xvdd", "/srv/d.img", "/etc/xen/scripts/block-colo", 1 },
    };
    libxl_device_disk *d = calloc(4, sizeof(*d));

    (void)ctx, (void)domid;
    if (!d) abort();
    for (unsigned int i = 0; i < ndisks; i++) {
        libxl_device_disk_init(&d[i]);
        d[i].vdev = strdup(all[i].vdev);
        d[i].pdev_path = strdup(all[i].path);
        d[i].script = all[i].script ? strdup(all[i].script) : NULL;
        d[i].readwrite = all[i].writable;
    }
    *n = (int)ndisks;
    return d;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int most,
                          xc_domaininfo_t *info)
{
    (void)xch, (void)most;
    *info = (xc_domaininfo_t){ .domain = (domid_t)first };
    info->flags = XEN_DOMINF_shutdown | XEN_DOMINF_paused |
                  SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    return 1;
}

int xc_domain_resume(xc_interface *xch, uint32_t domid, int fast)
{
    (void)xch, (void)domid, (void)fast;
    resumed++;
    read_told();
    return 0;
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    (void)h, (void)domid;
    return true;
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    (void)xch, (void)domid;
    unpaused++;
    return 0;
}

int netbuf_attach(struct netbuf **nb_r, uint32_t domid, struct xlc_error *err)
{
    static int x;

    (void)domid;
    *nb_r = (struct netbuf *)&x;
    tell("look");
    return no_buffer ? xlc_error_set(err, no_buffer, "no buffer") : 0;
}

unsigned int netbuf_count(const struct netbuf *nb)
{
    (void)nb;
    return 1;
}

int netbuf_open(struct netbuf *nb, struct xlc_error *err)
{
    (void)nb;
    if (no_opening) return xlc_error_set(err, no_opening, "it is stuck");
    tell("open");
    return 0;
}

int netbuf_teardown(struct netbuf *nb, bool discard, struct xlc_error *err)
{
    (void)nb, (void)discard, (void)err;
    return 0;
}

void netbuf_free(struct netbuf *nb)
{
    (void)nb;
}

int plane_clear_domain(uint32_t domid, struct xlc_error *err)
{
    (void)domid, (void)err;
    return 0;
}

/* A process has them. */
int plane_scan(struct plane_seen *list, unsigned int room,
               struct xlc_error *err)
{
    (void)err;
    for (unsigned int i = 0; i < nplanes && i < room; i++)
        list[i] = (struct plane_seen){ "vif7.0", { 7, i, false }, true };
    return (int)nplanes;
}

int announce_domain(libxl_ctx *ctx, uint32_t domid, struct xlc_error *err)
{
    (void)ctx, (void)domid, (void)err;
    return 0;
}

/* One socket, of a guest that is protected; its uuid is all zeroes. */
int statuses_get(struct statuses *s, struct xlc_error *err)
{
    static struct status one;

    (void)err;
    memcpy(one.uuid, "00000000-0000-0000-0000-000000000000", 37);
    *s = (struct statuses){ &one, protected };
    return 0;
}

void statuses_free(struct statuses *s)
{
    (void)s;
}

bool status_is_over(const struct status *s)
{
    (void)s;
    return false;
}

/* ---- The trials ---------------------------------------------------------- */

static void serve_by(const char *text)
{
    FILE *f = fopen(script, "w");

    if (!f || fprintf(f, "#!/bin/sh\n%s\n", text) < 0 || fclose(f) ||
        chmod(script, 0700))
        abort();
    unlink(said);
    told[0] = '\0';
    resumed = unpaused = 0;
    no_buffer = no_opening = 0;
    nplanes = 0;
}

/* disk-serve writes down what it is told, and then does @what. */
static void noting(const char *what)
{
    char text[sizeof(said) + 256];

    snprintf(text, sizeof(text), "echo \"$*\" >>%s\n%s", said, what);
    serve_by(text);
}

#define ASKED   "resumable /srv/a.img\nresumable /srv/d.img\n"
#define CHANGED "resume /srv/a.img\nresume /srv/d.img\n"
#define ALL     ASKED "look\n" CHANGED "open\n"

static bool was_told(const char *what)
{
    bool same;

    read_told();
    same = !strcmp(told, what);
    if (!same) printf("# told: %s\n", told);
    return same;
}

static void test_disks(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    noting("");
    ndisks = 4;
    ok(!resume_domain("web", &e) && resumed == 1 && unpaused == 1,
       "it goes on: %s", e.msg);
    ok(!strcmp(told, ALL),
       "RULES A7: its mirrored disks are the newest before its output goes "
       "out, and it does; all were asked before the first is");
    serve_by("echo no room >&2; exit 1");
    ok(resume_domain("web", &e) == -EPERM && !resumed && !unpaused &&
       was_told("") && strstr(e.msg, "xvda") && strstr(e.msg, "no room"),
       "RULES A7: or it stays: %s", e.msg);
    xlc_error_clear(&e);
    ndisks = 0;
    ok(!resume_domain("web", &e) && resumed == 1, "one without a disk");
}

/* Two disks, of which the second can't. */
static void test_second(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    ndisks = 4;
    noting("[ \"$*\" != 'resumable /srv/d.img' ] || { echo no >&2; exit 1; }");
    ok(resume_domain("web", &e) == -EPERM && !resumed && was_told(ASKED) &&
       strstr(e.msg, "xvdd") && strstr(e.msg, "nothing was changed"),
       "one that says before that it can't: %s", e.msg);
    xlc_error_clear(&e);
    noting("[ \"$*\" != 'resume /srv/d.img' ] || { echo no >&2; exit 1; }");
    ok(resume_domain("web", &e) == -EPERM && !resumed && !unpaused &&
       was_told(ASKED "look\n" CHANGED) && strstr(e.msg, "xvdd") &&
       strstr(e.msg, "those before it are;") && strstr(e.msg, "same command"),
       "one that fails after all: nothing went out, what happened is said: "
       "%s", e.msg);
    xlc_error_clear(&e);
    noting("[ \"$*\" != 'resume /srv/a.img' ] || { echo no >&2; exit 1; }");
    ok(resume_domain("web", &e) == -EPERM && !resumed &&
       strstr(e.msg, "xvda") && !strstr(e.msg, "before it"),
       "the first of them: %s", e.msg);
    xlc_error_clear(&e);
    noting("");
    ok(!resume_domain("web", &e) && resumed == 1 &&
       was_told(ALL), "the same command again does all of it: %s", e.msg);
    ndisks = 0;
}

/* What is held can't go, or somebody holds it. */
static void test_network(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    ndisks = 4;
    for (int other = 0; other < 2; other++) {
        noting("");
        if (other) nplanes = 1;
        else no_buffer = -EBUSY;
        ok(resume_domain("web", &e) == -EBUSY && !resumed &&
           was_told(ASKED "look\n") && strstr(e.msg, "nothing was changed"),
           "that is known before a disk is changed: %s", e.msg);
        xlc_error_clear(&e);
    }
    noting("");
    no_opening = -EIO;
    ok(resume_domain("web", &e) == -EIO && !resumed && !unpaused &&
       was_told(ASKED "look\n" CHANGED) &&
       strstr(e.msg, "disks here are the newest") &&
       strstr(e.msg, "same command"), "or said after it was: %s", e.msg);
    xlc_error_clear(&e);
    noting("");
    ok(!resume_domain("web", &e) && resumed == 1 && was_told(ALL),
       "again: all of it");
    ndisks = 0;
}

/* Our standard error, while it is resumed, with 1024 octets. Return: what
 * resume_domain() does */
static int overhear(char *to, struct xlc_error *err)
{
    FILE *f = tmpfile();
    int old = dup(STDERR_FILENO), r;

    if (!f || old < 0 || dup2(fileno(f), STDERR_FILENO) < 0) abort();
    r = resume_domain("web", err);
    fflush(stderr);
    if (dup2(old, STDERR_FILENO) < 0) abort();
    close(old);
    rewind(f);
    to[fread(to, 1, 1023, f)] = '\0';
    fclose(f);
    return r;
}

/* Of an older build: it does not become the newest, and goes on. */
static void test_warned(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    char text[1024];

    ndisks = 4;
    noting("[ $2 != /srv/a.img ] || echo \"not $1\" >&2");
    ok(!overhear(text, &e) && resumed == 1 && !e.status &&
       strstr(text, "xvda: not resumable") && !strstr(text, "not resume\n"),
       "one that only warns goes on, and is heard once");
    noting("[ $2 != /srv/a.img ] || echo \"not $1\" >&2\n"
           "[ \"$*\" != 'resumable /srv/d.img' ] || exit 1");
    ok(overhear(text, &e) == -EPERM && !resumed &&
       strstr(text, "xvda: not resumable"), "before anything is changed");
    xlc_error_clear(&e);
    noting("[ $2 != /srv/a.img ] || echo not >&2\n"
           "[ \"$*\" != 'resume /srv/d.img' ] || { echo no >&2; exit 1; }");
    ok(overhear(text, &e) == -EPERM && !resumed &&
       !strstr(e.msg, "before it"), "it is not said to be the newest: %s",
       e.msg);
    xlc_error_clear(&e);
    ndisks = 0;
}

static void test_refused(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    serve_by("exit 0");
    ok(resume_domain("mail", &e) == -ENOENT && !resumed, "%s", e.msg);
    xlc_error_clear(&e);
    name = "web--incoming";
    ok(resume_domain("web", &e) == -EINVAL && !resumed, "%s", e.msg);
    xlc_error_clear(&e);
    name = "web";
    protected = 1;
    ok(resume_domain("web", &e) == -EBUSY && !resumed, "%s", e.msg);
    protected = 0;
}

int main(void)
{
    log_init("test", "/dev/null", LOG_LEVEL_ERROR);
    if (!mkdtemp(dir)) abort();
    snprintf(script, sizeof(script), "%s/serve", dir);
    snprintf(said, sizeof(said), "%s/said", dir);
    setenv("XL_COLO_DISK_SERVE", script, 1);
    test_disks();
    test_second();
    test_network();
    test_warned();
    test_refused();
    unlink(script);
    unlink(said);
    rmdir(dir);
    return done_testing();
}
