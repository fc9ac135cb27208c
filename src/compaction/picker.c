// picker.c -- picking by need: levels above their targets, and what has become worn.

#include "compaction/picker.h"

#include "compaction/level_targets.h"
#include "compaction/plan.h"
#include "compaction/table_output.h"
#include "sstable/references.h"

#define LEVEL0_FIRST_SCORE    2.0         // from which level 0 goes before all others
#define INTRA_LEVEL0_EXTRA    2           // tables above the trigger
#define TOMBSTONE_AGE_SECONDS (6 * 3600u) // after which a table with one is picked
#define TOMBSTONE_DENSE_SHARE 2           // one in so many entries is dense

// --- by need ---
//
// Each returns whether it has a plan.

// Bytes that a table's entries take while a table is made of them: see
// table_builder_memory().
static uint64_t entry_memory(const struct table_meta *meta)
{
    uint64_t pointers = 0;

    for (size_t i = 0; i < meta->reference_count; i++)
        pointers += meta->references[i].count;
    return meta->entry_count * sizeof(uint64_t) + pointers * sizeof(struct reference);
}

// The newest tables of level 0, up to one that is busy, that can be made one in some more
// memory than usual: a table of level 0 is never cut.
static struct span newest_of_level0(const struct picker_input *input, const struct level *level)
{
    const uint64_t memory_max = table_memory_max(input->options) * 5 / 2;
    struct span span = {.first = 0};
    uint64_t memory = 0;

    while (span.count < level->count &&
           !span_is_busy(level, (struct span){.first = span.count, .count = 1}, input->busy)) {
        memory += entry_memory(table_meta(level->tables[span.count]));
        if (memory > memory_max)
            break;
        span.count++;
    }
    return span;
}

// The tables that arrived since the merge that keeps level 0 busy began become one, so
// that reads meanwhile probe fewer.
static bool plan_intra_level0(const struct picker_input *input, double score, struct plan *out)
{
    const struct level *level = level_of(input, 0);
    uint64_t trigger = atomic_load_explicit(&input->options->level0_trigger, memory_order_relaxed);
    struct plan plan = {.reason = COMPACTION_INTRA_LEVEL0,
                        .score = score,
                        .inputs[0] = newest_of_level0(input, level)};

    if (level->count < trigger + INTRA_LEVEL0_EXTRA || plan.inputs[0].count < 2 ||
        plan.inputs[0].count < trigger)
        return false;
    if (!plan_complete(input, &plan))
        return false;
    *out = plan;
    return true;
}

static bool plan_level0(const struct picker_input *input, const struct level_targets *targets,
                        enum compaction_reason reason, struct plan *out)
{
    size_t count = level_of(input, 0)->count;
    struct plan plan = {
        .reason = reason, .output_level = targets->base_level, .score = targets->score[0]};

    if (count == 0)
        return false;
    if (input->level0_is_busy)
        return plan_intra_level0(input, targets->score[0], out);
    // Loading in key order makes tables that overlap nothing: they go one by one.
    plan.inputs[0] = (struct span){.first = count - 1, .count = 1};
    if (!plan_complete(input, &plan) || !plan.is_move) {
        plan.inputs[0] = (struct span){.first = 0, .count = count};
        if (!plan_complete(input, &plan))
            return plan_intra_level0(input, targets->score[0], out);
    }
    *out = plan;
    return true;
}

// Bytes of the level below to be merged per byte moved there, times 1024. For garbage
// the bytes moved are those of values pointed to.
static uint64_t cost_of(const struct picker_input *input, const struct plan *plan)
{
    const struct level *level = level_of(input, plan->level);
    const struct level *output = level_of(input, plan->output_level);
    uint64_t own = span_bytes(level, plan->inputs[0]);
    uint64_t gain = own;

    if (plan->reason == COMPACTION_GARBAGE)
        gain = table_meta_referenced_bytes(table_meta(level->tables[plan->inputs[0].first]));
    return (own + span_bytes(output, plan->inputs[1])) * 1024 / (gain + 1);
}

static bool is_older(const struct level *level, const struct plan *a, const struct plan *b)
{
    return table_meta(level->tables[a->inputs[0].first])->ts_max <
           table_meta(level->tables[b->inputs[0].first])->ts_max;
}

