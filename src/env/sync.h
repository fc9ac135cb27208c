// sync.h -- mutexes with ranks, conditions, threads.
//
// Every mutex has a rank, and a thread takes mutexes in increasing rank only;
// debug builds assert it on every acquisition. No mutex is held across I/O but those that
// have what changes a database's keyspaces and options wait its turn (LOCK_DB), the
// manifest's (LOCK_MANIFEST), a segment's sync mutex (LOCK_SEGMENT_SYNC) and the event
// log's own (LOCK_EVENTLOG).

#ifndef LSM_ENV_SYNC_H
#define LSM_ENV_SYNC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

// Outermost first.
enum lock_rank {
    LOCK_DB,           // changes of keyspaces and of options; held across I/O
    LOCK_MANIFEST,     // edits one after the other; held across I/O
    LOCK_SEGMENT_SYNC, // syncs of one segment; held across I/O
    LOCK_VERSIONS,     // the current view
    LOCK_COMPACTION,   // what is being compacted
    LOCK_WRITER,       // the queue of commit requests
    LOCK_LOG,          // the set of segments
    LOCK_ORACLE,       // commit history, snapshots
    LOCK_TABLES,       // open tables and descriptors
    LOCK_CACHE,        // one shard of the block cache
    LOCK_SCHEDULER,    // the queues of jobs
    LOCK_POISON,       // first cause
    LOCK_EVENTLOG,     // the event log file
    LOCK_LEAF,         // takes nothing inside
};

struct mutex {
    pthread_mutex_t native;
    enum lock_rank rank;
};

// Initialisation cannot fail on the platforms supported; should it, it aborts no
// data and is asserted.
void mutex_init(struct mutex *mu, enum lock_rank rank);
void mutex_release(struct mutex *mu);
void mutex_lock(struct mutex *mu);
bool mutex_try_lock(struct mutex *mu);
void mutex_unlock(struct mutex *mu);
// Asserts in debug builds that the calling thread holds `mu`.
void mutex_assert_held(const struct mutex *mu);

struct cond {
    pthread_cond_t native; // on CLOCK_MONOTONIC
};

void cond_init(struct cond *cond);
void cond_release(struct cond *cond);
void cond_wait(struct cond *cond, struct mutex *mu);
// False when `deadline_ns` of the monotonic clock has passed.
bool cond_wait_until(struct cond *cond, struct mutex *mu, uint64_t deadline_ns);
// The same, `timeout_ns` from now.
bool cond_wait_for(struct cond *cond, struct mutex *mu, uint64_t timeout_ns);
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

struct thread {
    pthread_t native;
    void (*run)(void *ctx);
    void *ctx;
    char name[16];
};

// Starts `run(ctx)` with all signals blocked. `thread` stays in place until
// thread_join(). LSM_BUSY when the system has no thread to give.
lsm_status thread_start(struct thread *thread, const char *name, void (*run)(void *ctx), void *ctx);
void thread_join(struct thread *thread);

#endif
