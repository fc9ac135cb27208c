// retry.h -- running a transaction again until no other commit comes between.

#ifndef LSM_DB_RETRY_H
#define LSM_DB_RETRY_H

#include "db/txn.h"

// What is to be done in a serializable transaction that is begun and committed around it.
struct retry {
    lsm_status (*run)(lsm_txn *txn, void *ctx);
    void *ctx;
    const lsm_write_options *options; // of the commit; may be NULL
    unsigned tries_max;
};

// Runs it until it commits, fails for another reason than a conflict, refuses by itself (the
// transaction's `is_refused`), or has been tried `tries_max` times: LSM_CONFLICT then, with
// `*is_exhausted` set. Between two tries a random pause, which grows, lets competitors part.
lsm_status retry_run(struct lsm_db *db, const struct retry *retry, bool *is_exhausted);

#endif
