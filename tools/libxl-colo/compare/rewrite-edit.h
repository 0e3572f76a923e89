/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-edit.h - Change fields of a TCP header, wherever it is (internal)
 */
#ifndef XLC_REWRITE_EDIT_H
#define XLC_REWRITE_EDIT_H

#include "rewrite-conn.h"

/**
 * struct rewrite_hdr - a TCP header in a frame, whole or quoted
 * @tcp: its first octet
 * @hlen: octets of it that are there, options included
 * @sum: the TCP checksum if it follows changes, or NULL
 * @outer: the checksum of the ICMP message around it, or NULL
 * @odd: the header is at an odd distance from the ICMP message's start
 */
struct rewrite_hdr {
    uint8_t *tcp;
    size_t hlen;
    uint8_t *sum, *outer;
    bool odd;
};

/**
 * struct rewrite_opts_at - where options are in the header; 0: absent
 * @ts: the timestamp's value
 * @sack: the first block
 * @nsack: blocks
 * @is_signed: the header is authenticated
 * @has_wscale, @wscale: as sent
 */
struct rewrite_opts_at {
    uint8_t ts, sack, nsack;
    bool is_signed, has_wscale;
    uint8_t wscale;
};

/** struct rewrite_add - what to add to each field, modulo 2^32 */
struct rewrite_add {
    uint32_t seq, ack, sack, tsval, tsecr;
};

/** rewrite_edit_options() - find the options; stops at what is malformed */
void rewrite_edit_options(struct rewrite_opts_at *o,
                          const struct rewrite_hdr *h);

/**
 * rewrite_edit_add() - add, as far as the header is there
 *
 * Return: was anything changed?
 */
bool rewrite_edit_add(const struct rewrite_hdr *h,
                      const struct rewrite_opts_at *o,
                      const struct rewrite_add *add);

/**
 * rewrite_edit_quote() - the TCP header inside an ICMP error
 * @h: set to the header
 * @key: set to the flow, as the sender of the quoted packet saw it
 * @p: the ICMP message
 *
 * Return: false if it quotes no TCP segment, or less than its sequence number
 */
bool rewrite_edit_quote(struct rewrite_hdr *h, struct packet_key *key,
                        const struct packet *p, uint8_t *frame);

#endif
