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

#endif
