// references.h -- what of the value log a table points to.
//
// The reference block names, by increasing segment, the offset of every record
// that an entry of the table points to, so that garbage collection finds the live
// records of a segment without reading the tables' entries:
//
//   varint  segments
//   for each segment, increasing:
//     varint  segment, entries, bytes of their records, bytes of the list
//     list    varint offsets, each but the first as the distance from the one before

#ifndef LSM_SSTABLE_REFERENCES_H
#define LSM_SSTABLE_REFERENCES_H

#include "base/pointer.h"
#include "sstable/table_meta.h"

struct reference {
    uint64_t offset;
    uint32_t segment;
    uint32_t record_size;
};

// Gathers pointers in any order: 16 bytes of memory for each.
struct references {
    struct reference *items;
    size_t count;
    size_t capacity;
};

void references_init(struct references *references);
void references_release(struct references *references);
lsm_status references_add(struct references *references, const struct value_pointer *pointer);

// Orders by segment and offset, in place: before the two below.
void references_sort(struct references *references);
// Counts and bytes per segment; the caller frees `*out` with mem_free().
lsm_status references_sum(const struct references *references, struct segment_reference **out,
                          size_t *count);
// Replaces `out` by the reference block.
lsm_status references_encode(const struct references *references, lsm_buf *out);

// Called once per segment before its offsets, then once per offset. Either may be
// NULL; a failure ends the walk.
struct references_visitor {
    lsm_status (*segment)(void *ctx, const struct segment_reference *reference);
    lsm_status (*offset)(void *ctx, uint32_t segment, uint64_t offset);
    void *ctx;
};

// LSM_CORRUPT, without a place, when `bytes` is no reference block.
lsm_status references_walk(lsm_slice bytes, const struct references_visitor *visitor);

#endif
