// picker.c
//
// A pick is planned first, as spans of tables of the version, and only the plan that
// is chosen becomes a compaction with references of its own.
//
// What is picked from a level is always older than what stays in the levels above it
// and newer than what lies below: from level 0 a run that ends with its oldest table
// goes down, from deeper levels any table does, for its keys lie in no other table of
// its level; and whatever the output level holds between the keys of the inputs takes
// part.

#include "compaction/picker.h"

#include <assert.h>

#include "base/alloc.h"
#include "compaction/table_output.h"
#include "sstable/references.h"

#define LEVEL_LAST (LEVEL_COUNT - 1)

#define LEVEL0_FIRST_SCORE    2.0         // from which level 0 goes before all others
#define INTRA_LEVEL0_EXTRA    2           // tables above the trigger
#define GRANDPARENT_TABLES    10          // tables a move may overlap two levels down
#define MANUAL_TABLES         25          // tables' worth of bytes in one manual step
#define TOMBSTONE_AGE_SECONDS (6 * 3600u) // after which a table with one is picked
#define TOMBSTONE_DENSE_SHARE 2           // one in so many entries is dense

const char *compaction_reason_name(enum compaction_reason reason)
{
    switch (reason) {
    case COMPACTION_LEVEL0:
        return "level0";
    case COMPACTION_INTRA_LEVEL0:
        return "intra_level0";
    case COMPACTION_SIZE:
        return "size";
    case COMPACTION_GARBAGE:
        return "garbage";
    case COMPACTION_TOMBSTONES:
        return "tombstones";
    case COMPACTION_MANUAL:
        return "manual";
    }
    return "unknown";
}

// --- sets of ids ---

// Where `id` is, or would be.
static size_t id_position(const struct table_id_set *set, uint64_t id)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool table_id_set_contains(const struct table_id_set *set, uint64_t id)
{
    size_t at = id_position(set, id);

    return at < set->count && set->ids[at] == id;
}

lsm_status table_id_set_reserve(struct table_id_set *set, size_t count)
{
    size_t capacity = 2 * (set->count + count);
    uint64_t *ids;

    if (set->capacity - set->count >= count)
        return LSM_OK;
    ids = mem_resize_array(set->ids, capacity, sizeof *ids);
    if (ids == NULL)
        return lsm_fail(LSM_NO_MEMORY, "compaction: set of %zu tables", capacity);
    set->ids = ids;
    set->capacity = capacity;
    return LSM_OK;
}

void table_id_set_add(struct table_id_set *set, uint64_t id)
{
    size_t at = id_position(set, id);

    assert(set->count < set->capacity);
    memmove(set->ids + at + 1, set->ids + at, (set->count - at) * sizeof *set->ids);
    set->ids[at] = id;
    set->count++;
}

void table_id_set_remove(struct table_id_set *set, uint64_t id)
{
    size_t at = id_position(set, id);

    assert(at < set->count && set->ids[at] == id);
    set->count--;
    memmove(set->ids + at, set->ids + at + 1, (set->count - at) * sizeof *set->ids);
}

void table_id_set_release(struct table_id_set *set)
{
    mem_free(set->ids);
    *set = (struct table_id_set){.ids = NULL};
}

// --- ranges of keys and spans of tables ---

// From the smallest to the largest user key, both included; timestamps do not matter.
struct key_range {
    struct ikey smallest;
    struct ikey largest;
};

// Neighbours in a level.
struct span {
    size_t first;
    size_t count;
};

static int compare_keys(const struct ikey *a, const struct ikey *b)
{
    if (a->keyspace != b->keyspace)
        return a->keyspace < b->keyspace ? -1 : 1;
    return slice_compare(a->key, b->key);
}

static struct key_range range_of_table(const struct table *table)
{
    const struct table_meta *meta = table_meta(table);

    return (struct key_range){.smallest = meta->smallest, .largest = meta->largest};
}

static void range_extend(struct key_range *range, const struct table *table)
{
    const struct table_meta *meta = table_meta(table);

    if (compare_keys(&meta->smallest, &range->smallest) < 0)
        range->smallest = meta->smallest;
    if (compare_keys(&meta->largest, &range->largest) > 0)
        range->largest = meta->largest;
}

static bool range_touches(const struct key_range *range, const struct table *table)
{
    const struct table_meta *meta = table_meta(table);

    return compare_keys(&meta->smallest, &range->largest) <= 0 &&
           compare_keys(&meta->largest, &range->smallest) >= 0;
}

