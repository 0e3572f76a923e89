/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk.h - xl remus-disk: the images that this host serves, and their content
 */
#ifndef XL_DISK_H
#define XL_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "diskctl.h"

#define DISK_TEXT_MAX 1100

/* The folder of all that are served, or what this variable names. */
#define DISK_RUN     "/run/xl-colo/disk"
#define DISK_RUN_ENV "XL_COLO_DISK_RUN"

/**
 * struct disk - an image that is served
 * @path: of the image
 * @uuid: of its history
 * @device: that it is attached as; "" if it is not
 * @peer: the host that it is or was mirrored to, as far as it matters
 * @st: what its plugin says
 * @err: why it does not; @st is nothing then
 */
struct disk {
    char path[DISK_TEXT_MAX];
    char uuid[64];
    char device[64];
    char peer[256];
    struct diskctl_status st;
    struct xlc_error err;
};

/**
 * struct disk_list - all of them, by path
 * @v: @n
 */
struct disk_list {
    struct disk *v;
    unsigned int n;
};

int disk_show_get(struct disk_list *d, struct xlc_error *err);
void disk_show_free(struct disk_list *d);
/* NULL if this image is not served. */
const struct disk *disk_show_find(const struct disk_list *d, const char *path);

const char *disk_role(const struct diskctl_status *st);
const char *disk_state(const struct diskctl_status *st);

void disk_show_table(FILE *out, const struct disk_list *d);
/* Return: 0 or -ENOMEM */
int disk_show_json(FILE *out, const struct disk_list *d);

/* ---- Content ------------------------------------------------------------- */

#define DISK_SUM_BLOCK (4u << 20)
#define DISK_SUM_LINE  49u /* with its end */
#define DISK_SUM_HEAD  "xl-colo-sums 1 "

/**
 * disk_sums() - one line for each block of an image
 * @take: gets each, without its end; first the head with the size, then
 *        offset and checksum in hex. Return: 0, or an errno that ends it
 */
int disk_sums(const char *path, int (*take)(void *ctx, const char *line),
              void *ctx, struct xlc_error *err);

/* Is it safe to look, and would it mean anything? Return: 0; -EBUSY */
int disk_may_sum(const char *path, bool paused, struct xlc_error *err);

/**
 * disk_verify() - compare an image with one on another host
 * @host: for ssh; @there: path on it
 * @same: the result
 * @out: where ranges that differ are listed
 */
int disk_verify(const char *path, const char *host, const char *there,
                bool *same, FILE *out, struct xlc_error *err);

/**
 * disk_domain_each() - the block-colo disks of a domain
 * @call: gets each image's path
 *
 * Return: 0; -EBUSY if the domain is not paused; -ENOENT; what @call returns
 */
int disk_domain_each(const char *what, int (*call)(void *ctx,
                     const char *path), void *ctx, struct xlc_error *err);

#endif
