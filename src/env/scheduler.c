// Threads are grouped in two lanes: the writer's, with one thread for JOB_WRITER,
// and the general one. A job waits in the queue of its priority or, while it is
// delayed, in its lane's list ordered by due time. Of the idle threads of a lane
// one, the timekeeper, waits for the first due time; the others, and all when
// nothing is delayed, wait without limit.
//
// No wake-up is lost: all state changes under the mutex, whatever makes a job
// runnable signals its lane, a thread looks at everything again before it waits,
// and the timekeeper that leaves to run a job wakes another thread to keep time.
// A signal that finds no waiting thread is not needed: each busy one looks again
// when its job is done.

#include "env/scheduler.h"

#include <assert.h>
#include <stdio.h>

#include "base/alloc.h"

enum lane_kind { LANE_WRITER, LANE_GENERAL, LANE_COUNT };

struct lane {
    struct scheduler *scheduler;
    enum job_priority first; // the priorities of its jobs,
    enum job_priority end;   // this one excluded
    struct cond work;        // a job to run, a new first due time, or the end
    struct job *delayed;     // earliest first
    bool has_timekeeper;
    unsigned idle_count; // threads that run no job
};

struct queue {
    struct job *oldest;
    struct job *newest;
};

struct scheduler {
    struct env *env; // immutable, like the next one
    bool is_manual;

    struct mutex mu; // rank LOCK_SCHEDULER; guards all below but the threads
    struct lane lanes[LANE_COUNT];
    struct queue queues[JOB_PRIORITY_COUNT];
    struct cond done; // a retired job has stopped running
    bool is_stopping;
    bool has_seed; // of the manual scheduler's choices
    uint64_t seed;

    // Changed by scheduler_new_threaded() and scheduler_free() only.
    unsigned thread_count;
    struct thread threads[];
};

// --- the queues ---

static void queue_push(struct queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->newest != NULL)
        queue->newest->next = job;
    else
        queue->oldest = job;
    queue->newest = job;
}

static bool queue_remove(struct queue *queue, struct job *job)
{
    struct job *previous = NULL;

    for (struct job *at = queue->oldest; at != NULL; previous = at, at = at->next) {
        if (at != job)
            continue;
        if (previous != NULL)
            previous->next = job->next;
        else
            queue->oldest = job->next;
        if (queue->newest == job)
            queue->newest = previous;
        return true;
    }
    return false;
}

static void delayed_insert(struct lane *lane, struct job *job)
{
    struct job **at = &lane->delayed;

    while (*at != NULL && (*at)->due_ns <= job->due_ns)
        at = &(*at)->next;
    job->next = *at;
    *at = job;
}

static void delayed_remove(struct lane *lane, struct job *job)
{
    struct job **at = &lane->delayed;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
}

static struct lane *lane_of(struct scheduler *s, const struct job *job)
{
    return &s->lanes[job->priority == JOB_WRITER ? LANE_WRITER : LANE_GENERAL];
}

// Queues `job`, which is in no list: for now when `due_ns` is 0, else for then.
static void enqueue_locked(struct scheduler *s, struct job *job, uint64_t due_ns)
{
    struct lane *lane = lane_of(s, job);

    job->state = JOB_QUEUED;
    job->due_ns = due_ns;
    if (due_ns == 0) {
        queue_push(&s->queues[job->priority], job);
        cond_signal(&lane->work);
        return;
    }
    delayed_insert(lane, job);
    if (lane->delayed == job)
        cond_broadcast(&lane->work); // to reach the timekeeper among the waiting
}

static void dequeue_locked(struct scheduler *s, struct job *job)
{
    assert(job->state == JOB_QUEUED);
    if (job->due_ns != 0) {
        delayed_remove(lane_of(s, job), job);
    } else {
        bool was_queued = queue_remove(&s->queues[job->priority], job);

        assert(was_queued);
        (void)was_queued;
    }
    job->state = JOB_IDLE;
    job->due_ns = 0;
    job->next = NULL;
}

// Queues the delayed jobs whose time has come.
static void promote_locked(struct scheduler *s, struct lane *lane)
{
    uint64_t now_ns;

    if (lane->delayed == NULL)
        return;
    now_ns = clock_mono_ns(s->env);
    while (lane->delayed != NULL && lane->delayed->due_ns <= now_ns) {
        struct job *job = lane->delayed;

        dequeue_locked(s, job);
        enqueue_locked(s, job, 0);
    }
}

// --- running a job ---

static void begin_locked(struct scheduler *s, struct job *job)
{
    dequeue_locked(s, job);
    job->state = JOB_RUNNING;
}

// The owner of a retired job may free it as soon as the mutex is released.
static void finish_locked(struct scheduler *s, struct job *job)
{
    bool runs_again = job->state == JOB_RUNNING_AGAIN;

    job->state = JOB_IDLE;
    if (job->is_retired)
        cond_broadcast(&s->done);
    else if (runs_again)
        enqueue_locked(s, job, job->due_ns);
}

