// block_builder.h -- gathers entries in order and encodes them as one block.
//
// Entries are copied as they come; the block is encoded when it is complete,
// since only then its prefix and the width of its numbers are known. One thread.

#ifndef LSM_SSTABLE_BLOCK_BUILDER_H
#define LSM_SSTABLE_BLOCK_BUILDER_H

#include "base/ikey.h"

struct block_builder_entry;

// What the size of a block follows from, beside its keys and values.
struct block_shape {
    size_t count;
    size_t prefix_size;   // shared by all full keys
    size_t overhead;      // bytes of sizes, flags, user bytes, expiry, padding of heads
    size_t payload_bytes; // of full keys and values
    uint64_t ts_min;
    uint64_t ts_max;
};

struct block_builder {
    lsm_buf bytes;                       // full key and value of each entry
    struct block_builder_entry *entries; // shape.count of them, room for capacity
    size_t capacity;
    struct block_shape shape;
};

void block_builder_init(struct block_builder *builder);
void block_builder_release(struct block_builder *builder);
void block_builder_clear(struct block_builder *builder);

// `entry` is greater than the one before.
lsm_status block_builder_add(struct block_builder *builder, const struct entry *entry);

// Size of the block so far, or at most a few bytes more, and what it would be with
// one more entry: a key that shares less makes all others longer.
size_t block_builder_size(const struct block_builder *builder);
size_t block_builder_size_with(const struct block_builder *builder, const struct entry *entry);

// Bytes of memory in use for the entries.
size_t block_builder_memory(const struct block_builder *builder);

static inline size_t block_builder_count(const struct block_builder *builder)
{
    return builder->shape.count;
}

// Replaces `out` by the block; at least one entry was added. LSM_INVALID when it
// is too large for its offsets.
lsm_status block_builder_encode(const struct block_builder *builder, lsm_buf *out);

#endif
