#include "db/upkeep.h"

#include "base/container.h"

#define SEGMENT_SIZE_MIN (UINT64_C(1) << 20)
// A segment holds about this fraction of the database, so that there are neither too many
// segments nor much lost in the one being filled.
#define SEGMENT_FRACTION 4

#define RETRY_NS        UINT64_C(1000000000) // after a soft failure
#define RECLAIM_NS      UINT64_C(1000000)    // gather this long before freeing
#define RECLAIM_WAIT_NS UINT64_C(10000000)   // while readers hold things up
#define UNLINK_BATCH    16

// --- how it goes ---

static void note_result(struct lsm_db *db, enum upkeep which, const char *event, lsm_status status)
{
    if (status != LSM_OK)
        eventlog_write(db->events, event, "status=%s reason=%s", lsm_status_name(status),
                       lsm_errmsg());
    mutex_lock(&db->upkeep_mu);
    failure_capture(&db->upkeep_failures[which], status);
    mutex_unlock(&db->upkeep_mu);
}

static bool has_failed(struct lsm_db *db, enum upkeep which)
{
    bool has_failed;

    mutex_lock(&db->upkeep_mu);
    has_failed = db->upkeep_failures[which].status != LSM_OK;
    mutex_unlock(&db->upkeep_mu);
    return has_failed;
}

lsm_status upkeep_health(struct lsm_db *db)
{
    static const char *const names[UPKEEP_COUNT] = {
        [UPKEEP_SEGMENTS] = "preparing and sealing segments",
        [UPKEEP_SYNC] = "syncing commits of mode written",
        [UPKEEP_IDLE] = "flushing what lies idle",
    };
    lsm_status status;

    for (unsigned i = 0; i < UPKEEP_COUNT; i++) {
        struct failure failure;

        mutex_lock(&db->upkeep_mu);
        failure = db->upkeep_failures[i];
        mutex_unlock(&db->upkeep_mu);
        if (failure.status != LSM_OK)
            return lsm_fail_in(failure_raise(&failure), names[i]);
    }
    status = unlinker_health(db->unlinker);
    return status == LSM_OK ? LSM_OK : lsm_fail_in(status, "removing obsolete files");
}

// --- segments ---

uint64_t upkeep_segment_size_min(struct lsm_db *db)
{
    const uint64_t max = atomic_load_explicit(&db->segment_size_max, memory_order_relaxed);

    return SEGMENT_SIZE_MIN < max ? SEGMENT_SIZE_MIN : max;
}

uint64_t upkeep_segment_size(struct lsm_db *db)
{
    const uint64_t max = atomic_load_explicit(&db->segment_size_max, memory_order_relaxed);
    uint64_t size = upkeep_segment_size_min(db);
    uint64_t bytes;
    EPOCH_SECTION();
    const struct view *view = views_current(&db->views);

    bytes = version_table_bytes(view->version) + version_referenced_bytes(view->version) +
            log_bytes_since(db->log, view->memtables[view->memtable_count - 1]->start);
    while (size < max && size < bytes / SEGMENT_FRACTION)
        size *= 2;
    return size < max ? size : max;
}

static void run_upkeep(struct job *job)
{
    struct lsm_db *db = CONTAINER_OF(job, struct lsm_db, upkeep_job);
    lsm_status status;

    if (poison_is_set(&db->poison))
        return;
    log_set_segment_size(db->log, upkeep_segment_size(db));
    status = log_upkeep(db->log);
    note_result(db, UPKEEP_SEGMENTS, "segment_upkeep_failed", status);
    if (status != LSM_OK && !poison_is_set(&db->poison))
        scheduler_submit_after(db->scheduler, job, RETRY_NS);
}

// --- weak commits ---

static void run_sync(struct job *job)
{
    struct lsm_db *db = CONTAINER_OF(job, struct lsm_db, sync_job);
    lsm_status status;

    if (poison_is_set(&db->poison))
        return;
    status = log_sync(db->log, log_end(db->log));
    note_result(db, UPKEEP_SYNC, "sync_failed", status);
    if (status != LSM_OK && !poison_is_set(&db->poison))
        scheduler_submit_after(db->scheduler, job, RETRY_NS);
}

// --- quiet times ---

static lsm_status run_request(struct lsm_db *db, enum request_kind kind)
{
    struct write_request request;
    lsm_status status;

    write_request_init(&request, kind);
    status = writer_run(&db->writer, &request);
    write_request_release(&request);
    return status;
}

lsm_status upkeep_switch_memtable(struct lsm_db *db)
{
    return run_request(db, REQUEST_SWITCH);
}

