// compactor.c
//
// One job flushes; `merge_count` jobs merge, each one compaction per run. A merge is
// *begun* under the mutex: picked from a view that is current at that moment, its
// tables marked busy. A merge that ends frees them after its edit is installed. So
// what is picked is never part of another merge, and never gone.
//
// Failures. A flush that fails, and a merge that fails for want of space, memory or
// descriptors, is tried again after a delay that doubles, and at every wake. A merge
// that meets damage or a read error puts its inputs into quarantine. When the poison
// is set nothing runs any more. Who waits is told of the first failure that happens
// while it waits.

#include "compaction/compactor.h"

#include <assert.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "compaction/quarantine.h"

#define NS_PER_SECOND 1000000000ull
#define RETRY_NS_MIN  (NS_PER_SECOND / 20)
#define RETRY_NS_MAX  (10 * NS_PER_SECOND)
#define AGEING_NS     (60 * NS_PER_SECOND) // between looks at an idle tree

// One of the jobs that merge.
struct merger {
    struct job job; // first: a job is its merger
    struct compactor *compactor;
};

// How work of one kind fares.
struct course {
    struct failure last;    // LSM_OK when the last attempt succeeded
    uint64_t failure_count; // ever
    uint64_t retry_ns;      // delay of the next retry; 0 when the last attempt succeeded
};

struct compactor {
    struct job flush_job; // first: the job is its compactor

    struct engine *engine; // immutable, like the next four
    struct scheduler *scheduler;
    void (*on_changed)(void *ctx);
    void *ctx;
    unsigned merger_count;

    _Atomic bool is_stopping; // set once; relaxed: nothing else is read through it

    struct mutex mu; // rank LOCK_COMPACTION; guards the fields below
    struct cond changed;
    uint64_t change_count;    // of everything that is waited for
    struct table_id_set busy; // inputs of running merges, and tables in quarantine
    struct quarantine quarantine;
    bool level0_is_busy;
    unsigned running_count; // merges
    unsigned pause_count;
    struct course flushing;
    struct course merging;

    struct merger mergers[];
};

// What a caller of compactor_compact_range() wants.
struct range_request {
    uint32_t keyspace;
    const lsm_slice *from;
    const lsm_slice *to;
    bool is_rewrite;
    uint64_t id_end; // of a rewrite
};

// --- waiting and telling ---

static void change_locked(struct compactor *c)
{
    mutex_assert_held(&c->mu);
    c->change_count++;
    cond_broadcast(&c->changed);
}

static void announce(struct compactor *c)
{
    mutex_lock(&c->mu);
    change_locked(c);
    mutex_unlock(&c->mu);
}

static uint64_t read_change_count(struct compactor *c)
{
    uint64_t count;

    mutex_lock(&c->mu);
    count = c->change_count;
    mutex_unlock(&c->mu);
    return count;
}

// Waits until something has changed since `seen` was read.
static lsm_status wait_for_change(struct compactor *c, uint64_t seen)
{
    lsm_status status = LSM_OK;

    mutex_lock(&c->mu);
    while (status == LSM_OK && c->change_count == seen)
        status = scheduler_wait(c->scheduler, &c->mu, &c->changed);
    mutex_unlock(&c->mu);
    return status;
}

// Why nobody should wait any longer.
static lsm_status check_running(struct compactor *c)
{
    if (atomic_load_explicit(&c->is_stopping, memory_order_relaxed))
        return lsm_fail(LSM_BUSY, "compaction: the database is being closed");
    return poison_check(c->engine->poison);
}

static void tell_changed(struct compactor *c)
{
    if (c->on_changed != NULL)
        c->on_changed(c->ctx);
}

// --- how work fares ---

static bool is_soft(lsm_status status)
{
    return status == LSM_NO_SPACE || status == LSM_NO_MEMORY || status == LSM_BUSY;
}

static void course_succeed(struct course *course)
{
    course->last.status = LSM_OK;
    course->retry_ns = 0;
}

// Keeps the calling thread's failure; returns after what time to try again.
static uint64_t course_fail(struct course *course, lsm_status status)
{
    uint64_t delay_ns = course->retry_ns == 0 ? RETRY_NS_MIN : course->retry_ns;

    failure_capture(&course->last, status);
    course->failure_count++;
    course->retry_ns = 2 * delay_ns < RETRY_NS_MAX ? 2 * delay_ns : RETRY_NS_MAX;
    return delay_ns;
}

