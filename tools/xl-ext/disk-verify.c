/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk-verify.c - Compare an image with the other host's, block by block
 *
 * Each host computes checksums of its own (XXH3, 128 bits) and says a line
 * for each block of 4 MiB. The other host's lines are never interpreted: they
 * are equal to ours, or they differ where a checksum stands, or they are no
 * such lines.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <xxhash.h>

#include "cleanup.h"
#include "disk.h"
#include "log.h"
#include "number.h"
#include "opts.h"

extern char **environ;

#define OFFSET_LEN 16u
#define PIECE      (1u << 20)

/* ---- This host ----------------------------------------------------------- */

/* Return: 0 and the checksum as text */
static int sum_block(int fd, uint8_t *buf, uint64_t off, uint64_t len,
                     XXH3_state_t *state, char *line)
{
    XXH128_hash_t h;

    XXH3_128bits_reset(state);
    while (len) {
        size_t want = len < PIECE ? (size_t)len : PIECE;
        ssize_t r = pread(fd, buf, want, (off_t)off);

        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return r ? -errno : -ENODATA;
        XXH3_128bits_update(state, buf, (size_t)r);
        off += (uint64_t)r;
        len -= (uint64_t)r;
    }
    h = XXH3_128bits_digest(state);
    snprintf(line + OFFSET_LEN, DISK_SUM_LINE - OFFSET_LEN + 1u,
             " %016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
             (uint64_t)h.low64);
    return 0;
}

int disk_sums(const char *path, int (*take)(void *ctx, const char *line),
              void *ctx, struct xlc_error *err)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE uint8_t *buf = malloc(PIECE);
    XXH3_state_t *state = XXH3_createState();
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    char line[DISK_SUM_LINE + 1u];
    int rc = 0;

    if (size < 0)
        rc = xlc_error_set(err, -errno, "%s can't be read: %s", path,
                           strerror(errno));
    else if (!buf || !state) rc = xlc_error_set(err, -ENOMEM, "no memory");
    if (!rc) {
        snprintf(line, sizeof(line), DISK_SUM_HEAD "%016" PRIx64,
                 (uint64_t)size);
        rc = take(ctx, line);
    }
    for (uint64_t off = 0; !rc && off < (uint64_t)size;
         off += DISK_SUM_BLOCK) {
        uint64_t len = (uint64_t)size - off;

        snprintf(line, sizeof(line), "%016" PRIx64, off);
        rc = sum_block(fd, buf, off, len < DISK_SUM_BLOCK ? len
                                                          : DISK_SUM_BLOCK,
                       state, line);
        if (rc)
            xlc_error_set(err, rc, "%s can't be read at %" PRIu64 ": %s",
                          path, off, strerror(-rc));
        else rc = take(ctx, line);
    }
    XXH3_freeState(state);
    return rc;
}

int disk_may_sum(const char *path, bool paused, struct xlc_error *err)
{
    CLEANUP_FREE char *real = realpath(path, NULL);
    const struct disk *d;
    struct disk_list all;
    int rc = disk_show_get(&all, err);

    if (rc) return rc;
    d = disk_show_find(&all, path);
    if (!d && real) d = disk_show_find(&all, real);
    if (!d) goto out;
    if (d->err.status)
        rc = xlc_error_set(err, -EBUSY, "%s is served here, but its plugin "
                           "does not answer: %s", path, d->err.msg);
    else if (d->st.role != DISKCTL_PRIMARY)
        rc = xlc_error_set(err, -EBUSY, "%s is being kept as a copy: end the "
                           "protection first", path);
    else if (d->st.state)
        rc = xlc_error_set(err, -EBUSY, "%s is mirrored at this moment: end "
                           "the protection first", path);
    else if (d->device[0] && !paused)
        rc = xlc_error_set(err, -EBUSY, "a guest writes to %s: shut it down, "
                           "or pause it and name it instead of the image",
                           path);
    else if (d->st.lacking)
        rc = xlc_error_set(err, -EBUSY, "the other host is known to lack %"
                           PRIu64 " octets of %s: protect it again first",
                           d->st.lacking, path);
out:
    disk_show_free(&all);
    return rc;
}

/* ---- The other host ------------------------------------------------------ */

/* 'it'\''s', for the other host's shell. NULL: no memory */
static char *quoted(const char *text)
{
    char *out = malloc(strlen(text) * 4u + 3u), *p = out;

    if (!out) return NULL;
    *p++ = '\'';
    for (; *text; text++) {
        if (*text == '\'') {
            memcpy(p, "'\\''", 4);
            p += 4;
        } else {
            *p++ = *text;
        }
    }
    *p++ = '\'';
    *p = '\0';
    return out;
}

/* Return: the read end of what it says, and @pid */
static int ask_host(const char *host, const char *there, pid_t *pid,
                    struct xlc_error *err)
{
    CLEANUP_FREE char *path = quoted(there), *command = NULL;
    posix_spawn_file_actions_t fa;
    CLEANUP_FD int in = -1, out = -1;
    int fds[2], r;

    if (!path || asprintf(&command, "xl remus-disk sums %s", path) < 0) {
        command = NULL;
        return xlc_error_set(err, -ENOMEM, "no memory");
    }
    if (pipe2(fds, O_CLOEXEC))
        return xlc_error_set(err, -errno, "no pipe: %s", strerror(errno));
    in = fds[0];
    out = fds[1];
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
    r = posix_spawnp(pid, "ssh", &fa, NULL,
                     (char *[]){ (char *)(uintptr_t)"ssh",
                                 (char *)(uintptr_t)"-oBatchMode=yes",
                                 (char *)(uintptr_t)"--",
                                 (char *)(uintptr_t)host, command, NULL },
                     environ);
    posix_spawn_file_actions_destroy(&fa);
    if (r) return xlc_error_set(err, -r, "ssh: %s", strerror(r));
    return steal_fd(&in);
}

