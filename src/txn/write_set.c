// write_set.c -- a memtable whose timestamps are operation numbers.
//
// Operations are numbered from 1. A rollback hides the numbers after the mark; the
// hidden stretches are kept ascending and apart from each other.
//
// A memtable only grows. When it has doubled since the last copy, and more than half of
// it would not be committed, what is needed is copied into another one, under the same
// numbers: of each key the newest visible version, and what a savepoint would bring
// back. So a write costs the same on average. Cursors hold on to the memtable they were
// opened on, and as long as there is one the hidden stretches stay.

#include "txn/write_set.h"

#include <assert.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "memtable/memtable.h"
#include "memtable/skiplist.h"

#define COPY_BYTES_MIN 65536 // growth that is not worth a copy
#define PASSED_MIN     1024
// After so many entries passed one by one, seeking past the rest is cheaper.
#define STEPS_BEFORE_SEEK 8

// The operations after `mark` up to `last` have been rolled back.
struct hidden_stretch {
    uint64_t mark;
    uint64_t last;
};

// What the set held when the savepoint was made.
struct savepoint_state {
    uint64_t mark; // number of the newest operation
    uint64_t bytes;
    uint64_t count;
    uint64_t kept_bytes;
};

// A memtable, held by the set and by the cursors opened on it.
struct store {
    struct memtable *mem;
    size_t holders;
    uint64_t bytes; // memory of the versions, about
    uint64_t count; // of versions
};

struct write_set {
    struct store *store;
    size_t cursor_count; // on any store
    uint64_t last;       // number of the newest operation

    // Of the newest visible versions: what would be committed.
    uint64_t bytes;
    uint64_t count;
    uint64_t kept_bytes; // memory of what savepoints would bring back, at most

    uint64_t needed_bytes; // memory of what the last copy found needed, less what is not any more
    uint64_t passed;       // hidden versions met one by one since the last copy

    struct hidden_stretch *hidden;
    size_t hidden_count;
    size_t hidden_capacity;

    struct savepoint_state *savepoints; // ascending
    size_t savepoint_count;
    size_t savepoint_capacity;
};

// --- stores ---

static void store_drop(struct store *store)
{
    if (store == NULL || --store->holders > 0)
        return;
    memtable_free(store->mem);
    mem_free(store);
}

static void store_dropp(struct store **store)
{
    store_drop(*store);
}

static lsm_status store_new(struct store **out)
{
    CLEANUP(store_dropp) struct store *store = mem_alloc_zeroed(1, sizeof *store);

    if (store == NULL)
        return lsm_fail(LSM_NO_MEMORY, "write set: %zu bytes", sizeof *store);
    store->holders = 1;
    TRY(memtable_new(0, &store->mem));
    *out = MOVE(store);
    return LSM_OK;
}

static uint64_t payload_of(const struct entry *entry)
{
    return entry->key.size + entry->value.size;
}

static uint64_t memory_of(const struct entry *entry)
{
    return skiplist_node_size(payload_of(entry));
}

// Puts a version in; `*older` is the one that was the newest of its key before.
static lsm_status store_insert(struct store *store, const struct entry *numbered, uint64_t hash,
                               struct entry *older, bool *has_older)
{
    TRY(memtable_reserve(store->mem, 1, payload_of(numbered), 1));
    *has_older = memtable_insert_over(store->mem, numbered, hash, older);
    store->bytes += memory_of(numbered);
    store->count++;
    return LSM_OK;
}

// --- the set ---

static void write_set_freep(struct write_set **set)
{
    write_set_free(*set);
}

lsm_status write_set_new(struct write_set **out)
{
    CLEANUP(write_set_freep) struct write_set *set = mem_alloc_zeroed(1, sizeof *set);

    if (set == NULL)
        return lsm_fail(LSM_NO_MEMORY, "write set: %zu bytes", sizeof *set);
    TRY(store_new(&set->store));
    *out = MOVE(set);
    return LSM_OK;
}

