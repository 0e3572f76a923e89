/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-wallclock.c - The clocks of two hosts, and the note about a guest's */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

#include "clocknote.h"
#include "domclock.h"
#include "tap.h"
#include "wallclock.h"

#define NOW 1795318594000000u

/* ---- xenstore: one node ------------------------------------------------- */

static char node[64], value[32];
static bool broken;

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    (void)h, (void)t;
    if (broken || len >= sizeof(value)) return false;
    snprintf(node, sizeof(node), "%s", path);
    memcpy(value, data, len);
    value[len] = 0;
    return true;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    (void)h, (void)t, (void)len;
    return strcmp(path, node) ? NULL : strdup(value);
}

/* ---- Xen: one domain ---------------------------------------------------- */

static int32_t set_s;
static uint32_t set_domid;
static int xen_fails, opened;
static bool no_xen, no_store;

xc_interface *xc_interface_open(xentoollog_logger *a, xentoollog_logger *b,
                                unsigned int flags)
{
    (void)a, (void)b, (void)flags;
    if (no_xen) errno = EACCES;
    else opened++;
    return no_xen ? NULL : (xc_interface *)&set_s;
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    opened--;
    return 0;
}

int xc_domain_set_time_offset(xc_interface *xch, uint32_t domid, int32_t s)
{
    (void)xch;
    if (xen_fails) errno = xen_fails;
    else set_domid = domid, set_s = s;
    return xen_fails ? -1 : 0;
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    if (!no_store) opened++;
    return no_store ? NULL : (struct xs_handle *)&set_domid;
}

void xs_close(struct xs_handle *h)
{
    (void)h;
    opened--;
}

/* ---- Tests -------------------------------------------------------------- */

/* The peer's word: its clock is @diff_us ahead, and @late_us on the way. */
static bool hear(struct wallclock *w, int64_t diff_us, int64_t late_us,
                 int32_t ahead_s)
{
    struct proto_clock c = { (uint64_t)((int64_t)NOW + diff_us), ahead_s };

    return wallclock_heard(w, &c, (uint64_t)((int64_t)NOW + late_us));
}

static int32_t offset(struct wallclock *w)
{
    int32_t s = 12345;

    return wallclock_offset(w, &s) ? s : 12345;
}

static void test_diff(void)
{
    struct wallclock w = { .n = 0 };
    int64_t us = 1;
    bool told = false;

    ok(!wallclock_diff(&w, &us) && offset(&w) == 12345 &&
       !wallclock_far(&w, NULL, 0), "nothing was said, nothing is known");
    hear(&w, 5000000, 400000, 0);
    ok(wallclock_diff(&w, &us) && us == 4600000,
       "the first word, which was on the way for a while");
    hear(&w, 5000000, 3000, 0);
    hear(&w, 5000000, 900000, 0);
    ok(wallclock_diff(&w, &us) && us == 4997000,
       "the one that was fastest is the best");
    for (unsigned int i = 0; i < WALLCLOCK_SAMPLES; i++)
        told |= hear(&w, 2000000, 1000, 0);
    ok(wallclock_diff(&w, &us) && us == 1999000, "a clock that is set back");
    ok(told && !hear(&w, 2000000, 1000, 0), "far apart: said once");
}

static void test_far(void)
{
    struct wallclock w = { .n = 0 };
    char text[96] = "";

    for (unsigned int i = 0; i < WALLCLOCK_SAMPLES; i++)
        ok(!hear(&w, -999000, 0, 0), "less than a second: no word");
    ok(!wallclock_far(&w, text, sizeof(text)) && !*text, "nor a sentence");
    for (unsigned int i = 1; i < WALLCLOCK_SAMPLES; i++)
        hear(&w, -90200000, 0, 0);
    ok(hear(&w, -90200000, 0, 0) &&
       wallclock_far(&w, text, sizeof(text)) &&
       !strcmp(text, "the other host's clock is 90.2 s behind this one's"),
       "%s", text);
    w = (struct wallclock){ .n = 0 };
    for (unsigned int i = 0; i < WALLCLOCK_SAMPLES; i++)
        hear(&w, 1000000, 0, 0);
    ok(wallclock_far(&w, text, sizeof(text)) &&
       !strcmp(text, "the other host's clock is 1.0 s ahead of this one's"),
       "%s", text);
}

