// test_scheduler.c -- background jobs by hand and on threads.

#include "env/scheduler.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <string.h>

#include "support/alloc_fault.h"
#include "support/sim.h"

#define assert_ok(call)            cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())
#define assert_status(call, wants) cr_assert(eq(int, (call), (wants)), "%s", lsm_errmsg())

#define MS UINT64_C(1000000)

// --- by hand ---

static struct {
    struct sim *sim;
    struct scheduler *scheduler;
    char ran[64]; // the names of the jobs, in the order they ran
} f;

static void note(struct job *job)
{
    strncat(f.ran, job->name, sizeof f.ran - strlen(f.ran) - 1);
}

static void setup(void)
{
    assert_ok(sim_new(1, &f.sim));
    assert_ok(scheduler_new_manual(sim_env(f.sim), &f.scheduler));
    f.ran[0] = '\0';
}

static void teardown(void)
{
    scheduler_free(f.scheduler);
    sim_free(f.sim);
}

TestSuite(scheduler_manual, .init = setup, .fini = teardown);

static void run_all(void)
{
    while (scheduler_run_one(f.scheduler))
        continue;
}

static void assert_ran(const char *names)
{
    cr_assert(eq(str, f.ran, (char *)names));
}

Test(scheduler_manual, the_most_urgent_job_runs_first)
{
    struct job jobs[JOB_PRIORITY_COUNT];
    static const char *const names[] = {"0", "1", "2", "3", "4", "5"};

    cr_assert(scheduler_is_manual(f.scheduler));
    for (int i = JOB_PRIORITY_COUNT - 1; i >= 0; i--) {
        job_init(&jobs[i], names[i], (enum job_priority)i, note);
        scheduler_submit(f.scheduler, &jobs[i]);
    }
    run_all();
    assert_ran("012345");
    cr_assert(not(scheduler_run_one(f.scheduler)));
}

Test(scheduler_manual, jobs_of_one_priority_run_in_order)
{
    struct job a, b, c;

    job_init(&a, "a", JOB_FLUSH, note);
    job_init(&b, "b", JOB_FLUSH, note);
    job_init(&c, "c", JOB_FLUSH, note);
    scheduler_submit(f.scheduler, &a);
    scheduler_submit(f.scheduler, &b);
    scheduler_submit(f.scheduler, &c);
    scheduler_submit(f.scheduler, &a); // queued already
    run_all();
    assert_ran("abc");
}

static unsigned more;

static void note_and_submit_itself(struct job *job)
{
    note(job);
    if (more > 0) {
        more--;
        scheduler_submit(f.scheduler, job);
        scheduler_submit(f.scheduler, job);
    }
}

Test(scheduler_manual, a_running_job_may_submit_itself)
{
    struct job a;

    job_init(&a, "a", JOB_COMPACT, note_and_submit_itself);
    more = 3;
    scheduler_submit(f.scheduler, &a);
    cr_assert(scheduler_run_one(f.scheduler));
    assert_ran("a");
    run_all();
    assert_ran("aaaa");
}

Test(scheduler_manual, a_delayed_job_waits_for_its_time)
{
    struct job a, b, c;

    job_init(&a, "a", JOB_FLUSH, note);
    job_init(&b, "b", JOB_WRITER, note);
    job_init(&c, "c", JOB_FLUSH, note);
    scheduler_submit_after(f.scheduler, &a, 300);
    scheduler_submit_after(f.scheduler, &b, 100);
    scheduler_submit_after(f.scheduler, &c, 200);
    run_all();
    assert_ran("");
    sim_advance(f.sim, 100);
    run_all();
    assert_ran("b");
    sim_advance(f.sim, 500);
    run_all();
    assert_ran("bca");
}

Test(scheduler_manual, the_sooner_of_two_times_counts)
{
    struct job a, b;

    job_init(&a, "a", JOB_FLUSH, note);
    job_init(&b, "b", JOB_FLUSH, note);
    scheduler_submit_after(f.scheduler, &a, 300);
    scheduler_submit_after(f.scheduler, &a, 100);
    scheduler_submit_after(f.scheduler, &b, 100);
    scheduler_submit_after(f.scheduler, &b, 300);
    sim_advance(f.sim, 100);
    run_all();
    assert_ran("ab");

    scheduler_submit_after(f.scheduler, &a, 100);
    scheduler_submit(f.scheduler, &a); // becomes due
    scheduler_submit_after(f.scheduler, &a, 100);
    run_all();
    assert_ran("aba");
    sim_advance(f.sim, 1000);
    run_all();
    assert_ran("aba");
    scheduler_submit_after(f.scheduler, &a, 0);
    run_all();
    assert_ran("abaa");
}

