/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secondary-boot.c - The secondary's half of the boot channel */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/crypto.h>

#include "cleanup.h"
#include "clock.h"
#include "daemon.h"
#include "host.h"
#include "log.h"
#include "plane-name.h"
#include "secondary.h"
#include "xlctx.h"

#define BOOT_MS 30000u
/* Between READY and the first connection the primary sets up its buffers. */
#define CONNECT_MS 20000u

/* The address of this host that ssh used: the third word. */
static void ssh_address(char *buf, size_t size)
{
    const char *s = getenv("SSH_CONNECTION");
    size_t len;

    buf[0] = 0;
    for (int i = 0; s && i < 2; i++) {
        s = strchr(s, ' ');
        if (s) s++;
    }
    if (!s) return;
    len = strcspn(s, " ");
    if (len < size) {
        memcpy(buf, s, len);
        buf[len] = 0;
    }
}

static int check_hello(struct secondary *s, uint16_t major, uint16_t minor,
                       struct xlc_error *err)
{
    const struct proto_hello *h = &s->hello;

    if (h->version_min > PROTO_VERSION || h->version < PROTO_VERSION_MIN)
        return xlc_error_set(err, -EPROTO, "this host speaks version %u of "
                             "the protocol, the primary %u to %u",
                             PROTO_VERSION, h->version_min, h->version);
    if (h->role != PROTO_ROLE_PRIMARY)
        return xlc_error_set(err, -EPROTO, "the other side is no primary");
    if (h->xen_major != major || h->xen_minor != minor)
        return xlc_error_set(err, -EPERM, "this host runs Xen %u.%u, the "
                             "primary %u.%u: they must be equal", major,
                             minor, h->xen_major, h->xen_minor);
    if (h->heartbeat_ms < 10 || h->limit_ms / 3 < h->heartbeat_ms)
        return xlc_error_set(err, -EPROTO, "heartbeat %u ms and limit %u ms "
                             "make no sense", h->heartbeat_ms, h->limit_ms);
    if (h->caps & PROTO_CAP_PROXY && !(h->caps & PROTO_CAP_COLO))
        return xlc_error_set(err, -EPROTO, "packets can be compared only "
                             "with a copy that is a domain");
    return 0;
}

static void take_secret(struct secondary *s)
{
    memcpy(s->secret.session, s->hello.session, sizeof(s->secret.session));
    memcpy(s->secret.key, s->hello.key, sizeof(s->secret.key));
    s->secret.plaintext = s->hello.caps & PROTO_CAP_PLAINTEXT;
    gnutls_memset(s->hello.key, 0, sizeof(s->hello.key));
}

