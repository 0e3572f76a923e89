/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-error.c - The first error wins, and text from outside is cleaned */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "error.h"
#include "tap.h"

static void test_set(void)
{
    struct xlc_error err = XLC_ERROR_INIT;

    ok(xlc_error_set(NULL, -EIO, "nobody listens") == -EIO,
       "without a place for it, the status still comes back");
    ok(xlc_error_set(&err, -EIO, "disk %d", 7) == -EIO &&
       err.status == -EIO && !strcmp(err.msg, "disk 7"), "an error is kept");
    ok(xlc_error_set(&err, -ENOMEM, "later") == -EIO &&
       !strcmp(err.msg, "disk 7"), "the first error wins");
    xlc_error_clear(&err);
    ok(!err.status && !err.msg[0], "clear");
}

static void test_wrap(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    char big[2 * XLC_ERROR_MAX];

    xlc_error_set(&err, -EIO, "short read");
    ok(xlc_error_wrap(&err, "vif %s", "vif1.0") == -EIO &&
       !strcmp(err.msg, "vif vif1.0: short read"), "context goes in front");
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    xlc_error_wrap(&err, "%s", big);
    ok(strlen(err.msg) == XLC_ERROR_MAX - 1, "a long context is cut");
    xlc_error_clear(&err);
    xlc_error_set(&err, -EIO, "%s", big);
    ok(strlen(err.msg) == XLC_ERROR_MAX - 1, "a long sentence is cut");
    xlc_error_wrap(&err, "front");
    ok(!strncmp(err.msg, "front: xxx", 10) &&
       strlen(err.msg) == XLC_ERROR_MAX - 1, "and still takes a context");
    ok(xlc_error_wrap(NULL, "nobody") < 0, "wrapping nothing is an error");
}

static void test_sanitise(void)
{
    char out[8];

    xlc_sanitise(out, sizeof(out), "a\nb\x1b\x7f\xff", 6);
    ok(!strcmp(out, "a?b???"), "control and 8-bit octets become '?'");
    xlc_sanitise(out, sizeof(out), "0123456789", 10);
    ok(!strcmp(out, "0123456"), "cut at the destination's size");
    xlc_sanitise(out, sizeof(out), "a\0b", 3);
    ok(!strcmp(out, "a?b"), "a zero octet does not end it");
    xlc_sanitise(out, 1, "abc", 3);
    ok(out[0] == 0, "room for the terminator only");
    out[0] = 'z';
    xlc_sanitise(out, 0, "abc", 3);
    ok(out[0] == 'z', "no room at all");
}

int main(void)
{
    test_set();
    test_wrap();
    test_sanitise();
    return done_testing();
}
