//     memtable -> table of level 0, synced with its name
//     log      -> synced as far as the memtable points into it
//     edit     -> + table, replay from the next memtable, chain and leavers of the log
//     view     -> without the memtable
//     log      -> lets go of what replay does not need any more

#include "compaction/flush.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "compaction/publish.h"
#include "compaction/retention.h"
#include "compaction/table_output.h"

struct flush {
    struct engine *engine;
    struct view *view;                // holds the memtables until the edit is published
    struct logged_memtable *memtable; // the oldest immutable one
    uint64_t entry_count;             // of the memtable
    struct log_position replay;       // start of the memtable after it
    struct edit edit;
    struct segment **segments;  // of the whole log; the edit borrows from it
    struct retention retention; // until the edit is published
};

// Whether there is a memtable to flush.
static bool flush_init(struct flush *flush, struct engine *engine)
{
    *flush = (struct flush){.engine = engine, .view = views_acquire(engine->views)};
    edit_init(&flush->edit);
    if (flush->view->memtable_count < 2)
        return false;
    flush->memtable = flush->view->memtables[flush->view->memtable_count - 1];
    flush->entry_count = memtable_count(flush->memtable->mem);
    flush->replay = flush->view->memtables[flush->view->memtable_count - 2]->start;
    return true;
}

static void flush_release(struct flush *flush)
{
    retention_release(&flush->retention);
    edit_release(&flush->edit);
    mem_free(flush->segments);
    view_unref(flush->view);
}

static lsm_status write_entries(struct flush *flush, struct iter *entries,
                                struct table_output *output)
{
    struct retention *retention = &flush->retention;
    lsm_status status = retention_first(retention, flush->engine, entries, NULL, NULL);

    while (status == LSM_OK && retention->is_valid) {
        status = table_output_add(output, &retention->entry);
        if (status == LSM_OK)
            status = retention_next(retention);
    }
    return status == LSM_OK ? table_output_cut(output) : status;
}

// Memory that has changed is told once and for all: the log has what was written.
static lsm_status check_memtable(const struct flush *flush, const struct table_output *output)
{
    const struct retention *retention = &flush->retention;
    struct engine *engine = flush->engine;
    lsm_status status = LSM_OK;

    if (retention->entries_in != flush->entry_count ||
        output->entry_count + retention->entries_dropped != flush->entry_count)
        status = lsm_fail(LSM_CORRUPT,
                          "flush lost entries: of %" PRIu64 " read %" PRIu64 ", written %" PRIu64
                          ", dropped %" PRIu64,
                          flush->entry_count, retention->entries_in, output->entry_count,
                          retention->entries_dropped);
    else if (engine->checks_memory && !PLANTED(SKIP_MEMTABLE_CHECK))
        status = memtable_verify(flush->memtable->mem);
    return status == LSM_CORRUPT ? poison_set(engine->poison, status) : status;
}

static lsm_status write_table(struct flush *flush)
{
    CLEANUP(iter_closep) struct iter *entries = NULL;
    struct table_output output;
    lsm_status status;

    TRY(memtable_iter_new(flush->memtable->mem, &entries));
    table_output_init(&output, flush->engine, &flush->edit, 0);
    status = write_entries(flush, entries, &output);
    if (status == LSM_OK)
        status = check_memtable(flush, &output);
    return table_output_release(&output, status);
}

// States the log as it is once the memtable is in a table: replay starts at the next
// memtable, and segments before that one's are log no more.
static lsm_status state_log(struct flush *flush)
{
    CLEANUP(mem_freep) struct log_link *links = NULL;
    struct edit *edit = &flush->edit;
    size_t count, left = 0;

    TRY(log_chain_all(flush->engine->log, &links, &flush->segments, &count));
    for (size_t i = 0; i < count; i++) {
        if (links[i].id < flush->replay.segment) {
            TRY(edit_add_left(edit, &links[i]));
            left++;
        } else {
            TRY(edit_add_chain(edit, &links[i]));
        }
    }
    edit->has_log = true;
    edit->replay = PLANTED(REPLAY_TOO_LATE) ? log_end(flush->engine->log) : flush->replay;
    edit->left_segments = flush->segments;
    edit->chain_segments = flush->segments + left;
    return LSM_OK;
}

static lsm_status flush_publish(struct flush *flush)
{
    struct engine *engine = flush->engine;

    // What the table points to, and more: the mark that the edit carries moves along.
    if (!PLANTED(SKIP_LOG_SYNC_BEFORE_FLUSH))
        TRY(log_sync(engine->log, log_end(engine->log)));
    if (flush->edit.added_count != 0)
        TRY(publish_sync_names(engine));
    TRY(state_log(flush));
    view_unref(MOVE(flush->view)); // else the memtable would outlive its place in the views
    TRY(publish_edit(engine, &flush->edit, 1));
    log_release(engine->log, flush->replay);
    return LSM_OK;
}

static void tell(struct flush *flush, uint64_t elapsed_ns)
{
    struct compaction_stats *stats = flush->engine->stats;
    const struct table_meta *meta = flush->edit.added_count == 0 ? NULL : flush->edit.added[0].meta;
    uint64_t bytes = meta == NULL ? 0 : meta->size;

    atomic_fetch_add_explicit(&stats->flush_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->flush_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->flush_ns, elapsed_ns, memory_order_relaxed);
    eventlog_write(flush->engine->events, "flush",
                   "table=%" PRIu64 " bytes=%" PRIu64 " entries=%" PRIu64 " of=%" PRIu64
                   " replay_segment=%u replay_offset=%" PRIu64 " us=%" PRIu64,
                   meta == NULL ? 0 : meta->id, bytes, meta == NULL ? 0 : meta->entry_count,
                   flush->entry_count, flush->replay.segment, flush->replay.offset,
                   elapsed_ns / 1000);
}

lsm_status flush_run(struct engine *engine, bool *has_flushed)
{
    uint64_t start_ns = clock_mono_ns(engine->env);
    struct flush flush;
    lsm_status status;

    TRY(poison_check(engine->poison));
    if (!flush_init(&flush, engine)) {
        flush_release(&flush);
        *has_flushed = false;
        return LSM_OK;
    }
    status = write_table(&flush);
    if (status == LSM_OK)
        status = flush_publish(&flush);
    if (status == LSM_OK)
        tell(&flush, clock_mono_ns(engine->env) - start_ns);
    else
        publish_discard(engine, &flush.edit);
    flush_release(&flush);
    if (status == LSM_OK)
        *has_flushed = true;
    return status;
}
