// scheduler.h -- who runs the background jobs, and when.
//
// A job is a function that does a bounded piece of work and says by submitting
// itself (or another job) that there is more. The *threaded* scheduler runs jobs
// on workers, most urgent first. The *manual* one has no threads: a test runs one
// job at a time, and a wait for background work runs a job instead.

#ifndef LSM_ENV_SCHEDULER_H
#define LSM_ENV_SCHEDULER_H

#include "env/env.h"
#include "env/sync.h"

// Most urgent first. Jobs of the first kind have a thread of their own; jobs from
// JOB_COMPACT_L0 on never take the last idle worker, so that a flush need not wait
// for a merge.
enum job_priority {
    JOB_WRITER,
    JOB_FLUSH,
    JOB_SEGMENT, // preparing and sealing segments, interval syncs
    JOB_RECLAIM, // short, and what bounds memory: no merge may hold it up
    JOB_COMPACT_L0,
    JOB_COMPACT,
    JOB_PRIORITY_COUNT,
};

enum job_state { JOB_IDLE, JOB_QUEUED, JOB_RUNNING, JOB_RUNNING_AGAIN };

// Embedded in its owner; owned by it from job_init() to scheduler_retire().
struct job {
    const char *name;
    enum job_priority priority;
    void (*run)(struct job *job);

    // The scheduler's, under its mutex.
    enum job_state state;
    bool is_retired;
    uint64_t due_ns; // of a delayed job, else 0
    struct job *next;
};

struct scheduler;

void job_init(struct job *job, const char *name, enum job_priority priority,
              void (*run)(struct job *job));

// `worker_count` general workers (at least 2), and a thread for JOB_WRITER.
lsm_status scheduler_new_threaded(struct env *env, unsigned worker_count, struct scheduler **out);
lsm_status scheduler_new_manual(struct env *env, struct scheduler **out);
bool scheduler_is_manual(const struct scheduler *scheduler);

// Stops and joins the workers. No job is queued or running. NULL is nothing.
void scheduler_free(struct scheduler *scheduler);

// Has `job` run once more from now on: a queued job stays queued, a running one
// runs again after it returns, a delayed one becomes due. A retired job is
// ignored. Never fails; may be called from a job and with any mutex of a lower
// rank than LOCK_SCHEDULER held.
void scheduler_submit(struct scheduler *scheduler, struct job *job);

// The same, `delay_ns` from now, unless the job is already queued for sooner.
void scheduler_submit_after(struct scheduler *scheduler, struct job *job, uint64_t delay_ns);

// Takes `job` out of the queues and waits until it does not run; it never runs
// again. Not from the job itself.
void scheduler_retire(struct scheduler *scheduler, struct job *job);

// A wait for something a job does. `mu` is held, and is the mutex under which the
// awaited state changes and `cond` is signalled. Threaded: waits on `cond`.
// Manual: releases `mu`, runs the next job, takes `mu` again; LSM_BUSY when no job
// is queued, for then nobody will make progress. Check the state again after
// LSM_OK.
lsm_status scheduler_wait(struct scheduler *scheduler, struct mutex *mu, struct cond *cond);

// The same until `deadline_ns` of the env's monotonic clock at the latest; the
// manual scheduler returns at once when no job is queued.
void scheduler_wait_until(struct scheduler *scheduler, struct mutex *mu, struct cond *cond,
                          uint64_t deadline_ns);

// Manual only: runs one queued job (a delayed one if it is due), the most urgent;
// with a seed set, one chosen by it. False when none is queued.
bool scheduler_run_one(struct scheduler *scheduler);
void scheduler_set_seed(struct scheduler *scheduler, uint64_t seed);

#endif
