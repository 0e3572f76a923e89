/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wire-samples.h - Good messages of the proxies, for tests and fuzz seeds */
#ifndef XLC_TESTS_WIRE_SAMPLES_H
#define XLC_TESTS_WIRE_SAMPLES_H

#include "wire.h"

/**
 * struct wire_sample - a good message
 * @name: of the message; a corpus file's name
 * @from_primary: who says it
 * @len: octets of @octets
 * @msg: what was encoded
 * @octets: the result
 */
struct wire_sample {
    char name[40];
    bool from_primary;
    size_t len;
    struct wire_msg msg;
    uint8_t octets[WIRE_MSG_MAX];
};

/**
 * wire_sample_get() - the nth sample
 *
 * Return: false if there are not that many, or it can't be encoded
 */
bool wire_sample_get(unsigned int n, struct wire_sample *s);

#endif
