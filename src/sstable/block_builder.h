// block_builder.h -- gathers entries in order and encodes them as one block.
//
// Entries are copied as they come; the block is encoded when it is complete,
// since only then its prefix and the width of its numbers are known. One thread.

#ifndef LSM_SSTABLE_BLOCK_BUILDER_H
#define LSM_SSTABLE_BLOCK_BUILDER_H

#include "base/ikey.h"

struct block_builder_entry;

struct block_builder {
    lsm_buf bytes;                       // full key and value of each entry
    struct block_builder_entry *entries; // count of them, room for capacity
    size_t count;
    size_t capacity;
    size_t prefix_size; // shared by all full keys so far
    uint64_t ts_min;
    uint64_t ts_max;
};

void block_builder_init(struct block_builder *builder);
void block_builder_release(struct block_builder *builder);
void block_builder_clear(struct block_builder *builder);

// `entry` is greater than the one before.
lsm_status block_builder_add(struct block_builder *builder, const struct entry *entry);

// Size of the block so far, within a few bytes per entry.
size_t block_builder_size(const struct block_builder *builder);

// Replaces `out` by the block; at least one entry was added. LSM_INVALID when it
// is too large for its offsets.
lsm_status block_builder_encode(const struct block_builder *builder, lsm_buf *out);

#endif
