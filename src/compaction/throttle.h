// throttle.h -- back-pressure: what a writer pays before it is queued.
//
// A delay per byte that follows the debt, so that writers slow down smoothly to the
// pace of merging instead of stopping; a hard stop only at several times the target.

#ifndef LSM_COMPACTION_THROTTLE_H
#define LSM_COMPACTION_THROTTLE_H

#include "compaction/level_targets.h"

enum stall_cause {
    STALL_NONE,
    STALL_MEMTABLE, // memtables wait for a flush
    STALL_LEVEL0,   // level 0 has too many tables
    STALL_DEBT,     // bytes wait to be merged
    STALL_LOG,      // the unflushed log is at its bound
    STALL_CAUSE_COUNT,
};

const char *stall_cause_name(enum stall_cause cause);

struct throttle_stats {
    _Atomic uint64_t delay_ns[STALL_CAUSE_COUNT];
    _Atomic uint64_t delay_count[STALL_CAUSE_COUNT];
    _Atomic uint64_t stop_count[STALL_CAUSE_COUNT];
};

struct throttle;

lsm_status throttle_new(struct engine *engine, struct throttle **out);
void throttle_free(struct throttle *throttle);

// Bytes that all memtables together may hold.
static inline uint64_t throttle_memory_max(const struct engine_options *options)
{
    return 2 * atomic_load_explicit(&options->memtable_size, memory_order_relaxed);
}

// Bytes of log that may wait to be flushed before writers are slowed: what a replay reads.
static inline uint64_t throttle_log_bytes_max(const struct engine_options *options)
{
    const uint64_t memory_max = throttle_memory_max(options);
    const uint64_t min = atomic_load_explicit(&options->log_bytes_min, memory_order_relaxed);

    return memory_max > min ? memory_max : min;
}

// Recomputes the state from the current view and options; called at every change of either,
// by any thread, with no lock of a rank above LOCK_LOG held.
void throttle_update(struct throttle *throttle);

// What `bytes` of writes must wait now: nanoseconds of delay and its cause, or
// `*is_stopped`. Reads one atomic when there is no pressure. Any thread.
uint64_t throttle_delay_ns(struct throttle *throttle, uint64_t bytes, enum stall_cause *cause,
                           bool *is_stopped);
struct throttle_stats *throttle_stats(struct throttle *throttle);

#endif
