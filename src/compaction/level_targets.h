// level_targets.h -- how much each level should hold, and what is too much.

#ifndef LSM_COMPACTION_LEVEL_TARGETS_H
#define LSM_COMPACTION_LEVEL_TARGETS_H

#include "compaction/engine.h"

// Target bytes per level, computed from the bottom up, and the urgency of each level
// (1.0: at its target); for the picker, the throttle and lsmctl.
struct level_targets {
    uint64_t bytes[LEVEL_COUNT];
    double score[LEVEL_COUNT];
    // The same for the separated values that tables point to: what an upper level
    // points to may hide as much garbage further down.
    double garbage_score[LEVEL_COUNT];
    unsigned base_level; // where level 0 merges to
};
void level_targets_compute(const struct version *version, const struct engine_options *options,
                           struct level_targets *out);

// Bytes that remain to be merged before every level is at its target.
uint64_t compaction_debt(const struct version *version, const struct engine_options *options);

#endif
