// size.c -- what the keys of a range take.
//
// In tables: bytes of files, and of the records in the value log that they point to. In
// memtables: what was written to the log for them.

#include "db/db.h"

// Of an entry in the log beside key and value: kind, flags and sizes.
#define LOG_ENTRY_OVERHEAD 4

struct range {
    struct ikey low;
    struct ikey high;
};

static struct range range_of(uint32_t keyspace, const lsm_slice *from, const lsm_slice *to)
{
    return (struct range){
        .low = {.keyspace = keyspace, .key = from == NULL ? lsm_str("") : *from, .ts = TS_MAX},
        .high = {.keyspace = to == NULL ? keyspace + 1 : keyspace,
                 .key = to == NULL ? lsm_str("") : *to,
                 .ts = TS_MAX},
    };
}

static lsm_status entry_bytes(const struct entry *entry, uint64_t *bytes)
{
    struct value_pointer pointer = {0};

    if (entry->kind == ENTRY_POINTER)
        TRY(pointer_decode(entry->value, &pointer));
    *bytes += entry->key.size + entry->value.size + LOG_ENTRY_OVERHEAD + pointer.record_size;
    return LSM_OK;
}

static lsm_status add_memtable(const struct memtable *mem, const struct range *range,
                               uint64_t *bytes)
{
    CLEANUP(iter_closep) struct iter *it = NULL;
    struct ikey at;

    TRY(memtable_iter_new(mem, &it));
    TRY(iter_seek(it, &range->low));
    while (it->is_valid) {
        at = entry_ikey(&it->entry);
        if (ikey_compare(&at, &range->high) >= 0)
            break;
        TRY(entry_bytes(&it->entry, bytes));
        TRY(iter_next(it));
    }
    return LSM_OK;
}

static lsm_status add_level(const struct level *level, const struct range *range, uint64_t *bytes)
{
    struct table_share share;

    for (size_t i = 0; i < level->count; i++) {
        TRY(table_measure(level->tables[i], &range->low, &range->high, &share));
        *bytes += share.file_bytes + share.referenced_bytes;
    }
    return LSM_OK;
}

static lsm_status add_view(const struct view *view, const struct range *range, uint64_t *bytes)
{
    for (size_t i = 0; i < view->memtable_count; i++)
        TRY(add_memtable(view->memtables[i]->mem, range, bytes));
    for (unsigned l = 0; l < LEVEL_COUNT; l++)
        TRY(add_level(&view->version->levels[l], range, bytes));
    return LSM_OK;
}

lsm_status lsm_approximate_size(lsm_db *db, lsm_keyspace *handle, const lsm_slice *from,
                                const lsm_slice *to, uint64_t *bytes)
{
    struct keyspace *keyspace;
    struct range range;
    struct view *view;
    uint64_t sum = 0;
    lsm_status status;

    TRY(db_check(db, "lsm_approximate_size"));
    TRY(db_keyspace(db, handle, &keyspace));
    if (bytes == NULL)
        return lsm_fail(LSM_INVALID, "lsm_approximate_size: bytes is NULL");
    TRY(check_bound(from, "from"));
    TRY(check_bound(to, "to"));
    range = range_of(keyspace->id, from, to);
    view = views_acquire(&db->views);
    status = add_view(view, &range, &sum);
    view_unref(view);
    if (status == LSM_OK)
        *bytes = sum;
    return status;
}
