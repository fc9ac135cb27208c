// hash.c -- the one place that knows xxHash.

#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/ikey.h"

uint64_t hash64(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

uint64_t key_hash(uint32_t keyspace, lsm_slice key)
{
    return hash64(key.data, key.size, keyspace);
}

uint64_t entry_digest(const struct entry *entry)
{
    const uint64_t fields[] = {entry->ts, entry->expiry,
                               (uint64_t)entry->keyspace << 32 | (uint64_t)entry->kind << 8 |
                                   entry->user_byte};

    return hash64(entry->value.data, entry->value.size,
                  hash64(entry->key.data, entry->key.size, hash64(fields, sizeof fields, 0)));
}
