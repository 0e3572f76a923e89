/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* epochmem.c - The secondary's memory for an epoch; see epochmem.h */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "epochmem.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

/**
 * struct epochmem - see epochmem.h
 * @at: address space of @room octets, of which the first @have are present
 * @len: octets of the epoch
 * @recent: size of the last epochs, forgotten slowly
 * @meminfo: /proc/meminfo, or -1
 */
struct epochmem {
    uint8_t *at;
    uint64_t limit, room, have, len, recent;
    epochmem_spare *spare;
    void *opaque;
    int meminfo;
};

static uint64_t steps(uint64_t n)
{
    return (n + EPOCHMEM_STEP - 1) / EPOCHMEM_STEP * EPOCHMEM_STEP;
}

uint64_t epochmem_bound(uint64_t memory)
{
    return memory + memory / 64 + ((uint64_t)16 << 20);
}

/* What an open /proc/meminfo says. */
static uint64_t read_spare(int meminfo)
{
    static const char key[] = "MemAvailable:";
    char text[512];
    const char *p;
    uint64_t n = 0;
    ssize_t len;

    len = meminfo < 0 ? -1 : pread(meminfo, text, sizeof(text) - 1, 0);
    text[len < 0 ? 0 : len] = 0;
    p = strstr(text, key);
    if (!p) return UINT64_MAX;
    for (p += sizeof(key) - 1; *p == ' '; p++)
        ;
    for (; *p >= '0' && *p <= '9'; p++)
        n = n * 10 + (uint64_t)(*p - '0');
    return n << 10;
}

uint64_t epochmem_spare_now(void)
{
    CLEANUP_FD int meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

    return read_spare(meminfo);
}

static uint64_t spare_now(struct epochmem *m)
{
    return m->spare ? m->spare(m->opaque) : read_spare(m->meminfo);
}

static int check_spare(struct epochmem *m, uint64_t need,
                       struct xlc_error *err)
{
    uint64_t spare = spare_now(m);

    if (spare >= need + EPOCHMEM_FLOOR) return 0;
    return xlc_error_set(err, -ENOMEM, "this host has no memory for an epoch "
                         "of %llu MiB or more: domain 0 needs %llu MiB more, "
                         "of which %llu MiB are free (and %llu stay free)",
                         (unsigned long long)(m->len >> 20),
                         (unsigned long long)(need >> 20),
                         (unsigned long long)(spare >> 20),
                         (unsigned long long)(EPOCHMEM_FLOOR >> 20));
}

/* Back to the host from @from on; the address space stays. */
static void give_back(struct epochmem *m, uint64_t from, uint64_t to)
{
    if (from >= to) return;
    if (mmap(m->at + from, to - from, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED)
        madvise(m->at + from, to - from, MADV_DONTNEED);
}

/* One more step of memory that is really there. */
static int grow(struct epochmem *m, struct xlc_error *err)
{
    uint8_t *p = m->at + m->have;
    int r = check_spare(m, EPOCHMEM_STEP, err);

    if (r) return r;
    if (mprotect(p, EPOCHMEM_STEP, PROT_READ | PROT_WRITE))
        return xlc_error_set(err, -ENOMEM, "no memory on this host for an "
                             "epoch: %s", strerror(errno));
    if (madvise(p, EPOCHMEM_STEP, MADV_POPULATE_WRITE) && errno != EINVAL) {
        r = errno;
        give_back(m, m->have, m->have + EPOCHMEM_STEP);
        return xlc_error_set(err, -ENOMEM, "no memory on this host for an "
                             "epoch: %s", strerror(r));
    }
    m->have += EPOCHMEM_STEP;
    return 0;
}

int epochmem_new(struct epochmem **m_r, uint64_t limit,
                 epochmem_spare *spare, void *opaque, struct xlc_error *err)
{
    struct epochmem *m = calloc(1, sizeof(*m));

    if (!m) return xlc_error_set(err, -ENOMEM, "no memory");
    m->limit = limit;
    m->room = steps(limit) + EPOCHMEM_STEP;
    m->spare = spare;
    m->opaque = opaque;
    m->meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    m->at = mmap(NULL, m->room, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->at == MAP_FAILED) {
        m->at = NULL;
        epochmem_free(m);
        return xlc_error_set(err, -ENOMEM, "no address space for epochs of "
                             "%llu MiB", (unsigned long long)(limit >> 20));
    }
    *m_r = m;
    return 0;
}

void epochmem_free(struct epochmem *m)
{
    if (!m) return;
    if (m->at) munmap(m->at, m->room);
    if (m->meminfo >= 0) close(m->meminfo);
    free(m);
}

int epochmem_add(struct epochmem *m, const uint8_t *data, size_t len,
                 struct xlc_error *err)
{
    int r = 0;

    if (len > m->limit - m->len)
        return xlc_error_set(err, -EFBIG, "an epoch of more than %llu MiB, "
                             "which is more than the guest can have changed",
                             (unsigned long long)(m->limit >> 20));
    while (!r && m->have - m->len < len)
        r = grow(m, err);
    if (r) return r;
    memcpy(m->at + m->len, data, len);
    m->len += len;
    return 0;
}

int epochmem_reserve(struct epochmem *m, struct xlc_error *err)
{
    uint64_t stays = m->len < EPOCHMEM_KEEP ? m->len : EPOCHMEM_KEEP;

    return check_spare(m, stays + EPOCHMEM_SLACK, err);
}

/* What stays for the next epoch. */
static uint64_t keep(struct epochmem *m)
{
    m->recent -= m->recent / 16;
    if (m->len > m->recent) m->recent = m->len;
    return m->recent < EPOCHMEM_KEEP ? steps(m->recent) : EPOCHMEM_KEEP;
}

int epochmem_give(struct epochmem *m, epochmem_sink *sink, void *opaque,
                  struct xlc_error *err)
{
    uint64_t stays = keep(m), at = 0;
    int r = 0;

    while (at < m->len && !r) {
        uint64_t n = m->len - at < EPOCHMEM_STEP ? m->len - at :
                     EPOCHMEM_STEP;

        r = sink(opaque, m->at + at, n, err);
        if (at >= stays) give_back(m, at, at + EPOCHMEM_STEP);
        at += n;
    }
    if (m->have > stays) give_back(m, stays, m->have);
    if (m->have > stays) m->have = stays;
    m->len = 0;
    return r;
}

uint64_t epochmem_used(const struct epochmem *m)
{
    return m->have;
}

uint64_t epochmem_limit(const struct epochmem *m)
{
    return m->limit;
}
