/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbdkit-plugin.c - nbdkit's plugin "xlcolo": a mirrored disk for a guest
 *
 * nbdkit speaks NBD, has the threads, and cuts requests to the protocol's
 * rules; here its calls become those of disknode.h. Files are opened before
 * nbdkit goes into the background, so that what is wrong is said by its exit;
 * threads start after that.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "disknode.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static struct disknode_opts opts = {
    .connections = 1,
    .tidy_ms = DISKNODE_TIDY_MS,
    .mirror = { .limit = MIRROR_LIMIT, .hold_ms = MIRROR_HOLD_MS },
    .memory = STORE_MEMORY_LIMIT,
    .spill = STORE_SPILL_LIMIT,
    .journal = STORE_JOURNAL_LIMIT,
    .overlay = OVERLAY_LIMIT,
};
static char *image, *dir, *name, *control;
static bool have_uuid;
static struct disknode *node;
static struct diskctl_server *server;

static int say(const struct xlc_error *err, int rc)
{
    nbdkit_error("%s", err->msg[0] ? err->msg : strerror(-rc));
    return -1;
}

/* ---- Parameters ---------------------------------------------------------- */

static int take_path(char **to, const char *value)
{
    free(*to);
    *to = nbdkit_absolute_path(value);
    return *to ? 0 : -1;
}

