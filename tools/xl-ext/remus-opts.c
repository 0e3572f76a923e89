/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* remus-opts.c - The command line of `xl remus` */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "live.h"
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
              "all writable disks must be script=block-colo." },
    { 0, "config", "FILE", OPT_STRING, AT(config), .typed = true,
      .text = "Read colo=\"…\" from FILE, a domain's configuration\n"
              "(default /etc/xen/DOMAIN.cfg if it is there; '' reads\n"
              "none). What the command line says wins." },
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
    { 0, "disk", "VDEV=PATH", OPT_LIST, AT(o.disks),
      .count = offsetof(struct remus_args, o.ndisks), .max = XLC_DISK_MAX,
      .text = "<host> has the image of the mirrored disk VDEV at PATH,\n"
              "not at the same path as here; may be repeated." },
    { 0, "disk-rate", "SIZE", OPT_SIZE, AT(o.disk_rate),
      IN(REMUS_DISK_RATE_MIN, REMUS_DISK_RATE_MAX),
      .text = "The first copy of a disk takes SIZE octets a second at\n"
              "most (default: no limit)." },
    { 0, "force-sync", NULL, OPT_FLAG, AT(o.force_sync), .typed = true,
      .text = "Overwrite images on <host> of which it is not known\n"
              "that they are copies of this guest's." },
    { 'c', "colo", NULL, OPT_FLAG, AT(o.colo),
      .text = "Keep the copy as a domain that runs beside the guest;\n"
              "what both send leaves at once, what differs costs a\n"
              "checkpoint. A failover restores nothing. PVH guests." },
    { 0, "mode", "MODE", OPT_STRING, AT(mode),
      .text = "auto (--colo's default): the copy runs while that serves\n"
              "clients better. colo: it always does. remus: all that\n"
              "the guest sends waits for checkpoints; with --colo the\n"
              "copy is put back at each, and does not run." },
    { 0, "set", "KEY=VALUE", OPT_LIST, AT(o.settings),
      .count = offsetof(struct remus_args, o.nsettings),
      .max = XLC_SETTING_MAX,
      .text = "Begin with this setting; the keys are those of\n"
              "remus-set. May be repeated." },
    { 0, "events", "FILE", OPT_STRING, AT(o.events),
      .text = "Append to FILE what happens, a line of JSON each; see\n"
              "remus-report." },
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
    { 'p', NULL, NULL, OPT_NOTE,
      .text = "-p has no effect: with --colo packets are compared by xl-colo's "
              "own proxy" },
};
#define NOPTS ((unsigned int)(sizeof(opts) / sizeof(opts[0])))

/* The others are not worth a line of help. */
#define NOPTS_SHOWN (NOPTS - 4)

/* auto and colo are modes of --colo; --colo alone is auto. */
static int set_mode(struct xlc_options *o, const char *mode,
                    struct xlc_error *err)
{
    enum policy_wish w = mode ? policy_wish_find(mode) :
                         o->colo ? POLICY_AUTO : POLICY_REMUS;

    if (w == POLICY_NWISHES)
        return xlc_error_set(err, -EINVAL, "--mode %.64s: it must be auto, "
                             "colo or remus", mode);
    o->mode = (enum xlc_mode)w;
    o->colo = o->colo || w != POLICY_REMUS;
    if (o->no_net && w != POLICY_REMUS)
        return xlc_error_set(err, -EINVAL, "-n: while the copy runs beside "
                             "the guest, what the guest sends is compared, "
                             "and so held back; --mode=remus can do without");
    return 0;
}

/* The settings must make sense for the mode, each and together. */
static int check_settings(const struct xlc_options *o, struct xlc_error *err)
{
    struct policy_set set;
    int r = 0;

    policy_set_init(&set);
    set.wish = (enum policy_wish)o->mode;
    set.interval_ms = o->interval_ms;
    for (unsigned int i = 0; i < o->nsettings && !r; i++) {
        r = live_parse(&set, o->mode != XLC_MODE_REMUS, o->settings[i], err);
        if (!r && set.wish != (enum policy_wish)o->mode)
            r = xlc_error_set(err, -EINVAL, "mode: --mode says that");
    }
    if (r) xlc_error_wrap(err, "--set");
    return r;
}

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
    for (unsigned int i = 0; i < o->ndisks; i++) {
        const char *path = strchr(o->disks[i], '=');

        if (!path || path == o->disks[i] || path[1] != '/')
            return xlc_error_set(err, -EINVAL, "--disk %.80s: VDEV=PATH with "
                                 "an absolute path is wanted, such as "
                                 "xvda=/srv/copy.img", o->disks[i]);
    }
    if (!*o->domain || !*o->host)
        return xlc_error_set(err, -EINVAL, "an empty name");
    if (*o->ssh && o->host[0] == '-') /* ssh would take it for an option */
        return xlc_error_set(err, -EINVAL, "%.64s is no host", o->host);
    return 0;
}

/* The command line alone. Return: the first operand, or as opts_parse() */
static int parse_line(struct remus_args *a, int argc, char **argv,
                      struct xlc_error *err)
{
    int first = opts_parse(opts, NOPTS, a, &a->notes, argc, argv, err);

    if (first < 0) return first;
    if (argc - first < 2)
        return xlc_error_set(err, -EINVAL, "which domain, and which host?");
    if (argc - first > 2)
        return xlc_error_set(err, -EINVAL, "%.64s: one argument too many",
                             argv[first + 2]);
    return first;
}

/* Fill in what the file says, of which a command line that was parsed into
 * @line has something, too. */
static int apply_file(struct remus_args *a, const struct remus_args *line,
                      struct xlc_error *err)
{
    int r = opts_text(opts, NOPTS, a, &a->notes, a->colo.text, err);

    if (r) {
        xlc_error_wrap(err, "%s: colo", a->colo.path);
        return r;
    }
    opts_yield(opts, NOPTS, a, line);
    a->o.config = a->colo.path;
    return 0;
}

int remus_args_parse(struct remus_args *a, int argc, char **argv,
                     struct xlc_error *err)
{
    struct remus_args line = { .config = NULL };
    int first, r;

    memset(a, 0, sizeof(*a));
    xlc_options_init(&a->o);
    xlc_options_init(&line.o);
    first = parse_line(&line, argc, argv, err);
    if (first < 0) return first;
    r = config_file_read(&a->colo, line.config, argv[first], err);
    if (!r && a->colo.text) r = apply_file(a, &line, err);
    if (r) return r;
    first = parse_line(a, argc, argv, err);
    if (first < 0) return first;
    a->o.domain = argv[first];
    a->o.host = argv[first + 1];
    r = set_mode(&a->o, a->mode, err);
    if (!r) r = check(&a->o, err);
    if (!r) r = check_settings(&a->o, err);
    if (r && a->o.config)
        xlc_error_wrap(err, "with what %s says", a->o.config);
    return r;
}

void remus_args_free(struct remus_args *a)
{
    config_file_free(&a->colo);
}

void remus_args_help(FILE *out)
{
    opts_help(out, opts, NOPTS_SHOWN);
}
