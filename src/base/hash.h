// hash.h -- 64-bit hashing of keys, by XXH3.

#ifndef LSM_BASE_HASH_H
#define LSM_BASE_HASH_H

#include <stdint.h>

#include "lsmkv.h"

uint64_t hash64(const void *data, size_t size, uint64_t seed);

// The hash of a user key of a keyspace: what filters, the memtable's index and
// conflict detection share, so that an operation hashes its key once. It is part
// of the table format (filters), and so never changes.
uint64_t key_hash(uint32_t keyspace, lsm_slice key);

// A hash of every field of an entry, so that sums of them tell whether some have changed.
struct entry;
uint64_t entry_digest(const struct entry *entry);

// The upper half of the 128-bit product: spreads hashes evenly over `count` places, without
// a division. Part of the table format, too.
static inline uint64_t hash_place(uint64_t hash, uint64_t count)
{
#ifdef __SIZEOF_INT128__
    return (uint64_t)((unsigned __int128)hash * count >> 64);
#else
    // By halves, as on paper.
    const uint64_t low = (hash & UINT32_MAX) * (count & UINT32_MAX);
    const uint64_t left = (hash >> 32) * (count & UINT32_MAX) + (low >> 32);
    const uint64_t right = (hash & UINT32_MAX) * (count >> 32) + (left & UINT32_MAX);

    return (hash >> 32) * (count >> 32) + (left >> 32) + (right >> 32);
#endif
}

#endif
