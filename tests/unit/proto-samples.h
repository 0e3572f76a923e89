/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proto-samples.h - Good frames of every type, for tests and fuzz seeds */
#ifndef XLC_TESTS_PROTO_SAMPLES_H
#define XLC_TESTS_PROTO_SAMPLES_H

#include "proto.h"

/* As many octets as a sample's frame can have. */
#define SAMPLE_MAX (PROTO_HDR_LEN + 4096u)

/**
 * struct sample - a good frame
 * @name: of the frame; a corpus file's name
 * @len: octets of @frame
 * @msg: what was encoded
 * @frame: the result
 */
struct sample {
    char name[40];
    size_t len;
    struct proto_msg msg;
    uint8_t frame[SAMPLE_MAX];
};

/**
 * sample_get() - the nth sample
 *
 * Return: false if there are not that many, or it can't be encoded
 */
bool sample_get(unsigned int n, struct sample *s_r);

#endif