// The most urgent job that a thread of `lane` may take, or NULL.
static struct job *next_job_locked(struct scheduler *s, const struct lane *lane)
{
    for (enum job_priority p = lane->first; p < lane->end; p++) {
        if (p >= JOB_COMPACT_L0 && lane->idle_count < 2)
            break; // the last idle worker is kept for what is urgent
        if (s->queues[p].oldest != NULL)
            return s->queues[p].oldest;
    }
    return NULL;
}

static void wait_for_work_locked(struct scheduler *s, struct lane *lane)
{
    uint64_t now_ns;

    if (lane->delayed == NULL || lane->has_timekeeper) {
        cond_wait(&lane->work, &s->mu);
        return;
    }
    now_ns = clock_mono_ns(s->env);
    if (lane->delayed->due_ns <= now_ns)
        return;
    lane->has_timekeeper = true;
    (void)cond_wait_for(&lane->work, &s->mu, lane->delayed->due_ns - now_ns);
    lane->has_timekeeper = false;
}

static void run_threaded_locked(struct scheduler *s, struct lane *lane, struct job *job)
{
    begin_locked(s, job);
    lane->idle_count--;
    if (lane->delayed != NULL && !lane->has_timekeeper)
        cond_signal(&lane->work);
    mutex_unlock(&s->mu);
    job->run(job);
    mutex_lock(&s->mu);
    lane->idle_count++;
    finish_locked(s, job);
}

static void thread_run(void *ctx)
{
    struct lane *lane = ctx;
    struct scheduler *s = lane->scheduler;

    mutex_lock(&s->mu);
    while (!s->is_stopping) {
        struct job *job;

        promote_locked(s, lane);
        job = next_job_locked(s, lane);
        if (job != NULL)
            run_threaded_locked(s, lane, job);
        else
            wait_for_work_locked(s, lane);
    }
    mutex_unlock(&s->mu);
}

// --- life ---

void job_init(struct job *job, const char *name, enum job_priority priority,
              void (*run)(struct job *job))
{
    assert(priority < JOB_PRIORITY_COUNT);
    *job = (struct job){.name = name, .priority = priority, .run = run, .state = JOB_IDLE};
}

static lsm_status scheduler_new(struct env *env, unsigned thread_count, struct scheduler **out)
{
    size_t size = sizeof(struct scheduler) + thread_count * sizeof(struct thread);
    struct scheduler *s = mem_alloc_zeroed(1, size);

    if (s == NULL)
        return lsm_fail(LSM_NO_MEMORY, "scheduler: %zu bytes", size);
    s->env = env;
    s->is_manual = thread_count == 0;
    mutex_init(&s->mu, LOCK_SCHEDULER);
    cond_init(&s->done);
    s->lanes[LANE_WRITER].first = JOB_WRITER;
    s->lanes[LANE_WRITER].end = JOB_WRITER + 1;
    s->lanes[LANE_GENERAL].first = JOB_WRITER + 1;
    s->lanes[LANE_GENERAL].end = JOB_PRIORITY_COUNT;
    for (int i = 0; i < LANE_COUNT; i++) {
        s->lanes[i].scheduler = s;
        cond_init(&s->lanes[i].work);
    }
    *out = s;
    return LSM_OK;
}

static lsm_status start_thread(struct scheduler *s, const char *name, struct lane *lane)
{
    TRY(thread_start(&s->threads[s->thread_count], name, thread_run, lane));
    s->thread_count++;
    return LSM_OK;
}

static void scheduler_freep(struct scheduler **scheduler)
{
    scheduler_free(*scheduler);
}

lsm_status scheduler_new_threaded(struct env *env, unsigned worker_count, struct scheduler **out)
{
    CLEANUP(scheduler_freep) struct scheduler *s = NULL;
    char name[16];

    assert(worker_count >= 2);
    TRY(scheduler_new(env, worker_count + 1, &s));
    // Set before a thread can look at it.
    s->lanes[LANE_WRITER].idle_count = 1;
    s->lanes[LANE_GENERAL].idle_count = worker_count;
    TRY(start_thread(s, "lsm-writer", &s->lanes[LANE_WRITER]));
    for (unsigned i = 0; i < worker_count; i++) {
        (void)snprintf(name, sizeof name, "lsm-worker-%u", i % 1000);
        TRY(start_thread(s, name, &s->lanes[LANE_GENERAL]));
    }
    *out = MOVE(s);
    return LSM_OK;
}

lsm_status scheduler_new_manual(struct env *env, struct scheduler **out)
{
    return scheduler_new(env, 0, out);
}

bool scheduler_is_manual(const struct scheduler *scheduler)
{
    return scheduler->is_manual;
}

void scheduler_free(struct scheduler *s)
{
    if (s == NULL)
        return;
    mutex_lock(&s->mu);
    s->is_stopping = true;
    for (int i = 0; i < LANE_COUNT; i++)
        cond_broadcast(&s->lanes[i].work);
    mutex_unlock(&s->mu);
    for (unsigned i = 0; i < s->thread_count; i++)
        thread_join(&s->threads[i]);
    for (int i = 0; i < JOB_PRIORITY_COUNT; i++)
        assert(s->queues[i].oldest == NULL);
    for (int i = 0; i < LANE_COUNT; i++) {
        assert(s->lanes[i].delayed == NULL);
        cond_release(&s->lanes[i].work);
    }
    cond_release(&s->done);
    mutex_release(&s->mu);
    mem_free(s);
}

