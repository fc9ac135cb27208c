// memtable.h -- the newest entries, in memory, in order.
//
// A memtable is one skiplist per keyspace over one arena, and a hash index from
// key to newest entry beside them, so that a lookup neither walks a list to learn
// that a key is absent nor descends one to find the newest version. One thread
// inserts at a time (the writer role); any thread reads, taking no lock. What a
// reader was given lives as long as the memtable.

#ifndef LSM_MEMTABLE_MEMTABLE_H
#define LSM_MEMTABLE_MEMTABLE_H

#include "base/iter.h"

struct memtable;

// A memtable meant to hold about `size` bytes; it may hold more. With `size` 0 it
// is cheap to make, starts small, and has no hash index: a lookup descends the
// list (what a transaction keeps its writes in).
lsm_status memtable_new(size_t size, struct memtable **out);
// No thread uses the memtable any more.
void memtable_free(struct memtable *mem);

// Makes sure that inserting `count` entries, with `bytes` bytes of keys and values
// in all, cannot fail; `keyspaces` of which this memtable may not have seen yet.
// LSM_NO_MEMORY with nothing changed. What an earlier call promised and was not used
// yet is not added to. Inserting thread only.
lsm_status memtable_reserve(struct memtable *mem, uint64_t count, uint64_t bytes,
                            uint64_t keyspaces);

// Copies `entry` in. Room for it has been reserved; no entry of the same keyspace,
// key and timestamp is there; its timestamp is above those of all entries of its
// key. `hash` is key_hash() of its key. Inserting thread only. Inserting keys in
// order is cheaper than in any other.
void memtable_insert(struct memtable *mem, const struct entry *entry, uint64_t hash);

// The same; `*older` is the version that was the newest of its key before, borrowed; false when
// there was none.
bool memtable_insert_over(struct memtable *mem, const struct entry *entry, uint64_t hash,
                          struct entry *older);

// The newest entry of `key->key` with a timestamp of at most `key->ts`; false when
// there is none. `hash` is key_hash() of the key.
bool memtable_get(const struct memtable *mem, const struct ikey *key, uint64_t hash,
                  struct entry *out);

// A cursor over all keyspaces in order. It sees what was inserted before its
// last move, and maybe more: the caller filters by timestamp. The caller keeps the
// memtable alive.
lsm_status memtable_iter_new(const struct memtable *mem, struct iter **out);

// From now on every entry is summed up as it is inserted. Before the first one; inserting thread.
void memtable_watch(struct memtable *mem);

// LSM_CORRUPT when it does not hold what was inserted: as many entries, and, when they were
// summed, the same bytes. Once nothing is inserted any more; any thread.
lsm_status memtable_verify(const struct memtable *mem);

// Any thread.
size_t memtable_used(const struct memtable *mem); // bytes of memory held
uint64_t memtable_count(const struct memtable *mem);
bool memtable_is_empty(const struct memtable *mem);

#endif
