// picker.h -- which tables to merge next: a pure function.

#ifndef LSM_COMPACTION_PICKER_H
#define LSM_COMPACTION_PICKER_H

#include "compaction/level_targets.h"

enum compaction_reason {
    COMPACTION_LEVEL0,       // too many tables in level 0
    COMPACTION_INTRA_LEVEL0, // level 0 piles up while the level below is busy
    COMPACTION_SIZE,         // a level is above its target
    COMPACTION_GARBAGE,      // tables that hide much garbage in the value log
    COMPACTION_TOMBSTONES,   // many or old tombstones, expired entries, a dropped keyspace
    COMPACTION_MANUAL,
};

const char *compaction_reason_name(enum compaction_reason reason);

// A merge of `inputs[0]` of level `level` with the overlapping `inputs[1]` of level
// `output_level`; where the two levels are the same, `inputs[0]` are rewritten in their
// place. References to the tables are held.
struct compaction {
    enum compaction_reason reason;
    struct version *version; // that it was picked from, a reference
    unsigned level;
    unsigned output_level;
    struct table **inputs[2];
    size_t input_count[2];
    struct table **grandparents; // overlapping tables of output_level + 1: where to cut
    size_t grandparent_count;
    bool is_move;       // by metadata alone
    bool is_bottommost; // no table outside the inputs that may hold older entries of
                        // their keys overlaps them
    double score;
};

// What is being compacted: ids of tables, under the compactor's mutex.
struct table_id_set {
    uint64_t *ids; // increasing
    size_t count;
    size_t capacity;
};
bool table_id_set_contains(const struct table_id_set *set, uint64_t id);
// Makes room for `count` more ids.
lsm_status table_id_set_reserve(struct table_id_set *set, size_t count);
// Room has been reserved.
void table_id_set_add(struct table_id_set *set, uint64_t id);
void table_id_set_remove(struct table_id_set *set, uint64_t id);
void table_id_set_release(struct table_id_set *set);

struct picker_input {
    struct version *version;
    const struct engine_options *options;
    const struct table_id_set *busy;
    bool level0_is_busy;  // a merge out of level 0 is running
    uint64_t oldest_ts;   // of a snapshot
    uint64_t oldest_wall; // seconds, by which a merge judges expiry; 0: nothing expires
    uint64_t now_seconds; // wall clock
    // Whether merges drop the entries of a keyspace; NULL: of none.
    bool (*is_dropped)(void *ctx, uint32_t keyspace);
    // A keyspace's own option `compression`, or KEYSPACE_INHERIT; NULL: none has any.
    uint32_t (*compression)(void *ctx, uint32_t keyspace);
    void *ctx;
};

// LSM_NOT_FOUND (without words) when nothing needs merging.
lsm_status compaction_pick(const struct picker_input *input, struct compaction **out);
// The merge that brings [from, to] (NULL: open) of `keyspace` (0: all) one level down
// from the shallowest level that holds some of it; LSM_NOT_FOUND when all of it lies
// in the last non-empty level, LSM_BUSY when tables needed are being compacted.
lsm_status compaction_pick_range(const struct picker_input *input, uint32_t keyspace,
                                 const lsm_slice *from, const lsm_slice *to,
                                 struct compaction **out);
// The rewriting, in its place, of a table of the last non-empty level that touches the
// range, is older than number `id_end`, and holds what a merge may drop there;
// LSM_NOT_FOUND, LSM_BUSY as above.
lsm_status compaction_pick_rewrite(const struct picker_input *input, uint32_t keyspace,
                                   const lsm_slice *from, const lsm_slice *to, uint64_t id_end,
                                   struct compaction **out);
void compaction_free(struct compaction *compaction);

#endif
