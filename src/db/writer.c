#include "db/writer.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "db/db.h"
#include "db/upkeep.h"

// A group takes requests until it holds this many bytes: enough to share a sync, few
// enough not to hold the first of them up. (RocksDB uses the same bound.)
#define GROUP_BYTES_MAX (UINT64_C(1) << 20)

// The unflushed log is bounded by this, or twice the memtable size if that is more.
#define LOG_BYTES_MAX (UINT64_C(512) << 20)

// A delay shorter than this is not worth a sleep: it is carried over to the next.
#define DELAY_NS_MIN UINT64_C(200000)
// The pressure of a stop is looked at again at least this often.
#define DELAY_NS_MAX UINT64_C(10000000)

static void writer_job_run(struct job *job);

void writer_init(struct writer *writer, struct lsm_db *db)
{
    writer->db = db;
    writer->oldest = NULL;
    writer->newest = NULL;
    writer->is_role_taken = false;
    atomic_store_explicit(&writer->queued_bytes, 0, memory_order_relaxed);
    mutex_init(&writer->mu, LOCK_WRITER);
    cond_init(&writer->idle);
    job_init(&writer->job, "writer", JOB_WRITER, writer_job_run);
}

void writer_release(struct writer *writer)
{
    cond_release(&writer->idle);
    mutex_release(&writer->mu);
}

void write_request_init(struct write_request *request, enum request_kind kind)
{
    memset(request, 0, offsetof(struct write_request, changed));
    request->kind = kind;
    request->next = NULL;
    request->writes = &request->one_write;
    request->write_capacity = 1;
    commit_frame_init(&request->frame);
    cond_init(&request->changed);
}

void write_request_release(struct write_request *request)
{
    cond_release(&request->changed);
    commit_frame_release(&request->frame);
    if (request->writes != &request->one_write)
        mem_free(request->writes);
}

// --- admission ---

// Bytes in memtables and on their way there.
static uint64_t bytes_in_memory(struct writer *writer)
{
    uint64_t bytes = atomic_load_explicit(&writer->queued_bytes, memory_order_relaxed);
    EPOCH_SECTION();
    const struct view *view = views_current(&writer->db->views);

    for (size_t i = 0; i < view->memtable_count; i++)
        bytes += memtable_used(view->memtables[i]->mem);
    return bytes;
}

static bool has_immutable_memtable(struct lsm_db *db)
{
    EPOCH_SECTION();

    return views_current(&db->views)->memtable_count > 1;
}

// Whether the memtables have reached their hard limit and a flush can change that.
static bool memory_is_full(struct writer *writer, uint64_t bytes)
{
    struct lsm_db *db = writer->db;
    const uint64_t limit =
        2 * atomic_load_explicit(&db->engine_options.memtable_size, memory_order_relaxed);

    return has_immutable_memtable(db) && bytes_in_memory(writer) + bytes > limit;
}

static lsm_status refuse_to_wait(enum stall_cause cause)
{
    return lsm_fail(LSM_BUSY, "the write would have to wait: %s", stall_cause_name(cause));
}

// Waits until `deadline_ns` or the next change of the view, whichever is first.
static void wait_for_change(struct lsm_db *db, uint64_t deadline_ns)
{
    mutex_lock(&db->views.mu);
    scheduler_wait_until(db->scheduler, &db->views.mu, &db->views.changed, deadline_ns);
    mutex_unlock(&db->views.mu);
}

// Why waiting for `cause` to pass is in vain. Memtables and log wait for flushes: that merges
// fail is no reason to refuse a write.
static lsm_status health_of(struct lsm_db *db, enum stall_cause cause)
{
    TRY(poison_check(&db->poison));
    if (cause == STALL_MEMTABLE || cause == STALL_LOG)
        return compactor_flush_health(db->compactor);
    return compactor_health(db->compactor);
}

// Waits for progress of a flush or a merge. Only the active memtable may hold up the log:
// then it is handed to the flush.
static lsm_status wait_for_progress(struct lsm_db *db, enum stall_cause cause)
{
    const lsm_status status = health_of(db, cause);

    if (status != LSM_OK)
        return lsm_fail_in(status, "writes wait for background work, which fails");
    if (cause == STALL_LOG && !has_immutable_memtable(db))
        TRY(upkeep_switch_memtable(db));
    if (scheduler_is_manual(db->scheduler))
        return scheduler_run_one(db->scheduler) ? LSM_OK : refuse_to_wait(cause);
    // A deadline bounds the wait: progress may have come before the mutex was taken.
    wait_for_change(db, clock_mono_ns(db->env) + DELAY_NS_MAX);
    return LSM_OK;
}

// Lets `delay_ns` pass, however often the view changes meanwhile. Under the manual scheduler
// time is the test's.
static void pay_delay(struct lsm_db *db, uint64_t delay_ns)
{
    const uint64_t deadline_ns = clock_mono_ns(db->env) + delay_ns;

    if (scheduler_is_manual(db->scheduler))
        return;
    while (clock_mono_ns(db->env) < deadline_ns)
        wait_for_change(db, deadline_ns);
}

