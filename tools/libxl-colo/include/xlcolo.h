/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xlcolo.h - Protect a Xen domain with a copy on a second host
 *
 * What an xl developer calls. `xl remus` (tools/xl-ext) is the only caller
 * today; it fills in the options and shows what comes back.
 */
#ifndef XLCOLO_H
#define XLCOLO_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define XLC_PEER_MAX 4
#define XLC_DISK_MAX 8
#define XLC_SETTING_MAX 16

/**
 * enum xlc_outcome - how a protection ended; the exit status of `xl remus`
 * @XLC_STOPPED: on request; the guest runs here, unprotected
 * @XLC_ERROR: this side failed; the guest runs here, unprotected
 * @XLC_USAGE: the command line makes no sense; nothing was done
 * @XLC_REFUSED: this guest or this pair of hosts can't be protected (the
 *               sentence says why); nothing was changed
 * @XLC_PEER_LOST: the other host, or its copy, is gone; the guest runs here,
 *                 unprotected
 * @XLC_POWEROFF: the guest shut down; both sides are clean
 * @XLC_REBOOT: the guest rebooted; both sides are clean, protection ended
 * @XLC_CRASH: the guest crashed; both sides are clean
 * @XLC_MOVED: the other host runs the guest now; the copy here is destroyed
 * @XLC_UNCONFIRMED: the guest ended or was handed over here, but the other
 *                   host never confirmed it: look there before you start it
 * @XLC_STUCK: contact was lost while the other host was taking over; the
 *             guest is suspended here and was not started again, because the
 *             other host may run it
 * @XLC_WORKER_DIED: the process that did the work was killed; its guard
 *                   cleaned up; the guest runs here, unprotected
 */
enum xlc_outcome {
    XLC_STOPPED = 0,
    XLC_ERROR = 1,
    XLC_USAGE = 2,
    XLC_REFUSED = 3,
    XLC_PEER_LOST = 4,
    XLC_POWEROFF = 5,
    XLC_REBOOT = 6,
    XLC_CRASH = 7,
    XLC_MOVED = 8,
    XLC_UNCONFIRMED = 9,
    XLC_STUCK = 10,
    XLC_WORKER_DIED = 11,
};

/* "peer-lost", …: the "outcome" of status JSON and of the log. */
const char *xlc_outcome_name(enum xlc_outcome o);

/* A sentence that says what it means for the guest. */
const char *xlc_outcome_text(enum xlc_outcome o);

/**
 * enum xlc_mode - when what the domain sends may leave
 * @XLC_MODE_AUTO: whatever serves its clients better, as measured
 * @XLC_MODE_COLO: once the copy, which runs, has sent the same
 * @XLC_MODE_REMUS: once a checkpoint covers it
 */
enum xlc_mode {
    XLC_MODE_AUTO,
    XLC_MODE_COLO,
    XLC_MODE_REMUS,
};

/**
 * struct xlc_options - what `xl remus` was told
 * @domain: name, domid or uuid of the domain here
 * @config: the file that some of it was read from, NULL if none; for status
 * @host: the other host as ssh knows it
 * @ssh: the command that reaches it ("ssh" by default); an empty string
 *       means that @host itself is a command
 * @peers: further addresses of the other host; the first carries the data,
 *         all carry heartbeats; @npeers of them
 * @port: TCP port the other side listens on, 0 for any
 * @interval_ms: between the starts of two checkpoints
 * @heartbeat_ms: between two heartbeats, each way
 * @limit_ms: silence on every path for this long is a failed host
 * @suspend_ms: how long a guest may take to suspend
 * @staging_bytes: memory an epoch may use here before the guest waits
 * @netbuf_bytes: octets a vif may hold back
 * @unsafe: -F, needed with @no_net and @no_disk
 * @no_net: -n, output is not held back
 * @no_disk: -d, disks are not mirrored
 * @no_monitor: -e, leave nobody behind that acts on the guest's shutdown
 * @plaintext: no TLS on the data connections
 * @disks: "VDEV=/path": where the other host has the image of a mirrored disk,
 *         if not at the same path; @ndisks of them
 * @disk_rate: octets a second that the first copy of a disk may take; 0: any
 * @force_sync: overwrite images on the other host of which nothing is known
 * @colo: the copy is a domain that is put back at each checkpoint; needed for
 *        a @mode that is not XLC_MODE_REMUS
 * @settings: "key=value" as `xl remus-set` takes them; @nsettings of them
 * @mode: the copy runs beside the domain, or only takes checkpoints
 * @events: a file for the event log (docs/events.md), NULL for none
 * @quiet: no progress
 * @verbose: debug log
 */
struct xlc_options {
    const char *domain;
    const char *config;
    const char *host;
    const char *ssh;
    const char *peers[XLC_PEER_MAX];
    unsigned int npeers;
    uint16_t port;
    uint32_t interval_ms;
    uint32_t heartbeat_ms;
    uint32_t limit_ms;
    uint32_t suspend_ms;
    uint64_t staging_bytes;
    uint64_t netbuf_bytes;
    const char *disks[XLC_DISK_MAX];
    unsigned int ndisks;
    uint64_t disk_rate;
    bool force_sync;
    const char *events;
    bool unsafe, no_net, no_disk, no_monitor, plaintext, quiet, verbose;
    bool colo;
    enum xlc_mode mode;
    const char *settings[XLC_SETTING_MAX];
    unsigned int nsettings;
};

#define XLC_INTERVAL_MS_DEFAULT   200u
#define XLC_INTERVAL_MS_MIN       10u
#define XLC_INTERVAL_MS_MAX       60000u
#define XLC_HEARTBEAT_MS_DEFAULT  100u
#define XLC_LIMIT_MS_DEFAULT      1000u
#define XLC_SUSPEND_MS_DEFAULT    5000u
#define XLC_STAGING_BYTES_DEFAULT (1ull << 30)
#define XLC_NETBUF_BYTES_DEFAULT  (64ull << 20)

/* Options with every default in place. */
void xlc_options_init(struct xlc_options *o);

/**
 * xlc_protect() - protect a domain until something ends it
 * @o: must stay valid
 *
 * Forks (call it before any other thread or libxl context exists) and
 * returns in the caller's process when protection has ended. A guest that is
 * left running here is then watched by a process in the background, unless
 * @o->no_monitor. What happened is on the log.
 *
 * Return: how it ended
 */
enum xlc_outcome xlc_protect(const struct xlc_options *o);

/**
 * xlc_receive() - the other side, started through ssh by xlc_protect()
 *
 * Speaks the boot channel on standard input and output, leaves ssh's session
 * and goes on in the background. Return: exit status of the boot part
 */
int xlc_receive(bool verbose);

#endif
