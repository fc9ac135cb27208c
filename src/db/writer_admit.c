// writer_admit.c -- paying the back-pressure, and waiting for room, before queueing.

#include "db/db.h"
#include "db/upkeep.h"

// A delay shorter than this is not worth a sleep: it is carried over to the next.
#define DELAY_NS_MIN UINT64_C(200000)
// The pressure of a stop is looked at again at least this often.
#define DELAY_NS_MAX UINT64_C(10000000)
// To who does not want to wait, a shorter delay is none: a sync takes about as long, and a
// thread that the system sets aside for another waits longer.
#define NOTICED_NS_MIN UINT64_C(1000000)
// Nor is one that is lost in the time the write takes by itself: a tenth of what it takes to
// write a KiB at a gigabyte a second.
#define NOTICED_NS_PER_KIB 100

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

// Whether the memtables have reached their hard limit and a flush can change that.
static bool memory_is_full(struct writer *writer, uint64_t bytes)
{
    struct lsm_db *db = writer->db;
    const uint64_t limit = throttle_memory_max(&db->engine_options);

    return views_have_immutable(&db->views) && bytes_in_memory(writer) + bytes > limit;
}

static lsm_status refuse_to_wait(enum stall_cause cause)
{
    return lsm_fail(LSM_BUSY, "the write would have to wait: %s", stall_cause_name(cause));
}

// What the calling thread owes for writes whose delay was too short to sleep, or not noticed.
struct debt {
    uint64_t ns;
    uint64_t since_ns; // counted down from then on
};

static _Thread_local struct debt debt;

// What is left of the debt: to who does not wait, time that passes pays.
static uint64_t debt_left(uint64_t now_ns)
{
    const uint64_t passed_ns = now_ns - debt.since_ns;

    return passed_ns < debt.ns ? debt.ns - passed_ns : 0;
}

static bool is_noticed(uint64_t delay_ns, uint64_t bytes)
{
    return delay_ns >= NOTICED_NS_MIN && delay_ns / NOTICED_NS_PER_KIB >= bytes / 1024;
}

// Lets a write through whose delay, with what the thread owes for those before, is not noticed;
// so that many small ones together are slowed like a large one. Under the manual scheduler time
// is the test's, and nothing is owed.
static lsm_status pay_later(struct lsm_db *db, enum stall_cause cause, uint64_t delay_ns,
                            uint64_t bytes)
{
    const uint64_t now_ns = clock_mono_ns(db->env);
    const uint64_t left_ns = scheduler_is_manual(db->scheduler) ? 0 : debt_left(now_ns);

    if (is_noticed(left_ns + delay_ns, bytes))
        return refuse_to_wait(cause);
    debt = (struct debt){.ns = left_ns + delay_ns, .since_ns = now_ns};
    return LSM_OK;
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
static lsm_status check_progress(struct lsm_db *db, enum stall_cause cause, struct flush_wait *wait)
{
    TRY(poison_check(&db->poison));
    if (cause == STALL_MEMTABLE || cause == STALL_LOG)
        return compactor_check_flushing(db->compactor, wait);
    return compactor_health(db->compactor);
}

// Waits for progress of a flush or a merge. Only the active memtable may hold up the log:
// then it is handed to the flush.
static lsm_status wait_for_progress(struct lsm_db *db, enum stall_cause cause,
                                    struct flush_wait *wait)
{
    const lsm_status status = check_progress(db, cause, wait);

    if (status != LSM_OK)
        return lsm_fail_in(status, "writes wait for background work, which fails");
    if (cause == STALL_LOG && !views_have_immutable(&db->views))
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
    struct lsm_db *db = writer->db;
    const uint64_t log_bytes = request->frame.size;
    const uint64_t memory_bytes = request->frame.key_bytes;
    enum stall_cause cause = STALL_NONE;
    bool is_stopped = false;
    struct flush_wait wait = {.has_begun = false};
    uint64_t delay_ns = throttle_delay_ns(db->throttle, log_bytes, &cause, &is_stopped);

    if (LIKELY(delay_ns == 0 && !is_stopped && !memory_is_full(writer, memory_bytes)))
        return LSM_OK;
    if (no_wait && (is_stopped || memory_is_full(writer, memory_bytes)))
        return refuse_to_wait(is_stopped ? cause : STALL_MEMTABLE);
    if (no_wait)
        return pay_later(db, cause, delay_ns, log_bytes);

    while (is_stopped || memory_is_full(writer, memory_bytes)) {
        TRY(wait_for_progress(db, is_stopped ? cause : STALL_MEMTABLE, &wait));
        delay_ns = throttle_delay_ns(db->throttle, log_bytes, &cause, &is_stopped);
    }
    debt.ns += delay_ns;
    if (debt.ns >= DELAY_NS_MIN) {
        pay_delay(db, debt.ns);
        debt.ns = 0;
    }
    return LSM_OK;
}
