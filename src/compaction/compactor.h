// compactor.h -- keeps the tree in shape: the jobs that flush and merge.

#ifndef LSM_COMPACTION_COMPACTOR_H
#define LSM_COMPACTION_COMPACTOR_H

#include "compaction/flush.h"
#include "compaction/merge_job.h"

struct compactor;

// `engine` outlives it. Up to `merge_count` merges at once.
lsm_status compactor_new(struct engine *engine, struct scheduler *scheduler, unsigned merge_count,
                         struct compactor **out);
// Ends running merges, waits for the jobs, frees. No thread waits in one of the
// functions below. NULL is nothing.
void compactor_free(struct compactor *compactor);

// `on_changed` is called, with no lock held, after a job has changed the view. Set
// before use by several threads.
void compactor_set_notify(struct compactor *compactor, void (*on_changed)(void *ctx), void *ctx);

// Something changed that may need work: a memtable became immutable, a table arrived,
// a snapshot went away, options changed, the poison was set. Cheap; any thread, with
// any mutex of a lower rank than LOCK_COMPACTION held.
void compactor_wake(struct compactor *compactor);

// Waits until no immutable memtable is left, or returns why flushing failed. Soft
// failures are tried again when space or memory may be back: at the next wake, and
// after a growing delay. Callers hold no lock.
lsm_status compactor_wait_flushed(struct compactor *compactor);

// Flushes, merges [from, to] of `keyspace` (0: all; NULL: open) down into the last
// level in use, and rewrites the tables there that hold what can be dropped. The
// merges run in the calling thread, beside those of the jobs.
lsm_status compactor_compact_range(struct compactor *compactor, uint32_t keyspace,
                                   const lsm_slice *from, const lsm_slice *to);
// Waits until nothing is left to flush or merge (to merge only while not paused), or
// returns why a job that began meanwhile failed.
lsm_status compactor_wait_idle(struct compactor *compactor);

// Stops picking new merges while held (holds count), for close and tests.
void compactor_pause(struct compactor *compactor);
void compactor_resume(struct compactor *compactor);

// The last failure of a job that has not succeeded since; LSM_OK when there is none.
lsm_status compactor_health(struct compactor *compactor);

// Of who waits for flushes, and looks at it now and then. Zeroed at first.
struct flush_wait {
    bool has_begun;
    uint64_t failure_count; // when it began
};

// Why waiting for flushes is in vain; LSM_OK while it is not. A failure from before the wait
// counts only if it is less than a fifth of a second old; an older one is tried again at once,
// for space or memory may be back. So who writes to a full device hears of it at once, whoever
// writes to one that has room again is not refused, and the device is not kept busy.
lsm_status compactor_check_flushing(struct compactor *compactor, struct flush_wait *wait);

#endif
