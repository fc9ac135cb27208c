// db.h -- the open database: every part, and which lock guards what.
//
// Locks, outermost first (env/sync.h): keyspace changes (`ddl_mu`), the manifest's,
// the views', the writer's queue, the log's, then the leaves. The writer *role* is not a
// mutex: who holds it may take any lock from LOCK_VERSIONS on, and never waits for a job.

#ifndef LSM_DB_DB_H
#define LSM_DB_DB_H

#include "compaction/compactor.h"
#include "compaction/throttle.h"
#include "db/children.h"
#include "db/keyspaces.h"
#include "db/options.h"
#include "db/stats.h"
#include "db/writer.h"
#include "env/fork.h"
#include "txn/oracle.h"

// The jobs that look after the house and may fail.
enum upkeep { UPKEEP_SEGMENTS, UPKEEP_SYNC, UPKEEP_IDLE, UPKEEP_COUNT };

struct lsm_db {
    // Set by open, then unchanged.
    struct env *env;
    struct env *owned_env; // of an in-memory database, freed with it
    struct dir *dir;
    struct dir_lock *lock; // NULL when read-only
    bool is_read_only;
    unsigned fork_generation; // of the process that opened
    uint64_t opened_ns;

    // Changeable ones are read through `engine_options` or atomics below.
    struct lsm_options kept;    // in OPTIONS; as the next one
    struct lsm_options options; // in force; changed under both, read under either, of
    struct mutex set_option_mu; // rank LOCK_DB: options change one at a time; held across I/O
    struct mutex options_mu;    // rank LOCK_LEAF
    _Atomic uint64_t value_threshold;
    _Atomic uint64_t txn_bytes_max;
    _Atomic uint64_t sync_mode; // enum lsm_sync_mode
    _Atomic uint64_t sync_interval_ns;
    _Atomic uint64_t idle_flush_ns;
    _Atomic uint64_t segment_size_max;

    // The parts, from the ground up; each has its own locks.
    struct epoch_bin bin;
    struct poison poison;
    struct eventlog *events;
    struct unlinker *unlinker;
    struct fd_cache *fds;
    struct cache *cache;
    struct table_store tables;
    struct segment_store segments;
    struct views views;
    struct manifest *manifest; // NULL when read-only
    struct log *log;           // NULL when read-only
    // Of a read-only database: the log as found.
    struct log_position read_only_mark; // its durable end
    struct log_link *read_only_chain;   // its segments, with final lengths; owned
    size_t read_only_chain_count;
    struct failure damage; // files missing at open, with option open_damaged
    struct oracle *oracle;
    struct conflict_history *conflicts;
    struct scheduler *scheduler;
    struct engine_options engine_options;
    struct compaction_stats compaction_stats;
    struct engine engine;
    struct compactor *compactor;
    struct throttle *throttle;
    struct writer writer;
    struct stats *stats;

    struct mutex ddl_mu; // rank LOCK_DB: one keyspace is created or dropped at a time
    struct keyspaces keyspaces;
    struct keyspace *default_keyspace;
    struct children children;

    // Jobs that look after the house.
    struct job upkeep_job;         // prepares and seals segments
    struct job sync_job;           // syncs what weak commits left, after the interval
    struct job idle_job;           // flushes when nothing has been written for a while
    struct job reclaim_job;        // frees what no reader sees, unlinks obsolete files
    struct job clock_job;          // merges what was kept once the clock is believed
    struct job clear_job;          // flushes a memtable whose deletions are in the way of scans
    _Atomic int clock_standing;    // as last told to the event log
    _Atomic uint64_t idle_seen_ts; // last timestamp that the idle job saw
    // Entries above this timestamp are in the active memtable. Set by the role, or at open;
    // read by iterators, relaxed: to them it is a hint.
    _Atomic uint64_t active_above_ts;
    struct mutex upkeep_mu;        // rank LOCK_LEAF; guards the next one
    struct failure upkeep_failures[UPKEEP_COUNT]; // of each job's last run, else LSM_OK
    _Atomic bool is_closing;
};

// A handle to a keyspace. Immutable.
struct lsm_keyspace {
    struct lsm_db *db;
    struct keyspace *keyspace;
};

// Threads that are running a callback of some database; relaxed, since a thread always sees
// its own change.
extern _Atomic unsigned db_callback_count;

// What db_check() does when something may be wrong.
lsm_status db_check_closely(const struct lsm_db *db, const char *function);

// Whether `db` may be used by this thread in this process; what every public function
// asks first. `function` is for the words.
static inline lsm_status db_check(const struct lsm_db *db, const char *function)
{
    if (LIKELY(db != NULL && db->fork_generation == fork_generation() &&
               atomic_load_explicit(&db_callback_count, memory_order_relaxed) == 0))
        return LSM_OK;
    return db_check_closely(db, function);
}

// The same, for functions that write.
lsm_status db_check_writable(const struct lsm_db *db, const char *function);

// The keyspace of a handle, the default one for NULL; LSM_INVALID when the handle is of
// another database.
lsm_status db_keyspace(struct lsm_db *db, const lsm_keyspace *handle, struct keyspace **out);

// LSM_INVALID, naming limit and size, for a key that is empty, NULL or too long.
lsm_status check_key(lsm_slice key);
lsm_status check_value(lsm_slice value);
// The same for a bound of a range, called `name`, which may be empty; NULL is open.
lsm_status check_bound(const lsm_slice *bound, const char *name);

// Makes the changeable options of `options` take effect.
void db_apply_options(struct lsm_db *db, const struct lsm_options *options);

// Marks the calling thread as running a callback of `db`: calls of it are refused.
void db_enter_callback(const struct lsm_db *db);
void db_leave_callback(void);

#endif
