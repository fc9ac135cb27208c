// commit.h -- from entries to a commit.

#ifndef LSM_DB_COMMIT_H
#define LSM_DB_COMMIT_H

#include "db/db.h"

// Adds `entry` to a commit being made. Entries come in ascending (keyspace, key). The key,
// and a value large enough to be separated, are borrowed until the request is done.
lsm_status commit_add(struct lsm_db *db, struct write_request *request, struct keyspace *keyspace,
                      const struct entry *entry, uint64_t hash);

// Adds the entries of a cursor (over a write set), in order.
lsm_status commit_add_all(struct lsm_db *db, struct write_request *request, struct iter *it);

// Sums the commit up and settles how durable it is to be.
lsm_status commit_finish(struct lsm_db *db, struct write_request *request,
                         const lsm_write_options *options);

// Admits, runs and waits for a finished commit.
lsm_status commit_run(struct lsm_db *db, struct write_request *request,
                      const lsm_write_options *options);

// When an entry written now expires, by the options of the write and of the keyspace.
uint64_t commit_expiry(struct lsm_db *db, const struct keyspace *keyspace, uint64_t ttl_seconds,
                       uint64_t expiry_seconds);

// LSM_INVALID for options that say nonsense. NULL is good.
lsm_status commit_check_options(const lsm_write_options *options);

// LSM_INVALID when a commit would write to, or a read at `ts` read from, a dropped keyspace.
lsm_status commit_check_keyspace(const struct keyspace *keyspace, uint64_t ts);

#endif
