// write_set.h -- what a transaction has written, in order, with savepoints.
//
// Writes are kept as versions numbered by operation, so that a cursor of the
// transaction sees those made before it was opened, and rolling back to a savepoint
// hides a stretch of numbers.
//
// The size of a set is what it would commit. Its memory is in proportion to that and
// to what its savepoints keep: values that were written over since and would have to
// come back. What nobody needs any more is left behind when it outgrows the rest. An
// open cursor keeps the memory of the moment it was opened.
//
// One thread.

#ifndef LSM_TXN_WRITE_SET_H
#define LSM_TXN_WRITE_SET_H

#include "base/iter.h"

struct write_set;

lsm_status write_set_new(struct write_set **out);
// Its cursors are closed.
void write_set_free(struct write_set *set);

// Copies a value or a tombstone (entry->ts is ignored) in. `hash` is key_hash().
// LSM_INVALID naming both sizes when it would commit more than `bytes_max` bytes of
// keys and values, or its savepoints keep more than that; nothing is added then.
lsm_status write_set_add(struct write_set *set, const struct entry *entry, uint64_t hash,
                         uint64_t bytes_max);

// The newest visible write of a key. Borrowed until the next call of a function here.
bool write_set_get(struct write_set *set, uint32_t keyspace, lsm_slice key, uint64_t hash,
                   struct entry *out);

uint64_t write_set_bytes(const struct write_set *set); // keys and values it would commit
bool write_set_is_empty(const struct write_set *set);  // nothing visible
size_t write_set_used(const struct write_set *set);    // bytes of memory, those of cursors apart

// Savepoints are numbered from 0, and nest: rolling back to one, or releasing it, ends those
// made after it. One that was rolled back to stays.
lsm_status write_set_savepoint(struct write_set *set);
lsm_status write_set_rollback(struct write_set *set, size_t savepoint);
void write_set_release(struct write_set *set, size_t savepoint);
size_t write_set_savepoint_count(const struct write_set *set);

// A cursor over the newest visible version of each key, as of now: later writes do
// not show, a later rollback ends what it sees of the rolled-back writes. Entries
// have ts TS_MAX, newer than all that is committed.
lsm_status write_set_iter_new(struct write_set *set, struct iter **out);

#endif
