// read_set.h -- what a transaction has read: keys (found or not) and ranges.
//
// One thread. Bounded: beyond `point_max` points neighbours are joined into ranges,
// which may only cause false conflicts, never miss one.

#ifndef LSM_TXN_READ_SET_H
#define LSM_TXN_READ_SET_H

#include "base/arena.h"
#include "base/ikey.h"

#define READ_SET_POINTS_MAX 65536

struct read_point {
    uint64_t hash; // key_hash()
    uint32_t keyspace;
    lsm_slice key;
};

// Keys from `low` on, up to `high`.
struct read_range {
    uint32_t keyspace;
    lsm_slice low;
    lsm_slice high;     // belongs to the range, unless `excludes_high`
    bool excludes_high; // `high` itself was not read
    bool is_open;       // above: there is no `high`
};

// Whether a key at or after `range->low` lies behind the end of the range.
static inline bool read_range_ends_before(const struct read_range *range, lsm_slice key)
{
    int order;

    if (range->is_open)
        return false;
    order = slice_compare(range->high, key);
    return order < 0 || (order == 0 && range->excludes_high);
}

struct read_set;

lsm_status read_set_new(struct read_set **out);
void read_set_free(struct read_set *set);

// Keys are copied. On LSM_NO_MEMORY nothing has been added, and the read that
// wanted it must fail.
lsm_status read_set_add_point(struct read_set *set, uint32_t keyspace, lsm_slice key,
                              uint64_t hash);
lsm_status read_set_add_range(struct read_set *set, const struct read_range *range);

bool read_set_is_empty(const struct read_set *set);

// Sorts and joins; afterwards the arrays below are valid until the next addition.
lsm_status read_set_seal(struct read_set *set);
const struct read_point *read_set_points(const struct read_set *set, size_t *count);
// Disjoint, ordered by keyspace and `low`.
const struct read_range *read_set_ranges(const struct read_set *set, size_t *count);

#endif
