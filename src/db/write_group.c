#include "db/write_group.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "db/db.h"
#include "db/upkeep.h"

struct group {
    struct write_request *oldest; // linked by `next`
    size_t commit_count;          // accepted
    uint64_t log_bytes;
    uint64_t entry_count;
    uint64_t memtable_bytes;
    uint64_t keyspace_count; // at most so many different ones
    bool is_sync;
};

static void request_fail(struct write_request *request, lsm_status status)
{
    failure_capture(&request->failure, status);
    request->is_accepted = false;
}

// Refuses a commit into a keyspace that has been dropped since its transaction wrote.
static lsm_status check_keyspaces(struct lsm_db *db, const struct write_request *request)
{
    uint32_t checked = 0; // ids start at 1

    for (size_t i = 0; i < request->write_count; i++) {
        const struct keyspace *keyspace;

        if (request->writes[i].keyspace == checked)
            continue;
        checked = request->writes[i].keyspace;
        if (checked == KEYSPACE_DEFAULT_ID)
            continue;
        keyspace = keyspaces_find_id(&db->keyspaces, checked);
        if (keyspace == NULL || keyspace_is_dropped_at(keyspace, TS_MAX))
            return lsm_fail(LSM_INVALID, "the commit writes to a keyspace that was dropped");
    }
    return LSM_OK;
}

static lsm_status validate(struct lsm_db *db, const struct write_request *request)
{
    TRY(check_keyspaces(db, request));
    if (db->engine.checks_memory && !PLANTED(SKIP_COMMIT_CHECK))
        TRY(commit_frame_verify(&request->frame));
    if (PLANTED(SKIP_LATE_VALIDATION))
        return LSM_OK;
    if (request->reads != NULL)
        TRY(conflict_history_check(db->conflicts, request->reads, request->validated_ts, TS_MAX,
                                   NULL));
    if (request->checks_writes)
        TRY(conflict_history_check_writes(db->conflicts, request->writes, request->write_count,
                                          request->validated_ts, TS_MAX, NULL));
    return LSM_OK;
}

// Validates each commit, against the ones before it in the group too, and stamps it.
static void accept_commits(struct lsm_db *db, struct group *group)
{
    const uint64_t wall_ns = oracle_wall_ns(db->oracle);

    for (struct write_request *r = group->oldest; r != NULL; r = r->next) {
        lsm_status status;

        if (r->kind != REQUEST_COMMIT)
            continue;
        status = validate(db, r);
        if (status != LSM_OK) {
            request_fail(r, status);
            stats_add(db->stats, COUNTER_CONFLICTS, status == LSM_CONFLICT);
            continue;
        }
        r->is_accepted = true;
        r->ts = oracle_next_ts(db->oracle);
        r->frame.ts = r->ts;
        r->frame.wall_ns = wall_ns;
        conflict_history_add(db->conflicts, r->ts, r->writes, r->write_count);
        group->commit_count++;
        group->log_bytes += r->frame.size;
        group->entry_count += r->frame.entry_count;
        group->memtable_bytes += r->frame.key_bytes;
        group->keyspace_count += r->keyspace_count;
        group->is_sync |= r->is_sync;
    }
}

// A fresh memtable from the end of the log on becomes the active one.
static lsm_status switch_memtable(struct lsm_db *db)
{
    struct logged_memtable *fresh;
    lsm_status status;

    TRY(logged_memtable_new(
        &db->bin,
        (size_t)atomic_load_explicit(&db->engine_options.memtable_size, memory_order_relaxed),
        log_end(db->log), &fresh));
    if (db->engine.checks_memory)
        memtable_watch(fresh->mem);
    status = views_push_memtable(&db->views, fresh);
    logged_memtable_unref(fresh);
    if (status != LSM_OK)
        return status;
    atomic_store_explicit(&db->active_above_ts, oracle_published(db->oracle), memory_order_relaxed);
    stats_add(db->stats, COUNTER_MEMTABLE_SWITCHES, 1);
    throttle_update(db->throttle);
    compactor_wake(db->compactor);
    return LSM_OK;
}

// The active memtable. It stays beyond the section, as only the role holder replaces it;
// the view that names it does not.
static struct logged_memtable *active_memtable(struct lsm_db *db)
{
    EPOCH_SECTION();