/**
 * struct against - the comparison
 * @in: the other host's lines
 * @begin: @end: a range that differs and may go on; equal: there is none
 */
struct against {
    FILE *in;
    FILE *out;
    const char *path;
    const char *host;
    uint64_t at;
    uint64_t begin, end;
    uint64_t ranges;
    bool head;
    struct xlc_error *err;
};

static void end_range(struct against *a)
{
    if (a->begin == a->end) return;
    fprintf(a->out, "%s: octets %" PRIu64 " to %" PRIu64 " differ\n",
            a->path, a->begin, a->end - 1);
    a->ranges++;
    a->begin = a->end;
}

static int compare(void *ctx, const char *line)
{
    struct against *a = ctx;
    char said[DISK_SUM_LINE + 2u];
    size_t len = strlen(line), n;

    if (!fgets(said, sizeof(said), a->in))
        return xlc_error_set(a->err, -EPROTO, a->head
                             ? "%s ended in the middle of its checksums"
                             : "%s has no checksums of its image (see above)",
                             a->host);
    n = strcspn(said, "\n");
    if (n != len || !said[n])
        return xlc_error_set(a->err, -EPROTO, "%s answers nonsense", a->host);
    said[n] = '\0';
    if (!a->head) {
        a->head = true;
        if (strncmp(said, DISK_SUM_HEAD, strlen(DISK_SUM_HEAD)))
            return xlc_error_set(a->err, -EPROTO, "%s answers nonsense: is "
                                 "its xl-colo another version?", a->host);
        return strcmp(said, line)
                   ? xlc_error_set(a->err, -EINVAL, "the two images have not "
                                   "the same size")
                   : 0;
    }
    if (strncmp(said, line, OFFSET_LEN + 1u))
        return xlc_error_set(a->err, -EPROTO, "%s answers nonsense", a->host);
    if (!strcmp(said, line)) {
        end_range(a);
    } else {
        if (a->begin == a->end) a->begin = a->at;
        a->end = a->at + DISK_SUM_BLOCK;
    }
    a->at += DISK_SUM_BLOCK;
    return 0;
}

static int reap(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -errno;
    return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

int disk_verify(const char *path, const char *host, const char *there,
                bool *same, FILE *out, struct xlc_error *err)
{
    struct against a = { .out = out, .path = path, .host = host,
                         .err = err };
    CLEANUP_FD int fd = -1;
    pid_t pid;
    int rc, end;

    fd = ask_host(host, there, &pid, err);
    if (fd < 0) return fd;
    a.in = fdopen(fd, "r");
    if (a.in) steal_fd(&fd);
    rc = a.in ? disk_sums(path, compare, &a, err)
              : xlc_error_set(err, -ENOMEM, "no memory");
    end_range(&a);
    if (a.in) fclose(a.in);
    end = reap(pid);
    if (!rc && end)
        rc = xlc_error_set(err, end, "%s could not end its checksums", host);
    if (!rc) *same = !a.ranges;
    return rc;
}

/* ---- A domain's ---------------------------------------------------------- */

static bool ours(const libxl_device_disk *d)
{
    const char *name = d->script ? strrchr(d->script, '/') : NULL;

    name = name ? name + 1 : d->script;
    return name && !strcmp(name, "block-colo") && d->pdev_path;
}

int disk_domain_each(const char *what, int (*call)(void *ctx,
                     const char *path), void *ctx, struct xlc_error *err)
{
    libxl_device_disk *disks = NULL;
    libxl_ctx *c = NULL;
    libxl_dominfo info;
    uint32_t domid = ~0u;
    uint64_t number;
    int n = 0, rc = 0, hits = 0;

    if (libxl_ctx_alloc(&c, LIBXL_VERSION, 0, log_xtl()))
        return xlc_error_set(err, -ENODEV, "libxl can't be used: is this a "
                             "Xen host, and are you root?");
    libxl_dominfo_init(&info);
    if (number_parse(what, &number) && number < ~0u) domid = (uint32_t)number;
    else if (libxl_name_to_domid(c, what, &domid)) domid = ~0u;
    if (domid == ~0u || libxl_domain_info(c, &info, domid))
        rc = xlc_error_set(err, -ENOENT, "there is no domain '%.80s' here; "
                           "of one that is shut down, name the image", what);
    else if (!info.paused)
        rc = xlc_error_set(err, -EBUSY, "domain '%.80s' runs: pause it first",
                           what);
    if (!rc) disks = libxl_device_disk_list(c, domid, &n);
    for (int i = 0; !rc && i < n; i++) {
        if (!ours(&disks[i])) continue;
        hits++;
        rc = call(ctx, disks[i].pdev_path);
    }
    if (!rc && !hits)
        rc = xlc_error_set(err, -ENOENT, "domain '%.80s' has no disk with "
                           "script=block-colo", what);
    for (int i = 0; i < n; i++) libxl_device_disk_dispose(&disks[i]);
    free(disks);
    libxl_dominfo_dispose(&info);
    libxl_ctx_free(c);
    return rc;
}
