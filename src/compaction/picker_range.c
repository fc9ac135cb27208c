// picker_range.c -- picking by hand: what brings a range of keys down.

#include "compaction/level_targets.h"
#include "compaction/picker.h"
#include "compaction/plan.h"

#define STEP_TABLES 25 // tables' worth of bytes in one step

// Whether the table may hold some of the range; all tables do when it is of all keyspaces.
static bool is_touched(const struct table *table, const struct compaction_range *range)
{
    return range->keyspace == 0 ||
           table_meta_overlaps(table_meta(table), range->keyspace, range->from, range->to);
}

// The tables from the first to the last of a level that are touched.
static struct span touched_span(const struct level *level, const struct compaction_range *range)
{
    struct span span = {.first = 0, .count = 0};

    for (size_t i = 0; i < level->count; i++) {
        if (!is_touched(level->tables[i], range))
            continue;
        if (span.count == 0)
            span.first = i;
        span.count = i + 1 - span.first;
    }
    return span;
}

static unsigned last_level_in_use(const struct version *version)
{
    unsigned level = LEVEL_LAST;

    while (level > 0 && version->levels[level].count == 0)
        level--;
    return level;
}

// Shortens a span to a step's worth of tables, at least one.
static void limit_span(const struct picker_input *input, const struct level *level,
                       struct span *span)
{
    uint64_t limit =
        STEP_TABLES * atomic_load_explicit(&input->options->table_size, memory_order_relaxed);
    struct span part = {.first = span->first, .count = 1};

    while (part.count < span->count && span_bytes(level, part) < limit)
        part.count++;
    *span = part;
}

// The plan's first inputs, from the shallowest level that the range touches; false when that
// is the last one.
static bool find_range(const struct picker_input *input, const struct compaction_range *range,
                       struct plan *plan)
{
    unsigned last = last_level_in_use(input->version);
    struct level_targets targets;

    for (unsigned i = 0; i == 0 || i < last; i++) {
        const struct level *level = level_of(input, i);
        struct span span = touched_span(level, range);

        if (span.count == 0)
            continue;
        level_targets_compute(input->version, input->options, &targets);
        if (i == 0)
            span.count = level->count - span.first; // older tables may overlap these
        else
            limit_span(input, level, &span);
        *plan = (struct plan){
            .reason = COMPACTION_MANUAL,
            .level = i,
            .output_level = i == 0 ? targets.base_level : i + 1,
            .inputs[0] = span,
        };
        return true;
    }
    return false;
}

static lsm_status fail_busy(void)
{
    return lsm_fail(LSM_BUSY, "compaction: tables of the range are being compacted");
}

lsm_status compaction_pick_range(const struct picker_input *input,
                                 const struct compaction_range *range, struct compaction **out)
{
    struct plan plan;

    *out = NULL;
    if (!find_range(input, range, &plan))
        return LSM_OK;
    if ((plan.level == 0 && input->level0_is_busy) || !plan_complete(input, &plan))
        return fail_busy();
    return plan_carry_out(input, &plan, out);
}

lsm_status compaction_pick_rewrite(const struct picker_input *input,
                                   const struct compaction_range *range, uint64_t id_end,
                                   struct compaction **out)
{
    unsigned last = last_level_in_use(input->version);
    const struct level *level = level_of(input, last);
    struct plan plan;

    *out = NULL;
    for (size_t i = 0; last > 0 && i < level->count; i++) {
        const struct table_meta *meta = table_meta(level->tables[i]);

        if (meta->id >= id_end || !is_touched(level->tables[i], range))
            continue;
        if (meta->tombstone_count == 0 && !has_droppable(input, level->tables[i]) &&
            (meta->expiry_min == 0 || meta->expiry_min > input->oldest_wall))
            continue;
        if (!plan_table(input, COMPACTION_MANUAL, last, i, last, &plan))
            return fail_busy();
        return plan_carry_out(input, &plan, out);
    }
    return LSM_OK;
}
