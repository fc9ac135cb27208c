// span.h -- neighbours in a level, and the keys they cover.

#ifndef LSM_COMPACTION_SPAN_H
#define LSM_COMPACTION_SPAN_H

#include "compaction/table_id_set.h"
#include "manifest/version.h"

// Tables `first` to `first + count - 1` of some level.
struct span {
    size_t first;
    size_t count;
};

// From the smallest to the largest user key, both included; timestamps do not matter.
struct key_range {
    struct ikey smallest;
    struct ikey largest;
};

// The range of a span that is not empty; it borrows from the tables.
struct key_range span_range(const struct level *level, struct span span);
// Extends the range by that of the span.
void span_extend_range(const struct level *level, struct span span, struct key_range *range);
// The tables of a level below level 0 that touch the range.
struct span span_of_range(const struct level *level, const struct key_range *range);

uint64_t span_bytes(const struct level *level, struct span span);
// Whether some table of the span is in `busy`.
bool span_is_busy(const struct level *level, struct span span, const struct table_id_set *busy);
// An array of the tables, with a reference to each; the caller owns it.
lsm_status span_take(const struct level *level, struct span span, struct table ***tables,
                     size_t *count);

#endif
