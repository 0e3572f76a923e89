/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guard.c - Stock commands that a protected domain must be asked about */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "guard.h"
#include "status.h"
#include "xl-ask.h"
#include "xl.h"

#define END_MS 120000 /* a last checkpoint, and the other host's answer */

static const char change[] = "the copy would not have the change";
static const char still[] = "a domain that stands still can't be "
                            "checkpointed";
static const char moves[] = "it would stop, and its copy with it";

static const char *const long_force[] = { "force", NULL };
static const char *const long_ignore[] = { "ignore-host", NULL };
static const char *const long_migrate[] = { "debug", "live", NULL };
static const char *const long_wait[] = { "all", "wait", NULL };

/* What Xen 4.17 to 4.20 have. */
static const struct guarded table[] = {
    { "block-attach", "", NULL, change, 0 },
    { "block-detach", "f", long_force, change, 0 },
    { "cd-eject", "", NULL, change, 0 },
    { "cd-insert", "", NULL, change, 0 },
    { "destroy", "f", NULL, "the other host would take it for failed and "
      "run it", 0 },
    { "mem-max", "", NULL, change, 0 },
    { "mem-set", "", NULL, change, 0 },
    { "migrate", "FC:s:epD", long_migrate, moves, 0 },
    { "network-attach", "", NULL, change, 0 },
    { "network-detach", "", NULL, change, 0 },
    { "pause", "", NULL, still, 0 },
    { "pci-attach", "", NULL, change, 0 },
    { "pci-detach", "f", NULL, change, 0 },
    { "reboot", "awF", long_wait, NULL, CONTROL_REBOOT },
    { "rename", "", NULL, "the copy would keep the old name", 0 },
    { "resume", "", NULL, "its checkpoints suspend and resume it", 0 },
    { "save", "cpD", NULL, moves, 0 },
    { "shutdown", "awF", long_wait, NULL, CONTROL_SHUTDOWN },
    { "suspend", "", NULL, still, 0 },
    { "unpause", "", NULL, "its checkpoints suspend and resume it", 0 },
    { "usbctrl-attach", "", NULL, change, 0 },
    { "usbctrl-detach", "", NULL, change, 0 },
    { "usbdev-attach", "", NULL, change, 0 },
    { "usbdev-detach", "", NULL, change, 0 },
    { "vcpu-set", "i", long_ignore, change, 0 },
    { "vdispl-attach", "", NULL, change, 0 },
    { "vdispl-detach", "", NULL, change, 0 },
    { "vkb-attach", "", NULL, change, 0 },
    { "vkb-detach", "", NULL, change, 0 },
    { "vsnd-attach", "", NULL, change, 0 },
    { "vsnd-detach", "", NULL, change, 0 },
    { "vtpm-attach", "", NULL, change, 0 },
    { "vtpm-detach", "", NULL, change, 0 },
};
#define NTABLE (sizeof(table) / sizeof(table[0]))

const struct guarded *guarded_find(const char *name, bool *exact_r)
{
    const struct guarded *found = NULL;
    size_t len = strlen(name);

    *exact_r = false;
    for (size_t i = 0; len && i < NTABLE; i++) {
        if (strncmp(name, table[i].name, len)) continue;
        found = &table[i];
        *exact_r = !table[i].name[len];
        if (*exact_r) break;
    }
    return found;
}

bool guarded_operand(const struct guarded *g, int argc, char *const *argv,
                     const char **domain_r)
{
    struct option longs[4] = { { "help", no_argument, NULL, 'h' } };
    CLEANUP_FREE char **copy = calloc((size_t)argc + 1, sizeof(*copy));
    bool all = false;
    int c;

    if (!copy) return false;
    for (unsigned int i = 0; g->longs && g->longs[i]; i++)
        longs[i + 1] = (struct option){ g->longs[i], no_argument, NULL,
                                        g->longs[i][0] };
    memcpy(copy, argv, (size_t)argc * sizeof(*copy));
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, copy, g->letters, longs, NULL)) != -1) {
        if (c == '?' || c == 'h') return false;
        all |= c == 'a';
    }
    if (!all && optind >= argc) return false;
    *domain_r = all ? NULL : copy[optind];
    return true;
}

