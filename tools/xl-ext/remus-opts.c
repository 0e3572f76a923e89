/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* remus-opts.c - The command line of `xl remus` */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "remus-opts.h"

#define AT(field)  .where = offsetof(struct remus_args, field)
#define IN(lo, hi) .min = (lo), .max = (hi)

static const struct opt opts[] = {
    { 'i', "interval", "MS", OPT_U32, AT(o.interval_ms),
      IN(REMUS_INTERVAL_MS_MIN, REMUS_INTERVAL_MS_MAX),
      .unit = "milliseconds",
      .text = "Checkpoint every MS milliseconds (default 200)." },
    { 's', NULL, "SSHCOMMAND", OPT_STRING, AT(o.ssh),
      .text = "Reach <host> by SSHCOMMAND instead of ssh. If it is\n"
              "empty, <host> itself is run as a command." },
    { 'e', NULL, NULL, OPT_FLAG, AT(o.no_monitor),
      .text = "Leave no process behind that acts on the guest's\n"
              "shutdown when protection has ended." },
    { 'F', NULL, NULL, OPT_FLAG, AT(o.unsafe),
      .text = "Allow -n and -d. What a client was told may be lost in\n"
              "a failover then." },
    { 'n', NULL, NULL, OPT_FLAG, AT(o.no_net),
      .text = "Do not hold back the guest's output (needs -F)." },
    { 'd', NULL, NULL, OPT_FLAG, AT(o.no_disk),
      .text = "Do not mirror the guest's disks (needs -F). Without it\n"
              "a guest with a writable disk is refused: disks can't\n"
              "be mirrored yet." },
    { 0, "peer", "ADDRESS", OPT_LIST, AT(o.peers),
      .count = offsetof(struct remus_args, o.npeers), .max = XLC_PEER_MAX,
      .text = "Another address of <host>; may be given several times.\n"
              "The first carries the checkpoints, all carry\n"
              "heartbeats." },
    { 0, "port", "N", OPT_U16, AT(o.port), IN(0, 65535),
      .text = "TCP port that <host> listens on (default 0: any)." },
    { 0, "heartbeat", "MS", OPT_U32, AT(o.heartbeat_ms),
      IN(REMUS_HEARTBEAT_MS_MIN, REMUS_HEARTBEAT_MS_MAX),
      .unit = "milliseconds",
      .text = "Say that this host is alive every MS milliseconds\n"
              "(default 100)." },
    { 0, "limit", "MS", OPT_U32, AT(o.limit_ms),
      IN(REMUS_LIMIT_MS_MIN, REMUS_LIMIT_MS_MAX), .unit = "milliseconds",
      .text = "Silence on every path for this long is a failed host\n"
              "(default 1000); at least three heartbeats." },
    { 0, "link-timeout", "MS", OPT_U32, AT(o.limit_ms),
      IN(REMUS_LIMIT_MS_MIN, REMUS_LIMIT_MS_MAX), .unit = "milliseconds",
      .text = "The same." },
    { 0, "suspend-timeout", "MS", OPT_U32, AT(o.suspend_ms),
      IN(REMUS_SUSPEND_MS_MIN, REMUS_SUSPEND_MS_MAX),
      .unit = "milliseconds",
      .text = "How long the guest may take to suspend (default 5000)." },
    { 0, "staging-limit", "SIZE", OPT_SIZE, AT(o.staging_bytes),
      IN(REMUS_STAGING_BYTES_MIN, REMUS_STAGING_BYTES_MAX),
      .text = "Memory that a checkpoint may use here (default 1G)." },
    { 0, "netbuf-limit", "SIZE", OPT_SIZE, AT(o.netbuf_bytes),
      IN(REMUS_NETBUF_BYTES_MIN, REMUS_NETBUF_BYTES_MAX),
      .text = "Output that each vif may hold back (default 64M)." },
    { 0, "plaintext", NULL, OPT_FLAG, AT(o.plaintext),
      .text = "No TLS on the data connections: only for a cable\n"
              "between the two hosts that nobody else can reach." },
    { 0, "quiet", NULL, OPT_FLAG, AT(o.quiet), .text = "No progress." },
    { 0, "verbose", NULL, OPT_FLAG, AT(o.verbose),
      .text = "Say what is done in detail." },
    /* Stock's, which are not for us. */
    { 'u', NULL, NULL, OPT_NOTE,
      .text = "-u has no effect: checkpoints are not compressed" },
    { 'b', NULL, NULL, OPT_REFUSE,
      .text = "replicating to nowhere is left to the distribution's own "
              "xl; run it by its path: "
              "/usr/lib/xen-*/bin/xl remus -F -n -d -b DOMAIN HOST" },
    { 'N', NULL, "SCRIPT", OPT_REFUSE,
      .text = "a network buffer script of your own is not supported yet" },
    { 'c', "colo", NULL, OPT_REFUSE, .text = "COLO is not supported yet" },
    { 'p', NULL, NULL, OPT_REFUSE, .text = "COLO is not supported yet" },
};
#define NOPTS ((unsigned int)(sizeof(opts) / sizeof(opts[0])))

/* The others are not worth a line of help. */
#define NOPTS_SHOWN (NOPTS - 5)

/* What an option alone can't know. */
static int check(const struct xlc_options *o, struct xlc_error *err)
{
    if ((o->no_net || o->no_disk) && !o->unsafe)
        return xlc_error_set(err, -EINVAL, "unsafe mode must be enabled (-F) "
                             "to disable network buffering (-n) or disk "
                             "replication (-d)");
    if (o->limit_ms / REMUS_LIMIT_BEATS < o->heartbeat_ms)
        return xlc_error_set(err, -EINVAL, "--limit %u: it must be at least "
                             "%u heartbeats of %u milliseconds",
                             o->limit_ms, REMUS_LIMIT_BEATS,
                             o->heartbeat_ms);
    if (!*o->domain || !*o->host)
        return xlc_error_set(err, -EINVAL, "an empty name");
    if (*o->ssh && o->host[0] == '-') /* ssh would take it for an option */
        return xlc_error_set(err, -EINVAL, "%.64s is no host", o->host);
    return 0;
}

int remus_args_parse(struct remus_args *a, int argc, char **argv,
                     struct xlc_error *err)
{
    int first;

    memset(a, 0, sizeof(*a));
    xlc_options_init(&a->o);
    first = opts_parse(opts, NOPTS, a, &a->notes, argc, argv, err);
    if (first < 0) return first;
    if (argc - first < 2)
        return xlc_error_set(err, -EINVAL, "which domain, and which host?");
    if (argc - first > 2)
        return xlc_error_set(err, -EINVAL, "%.64s: one argument too many",
                             argv[first + 2]);
    a->o.domain = argv[first];
    a->o.host = argv[first + 1];
    return check(&a->o, err);
}

void remus_args_help(FILE *out)
{
    opts_help(out, opts, NOPTS_SHOWN);
}
