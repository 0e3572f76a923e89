/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* netbuf-name.c - How a buffer's parts are called, so that they are found */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "netbuf-name.h"

#define HANDLE_OURS     0x80000000u
#define HANDLE_EMULATED 0x00008000u

_Static_assert(sizeof("rb32751.32767e") <= IFNAMSIZ, "a name must fit");
_Static_assert(NETBUF_DOMID_MAX < 1u << 15 && NETBUF_DEVID_MAX < 1u << 15,
               "15 bits of a handle each");

/* Decimal digits without leading zeros, at most @max. */
static int parse_number(const char *text, const char **end, uint32_t max,
                        uint32_t *value)
{
    const char *p = text;
    uint32_t v = 0;

    if (*p < '0' || *p > '9') return -EINVAL;
    if (p[0] == '0' && p[1] >= '0' && p[1] <= '9') return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint32_t)(*p - '0');
        if (v > max) return -ERANGE; /* max is small: no overflow before */
    }
    if (!end && *p) return -EINVAL;
    if (end) *end = p;
    *value = v;
    return 0;
}

int netbuf_domid_parse(const char *text, const char **end, uint32_t *domid)
{
    return parse_number(text, end, NETBUF_DOMID_MAX, domid);
}

int netbuf_name_format(char name[IFNAMSIZ], const struct netbuf_port *port)
{
    if (port->domid > NETBUF_DOMID_MAX || port->devid > NETBUF_DEVID_MAX)
        return -ERANGE;
    snprintf(name, IFNAMSIZ, "rb%u.%u%s", (unsigned int)port->domid,
             (unsigned int)port->devid, port->emulated ? "e" : "");
    return 0;
}

int netbuf_name_parse(const char *name, struct netbuf_port *port)
{
    struct netbuf_port p;
    const char *at;

    if (strncmp(name, "rb", 2)) return -EINVAL;
    if (netbuf_domid_parse(name + 2, &at, &p.domid) || *at++ != '.')
        return -EINVAL;
    if (parse_number(at, &at, NETBUF_DEVID_MAX, &p.devid)) return -EINVAL;
    p.emulated = *at == 'e';
    if (at[p.emulated]) return -EINVAL;
    *port = p;
    return 0;
}

uint32_t netbuf_handle(const struct netbuf_port *port)
{
    return HANDLE_OURS | port->domid << 16 |
           (port->emulated ? HANDLE_EMULATED : 0) | port->devid;
}

int netbuf_handle_parse(uint32_t handle, struct netbuf_port *port)
{
    struct netbuf_port p = {
        .domid = handle >> 16 & 0x7fffu,
        .devid = handle & NETBUF_DEVID_MAX,
        .emulated = handle & HANDLE_EMULATED,
    };

    if (!(handle & HANDLE_OURS) || p.domid > NETBUF_DOMID_MAX) return -EINVAL;
    *port = p;
    return 0;
}

bool netbuf_port_same(const struct netbuf_port *a,
                      const struct netbuf_port *b)
{
    return a->domid == b->domid && a->devid == b->devid &&
           a->emulated == b->emulated;
}