static void report_failure(struct compactor *c, const char *job, const struct failure *failure)
{
    atomic_fetch_add_explicit(&c->engine->stats->errors, 1, memory_order_relaxed);
    eventlog_write(c->engine->events, "error", "job=%s status=%s message=\"%s\"", job,
                   lsm_status_name(failure->status), failure->message);
}

// --- flushing ---

static void submit_mergers(struct compactor *c, const struct merger *but)
{
    for (unsigned i = 0; i < c->merger_count; i++) {
        if (&c->mergers[i] != but)
            scheduler_submit(c->scheduler, &c->mergers[i].job);
    }
}

static void submit_again(struct compactor *c, struct job *job, uint64_t delay_ns)
{
    if (delay_ns == 0)
        scheduler_submit(c->scheduler, job);
    else
        scheduler_submit_after(c->scheduler, job, delay_ns);
}

static void end_flush(struct compactor *c, lsm_status status)
{
    struct failure failure;
    uint64_t delay_ns = 0;

    failure_capture(&failure, status);
    mutex_lock(&c->mu);
    if (status == LSM_OK)
        course_succeed(&c->flushing);
    else
        delay_ns = course_fail(&c->flushing, status);
    change_locked(c);
    mutex_unlock(&c->mu);
    if (status != LSM_OK) {
        report_failure(c, "flush", &failure);
        submit_again(c, &c->flush_job, delay_ns);
        return;
    }
    tell_changed(c);
    scheduler_submit(c->scheduler, &c->flush_job); // for the next memtable
    submit_mergers(c, NULL);
}

static void run_flush(struct job *job)
{
    struct compactor *c = (struct compactor *)job;
    lsm_status status;

    if (check_running(c) != LSM_OK) {
        announce(c);
        return;
    }
    status = flush_run(c->engine);
    // The memtable goes now, or when the next one is flushed, if a reader sees it still: the
    // job that frees what nobody sees may have to wait for this one's worker.
    (void)epoch_collect(c->engine->tables->bin);
    if (status != LSM_NOT_FOUND)
        end_flush(c, status);
}

static bool has_immutable_memtable(struct compactor *c)
{
    EPOCH_SECTION();

    return views_current(c->engine->views)->memtable_count > 1;
}

// --- beginning a merge ---

static bool keyspace_is_dropped(void *ctx, uint32_t keyspace)
{
    const struct engine *engine = ctx;
    struct keyspace_options options;
    bool is_dropped;

    return engine->keyspace_options(engine->ctx, keyspace, &options, &is_dropped) && is_dropped;
}

static uint32_t keyspace_compression(void *ctx, uint32_t keyspace)
{
    return engine_keyspace_compression(ctx, keyspace);
}

static lsm_status pick_locked(struct compactor *c, struct picker_input *input,
                              const struct range_request *request, struct compaction **out)
{
    (void)quarantine_expire(&c->quarantine, &c->busy, clock_mono_ns(c->engine->env));
    input->busy = &c->busy;
    input->level0_is_busy = c->level0_is_busy;
    if (request == NULL)
        return c->pause_count != 0 ? LSM_NOT_FOUND : compaction_pick(input, out);
    if (request->is_rewrite)
        return compaction_pick_rewrite(input, request->keyspace, request->from, request->to,
                                       request->id_end, out);
    return compaction_pick_range(input, request->keyspace, request->from, request->to, out);
}

// Marks the tables of a compaction as busy, and makes room for them in quarantine.
static lsm_status occupy_locked(struct compactor *c, const struct compaction *compaction)
{
    size_t count = compaction->input_count[0] + compaction->input_count[1];

    TRY(table_id_set_reserve(&c->busy, count));
    TRY(quarantine_reserve(&c->quarantine, c->busy.count + count));
    for (unsigned i = 0; i < 2; i++) {
        for (size_t j = 0; j < compaction->input_count[i]; j++)
            table_id_set_add(&c->busy, table_meta(compaction->inputs[i][j])->id);
    }
    c->level0_is_busy = c->level0_is_busy || compaction->level == 0;
    c->running_count++;
    return LSM_OK;
}