lsm_status writer_admit(struct writer *writer, const struct write_request *request, bool no_wait)
{
    static _Thread_local uint64_t owed_ns; // too short to sleep so far
    struct lsm_db *db = writer->db;
    const uint64_t log_bytes = request->frame.size;
    const uint64_t memory_bytes = request->frame.key_bytes;
    enum stall_cause cause = STALL_NONE;
    bool is_stopped = false;
    uint64_t delay_ns = throttle_delay_ns(db->throttle, log_bytes, &cause, &is_stopped);

    if (LIKELY(delay_ns == 0 && !is_stopped && !memory_is_full(writer, memory_bytes)))
        return LSM_OK;
    if (no_wait && (is_stopped || delay_ns >= DELAY_NS_MIN || memory_is_full(writer, memory_bytes)))
        return refuse_to_wait(cause == STALL_NONE ? STALL_MEMTABLE : cause);

    while (is_stopped || memory_is_full(writer, memory_bytes)) {
        TRY(wait_for_progress(db, is_stopped ? cause : STALL_MEMTABLE));
        delay_ns = throttle_delay_ns(db->throttle, log_bytes, &cause, &is_stopped);
    }
    owed_ns += delay_ns;
    if (owed_ns >= DELAY_NS_MIN) {
        pay_delay(db, owed_ns);
        owed_ns = 0;
    }
    return LSM_OK;
}

// --- one group, by the holder of the role ---

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
    status = views_push_memtable(&db->views, fresh);
    logged_memtable_unref(fresh);
    if (status != LSM_OK)
        return status;
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

uint64_t writer_log_bytes_max(struct lsm_db *db)
{
    const uint64_t memtables =
        2 * atomic_load_explicit(&db->engine_options.memtable_size, memory_order_relaxed);

    return memtables > LOG_BYTES_MAX ? memtables : LOG_BYTES_MAX;
}

// Whether the stretch of log behind the active memtable is long enough that a flush
// must let go of it.
static bool log_is_long(struct lsm_db *db, const struct logged_memtable *active)
{
    return log_bytes_since(db->log, active->start) > writer_log_bytes_max(db) / 2;
}

// Takes everything that the group can need before its first byte is written: from here on
// only the log and its sync can fail.
static lsm_status reserve_group(struct lsm_db *db, const struct group *group)
{
    struct logged_memtable *active = active_memtable(db);
    const uint64_t memtable_size =
        atomic_load_explicit(&db->engine_options.memtable_size, memory_order_relaxed);

    if (!memtable_is_empty(active->mem) &&
        (memtable_used(active->mem) + group->memtable_bytes > memtable_size ||
         log_is_long(db, active))) {
        TRY(switch_memtable(db));
        active = active_memtable(db);
    }
    TRY(memtable_reserve(active->mem, group->entry_count, group->memtable_bytes,
                         group->keyspace_count));
    TRY(log_reserve(db->log, group->log_bytes, manifest_edit_number(db->manifest)));
    return logged_memtable_add_segment(active, log_active(db->log));
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
        lsm_status status = frame_reader_next(&reader, &entry);

        assert(status == LSM_OK); // the frame was encoded by this process
        (void)status;
        memtable_insert(active->mem, &entry, request->writes[i].hash);
    }
}