void upkeep_shorten_log(struct lsm_db *db)
{
    const size_t count = log_segment_count(db->log);
    lsm_status status;

    if (count <= LOG_SEGMENTS_WANTED)
        return;
    status = upkeep_switch_memtable(db);
    if (status == LSM_OK && count > LOG_SEGMENTS_MAX)
        status = compactor_wait_flushed(db->compactor);
    if (status != LSM_OK)
        eventlog_write(db->events, "log_not_shortened", "segments=%zu status=%s reason=%s", count,
                       lsm_status_name(status), lsm_errmsg());
}

static bool active_is_empty(struct lsm_db *db)
{
    EPOCH_SECTION();

    return memtable_is_empty(views_current(&db->views)->memtables[0]->mem);
}

// Flushes, and has the log give back what it does not use, when nothing was committed since it
// last looked; otherwise looks again later. Armed by a commit, so that an idle database sleeps.
static void run_idle(struct job *job)
{
    struct lsm_db *db = CONTAINER_OF(job, struct lsm_db, idle_job);
    const uint64_t ts = oracle_published(db->oracle);
    const uint64_t seen = atomic_exchange_explicit(&db->idle_seen_ts, ts, memory_order_relaxed);
    lsm_status status;

    if (poison_is_set(&db->poison))
        return;
    status = ts == seen ? run_request(db, REQUEST_SETTLE) : LSM_OK;
    note_result(db, UPKEEP_IDLE, "idle_flush_failed", status);
    if (ts == seen && status == LSM_OK)
        return;
    scheduler_submit_after(db->scheduler, job,
                           atomic_load_explicit(&db->idle_flush_ns, memory_order_relaxed));
}

// --- deletions that are in the way ---

// The table that comes of it is dense with deletions, so it is merged down at once, and they go as
// soon as no snapshot needs them. While flushes are behind, or nothing has come since, there is
// nothing to gain: so there is at most one flush for each time that a reader was held up by what
// is new.
static void run_clear(struct job *job)
{
    struct lsm_db *db = CONTAINER_OF(job, struct lsm_db, clear_job);

    if (poison_is_set(&db->poison) || active_is_empty(db) || views_have_immutable(&db->views))
        return;
    if (run_request(db, REQUEST_SWITCH) == LSM_OK) // else the next reader asks again
        stats_add(db->stats, COUNTER_FLUSHES_FOR_READERS, 1);
}

void upkeep_clear_way(struct lsm_db *db)
{
    if (!db->is_read_only)
        scheduler_submit(db->scheduler, &db->clear_job);
}

// --- the clock ---

#define NS_PER_SECOND INT64_C(1000000000)

enum clock_standing { CLOCK_AGREES, CLOCK_AHEAD, CLOCK_BEHIND };

static enum clock_standing standing_of(int64_t ahead_ns)
{
    if (ahead_ns >= NOTABLE_CLOCK_NS)
        return CLOCK_AHEAD;
    return ahead_ns <= -NOTABLE_CLOCK_NS ? CLOCK_BEHIND : CLOCK_AGREES;
}

static void tell_standing(struct lsm_db *db, const struct clock_state *clock)
{
    static const char *const names[] = {"clock_agrees", "clock_ahead", "clock_behind"};
    const int64_t ahead_ns = clock_state_ahead_ns(clock);
    const enum clock_standing standing = standing_of(ahead_ns);

    if (atomic_exchange_explicit(&db->clock_standing, (int)standing, memory_order_relaxed) !=
        (int)standing)
        eventlog_write(db->events, names[standing], "seconds=%lld",
                       (long long)((ahead_ns < 0 ? -ahead_ns : ahead_ns) / NS_PER_SECOND));
}

struct clock_state upkeep_watch_clock(struct lsm_db *db)
{
    const struct clock_state clock = oracle_clock(db->oracle);

    tell_standing(db, &clock);
    if (clock.doubted_ns != 0)
        scheduler_submit_after(db->scheduler, &db->clock_job, clock.doubted_ns);
    return clock;
}

static void run_clock(struct job *job)
{
    struct lsm_db *db = CONTAINER_OF(job, struct lsm_db, clock_job);

    if (!poison_is_set(&db->poison) && upkeep_watch_clock(db).doubted_ns == 0)
        compactor_wake(db->compactor);
}

// --- what no reader sees any more ---

static void run_reclaim(struct job *job)
{
    struct lsm_db *db = CONTAINER_OF(job, struct lsm_db, reclaim_job);
    const size_t unfreed = epoch_collect(&db->bin);
    const size_t left = unlinker_drain(db->unlinker, UNLINK_BATCH);

    if (unfreed > 0)
        scheduler_submit_after(db->scheduler, job, RECLAIM_WAIT_NS);
    else if (left > 0 && !poison_is_set(&db->poison))
        scheduler_submit_after(db->scheduler, job,
                               unlinker_health(db->unlinker) == LSM_OK ? RECLAIM_WAIT_NS
                                                                       : RETRY_NS);
}

