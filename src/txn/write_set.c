// write_set.c -- a memtable whose timestamps are operation numbers.
//
// Operations are numbered from 1. A rollback hides the numbers after the mark; the
// hidden stretches are kept ascending and apart from each other.

#include "txn/write_set.h"

#include <assert.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "memtable/memtable.h"

// The operations after `mark` up to `last` have been rolled back.
struct hidden_stretch {
    uint64_t mark;
    uint64_t last;
};

struct write_set {
    struct memtable *mem;
    uint64_t last; // number of the newest operation
    uint64_t bytes;

    struct hidden_stretch *hidden;
    size_t hidden_count;
    size_t hidden_capacity;
};

static void write_set_freep(struct write_set **set)
{
    write_set_free(*set);
}

lsm_status write_set_new(struct write_set **out)
{
    CLEANUP(write_set_freep) struct write_set *set = mem_alloc_zeroed(1, sizeof *set);

    if (set == NULL)
        return lsm_fail(LSM_NO_MEMORY, "write set: %zu bytes", sizeof *set);
    TRY(memtable_new(0, &set->mem));
    *out = MOVE(set);
    return LSM_OK;
}

void write_set_free(struct write_set *set)
{
    if (set == NULL)
        return;
    memtable_free(set->mem);
    mem_free(set->hidden);
    mem_free(set);
}

lsm_status write_set_add(struct write_set *set, const struct entry *entry, uint64_t hash,
                         uint64_t bytes_max)
{
    const uint64_t bytes = set->bytes + entry->key.size + entry->value.size;
    struct entry numbered = *entry;

    if (bytes > bytes_max)
        return lsm_fail(LSM_INVALID,
                        "transaction: with this write it holds %" PRIu64
                        " bytes of keys and values, more than the limit of %" PRIu64,
                        bytes, bytes_max);
    TRY(memtable_reserve(set->mem, 1, entry->key.size + entry->value.size, 1));
    numbered.ts = ++set->last;
    numbered.head = slice_head(entry->key);
    memtable_insert(set->mem, &numbered, hash);
    set->bytes = bytes;
    return LSM_OK;
}

// The stretch that hides `operation`, or NULL.
static const struct hidden_stretch *stretch_of(const struct write_set *set, uint64_t operation)
{
    size_t low = 0;
    size_t high = set->hidden_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->hidden[middle].last < operation)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->hidden_count && set->hidden[low].mark < operation ? &set->hidden[low] : NULL;
}

bool write_set_get(const struct write_set *set, uint32_t keyspace, lsm_slice key, uint64_t hash,
                   struct entry *out)
{
    struct ikey place = {.keyspace = keyspace, .key = key, .ts = TS_MAX};
    struct entry found;

    while (memtable_get(set->mem, &place, hash, &found)) {
        const struct hidden_stretch *stretch = stretch_of(set, found.ts);

        if (stretch == NULL) {
            found.ts = TS_MAX;
            *out = found;
            return true;
        }
        place.ts = stretch->mark;
    }
    return false;
}

uint64_t write_set_bytes(const struct write_set *set)
{
    return set->bytes;
}

bool write_set_is_empty(const struct write_set *set)
{
    if (set->hidden_count == 0)
        return set->last == 0;
    return set->hidden[0].mark == 0 && set->hidden[0].last == set->last;
}

uint64_t write_set_mark(const struct write_set *set)
{
    return set->last;
}

lsm_status write_set_rollback(struct write_set *set, uint64_t mark)
{
    size_t count = set->hidden_count;

    assert(mark <= set->last);
    if (mark == set->last)
        return LSM_OK;
    // The new stretch ends with the newest operation, so it swallows those it
    // reaches or touches from the end.
    while (count > 0 && set->hidden[count - 1].last >= mark) {
        count--;
        if (set->hidden[count].mark < mark)
            mark = set->hidden[count].mark;
    }
    if (!mem_reserve(&set->hidden, &set->hidden_capacity, count, 1, sizeof *set->hidden))
        return lsm_fail(LSM_NO_MEMORY, "write set: %zu rolled-back stretches", count + 1);
    set->hidden[count] = (struct hidden_stretch){.mark = mark, .last = set->last};
    set->hidden_count = count + 1;
    return LSM_OK;
}

// The cursor. `inner` stands on the version shown, which is the newest of its key
// that is visible and no newer than the cursor.
struct write_set_iter {
    struct iter base;
    const struct write_set *set;
    struct iter *inner;
    uint64_t last; // newest operation when the cursor was made
};

static struct write_set_iter *write_set_iter_of(struct iter *it)
{
    return (struct write_set_iter *)it;
}

static lsm_status iter_show(struct write_set_iter *it)
{
    it->base.is_valid = it->inner->is_valid;
    if (it->inner->is_valid) {
        it->base.entry = it->inner->entry;
        it->base.entry.ts = TS_MAX;
    }
    return LSM_OK;
}