static int on_hello(struct secondary *s, struct xlc_error *err)
{
    const uint8_t *u = s->hello.uuid;
    uint16_t major = 0, minor = 0;
    libxl_ctx *ctx;
    char uuid[37];
    int r = xlctx_new(&ctx, err);

    if (r) return r;
    r = host_xen_version(ctx, &major, &minor, err);
    libxl_ctx_free(ctx);
    if (!r) r = check_hello(s, major, minor, err);
    if (r) return r;
    snprintf(uuid, sizeof(uuid), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x"
             "-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4], u[5],
             u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
    r = record_load(&s->rec, uuid, err);
    if (!r) r = control_listen(&s->control, uuid, err);
    if (!r) {
        s->listener = conn_listen(s->hello.port, &s->port, err);
        r = s->listener < 0 ? s->listener : 0;
    }
    if (r) return r;
    struct proto_msg m = { .hdr.type = PROTO_HELLO_REPLY };
    struct proto_hello_reply *a = &m.u.hello_reply;

    a->version = s->hello.version < PROTO_VERSION ? s->hello.version :
                 PROTO_VERSION;
    a->caps = s->hello.caps &
              (PROTO_CAP_PLAINTEXT | PROTO_CAP_DISK | PROTO_CAP_COLO |
               PROTO_CAP_PROXY | PROTO_CAP_PROXY_AGAIN);
    a->port = s->port;
    a->generation = s->rec.generation;
    a->xen_major = major;
    a->xen_minor = minor;
    memcpy(a->session, s->hello.session, sizeof(a->session));
    ssh_address(a->addr, sizeof(a->addr));
    return boot_send(&s->boot, &m, err);
}

/* This host's record of the guest from here on. */
static void begin_record(struct secondary *s)
{
    snprintf(s->rec.name, sizeof(s->rec.name), "%s", s->hello.name);
    snprintf(s->rec.state, sizeof(s->rec.state), "syncing");
    s->rec.peer[0] = 0;
    if (getenv("SSH_CONNECTION"))
        snprintf(s->rec.peer, sizeof(s->rec.peer), "%.*s",
                 (int)strcspn(getenv("SSH_CONNECTION"), " "),
                 getenv("SSH_CONNECTION"));
    s->rec.generation = s->hello.generation;
    s->rec.role = PROTO_ROLE_SECONDARY;
    s->rec.epoch = 0;
}

/* Vifs whose packets can go through our hands. */
static int check_vifs(struct secondary *s, struct xlc_error *err)
{
    char names[WIRE_VIFS_MAX][IFNAMSIZ], tap[IFNAMSIZ];
    unsigned int n = restore_vif_names(s->restore, names, WIRE_VIFS_MAX);

    if (!n || n > WIRE_VIFS_MAX)
        return xlc_error_set(err, -EPERM, "the packets of a guest with %u "
                             "network interfaces can't be compared (1 to %u "
                             "can): use --mode=remus", n, WIRE_VIFS_MAX);
    for (unsigned int i = 0; i < n; i++)
        if (plane_name(tap, names[i], false))
            return xlc_error_set(err, -EPERM, "the packets of an interface "
                                 "that is called \"%s\" (vifname=) can't be "
                                 "compared: leave vifname= out, or use "
                                 "--mode=remus", names[i]);
    return 0;
}

/* The copy is a domain, and perhaps its packets are compared. */
static int begin_colo(struct secondary *s, struct xlc_error *err)
{
    int r = colo_secondary_new(&s->colo, s, err);

    if (r || !(s->hello.caps & PROTO_CAP_PROXY)) return r;
    r = check_vifs(s, err);
    if (r) return r;
    return secondary_proxy_new(&s->proxy, s->rec.name, s->sh, err);
}

static int on_config(struct secondary *s, const struct proto_msg *m,
                     struct xlc_error *err)
{
    CLEANUP_FREE char *json = strndup((const char *)m->u.data, m->hdr.length);
    struct receive_shared *sh = s->sh;
    int r;

    if (!json) return xlc_error_set(err, -ENOMEM, "no memory");
    memcpy(sh->uuid_raw, s->hello.uuid, sizeof(sh->uuid_raw));
    snprintf(sh->uuid, sizeof(sh->uuid), "%s", s->rec.uuid);
    snprintf(sh->name, sizeof(sh->name), "%s", s->hello.name);
    sh->known = true;
    sh->building = true;
    r = restore_start(&s->restore, json, &s->disks.list, err);
    if (r) return r;
    if (strcmp(restore_uuid(s->restore), s->rec.uuid) ||
        strcmp(restore_name(s->restore), s->hello.name))
        return xlc_error_set(err, -EPROTO, "the configuration is of another "
                             "guest (%s)", restore_name(s->restore));
    if (s->hello.caps & PROTO_CAP_COLO) r = begin_colo(s, err);
    if (!r) r = secondary_disks_serve(s, err);
    if (r) return r;
    begin_record(s);
    return record_save(&s->rec, err);
}

static void refuse(struct secondary *s, const struct xlc_error *why)
{
    struct proto_msg m = { .hdr.type = PROTO_REFUSED };
    struct xlc_error e = XLC_ERROR_INIT;

    snprintf(m.u.verdict.text, sizeof(m.u.verdict.text), "%.*s",
             (int)sizeof(m.u.verdict.text) - 1, why->msg);
    boot_send(&s->boot, &m, &e);
}

static int converse(struct secondary *s, struct xlc_error *err)
{
    CLEANUP_FREE uint8_t *buf = NULL, *buf2 = NULL;
    struct proto_msg m;
    int r;

    r = boot_recv(&s->boot, &m, &buf, clock_ms() + BOOT_MS, err);
    if (r) return r;
    if (m.hdr.type != PROTO_HELLO)
        return xlc_error_set(err, -EPROTO, "%s where HELLO belongs",
                             proto_type_name(m.hdr.type));
    s->hello = m.u.hello;
    gnutls_memset(&m, 0, sizeof(m));
    explicit_bzero(buf, 100);
    r = on_hello(s, err);
    if (r) return r;
    take_secret(s);
    r = boot_recv(&s->boot, &m, &buf2, clock_ms() + BOOT_MS, err);
    if (!r && m.hdr.type == PROTO_DISKS) {
        r = secondary_disks_list(s, &m, err);
        if (!r) r = boot_recv(&s->boot, &m, &buf2, clock_ms() + BOOT_MS, err);
    }
    if (!r && m.hdr.type != PROTO_CONFIG)
        r = xlc_error_set(err, -EPROTO, "%s where CONFIG belongs",
                          proto_type_name(m.hdr.type));
    return r ? r : on_config(s, &m, err);
}

/* Leave ssh: from here on the log is a file. */
static void leave_ssh(struct secondary *s)
{
    s->boot = (struct boot){ -1, -1, -1 }; /* daemon_detach() closes them */
    daemon_detach("receive", s->rec.name);
    log_no_wait();
    secondary_events_begin(s);
    if (write(s->sync, "+", 1) != 1)
        log_warn("the process that ssh waits for is gone");
    close(steal_fd(&s->sync));
}

int secondary_boot(struct secondary *s, struct xlc_error *err)
{
    struct proto_msg ready = { .hdr.type = PROTO_READY };
    int r = converse(s, err);

    if (r) {
        refuse(s, err);
        return r;
    }
    paths_init(&s->paths, s->hello.limit_ms + s->hello.limit_ms / 4,
               clock_ms());
    s->boot_until_ms = clock_ms() + CONNECT_MS;
    r = boot_send(&s->boot, &ready, err);
    if (r) return r;
    /* For one that may have to take our place. */
    s->sh->hello = s->hello;
    s->sh->secret = s->secret;
    s->sh->port = s->port;
    leave_ssh(s);
    log_info("%s: receiving from %s, port %u", s->rec.name,
             s->rec.peer[0] ? s->rec.peer : "?", s->port);
    return 0;
}
