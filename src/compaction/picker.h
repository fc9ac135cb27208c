// picker.h -- which tables to merge next: a pure function.

#ifndef LSM_COMPACTION_PICKER_H
#define LSM_COMPACTION_PICKER_H

#include "compaction/compaction.h"
#include "compaction/table_id_set.h"

struct picker_input {
    struct version *version;
    const struct engine_options *options;
    const struct table_id_set *busy; // tables that are being compacted
    bool level0_is_busy;             // a merge out of level 0 is running
    uint64_t oldest_ts;              // of a snapshot
    uint64_t oldest_wall;            // seconds, by which a merge judges expiry; 0: nothing expires
    uint64_t now_seconds;            // wall clock
    // Whether merges drop the entries of a keyspace; NULL: of none.
    bool (*is_dropped)(void *ctx, uint32_t keyspace);
    // A keyspace's own option `compression`, or KEYSPACE_INHERIT; NULL: none has any.
    uint32_t (*compression)(void *ctx, uint32_t keyspace);
    void *ctx;
};

// What is compacted by hand: [from, to] (NULL: open) of a keyspace (0: of all).
struct compaction_range {
    uint32_t keyspace;
    const lsm_slice *from;
    const lsm_slice *to;
};

// Each picks one compaction, of which the caller gets ownership: `*out` is NULL when there is
// nothing to do.

// What needs merging most.
lsm_status compaction_pick(const struct picker_input *input, struct compaction **out);
// The merge that brings the range one level down from the shallowest level that holds some
// of it: nothing when all of it lies in the last non-empty level. LSM_BUSY when tables needed
// are being compacted.
lsm_status compaction_pick_range(const struct picker_input *input,
                                 const struct compaction_range *range, struct compaction **out);
// The rewriting, in its place, of a table of the last non-empty level that touches the
// range, is older than number `id_end`, and holds what a merge may drop there. LSM_BUSY as
// above.
lsm_status compaction_pick_rewrite(const struct picker_input *input,
                                   const struct compaction_range *range, uint64_t id_end,
                                   struct compaction **out);

#endif