static void wake_reclaim(void *ctx)
{
    struct lsm_db *db = ctx;

    scheduler_submit_after(db->scheduler, &db->reclaim_job, RECLAIM_NS);
}

void upkeep_start(struct lsm_db *db)
{
    job_init(&db->upkeep_job, "segments", JOB_SEGMENT, run_upkeep);
    job_init(&db->sync_job, "sync", JOB_SEGMENT, run_sync);
    job_init(&db->idle_job, "idle", JOB_FLUSH, run_idle);
    job_init(&db->reclaim_job, "reclaim", JOB_RECLAIM, run_reclaim);
    job_init(&db->clock_job, "clock", JOB_RECLAIM, run_clock);
    job_init(&db->clear_job, "clear", JOB_FLUSH, run_clear);
    atomic_store_explicit(&db->active_above_ts, oracle_published(db->oracle), memory_order_relaxed);
    epoch_bin_set_notify(&db->bin, wake_reclaim, db);
    unlinker_set_notify(db->unlinker, wake_reclaim, db);
    wake_reclaim(db);
    if (db->is_read_only)
        return;
    (void)upkeep_watch_clock(db);
    if (log_needs_upkeep(db->log)) // after a crash: segments longer than their content
        scheduler_submit(db->scheduler, &db->upkeep_job);
    if (!active_is_empty(db)) // replayed: as quiet as any other
        scheduler_submit_after(db->scheduler, &db->idle_job,
                               atomic_load_explicit(&db->idle_flush_ns, memory_order_relaxed));
}

// A job that is due later than by the new option becomes due by it; one that nothing has armed
// finds nothing to do.
void upkeep_heed_options(struct lsm_db *db, const struct lsm_options *before,
                         const struct lsm_options *after)
{
    if (after->idle_flush_ns < before->idle_flush_ns)
        scheduler_submit_after(db->scheduler, &db->idle_job, after->idle_flush_ns);
    if (after->sync_interval_ns < before->sync_interval_ns)
        scheduler_submit_after(db->scheduler, &db->sync_job, after->sync_interval_ns);
}

void upkeep_stop(struct lsm_db *db)
{
    scheduler_retire(db->scheduler, &db->clear_job);
    scheduler_retire(db->scheduler, &db->idle_job);
    scheduler_retire(db->scheduler, &db->sync_job);
    scheduler_retire(db->scheduler, &db->upkeep_job);
    scheduler_retire(db->scheduler, &db->clock_job);
    scheduler_retire(db->scheduler, &db->reclaim_job);
}

// --- for the impatient ---

lsm_status lsm_flush(lsm_db *db)
{
    TRY(db_check_writable(db, "lsm_flush"));
    TRY(upkeep_switch_memtable(db));
    return compactor_wait_flushed(db->compactor);
}

lsm_status lsm_sync(lsm_db *db)
{
    TRY(db_check_writable(db, "lsm_sync"));
    TRY(poison_check(&db->poison));
    return log_sync(db->log, log_end(db->log));
}

lsm_status lsm_compact_range(lsm_db *db, lsm_keyspace *handle, const lsm_slice *from,
                             const lsm_slice *to)
{
    struct keyspace *keyspace;

    TRY(db_check_writable(db, "lsm_compact_range"));
    TRY(db_keyspace(db, handle, &keyspace));
    TRY(check_bound(from, "from"));
    TRY(check_bound(to, "to"));
    if (from != NULL && to != NULL && slice_compare(*from, *to) > 0)
        return lsm_fail(LSM_INVALID, "lsm_compact_range: `from` lies behind `to`");
    TRY(lsm_flush(db));
    return compactor_compact_range(db->compactor, handle == NULL ? 0 : keyspace->id, from, to);
}

lsm_status lsm_wait_idle(lsm_db *db)
{
    TRY(db_check_writable(db, "lsm_wait_idle"));
    return compactor_wait_idle(db->compactor);
}

lsm_status lsm_resume(lsm_db *db)
{
    TRY(db_check_writable(db, "lsm_resume"));
    TRY(poison_check(&db->poison));
    scheduler_submit(db->scheduler, &db->upkeep_job);
    if (has_failed(db, UPKEEP_SYNC))
        scheduler_submit(db->scheduler, &db->sync_job);
    if (has_failed(db, UPKEEP_IDLE))
        scheduler_submit(db->scheduler, &db->idle_job);
    scheduler_submit(db->scheduler, &db->reclaim_job);
    compactor_wake(db->compactor);
    return LSM_OK;
}