// Picks from `view` if it is the current one, which `*is_current` tells. Every merge
// whose edit the view does not show yet is still marked busy.
static lsm_status pick_from(struct compactor *c, struct view *view,
                            const struct range_request *request, bool occupy, bool *is_current,
                            struct compaction **out)
{
    struct engine *engine = c->engine;
    struct picker_input input = {
        .version = view->version,
        .options = engine->options,
        .now_seconds = clock_wall_ns(engine->env) / NS_PER_SECOND,
        .is_dropped = keyspace_is_dropped,
        .compression = keyspace_compression,
        .ctx = engine,
    };
    lsm_status status = LSM_NOT_FOUND;

    engine->oldest_snapshot(engine->ctx, &input.oldest_ts, &input.oldest_wall);
    EPOCH_SECTION();
    mutex_lock(&c->mu);
    *is_current = views_current(engine->views) == view;
    if (*is_current)
        status = pick_locked(c, &input, request, out);
    if (status == LSM_OK && occupy)
        status = occupy_locked(c, *out);
    mutex_unlock(&c->mu);
    return status;
}

// The next compaction, of `request` or, when it is NULL, by need; with `occupy`, begun.
static lsm_status pick(struct compactor *c, const struct range_request *request, bool occupy,
                       struct compaction **out)
{
    struct compaction *picked = NULL;
    lsm_status status;
    bool is_current;

    do {
        struct view *view = views_acquire(c->engine->views);

        status = pick_from(c, view, request, occupy, &is_current, &picked);
        view_unref(view);
    } while (!is_current);
    if (status == LSM_OK)
        *out = picked;
    else
        compaction_free(picked);
    return status;
}

// --- ending a merge ---

// Frees the tables of a compaction, or leaves them busy, in quarantine.
static void vacate_locked(struct compactor *c, const struct compaction *compaction, bool is_damaged)
{
    uint64_t now_ns = clock_mono_ns(c->engine->env);

    for (unsigned i = 0; i < 2; i++) {
        for (size_t j = 0; j < compaction->input_count[i]; j++) {
            uint64_t id = table_meta(compaction->inputs[i][j])->id;

            if (is_damaged)
                quarantine_add(&c->quarantine, id, now_ns);
            else
                table_id_set_remove(&c->busy, id);
        }
    }
    if (compaction->level == 0)
        c->level0_is_busy = false;
    c->running_count--;
}

static void forget_inputs_locked(struct compactor *c, const struct compaction *compaction)
{
    for (unsigned i = 0; i < 2; i++) {
        for (size_t j = 0; j < compaction->input_count[i]; j++)
            quarantine_forget(&c->quarantine, table_meta(compaction->inputs[i][j])->id);
    }
}

// Runs a compaction that has been begun, and frees it. `*delay_ns` is how long to wait
// before the next merge: 0 unless a resource is short.
static lsm_status run_compaction(struct compactor *c, struct compaction *compaction,
                                 uint64_t *delay_ns)
{
    lsm_status status = merge_job_run(c->engine, compaction, &c->is_stopping);
    bool is_stopped =
        status == LSM_BUSY && atomic_load_explicit(&c->is_stopping, memory_order_relaxed);
    bool is_damaged = status != LSM_OK && !is_soft(status);
    struct failure failure;

    *delay_ns = 0;
    failure_capture(&failure, status);
    mutex_lock(&c->mu);
    vacate_locked(c, compaction, is_damaged);
    if (status == LSM_OK) {
        forget_inputs_locked(c, compaction);
        // A success elsewhere does not heal what is in quarantine.
        if (c->quarantine.count == 0)
            course_succeed(&c->merging);
    } else if (!is_stopped) {
        uint64_t retry_ns = course_fail(&c->merging, status);

        *delay_ns = is_damaged ? 0 : retry_ns;
    }
    change_locked(c);
    mutex_unlock(&c->mu);
    compaction_free(compaction);
    if (status == LSM_OK)
        tell_changed(c);
    else if (!is_stopped)
        report_failure(c, "merge", &failure);
    return status == LSM_OK ? LSM_OK : failure_raise(&failure);
}

// --- the jobs that merge ---

