// picker.h -- which tables to merge next: a pure function.

#ifndef LSM_COMPACTION_PICKER_H
#define LSM_COMPACTION_PICKER_H

#include "compaction/engine.h"

enum compaction_reason {
    COMPACTION_LEVEL0,     // too many tables in level 0
    COMPACTION_INTRA_LEVEL0, // level 0 piles up while the level below is busy
    COMPACTION_SIZE,       // a level is above its target
    COMPACTION_GARBAGE,    // tables that hide much garbage in the value log
    COMPACTION_TOMBSTONES, // many or old tombstones, or expired entries
    COMPACTION_MANUAL,
};

// A merge of `inputs[0]` of level `level` with the overlapping `inputs[1]` of level
// `output_level`. References to the tables are held.
struct compaction {
    enum compaction_reason reason;
    unsigned level;
    unsigned output_level;
    struct table **inputs[2];
    size_t input_count[2];
    struct table **grandparents; // overlapping tables of output_level + 1: where to cut
    size_t grandparent_count;
    bool is_move;        // by metadata alone
    bool is_bottommost;  // nothing overlapping lies below the output, nor in a level above
                         // outside the inputs in a way that matters
    double score;
};

// What is being compacted: ids of tables, under the compactor's mutex.
struct table_id_set {
    uint64_t *ids;
    size_t count;
    size_t capacity;
};
bool table_id_set_contains(const struct table_id_set *set, uint64_t id);

struct picker_input {
    struct version *version;
    const struct engine_options *options;
    const struct table_id_set *busy;
    bool level0_is_busy;
    uint64_t oldest_ts;   // of a snapshot
    uint64_t now_seconds; // wall clock
};

// LSM_NOT_FOUND (without words) when nothing needs merging.
lsm_status compaction_pick(const struct picker_input *input, struct compaction **out);
// The merge that brings [from, to] (NULL: open) of `keyspace` (0: all) one level down
// from the shallowest level that holds some of it; LSM_NOT_FOUND when all of it lies
// in the last non-empty level, LSM_BUSY when tables needed are being compacted.
lsm_status compaction_pick_range(const struct picker_input *input, uint32_t keyspace,
                                 const lsm_slice *from, const lsm_slice *to,
                                 struct compaction **out);
void compaction_free(struct compaction *compaction);

// Target bytes per level, computed from the bottom up, and the urgency of each level
// (1.0: at its target); for the picker, the throttle and lsmctl.
struct level_targets {
    uint64_t bytes[LEVEL_COUNT];
    double score[LEVEL_COUNT];
    unsigned base_level; // where level 0 merges to
};
void level_targets_compute(const struct version *version, const struct engine_options *options,
                           struct level_targets *out);

// Bytes that remain to be merged before every level is at its target.
uint64_t compaction_debt(const struct version *version, const struct engine_options *options);

#endif
