// The inputs are read in order through one merging cursor, thinned out by retention,
// and written as tables that are cut between user keys. Nothing is read into memory
// but a block of each input. Values are not read at all: pointers are copied.

#include "compaction/merge_job.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/merge.h"
#include "base/plant.h"
#include "compaction/publish.h"
#include "compaction/retention.h"
#include "compaction/table_output.h"

struct merge {
    struct engine *engine;
    const struct compaction *compaction;
    const _Atomic bool *is_stopping;
    uint64_t table_size;
    struct edit edit;
    struct table_output output;
    struct retention retention;

    size_t grandparent;        // the first that does not lie before the entry
    uint64_t overlapped_bytes; // of grandparents passed since the table was started
    size_t below[LEVEL_COUNT]; // as `grandparent`, of all levels below the output
};

// --- what lies further down ---

// Whether `table` lies wholly before the key of `e`.
static bool lies_before(const struct table *table, const struct entry *e)
{
    const struct ikey *largest = &table_meta(table)->largest;

    if (largest->keyspace != e->keyspace)
        return largest->keyspace < e->keyspace;
    return slice_compare(largest->key, e->key) < 0;
}

static bool lies_behind(const struct table *table, const struct entry *e)
{
    const struct ikey *smallest = &table_meta(table)->smallest;

    if (smallest->keyspace != e->keyspace)
        return smallest->keyspace > e->keyspace;
    return slice_compare(smallest->key, e->key) > 0;
}

// The version the inputs were picked from tells the truth for as long as they are
// inputs: entries of their keys come in above them only, and those below do not move
// to where no table reached.
static bool may_vanish(void *ctx, const struct entry *e)
{
    struct merge *merge = ctx;
    const struct compaction *c = merge->compaction;

    if (c->is_bottommost || c->output_level == 0)
        return c->is_bottommost;
    for (unsigned i = c->output_level + 1; i < LEVEL_COUNT; i++) {
        const struct level *level = &c->version->levels[i];
        size_t *at = &merge->below[i];

        while (*at < level->count && lies_before(level->tables[*at], e))
            (*at)++;
        if (*at < level->count && !lies_behind(level->tables[*at], e))
            return false;
    }
    return true;
}

// --- reading ---

// Opens a cursor per table of level 0 and one per deeper level.
static lsm_status open_inputs(const struct compaction *c, struct iter **iters, size_t *count)
{
    static const struct table_iter_options options = {.fill_cache = false, .sequential = true};

    for (unsigned i = 0; i < 2; i++) {
        if (c->input_count[i] == 0)
            continue;
        if (c->level + i == 0) {
            for (size_t j = 0; j < c->input_count[0]; j++, (*count)++)
                TRY(table_iter_new(c->inputs[0][j], &options, &iters[*count]));
        } else {
            TRY(level_iter_new(c->inputs[i], c->input_count[i], &options, &iters[*count]));
            (*count)++;
        }
    }
    return LSM_OK;
}

static lsm_status open_source(const struct compaction *c, struct iter **out)
{
    size_t count = 0;
    CLEANUP(mem_freep)
    struct iter **iters = mem_alloc(compaction_input_total(c) * sizeof *iters);
    lsm_status status;

    if (iters == NULL)
        return lsm_fail(LSM_NO_MEMORY, "merge: cursors");
    status = open_inputs(c, iters, &count);
    if (status == LSM_OK)
        status = merge_new(iters, count, out);
    if (status == LSM_OK)
        return LSM_OK;
    while (count > 0)
        iter_close(iters[--count]);
    return status;
}

// --- writing ---

// Whether a new table should start before `e`, the first version of its key. Near its
// size a table ends where a grandparent does, which spares the merge that takes it
// further down the overlap with a second one.
static bool should_cut(struct merge *merge, const struct entry *e)
{
    const struct compaction *c = merge->compaction;
    uint64_t size = table_output_size(&merge->output);
    size_t before = merge->grandparent;

    while (merge->grandparent < c->grandparent_count &&
           lies_before(c->grandparents[merge->grandparent], e)) {
        merge->overlapped_bytes += table_meta(c->grandparents[merge->grandparent])->size;
        merge->grandparent++;
    }
    if (size == 0) {
        merge->overlapped_bytes = 0;
        return false;
    }
    // Tables of level 0 cover timestamps: cut in two by key, they would overlap.
    if (c->output_level == 0)
        return false;
    return size >= merge->table_size || table_output_is_heavy(&merge->output) ||
           (merge->grandparent != before && size >= merge->table_size / 8 * 7) ||
           merge->overlapped_bytes > GRANDPARENT_TABLES * merge->table_size;
}

static lsm_status write_entry(struct merge *merge)
{
    const struct retention *r = &merge->retention;

    if (atomic_load_explicit(merge->is_stopping, memory_order_relaxed))
        return lsm_fail(LSM_BUSY, "merge: stopped");
    if (r->is_new_key && should_cut(merge, &r->entry)) {
        TRY(table_output_cut(&merge->output));
        merge->overlapped_bytes = 0;
    }
    return table_output_add(&merge->output, &r->entry);
}

static lsm_status write_tables(struct merge *merge, struct iter *source)
{
    TRY(retention_first(&merge->retention, merge->engine, source, may_vanish, merge));
    while (merge->retention.is_valid) {
        TRY(write_entry(merge));
        TRY(retention_next(&merge->retention));
    }
    return table_output_cut(&merge->output);
}

static uint64_t input_entry_count(const struct compaction *c)
{
    uint64_t count = 0;

    for (size_t i = 0; i < compaction_input_total(c); i++)
        count += compaction_input_meta(c, i)->entry_count;
    return count;
}