// A merge could not even be begun.
static void fail_begin(struct compactor *c, struct job *job, lsm_status status)
{
    uint64_t delay_ns;

    mutex_lock(&c->mu);
    delay_ns = course_fail(&c->merging, status);
    change_locked(c);
    mutex_unlock(&c->mu);
    scheduler_submit_after(c->scheduler, job, delay_ns);
}

// Nothing is to be done now: time brings tombstones of age, expired entries, and the
// end of quarantine. One job watches.
static void rest(struct compactor *c, struct merger *merger)
{
    if (merger == &c->mergers[0])
        scheduler_submit_after(c->scheduler, &merger->job, AGEING_NS);
}

static void run_merger(struct job *job)
{
    struct merger *merger = (struct merger *)job;
    struct compactor *c = merger->compactor;
    struct compaction *compaction = NULL;
    uint64_t delay_ns;
    lsm_status status;

    if (check_running(c) != LSM_OK) {
        announce(c);
        return;
    }
    status = pick(c, NULL, true, &compaction);
    if (status == LSM_NOT_FOUND) {
        rest(c, merger);
        return;
    }
    if (status != LSM_OK) {
        fail_begin(c, job, status);
        return;
    }
    submit_mergers(c, merger);                      // there may be work beside this one's
    (void)run_compaction(c, compaction, &delay_ns); // kept for compactor_health()
    submit_again(c, job, delay_ns);
}

// --- life ---

lsm_status compactor_new(struct engine *engine, struct scheduler *scheduler, unsigned merge_count,
                         struct compactor **out)
{
    struct compactor *c = mem_alloc_zeroed(1, sizeof *c + merge_count * sizeof *c->mergers);

    if (c == NULL)
        return lsm_fail(LSM_NO_MEMORY, "compaction: %u mergers", merge_count);
    c->engine = engine;
    c->scheduler = scheduler;
    c->merger_count = merge_count;
    mutex_init(&c->mu, LOCK_COMPACTION);
    cond_init(&c->changed);
    job_init(&c->flush_job, "flush", JOB_FLUSH, run_flush);
    for (unsigned i = 0; i < merge_count; i++) {
        job_init(&c->mergers[i].job, "merge", i == 0 ? JOB_COMPACT_L0 : JOB_COMPACT, run_merger);
        c->mergers[i].compactor = c;
    }
    *out = c;
    return LSM_OK;
}

void compactor_free(struct compactor *c)
{
    if (c == NULL)
        return;
    atomic_store_explicit(&c->is_stopping, true, memory_order_relaxed);
    scheduler_retire(c->scheduler, &c->flush_job);
    for (unsigned i = 0; i < c->merger_count; i++)
        scheduler_retire(c->scheduler, &c->mergers[i].job);
    assert(c->running_count == 0);
    table_id_set_release(&c->busy);
    quarantine_release(&c->quarantine);
    cond_release(&c->changed);
    mutex_release(&c->mu);
    mem_free(c);
}

void compactor_set_notify(struct compactor *c, void (*on_changed)(void *ctx), void *ctx)
{
    c->on_changed = on_changed;
    c->ctx = ctx;
}

void compactor_wake(struct compactor *c)
{
    announce(c);
    scheduler_submit(c->scheduler, &c->flush_job);
    submit_mergers(c, NULL);
}

// --- waiting for work ---

// The failure of `course` if it has had one since its count was `seen`.
static lsm_status failure_since(struct compactor *c, const struct course *course, uint64_t seen)
{
    struct failure failure = {.status = LSM_OK};

    mutex_lock(&c->mu);
    if (course->failure_count != seen && course->last.status != LSM_OK)
        failure = course->last;
    mutex_unlock(&c->mu);
    return failure.status == LSM_OK ? LSM_OK : failure_raise(&failure);
}

static uint64_t failure_count(struct compactor *c, const struct course *course)
{
    uint64_t count;

    mutex_lock(&c->mu);
    count = course->failure_count;
    mutex_unlock(&c->mu);
    return count;
}

lsm_status compactor_wait_flushed(struct compactor *c)
{
    uint64_t failures = failure_count(c, &c->flushing);

    for (;;) {
        uint64_t seen = read_change_count(c);

        if (!has_immutable_memtable(c))
            return LSM_OK;
        TRY(check_running(c));
        TRY(failure_since(c, &c->flushing, failures));
        scheduler_submit(c->scheduler, &c->flush_job);
        TRY(wait_for_change(c, seen));
    }
}