    return views_current(&db->views)->memtables[0];
}

// Whether the stretch of log behind the active memtable is long enough, by bytes or by segments,
// that a flush must let go of it.
static bool log_is_long(struct lsm_db *db, const struct logged_memtable *active)
{
    return active->log_bytes > throttle_log_bytes_max(&db->engine_options) / 2 ||
           logged_memtable_segment_count(active) > LOG_SEGMENTS_MAX;
}

// Takes everything that the group can need before its first byte is written, a fresh memtable
// in place of `*active` too: from here on only the log and its sync can fail.
static lsm_status reserve_group(struct lsm_db *db, const struct group *group,
                                struct logged_memtable **active)
{
    const uint64_t memtable_size =
        atomic_load_explicit(&db->engine_options.memtable_size, memory_order_relaxed);

    if (!memtable_is_empty((*active)->mem) &&
        (memtable_used((*active)->mem) + group->memtable_bytes > memtable_size ||
         log_is_long(db, *active))) {
        TRY(switch_memtable(db));
        *active = active_memtable(db);
    }
    TRY(memtable_reserve((*active)->mem, group->entry_count, group->memtable_bytes,
                         group->keyspace_count));
    TRY(log_reserve(db->log, group->log_bytes, manifest_edit_number(db->manifest)));
    return logged_memtable_add_segment(*active, log_active(db->log));
}

static lsm_status append_group(struct lsm_db *db, const struct group *group)
{
    enum { FRAMES_ON_STACK = 64 };
    struct commit_frame *few[FRAMES_ON_STACK];
    CLEANUP(mem_freep) struct commit_frame **many = NULL;
    struct commit_frame **frames = few;
    size_t count = 0;
    lsm_status status;

    if (group->commit_count > FRAMES_ON_STACK) {
        many = mem_resize_array(NULL, group->commit_count, sizeof *many);
        if (many == NULL)
            return lsm_fail(LSM_NO_MEMORY, "a group of %zu commits", group->commit_count);
        frames = many;
    }
    for (struct write_request *r = group->oldest; r != NULL; r = r->next) {
        if (r->is_accepted)
            frames[count++] = &r->frame;
    }
    status = log_append(db->log, frames, count, manifest_edit_number(db->manifest));
    // The log could not be cut back either: whole frames of the group may have stayed.
    if (status != LSM_OK && poison_is_set(&db->poison))
        return lsm_fail_in(LSM_OUTCOME_UNKNOWN, "the commit may or may not survive a crash");
    return status;
}

static void insert_commit(struct logged_memtable *active, const struct write_request *request)
{
    struct frame_reader reader;
    struct entry entry;

    frame_reader_over_commit(&reader, &request->frame);
    for (size_t i = 0; i < request->write_count; i++) {
        enum frame_next next = frame_reader_next(&reader, &entry);

        assert(next == FRAME_ENTRY); // the frame was encoded by this process
        (void)next;
        memtable_insert(active->mem, &entry, request->writes[i].hash);
    }
}

static void insert_group(const struct group *group, struct logged_memtable *active)
{
    for (struct write_request *r = group->oldest; r != NULL; r = r->next) {
        if (!r->is_accepted)
            continue;
        insert_commit(active, r);
        if (active->first_ts == 0)
            active->first_ts = r->ts;
        active->last_ts = r->ts;
    }
    active->log_bytes += group->log_bytes;
}

// Syncs what the group appended, if a member asks for it. The bytes of a failed sync may or
// may not survive.
static lsm_status sync_group(struct lsm_db *db, const struct group *group)
{
    lsm_status status = LSM_OK;

    if (group->is_sync && !PLANTED(ACK_BEFORE_SYNC)) {
        const uint64_t start = clock_mono_ns(db->env);

        status = log_sync(db->log, log_end(db->log));
        stats_add(db->stats, COUNTER_SYNCS, 1);
        histogram_record(&db->stats->latencies[LATENCY_SYNC], clock_mono_ns(db->env) - start);
    }
    // Another thread's failed sync of the same segment may have taken our error with it.
    if (status == LSM_OK)
        status = poison_check(&db->poison);
    if (status == LSM_OK)
        return LSM_OK;
    return lsm_fail_in(LSM_OUTCOME_UNKNOWN, "the commit may or may not survive a crash");
}