void write_set_free(struct write_set *set)
{
    if (set == NULL)
        return;
    assert(set->cursor_count == 0);
    store_drop(set->store);
    mem_free(set->hidden);
    mem_free(set->savepoints);
    mem_free(set);
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

// The newest visible version of a key at or below operation `place.ts`.
static bool find_visible(struct write_set *set, struct ikey place, uint64_t hash, struct entry *out)
{
    while (memtable_get(set->store->mem, &place, hash, out)) {
        const struct hidden_stretch *stretch = stretch_of(set, out->ts);

        if (stretch == NULL)
            return true;
        set->passed++;
        place.ts = stretch->mark;
    }
    return false;
}

// --- leaving behind what nobody needs ---

// Whether a savepoint would bring the version of operation `written` back, which that of
// `replaced` has written over.
static bool is_kept(const struct write_set *set, uint64_t written, uint64_t replaced)
{
    size_t low = 0;
    size_t high = set->savepoint_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->savepoints[middle].mark < written)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->savepoint_count && set->savepoints[low].mark < replaced;
}

// A copy under way: versions come oldest first, and each is judged by the one after it.
struct copy {
    struct store *to;
    struct entry pending; // the newest visible version of its key so far
    bool has_pending;
    uint64_t kept_bytes;
};

static lsm_status copy_pending(struct copy *copy)
{
    struct entry older;
    bool has_older;

    return copy->has_pending ? store_insert(copy->to, &copy->pending, 0, &older, &has_older)
                             : LSM_OK;
}

static lsm_status copy_version(const struct write_set *set, struct copy *copy,
                               const struct entry *version)
{
    if (stretch_of(set, version->ts) != NULL)
        return LSM_OK;
    if (!copy->has_pending || !entry_same_key(&copy->pending, version)) {
        TRY(copy_pending(copy));
    } else if (is_kept(set, copy->pending.ts, version->ts)) {
        TRY(copy_pending(copy));
        copy->kept_bytes += memory_of(&copy->pending);
    }
    copy->pending = *version;
    copy->has_pending = true;
    return LSM_OK;
}

static lsm_status copy_all(const struct write_set *set, struct copy *copy)
{
    CLEANUP(iter_closep) struct iter *it = NULL;

    TRY(memtable_iter_new(set->store->mem, &it));
    TRY(iter_last(it));
    while (it->is_valid) {
        TRY(copy_version(set, copy, &it->entry));
        TRY(iter_prev(it));
    }
    return copy_pending(copy);
}

static uint64_t live_memory(const struct write_set *set)
{
    return set->count * skiplist_node_size(0) + set->bytes;
}

static lsm_status copy_needed(struct write_set *set)
{
    CLEANUP(store_dropp) struct store *store = NULL;
    struct copy copy = {.has_pending = false};

    TRY(store_new(&store));
    copy.to = store;
    TRY(copy_all(set, &copy));
    if (set->cursor_count == 0)
        set->hidden_count = 0; // nothing that they hide is left
    set->kept_bytes = copy.kept_bytes;
    set->needed_bytes = store->bytes;
    store_drop(set->store);
    set->store = MOVE(store);
    return LSM_OK;
}

// Copies if that pays. Without memory for it everything stays, until there is more to gain.
static void tidy(struct write_set *set)
{
    const struct store *store = set->store;
    const bool is_large = store->bytes > 2 * set->needed_bytes + COPY_BYTES_MIN &&
                          store->bytes > 2 * live_memory(set);
    const bool is_slow = set->passed > store->count + PASSED_MIN;

    if (!is_large && !is_slow)
        return;
    set->passed = 0;
    if (copy_needed(set) != LSM_OK)
        set->needed_bytes = store->bytes;
}

// Less is needed than before: a copy pays sooner.
static void need_less(struct write_set *set)
{
    const uint64_t needed_bytes = live_memory(set) + set->kept_bytes;

    if (set->needed_bytes > needed_bytes)
        set->needed_bytes = needed_bytes;
    tidy(set);
}

// --- writing and reading ---

