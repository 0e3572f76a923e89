/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plane-name.c - How the packet plane's parts are called */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "netbuf-name.h"
#include "plane-name.h"

int plane_name(char name[IFNAMSIZ], const char *vif, bool inbound)
{
    static const char head[] = "vif", emulated[] = "-emu";
    char ifb[IFNAMSIZ];
    struct netbuf_port port;
    size_t len, numbers;
    int n;

    len = strnlen(vif, IFNAMSIZ);
    if (len >= IFNAMSIZ || strncmp(vif, head, sizeof(head) - 1))
        return -EINVAL;
    vif += sizeof(head) - 1;
    numbers = strspn(vif, "0123456789.");
    if (vif[numbers] && strcmp(vif + numbers, emulated)) return -EINVAL;

    /* The buffer's names have the same numbers, and a parser. */
    n = snprintf(ifb, sizeof(ifb), "rb%.*s%s", (int)numbers, vif,
                 vif[numbers] ? "e" : "");
    if (n < 0 || (size_t)n >= sizeof(ifb)) return -ERANGE;
    if (netbuf_name_parse(ifb, &port)) return -EINVAL;
    n = snprintf(name, IFNAMSIZ, "x%c%s", inbound ? 'i' : 'o', ifb + 2);
    return n > 0 && n < IFNAMSIZ ? 0 : -ERANGE;
}
