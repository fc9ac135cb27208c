// plan.h -- a compaction in thought: spans of tables of the version, no references.
//
// What is picked from a level is always older than what stays in the levels above it
// and newer than what lies below: from level 0 a run that ends with its oldest table
// goes down, from deeper levels any table does, for its keys lie in no other table of
// its level; and whatever the output level holds between the keys of the inputs takes
// part.

#ifndef LSM_COMPACTION_PLAN_H
#define LSM_COMPACTION_PLAN_H

#include "compaction/picker.h"
#include "compaction/span.h"

// As struct compaction, which the plan that is chosen becomes.
struct plan {
    enum compaction_reason reason;
    unsigned level;
    unsigned output_level;
    struct span inputs[2];
    struct span grandparents;
    bool is_move;
    bool is_bottommost;
    double score;
};

static inline const struct level *level_of(const struct picker_input *input, unsigned level)
{
    return &input->version->levels[level];
}

// Whether merging the table with nothing below it would leave something out for sure.
// An expiring table pays for being rewritten once half of it may have expired.
bool has_droppable(const struct picker_input *input, const struct table *table);

// Completes a plan from its levels and first inputs; false when a table it needs is being
// compacted.
bool plan_complete(const struct picker_input *input, struct plan *plan);
// A complete plan for table number `at` of a level below level 0; false likewise.
bool plan_table(const struct picker_input *input, enum compaction_reason reason, unsigned level,
                size_t at, unsigned output_level, struct plan *out);
lsm_status plan_carry_out(const struct picker_input *input, const struct plan *plan,
                          struct compaction **out);

#endif
