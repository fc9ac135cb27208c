// record.h -- a separated value in the log, with what proves whose it is.
//
//   offset size
//        0    4  CRC32C of everything behind it
//        4    1  codec: 0, the bytes as given
//        5    -  varint keyspace, varint key size, varint value size
//        -    -  key, value
//
// The checksum does not cover a place, so that relocation copies records byte for
// byte, and it is made by the committing thread and checked by the reader.

#ifndef LSM_VLOG_RECORD_H
#define LSM_VLOG_RECORD_H

#include "base/coding.h"

// Longest head: what stands before the key.
#define RECORD_HEAD_SIZE_MAX (5 + 3 * VARINT_SIZE_MAX)

struct record_head {
    uint8_t bytes[RECORD_HEAD_SIZE_MAX];
    uint8_t size;
};

// Bytes that the record of such a value takes.
static inline uint64_t record_size(uint32_t keyspace, size_t key_size, uint64_t value_size)
{
    return 5 + varint_size(keyspace) + varint_size(key_size) + varint_size(value_size) + key_size +
           value_size;
}

// Computes the head of the record {head, key, value} and its checksum.
void record_head_make(uint32_t keyspace, lsm_slice key, lsm_slice value, struct record_head *out);

// Whether the checksum in the head still is that of key and value.
bool record_head_verify(const struct record_head *head, lsm_slice key, lsm_slice value);

struct record {
    uint32_t keyspace;
    lsm_slice key;
    lsm_slice value;
};

// Decodes and verifies `bytes`, a whole record read at `offset` of the file `name`
// (for the words). LSM_CORRUPT when the checksum or the form is wrong;
// LSM_UNSUPPORTED for an unknown codec. The slices borrow from `bytes`.
lsm_status record_decode(lsm_slice bytes, const char *name, uint64_t offset, struct record *out);

// Whether it is `keyspace`/`key`'s, with a value of the size that its pointer tells.
static inline bool record_is_of(const struct record *record, uint32_t keyspace, lsm_slice key,
                                uint64_t value_size)
{
    return record->keyspace == keyspace && slice_equal(record->key, key) &&
           record->value.size == value_size;
}

#endif
