/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* front-priv.h - What the files of the front share; see front.h */
#ifndef XLC_FRONT_PRIV_H
#define XLC_FRONT_PRIV_H

#include "front.h"

/**
 * struct front - see front.h
 * @io: @fd: @size: the image
 * @store: the secondary's store, or NULL
 * @overlay: set before the mode that needs it
 * @bitmap: @mirror: changed while all ranges are held
 * @mode: atomic; changed while all ranges are held
 * @ranges: writes in flight
 * @merged: where the next piece of the merge begins
 * @piece: FRONT_PIECE octets for the merge
 */
struct front {
    const struct diskio *io;
    int fd;
    uint64_t size;
    struct store *store;
    struct overlay *overlay;
    struct bitmap *bitmap;
    struct front_mirror mirror;
    enum front_mode mode;
    struct rangelock ranges;
    uint64_t merged;
    uint8_t *piece;
};

#define FRONT_PIECE (256u << 10)

#endif
