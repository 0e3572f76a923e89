/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite-hold.h - Segments that wait for the guest's SYN/ACK (internal)
 */
#ifndef XLC_REWRITE_HOLD_H
#define XLC_REWRITE_HOLD_H

#include "rewrite-flow.h"

/** rewrite_hold_put() - copy a frame. Return: false if there is no room */
bool rewrite_hold_put(struct rewrite *r, struct rewrite_flow *f,
                      const uint8_t *frame, size_t len,
                      const struct packet_vnet *vnet);

/**
 * rewrite_hold_get() - the oldest frame whose flow need not wait
 * @rec: set to what it was
 * @flow: set to its flow
 *
 * Return: the frame, valid until the next call; NULL if there is none
 */
uint8_t *rewrite_hold_get(struct rewrite *r, struct rewrite_rec *rec,
                          struct rewrite_flow **flow);

/** rewrite_hold_forget() - drop the frames of one flow */
void rewrite_hold_forget(struct rewrite *r, struct rewrite_flow *f);

/** rewrite_hold_clear() - drop all; the flows are gone or will be set */
void rewrite_hold_clear(struct rewrite *r);

/**
 * rewrite_hold_must() - is the offset known too little to translate?
 *
 * The primary has answered this SYN, the secondary has not: a segment that
 * acknowledges the primary's answer has no translation yet.
 */
static inline bool rewrite_hold_must(const struct rewrite_flow *f)
{
    const uint16_t want = FLOW_OPEN | FLOW_HAVE_C | FLOW_KNOW_P;

    return (f->flags & (want | FLOW_KNOW_S)) == want;
}

#endif
