/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * neigh.h - Neighbours learned from what goes to the guest, and answers
 *
 * Pure code. A secondary guest that was rolled back asks for neighbours that
 * the primary guest still knows; nobody on the LAN hears that, so nobody
 * answers (RULES C2). The secondary's proxy does, from what the neighbours
 * told the primary guest: ARP, and neighbour discovery of IPv6.
 *
 * Bounded: a table of NEIGH_MAX places, an address has NEIGH_WAYS of them,
 * and the one that was not heard of for longest is taken over. A neighbour
 * that tells a new MAC replaces the old one. What is missing costs a
 * checkpoint, no more.
 */
#ifndef XLC_NEIGH_H
#define XLC_NEIGH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEIGH_MAX  512u
#define NEIGH_WAYS 4u

/* Octets of the longest answer: two VLAN tags in front of an NA. */
#define NEIGH_ANSWER_MAX 96u

/**
 * struct neigh_entry - one neighbour
 * @family: 4, 6, or 0 for an empty place
 * @tags: octets of VLAN tags that its frame had
 * @mac: what it told
 * @tag: those tags
 * @addr: its address; 4 octets of IPv4, the rest zero
 * @heard: counts what was learned
 */
struct neigh_entry {
    uint8_t family;
    uint8_t tags;
    uint8_t mac[6];
    uint8_t tag[8];
    uint8_t addr[16];
    uint64_t heard;
};

/**
 * struct neigh - the table; starts as zeroes
 * @at: the places
 * @clock: counts what was learned
 * @learned, @answered: counted for the status
 */
struct neigh {
    struct neigh_entry at[NEIGH_MAX];
    uint64_t clock;
    uint64_t learned, answered;
};

/* Look at a frame on its way to the guest. */
void neigh_learn(struct neigh *n, const uint8_t *frame, size_t len);

/**
 * neigh_answer() - answer a guest's question, if it is one
 * @frame: a frame from the guest
 * @answer: room for NEIGH_ANSWER_MAX octets
 *
 * Questions about its own address (duplicate detection, gratuitous ARP) are
 * never answered.
 *
 * Return: the answer's length; 0: it is no question, or nothing is known
 */
size_t neigh_answer(struct neigh *n, const uint8_t *frame, size_t len,
                    uint8_t *answer);

#endif