static void note_and_come_back_later(struct job *job)
{
    note(job);
    if (more > 0) {
        more--;
        scheduler_submit_after(f.scheduler, job, 100);
    }
}

Test(scheduler_manual, a_running_job_may_submit_itself_for_later)
{
    struct job a;

    job_init(&a, "a", JOB_SEGMENT, note_and_come_back_later);
    more = 1;
    scheduler_submit(f.scheduler, &a);
    run_all();
    assert_ran("a");
    sim_advance(f.sim, 100);
    run_all();
    assert_ran("aa");
}

Test(scheduler_manual, a_retired_job_never_runs)
{
    struct job a, b, c;

    job_init(&a, "a", JOB_FLUSH, note);
    job_init(&b, "b", JOB_FLUSH, note);
    job_init(&c, "c", JOB_FLUSH, note);
    scheduler_submit(f.scheduler, &a);
    scheduler_submit(f.scheduler, &b);
    scheduler_submit_after(f.scheduler, &c, 100);
    scheduler_retire(f.scheduler, &b);
    scheduler_retire(f.scheduler, &c);
    scheduler_submit(f.scheduler, &b);
    scheduler_submit_after(f.scheduler, &c, 1);
    sim_advance(f.sim, 1000);
    run_all();
    assert_ran("a");
}

Test(scheduler_manual, a_seed_chooses_among_the_queued_jobs)
{
    char first[2][64];
    bool differs = false;

    for (uint64_t seed = 0; seed < 20; seed++) {
        for (int again = 0; again < 2; again++) {
            struct job jobs[4];
            static const char *const names[] = {"a", "b", "c", "d"};

            f.ran[0] = '\0';
            scheduler_set_seed(f.scheduler, seed);
            for (int i = 0; i < 4; i++) {
                job_init(&jobs[i], names[i], (enum job_priority)i, note);
                scheduler_submit(f.scheduler, &jobs[i]);
            }
            run_all();
            cr_assert(eq(sz, strlen(f.ran), 4));
            memcpy(first[again], f.ran, sizeof f.ran);
        }
        cr_assert(eq(str, first[0], first[1]));
        differs |= strcmp(first[0], "abcd") != 0;
    }
    cr_assert(differs);
}

static struct mutex waiting_mu;

static void note_under_the_mutex(struct job *job)
{
    mutex_lock(&waiting_mu); // released by who waits
    note(job);
    mutex_unlock(&waiting_mu);
}

Test(scheduler_manual, a_wait_runs_the_next_job_instead)
{
    struct job a;
    struct cond cond;

    job_init(&a, "a", JOB_FLUSH, note_under_the_mutex);
    mutex_init(&waiting_mu, LOCK_WRITER);
    cond_init(&cond);
    scheduler_submit(f.scheduler, &a);
    mutex_lock(&waiting_mu);
    assert_ok(scheduler_wait(f.scheduler, &waiting_mu, &cond));
    mutex_assert_held(&waiting_mu);
    assert_ran("a");
    assert_status(scheduler_wait(f.scheduler, &waiting_mu, &cond), LSM_BUSY);
    scheduler_submit(f.scheduler, &a);
    scheduler_wait_until(f.scheduler, &waiting_mu, &cond, UINT64_MAX);
    assert_ran("aa");
    scheduler_wait_until(f.scheduler, &waiting_mu, &cond, UINT64_MAX); // nothing to run
    scheduler_submit(f.scheduler, &a);
    scheduler_wait_until(f.scheduler, &waiting_mu, &cond, 1); // is over
    assert_ran("aa");
    mutex_unlock(&waiting_mu);
    run_all();
    cond_release(&cond);
    mutex_release(&waiting_mu);
}

// --- on threads ---

struct counted {
    struct job job;
    struct mutex mu;
    struct cond cond;
    unsigned runs;
    bool is_blocked; // runs wait until it is false
    unsigned inside;
    unsigned inside_max;
};

static void run_counted(struct job *job)
{
    struct counted *c = (struct counted *)job;

    mutex_lock(&c->mu);
    c->inside++;
    c->inside_max = c->inside > c->inside_max ? c->inside : c->inside_max;
    c->runs++;
    cond_broadcast(&c->cond);
    while (c->is_blocked)
        cond_wait(&c->cond, &c->mu);
    c->inside--;
    mutex_unlock(&c->mu);
}

