/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* outcome.c - How a protection ended, in words */
#include <config.h>

#include "xlcolo.h"

static const struct {
    const char *name;
    const char *text;
} outcomes[] = {
    [XLC_STOPPED] = { "stopped",
        "protection was stopped; the guest runs here, unprotected" },
    [XLC_ERROR] = { "error",
        "protection failed; the guest runs here, unprotected" },
    [XLC_USAGE] = { "usage", "nothing was done" },
    [XLC_REFUSED] = { "refused", "nothing was changed" },
    [XLC_PEER_LOST] = { "peer-lost",
        "the other host or its copy is gone; the guest runs here, "
        "UNPROTECTED" },
    [XLC_POWEROFF] = { "poweroff",
        "the guest shut down; no copy of it is left on the other host" },
    [XLC_REBOOT] = { "reboot",
        "the guest rebooted; protection ended, start it again" },
    [XLC_CRASH] = { "crash",
        "the guest crashed; no copy of it is left on the other host" },
    [XLC_MOVED] = { "moved",
        "the other host runs the guest; the copy here is destroyed" },
    [XLC_UNCONFIRMED] = { "unconfirmed",
        "the guest is gone here and the other host did not confirm: look "
        "there before you start it anywhere" },
    [XLC_STUCK] = { "stuck",
        "contact was lost while the other host was taking over; the guest "
        "stays SUSPENDED here because the other host may run it: look "
        "there; if it does not, `xl remus-stop --resume` brings it back" },
    [XLC_WORKER_DIED] = { "worker-died",
        "the worker process was killed; the guest runs here, UNPROTECTED" },
};

const char *xlc_outcome_name(enum xlc_outcome o)
{
    return (unsigned int)o <= XLC_WORKER_DIED ? outcomes[o].name : "?";
}

const char *xlc_outcome_text(enum xlc_outcome o)
{
    return (unsigned int)o <= XLC_WORKER_DIED ? outcomes[o].text : "?";
}
