// stage.h -- the memory shared by a campaign and the processes that work for it.
//
// The campaign judges; a child process opens the database, works on it with many threads and
// is killed, or closes it. What its threads have seen lies here, and survives the child.

#ifndef LSM_TESTS_ISOLATION_STAGE_H
#define LSM_TESTS_ISOLATION_STAGE_H

#include "isolation/recorder.h"
#include "lsmkv.h"

#define WORKERS_MAX      16
#define RECORDER_MAIN    WORKERS_MAX       // of who opens the database
#define RECORDER_WATCHER (WORKERS_MAX + 1) // of long snapshots
#define RECORDERS        (WORKERS_MAX + 2)

#define EVENTS_PER_RECORDER ((size_t)1 << 18)

enum {
    COUNT_CONFLICTS,
    COUNT_ROLLBACKS,
    COUNT_TRANSFERS,
    COUNT_AUDITS,
    COUNT_ASYNC,      // commits not waited for at once
    COUNT_SNAPSHOTS,  // long ones
    COUNT_REPEATS,    // scans of them after the first
    COUNT_OVERWRITES, // commits while the longest-lived was open
    COUNT_KINDS,
};

struct stage {
    struct recorder recorders[RECORDERS];
    _Atomic uint64_t finished;            // transactions of all workers in the round; relaxed
    _Atomic uint32_t first_list;          // lists before it are full; relaxed
    _Atomic uint64_t counts[COUNT_KINDS]; // relaxed
    _Atomic bool is_over;                 // the epoch; relaxed
    _Atomic bool has_complaint;           // claims `complaint`
    char complaint[512];

    // Of the epoch; set before the child is made.
    uint64_t finished_max;     // it ends then
    uint64_t kill_at;          // the process is killed then; 0: never
    bool is_killed_before_ack; // with the outcome of that transaction not recorded
    struct event events[RECORDERS][EVENTS_PER_RECORDER];
};

// Maps a stage, empty. It is inherited by fork().
struct stage *stage_new(void);
void stage_free(struct stage *stage);

// In the child: leaves the words for the campaign, and the process.
_Noreturn void stage_complain(struct stage *stage, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Complains, with lsm_errmsg(), unless the status is LSM_OK.
void stage_must(struct stage *stage, lsm_status status, const char *what);

static inline uint64_t stage_count(struct stage *stage, unsigned kind, uint64_t by)
{
    return atomic_fetch_add_explicit(&stage->counts[kind], by, memory_order_relaxed);
}

static inline bool stage_is_over(struct stage *stage)
{
    return atomic_load_explicit(&stage->is_over, memory_order_relaxed) ||
           atomic_load_explicit(&stage->finished, memory_order_relaxed) >= stage->finished_max;
}

#endif
