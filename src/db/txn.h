// txn.h -- an open transaction: a snapshot, what it wrote and what it read.

#ifndef LSM_DB_TXN_H
#define LSM_DB_TXN_H

#include "db/read.h"
#include "txn/read_set.h"
#include "txn/write_set.h"

// One thread at a time.
struct lsm_txn {
    struct lsm_db *db; // NULL once finished
    struct child child;
    lsm_txn_mode mode;
    struct snapshot_slot *slot; // until finished
    uint64_t read_ts;
    uint64_t commit_ts;
    struct write_set *writes; // NULL when read-only
    struct read_set *reads;   // of a serializable one; else NULL
    // The failure to note a read, which fails the commit; LSM_OK when there is none.
    struct failure lost_read;

    uint64_t *savepoints; // ids of those of the write set, in its order
    uint64_t last_savepoint;

    bool is_refused;   // a condition failed that trying again does not change: the key is there
    size_t iter_count; // open ones
    bool is_freed;     // by the application, while iterators are open
};

// LSM_INVALID unless the transaction can be used.
lsm_status txn_check(const struct lsm_txn *txn, const char *function);

// Reads one key as the transaction sees it, and notes the read for validation; `value` NULL:
// only whether it is there. `marks` may be NULL.
lsm_status txn_read(struct lsm_txn *txn, const struct keyspace *keyspace, lsm_slice key,
                    lsm_buf *value, struct entry_marks *marks);

// Notes, for validation, that the keys of the range were seen. A failure is kept and fails the
// commit.
void txn_note_range(struct lsm_txn *txn, const struct read_range *range);

// An iterator of the transaction was closed; frees the transaction if it was the last thing
// that kept it.
void txn_drop_iter(struct lsm_txn *txn);

#endif
