// ikey.h -- internal keys and entries.
//
// An entry is one version of one key. Entries order by keyspace, then by user
// key (memcmp), then by commit timestamp, *newer first*. A key has at most one
// entry per timestamp.

#ifndef LSM_BASE_IKEY_H
#define LSM_BASE_IKEY_H

#include "base/bytes.h"

#define TS_MAX UINT64_MAX // later than every commit

enum entry_kind {
    ENTRY_VALUE = 1,        // value bytes are inline
    ENTRY_POINTER = 2,      // value is an encoded struct value_pointer
    ENTRY_DELETE = 3,       // a tombstone
    ENTRY_RANGE_DELETE = 4, // reserved
    ENTRY_MERGE = 5,        // reserved
};

// A place in the order of entries: the one at `ts`, or where it would be.
struct ikey {
    uint32_t keyspace;
    lsm_slice key;
    uint64_t ts;
};

struct entry {
    uint32_t keyspace;
    uint8_t kind;      // enum entry_kind
    uint8_t user_byte; // the application's, 0 unless set
    uint64_t ts;
    uint64_t expiry; // seconds since 1970 from which it counts as deleted; 0: never
    uint64_t head;   // slice_head(key)
    lsm_slice key;
    lsm_slice value; // bytes, an encoded pointer, or empty for a tombstone
};

static inline struct ikey entry_ikey(const struct entry *e)
{
    return (struct ikey){.keyspace = e->keyspace, .key = e->key, .ts = e->ts};
}

static inline int ikey_compare(const struct ikey *a, const struct ikey *b)
{
    int order = (a->keyspace > b->keyspace) - (a->keyspace < b->keyspace);

    if (order == 0)
        order = slice_compare(a->key, b->key);
    if (order == 0)
        order = (a->ts < b->ts) - (a->ts > b->ts);
    return order;
}

// As ikey_compare(), deciding by the heads where they differ.
static inline int entry_compare(const struct entry *a, const struct entry *b)
{
    int order;

    if (a->keyspace != b->keyspace)
        return a->keyspace < b->keyspace ? -1 : 1;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    order = slice_compare(a->key, b->key);
    if (order == 0)
        order = (a->ts < b->ts) - (a->ts > b->ts);
    return order;
}

// Whether two entries are versions of the same key.
static inline bool entry_same_key(const struct entry *a, const struct entry *b)
{
    return a->keyspace == b->keyspace && a->head == b->head && slice_equal(a->key, b->key);
}

static inline bool entry_kind_is_known(uint8_t kind)
{
    return kind == ENTRY_VALUE || kind == ENTRY_POINTER || kind == ENTRY_DELETE;
}

// An entry with no value bytes reads as absent: a tombstone, or a value that has
// expired at wall-clock second `now`. now == 0 judges no expiry.
static inline bool entry_is_absent(const struct entry *e, uint64_t now)
{
    return e->kind == ENTRY_DELETE || (e->expiry != 0 && e->expiry <= now);
}

#endif