// LSM_NOT_FOUND when no merge is running or wanted.
static lsm_status look_for_merges(struct compactor *c)
{
    struct compaction *compaction = NULL;
    unsigned running_count;
    lsm_status status;

    mutex_lock(&c->mu);
    running_count = c->running_count;
    mutex_unlock(&c->mu);
    if (running_count != 0)
        return LSM_OK;
    status = pick(c, NULL, false, &compaction);
    compaction_free(compaction);
    return status;
}

lsm_status compactor_wait_idle(struct compactor *c)
{
    uint64_t flush_failures = failure_count(c, &c->flushing);
    uint64_t merge_failures = failure_count(c, &c->merging);

    for (;;) {
        uint64_t seen = read_change_count(c);
        lsm_status status = look_for_merges(c);

        if (status != LSM_OK && status != LSM_NOT_FOUND)
            return status;
        // Before being content: what has failed is not wanted again until quarantine ends.
        TRY(failure_since(c, &c->flushing, flush_failures));
        TRY(failure_since(c, &c->merging, merge_failures));
        if (status == LSM_NOT_FOUND && !has_immutable_memtable(c))
            return LSM_OK;
        TRY(check_running(c));
        scheduler_submit(c->scheduler, &c->flush_job);
        submit_mergers(c, NULL);
        TRY(wait_for_change(c, seen));
    }
}

// --- compaction by hand ---

// LSM_BUSY is worth waiting for as long as a merge is running that will free tables;
// tables in quarantine stay where they are.
static lsm_status wait_for_tables(struct compactor *c, uint64_t seen)
{
    struct failure failure;
    unsigned running_count;

    mutex_lock(&c->mu);
    running_count = c->running_count;
    failure = c->merging.last;
    mutex_unlock(&c->mu);
    if (running_count != 0 || read_change_count(c) != seen)
        return wait_for_change(c, seen);
    return failure.status == LSM_OK ? LSM_BUSY : failure_raise(&failure);
}

static lsm_status carry_out(struct compactor *c, const struct range_request *request)
{
    for (;;) {
        struct compaction *compaction = NULL;
        uint64_t seen = read_change_count(c);
        uint64_t delay_ns;
        lsm_status status;

        TRY(check_running(c));
        status = pick(c, request, true, &compaction);
        if (status == LSM_NOT_FOUND)
            return LSM_OK;
        if (status == LSM_BUSY)
            TRY(wait_for_tables(c, seen));
        else if (status != LSM_OK)
            return status;
        else
            TRY(run_compaction(c, compaction, &delay_ns));
    }
}

lsm_status compactor_compact_range(struct compactor *c, uint32_t keyspace, const lsm_slice *from,
                                   const lsm_slice *to)
{
    struct range_request request = {.keyspace = keyspace, .from = from, .to = to};

    TRY(compactor_wait_flushed(c));
    TRY(carry_out(c, &request));
    request.is_rewrite = true;
    request.id_end = manifest_next_file_id(c->engine->manifest); // merges to come are above it
    TRY(carry_out(c, &request));
    submit_mergers(c, NULL);
    return LSM_OK;
}

// --- the rest ---

void compactor_pause(struct compactor *c)
{
    mutex_lock(&c->mu);
    c->pause_count++;
    mutex_unlock(&c->mu);
}

void compactor_resume(struct compactor *c)
{
    mutex_lock(&c->mu);
    assert(c->pause_count > 0);
    c->pause_count--;
    change_locked(c);
    mutex_unlock(&c->mu);
    submit_mergers(c, NULL);
}

static lsm_status course_health(struct compactor *c, const struct course *course)
{
    struct failure failure;

    mutex_lock(&c->mu);
    failure = course->last;
    mutex_unlock(&c->mu);
    return failure.status == LSM_OK ? LSM_OK : failure_raise(&failure);
}

lsm_status compactor_health(struct compactor *c)
{
    TRY(course_health(c, &c->flushing));
    return course_health(c, &c->merging);
}

lsm_status compactor_flush_health(struct compactor *c)
{
    return course_health(c, &c->flushing);
}
