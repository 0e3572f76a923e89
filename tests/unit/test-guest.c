/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-guest.c - Asking a guest to suspend, when xenstore does not let us
 *
 * The functions of libxenstore and libxenctrl that guest.c calls on the way
 * are here: one node, control/shutdown, transactions that fail as often as
 * told, and a domain that suspends when told.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "guest.h"
#include "tap.h"

#define FOR_EVER (~0u)

static unsigned int conflicts, tries; /* transactions that fail; all of them */
static char node[32], pending[32];
static bool written, suspended, obeys;
static volatile bool stop;
static int event = -1;
static struct guest guest;
static struct xlc_error err;

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    (void)h;
    written = false;
    return 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    (void)h, (void)t;
    tries++;
    if (abort) return true;
    if (conflicts) {
        if (conflicts != FOR_EVER) conflicts--;
        errno = EAGAIN;
        return false;
    }
    if (written) memcpy(node, pending, sizeof(node));
    suspended |= obeys && !strcmp(node, "suspend");
    return true;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    (void)h, (void)t, (void)path, (void)len;
    return strdup(node);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    (void)h, (void)t, (void)path;
    memset(pending, 0, sizeof(pending));
    memcpy(pending, data, len < sizeof(pending) ? len : sizeof(pending) - 1);
    written = true;
    return true;
}

int xs_fileno(struct xs_handle *h)
{
    (void)h;
    return event;
}

char **xs_check_watch(struct xs_handle *h)
{
    (void)h;
    return NULL;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
                          xc_domaininfo_t *info)
{
    (void)xch, (void)max;
    memset(info, 0, sizeof(*info));
    info->domain = (domid_t)first;
    if (suspended)
        info->flags = XEN_DOMINF_shutdown |
                      SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    return 1;
}

static void begin(unsigned int fail)
{
    conflicts = fail;
    tries = 0;
    memset(node, 0, sizeof(node));
    suspended = stop = false;
    obeys = true;
    xlc_error_clear(&err);
}

static void *stop_later(void *opaque)
{
    (void)opaque;
    usleep(50000);
    stop = true;
    return NULL;
}

int main(void)
{
    uint64_t begun;
    pthread_t thread;
    int r;

    alarm(60);
    event = eventfd(0, EFD_CLOEXEC);
    guest.domid = 7;
    snprintf(guest.path, sizeof(guest.path), "/local/domain/7");

    begin(0);
    ok(!guest_suspend(&guest, 20000, &stop, &err) && tries == 1,
       "a guest suspends %s", err.msg);
    begin(5);
    ok(!guest_suspend(&guest, 20000, &stop, &err) && tries == 6,
       "a transaction that fails is tried again %s", err.msg);

    begin(FOR_EVER);
    begun = clock_ms();
    r = guest_suspend(&guest, 100, &stop, &err);
    ok(r == -ETIMEDOUT && err.status == r && clock_ms() - begun < 20000,
       "not for longer than the guest may take: %s", err.msg);

    begin(FOR_EVER);
    if (pthread_create(&thread, NULL, stop_later, NULL)) abort();
    begun = clock_ms();
    r = guest_suspend(&guest, 600000, &stop, &err);
    pthread_join(thread, NULL);
    ok(r == -ECANCELED && clock_ms() - begun < 20000,
       "nor once it was told to stop");

    begin(0);
    obeys = false;
    ok(guest_suspend(&guest, 60, &stop, &err) == -ETIMEDOUT &&
       !strcmp(node, ""), "a request that is not heard is taken back: %s",
       err.msg);
    begin(0);
    snprintf(node, sizeof(node), "poweroff");
    ok(guest_suspend(&guest, 60, &stop, &err) == -ETIMEDOUT &&
       !strcmp(node, "poweroff"), "another's request stays: %s", err.msg);

    begin(FOR_EVER);
    begun = clock_ms();
    r = guest_ask(&guest, "poweroff", &err);
    ok(r == -ETIMEDOUT && clock_ms() - begun < 20000,
       "asking for something else ends, too: %s", err.msg);
    begin(3);
    ok(!guest_ask(&guest, "poweroff", &err) && !strcmp(node, "poweroff"),
       "and gets through if it can %s", err.msg);
    close(event);
    return done_testing();
}
