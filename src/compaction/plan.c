#include "compaction/plan.h"

#include "base/alloc.h"
#include "compaction/table_output.h"

static bool keyspace_is_dropped(const struct picker_input *input, uint32_t keyspace)
{
    return input->is_dropped != NULL && input->is_dropped(input->ctx, keyspace);
}

bool has_droppable(const struct picker_input *input, const struct table *table)
{
    const struct table_meta *meta = table_meta(table);
    uint64_t expiry_middle = meta->expiry_min + (meta->expiry_max - meta->expiry_min) / 2;

    if (keyspace_is_dropped(input, meta->smallest.keyspace) ||
        keyspace_is_dropped(input, meta->largest.keyspace))
        return true;
    if (meta->ts_max > input->oldest_ts)
        return false;
    return meta->tombstone_count != 0 ||
           (meta->expiry_min != 0 && expiry_middle <= input->oldest_wall);
}

// Whether tables outside the plan's inputs may hold older entries of their keys.
static bool is_bottommost(const struct picker_input *input, const struct plan *plan,
                          const struct key_range *range)
{
    const struct level *top = level_of(input, 0);

    // Of level 0 always a run is picked; older tables are those behind it.
    if (plan->level == 0 && plan->inputs[0].first + plan->inputs[0].count != top->count)
        return false;
    for (unsigned i = plan->level + 1; i < LEVEL_COUNT; i++) {
        if (i != plan->output_level && span_of_range(level_of(input, i), range).count != 0)
            return false;
    }
    return true;
}

// Whether blocks of a keyspace are written in the same way on both levels of the plan.
static bool is_written_alike(const struct picker_input *input, const struct plan *plan,
                             uint32_t keyspace)
{
    uint32_t own =
        input->compression == NULL ? KEYSPACE_INHERIT : input->compression(input->ctx, keyspace);
    struct table_options from = table_options_of_level(input->options, plan->level, own);
    struct table_options to = table_options_of_level(input->options, plan->output_level, own);

    return from.compression == to.compression;
}

// Whether the table may go to the output level as it is: alone, written as that level
// wants it, with nothing in it that merging would leave out, and without burdening the
// merge that takes it further down.
static bool is_move(const struct picker_input *input, const struct plan *plan)
{
    const struct level *level = level_of(input, plan->level);
    uint64_t table_size = atomic_load_explicit(&input->options->table_size, memory_order_relaxed);
    const struct table *table = level->tables[plan->inputs[0].first];

    if (plan->output_level == plan->level || plan->inputs[0].count != 1 ||
        plan->inputs[1].count != 0)
        return false;
    // Of a table that spans more than two keyspaces the outer ones decide.
    if (!is_written_alike(input, plan, table_meta(table)->smallest.keyspace) ||
        !is_written_alike(input, plan, table_meta(table)->largest.keyspace))
        return false;
    if (plan->is_bottommost && has_droppable(input, table))
        return false;
    return plan->grandparents.count == 0 ||
           span_bytes(level_of(input, plan->output_level + 1), plan->grandparents) <=
               GRANDPARENT_TABLES * table_size;
}

bool plan_complete(const struct picker_input *input, struct plan *plan)
{
    const struct level *level = level_of(input, plan->level);
    const struct level *output = level_of(input, plan->output_level);
    struct key_range range = span_range(level, plan->inputs[0]);

    if (span_is_busy(level, plan->inputs[0], input->busy))
        return false;
    if (plan->output_level > plan->level) {
        plan->inputs[1] = span_of_range(output, &range);
        if (span_is_busy(output, plan->inputs[1], input->busy))
            return false;
        span_extend_range(output, plan->inputs[1], &range);
    }
    if (plan->output_level > 0 && plan->output_level < LEVEL_LAST)
        plan->grandparents = span_of_range(level_of(input, plan->output_level + 1), &range);
    plan->is_bottommost = is_bottommost(input, plan, &range);
    plan->is_move = is_move(input, plan);
    return true;
}

bool plan_table(const struct picker_input *input, enum compaction_reason reason, unsigned level,
                size_t at, unsigned output_level, struct plan *out)
{
    struct plan plan = {
        .reason = reason,
        .level = level,
        .output_level = output_level,
        .inputs[0] = {.first = at, .count = 1},
    };

    if (!plan_complete(input, &plan))
        return false;
    *out = plan;
    return true;
}

lsm_status plan_carry_out(const struct picker_input *input, const struct plan *plan,
                          struct compaction **out)
{
    CLEANUP(compaction_freep) struct compaction *c = mem_alloc_zeroed(1, sizeof *c);
    const struct level *levels = input->version->levels;

    if (c == NULL)
        return lsm_fail(LSM_NO_MEMORY, "compaction: %zu bytes", sizeof *c);
    c->reason = plan->reason;
    c->level = plan->level;
    c->output_level = plan->output_level;
    c->is_move = plan->is_move;
    c->is_bottommost = plan->is_bottommost;
    c->score = plan->score;
    TRY(span_take(&levels[plan->level], plan->inputs[0], &c->inputs[0], &c->input_count[0]));
    TRY(span_take(&levels[plan->output_level], plan->inputs[1], &c->inputs[1], &c->input_count[1]));
    if (plan->grandparents.count != 0)
        TRY(span_take(&levels[plan->output_level + 1], plan->grandparents, &c->grandparents,
                      &c->grandparent_count));
    c->version = input->version;
    version_ref(c->version);
    *out = MOVE(c);
    return LSM_OK;
}
