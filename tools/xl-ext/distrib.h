/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * distrib.h - The distribution's own xl
 *
 * Debian's /usr/sbin/xl only looks up the running hypervisor's version and
 * runs the program in /usr/lib/xen-VERSION/bin; so do we.
 */
#ifndef XL_DISTRIB_H
#define XL_DISTRIB_H

#include <limits.h>

#include "error.h"

/* An absolute path that is used instead, for tests. */
#define DISTRIB_ENV "XL_COLO_DISTRIB_XL"

/**
 * distrib_find() - where is it?
 * @path: the answer
 * @root: put in front of each path; "" but in tests
 *
 * $XL_COLO_DISTRIB_XL alone if it is set; else the first of these that can be
 * run and is not this very program: the running hypervisor's, the one chosen
 * by configure --with-xl, /usr/sbin/xl, the newest in /usr/lib/xen-*.
 *
 * Return: 0 or -ENOENT
 */
int distrib_find(char path[PATH_MAX], const char *root,
                 struct xlc_error *err);

/**
 * distrib_exec() - become it
 * @argv: passed on as it is
 *
 * Return: only if it can't be run: an exit status, after a sentence on
 * standard error
 */
int distrib_exec(char **argv);

/**
 * distrib_run() - run it and come back
 *
 * Return: its exit status, 128 and the signal if one killed it
 */
int distrib_run(char **argv);

#endif
