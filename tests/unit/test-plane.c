/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-plane.c - The packet plane's filters send each packet one way
 *
 * The filters are put into a small model of the kernel, one after the other
 * as plane.c adds them, and at each step packets are followed from where they
 * enter until they reach the bridge, the guest or the program. A wrong order
 * shows as a packet that is lost, doubled or goes round for ever.
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "plane-name.h"
#include "plane.h"
#include "tap.h"

enum { VIF = 5, OUT = 6, IN = 7 };

/* Where a packet ends. */
enum end {
    TO_BRIDGE,   /* received by the vif's bridge port */
    TO_GUEST,    /* sent by the vif */
    TO_READ_OUT, /* read from the TAP of the guest's output */
    TO_READ_IN,  /* read from the other */
    TO_NOWHERE,  /* received by dom0 on a TAP: lost */
    TO_CIRCLE,
};

static struct plane_filter filters[PLANE_FILTERS];
static unsigned int present;

/* The filter that takes a packet, in order of priority. */
static const struct plane_filter *first_match(int dev, bool egress,
                                              uint32_t mark)
{
    const struct plane_filter *best = NULL;

    for (unsigned int i = 0; i < present; i++) {
        const struct plane_filter *f = &filters[i];

        if (f->dev != dev || f->egress != egress) continue;
        if (f->match == PLANE_MARK && f->handle != mark) continue;
        if (!best || f->prio < best->prio) best = f;
    }
    return best;
}

/* Follow a packet that @dev sends (@egress) or receives. */
static enum end follow(int dev, bool egress)
{
    uint32_t mark = 0;

    for (unsigned int hops = 0; hops < 8; hops++) {
        const struct plane_filter *f = first_match(dev, egress, mark);

        if (!f || !f->target) {
            if (dev == VIF) return egress ? TO_GUEST : TO_BRIDGE;
            if (!egress) return TO_NOWHERE;
            return dev == OUT ? TO_READ_OUT : TO_READ_IN;
        }
        if (f->mark) mark = f->mark;
        dev = f->target;
        egress = !f->into;
    }
    return TO_CIRCLE;
}

static void test_ways(void)
{
    bool setup = true;

    plane_filters(filters, VIF, OUT, IN);
    for (present = 0; present <= PLANE_FILTERS - 2; present++)
        setup = setup && follow(VIF, false) == TO_BRIDGE &&
                follow(VIF, true) == TO_GUEST;
    ok(setup, "until it is set up every packet goes its direct way");

    present = PLANE_FILTERS - 2;
    ok(follow(OUT, false) == TO_BRIDGE && follow(IN, false) == TO_GUEST,
       "what the program writes already goes where it shall");
    present++;
    ok(follow(VIF, false) == TO_READ_OUT && follow(VIF, true) == TO_GUEST &&
       follow(OUT, false) == TO_BRIDGE && follow(IN, false) == TO_GUEST,
       "one request turns the output, and only that");
    present++;
    ok(follow(VIF, false) == TO_READ_OUT && follow(VIF, true) == TO_READ_IN,
       "one request turns the input: inline");
    ok(follow(OUT, false) == TO_BRIDGE && follow(IN, false) == TO_GUEST,
       "what the program writes does not come back to it");
}

static void test_filters(void)
{
    bool apart = true;

    plane_filters(filters, VIF, OUT, IN);
    for (unsigned int i = 0; i < PLANE_FILTERS; i++) {
        const struct plane_filter *a = &filters[i];

        apart = apart && a->prio > TC_PRIO_HOLD && a->handle;
        for (unsigned int k = 0; k < i; k++)
            apart = apart && (a->dev != filters[k].dev ||
                              a->egress != filters[k].egress ||
                              a->prio != filters[k].prio);
    }
    ok(apart, "a priority has one filter, behind those of the buffer");
    ok(PLANE_MARK_IN != PLANE_MARK_OUT, "two marks");
}

static void test_names(void)
{
    static const char *const bad[] = {
        "", "vif", "vif1", "vif1.", "vif.1", "vif1.2-", "vif1.2-em",
        "vif1.2-emux", "eth0", "vif01.2", "vif1.2.3", "vif99999.0",
        "vif1.99999", "vif1.2e", "xvif1.2", "vif32751.32767-emu0",
    };
    char name[IFNAMSIZ] = "untouched";
    struct netbuf_port port = { .domid = 0 };
    bool all = true;

    ok(!plane_name(name, "vif9000.0", false) && !strcmp(name, "xo9000.0"),
       "out: %s", name);
    ok(!plane_name(name, "vif9000.0", true) && !strcmp(name, "xi9000.0"),
       "in: %s", name);
    ok(!plane_name(name, "vif7.12-emu", true) && !strcmp(name, "xi7.12e"),
       "emulated: %s", name);
    ok(!plane_name(name, "vif32751.3276", false) &&
       !strcmp(name, "xo32751.3276"), "long: %s", name);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int r = plane_name(name, bad[i], false);

        if (r == -EINVAL || r == -ERANGE) continue;
        printf("# %s: %d %s\n", bad[i], r, name);
        all = false;
    }
    ok(all, "other names are refused");
    ok(!plane_port("vif9000.3", &port) && port.domid == 9000 &&
       port.devid == 3 && !port.emulated &&
       !plane_port("vif7.12-emu", &port) && port.domid == 7 && port.emulated,
       "whose vif it is");
    ok(plane_port("vif4294967303.0", &port) == -EINVAL &&
       plane_port("vif007.0", &port) == -EINVAL && port.domid == 7,
       "no number that is too large for a domain, or written otherwise");
}

int main(void)
{
    test_ways();
    test_filters();
    test_names();
    return done_testing();
}
