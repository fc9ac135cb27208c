// txn_commit.h -- validation and commit of a transaction.

#ifndef LSM_DB_TXN_COMMIT_H
#define LSM_DB_TXN_COMMIT_H

#include "db/txn.h"

// Ends a transaction: its snapshot is released, and only its timestamps can be read.
void txn_finish(struct lsm_txn *txn);

#endif