/* A plain file name: it becomes part of paths. */
static int take_name(const char *value)
{
    if (!value[0] || value[0] == '.' || strchr(value, '/') ||
        strlen(value) > 128) {
        nbdkit_error("name=%s: not the name of a disk", value);
        return -1;
    }
    free(name);
    name = strdup(value);
    return name ? 0 : -1;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static int take_uuid(const char *value)
{
    const char *p = value;
    size_t n = 0;

    while (*p) {
        int high, low;

        if (*p == '-' && n) {
            p++;
            continue;
        }
        high = digit(p[0]);
        low = high < 0 ? -1 : digit(p[1]);
        if (low < 0 || n >= sizeof(opts.uuid)) break;
        opts.uuid[n++] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    if (*p || n != sizeof(opts.uuid)) {
        nbdkit_error("uuid=%s: not a uuid", value);
        return -1;
    }
    have_uuid = true;
    return 0;
}

static int take_role(const char *value)
{
    if (strcmp(value, "primary") && strcmp(value, "secondary")) {
        nbdkit_error("role=%s: primary or secondary", value);
        return -1;
    }
    opts.secondary = value[0] == 's';
    return 0;
}

static int take_size(const char *key, const char *value, uint64_t *to)
{
    int64_t n = nbdkit_parse_size(value);

    if (n < 0) return -1;
    *to = (uint64_t)n;
    /* A message must fit; 0 is "no limit" only for the rate. */
    if (to == &opts.mirror.rate || n >= 2 << 20) return 0;
    nbdkit_error("%s=%s: at least 2M", key, value);
    return -1;
}

static int xlcolo_config(const char *key, const char *value)
{
    static const struct {
        const char *key;
        uint64_t *to;
    } sizes[] = {
        { "journal", &opts.journal },   { "memory", &opts.memory },
        { "overlay", &opts.overlay },   { "queue", &opts.mirror.limit },
        { "rate", &opts.mirror.rate },  { "spill", &opts.spill },
    };
    int r;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (!strcmp(key, sizes[i].key))
            return take_size(key, value, sizes[i].to);
    if (!strcmp(key, "image")) return take_path(&image, value);
    if (!strcmp(key, "state")) return take_path(&dir, value);
    if (!strcmp(key, "control")) return take_path(&control, value);
    if (!strcmp(key, "name")) return take_name(value);
    if (!strcmp(key, "uuid")) return take_uuid(value);
    if (!strcmp(key, "role")) return take_role(value);
    if (!strcmp(key, "connections"))
        return nbdkit_parse_unsigned(key, value, &opts.connections);
    if (!strcmp(key, "hold-ms"))
        return nbdkit_parse_uint32_t(key, value, &opts.mirror.hold_ms);
    if (!strcmp(key, "tidy-ms"))
        return nbdkit_parse_uint32_t(key, value, &opts.tidy_ms);
    if (!strcmp(key, "force") || !strcmp(key, "newest")) {
        r = nbdkit_parse_bool(value);
        *(*key == 'f' ? &opts.force : &opts.newest) = r > 0;
        return r < 0 ? -1 : 0;
    }
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int xlcolo_config_complete(void)
{
    if (!image) {
        nbdkit_error("image= is missing");
        return -1;
    }
    if ((dir || name || have_uuid || control || opts.secondary) &&
        !(dir && name && have_uuid && control)) {
        nbdkit_error("a disk that can be mirrored needs state=, name=, uuid= "
                     "and control=");
        return -1;
    }
    if (!opts.connections || opts.connections > 64 || !opts.mirror.hold_ms ||
        opts.mirror.hold_ms > 600000 || !opts.tidy_ms) {
        nbdkit_error("connections is 1 to 64, hold-ms 1 to 600000, tidy-ms "
                     "not 0");
        return -1;
    }
    opts.image = image;
    opts.dir = dir;
    opts.name = name;
    return 0;
}

#define xlcolo_config_help \
    "image=PATH       (required) raw file or block device\n" \
    "state=DIR        what is kept of it; with name=, uuid=, control=\n" \
    "name=GUEST-DISK  prefix of its files there\n" \
    "uuid=UUID        the guest's\n" \
    "control=SOCKET   where the session asks\n" \
    "role=primary|secondary\n" \
    "force=BOOL       serve, or overwrite, an image that may be wrong\n" \
    "newest=BOOL      the other host was asked: it has nothing newer\n" \
    "connections=N    NBD connections that may live at once (1)\n" \
    "hold-ms=MS       a write waits no longer for the peer (5000)\n" \
    "queue=SIZE       what may wait for the peer (64M)\n" \
    "tidy-ms=MS       how often write intents are cleared (2000)\n" \
    "rate=SIZE        a sync's octets a second (no limit)\n" \
    "memory=SIZE      of epochs kept aside (128M)\n" \
    "spill=SIZE       the same, in a file (4G)\n" \
    "journal=SIZE     of epochs that the image may lack (256M)\n" \
    "overlay=SIZE     of what COLO's second copy writes (4G)"

/* ---- Life ---------------------------------------------------------------- */

static int xlcolo_get_ready(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int rc = disknode_open(&node, &opts, &err);

    if (!rc && control) rc = diskctl_serve_open(&server, control, &err);
    return rc ? say(&err, rc) : 0;
}

static int xlcolo_after_fork(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int rc = disknode_start(node, &err);

    if (!rc && server) rc = diskctl_serve_start(server, node, &err);
    return rc ? say(&err, rc) : 0;
}

static void xlcolo_cleanup(void)
{
    struct xlc_error err = XLC_ERROR_INIT;
    int rc;

    diskctl_serve_close(server);
    server = NULL;
    rc = disknode_close(node, &err);
    node = NULL;
    if (rc) say(&err, rc);
}

static void xlcolo_unload(void)
{
    /* Without a start that went well nobody cleaned up. */
    if (node) xlcolo_cleanup();
    free(image);
    free(dir);
    free(name);
    free(control);
}

/* ---- A connection -------------------------------------------------------- */

static void *xlcolo_open(int readonly)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct disknode_conn *c = NULL;
    int rc = disknode_connect(node, &c, &err);

    (void)readonly; /* nbdkit refuses the writes itself */
    if (rc) say(&err, rc);
    return c;
}

static void xlcolo_close(void *handle)
{
    disknode_disconnect(handle);
}

static int64_t xlcolo_get_size(void *handle)
{
    (void)handle;
    return (int64_t)disknode_size(node);
}

static int xlcolo_yes(void *handle)
{
    (void)handle;
    return 1;
}

/* A flush on one connection covers what was written on all. */
static int xlcolo_can_multi_conn(void *handle)
{
    (void)handle;
    return opts.connections > 1;
}

/* nbdkit calls flush after the request. */
static int xlcolo_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_EMULATE;
}

static int result(int rc, const struct xlc_error *err)
{
    if (!rc) return 0;
    nbdkit_set_error(-rc);
    return say(err, rc);
}

static int xlcolo_pread(void *handle, void *buf, uint32_t count,
                        uint64_t offset, uint32_t flags)
{
    struct xlc_error err = XLC_ERROR_INIT;

    (void)flags;
    return result(disknode_read(handle, buf, count, offset, &err), &err);
}

static int xlcolo_pwrite(void *handle, const void *buf, uint32_t count,
                         uint64_t offset, uint32_t flags)
{
    struct xlc_error err = XLC_ERROR_INIT;

    (void)flags;
    return result(disknode_write(handle, buf, count, offset, &err), &err);
}

static int xlcolo_zero(void *handle, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    struct xlc_error err = XLC_ERROR_INIT;

    (void)flags;
    return result(disknode_zero(handle, count, offset, &err), &err);
}

static int xlcolo_flush(void *handle, uint32_t flags)
{
    struct xlc_error err = XLC_ERROR_INIT;

    (void)flags;
    return result(disknode_flush(handle, &err), &err);
}

static struct nbdkit_plugin plugin = {
    .name = "xlcolo",
    .longname = "mirrored disk of a protected guest",
    .version = PACKAGE_VERSION,
    .config = xlcolo_config,
    .config_complete = xlcolo_config_complete,
    .config_help = xlcolo_config_help,
    .magic_config_key = "image",
    .get_ready = xlcolo_get_ready,
    .after_fork = xlcolo_after_fork,
    .cleanup = xlcolo_cleanup,
    .unload = xlcolo_unload,
    .open = xlcolo_open,
    .close = xlcolo_close,
    .get_size = xlcolo_get_size,
    .can_write = xlcolo_yes,
    .can_flush = xlcolo_yes,
    .can_trim = xlcolo_yes,
    .can_zero = xlcolo_yes,
    .can_multi_conn = xlcolo_can_multi_conn,
    .can_fua = xlcolo_can_fua,
    .pread = xlcolo_pread,
    .pwrite = xlcolo_pwrite,
    .zero = xlcolo_zero,
    .trim = xlcolo_zero,
    .flush = xlcolo_flush,
    .errno_is_preserved = 0,
};

/* The macro defines it; nbdkit looks it up. */
struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
