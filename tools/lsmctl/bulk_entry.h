// bulk_entry.h -- one entry on its way from text into a database.

#ifndef LSM_TOOLS_BULK_ENTRY_H
#define LSM_TOOLS_BULK_ENTRY_H

#include "output.h"

#define KEYSPACE_NAME_MAX 255

struct bulk_entry {
    lsm_buf key;
    lsm_buf value;
    lsm_buf keyspace;        // zero-terminated; empty: none was named
    uint64_t expiry_seconds; // 0: never
    bool has_expiry;         // false: the keyspace's default decides
    uint8_t user_byte;
};

// Forgets what it holds, but not the memory.
static inline void bulk_entry_clear(struct bulk_entry *entry)
{
    buf_clear(&entry->key);
    buf_clear(&entry->value);
    buf_clear(&entry->keyspace);
    entry->expiry_seconds = 0;
    entry->has_expiry = false;
    entry->user_byte = 0;
}

static inline void bulk_entry_release(struct bulk_entry *entry)
{
    lsm_buf_free(&entry->key);
    lsm_buf_free(&entry->value);
    lsm_buf_free(&entry->keyspace);
}

// Appends one byte of a field, of which `size_max` may be there; false when that is too many.
static inline bool bulk_append(lsm_buf *to, size_t size_max, uint8_t byte)
{
    if (UNLIKELY(to->size >= size_max))
        return false;
    if (UNLIKELY(to->size == to->capacity))
        must(buf_reserve(to, to->size + 1));
    ((uint8_t *)to->data)[to->size++] = byte;
    return true;
}

#endif
