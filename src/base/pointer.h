// pointer.h -- where a separated value lies in the value log.

#ifndef LSM_BASE_POINTER_H
#define LSM_BASE_POINTER_H

#include "base/coding.h"

#define POINTER_SIZE_MAX (4 * VARINT_SIZE_MAX)

// The address is logical: the segment the record was first written to and its
// offset there, whatever file holds the record now.
struct value_pointer {
    uint32_t segment;
    uint64_t offset;      // of the record, from the start of the file
    uint32_t record_size; // of the whole record: key, header and bytes
    uint32_t value_size;  // of the value as the application gave it
};

// Encodes at `to`, which has POINTER_SIZE_MAX bytes; returns the encoded size.
size_t pointer_encode(const struct value_pointer *pointer, uint8_t *to);

// LSM_CORRUPT when `bytes` is not exactly one pointer.
lsm_status pointer_decode(lsm_slice bytes, struct value_pointer *out);

#endif
