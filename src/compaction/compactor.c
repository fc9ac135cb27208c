// One job flushes; `merge_count` jobs merge, each one compaction per run.
//
// Failures. A flush that fails, and a merge that fails for want of space, memory or
// descriptors, is tried again after a delay that doubles, and at every wake. A merge
// that meets damage or a read error puts its inputs into quarantine. When the poison
// is set nothing runs any more. Who waits is told of the first failure that happens
// while it waits.

#include "compaction/compactor.h"

#include <assert.h>

#include "base/alloc.h"
#include "compaction/compactor_core.h"

#define AGEING_NS UINT64_C(60000000000) // between looks at an idle tree
#define FRESH_NS  UINT64_C(200000000)   // a failure this old may have passed

// --- waiting and telling ---

void compactor_change_locked(struct compactor *c)
{
    mutex_assert_held(&c->mu);
    c->change_count++;
    cond_broadcast(&c->changed);
}

static void announce(struct compactor *c)
{
    mutex_lock(&c->mu);
    compactor_change_locked(c);
    mutex_unlock(&c->mu);
}

static uint64_t read_count(struct compactor *c, const uint64_t *field)
{
    uint64_t count;

    mutex_lock(&c->mu);
    count = *field;
    mutex_unlock(&c->mu);
    return count;
}

uint64_t compactor_change_count(struct compactor *c)
{
    return read_count(c, &c->change_count);
}

lsm_status compactor_wait_for_change(struct compactor *c, uint64_t seen)
{
    lsm_status status = LSM_OK;

    mutex_lock(&c->mu);
    while (status == LSM_OK && c->change_count == seen)
        status = scheduler_wait(c->scheduler, &c->mu, &c->changed);
    mutex_unlock(&c->mu);
    return status;
}

lsm_status compactor_check_running(struct compactor *c)
{
    if (atomic_load_explicit(&c->is_stopping, memory_order_relaxed))
        return lsm_fail(LSM_BUSY, "compaction: the database is being closed");
    return poison_check(c->engine->poison);
}

void compactor_tell_changed(struct compactor *c)
{
    if (c->on_changed != NULL)
        c->on_changed(c->ctx);
}

void compactor_report_failure(struct compactor *c, const char *job, const struct failure *failure)
{
    atomic_fetch_add_explicit(&c->engine->stats->errors, 1, memory_order_relaxed);
    eventlog_write(c->engine->events, "error", "job=%s status=%s message=%s", job,
                   lsm_status_name(failure->status), failure->message);
}

void compactor_submit_mergers(struct compactor *c, const struct merger *but)
{
    for (unsigned i = 0; i < c->merger_count; i++) {
        if (&c->mergers[i] != but)
            scheduler_submit(c->scheduler, &c->mergers[i].job);
    }
}

// --- the job that flushes ---

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
        delay_ns = course_fail(&c->flushing, status, clock_mono_ns(c->engine->env));
    compactor_change_locked(c);
    mutex_unlock(&c->mu);
    if (status != LSM_OK) {
        compactor_report_failure(c, "flush", &failure);
        submit_again(c, &c->flush_job, delay_ns);
        return;
    }
    compactor_tell_changed(c);
    scheduler_submit(c->scheduler, &c->flush_job); // for the next memtable
    compactor_submit_mergers(c, NULL);
}

static void run_flush(struct job *job)
{
    struct compactor *c = (struct compactor *)job;
    bool has_flushed = false;
    lsm_status status;

    if (compactor_check_running(c) != LSM_OK) {
        announce(c);
        return;
    }
    status = flush_run(c->engine, &has_flushed);
    // The memtable goes now, or when the next one is flushed, if a reader sees it still: the
    // job that frees what nobody sees may have to wait for this one's worker.
    (void)epoch_collect(c->engine->tables->bin);
    if (status != LSM_OK || has_flushed)
        end_flush(c, status);
}

// --- the jobs that merge ---