// LSM_INVALID when `entry` would make the set too large.
static lsm_status check_size(struct write_set *set, const struct entry *entry, uint64_t hash,
                             uint64_t bytes_max)
{
    const struct ikey place = {.keyspace = entry->keyspace, .key = entry->key, .ts = TS_MAX};
    uint64_t bytes = set->bytes + payload_of(entry);
    struct entry replaced;

    if (bytes <= bytes_max)
        return LSM_OK;
    if (find_visible(set, place, hash, &replaced))
        bytes -= payload_of(&replaced);
    if (bytes <= bytes_max)
        return LSM_OK;
    return lsm_fail(LSM_INVALID,
                    "transaction: with this write it holds %" PRIu64
                    " bytes of keys and values, more than the limit of %" PRIu64,
                    bytes, bytes_max);
}

// LSM_INVALID when savepoints keep more than `bytes_max`. What has been released since is
// found out first.
static lsm_status check_kept(struct write_set *set, uint64_t bytes_max)
{
    if (set->kept_bytes <= bytes_max)
        return LSM_OK;
    TRY(copy_needed(set));
    if (set->kept_bytes <= bytes_max)
        return LSM_OK;
    return lsm_fail(LSM_INVALID,
                    "transaction: its %zu savepoints keep %" PRIu64 " bytes of writes that were "
                    "written over, more than the limit of %" PRIu64 ": release some",
                    set->savepoint_count, set->kept_bytes, bytes_max);
}

// The version of operation `replaced` is not the newest one any more.
static void leave(struct write_set *set, const struct entry *replaced)
{
    set->bytes -= payload_of(replaced);
    set->count--;
    if (is_kept(set, replaced->ts, set->last))
        set->kept_bytes += memory_of(replaced);
}

lsm_status write_set_add(struct write_set *set, const struct entry *entry, uint64_t hash,
                         uint64_t bytes_max)
{
    struct entry numbered = *entry;
    struct entry replaced;
    bool has_replaced;

    tidy(set);
    TRY(check_size(set, entry, hash, bytes_max));
    TRY(check_kept(set, bytes_max));
    numbered.ts = set->last + 1;
    numbered.head = slice_head(entry->key);
    TRY(store_insert(set->store, &numbered, hash, &replaced, &has_replaced));
    set->last++;
    if (has_replaced && stretch_of(set, replaced.ts) != NULL) {
        const struct ikey before = entry_ikey(&replaced);

        has_replaced = find_visible(set, before, hash, &replaced);
    }
    if (has_replaced)
        leave(set, &replaced);
    set->bytes += payload_of(entry);
    set->count++;
    return LSM_OK;
}

bool write_set_get(struct write_set *set, uint32_t keyspace, lsm_slice key, uint64_t hash,
                   struct entry *out)
{
    const struct ikey place = {.keyspace = keyspace, .key = key, .ts = TS_MAX};
    struct entry found;

    tidy(set);
    if (!find_visible(set, place, hash, &found))
        return false;
    found.ts = TS_MAX;
    *out = found;
    return true;
}

uint64_t write_set_bytes(const struct write_set *set)
{
    return set->bytes;
}

bool write_set_is_empty(const struct write_set *set)
{
    return set->count == 0;
}

size_t write_set_used(const struct write_set *set)
{
    return memtable_used(set->store->mem);
}

// --- savepoints ---

lsm_status write_set_savepoint(struct write_set *set)
{
    if (!mem_reserve(&set->savepoints, &set->savepoint_capacity, set->savepoint_count, 1,
                     sizeof *set->savepoints))
        return lsm_fail(LSM_NO_MEMORY, "write set: %zu savepoints", set->savepoint_count + 1);
    set->savepoints[set->savepoint_count++] = (struct savepoint_state){
        .mark = set->last, .bytes = set->bytes, .count = set->count, .kept_bytes = set->kept_bytes};
    return LSM_OK;
}

size_t write_set_savepoint_count(const struct write_set *set)
{
    return set->savepoint_count;
}

