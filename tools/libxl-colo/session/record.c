/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* record.c - What a host remembers of a guest over a crash */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

#include "cleanup.h"
#include "json.h"
#include "proto.h"
#include "record.h"

#define RECORD_SIZE_MAX 4096

static void record_path(char *buf, size_t size, const char *uuid,
                        const char *suffix)
{
    snprintf(buf, size, "%s/%s.json%s", XLC_STATEDIR, uuid, suffix);
}

static const char *get_string(yajl_val tree, const char *key)
{
    const char *path[] = { key, NULL };

    return YAJL_GET_STRING(yajl_tree_get(tree, path, yajl_t_string));
}

static long long get_number(yajl_val tree, const char *key)
{
    const char *path[] = { key, NULL };
    yajl_val v = yajl_tree_get(tree, path, yajl_t_number);

    return v && YAJL_IS_INTEGER(v) ? YAJL_GET_INTEGER(v) : -1;
}

int record_parse(struct record *r, const char *text, struct xlc_error *err)
{
    yajl_val tree = yajl_tree_parse(text, NULL, 0);
    const char *uuid, *name, *state, *peer;
    long long gen, epoch, role;
    int rc = -EINVAL;

    if (!tree) return xlc_error_set(err, -EINVAL, "not JSON");
    uuid = get_string(tree, "uuid");
    name = get_string(tree, "name");
    state = get_string(tree, "state");
    peer = get_string(tree, "peer");
    gen = get_number(tree, "generation");
    epoch = get_number(tree, "epoch");
    role = get_number(tree, "role");
    if (!uuid || strlen(uuid) != 36 || !name ||
        strlen(name) >= sizeof(r->name) || !state ||
        strlen(state) >= sizeof(r->state) || !peer ||
        strlen(peer) >= sizeof(r->peer) || gen < 0 || epoch < 0 ||
        (role != PROTO_ROLE_PRIMARY && role != PROTO_ROLE_SECONDARY)) {
        xlc_error_set(err, rc, "a field is missing or makes no sense");
    } else {
        *r = (struct record){ .generation = (uint64_t)gen,
                              .role = (unsigned int)role,
                              .epoch = (uint64_t)epoch };
        memcpy(r->uuid, uuid, strlen(uuid) + 1);
        memcpy(r->name, name, strlen(name) + 1);
        memcpy(r->state, state, strlen(state) + 1);
        memcpy(r->peer, peer, strlen(peer) + 1);
        rc = 0;
    }
    yajl_tree_free(tree);
    return rc;
}

int record_load(struct record *r, const char *uuid, struct xlc_error *err)
{
    char path[128], text[RECORD_SIZE_MAX];
    CLEANUP_FD int fd = -1;
    ssize_t n;
    int rc;

    *r = (struct record){ .generation = 0 };
    snprintf(r->uuid, sizeof(r->uuid), "%s", uuid);
    record_path(path, sizeof(path), uuid, "");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return 0;
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    text[n] = 0;
    rc = record_parse(r, text, err);
    if (!rc && strcmp(r->uuid, uuid))
        rc = xlc_error_set(err, -EINVAL, "it is about another guest");
    if (rc)
        xlc_error_wrap(err, "%s can't be used (if it is damaged, and you "
                       "know that no newer copy of the guest exists, remove "
                       "it)", path);
    return rc;
}

static int write_file(const char *path, const char *text,
                      struct xlc_error *err)
{
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                             0600);
    size_t len = strlen(text);

    if (fd < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd))
        return xlc_error_set(err, errno ? -errno : -EIO, "%s: %s", path,
                             strerror(errno));
    return 0;
}

int record_save(const struct record *r, struct xlc_error *err)
{
    char path[128], tmp[128];
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FD int dir = -1;
    struct json j;
    int rc;

    if (mkdir(XLC_STATEDIR, 0700) && errno != EEXIST)
        return xlc_error_set(err, -errno, "%s: %s", XLC_STATEDIR,
                             strerror(errno));
    json_begin(&j);
    json_str(&j, "uuid", r->uuid);
    json_str(&j, "name", r->name);
    json_uint(&j, "generation", r->generation);
    json_uint(&j, "role", r->role);
    json_str(&j, "state", r->state);
    json_uint(&j, "epoch", r->epoch);
    json_str(&j, "peer", r->peer);
    text = json_end(&j);
    if (!text) return xlc_error_set(err, -ENOMEM, "no memory");
    record_path(path, sizeof(path), r->uuid, "");
    record_path(tmp, sizeof(tmp), r->uuid, ".new");
    rc = write_file(tmp, text, err);
    if (rc) return rc;
    dir = open(XLC_STATEDIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rename(tmp, path) || dir < 0 || fsync(dir))
        return xlc_error_set(err, -errno, "%s: %s", path, strerror(errno));
    return 0;
}
