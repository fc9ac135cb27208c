// filter.h -- which keys a table cannot hold.
//
// A bloom filter in lines of 64 bytes: a key's bits all lie in one line, so a test
// costs one cache miss. The line is chosen by the upper bits of the key's 64-bit
// hash, by a 64 x 64 bit product, so that even billions of keys spread over all
// lines; the bits within the line by repeated multiplication.
//
// The filter block is the lines, then
//
//   offset size
//        0    8  distinct keys added
//        8    4  bits per key that a test looks at; 0: no filter, and no lines
//       12    4  zero

#ifndef LSM_SSTABLE_FILTER_H
#define LSM_SSTABLE_FILTER_H

#include "base/bytes.h"
#include "base/hash.h"

#define FILTER_LINE_SIZE  64
#define FILTER_TAIL_SIZE  16
#define FILTER_PROBES_MAX 16

// Gathers hashes: eight bytes of memory per key until it is encoded.
struct filter_builder {
    uint64_t *hashes;
    size_t count;
    size_t capacity;
};

void filter_builder_init(struct filter_builder *builder);
void filter_builder_release(struct filter_builder *builder);
// `hash` is key_hash() of a key not added before.
lsm_status filter_builder_add(struct filter_builder *builder, uint64_t hash);
// Replaces `out` by the filter block, with about `bits_per_key` of room per key; 0
// makes an empty one.
lsm_status filter_builder_encode(const struct filter_builder *builder, double bits_per_key,
                                 lsm_buf *out);

// A filter block opened for testing; borrows its bytes.
struct filter {
    const uint8_t *lines; // best at a multiple of FILTER_LINE_SIZE
    uint64_t line_count;
    uint64_t key_count;
    uint32_t probes;
};

// LSM_CORRUPT, without a place, when `bytes` is no filter block.
lsm_status filter_open(lsm_slice bytes, struct filter *out);

static inline const uint8_t *filter_line(const struct filter *filter, uint64_t hash)
{
    return filter->lines + hash_place(hash, filter->line_count) * FILTER_LINE_SIZE;
}

// False only if no key with that hash was added.
bool filter_may_contain(const struct filter *filter, uint64_t hash);

#endif