// --- submitting and retiring ---

// Has `job` run at `due_ns`, 0 for now, or when it is queued for already,
// whichever is sooner: 0 is the soonest.
static void submit_locked(struct scheduler *s, struct job *job, uint64_t due_ns)
{
    if (job->is_retired)
        return;
    switch (job->state) {
    case JOB_IDLE:
        enqueue_locked(s, job, due_ns);
        break;
    case JOB_QUEUED:
        if (due_ns < job->due_ns) {
            dequeue_locked(s, job);
            enqueue_locked(s, job, due_ns);
        }
        break;
    case JOB_RUNNING:
        job->state = JOB_RUNNING_AGAIN;
        job->due_ns = due_ns;
        break;
    case JOB_RUNNING_AGAIN:
        if (due_ns < job->due_ns)
            job->due_ns = due_ns;
        break;
    }
}

void scheduler_submit(struct scheduler *s, struct job *job)
{
    mutex_lock(&s->mu);
    submit_locked(s, job, 0);
    mutex_unlock(&s->mu);
}

void scheduler_submit_after(struct scheduler *s, struct job *job, uint64_t delay_ns)
{
    uint64_t now_ns = clock_mono_ns(s->env);
    uint64_t due_ns = delay_ns < UINT64_MAX - now_ns ? now_ns + delay_ns : UINT64_MAX;

    mutex_lock(&s->mu);
    submit_locked(s, job, delay_ns == 0 ? 0 : due_ns);
    mutex_unlock(&s->mu);
}

void scheduler_retire(struct scheduler *s, struct job *job)
{
    mutex_lock(&s->mu);
    job->is_retired = true;
    if (job->state == JOB_QUEUED)
        dequeue_locked(s, job);
    // finish_locked() makes it idle and wakes us in one piece under the mutex.
    while (job->state != JOB_IDLE) {
        assert(!s->is_manual && "a job of the manual scheduler is retired by another one");
        cond_wait(&s->done, &s->mu);
    }
    mutex_unlock(&s->mu);
}

// --- waiting ---

// Manual: makes progress, with the caller's mutex released.
static bool run_instead_of_waiting(struct scheduler *s, struct mutex *mu)
{
    bool has_run;

    mutex_assert_held(mu);
    mutex_unlock(mu);
    has_run = scheduler_run_one(s);
    mutex_lock(mu);
    return has_run;
}

lsm_status scheduler_wait(struct scheduler *s, struct mutex *mu, struct cond *cond)
{
    if (!s->is_manual) {
        cond_wait(cond, mu);
        return LSM_OK;
    }
    if (!run_instead_of_waiting(s, mu))
        return lsm_fail(LSM_BUSY, "waiting for background work, and no job is queued");
    return LSM_OK;
}

void scheduler_wait_until(struct scheduler *s, struct mutex *mu, struct cond *cond,
                          uint64_t deadline_ns)
{
    uint64_t now_ns = clock_mono_ns(s->env);

    if (now_ns >= deadline_ns)
        return;
    if (s->is_manual)
        (void)run_instead_of_waiting(s, mu);
    else
        (void)cond_wait_for(cond, mu, deadline_ns - now_ns);
}

// --- the manual scheduler ---

// A pseudo-random number (splitmix64).
static uint64_t next_random_locked(struct scheduler *s)
{
    uint64_t z = s->seed += 0x9E3779B97F4A7C15;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

// The `index`-th queued job, the most urgent being the first; NULL beyond.
static struct job *queued_job_locked(struct scheduler *s, size_t index)
{
    for (int p = 0; p < JOB_PRIORITY_COUNT; p++) {
        for (struct job *job = s->queues[p].oldest; job != NULL; job = job->next) {
            if (index-- == 0)
                return job;
        }
    }
    return NULL;
}

static struct job *choose_job_locked(struct scheduler *s)
{
    size_t count = 0;

    if (!s->has_seed)
        return queued_job_locked(s, 0);
    while (queued_job_locked(s, count) != NULL)
        count++;
    return count == 0 ? NULL : queued_job_locked(s, next_random_locked(s) % count);
}

bool scheduler_run_one(struct scheduler *s)
{
    struct job *job;

    assert(s->is_manual);
    mutex_lock(&s->mu);
    for (int i = 0; i < LANE_COUNT; i++)
        promote_locked(s, &s->lanes[i]);
    job = choose_job_locked(s);
    if (job != NULL) {
        begin_locked(s, job);
        mutex_unlock(&s->mu);
        job->run(job);
        mutex_lock(&s->mu);
        finish_locked(s, job);
    }
    mutex_unlock(&s->mu);
    return job != NULL;
}

void scheduler_set_seed(struct scheduler *s, uint64_t seed)
{
    mutex_lock(&s->mu);
    s->has_seed = true;
    s->seed = seed;
    mutex_unlock(&s->mu);
}