// A merge could not even be begun.
static void fail_begin(struct compactor *c, struct job *job, lsm_status status)
{
    uint64_t delay_ns;

    mutex_lock(&c->mu);
    delay_ns = course_fail(&c->merging, status, clock_mono_ns(c->engine->env));
    compactor_change_locked(c);
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

    if (compactor_check_running(c) != LSM_OK) {
        announce(c);
        return;
    }
    status = compactor_pick(c, NULL, true, &compaction);
    if (status != LSM_OK) {
        fail_begin(c, job, status);
        return;
    }
    if (compaction == NULL) {
        rest(c, merger);
        return;
    }
    compactor_submit_mergers(c, merger);                 // there may be work beside this one's
    (void)compactor_run_merge(c, compaction, &delay_ns); // kept for compactor_health()
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
    compactor_submit_mergers(c, NULL);
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
    return failure_raise(&failure);
}

lsm_status compactor_wait_flushed(struct compactor *c)
{
    uint64_t failures = read_count(c, &c->flushing.failure_count);

    for (;;) {
        uint64_t seen = compactor_change_count(c);

        if (!views_have_immutable(c->engine->views))
            return LSM_OK;
        TRY(compactor_check_running(c));
        TRY(failure_since(c, &c->flushing, failures));
        scheduler_submit(c->scheduler, &c->flush_job);
        TRY(compactor_wait_for_change(c, seen));
    }
}

// Whether a merge is running or wanted.
static lsm_status look_for_merges(struct compactor *c, bool *has_work)
{
    struct compaction *compaction = NULL;
    unsigned running_count;

    mutex_lock(&c->mu);
    running_count = c->running_count;
    mutex_unlock(&c->mu);
    if (running_count == 0)
        TRY(compactor_pick(c, NULL, false, &compaction));
    *has_work = running_count != 0 || compaction != NULL;
    compaction_free(compaction);
    return LSM_OK;
}

lsm_status compactor_wait_idle(struct compactor *c)
{
    uint64_t flush_failures = read_count(c, &c->flushing.failure_count);
    uint64_t merge_failures = read_count(c, &c->merging.failure_count);

    for (;;) {
        uint64_t seen = compactor_change_count(c);
        bool has_merges;

        TRY(look_for_merges(c, &has_merges));
        // Before being content: what has failed is not wanted again until quarantine ends.
        TRY(failure_since(c, &c->flushing, flush_failures));
        TRY(failure_since(c, &c->merging, merge_failures));
        if (!has_merges && !views_have_immutable(c->engine->views))
            return LSM_OK;
        TRY(compactor_check_running(c));
        scheduler_submit(c->scheduler, &c->flush_job);
        compactor_submit_mergers(c, NULL);
        TRY(compactor_wait_for_change(c, seen));
    }
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
    compactor_change_locked(c);
    mutex_unlock(&c->mu);
    compactor_submit_mergers(c, NULL);
}

static lsm_status course_health(struct compactor *c, const struct course *course)
{
    struct failure failure;

    mutex_lock(&c->mu);
    failure = course->last;
    mutex_unlock(&c->mu);
    return failure_raise(&failure);
}

lsm_status compactor_health(struct compactor *c)
{
    TRY(course_health(c, &c->flushing));
    return course_health(c, &c->merging);
}

// Whether flushing has failed, and long enough ago to be tried again at once.
static bool flush_is_to_be_hurried(struct compactor *c)
{
    const uint64_t now_ns = clock_mono_ns(c->engine->env);
    bool is_to_be;

    mutex_lock(&c->mu);
    is_to_be = c->flushing.last.status != LSM_OK && now_ns - c->flushing.failed_ns >= FRESH_NS;
    mutex_unlock(&c->mu);
    return is_to_be;
}

lsm_status compactor_check_flushing(struct compactor *c, struct flush_wait *wait)
{
    if (!wait->has_begun) {
        wait->has_begun = true;
        wait->failure_count = read_count(c, &c->flushing.failure_count);
        if (!flush_is_to_be_hurried(c))
            return course_health(c, &c->flushing);
        scheduler_submit(c->scheduler, &c->flush_job);
    }
    return failure_since(c, &c->flushing, wait->failure_count);
}
