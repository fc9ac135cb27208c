// crash_workload.h -- what is done to a database until it is crashed: scripts and seeded ones.

#ifndef LSM_TESTS_CRASH_CRASH_WORKLOAD_H
#define LSM_TESTS_CRASH_CRASH_WORKLOAD_H

#include "crash_history.h"
#include "db/db.h"
#include "support/random.h"
#include "support/sim.h"

#define CRASH_DIR "/db"
#define STEPS_MAX 24

// Sizes of values; the options below make them small, separated, and larger than a segment.
#define SMALL       40
#define SEPARATE    600
#define HUGE_VALUE  (20u << 10)
#define SEGMENT_MAX (16u << 10)

enum step_kind {
    STEP_PUT,    // `count` single puts
    STEP_DELETE, // `count` single deletions
    STEP_BATCH,  // one batch of `count` keys, every third deleted
    STEP_TXN,    // the same in a transaction that reads, too
    STEP_SYNC,
    STEP_FLUSH,
    STEP_COMPACT,
    STEP_CREATE, // the other keyspace, unless it is there
    STEP_DROP,   // the other keyspace, if it is there
    STEP_JOBS,   // runs `count` jobs
    STEP_IDLE,   // nobody writes for a while
    STEP_REOPEN,
    STEP_BREAK_MANIFEST, // its next write fails; what follows goes to a fresh one
    STEP_KINDS,
};

struct step {
    enum step_kind kind;
    enum crash_keyspace keyspace; // the default one when the other is not there
    unsigned key;                 // the first one
    unsigned count;
    uint32_t size; // of each value
    bool is_weak;
};

struct workload {
    const char *name;
    struct step steps[STEPS_MAX];
    size_t count;
    unsigned versions_to_keep;
    unsigned compression;
    size_t memtable_size; // 0: large
    bool has_events;      // keeps an event log
};

extern const struct workload scripts[];
extern const size_t script_count;

struct workload workload_random(struct random *random);

// One process's use of a database in `sim`.
struct session {
    const struct workload *workload;
    struct sim *sim;
    struct history *history;
    struct lsm_options options;
    lsm_db *db;
    lsm_keyspace *other;
};

void session_init(struct session *s, const struct workload *workload, struct sim *sim,
                  struct history *history);
// Finds out whether the other keyspace is there; LSM_CORRUPT when it should or should not be.
lsm_status session_open(struct session *s);
lsm_status session_step(struct session *s, const struct step *step);
// A serializable transaction that has read and written what `c` writes, for the caller to commit
// and to free.
lsm_status session_prepare(struct session *s, const struct crash_commit *c, lsm_txn **out);
// Nothing is open afterwards, whatever is returned.
lsm_status session_close(struct session *s);

// The workload in words, on stderr.
void workload_print(const struct workload *workload);

lsm_slice crash_key(unsigned key, char text[16]); // 0 is the empty key

#endif