// Every entry of the inputs is in the outputs or was dropped knowingly.
static lsm_status check_counts(struct merge *merge)
{
    uint64_t expected = input_entry_count(merge->compaction);
    uint64_t written = merge->output.entry_count;
    uint64_t dropped = merge->retention.entries_dropped;

    if (written + dropped == expected && merge->retention.entries_in == expected)
        return LSM_OK;
    eventlog_write(merge->engine->events, "merge_lost_entries",
                   "expected=%" PRIu64 " read=%" PRIu64 " written=%" PRIu64 " dropped=%" PRIu64,
                   expected, merge->retention.entries_in, written, dropped);
    return lsm_fail(LSM_CORRUPT,
                    "merge lost entries: tables state %" PRIu64 ", read %" PRIu64
                    ", written %" PRIu64 ", dropped %" PRIu64,
                    expected, merge->retention.entries_in, written, dropped);
}

// --- publishing ---

static lsm_status remove_inputs(struct merge *merge)
{
    const struct compaction *c = merge->compaction;

    for (unsigned i = 0; i < (PLANTED(KEEP_INPUT_TABLE) ? 1 : 2); i++) {
        unsigned level = i == 0 ? c->level : c->output_level;

        for (size_t j = 0; j < c->input_count[i]; j++)
            TRY(edit_remove_table(&merge->edit, level, table_meta(c->inputs[i][j])->id));
    }
    return LSM_OK;
}

static lsm_status merge_tables(struct merge *merge)
{
    CLEANUP(iter_closep) struct iter *source = NULL;

    TRY(open_source(merge->compaction, &source));
    TRY(write_tables(merge, source));
    TRY(check_counts(merge));
    TRY(remove_inputs(merge));
    if (merge->edit.added_count != 0)
        TRY(publish_sync_names(merge->engine));
    return publish_edit(merge->engine, &merge->edit, 0);
}

static lsm_status move_table(struct engine *engine, const struct compaction *c, struct edit *edit)
{
    CLEANUP(table_meta_freep) struct table_meta *meta = NULL;
    const struct table_meta *moved = table_meta(c->inputs[0][0]);

    TRY(edit_remove_table(edit, c->level, moved->id));
    TRY(table_meta_copy(moved, &meta));
    TRY(edit_add_table(edit, c->output_level, meta));
    (void)MOVE(meta); // the edit's now
    return publish_edit(engine, edit, 0);
}

// --- running ---

static uint64_t input_bytes(const struct compaction *c)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < compaction_input_total(c); i++)
        bytes += compaction_input_meta(c, i)->size;
    return bytes;
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static void tell_merge(struct merge *merge, uint64_t elapsed_ns)
{
    struct compaction_stats *stats = merge->engine->stats;
    const struct compaction *c = merge->compaction;
    const struct retention *r = &merge->retention;

    add(&stats->merge_count, 1);
    add(&stats->merge_read_bytes, input_bytes(c));
    add(&stats->merge_write_bytes, merge->output.bytes);
    add(&stats->merge_ns, elapsed_ns);
    add(&stats->entries_in, r->entries_in);
    add(&stats->entries_out, r->entries_out);
    add(&stats->entries_dropped, r->entries_dropped);
    eventlog_write(merge->engine->events, "merge",
                   "reason=%s from=%u to=%u inputs=%zu+%zu outputs=%zu read_bytes=%" PRIu64
                   " written_bytes=%" PRIu64 " entries=%" PRIu64 " dropped=%" PRIu64 " us=%" PRIu64,
                   compaction_reason_name(c->reason), c->level, c->output_level, c->input_count[0],
                   c->input_count[1], merge->edit.added_count, input_bytes(c), merge->output.bytes,
                   r->entries_in, r->entries_dropped, elapsed_ns / 1000);
}

static lsm_status run_move(struct engine *engine, const struct compaction *c)
{
    const struct table_meta *moved = table_meta(c->inputs[0][0]);
    struct edit edit;
    lsm_status status;

    edit_init(&edit);
    status = move_table(engine, c, &edit);
    edit_release(&edit);
    if (status != LSM_OK)
        return status;
    add(&engine->stats->move_count, 1);
    eventlog_write(
        engine->events, "move", "reason=%s table=%" PRIu64 " from=%u to=%u bytes=%" PRIu64,
        compaction_reason_name(c->reason), moved->id, c->level, c->output_level, moved->size);
    return LSM_OK;
}

static lsm_status run_merge(struct engine *engine, const struct compaction *c,
                            const _Atomic bool *is_stopping)
{
    uint64_t start_ns = clock_mono_ns(engine->env);
    struct merge merge = {
        .engine = engine,
        .compaction = c,
        .is_stopping = is_stopping,
        .table_size = atomic_load_explicit(&engine->options->table_size, memory_order_relaxed),
    };
    lsm_status status;

    edit_init(&merge.edit);
    table_output_init(&merge.output, engine, &merge.edit, c->output_level);
    status = table_output_release(&merge.output, merge_tables(&merge));
    if (status == LSM_OK)
        tell_merge(&merge, clock_mono_ns(engine->env) - start_ns);
    else
        publish_discard(engine, &merge.edit);
    retention_release(&merge.retention);
    edit_release(&merge.edit);
    return status;
}

lsm_status merge_job_run(struct engine *engine, struct compaction *compaction,
                         const _Atomic bool *is_stopping)
{
    TRY(poison_check(engine->poison));
    if (compaction->is_move)
        return run_move(engine, compaction);
    return run_merge(engine, compaction, is_stopping);
}