static void test_offset(void)
{
    struct wallclock w = { .n = 0 };

    hear(&w, 200000, 1000, 0);
    ok(!offset(&w), "rule_C3: clocks that agree: none");
    hear(&w, 200000, 1000, 3600);
    ok(offset(&w) == 3600, "rule_C3: what the guest has there, it has here");
    hear(&w, 550000, 1000, 3600);
    ok(offset(&w) == 3600, "rule_C3: no other second for half of one");
    hear(&w, 650000, 1000, 3600);
    ok(offset(&w) == 3601, "rule_C3: but for more than that");

    w = (struct wallclock){ .n = 0 };
    hear(&w, -90600000, 0, 7);
    ok(offset(&w) == -84, "rule_C3: behind, and to the nearest second");
    for (unsigned int i = 0; i < WALLCLOCK_SAMPLES; i++)
        hear(&w, -90600000, 0, -7);
    ok(offset(&w) == -98, "rule_C3: both ways");
}

static void test_absurd(void)
{
    struct wallclock w = { .n = 0 };
    struct proto_clock c = { PROTO_CLOCK_MAX, INT32_MAX };
    int32_t s = 0;

    wallclock_heard(&w, &c, 0);
    ok(offset(&w) == INT32_MAX, "no more than Xen can count");
    w = (struct wallclock){ .n = 0 };
    c = (struct proto_clock){ 0, INT32_MIN };
    wallclock_heard(&w, &c, PROTO_CLOCK_MAX);
    ok(offset(&w) == -INT32_MAX && clocknote_write(NULL, 7, offset(&w)) &&
       clocknote_read(NULL, 7, &s) && s == offset(&w),
       "nor less, and what is noted can be read: %s", value);
    node[0] = 0;
    ok(!wallclock_heard(&w, &c, UINT64_MAX) && w.n == 1,
       "a host's clock that shows nonsense is not compared");
}

static void test_note(void)
{
    static const char *const bad[] = { "", "-", "x", "1 ", "--1", "+1",
                                       "2147483648", "-2147483648" };
    int32_t s = 5;

    ok(!clocknote_read(NULL, 7, &s) && s == 5, "there is no note");
    ok(clocknote_write(NULL, 7, -98) &&
       !strcmp(node, "/libxl/7/xl-colo-clock") && !strcmp(value, "-98"),
       "a note: %s %s", node, value);
    ok(clocknote_read(NULL, 7, &s) && s == -98 &&
       !clocknote_read(NULL, 8, &s), "of this domain");
    ok(clocknote_write(NULL, 7, INT32_MAX) && clocknote_read(NULL, 7, &s) &&
       s == INT32_MAX, "as far ahead as may be");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(value, sizeof(value), "%s", bad[i]);
        s = 5;
        ok(!clocknote_read(NULL, 7, &s) && s == 5, "no number: \"%s\"",
           bad[i]);
    }
    broken = true;
    ok(!clocknote_write(NULL, 7, 1), "xenstore does not take it");
}

/* A domain that was restored: its clock is set, and that is noted. */
static void test_domain(void)
{
    struct xlc_error e = XLC_ERROR_INIT;
    int32_t s = 5;

    broken = false;
    ok(!domclock_set(9, -90, &e) && set_domid == 9 && set_s == -90 &&
       clocknote_read(NULL, 9, &s) && s == -90 && !opened,
       "rule_C3: its clock is set, and noted for who protects it later %s",
       e.msg);
    broken = true;
    ok(domclock_set(9, 3, &e) == -EIO && set_s == 3 &&
       strstr(e.msg, "not taken along") && !opened, "no note: %s", e.msg);
    xlc_error_clear(&e);
    no_store = true;
    ok(domclock_set(9, 4, &e) == -EIO && set_s == 4 && !opened,
       "no xenstore: %s", e.msg);
    xlc_error_clear(&e);
    broken = no_store = false;
    xen_fails = ESRCH;
    ok(domclock_set(9, 5, &e) == -ESRCH && strstr(e.msg, "domain 9") &&
       clocknote_read(NULL, 9, &s) && s == -90 && !opened,
       "no such domain: nothing is noted: %s", e.msg);
    xlc_error_clear(&e);
    no_xen = true;
    ok(domclock_set(9, 5, &e) == -EIO && !opened, "no Xen: %s", e.msg);
}

int main(void)
{
    test_diff();
    test_far();
    test_offset();
    test_absurd();
    test_note();
    test_domain();
    return done_testing();
}
