/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diskio.c - Every file operation of the block mirror, behind one table */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "diskio.h"

/* A file without a name; where the file system has no such thing, one whose
 * name is gone before anybody could use it. */
static int open_temp(const char *dir)
{
    char path[DISKIO_PATH_MAX + 16];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0) return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return -errno;
    snprintf(path, sizeof(path), "%s/spill-XXXXXX", dir);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) return -errno;
    unlink(path);
    return fd;
}

static int real_open(void *ctx, const char *path, unsigned int how)
{
    int flags = (how & DISKIO_READONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    int fd;

    (void)ctx;
    if (how & DISKIO_TEMP) return open_temp(path);
    if (how & DISKIO_CREATE) flags |= O_CREAT;
    if (how & DISKIO_TRUNCATE) flags |= O_TRUNC;
    fd = open(path, flags, 0600);
    return fd < 0 ? -errno : fd;
}

static void real_close(void *ctx, int fd)
{
    (void)ctx;
    close(fd);
}

static ssize_t real_pread(void *ctx, int fd, void *buf, size_t len,
                          uint64_t off)
{
    ssize_t n;

    (void)ctx;
    do
        n = pread(fd, buf, len, (off_t)off);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t real_pwrite(void *ctx, int fd, const void *buf, size_t len,
                           uint64_t off)
{
    ssize_t n;

    (void)ctx;
    do
        n = pwrite(fd, buf, len, (off_t)off);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int real_sync(void *ctx, int fd)
{
    (void)ctx;
    return fdatasync(fd) ? -errno : 0;
}

static int real_zero(void *ctx, int fd, uint64_t off, uint64_t len,
                     bool punch)
{
    int mode = FALLOC_FL_KEEP_SIZE |
               (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    int r;

    (void)ctx;
    do
        r = fallocate(fd, mode, (off_t)off, (off_t)len);
    while (r < 0 && errno == EINTR);
    if (!r) return 0;
    /* A block device wants whole sectors, and says so with EINVAL. */
    return errno == ENOSYS || errno == EINVAL ? -EOPNOTSUPP : -errno;
}

static int real_size(void *ctx, int fd, uint64_t *size)
{
    off_t end = lseek(fd, 0, SEEK_END);

    (void)ctx;
    if (end < 0) return -errno;
    *size = (uint64_t)end;
    return 0;
}

static int real_resize(void *ctx, int fd, uint64_t size)
{
    (void)ctx;
    return ftruncate(fd, (off_t)size) ? -errno : 0;
}

static int real_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to) ? -errno : 0;
}

static int real_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path) ? -errno : 0;
}

static int real_syncdir(void *ctx, const char *path)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)ctx;
    return fd < 0 || fsync(fd) ? -errno : 0;
}

static const struct diskio_ops real_ops = {
    .open = real_open,
    .close = real_close,
    .pread = real_pread,
    .pwrite = real_pwrite,
    .sync = real_sync,
    .zero = real_zero,
    .size = real_size,
    .resize = real_resize,
    .rename = real_rename,
    .unlink = real_unlink,
    .syncdir = real_syncdir,
};

const struct diskio diskio_real = { &real_ops, NULL };

int diskio_open(const struct diskio *io, const char *path, unsigned int how,
                struct xlc_error *err)
{
    int fd = io->ops->open(io->ctx, path, how);

    if (fd < 0) xlc_error_set(err, fd, "%s: %s", path, strerror(-fd));
    return fd;
}

void diskio_close(const struct diskio *io, int *fd)
{
    if (*fd >= 0) io->ops->close(io->ctx, *fd);
    *fd = -1;
}

int diskio_read(const struct diskio *io, int fd, void *buf, size_t len,
                uint64_t off)
{
    uint8_t *p = buf;

    while (len) {
        ssize_t n = io->ops->pread(io->ctx, fd, p, len, off);

        if (n < 0) return (int)n;
        if (!n) return -ENODATA;
        p += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int diskio_write(const struct diskio *io, int fd, const void *buf, size_t len,
                 uint64_t off)
{
    const uint8_t *p = buf;

    while (len) {
        ssize_t n = io->ops->pwrite(io->ctx, fd, p, len, off);

        if (n < 0) return (int)n;
        if (!n) return -EIO;
        p += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int diskio_zero(const struct diskio *io, int fd, uint64_t off, uint64_t len,
                bool punch)
{
    static const uint8_t zeroes[65536];
    int rc = 0;

    if (!len) return 0;
    rc = io->ops->zero(io->ctx, fd, off, len, punch);
    if (rc != -EOPNOTSUPP) return rc;
    for (rc = 0; !rc && len;) {
        size_t n = len < sizeof(zeroes) ? (size_t)len : sizeof(zeroes);

        rc = diskio_write(io, fd, zeroes, n, off);
        off += n;
        len -= n;
    }
    return rc;
}

int diskio_sync_parent(const struct diskio *io, const char *path,
                       struct xlc_error *err)
{
    const char *slash = strrchr(path, '/');
    char dir[DISKIO_PATH_MAX];
    int rc;

    if (!slash)
        snprintf(dir, sizeof(dir), ".");
    else if (slash == path)
        snprintf(dir, sizeof(dir), "/");
    else
        snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
    rc = io->ops->syncdir(io->ctx, dir);
    return rc ? xlc_error_set(err, rc, "%s: %s", dir, strerror(-rc)) : 0;
}

int diskio_replace(const struct diskio *io, const char *path, const void *buf,
                   size_t len, struct xlc_error *err)
{
    char tmp[DISKIO_PATH_MAX + 8];
    int fd, rc;

    snprintf(tmp, sizeof(tmp), "%s.new", path);
    fd = diskio_open(io, tmp, DISKIO_CREATE | DISKIO_TRUNCATE, err);
    if (fd < 0) return fd;
    rc = diskio_write(io, fd, buf, len, 0);
    if (!rc) rc = io->ops->sync(io->ctx, fd);
    diskio_close(io, &fd);
    if (!rc) rc = io->ops->rename(io->ctx, tmp, path);
    if (rc) {
        io->ops->unlink(io->ctx, tmp);
        return xlc_error_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    return diskio_sync_parent(io, path, err);
}

int diskio_load(const struct diskio *io, const char *path, void *buf,
                size_t max, size_t *len, struct xlc_error *err)
{
    uint64_t size = 0;
    int fd = io->ops->open(io->ctx, path, DISKIO_READONLY);
    int rc;

    if (fd == -ENOENT) return fd;
    rc = fd < 0 ? fd : io->ops->size(io->ctx, fd, &size);
    if (!rc && size > max) rc = -EFBIG;
    if (!rc) rc = diskio_read(io, fd, buf, (size_t)size, 0);
    diskio_close(io, &fd);
    if (rc) return xlc_error_set(err, rc, "%s: %s", path, strerror(-rc));
    *len = (size_t)size;
    return 0;
}