static void counted_init(struct counted *c, enum job_priority priority, bool is_blocked)
{
    *c = (struct counted){.is_blocked = is_blocked};
    job_init(&c->job, "counted", priority, run_counted);
    mutex_init(&c->mu, LOCK_LOG);
    cond_init(&c->cond);
}

static void counted_release(struct counted *c)
{
    cond_release(&c->cond);
    mutex_release(&c->mu);
}

static void await_runs(struct counted *c, unsigned runs)
{
    mutex_lock(&c->mu);
    while (c->runs < runs)
        cond_wait(&c->cond, &c->mu);
    mutex_unlock(&c->mu);
}

static unsigned runs_of(struct counted *c)
{
    unsigned runs;

    mutex_lock(&c->mu);
    runs = c->runs;
    mutex_unlock(&c->mu);
    return runs;
}

static void unblock(struct counted *c)
{
    mutex_lock(&c->mu);
    c->is_blocked = false;
    cond_broadcast(&c->cond);
    mutex_unlock(&c->mu);
}

static struct scheduler *threaded(unsigned workers)
{
    struct scheduler *scheduler = NULL;

    assert_ok(scheduler_new_threaded(env_posix(), workers, &scheduler));
    cr_assert(not(scheduler_is_manual(scheduler)));
    return scheduler;
}

Test(scheduler_threaded, a_submitted_job_runs, .timeout = 600)
{
    struct scheduler *s = threaded(2);
    struct counted c;

    counted_init(&c, JOB_COMPACT, false);
    for (unsigned i = 1; i <= 100; i++) {
        scheduler_submit(s, &c.job);
        await_runs(&c, i);
    }
    scheduler_retire(s, &c.job);
    scheduler_free(s);
    counted_release(&c);
}

Test(scheduler_threaded, a_job_submitted_while_it_runs_runs_again_and_not_twice, .timeout = 600)
{
    struct scheduler *s = threaded(3);
    struct counted c;

    counted_init(&c, JOB_FLUSH, true);
    scheduler_submit(s, &c.job);
    await_runs(&c, 1);
    for (int i = 0; i < 10; i++)
        scheduler_submit(s, &c.job);
    cr_assert(eq(uint, runs_of(&c), 1));
    unblock(&c);
    await_runs(&c, 2);
    scheduler_retire(s, &c.job);
    cr_assert(eq(uint, c.runs, 2));
    cr_assert(eq(uint, c.inside_max, 1));
    scheduler_free(s);
    counted_release(&c);
}

Test(scheduler_threaded, merges_leave_a_worker_to_the_flush, .timeout = 600)
{
    struct scheduler *s = threaded(2);
    struct counted merges[2];
    struct counted flush;
    struct counted writer;

    counted_init(&merges[0], JOB_COMPACT, true);
    counted_init(&merges[1], JOB_COMPACT_L0, true);
    counted_init(&flush, JOB_FLUSH, false);
    counted_init(&writer, JOB_WRITER, false);
    scheduler_submit(s, &merges[0].job);
    await_runs(&merges[0], 1);
    scheduler_submit(s, &merges[1].job);
    scheduler_submit(s, &flush.job);
    await_runs(&flush, 1);
    scheduler_submit(s, &writer.job);
    await_runs(&writer, 1);
    cr_assert(eq(uint, runs_of(&merges[1]), 0));
    unblock(&merges[0]);
    await_runs(&merges[1], 1);
    unblock(&merges[1]);
    for (int i = 0; i < 2; i++)
        scheduler_retire(s, &merges[i].job);
    scheduler_retire(s, &flush.job);
    scheduler_retire(s, &writer.job);
    scheduler_free(s);
    counted_release(&merges[0]);
    counted_release(&merges[1]);
    counted_release(&flush);
    counted_release(&writer);
}

Test(scheduler_threaded, the_writer_is_not_behind_others, .timeout = 600)
{
    struct scheduler *s = threaded(2);
    struct counted flushes[2];
    struct counted writer;

    for (int i = 0; i < 2; i++) {
        counted_init(&flushes[i], JOB_FLUSH, true);
        scheduler_submit(s, &flushes[i].job);
        await_runs(&flushes[i], 1);
    }
    counted_init(&writer, JOB_WRITER, false);
    scheduler_submit(s, &writer.job);
    await_runs(&writer, 1);
    scheduler_submit_after(s, &writer.job, MS);
    await_runs(&writer, 2);
    for (int i = 0; i < 2; i++) {
        unblock(&flushes[i]);
        scheduler_retire(s, &flushes[i].job);
        counted_release(&flushes[i]);
    }
    scheduler_retire(s, &writer.job);
    scheduler_free(s);
    counted_release(&writer);
}

