// env_scheduler.c -- many threads submit, delay, retire and wait for jobs.

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "env/scheduler.h"
#include "support/random.h"

enum { JOBS = 24, THREADS = 4, WORKERS = 3, STEPS = 20000, ROUNDS = 8 };

// A job adds what was asked for since its last run to what it has done: nothing
// asked for may remain undone, and no two runs overlap.
struct task {
    struct job job;
    struct scheduler *scheduler;
    _Atomic uint64_t asked;
    _Atomic uint64_t again; // times to submit itself

    struct mutex mu;
    struct cond cond;
    uint64_t done;

    uint64_t runs; // of the running job alone: the scheduler orders the runs
};

struct submitter {
    struct thread thread;
    struct task *tasks;
    uint64_t seed;
};

static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static void run_task(struct job *job)
{
    struct task *task = (struct task *)job;
    uint64_t asked = atomic_load(&task->asked);
    uint64_t again = atomic_load(&task->again);

    task->runs++;
    if (again > 0 && atomic_compare_exchange_strong(&task->again, &again, again - 1))
        scheduler_submit(task->scheduler, job);
    mutex_lock(&task->mu);
    task->done = asked;
    cond_broadcast(&task->cond);
    mutex_unlock(&task->mu);
}

static void submit(struct task *task, struct random *random)
{
    atomic_fetch_add(&task->asked, 1);
    if (random_one_in(random, 4))
        scheduler_submit_after(task->scheduler, &task->job, random_below(random, 300000));
    else
        scheduler_submit(task->scheduler, &task->job);
    if (random_one_in(random, 16))
        atomic_fetch_add(&task->again, 1);
}

static void await_done(struct task *task)
{
    uint64_t asked = atomic_load(&task->asked);

    mutex_lock(&task->mu);
    while (task->done < asked)
        check(scheduler_wait(task->scheduler, &task->mu, &task->cond) == LSM_OK, "wait");
    mutex_unlock(&task->mu);
}

static void run_submitter(void *ctx)
{
    struct submitter *submitter = ctx;
    struct random random = {.state = submitter->seed};

    for (int i = 0; i < STEPS; i++) {
        struct task *task = &submitter->tasks[random_below(&random, JOBS)];

        submit(task, &random);
        if (random_one_in(&random, 50))
            await_done(task);
    }
}

static void run_round(uint64_t seed)
{
    static struct task tasks[JOBS];
    static struct submitter submitters[THREADS];
    struct random random = {.state = seed};
    struct scheduler *scheduler;
    uint64_t runs = 0;

    check(scheduler_new_threaded(env_posix(), WORKERS, &scheduler) == LSM_OK, "new");
    for (int i = 0; i < JOBS; i++) {
        tasks[i] = (struct task){.scheduler = scheduler};
        job_init(&tasks[i].job, "task", (enum job_priority)(i % JOB_PRIORITY_COUNT), run_task);
        mutex_init(&tasks[i].mu, LOCK_LOG);
        cond_init(&tasks[i].cond);
    }
    for (int i = 0; i < THREADS; i++) {
        submitters[i] = (struct submitter){.tasks = tasks, .seed = random_next(&random)};
        check(thread_start(&submitters[i].thread, "submitter", run_submitter, &submitters[i]) ==
                  LSM_OK,
              "thread");
    }
    for (int i = 0; i < THREADS; i++)
        thread_join(&submitters[i].thread);
    for (int i = 0; i < JOBS; i++) {
        // Half of the jobs are retired with what they have to do undone.
        if (i % 2 == 0)
            await_done(&tasks[i]);
        submit(&tasks[i], &random);
        scheduler_retire(scheduler, &tasks[i].job);
        scheduler_submit(scheduler, &tasks[i].job);
        check(tasks[i].job.state == JOB_IDLE, "a retired job is idle");
        runs += tasks[i].runs;
    }
    scheduler_free(scheduler);
    for (int i = 0; i < JOBS; i++) {
        cond_release(&tasks[i].cond);
        mutex_release(&tasks[i].mu);
    }
    printf("%llu runs of %d jobs\n", (unsigned long long)runs, JOBS);
}

int main(void)
{
    struct random random = random_for_test("env_scheduler");

    for (int i = 0; i < ROUNDS; i++)
        run_round(random_next(&random));
    return 0;
}
