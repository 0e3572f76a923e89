/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * diskserve.h - Run the program that starts and ends the disks' plugins
 *
 * hotplug/disk-serve knows where an image's sockets and files are, and how
 * nbdkit is started; `block-colo` uses it, too. It is installed in libexecdir;
 * XL_COLO_DISK_SERVE in the environment names another one.
 */
#ifndef XLC_DISKSERVE_H
#define XLC_DISKSERVE_H

#include <stddef.h>
#include <stdint.h>

#include "disklist.h"
#include "error.h"

#define DISKSERVE_FOLDER_MAX 128
#define DISKSERVE_SAID_MAX   400

/**
 * struct diskserve_paths - images of this host
 * @n: how many; counted after @at has it
 */
struct diskserve_paths {
    _Atomic uint32_t n;
    char at[DISKLIST_MAX][DISKLIST_PATH_MAX + 1];
};

/**
 * diskserve() - run it and wait for its end
 * @words: its arguments, NULL at the end
 * @folder: where the line that it prints goes, DISKSERVE_FOLDER_MAX octets;
 *          NULL: not wanted
 *
 * Return: 0; a negative errno with the program's own sentence
 */
int diskserve(const char *const *words, char *folder, struct xlc_error *err);

/**
 * diskserve_said() - the same, for who tells somebody what it had to say
 * @said: the last line of its standard error, DISKSERVE_SAID_MAX octets; of
 *        diskserve() that goes to the log
 */
int diskserve_said(const char *const *words, char *folder, char *said,
                   struct xlc_error *err);

/* The program's path. */
const char *diskserve_program(void);

/* The folder of an image that is served here. */
int diskserve_folder(const char *path, char *folder, struct xlc_error *err);

/**
 * diskserve_secondary() - serve a copy's image
 * @uuid: of its history; @size: octets
 * @force: overwrite an image of which nothing is known
 */
int diskserve_secondary(const char *path, const uint8_t uuid[16],
                        uint64_t size, int force, char *folder,
                        struct xlc_error *err);

/**
 * diskserve_claim() - say of each image what is known of the other host
 * @word: alone, handed, solo or passed: see disk-serve
 * @name: of the guest, for the log: whoever can't be told asks that host
 */
void diskserve_claim(const struct diskserve_paths *p, const char *word,
                     const char *name);

/* Serve it no longer. */
int diskserve_end(const char *path, struct xlc_error *err);

#endif
