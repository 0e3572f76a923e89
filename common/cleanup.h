/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cleanup.h - Scope-bound release of memory, descriptors and locks
 *
 * CLEANUP_FREE char *s = NULL;     freed when s goes out of scope
 * CLEANUP_FD int fd = -1;          closed when fd goes out of scope
 * LOCK_SCOPE(&m);                  unlocked at the end of the scope
 *
 * Give a value away with steal_ptr() or steal_fd().
 */
#ifndef XLC_CLEANUP_H
#define XLC_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP_FREE __attribute__((cleanup(xlc_cleanup_free)))
#define CLEANUP_FD   __attribute__((cleanup(xlc_cleanup_fd)))

static inline void xlc_cleanup_free(void *pp)
{
    free(*(void **)pp);
}

static inline void xlc_cleanup_fd(int *fd)
{
    if (*fd >= 0) close(*fd);
}

static inline void xlc_cleanup_unlock(pthread_mutex_t **m)
{
    pthread_mutex_unlock(*m);
}

static inline pthread_mutex_t *xlc_lock(pthread_mutex_t *m)
{
    pthread_mutex_lock(m);
    return m;
}

#define XLC_CAT2(a, b) a##b
#define XLC_CAT(a, b)  XLC_CAT2(a, b)
#define LOCK_SCOPE(m)                                         \
    __attribute__((cleanup(xlc_cleanup_unlock), unused))      \
    pthread_mutex_t *XLC_CAT(scope_lock_, __LINE__) = xlc_lock(m)

/* Take the value out of *@pp, so that its scope no longer frees it. */
#define steal_ptr(pp)                    \
    __extension__({                      \
        __typeof__(*(pp)) p_ = *(pp);    \
        *(pp) = NULL;                    \
        p_;                              \
    })

static inline int steal_fd(int *fd)
{
    int v = *fd;

    *fd = -1;
    return v;
}

#endif
