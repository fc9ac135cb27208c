// properties.h -- what a table says of itself: its meta, as the manifest knows it,
// and how it was built.

#ifndef LSM_SSTABLE_PROPERTIES_H
#define LSM_SSTABLE_PROPERTIES_H

#include "sstable/table_meta.h"

struct properties {
    struct table_meta *meta; // owned
    uint64_t block_count;    // data blocks
    uint64_t data_raw_bytes; // of data blocks before compression
    uint64_t key_count;      // distinct user keys
    uint64_t block_size;     // the options it was built with
    uint32_t compression;
    uint32_t filter_millibits; // per key
};

void properties_release(struct properties *properties);

// The payload of the properties block: the encoded meta, then the other fields in
// order as varints. Its size does not depend on meta->size.
lsm_status properties_encode(const struct properties *properties, lsm_buf *out);

// LSM_CORRUPT, without a place, when `bytes` are no properties.
lsm_status properties_decode(lsm_slice bytes, struct properties *out);

// LSM_CORRUPT, naming `file` and the field, when the two do not describe the same
// table.
lsm_status properties_compare(const char *file, const struct table_meta *own,
                              const struct table_meta *expected);

#endif