// A memtable's cursor does not fail. Should it, the cursor above is not valid.
static lsm_status iter_settle(struct write_set_iter *it, lsm_status status,
                              lsm_status (*settle)(struct write_set_iter *it))
{
    if (status == LSM_OK)
        status = settle(it);
    if (status == LSM_OK)
        return iter_show(it);
    it->base.is_valid = false;
    return status;
}

static bool inner_is_visible(const struct write_set_iter *it)
{
    return it->inner->entry.ts <= it->last && stretch_of(it->set, it->inner->entry.ts) == NULL;
}

static bool inner_is_at(const struct write_set_iter *it, const struct entry *key)
{
    return it->inner->is_valid && entry_same_key(&it->inner->entry, key);
}

// Goes on to the first visible version. Before the call `inner` stands on the newest
// version of a key, or on none.
static lsm_status settle_forward(struct write_set_iter *it)
{
    while (it->inner->is_valid && !inner_is_visible(it))
        TRY(iter_next(it->inner));
    return LSM_OK;
}

// Goes to the newest visible version of the key that `inner` stands on, or of the
// nearest key before it that has one.
static lsm_status settle_backward(struct write_set_iter *it)
{
    while (it->inner->is_valid) {
        const struct entry key = it->inner->entry;
        struct ikey newest = entry_ikey(&key);

        newest.ts = it->last;
        TRY(iter_seek(it->inner, &newest));
        while (inner_is_at(it, &key)) {
            if (inner_is_visible(it))
                return LSM_OK;
            TRY(iter_next(it->inner));
        }
        newest.ts = TS_MAX; // no operation has this number
        TRY(iter_seek_for_prev(it->inner, &newest));
    }
    return LSM_OK;
}

static lsm_status write_set_iter_first(struct iter *base)
{
    struct write_set_iter *it = write_set_iter_of(base);

    return iter_settle(it, iter_first(it->inner), settle_forward);
}

static lsm_status write_set_iter_last(struct iter *base)
{
    struct write_set_iter *it = write_set_iter_of(base);

    return iter_settle(it, iter_last(it->inner), settle_backward);
}

// Entries show at TS_MAX: a target below that lies behind its key.
static lsm_status write_set_iter_seek(struct iter *base, const struct ikey *target)
{
    struct write_set_iter *it = write_set_iter_of(base);
    struct ikey place = *target;

    if (place.ts != TS_MAX)
        place.ts = 0; // behind all versions of the key
    return iter_settle(it, iter_seek(it->inner, &place), settle_forward);
}

static lsm_status write_set_iter_seek_for_prev(struct iter *base, const struct ikey *target)
{
    struct write_set_iter *it = write_set_iter_of(base);
    struct ikey place = *target;

    place.ts = 0;
    return iter_settle(it, iter_seek_for_prev(it->inner, &place), settle_backward);
}

// Leaves the key shown behind.
static lsm_status settle_next(struct write_set_iter *it)
{
    const struct entry key = it->inner->entry;

    while (inner_is_at(it, &key))
        TRY(iter_next(it->inner));
    return settle_forward(it);
}

static lsm_status write_set_iter_next(struct iter *base)
{
    assert(base->is_valid);
    return iter_settle(write_set_iter_of(base), LSM_OK, settle_next);
}

static lsm_status write_set_iter_prev(struct iter *base)
{
    struct write_set_iter *it = write_set_iter_of(base);
    struct ikey place = entry_ikey(&base->entry); // at TS_MAX, before all versions

    assert(base->is_valid);
    return iter_settle(it, iter_seek_for_prev(it->inner, &place), settle_backward);
}

static void write_set_iter_close(struct iter *base)
{
    struct write_set_iter *it = write_set_iter_of(base);

    iter_close(it->inner);
    mem_free(it);
}

static const struct iter_ops write_set_iter_ops = {
    .first = write_set_iter_first,
    .last = write_set_iter_last,
    .seek = write_set_iter_seek,
    .seek_for_prev = write_set_iter_seek_for_prev,
    .next = write_set_iter_next,
    .prev = write_set_iter_prev,
    .close = write_set_iter_close,
};

lsm_status write_set_iter_new(const struct write_set *set, struct iter **out)
{
    CLEANUP(mem_freep) struct write_set_iter *it = mem_alloc_zeroed(1, sizeof *it);

    if (it == NULL)
        return lsm_fail(LSM_NO_MEMORY, "write set cursor: %zu bytes", sizeof *it);
    TRY(memtable_iter_new(set->mem, &it->inner));
    it->base.ops = &write_set_iter_ops;
    it->set = set;
    it->last = set->last;
    *out = &MOVE(it)->base;
    return LSM_OK;
}
