// recovery.h -- from a directory to a running database: docs/design.md, "Opening and closing".

#ifndef LSM_DB_RECOVERY_H
#define LSM_DB_RECOVERY_H

#include "db/db.h"

// What is found in the directory of a database, or nothing when it is to be made.
struct recovery {
    bool is_new;
    uint64_t edit_number; // the last of the manifest; 0 when that could not be read
    struct manifest_state state;
    struct version *version;            // of the manifest
    struct log_recovery *log;           // NULL for a new database
    struct logged_memtable **memtables; // replayed, oldest first
    size_t memtable_count;
    uint64_t last_ts;
    struct clock_history clock;
};

void recovery_release(struct recovery *recovery);

// Looks, before anything is locked or written, whether the directory can be opened:
// LSM_INVALID when it is neither empty nor a database, LSM_UNSUPPORTED for a newer format.
// `*db_uuid` is of the database, or fresh when `*is_new`.
lsm_status recovery_look(struct env *env, struct dir *dir, bool *is_new, struct uuid *db_uuid);

// Fills `recovery`: manifest and log are read, nothing is written. The stores of
// `db` are set.
lsm_status recovery_read(struct lsm_db *db, bool is_new, struct recovery *recovery);

// What writes: restart segment, replay, fresh manifest, orphans; sets up the
// views, the manifest and the log of `db`.
lsm_status recovery_start(struct lsm_db *db, struct recovery *recovery);

// Replays where the frames lie, and sets up the views only: writes nothing.
lsm_status recovery_start_read_only(struct lsm_db *db, struct recovery *recovery);

#endif