/* ---- On a protected domain ---------------------------------------------- */

static void refuse(const struct guarded *g, const struct status *s)
{
    char name[128], peer[128];
    const char *n = status_text(s, "domain"), *p = status_text(s, "peer");

    xlc_sanitise(name, sizeof(name), n, (unsigned int)strlen(n));
    xlc_sanitise(peer, sizeof(peer), p, (unsigned int)strlen(p));
    if (!status_is_primary(s))
        xl_say(g->name, "this is the standby copy of '%s', which runs on %s: "
               "it must stay as it is. `xl remus-failover %s` moves the "
               "domain here, `xl remus-stop %s` gives the copy up.", name,
               *peer ? peer : "the other host", name, name);
    else
        xl_say(g->name, "domain '%s' is protected: %s. End its protection "
               "first: `xl remus-stop %s`.", name,
               g->why ? g->why : "its protection has to end first", name);
}

/* End the protection for a shutdown or reboot. Return: 0, or an exit status */
static int end_first(const struct guarded *g, const struct status *s)
{
    struct xlc_error err = XLC_ERROR_INIT;
    enum control_op op = status_is_primary(s) ? g->op : CONTROL_STOP;
    char name[128];
    const char *n = status_text(s, "domain");
    int r = xl_ask(s, op, NULL, END_MS, &err);

    xlc_sanitise(name, sizeof(name), n, (unsigned int)strlen(n));
    /* Ended by itself meanwhile, and took its socket with it. */
    if (r && r != -ENOENT && r != -ECONNREFUSED) {
        xl_say(g->name, "the protection of '%s' did not end, so nothing was "
               "done to it: %s", name, err.msg);
        return 1;
    }
    xl_say(g->name, op == CONTROL_STOP ? "the standby copy of '%s' is given "
           "up" : "the protection of '%s' has ended", name);
    return 0;
}

/* A worker that does not answer still owns its guest. */
static bool hangs_on(const struct status *s, const char *domain)
{
    char uuid[STATUS_UUID_LEN + 1];

    if (!s->err.status || s->err.status == -ECONNREFUSED) return false;
    return !domain || (!domain_uuid(domain, uuid, NULL) &&
                       !strcasecmp(uuid, s->uuid));
}

static int guard_one(const struct guarded *g, bool exact, const char *typed,
                     const struct status *s, const char *domain)
{
    if (hangs_on(s, domain)) {
        xl_say(g->name, "domain '%s' is protected, and the process that does "
               "it gives no answer (%s). See `xl remus-status`. The "
               "distribution's xl, called by its path, does not ask.",
               domain ? domain : s->uuid, s->err.msg);
        return 1;
    }
    if (s->err.status || status_is_over(s)) return -1;
    if (domain && !status_is(s, domain, true)) return -1;
    if (!exact) {
        xl_say(typed, "on a protected domain ('%s') a command has to be "
               "written out: did you mean `xl %s`?",
               domain ? domain : status_text(s, "domain"), g->name);
        return 1;
    }
    if (g->why || (domain && !status_is_primary(s))) {
        refuse(g, s);
        return 1;
    }
    return end_first(g, s) ? 1 : -1;
}

int guard(int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    const struct guarded *g;
    const char *domain;
    struct statuses s;
    bool exact;
    int r = -1;

    g = guarded_find(argv[0], &exact);
    if (!g || !status_any() || !guarded_operand(g, argc, argv, &domain))
        return -1;
    if (statuses_get(&s, &err)) {
        xl_say(argv[0], "can't tell whether the domain is protected: %s",
               err.msg);
        r = 1;
    }
    for (unsigned int i = 0; r < 0 && i < s.n; i++)
        r = guard_one(g, exact, argv[0], &s.v[i], domain);
    statuses_free(&s);
    return r;
}