// The range of a span that is not empty.
static struct key_range range_of_span(const struct level *level, struct span span)
{
    struct key_range range = range_of_table(level->tables[span.first]);

    for (size_t i = 1; i < span.count; i++)
        range_extend(&range, level->tables[span.first + i]);
    return range;
}

// The tables of a deeper level that touch the range.
static struct span span_of_range(const struct level *level, const struct key_range *range)
{
    struct span span = {.first = 0, .count = 0};
    size_t high = level->count;

    while (span.first < high) {
        size_t middle = span.first + (high - span.first) / 2;

        if (compare_keys(&table_meta(level->tables[middle])->largest, &range->smallest) < 0)
            span.first = middle + 1;
        else
            high = middle;
    }
    while (span.first + span.count < level->count &&
           range_touches(range, level->tables[span.first + span.count]))
        span.count++;
    return span;
}

static uint64_t span_bytes(const struct level *level, struct span span)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < span.count; i++)
        bytes += table_meta(level->tables[span.first + i])->size;
    return bytes;
}

static bool span_is_busy(const struct picker_input *input, const struct level *level,
                         struct span span)
{
    for (size_t i = 0; i < span.count; i++) {
        if (table_id_set_contains(input->busy, table_meta(level->tables[span.first + i])->id))
            return true;
    }
    return false;
}

// --- plans ---

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

static const struct level *level_of(const struct picker_input *input, unsigned level)
{
    return &input->version->levels[level];
}

static bool keyspace_is_dropped(const struct picker_input *input, uint32_t keyspace)
{
    return input->is_dropped != NULL && input->is_dropped(input->ctx, keyspace);
}

// Whether merging the table with nothing below it would leave something out for sure.
// An expiring table pays for being rewritten once half of it may have expired.
static bool has_droppable(const struct picker_input *input, const struct table *table)
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

// Completes a plan from its levels and first inputs. LSM_BUSY, without words, when a
// table it needs is being compacted.
static lsm_status plan_complete(const struct picker_input *input, struct plan *plan)
{
    const struct level *level = level_of(input, plan->level);
    const struct level *output = level_of(input, plan->output_level);
    struct key_range range = range_of_span(level, plan->inputs[0]);

    if (span_is_busy(input, level, plan->inputs[0]))
        return LSM_BUSY;
    if (plan->output_level > plan->level) {
        plan->inputs[1] = span_of_range(output, &range);
        if (span_is_busy(input, output, plan->inputs[1]))
            return LSM_BUSY;
        for (size_t i = 0; i < plan->inputs[1].count; i++)
            range_extend(&range, output->tables[plan->inputs[1].first + i]);
    }
    if (plan->output_level > 0 && plan->output_level < LEVEL_LAST)
        plan->grandparents = span_of_range(level_of(input, plan->output_level + 1), &range);
    plan->is_bottommost = is_bottommost(input, plan, &range);
    plan->is_move = is_move(input, plan);
    return LSM_OK;
}

static lsm_status take(const struct level *level, struct span span, struct table ***tables,
                       size_t *count)
{
    struct table **taken = mem_alloc(span.count * sizeof *taken);

    if (taken == NULL)
        return lsm_fail(LSM_NO_MEMORY, "compaction: %zu tables", span.count);
    for (size_t i = 0; i < span.count; i++) {
        taken[i] = level->tables[span.first + i];
        table_ref(taken[i]);
    }
    *tables = taken;
    *count = span.count;
    return LSM_OK;
}

static void compaction_freep(struct compaction **compaction)
{
    compaction_free(*compaction);
}

static lsm_status plan_carry_out(const struct picker_input *input, const struct plan *plan,
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
    TRY(take(&levels[plan->level], plan->inputs[0], &c->inputs[0], &c->input_count[0]));
    TRY(take(&levels[plan->output_level], plan->inputs[1], &c->inputs[1], &c->input_count[1]));
    if (plan->grandparents.count != 0)
        TRY(take(&levels[plan->output_level + 1], plan->grandparents, &c->grandparents,
                 &c->grandparent_count));
    c->version = input->version;
    version_ref(c->version);
    *out = MOVE(c);
    return LSM_OK;
}

static void release_tables(struct table **tables, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_unref(tables[i]);
    mem_free(tables);
}