// The table of a level whose way down costs least; of several, the one unchanged for
// longest.
static bool plan_deeper_level(const struct picker_input *input, enum compaction_reason reason,
                              unsigned level, double score, struct plan *out)
{
    const struct level *tables = level_of(input, level);
    struct plan best = {.score = score};
    uint64_t best_cost = UINT64_MAX;

    for (size_t i = 0; i < tables->count; i++) {
        struct plan plan;
        uint64_t cost;

        if (!plan_table(input, reason, level, i, level + 1, &plan))
            continue;
        cost = cost_of(input, &plan);
        if (cost > best_cost || (cost == best_cost && !is_older(tables, &plan, &best)))
            continue;
        best = plan;
        best_cost = cost;
    }
    if (best_cost == UINT64_MAX)
        return false;
    best.score = score;
    *out = best;
    return true;
}

// What asks for a merge, by urgency.
struct need {
    enum compaction_reason reason;
    unsigned level;
    double score;
};

static void add_need(struct need *needs, size_t *count, struct need need)
{
    size_t at = (*count)++;

    for (; at > 0 && needs[at - 1].score < need.score; at--)
        needs[at] = needs[at - 1];
    needs[at] = need;
}

static size_t find_needs(const struct level_targets *targets, struct need *needs)
{
    size_t count = 0;

    if (targets->score[0] >= 1.0)
        add_need(needs, &count,
                 (struct need){
                     .reason = COMPACTION_LEVEL0,
                     .score = targets->score[0] >= LEVEL0_FIRST_SCORE ? 1e9 : targets->score[0],
                 });
    for (unsigned i = 1; i < LEVEL_LAST; i++) {
        bool is_size = targets->score[i] >= targets->garbage_score[i];
        double score = is_size ? targets->score[i] : targets->garbage_score[i];

        // At its target a level is as it should be.
        if (score > 1.0)
            add_need(needs, &count,
                     (struct need){
                         .reason = is_size ? COMPACTION_SIZE : COMPACTION_GARBAGE,
                         .level = i,
                         .score = score,
                     });
    }
    return count;
}

static bool plan_by_need(const struct picker_input *input, const struct level_targets *targets,
                         struct plan *out)
{
    struct need needs[LEVEL_COUNT];
    size_t count = find_needs(targets, needs);

    for (size_t i = 0; i < count; i++) {
        if (needs[i].level == 0
                ? plan_level0(input, targets, COMPACTION_LEVEL0, out)
                : plan_deeper_level(input, needs[i].reason, needs[i].level, needs[i].score, out))
            return true;
    }
    return false;
}

// --- what has become worn ---

// Of a table that is from the future nobody knows the age: the clock was ahead when it was
// written, or is behind now.
static bool is_aged(uint64_t now, uint64_t created)
{
    return (now > created ? now - created : created - now) >= TOMBSTONE_AGE_SECONDS;
}

// Whether a table is worth a merge although its level is not too large. Each merge
// makes progress: what is droppable goes, or comes one level closer to where it may,
// and an aged table is young again.
static bool is_worn(const struct picker_input *input, unsigned level, const struct table *table)
{
    const struct table_meta *meta = table_meta(table);

    if (!has_droppable(input, table))
        return false;
    if (level == LEVEL_LAST || meta->tombstone_count == 0)
        return true;
    return meta->tombstone_count >= meta->entry_count / TOMBSTONE_DENSE_SHARE ||
           is_aged(input->now_seconds, meta->created_wall);
}

static bool plan_worn_level0(const struct picker_input *input, const struct level_targets *targets,
                             struct plan *out)
{
    const struct level *level = level_of(input, 0);

    for (size_t i = 0; i < level->count; i++) {
        if (is_worn(input, 0, level->tables[i]))
            return plan_level0(input, targets, COMPACTION_TOMBSTONES, out);
    }
    return false;
}

static bool plan_worn(const struct picker_input *input, const struct level_targets *targets,
                      struct plan *out)
{
    for (unsigned i = 1; i < LEVEL_COUNT; i++) {
        const struct level *level = level_of(input, i);
        unsigned output_level = i == LEVEL_LAST ? i : i + 1;

        for (size_t j = 0; j < level->count; j++) {
            if (is_worn(input, i, level->tables[j]) &&
                plan_table(input, COMPACTION_TOMBSTONES, i, j, output_level, out))
                return true;
        }
    }
    return plan_worn_level0(input, targets, out);
}

lsm_status compaction_pick(const struct picker_input *input, struct compaction **out)
{
    struct level_targets targets;
    struct plan plan;

    level_targets_compute(input->version, input->options, &targets);
    *out = NULL;
    if (!plan_by_need(input, &targets, &plan) && !plan_worn(input, &targets, &plan))
        return LSM_OK;
    return plan_carry_out(input, &plan, out);
}
