// worker.h -- one thread of random transactions, recorded.

#ifndef LSM_TESTS_ISOLATION_WORKER_H
#define LSM_TESTS_ISOLATION_WORKER_H

#include "isolation/model.h"

struct worker {
    const struct model *model;
    struct recorder *recorder;
    struct random random;
    uint64_t next_value; // unique in the round: numbers go up from it
    bool prefers_serializable;

    // Of the open transaction.
    lsm_txn *txn;
    enum level level;
    uint64_t savepoints[4];
    unsigned savepoint_count;
    lsm_buf buf; // reused
};

// Runs until the stage's epoch is over. The argument is a worker.
void *worker_run(void *arg);

// One transaction that reads everything there is, with its timestamps.
void worker_read_all(struct worker *worker);

// Ends a transaction in the history; the process may be killed in this very place.
void worker_finish(struct worker *worker, enum event_kind outcome, uint64_t ts);

// The sum of all accounts, through an iterator over them.
void worker_audit(struct worker *worker, lsm_iter *it);

#endif
