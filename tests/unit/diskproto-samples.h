/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diskproto-samples.h - One good message of every kind, octet by octet */
#ifndef XLC_TESTS_DISKPROTO_SAMPLES_H
#define XLC_TESTS_DISKPROTO_SAMPLES_H

#include "diskproto.h"

#define SAMPLE_MAX 256u

/**
 * struct diskproto_sample - a message as the specification lays it out
 * @name: of its file in the corpus
 * @from_primary: who says it
 * @octets: @len of them
 */
struct diskproto_sample {
    const char *name;
    bool from_primary;
    uint8_t octets[SAMPLE_MAX];
    size_t len;
};

/* Return: false if there are no more than @n. */
bool diskproto_sample_get(unsigned int n, struct diskproto_sample *s);

#endif
