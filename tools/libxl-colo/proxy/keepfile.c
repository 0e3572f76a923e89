/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keepfile.c - Memory that outlives a process: the rewriters' tables */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "keepfile.h"
#include "wire.h"

#define ALL ((off_t)(WIRE_VIFS_MAX * KEEPFILE_PART))

int keepfile_new(struct keepfile *k, struct xlc_error *err)
{
    CLEANUP_FD int fd = memfd_create("xl-colo-flows", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, ALL))
        return xlc_error_set(err, -errno, "no memory that outlives a process "
                             "(memfd): %s", strerror(errno));
    k->fd = steal_fd(&fd);
    return 0;
}

void keepfile_close(struct keepfile *k)
{
    if (k->fd > 0) close(k->fd);
    k->fd = 0;
}

int keepfile_map(const struct keepfile *k, unsigned int part, size_t need,
                 void **mem_r, struct xlc_error *err)
{
    off_t at = (off_t)(part * KEEPFILE_PART);
    struct stat st;
    void *mem;

    if (part >= WIRE_VIFS_MAX || need > KEEPFILE_PART)
        return xlc_error_set(err, -EINVAL, "part %u, %zu octets: there are "
                             "%u parts of %zu octets", part, need,
                             WIRE_VIFS_MAX, KEEPFILE_PART);
    if (k->fd <= 0 || fstat(k->fd, &st) || st.st_size != ALL)
        return xlc_error_set(err, -EINVAL, "there is no memory that outlives "
                             "this process");
    if (need && fallocate(k->fd, 0, at, (off_t)need))
        return xlc_error_set(err, -errno, "%zu octets can't be reserved: %s",
                             need, strerror(errno));
    mem = mmap(NULL, KEEPFILE_PART, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd,
               at);
    if (mem == MAP_FAILED)
        return xlc_error_set(err, -errno, "it can't be mapped: %s",
                             strerror(errno));
    *mem_r = mem;
    return 0;
}

void keepfile_unmap(void *mem)
{
    if (mem) munmap(mem, KEEPFILE_PART);
}
