// table_meta.h -- what the manifest knows of a table without opening it.

#ifndef LSM_SSTABLE_TABLE_META_H
#define LSM_SSTABLE_TABLE_META_H

#include "base/coding.h"
#include "base/ikey.h"
#include "base/uuid.h"

// What a table points to in one segment of the value log.
struct segment_reference {
    uint32_t segment;
    uint64_t count; // entries that point there
    uint64_t bytes; // of their records
};

// Immutable once built; `smallest` and `largest` borrow from the same allocation
// or from what owns the meta.
struct table_meta {
    uint64_t id; // number of the file NNNNNN.sst
    struct uuid uuid;
    uint64_t size; // of the file, exact
    struct ikey smallest;
    struct ikey largest;
    uint64_t smallest_head; // slice_head() of the keys
    uint64_t largest_head;
    uint64_t entry_count;
    uint64_t tombstone_count;
    uint64_t raw_bytes; // of keys and inline values, before compression
    uint64_t ts_min;    // of all entries
    uint64_t ts_max;
    uint64_t expiry_min; // of entries that expire; 0 when none does
    uint64_t expiry_max;
    uint64_t created_wall;                // seconds since 1970
    struct segment_reference *references; // by increasing segment
    size_t reference_count;
};

// A deep copy in one allocation, released by table_meta_free().
lsm_status table_meta_copy(const struct table_meta *meta, struct table_meta **out);
void table_meta_free(struct table_meta *meta);
void table_meta_freep(struct table_meta **meta);

// Appends the encoded form to `to`; decodes it from `r`, bounded and checked
// (ordered keys, known sizes, references increasing), as a deep copy.
lsm_status table_meta_encode(const struct table_meta *meta, lsm_buf *to);
lsm_status table_meta_decode(struct reader *r, struct table_meta **out);

// Counts one more entry of a table in `meta`, which starts zeroed: counts and
// ranges, not bounds and references.
void table_meta_count(struct table_meta *meta, const struct entry *entry);

// Sum of the bytes of all references.
uint64_t table_meta_referenced_bytes(const struct table_meta *meta);

// Whether [smallest, largest] of user keys touches [from, to] of `keyspace`;
// a NULL bound is open.
bool table_meta_overlaps(const struct table_meta *meta, uint32_t keyspace, const lsm_slice *from,
                         const lsm_slice *to);

#endif
