/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * boot.h - The boot channel: frames over the two pipes of an ssh command
 *
 * ssh says who the other host is; what is agreed on here (versions, a fresh
 * key, the listener's port) is what the TCP connections are made of. Both
 * sides block, with a deadline on every wait.
 */
#ifndef XLC_BOOT_H
#define XLC_BOOT_H

#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "proto.h"

/**
 * struct boot - one end of the boot channel
 * @rd, @wr: the two pipes, owned
 * @pid: primary: the ssh command; -1 if none
 */
struct boot {
    int rd, wr;
    pid_t pid;
};

/**
 * boot_spawn() - start `SSH HOST xl remus-receive`
 * @ssh: the command in front, as a shell reads it; "" if @host is a whole
 *       command of its own
 * @verbose: pass --verbose on
 */
int boot_spawn(struct boot *b, const char *ssh, const char *host,
               bool verbose, struct xlc_error *err);

/* Send one frame; CONFIG is sent from @m->u.data. */
int boot_send(struct boot *b, const struct proto_msg *m,
              struct xlc_error *err);

/**
 * boot_recv() - wait for one frame
 * @buf_r: NULL before; the frame's body, malloc'd, which @m may point into
 *
 * A PROTO_REFUSED becomes an error with its sentence.
 */
int boot_recv(struct boot *b, struct proto_msg *m, uint8_t **buf_r,
              uint64_t deadline_ms, struct xlc_error *err);

/* Close both pipes and wait for the ssh command, at most two seconds. */
void boot_close(struct boot *b);

#endif
