/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config-file.h - colo="…" in a domain's configuration file
 *
 * libxl does not keep it, so it is read again when protection starts (PLATFORM
 * 7.15): from a file that is named, or from the one that is called after the
 * domain.
 */
#ifndef XL_CONFIG_FILE_H
#define XL_CONFIG_FILE_H

#include "error.h"

#ifndef XL_CONFIG_DIR
#define XL_CONFIG_DIR "/etc/xen"
#endif

#define CONFIG_FILE_MAX (1u << 20) /* octets */

/**
 * struct xl_config - what such a file says
 * @path: of the file
 * @text: the value of colo; NULL if there is none
 */
struct xl_config {
    char *path;
    char *text;
};

/* For tests: where the files are; @dir must outlive the process. */
void config_file_set_dir(const char *dir);

/**
 * config_file_read() - find the file and read it
 * @c: release with config_file_free(), whatever came back
 * @path: must be there and have colo=; "" reads nothing; NULL: the one called
 *        after @domain, if it is there and has colo=
 * @domain: a name, domid or uuid
 * @err: names the file and the reason
 *
 * Return: 0, or a negative errno
 */
int config_file_read(struct xl_config *c, const char *path,
                     const char *domain, struct xlc_error *err);

void config_file_free(struct xl_config *c);

#endif