void compaction_free(struct compaction *c)
{
    if (c == NULL)
        return;
    release_tables(c->inputs[0], c->input_count[0]);
    release_tables(c->inputs[1], c->input_count[1]);
    release_tables(c->grandparents, c->grandparent_count);
    if (c->version != NULL)
        version_unref(c->version);
    mem_free(c);
}

// --- picking by need ---
//
// Each returns LSM_OK with a plan, or LSM_NOT_FOUND.

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
           !span_is_busy(input, level, (struct span){.first = span.count, .count = 1})) {
        memory += entry_memory(table_meta(level->tables[span.count]));
        if (memory > memory_max)
            break;
        span.count++;
    }
    return span;
}

// The tables that arrived since the merge that keeps level 0 busy began become one, so
// that reads meanwhile probe fewer.
static lsm_status plan_intra_level0(const struct picker_input *input, double score,
                                    struct plan *out)
{
    const struct level *level = level_of(input, 0);
    uint64_t trigger = atomic_load_explicit(&input->options->level0_trigger, memory_order_relaxed);
    struct plan plan = {.reason = COMPACTION_INTRA_LEVEL0,
                        .score = score,
                        .inputs[0] = newest_of_level0(input, level)};

    if (level->count < trigger + INTRA_LEVEL0_EXTRA || plan.inputs[0].count < 2 ||
        plan.inputs[0].count < trigger)
        return LSM_NOT_FOUND;
    TRY(plan_complete(input, &plan));
    *out = plan;
    return LSM_OK;
}

static lsm_status plan_level0(const struct picker_input *input, const struct level_targets *targets,
                              enum compaction_reason reason, struct plan *out)
{
    size_t count = level_of(input, 0)->count;
    struct plan plan = {
        .reason = reason, .output_level = targets->base_level, .score = targets->score[0]};

    if (count == 0)
        return LSM_NOT_FOUND;
    if (input->level0_is_busy)
        return plan_intra_level0(input, targets->score[0], out);
    // Loading in key order makes tables that overlap nothing: they go one by one.
    plan.inputs[0] = (struct span){.first = count - 1, .count = 1};
    if (plan_complete(input, &plan) != LSM_OK || !plan.is_move) {
        plan.inputs[0] = (struct span){.first = 0, .count = count};
        if (plan_complete(input, &plan) != LSM_OK)
            return plan_intra_level0(input, targets->score[0], out);
    }
    *out = plan;
    return LSM_OK;
}

