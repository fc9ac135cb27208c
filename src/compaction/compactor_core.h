// compactor_core.h -- the inside of the compactor, for the sources that make it up:
// compactor, compactor_merge and compactor_range.

#ifndef LSM_COMPACTION_COMPACTOR_CORE_H
#define LSM_COMPACTION_COMPACTOR_CORE_H

#include "compaction/compactor.h"
#include "compaction/course.h"
#include "compaction/picker.h"
#include "compaction/quarantine.h"

// One of the jobs that merge.
struct merger {
    struct job job; // first: a job is its merger
    struct compactor *compactor;
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
    struct compaction_range range;
    bool is_rewrite;
    uint64_t id_end; // of a rewrite
};

// --- compactor.c: waiting and telling ---

// Counts a change, and wakes who waits for one. The caller holds `mu`.
void compactor_change_locked(struct compactor *c);
uint64_t compactor_change_count(struct compactor *c);
// Waits until something has changed since the count was `seen`.
lsm_status compactor_wait_for_change(struct compactor *c, uint64_t seen);
// Why nobody should wait any longer.
lsm_status compactor_check_running(struct compactor *c);

// Tells the owner that the view has changed. No lock is held.
void compactor_tell_changed(struct compactor *c);
// Counts a failure and writes it to the event log.
void compactor_report_failure(struct compactor *c, const char *job, const struct failure *failure);
// Has the jobs that merge look for work, all of them or all but one.
void compactor_submit_mergers(struct compactor *c, const struct merger *but);

// --- compactor_merge.c ---

// The next compaction, of `request` or, when it is NULL, by need; with `occupy`, begun.
// `*out` is NULL when there is nothing to do.
lsm_status compactor_pick(struct compactor *c, const struct range_request *request, bool occupy,
                          struct compaction **out);
// Runs a compaction that has been begun, and frees it. `*delay_ns` is how long to wait
// before the next merge: 0 unless a resource is short.
lsm_status compactor_run_merge(struct compactor *c, struct compaction *compaction,
                               uint64_t *delay_ns);

#endif