// Hides the operations after `mark`.
static lsm_status hide_after(struct write_set *set, uint64_t mark)
{
    size_t count = set->hidden_count;

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

lsm_status write_set_rollback(struct write_set *set, size_t savepoint)
{
    struct savepoint_state state;

    assert(savepoint < set->savepoint_count);
    state = set->savepoints[savepoint];
    if (state.mark != set->last)
        TRY(hide_after(set, state.mark));
    set->bytes = state.bytes;
    set->count = state.count;
    set->kept_bytes = state.kept_bytes;
    set->savepoint_count = savepoint + 1;
    need_less(set);
    return LSM_OK;
}

void write_set_release(struct write_set *set, size_t savepoint)
{
    assert(savepoint < set->savepoint_count);
    set->savepoint_count = savepoint;
    if (savepoint > 0)
        return; // the next copy finds out what the others keep
    set->kept_bytes = 0;
    need_less(set);
}

// --- the cursor ---

// `inner` stands on the version shown, which is the newest of its key
// that is visible and no newer than the cursor.
struct write_set_iter {
    struct iter base;
    struct write_set *set;
    struct store *store; // held
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

// Below which operation to look on for a version of the key that `inner` stands on: it stands on
// one that came later than the cursor or has been rolled back. False when it is visible.
static bool inner_is_hidden(const struct write_set_iter *it, uint64_t *below)
{
    const struct hidden_stretch *stretch;

    *below = it->last;
    if (it->inner->entry.ts > it->last)
        return true;
    stretch = stretch_of(it->set, it->inner->entry.ts);
    if (stretch == NULL)
        return false;
    *below = stretch->mark;
    return true;
}

static bool inner_is_at(const struct write_set_iter *it, const struct entry *key)
{
    return it->inner->is_valid && entry_same_key(&it->inner->entry, key);
}

// Passes the version that `inner` stands on, and all of its key above operation `below`.
// `*steps` counts how many were passed one by one.
static lsm_status pass(struct write_set_iter *it, uint64_t below, int *steps)
{
    struct ikey place = entry_ikey(&it->inner->entry);

    it->set->passed++;
    if (++*steps <= STEPS_BEFORE_SEEK)
        return iter_next(it->inner);
    *steps = 0;
    place.ts = below;
    return iter_seek(it->inner, &place);
}

// Goes on to the first visible version. Before the call `inner` stands on the newest
// version of a key, or on none.
static lsm_status settle_forward(struct write_set_iter *it)
{
    uint64_t below;
    int steps = 0;

    while (it->inner->is_valid && inner_is_hidden(it, &below))
        TRY(pass(it, below, &steps));
    return LSM_OK;
}

// Goes to the newest visible version of the key that `inner` stands on, or of the
// nearest key before it that has one.
static lsm_status settle_backward(struct write_set_iter *it)
{
    while (it->inner->is_valid) {
        const struct entry key = it->inner->entry;
        struct ikey newest = entry_ikey(&key);
        uint64_t below;
        int steps = 0;

        newest.ts = it->last;
        TRY(iter_seek(it->inner, &newest));
        while (inner_is_at(it, &key)) {
            if (!inner_is_hidden(it, &below))
                return LSM_OK;
            TRY(pass(it, below, &steps));
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
    int steps = 0;

    while (inner_is_at(it, &key))
        TRY(pass(it, 0, &steps)); // behind all versions of the key
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
    store_drop(it->store);
    it->set->cursor_count--;
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

lsm_status write_set_iter_new(struct write_set *set, struct iter **out)
{
    CLEANUP(mem_freep) struct write_set_iter *it = mem_alloc_zeroed(1, sizeof *it);

    if (it == NULL)
        return lsm_fail(LSM_NO_MEMORY, "write set cursor: %zu bytes", sizeof *it);
    tidy(set);
    TRY(memtable_iter_new(set->store->mem, &it->inner));
    it->base.ops = &write_set_iter_ops;
    it->set = set;
    it->store = set->store;
    it->store->holders++;
    it->set->cursor_count++;
    it->last = set->last;
    *out = &MOVE(it)->base;
    return LSM_OK;
}