Test(scheduler_threaded, a_delayed_job_runs_when_it_is_due, .timeout = 600)
{
    struct scheduler *s = threaded(2);
    struct counted late;
    struct counted soon;
    uint64_t start = clock_mono_ns(env_posix());

    counted_init(&late, JOB_SEGMENT, false);
    counted_init(&soon, JOB_SEGMENT, false);
    scheduler_submit_after(s, &late.job, 3600 * 1000 * MS);
    scheduler_submit_after(s, &soon.job, 20 * MS); // sooner than what is waited for
    await_runs(&soon, 1);
    cr_assert(ge(u64, clock_mono_ns(env_posix()) - start, 20 * MS));
    cr_assert(eq(uint, runs_of(&late), 0));
    scheduler_retire(s, &late.job);
    scheduler_retire(s, &soon.job);
    scheduler_free(s);
    counted_release(&late);
    counted_release(&soon);
}

// A delayed job must not be forgotten when the thread that keeps the time is the
// one that takes the next job. Which thread that is changes from round to round.
Test(scheduler_threaded, the_time_is_kept_while_a_worker_is_busy, .timeout = 600)
{
    struct scheduler *s = threaded(2);
    struct counted other;
    struct counted timed;

    counted_init(&other, JOB_SEGMENT, false);
    counted_init(&timed, JOB_FLUSH, false);
    for (unsigned round = 1; round <= 40; round++) {
        struct counted busy;

        counted_init(&busy, JOB_FLUSH, true);
        scheduler_submit_after(s, &timed.job, 5 * MS);
        scheduler_submit_after(s, &other.job, MS + round % 2);
        await_runs(&other, round);
        scheduler_submit(s, &busy.job);
        await_runs(&busy, 1);
        await_runs(&timed, round);
        unblock(&busy);
        scheduler_retire(s, &busy.job);
        counted_release(&busy);
    }
    scheduler_retire(s, &other.job);
    scheduler_retire(s, &timed.job);
    scheduler_free(s);
    counted_release(&other);
    counted_release(&timed);
}

struct retiring {
    struct scheduler *scheduler;
    struct counted *counted;
    _Atomic bool is_done;
};

static void retire(void *ctx)
{
    struct retiring *r = ctx;

    scheduler_retire(r->scheduler, &r->counted->job);
    atomic_store(&r->is_done, true);
}

Test(scheduler_threaded, retiring_waits_for_the_running_job, .timeout = 600)
{
    struct scheduler *s = threaded(2);
    struct counted c;
    struct retiring r = {.scheduler = s, .counted = &c};
    struct thread thread;

    counted_init(&c, JOB_FLUSH, true);
    scheduler_submit(s, &c.job);
    await_runs(&c, 1);
    scheduler_submit(s, &c.job); // forgotten by retiring
    assert_ok(thread_start(&thread, "retire", retire, &r));
    cr_assert(not(atomic_load(&r.is_done)));
    unblock(&c);
    thread_join(&thread);
    cr_assert(atomic_load(&r.is_done));
    cr_assert(eq(uint, c.inside, 0));
    scheduler_free(s);
    counted_release(&c);
}

Test(scheduler_threaded, a_wait_ends_with_the_signal_or_the_deadline, .timeout = 600)
{
    struct scheduler *s = threaded(2);
    struct counted c;

    counted_init(&c, JOB_FLUSH, false);
    mutex_lock(&c.mu);
    scheduler_submit(s, &c.job);
    while (c.runs == 0)
        assert_ok(scheduler_wait(s, &c.mu, &c.cond));
    scheduler_wait_until(s, &c.mu, &c.cond, clock_mono_ns(env_posix()) + MS);
    scheduler_wait_until(s, &c.mu, &c.cond, 0);
    mutex_unlock(&c.mu);
    scheduler_retire(s, &c.job);
    scheduler_free(s);
    counted_release(&c);
}

Test(scheduler_threaded, it_needs_memory)
{
    struct scheduler *s = NULL;

    cr_assert(alloc_fault_install());
    alloc_fault_at(1, true);
    assert_status(scheduler_new_threaded(env_posix(), 2, &s), LSM_NO_MEMORY);
    assert_status(scheduler_new_manual(env_posix(), &s), LSM_NO_MEMORY);
    alloc_fault_at(0, false);
    scheduler_free(s);
    cr_assert(s == NULL);
}
