/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netbuf-name.h - How a buffer's parts are called, so that they are found
 *
 * Pure functions. An interface of a domain is a port: (domid, devid,
 * emulated). Its ifb device carries it in its name, "rb<domid>.<devid>" with
 * an "e" behind it for the emulated half of an HVM guest's vif; its filters
 * carry it in their handle. Both together say "ours" beyond doubt.
 */
#ifndef XLC_NETBUF_NAME_H
#define XLC_NETBUF_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include <net/if.h>

/* Xen's DOMID_FIRST_RESERVED - 1; 15 bits. */
#define NETBUF_DOMID_MAX 0x7fefu
/* libxl numbers vifs from 0; 15 bits fit into a handle. */
#define NETBUF_DEVID_MAX 0x7fffu

/**
 * struct netbuf_port - which interface of which domain
 * @domid: the domain
 * @devid: the vif's number in it
 * @emulated: its device model's tap, "vif<domid>.<devid>-emu"
 */
struct netbuf_port {
    uint32_t domid;
    uint32_t devid;
    bool emulated;
};

/**
 * netbuf_name_format() - the ifb device of @port
 *
 * Return: 0; -ERANGE if a number has no place in a name or a handle
 */
int netbuf_name_format(char name[IFNAMSIZ], const struct netbuf_port *port);

/**
 * netbuf_name_parse() - the reverse; only what netbuf_name_format() makes
 *
 * Return: 0; -EINVAL for any other name, @port is then untouched
 */
int netbuf_name_parse(const char *name, struct netbuf_port *port);

/* The handle of @port's filters. Bit 31 keeps it apart from handles that
 * were numbered by the kernel (1, 2, ...). */
uint32_t netbuf_handle(const struct netbuf_port *port);

/* Return: 0; -EINVAL for a handle that netbuf_handle() doesn't make. */
int netbuf_handle_parse(uint32_t handle, struct netbuf_port *port);

bool netbuf_port_same(const struct netbuf_port *a,
                      const struct netbuf_port *b);

/**
 * netbuf_domid_parse() - a domain's number as a user or a name gives it
 * @text: decimal digits, without sign, spaces or leading zeros
 * @end: the first character after it; NULL demands the text's end
 *
 * Return: 0; -EINVAL; -ERANGE above NETBUF_DOMID_MAX
 */
int netbuf_domid_parse(const char *text, const char **end, uint32_t *domid);

#endif
