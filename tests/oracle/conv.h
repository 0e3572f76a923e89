/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conv.h - Conversations of one flow, and what a right compare does with them
 *
 * A conversation is a list of steps: a frame of the primary's, one of the
 * secondary's, or time that passes. Its maker knows the truth: how many of
 * the primary's frames may be out after each step, and whether a checkpoint
 * has to be wanted by then. It also knows whether QEMU is right about such a
 * conversation, and if not, which rule of ours decides.
 */
#ifndef XLC_TESTS_CONV_H
#define XLC_TESTS_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define CONV_STEPS 128u
#define CONV_ROOM  (1u << 20)
#define CONV_DATA  262144u
#define CONV_SLOTS 3u

/* Longer than the late limit that the tests give to the engine. */
#define CONV_LATE_MS 250u

/** enum conv_side - what a step is */
enum conv_side { CONV_P, CONV_S, CONV_TIME };

/** enum conv_agree - how far QEMU is to be believed */
enum conv_agree {
    CONV_EACH_STEP, /* what is out, and whether it wants a checkpoint */
    CONV_AT_END,    /* the same, when the conversation is over */
    CONV_OUR_RULE,  /* not at all: the kind's rule decides */
};

struct conv;

/**
 * struct conv_kind - a sort of conversation
 * @name: short
 * @agree: see there
 * @rule: with CONV_OUR_RULE, the rule
 * @make: fills in the steps
 */
struct conv_kind {
    const char *name;
    enum conv_agree agree;
    const char *rule;
    void (*make)(struct conv *c);
};

/**
 * struct conv_step - one event
 * @side: whose
 * @frame: Ethernet frame
 * @len: its length; CONV_TIME: milliseconds
 * @out: frames of the primary's that are out after it
 * @wanted: whether a checkpoint is wanted after it; once it is, ours may hold
 *          back more of the flow than it has to
 * @perhaps: ours may see already what the next step has to show
 * @ack: if not 0: the ack that frames released by this step carry
 * @right: if not 0: no frame released by this step promises more than this
 * @scale: of the window, for @right
 * @made: the engine sends a pure ack of its own with @ack
 * @overtakes: the primary's: it need not wait for what was said before it
 * @partial: its transport checksum is the pseudo header's only
 */
struct conv_step {
    enum conv_side side;
    const uint8_t *frame;
    size_t len;
    unsigned int out;
    bool wanted;
    bool perhaps;
    uint32_t ack;
    uint32_t right;
    uint8_t scale;
    bool made;
    bool overtakes;
    bool partial;
};

/**
 * struct conv - one conversation
 * @kind: what it is an example of
 * @slot: which of the conversations of a case, goes into the frames' marks
 * @flow: number that no other conversation has
 * @vnet: with vnet headers: partial checksums, and GSO frames
 * @rng: random numbers
 * @base: addresses and the like, to be copied for each frame
 * @step: the events
 * @steps: how many
 * @primaries: frames of the primary's among them
 * @absorbed: of them, pure acks that ours replaces by one of its own
 * @data: random octets, different in each conversation
 * @room: frames
 * @used: octets of @room
 */
struct conv {
    const struct conv_kind *kind;
    unsigned int slot;
    uint32_t flow;
    bool vnet;
    uint64_t rng;
    struct frame_spec base;
    struct conv_step step[CONV_STEPS];
    unsigned int steps;
    unsigned int primaries;
    unsigned int absorbed;
    uint8_t *data;
    uint8_t *room;
    size_t used;
};

/* All kinds; the last has no name. */
extern const struct conv_kind conv_plain[], conv_tcp_rules[],
    conv_other_rules[];

/* Make a conversation of @kind. @c has its memory, slot, flow and seed. */
void conv_make(struct conv *c, const struct conv_kind *kind);

/* Return: which frame of the primary's @mark is, counted from 0 and @slot
 * set, or -1 if it is none. */
int conv_which(uint32_t mark, unsigned int *slot);

/* ---- For makers ----------------------------------------------------------*/

/**
 * conv_say() - append a frame
 * @c: conversation
 * @side: CONV_P or CONV_S
 * @s: the frame; its mark is filled in
 *
 * Return: the step, with the truth of the step before it.
 */
struct conv_step *conv_say(struct conv *c, enum conv_side side,
                           const struct frame_spec *s);

/* Append time that passes. Return: the step. */
struct conv_step *conv_wait(struct conv *c, uint32_t ms);

/* The last step's truth: @out frames are out, and a checkpoint @wanted. */
void conv_truth(struct conv *c, unsigned int out, bool wanted);

/**
 * conv_tcp() - a frame of this TCP connection
 * @c: conversation
 * @at: position in the stream, counted from the first octet after the SYN
 * @len: octets
 * @flags: TH_*, TH_ACK is added
 *
 * Return: a spec to be changed and given to conv_say().
 */
struct frame_spec conv_tcp(const struct conv *c, uint32_t at, size_t len,
                           uint8_t flags);

#endif