static void fail_accepted(struct group *group, lsm_status status)
{
    for (struct write_request *r = group->oldest; r != NULL; r = r->next) {
        if (r->is_accepted && (r == group->oldest || !PLANTED(FOLLOWERS_GET_OK)))
            request_fail(r, status);
    }
}

static uint64_t last_ts_of(const struct group *group)
{
    uint64_t ts = 0;

    for (const struct write_request *r = group->oldest; r != NULL; r = r->next) {
        if (r->is_accepted)
            ts = r->ts;
    }
    return ts;
}

// What the group makes due: segments to prepare, weak commits to sync, a quiet time to watch.
static void submit_upkeep(struct lsm_db *db, const struct group *group)
{
    if (log_needs_upkeep(db->log))
        scheduler_submit(db->scheduler, &db->upkeep_job);
    if (!group->is_sync)
        scheduler_submit_after(db->scheduler, &db->sync_job,
                               atomic_load_explicit(&db->sync_interval_ns, memory_order_relaxed));
}

static lsm_status write_commits(struct lsm_db *db, struct group *group)
{
    struct logged_memtable *active = active_memtable(db);
    const bool was_empty = memtable_is_empty(active->mem);

    TRY(reserve_group(db, group, &active));
    TRY(append_group(db, group));
    TRY(sync_group(db, group));
    if (PLANTED(PUBLISH_BEFORE_INSERT))
        oracle_publish(db->oracle, last_ts_of(group));
    insert_group(group, active);
    oracle_publish(db->oracle, last_ts_of(group));

    log_writeback(db->log);
    submit_upkeep(db, group);
    if (was_empty)
        scheduler_submit_after(db->scheduler, &db->idle_job,
                               atomic_load_explicit(&db->idle_flush_ns, memory_order_relaxed));
    stats_add(db->stats, COUNTER_COMMITS, group->commit_count);
    stats_add(db->stats, COUNTER_COMMIT_ENTRIES, group->entry_count);
    stats_add(db->stats, COUNTER_LOG_BYTES, group->log_bytes);
    stats_add(db->stats, COUNTER_COMMIT_GROUPS, 1);
    return LSM_OK;
}

// Returns whether the log has moved on: then even an empty memtable has to go, for replay begins
// where the active one does.
static bool settle_log(struct lsm_db *db)
{
    const struct segment *before = log_active(db->log);
    lsm_status status =
        log_settle(db->log, upkeep_segment_size_min(db), manifest_edit_number(db->manifest));

    if (status != LSM_OK)
        eventlog_write(db->events, "log_not_settled", "status=%s reason=%s",
                       lsm_status_name(status), lsm_errmsg());
    return log_active(db->log) != before;
}

static void run_control(struct lsm_db *db, struct write_request *request)
{
    lsm_status status = poison_check(&db->poison);
    bool has_moved = status == LSM_OK && request->kind == REQUEST_SETTLE && settle_log(db);

    if (status == LSM_OK && request->kind == REQUEST_DROP) {
        request->ts = oracle_next_ts(db->oracle);
        atomic_store_explicit(&request->keyspace->dropped_ts, request->ts, memory_order_release);
        oracle_publish(db->oracle, request->ts);
    } else if (status == LSM_OK && (has_moved || !memtable_is_empty(active_memtable(db)->mem))) {
        status = switch_memtable(db);
    }
    failure_capture(&request->failure, status);
}

void write_group_run(struct lsm_db *db, struct write_request *oldest)
{
    struct group group = {.oldest = oldest};
    lsm_status status = poison_check(&db->poison);

    for (struct write_request *r = oldest; r != NULL; r = r->next) {
        r->is_accepted = false;
        failure_capture(&r->failure, r->kind == REQUEST_COMMIT ? status : LSM_OK);
    }
    if (status == LSM_OK) {
        accept_commits(db, &group);
        if (group.commit_count > 0) {
            status = write_commits(db, &group);
            if (status != LSM_OK)
                fail_accepted(&group, status);
        }
    }
    for (struct write_request *r = oldest; r != NULL; r = r->next) {
        if (r->kind != REQUEST_COMMIT)
            run_control(db, r);
    }
}
