/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk-ask.c - What disk-serve can't find out in a shell
 *
 * disk-ask SOCKET asks a disk's plugin and prints "role=ROLE connections=N
 * generation=N" as one line. disk-ask --alone DEVICE succeeds if nothing else
 * has claimed the block device: a mount, a guest's backend, a volume manager.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "diskctl.h"

static const char *const roles[] = {
    [DISKCTL_PLAIN] = "plain",
    [DISKCTL_PRIMARY] = "primary",
    [DISKCTL_SECONDARY] = "secondary",
};

/* Return: exit status */
static int alone(const char *path)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);

    if (fd >= 0) return 0;
    if (errno == EBUSY)
        fprintf(stderr, "%s is in use on this host: it is mounted, or another "
                "guest has it\n", path);
    else
        fprintf(stderr, "%s can't be opened: %s\n", path, strerror(errno));
    return 1;
}

static int ask_plugin(const char *path)
{
    struct diskctl_ask ask = { .op = DISKCTL_STATUS };
    struct xlc_error err = XLC_ERROR_INIT;
    struct diskctl_status st;
    CLEANUP_FD int sock = -1;
    int rc;

    sock = diskctl_connect(path, &err);
    rc = sock < 0 ? sock : diskctl_call(sock, &ask, -1, &st, &err);
    if (rc) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (st.role >= sizeof(roles) / sizeof(roles[0])) {
        fprintf(stderr, "the plugin's role is unknown\n");
        return 1;
    }
    printf("role=%s connections=%" PRIu64 " generation=%" PRIu64 "\n",
           roles[st.role], st.connections, st.generation);
    return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--alone")) return alone(argv[2]);
    if (argc == 2) return ask_plugin(argv[1]);
    fprintf(stderr, "usage: disk-ask SOCKET\n       disk-ask --alone DEVICE\n");
    return 2;
}
