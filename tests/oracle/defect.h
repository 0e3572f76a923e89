/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * defect.h - Tests of single verdicts, one for each defect found elsewhere
 *
 * A test feeds frames of both sides to a fresh engine and looks at what came
 * out. It is a function without parameters that returns whether all is well;
 * WANT() says which line was not.
 */
#ifndef XLC_TESTS_DEFECT_H
#define XLC_TESTS_DEFECT_H

#include "frame.h"
#include "rig.h"

#define DEFECT_LOG 40000u

#define WANT(c)                                              \
    do {                                                     \
        if (!(c)) {                                          \
            printf("# line %d: not %s\n", __LINE__, #c);     \
            return false;                                    \
        }                                                    \
    } while (0)

/**
 * struct defect - a test
 * @name: what goes wrong elsewhere
 * @test: whether it does not here
 */
struct defect {
    const char *name;
    bool (*test)(void);
};

/**
 * struct defect_out - what came out
 * @n: frames of the primary's
 * @made: acks of the engine's own
 * @mark: marks of the frames, in order
 * @tcp: header of the last frame, if it was TCP
 * @sacks: it has SACK blocks
 * @sums: its checksums are right
 */
struct defect_out {
    unsigned int n, made;
    uint32_t mark[DEFECT_LOG];
    struct frame_tcp tcp;
    bool sacks, sums;
};

extern struct rig rig;
extern struct defect_out out;
/* Payload of all frames. */
extern uint8_t bytes[65536];

/* Run @n tests, each with an engine of its own. Return: the exit status. */
int defect_main(const struct defect *defects, size_t n);

/* Take what was released. Return: frames of the primary's so far. */
unsigned int take(void);

/* Give a frame of one side's, its mark and id filled in. Return: 0 or what
 * the engine said. */
int give(bool primary, const struct frame_spec *s);

/* Give a frame of the primary's. Return: how many are out now. */
unsigned int pvm(const struct frame_spec *s);

/* Give a frame of the secondary's. Return: how many are out now. */
unsigned int svm(const struct frame_spec *s);

/* Return: whether what came out did so in the order it was given. */
bool in_order(void);

/* Return: whether a checkpoint is wanted for @reason. */
bool wanted(enum compare_reason reason);

/* Return: whether none is wanted. */
bool unwanted(void);

/* Return: how many times a checkpoint became wanted. */
uint64_t requests(void);

/* A frame from the guest with @len octets of bytes[]. */
struct frame_spec base(uint8_t proto, size_t len);

/* A segment that starts @at octets into the stream. */
struct frame_spec tcp(uint32_t at, size_t len, uint8_t flags);

#endif
