// log_sync.c -- making the log durable: syncing what is written, sealing what the writer
// has left, preparing what it will need.
//
// Any thread, but log_finish() is the role's. A segment's sync mutex is held while it is
// synced, cut and closed, and the chain's mutex inside it just to note what has become of
// that.

#include "base/alloc.h"
#include "base/plant.h"
#include "vlog/log_internal.h"

struct log_position log_end(const struct log *log)
{
    return chain_end(&log->chain);
}

struct log_position log_mark(const struct log *log)
{
    return chain_mark(&log->chain);
}

// --- syncing ---

// Syncs one segment, unless another thread has done so while this one waited for its
// turn. Only what was written before the sync began counts.
static lsm_status sync_segment(struct log *log, struct segment *segment, struct log_position to)
{
    struct mutex *sync_mu = segment_sync_mutex(segment);
    lsm_status status = LSM_OK;
    uint64_t end;

    mutex_lock(sync_mu);
    if (chain_is_to_sync(&log->chain, segment, to, &end)) {
        status = segment_sync_locked(segment);
        if (status == LSM_OK)
            chain_note_synced(&log->chain, segment, end, false);
    }
    mutex_unlock(sync_mu);
    return status;
}

lsm_status log_sync(struct log *log, struct log_position to)
{
    for (;;) {
        struct segment *segment;
        lsm_status status;

        TRY(poison_check(log->store->poison));
        segment = chain_next_to_sync(&log->chain, to);
        if (segment == NULL)
            return LSM_OK;
        status = sync_segment(log, segment, to);
        segment_unref(segment);
        TRY(status);
    }
}

// --- sealing ---

void log_cut_found(struct eventlog *events, struct segment *segment, uint64_t size)
{
    if (segment_cut_found(segment, size) != LSM_OK)
        eventlog_write(events, "segment_not_cut", "segment=%u size=%llu reason=%s",
                       segment_id(segment), (unsigned long long)size, lsm_errmsg());
}

static lsm_status seal_member(struct log *log, const struct chain_member *m)
{
    struct mutex *sync_mu = segment_sync_mutex(m->segment);
    lsm_status status;

    mutex_lock(sync_mu);
    status = segment_seal_locked(m->segment, m->end);
    if (status == LSM_OK)
        chain_note_synced(&log->chain, m->segment, m->end, true);
    mutex_unlock(sync_mu);
    return status;
}

static lsm_status seal_left(struct log *log)
{
    struct chain_member m;

    while (chain_next_to_seal(&log->chain, &m)) {
        lsm_status status = LSM_OK;

        if (m.is_found) {
            log_cut_found(log->events, m.segment, m.end);
            chain_note_synced(&log->chain, m.segment, m.end, true);
        } else {
            status = seal_member(log, &m);
        }
        segment_unref(m.segment);
        TRY(status);
    }
    return LSM_OK;
}

// --- segments to come ---

lsm_status log_prepare_segment(struct log *log, uint64_t size, struct segment **out)
{
    uint32_t id = chain_take_id(&log->chain);
    struct segment *segment;
    lsm_status status;

    TRY(segment_create(log->store, id, size, &segment));
    status = PLANTED(SKIP_SEGMENT_DIR_SYNC) ? LSM_OK : dir_sync(log->store->dir);
    if (status == LSM_OK) {
        *out = segment;
        return LSM_OK;
    }
    segment_unref(segment);
    return poison_set(log->store->poison, status);
}

void log_discard_segment(struct segment *segment)
{
    if (segment == NULL)
        return;
    segment_mark_obsolete(segment);
    segment_unref(segment);
}

void log_set_segment_size(struct log *log, uint64_t size)
{
    chain_set_segment_size(&log->chain, size);
}

bool log_needs_upkeep(const struct log *log)
{
    return !poison_is_set(log->store->poison) && chain_needs_upkeep(&log->chain);
}

lsm_status log_upkeep(struct log *log)
{
    struct segment *segment = NULL;

    TRY(poison_check(log->store->poison));
    TRY(seal_left(log));
    if (!chain_wants_prepared(&log->chain))
        return LSM_OK;
    TRY(log_prepare_segment(log, chain_segment_size(&log->chain), &segment));
    log_discard_segment(chain_keep_prepared(&log->chain, segment));
    return LSM_OK;
}

// --- looking at the chain ---

static lsm_status sealed_chain(struct log *log, uint32_t from, struct log_link **links,
                               struct segment ***segments, size_t *count)
{
    CLEANUP(mem_freep) struct log_link *link_copy = NULL;
    CLEANUP(mem_freep) struct segment **segment_copy = NULL;
    size_t copied;

    TRY(chain_copy(&log->chain, from, &link_copy, &segment_copy, &copied));
    TRY(seal_left(log)); // all but the last of the copy had been left
    *links = MOVE(link_copy);
    *segments = MOVE(segment_copy);
    *count = copied;
    return LSM_OK;
}

lsm_status log_chain(struct log *log, struct log_position from, struct log_link **links,
                     struct segment ***segments, size_t *count)
{
    return sealed_chain(log, from.segment, links, segments, count);
}

lsm_status log_chain_all(struct log *log, struct log_link **links, struct segment ***segments,
                         size_t *count)
{
    return sealed_chain(log, 0, links, segments, count);
}

void log_release(struct log *log, struct log_position replay)
{
    chain_drop_below(&log->chain, replay.segment);
}

size_t log_segment_count(const struct log *log)
{
    return chain_segment_count(&log->chain);
}

uint64_t log_bytes_since(const struct log *log, struct log_position from)
{
    return chain_bytes_since(&log->chain, from);
}

// --- closing ---

static void remove_prepared(struct log *log)
{
    struct segment *prepared = chain_take_prepared(&log->chain);
    struct filename name;

    if (prepared == NULL)
        return;
    name = filename_of(FILENAME_SEGMENT, segment_id(prepared));
    segment_unref(prepared);
    (void)file_unlink(log->store->dir, name.text); // else the next open removes it
}

lsm_status log_finish(struct log *log)
{
    TRY(log_sync(log, log_end(log)));
    log->is_abandoned = true; // no frame follows
    chain_leave(&log->chain);
    TRY(seal_left(log));
    remove_prepared(log);
    return LSM_OK;
}
