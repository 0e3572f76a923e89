/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plane-name.c - How the packet plane's parts are called */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "plane-name.h"

int plane_port(const char *vif, struct netbuf_port *port)
{
    static const char head[] = "vif", emulated[] = "-emu";
    size_t len = strnlen(vif, IFNAMSIZ), numbers;
    char ifb[IFNAMSIZ];
    int n;

    if (len >= IFNAMSIZ || strncmp(vif, head, sizeof(head) - 1))
        return -EINVAL;
    vif += sizeof(head) - 1;
    numbers = strspn(vif, "0123456789.");
    if (vif[numbers] && strcmp(vif + numbers, emulated)) return -EINVAL;

    /* The buffer's names have the same numbers, and a parser. */
    n = snprintf(ifb, sizeof(ifb), "rb%.*s%s", (int)numbers, vif,
                 vif[numbers] ? "e" : "");
    if (n < 0 || (size_t)n >= sizeof(ifb)) return -EINVAL;
    return netbuf_name_parse(ifb, port);
}

int plane_name(char name[IFNAMSIZ], const char *vif, bool inbound)
{
    struct netbuf_port port;
    char ifb[IFNAMSIZ];
    int n = plane_port(vif, &port);

    if (!n) n = netbuf_name_format(ifb, &port);
    if (n) return n;
    n = snprintf(name, IFNAMSIZ, "x%c%s", inbound ? 'i' : 'o', ifb + 2);
    return n > 0 && n < IFNAMSIZ ? 0 : -ERANGE;
}