static lsm_status plan_table(const struct picker_input *input, enum compaction_reason reason,
                             unsigned level, size_t at, unsigned output_level, struct plan *out)
{
    struct plan plan = {
        .reason = reason,
        .level = level,
        .output_level = output_level,
        .inputs[0] = {.first = at, .count = 1},
    };

    TRY(plan_complete(input, &plan));
    *out = plan;
    return LSM_OK;
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
static lsm_status plan_deeper_level(const struct picker_input *input, enum compaction_reason reason,
                                    unsigned level, double score, struct plan *out)
{
    const struct level *tables = level_of(input, level);
    struct plan best = {.score = score};
    uint64_t best_cost = UINT64_MAX;

    for (size_t i = 0; i < tables->count; i++) {
        struct plan plan;
        uint64_t cost;

        if (plan_table(input, reason, level, i, level + 1, &plan) != LSM_OK)
            continue;
        cost = cost_of(input, &plan);
        if (cost > best_cost || (cost == best_cost && !is_older(tables, &plan, &best)))
            continue;
        best = plan;
        best_cost = cost;
    }
    if (best_cost == UINT64_MAX)
        return LSM_NOT_FOUND;
    best.score = score;
    *out = best;
    return LSM_OK;
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

static lsm_status plan_by_need(const struct picker_input *input,
                               const struct level_targets *targets, struct plan *out)
{
    struct need needs[LEVEL_COUNT];
    size_t count = find_needs(targets, needs);

    for (size_t i = 0; i < count; i++) {
        lsm_status status =
            needs[i].level == 0
                ? plan_level0(input, targets, COMPACTION_LEVEL0, out)
                : plan_deeper_level(input, needs[i].reason, needs[i].level, needs[i].score, out);

        if (status == LSM_OK)
            return LSM_OK;
    }
    return LSM_NOT_FOUND;
}

// --- picking what has become worn ---

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
           (input->now_seconds > meta->created_wall &&
            input->now_seconds - meta->created_wall >= TOMBSTONE_AGE_SECONDS);
}

static lsm_status plan_worn_level0(const struct picker_input *input,
                                   const struct level_targets *targets, struct plan *out)
{
    const struct level *level = level_of(input, 0);

    for (size_t i = 0; i < level->count; i++) {
        if (is_worn(input, 0, level->tables[i]))
            return plan_level0(input, targets, COMPACTION_TOMBSTONES, out);
    }
    return LSM_NOT_FOUND;
}

static lsm_status plan_worn(const struct picker_input *input, const struct level_targets *targets,
                            struct plan *out)
{
    for (unsigned i = 1; i < LEVEL_COUNT; i++) {
        const struct level *level = level_of(input, i);
        unsigned output_level = i == LEVEL_LAST ? i : i + 1;

        for (size_t j = 0; j < level->count; j++) {
            if (is_worn(input, i, level->tables[j]) &&
                plan_table(input, COMPACTION_TOMBSTONES, i, j, output_level, out) == LSM_OK)
                return LSM_OK;
        }
    }
    return plan_worn_level0(input, targets, out);
}

lsm_status compaction_pick(const struct picker_input *input, struct compaction **out)
{
    struct level_targets targets;
    struct plan plan;

    level_targets_compute(input->version, input->options, &targets);
    if (plan_by_need(input, &targets, &plan) != LSM_OK)
        TRY(plan_worn(input, &targets, &plan));
    return plan_carry_out(input, &plan, out);
}

// --- picking by hand ---

// Whether the table may hold some of [from, to] of `keyspace`, or of all when it is 0.
static bool table_is_touched(const struct table *table, uint32_t keyspace, const lsm_slice *from,
                             const lsm_slice *to)
{
    return keyspace == 0 || table_meta_overlaps(table_meta(table), keyspace, from, to);
}

// The tables from the first to the last of a level that are touched.
static struct span touched_span(const struct level *level, uint32_t keyspace, const lsm_slice *from,
                                const lsm_slice *to)
{
    struct span span = {.first = 0, .count = 0};

    for (size_t i = 0; i < level->count; i++) {
        if (!table_is_touched(level->tables[i], keyspace, from, to))
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
        MANUAL_TABLES * atomic_load_explicit(&input->options->table_size, memory_order_relaxed);
    struct span part = {.first = span->first, .count = 1};

    while (part.count < span->count && span_bytes(level, part) < limit)
        part.count++;
    *span = part;
}

// The plan's first inputs, from the shallowest level that the range touches.
static lsm_status find_range(const struct picker_input *input, uint32_t keyspace,
                             const lsm_slice *from, const lsm_slice *to, struct plan *plan)
{
    unsigned last = last_level_in_use(input->version);
    struct level_targets targets;

    for (unsigned i = 0; i == 0 || i < last; i++) {
        const struct level *level = level_of(input, i);
        struct span span = touched_span(level, keyspace, from, to);

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
        return LSM_OK;
    }
    return LSM_NOT_FOUND;
}

static lsm_status fail_busy(void)
{
    return lsm_fail(LSM_BUSY, "compaction: tables of the range are being compacted");
}

lsm_status compaction_pick_range(const struct picker_input *input, uint32_t keyspace,
                                 const lsm_slice *from, const lsm_slice *to,
                                 struct compaction **out)
{
    struct plan plan;

    TRY(find_range(input, keyspace, from, to, &plan));
    if ((plan.level == 0 && input->level0_is_busy) || plan_complete(input, &plan) != LSM_OK)
        return fail_busy();
    return plan_carry_out(input, &plan, out);
}

lsm_status compaction_pick_rewrite(const struct picker_input *input, uint32_t keyspace,
                                   const lsm_slice *from, const lsm_slice *to, uint64_t id_end,
                                   struct compaction **out)
{
    unsigned last = last_level_in_use(input->version);
    const struct level *level = level_of(input, last);
    struct plan plan;

    for (size_t i = 0; last > 0 && i < level->count; i++) {
        const struct table_meta *meta = table_meta(level->tables[i]);

        if (meta->id >= id_end || !table_is_touched(level->tables[i], keyspace, from, to))
            continue;
        if (meta->tombstone_count == 0 && !has_droppable(input, level->tables[i]) &&
            (meta->expiry_min == 0 || meta->expiry_min > input->oldest_wall))
            continue;
        if (plan_table(input, COMPACTION_MANUAL, last, i, last, &plan) != LSM_OK)
            return fail_busy();
        return plan_carry_out(input, &plan, out);
    }
    return LSM_NOT_FOUND;
}