static void insert_group(struct lsm_db *db, const struct group *group)
{
    struct logged_memtable *active = active_memtable(db);

    for (struct write_request *r = group->oldest; r != NULL; r = r->next) {
        if (!r->is_accepted)
            continue;
        insert_commit(active, r);
        if (active->first_ts == 0)
            active->first_ts = r->ts;
        active->last_ts = r->ts;
    }
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
    const bool was_empty = memtable_is_empty(active_memtable(db)->mem);

    TRY(reserve_group(db, group));
    TRY(append_group(db, group));
    TRY(sync_group(db, group));
    if (PLANTED(PUBLISH_BEFORE_INSERT))
        oracle_publish(db->oracle, last_ts_of(group));
    insert_group(db, group);
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
        eventlog_write(db->events, "log_not_settled", "status=%s reason=\"%s\"",
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

// Runs a group that the caller has taken off the queue. [role]
static void run_group(struct lsm_db *db, struct write_request *oldest)
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

// --- the queue and the role ---

static void enqueue_locked(struct writer *writer, struct write_request *request)
{
    mutex_assert_held(&writer->mu);
    request->state = REQUEST_QUEUED;
    request->next = NULL;
    if (writer->newest != NULL)
        writer->newest->next = request;
    else
        writer->oldest = request;
    writer->newest = request;
    atomic_fetch_add_explicit(&writer->queued_bytes, request->frame.key_bytes,
                              memory_order_relaxed);
}

// Takes the oldest requests off the queue: a control request alone, commits together.
static struct write_request *take_group_locked(struct writer *writer)
{
    struct write_request *oldest = writer->oldest;
    struct write_request *last = oldest;
    uint64_t bytes = oldest->frame.size;

    mutex_assert_held(&writer->mu);
    if (oldest->kind == REQUEST_COMMIT) {
        while (last->next != NULL && last->next->kind == REQUEST_COMMIT &&
               bytes + last->next->frame.size <= GROUP_BYTES_MAX) {
            last = last->next;
            bytes += last->frame.size;
        }
    }
    writer->oldest = last->next;
    if (writer->oldest == NULL)
        writer->newest = NULL;
    last->next = NULL;
    return oldest;
}

// Gives the role to the next group's oldest thread, or to the job, or to nobody.
static void hand_over_locked(struct writer *writer)
{
    struct write_request *next = writer->oldest;

    mutex_assert_held(&writer->mu);
    if (next == NULL) {
        writer->is_role_taken = false;
        cond_broadcast(&writer->idle);
        return;
    }
    // A request without a thread is led by one behind it that has, else by the job.
    while (next != NULL && next->on_done != NULL)
        next = next->next;
    if (next != NULL) {
        next->state = REQUEST_LEADS;
        cond_signal(&next->changed);
    } else {
        writer->is_role_taken = false;
        scheduler_submit(writer->db->scheduler, &writer->job);
    }
}

// Tells the members of a finished group: those with a thread may be gone at once, those
// without are put behind `*detached`. Unless the leader `keeps_role` for another group, the
// role passes on.
static void complete_group(struct writer *writer, struct write_request *oldest,
                           const struct write_request *own, bool keeps_role,
                           struct write_request ***detached)
{
    mutex_lock(&writer->mu);
    for (struct write_request *r = oldest, *next; r != NULL; r = next) {
        next = r->next;
        atomic_fetch_sub_explicit(&writer->queued_bytes, r->frame.key_bytes, memory_order_relaxed);
        if (r->on_done != NULL) {
            r->next = NULL;
            **detached = r;
            *detached = &r->next;
        } else {
            r->state = REQUEST_DONE;
            if (r != own)
                cond_signal(&r->changed);
        }
    }
    if (!keeps_role)
        hand_over_locked(writer);
    mutex_unlock(&writer->mu);
}

static bool group_contains(const struct write_request *oldest, const struct write_request *own)
{
    for (const struct write_request *r = oldest; r != NULL; r = r->next) {
        if (r == own)
            return true;
    }
    return false;
}

// Runs groups up to the one with `own` (NULL: one group). The caller holds the mutex and the
// role; on return it holds neither. Callbacks run last, when the role has passed on.
static void lead_unlock(struct writer *writer, const struct write_request *own)
{
    struct write_request *detached = NULL;
    struct write_request **detached_end = &detached;

    for (bool is_last = false; !is_last;) {
        struct write_request *group = take_group_locked(writer);

        is_last = own == NULL || group_contains(group, own);
        mutex_unlock(&writer->mu);
        run_group(writer->db, group);
        complete_group(writer, group, own, !is_last, &detached_end);
        if (!is_last)
            mutex_lock(&writer->mu);
    }
    for (struct write_request *r = detached, *next; r != NULL; r = next) {
        next = r->next;
        r->on_done(r);
    }
}

lsm_status writer_run(struct writer *writer, struct write_request *request)
{
    bool leads = false;

    mutex_lock(&writer->mu);
    enqueue_locked(writer, request);
    if (!writer->is_role_taken) {
        writer->is_role_taken = true;
        leads = true;
    }
    while (!leads && request->state == REQUEST_QUEUED)
        cond_wait(&request->changed, &writer->mu);
    if (leads || request->state == REQUEST_LEADS)
        lead_unlock(writer, request);
    else
        mutex_unlock(&writer->mu);
    return failure_raise(&request->failure);
}

void writer_submit(struct writer *writer, struct write_request *request)
{
    assert(request->on_done != NULL);
    mutex_lock(&writer->mu);
    enqueue_locked(writer, request);
    if (!writer->is_role_taken)
        scheduler_submit(writer->db->scheduler, &writer->job);
    mutex_unlock(&writer->mu);
}

// Leads one group; hand_over_locked() submits the job again while there is more.
static void writer_job_run(struct job *job)
{
    struct writer *writer = (struct writer *)(void *)((char *)job - offsetof(struct writer, job));

    mutex_lock(&writer->mu);
    if (writer->is_role_taken || writer->oldest == NULL) {
        mutex_unlock(&writer->mu);
        return;
    }
    writer->is_role_taken = true;
    lead_unlock(writer, NULL);
}

void writer_finish(struct writer *writer)
{
    mutex_lock(&writer->mu);
    while (writer->is_role_taken || writer->oldest != NULL) {
        // Under the manual scheduler the job is run here; nothing else can hold the role.
        if (scheduler_wait(writer->db->scheduler, &writer->mu, &writer->idle) != LSM_OK)
            break;
    }
    mutex_unlock(&writer->mu);
    scheduler_retire(writer->db->scheduler, &writer->job);
}
