// version.h -- an immutable set of tables by level, with the segments they point to.

#ifndef LSM_MANIFEST_VERSION_H
#define LSM_MANIFEST_VERSION_H

#include "manifest/edit.h"

// A segment that the tables of a version point to, or that is still log.
struct segment_use {
    struct segment *segment; // a reference
    uint32_t id;
    uint64_t final_size;       // 0 while it is log
    uint64_t referenced_count; // sums over the tables of this version
    uint64_t referenced_bytes;
};

// What is asked of a table before it is touched: two to a cache line.
struct table_span {
    uint64_t id;
    uint64_t smallest_head;
    uint64_t largest_head;
    uint32_t smallest_keyspace;
    uint32_t largest_keyspace;
};

struct level {
    struct table **tables;    // level 0: newest first; others: by key, disjoint
    struct table_span *spans; // of the tables, in the same order
    size_t count;
    uint64_t bytes; // of files
    uint64_t entries;
    uint64_t tombstones;
    uint64_t referenced_bytes; // of separated values pointed to
};

struct version {
    struct epoch_node node;
    _Atomic uint32_t refs;
    struct epoch_bin *bin;
    uint64_t edit_number; // of the edit that made it
    struct level levels[LEVEL_COUNT];
    struct segment_use *segments; // by increasing id
    size_t segment_count;
};

// A version of nothing. One reference.
lsm_status version_new(struct epoch_bin *bin, struct version **out);
void version_ref(struct version *version);
void version_unref(struct version *version);

// The version after `edit`. Tables of a metadata-only move keep their object.
// LSM_CORRUPT when the edit contradicts `base` (removes what is not there, adds an
// id twice) or breaks an invariant: timestamp ranges of level 0 disjoint, tables of
// a deeper level disjoint and cut between user keys, nothing placed below an
// overlapping older table outside the edit's inputs. `dropped` (may be NULL) receives
// the segments of `base`, and of `edit->left_segments`, that leave the database, a
// reference each, or NULL when there are none; released by segment_set_retire().
lsm_status version_apply(struct version *base, const struct edit *edit, struct table_store *tables,
                         struct segment_store *segments, struct version **out,
                         struct segment_set **dropped);

// NULL when no table points there and it is not log. Borrowed from the version.
struct segment *version_find_segment(const struct version *version, uint32_t id);

// The newest entry of a key at or below `key->ts`, over all levels: level 0 newest
// first, then one table a level. Inside an epoch section; as table_get().
lsm_status version_get(struct version *version, const struct ikey *key, uint64_t hash,
                       struct entry *out, bool *found, struct block **block);

// Appends a cursor per level-0 table and one per non-empty deeper level to `iters`,
// which has room for version_iter_count() more; those whose tables do not touch
// [from, to] (NULL: open) of `keyspace` (0: all) are left out. `*count` is the number
// in `iters`, before and after; a failure appends none.
size_t version_iter_count(const struct version *version);
lsm_status version_add_iters(struct version *version, const struct table_iter_options *options,
                             uint32_t keyspace, const lsm_slice *from, const lsm_slice *to,
                             struct iter **iters, size_t *count);

// A cursor over disjoint, ordered tables; each is opened when reached. Takes a
// reference to each.
lsm_status level_iter_new(struct table *const *tables, size_t count,
                          const struct table_iter_options *options, struct iter **out);

// The table of a deeper level whose range may hold (keyspace, key), or NULL.
struct table *level_find(const struct level *level, uint32_t keyspace, lsm_slice key);

// Of the tables of a deeper level, the index of the first that ends at or behind
// (keyspace, key), and of the first that starts behind it.
size_t level_first_ending_at(const struct level *level, uint32_t keyspace, lsm_slice key);
size_t level_first_starting_behind(const struct level *level, uint32_t keyspace, lsm_slice key);

uint64_t version_table_bytes(const struct version *version);
uint64_t version_table_count(const struct version *version);
// Of segments with known or present size: what value files take on disk.
uint64_t version_referenced_bytes(const struct version *version);

#endif
