/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proto-fields.h - Bodies of frames, field by field; of proto.c's own
 *
 * A list of fields, in the order of the wire, says where each is in struct
 * proto_msg. One function reads by it and one writes by it.
 */
#ifndef XLC_PROTO_FIELDS_H
#define XLC_PROTO_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"
#include "proto.h"

enum field_kind {
    FIELD_END,
    FIELD_INT,   /* 1, 2, 4 or 8 octets; native in the message */
    FIELD_BYTES, /* as they are */
    FIELD_ZERO,  /* reserved */
    FIELD_LEN,   /* 2 octets: the length of the text at @offset */
    FIELD_TEXT,  /* printable; @size with its terminator in the message */
    FIELD_DATA,  /* the rest, which stays where it is */
};

/**
 * struct field - a field of a frame's body
 * @kind: what it is
 * @size: octets; of FIELD_LEN and FIELD_TEXT, of the text in the message
 * @offset: where it is in struct proto_msg
 */
struct field {
    enum field_kind kind;
    uint16_t size;
    uint16_t offset;
};

/* Body to message. A bad cursor, or octets left over, mean failure. */
void proto_read_fields(struct proto_msg *m, const struct field *f,
                       struct rcur *c);

/* Message to body. A bad cursor means that it did not fit. */
void proto_write_fields(const struct proto_msg *m, const struct field *f,
                        struct wcur *c);

/* Is it ASCII from space to tilde? */
bool proto_printable(const void *text, size_t len);

#endif
