// hash.c -- the one place that knows xxHash.

#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

uint64_t key_hash(uint32_t keyspace, lsm_slice key)
{
    return hash64(key.data, key.size, keyspace);
}
