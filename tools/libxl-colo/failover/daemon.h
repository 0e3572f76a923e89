/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon.h - Leave the terminal, or the ssh session, that started us */
#ifndef XLC_DAEMON_H
#define XLC_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

/* The path of a log: /var/log/xen/xl-remus-NAME.SUFFIX. */
void daemon_file(char *path, size_t size, const char *name,
                 const char *suffix);

/**
 * daemon_detach() - a session of its own, no terminal, a log file
 * @role: for the log's lines; a literal
 * @name: of the domain: the log is /var/log/xen/xl-remus-NAME.log
 *
 * Standard input and output become /dev/null, standard error the log.
 */
void daemon_detach(const char *role, const char *name);

/**
 * daemon_scope() - get out of the cgroup of an ssh session
 * @argv: of this process
 *
 * With systemd as init this process is executed again inside a scope of its
 * own, so that the end of the ssh session can't end it; otherwise, and the
 * second time, nothing happens.
 */
void daemon_scope(const char *const *argv);

#endif
