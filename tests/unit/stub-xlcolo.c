/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stub-xlcolo.c - A libxl-colo that only says what it was asked to do
 *
 * For tests of tools/xl-ext without Xen. xlc_protect() prints the options and
 * returns $STUB_OUTCOME. The sockets are looked for in xl-colo.run, the
 * configuration of domains in xen.etc, in the current directory.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "config-file.h"
#include "control.h"
#include "xlcolo.h"

static void __attribute__((constructor)) be_a_test(void)
{
    control_set_dir("xl-colo.run");
    config_file_set_dir("xen.etc");
}

void xlc_options_init(struct xlc_options *o)
{
    *o = (struct xlc_options){
        .ssh = "ssh",
        .interval_ms = XLC_INTERVAL_MS_DEFAULT,
        .heartbeat_ms = XLC_HEARTBEAT_MS_DEFAULT,
        .limit_ms = XLC_LIMIT_MS_DEFAULT,
        .suspend_ms = XLC_SUSPEND_MS_DEFAULT,
        .staging_bytes = XLC_STAGING_BYTES_DEFAULT,
        .netbuf_bytes = XLC_NETBUF_BYTES_DEFAULT,
    };
}

enum xlc_outcome xlc_protect(const struct xlc_options *o)
{
    const char *outcome = getenv("STUB_OUTCOME");

    printf("protect [%s] [%s] ssh [%s] interval %u heartbeat %u limit %u "
           "suspend %u port %u staging %" PRIu64 " netbuf %" PRIu64
           " flags %s%s%s%s%s%s%s peers", o->domain, o->host, o->ssh,
           o->interval_ms, o->heartbeat_ms, o->limit_ms, o->suspend_ms,
           o->port, o->staging_bytes, o->netbuf_bytes, o->unsafe ? "F" : "",
           o->no_net ? "n" : "", o->no_disk ? "d" : "",
           o->no_monitor ? "e" : "", o->plaintext ? "p" : "",
           o->quiet ? "q" : "", o->verbose ? "v" : "");
    for (unsigned int i = 0; i < o->npeers; i++)
        printf(" [%s]", o->peers[i]);
    if (o->events) printf(" events [%s]", o->events);
    if (o->config) printf(" config [%s]", o->config);
    putchar('\n');
    fflush(stdout);
    return outcome ? (enum xlc_outcome)strtol(outcome, NULL, 10) :
                     XLC_STOPPED;
}

int xlc_receive(bool verbose)
{
    printf("receive%s\n", verbose ? " verbose" : "");
    return 0;
}
