// segment_map.h -- the segments that a version's tables point to, or that are log.
//
// An array of segment_use by increasing id, built from that of the version before,
// changed by one edit, and then given to the version after it. Everything in it is
// derived: referenced counts and bytes are sums over the tables, kept exact by
// subtracting removed tables and adding added ones.

#ifndef LSM_MANIFEST_SEGMENT_MAP_H
#define LSM_MANIFEST_SEGMENT_MAP_H

#include "manifest/version.h"

struct segment_map {
    struct segment_use *uses; // by increasing id, a reference each
    size_t count;
    size_t capacity;
};

// A copy of what `base` has, with room for what `edit` can add.
lsm_status segment_map_init(struct segment_map *map, const struct version *base,
                            const struct edit *edit);
void segment_map_release(struct segment_map *map);

// Takes in the chain and the segments that left the log. A segment that is known
// keeps its object; another one is taken from the edit, or made in `store`.
// LSM_CORRUPT when the edit contradicts itself or what is known.
lsm_status segment_map_change_log(struct segment_map *map, const struct edit *edit,
                                  struct segment_store *store);

// LSM_CORRUPT when the table points to a segment that is not there, or more is pointed to than
// can be.
lsm_status segment_map_add(struct segment_map *map, const struct table_meta *meta);
// A table that has been added.
void segment_map_subtract(struct segment_map *map, const struct table_meta *meta);

// Takes out what neither a table points to nor is log after `edit`. What the database
// gives up by that goes into `*dropped` (NULL when there is none; `dropped` may be
// NULL). LSM_CORRUPT when a segment that is pointed to has vanished from the log
// without a final size.
lsm_status segment_map_settle(struct segment_map *map, const struct edit *edit,
                              struct segment_set **dropped);

// The use of segment `id`, or NULL.
struct segment_use *segment_use_find(const struct segment_use *uses, size_t count, uint32_t id);

#endif
