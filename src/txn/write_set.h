// write_set.h -- what a transaction has written, in order, with savepoints.
//
// Writes are kept as versions numbered by operation, so that a cursor of the
// transaction sees those made before it was opened, and rolling back to a savepoint
// hides a stretch of numbers. One thread.

#ifndef LSM_TXN_WRITE_SET_H
#define LSM_TXN_WRITE_SET_H

#include "base/iter.h"

struct write_set;

lsm_status write_set_new(struct write_set **out);
void write_set_free(struct write_set *set);

// Copies a value or a tombstone (entry->ts is ignored) in. `hash` is key_hash().
// LSM_INVALID naming both sizes when the set would exceed `bytes_max` bytes of keys
// and values; nothing is added then.
lsm_status write_set_add(struct write_set *set, const struct entry *entry, uint64_t hash,
                         uint64_t bytes_max);

// The newest visible write of a key. Borrowed until write_set_free().
bool write_set_get(const struct write_set *set, uint32_t keyspace, lsm_slice key, uint64_t hash,
                   struct entry *out);

uint64_t write_set_bytes(const struct write_set *set); // keys and values added
bool write_set_is_empty(const struct write_set *set);  // nothing visible

// A point to roll back to: number of the last operation.
uint64_t write_set_mark(const struct write_set *set);
lsm_status write_set_rollback(struct write_set *set, uint64_t mark);

// A cursor over the newest visible version of each key, as of now: later writes do
// not show, a later rollback ends what it sees of the rolled-back writes. Entries
// have ts TS_MAX, newer than all that is committed.
lsm_status write_set_iter_new(const struct write_set *set, struct iter **out);

#endif
