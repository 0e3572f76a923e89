/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-disk.h - A file system in memory that fails, or loses power, on demand
 *
 * What was written since a file's last sync may be there after a power cut or
 * not, sector by sector, in any combination; names are there up to some
 * change. A failed sync may have made anything durable, and forgets the rest,
 * as Linux does.
 */
#ifndef XLC_TESTS_FAKE_DISK_H
#define XLC_TESTS_FAKE_DISK_H

#include "diskio.h"

enum fake_fault {
    FAKE_NONE,
    FAKE_EIO,
    FAKE_ENOSPC, /* writes, zeroing, growing, names; else nothing */
    FAKE_SHORT,  /* half of a read or a write, which is no error */
    FAKE_CUT,    /* power: the call happens in part, later ones not at all */
};

struct fake_disk;

struct fake_disk *fake_disk_new(uint64_t seed);
void fake_disk_free(struct fake_disk *d);
struct diskio fake_disk_io(struct fake_disk *d);

/* A file that is there, durably, full of @octet. */
void fake_disk_put(struct fake_disk *d, const char *path, size_t size,
                   uint8_t octet);

/* The same with content. */
void fake_disk_set(struct fake_disk *d, const char *path, const void *b,
                   size_t size);

/* What the file reads as now: malloc'd; NULL if there is none. */
uint8_t *fake_disk_get(struct fake_disk *d, const char *path, size_t *size);

/* From now on call number @n (1 is the next; 0 none) meets its fate. */
void fake_disk_fault(struct fake_disk *d, unsigned long n,
                     enum fake_fault fault);

/* Without fallocate: zeroes have to be written. */
void fake_disk_no_zero(struct fake_disk *d);

/* Calls so far; whether the fault was met. */
unsigned long fake_disk_calls(const struct fake_disk *d);
bool fake_disk_hit(const struct fake_disk *d);

/* All processes are gone; files are as they read. */
void fake_disk_restart(struct fake_disk *d);

/* The host too: what is left of the files is a matter of luck. */
void fake_disk_reboot(struct fake_disk *d);

/* A number below @n. */
uint64_t fake_random(uint64_t *state, uint64_t n);

#endif
