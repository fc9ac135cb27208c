// conflict.c -- a table of points, and a ring of commits for ranges.
//
// The table is an array of buckets, chosen by some bits of the key's hash; a bucket
// holds the last commit timestamps of ten keys, each under a tag of other bits, and a
// floor: the newest timestamp that had to make room. Two keys with one bucket and one
// tag count as the same key.
//
// The role writes, anyone reads, without a lock. Timestamps ascend, so an entry's
// timestamp and a bucket's floor only rise, whichever key the entry is given to. To
// give it away the role raises the floor to its timestamp, takes the tag away, stores
// the new timestamp, then the new tag, each with release. A reader, loading with
// acquire, looks for the tag first and at the floor last:
//
// - it finds the tag, the timestamp, and the tag again: as its key's tag was not taken
//   away before, the timestamp is its key's, the last one or a newer one;
// - it finds another tag where its key's had been: then it finds the floor raised to
//   its key's timestamp, or above.
//
// So of the commits noted before the check began none is missed.

#include "txn/conflict.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "base/schedule.h"
#include "txn/commit_ring.h"

#define BYTES_MIN      ((size_t)64 << 10)
#define BUCKET_ENTRIES 10
#define BUCKET_SIZE    128
#define KEY_BYTES_TOLD 64 // of a key in the words of a conflict

struct bucket {
    _Alignas(BUCKET_SIZE) _Atomic uint64_t floor;
    _Atomic uint32_t tags[BUCKET_ENTRIES]; // 0: none
    _Atomic uint64_t ts[BUCKET_ENTRIES];
};

static_assert(sizeof(struct bucket) == BUCKET_SIZE, "two cache lines");

struct conflict_history {
    // Immutable.
    void *memory;           // where the buckets lie
    struct bucket *buckets; // aligned
    size_t bucket_mask;
    uint64_t first_floor; // commits up to it were never noted
    struct commit_ring *ring;
    bool shows_keys;

    _Atomic uint64_t points_floor; // the highest of the buckets; written by the role
};

// What the table knows of a key.
enum point_state {
    POINT_UNCHANGED,
    POINT_CHANGED,
    POINT_FORGOTTEN, // the bucket's floor is too high to tell
};

static void conflict_history_freep(struct conflict_history **history)
{
    conflict_history_free(*history);
}

// The pages of the table are touched when they are first written, so that a history
// that is not used costs nothing.
static lsm_status table_new(struct conflict_history *history, size_t bytes)
{
    size_t count = 1;
    uintptr_t at;

    while (count * 2 * BUCKET_SIZE <= bytes)
        count *= 2;
    history->memory = mem_alloc_zeroed(count + 1, BUCKET_SIZE);
    if (history->memory == NULL)
        return lsm_fail(LSM_NO_MEMORY, "commit history: %zu buckets", count);
    at = ((uintptr_t)history->memory + BUCKET_SIZE - 1) & ~(uintptr_t)(BUCKET_SIZE - 1);
    history->buckets = (struct bucket *)at;
    history->bucket_mask = count - 1;
    return LSM_OK;
}

lsm_status conflict_history_new(size_t bytes_max, uint64_t last_ts, struct conflict_history **out)
{
    CLEANUP(conflict_history_freep)
    struct conflict_history *history = mem_alloc_zeroed(1, sizeof *history);

    if (history == NULL)
        return lsm_fail(LSM_NO_MEMORY, "commit history: %zu bytes", sizeof *history);
    if (bytes_max < BYTES_MIN)
        bytes_max = BYTES_MIN;
    history->first_floor = last_ts;
    atomic_init(&history->points_floor, last_ts);
    TRY(table_new(history, bytes_max / 2));
    TRY(commit_ring_new(bytes_max / 2, last_ts, &history->ring));
    *out = MOVE(history);
    return LSM_OK;
}

void conflict_history_free(struct conflict_history *history)
{
    if (history == NULL)
        return;
    commit_ring_free(history->ring);
    mem_free(history->memory);
    mem_free(history);
}

// Where a key stands in the table. Its hash alone would not do: the keyspace is only its seed,
// under which short keys of neighbouring keyspaces share a hash.
static uint64_t point_hash(uint32_t keyspace, uint64_t hash)
{
    return hash ^ keyspace * UINT64_C(0x9E3779B97F4A7C15);
}

static struct bucket *bucket_of(const struct conflict_history *history, uint64_t hash)
{
    return &history->buckets[hash & history->bucket_mask];
}

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1;
}

// The entry of the bucket with tag `tag`, else the oldest.
static size_t entry_for(const struct bucket *bucket, uint32_t tag)
{
    uint64_t oldest_ts = TS_MAX;
    size_t oldest = 0;

    for (size_t i = 0; i < BUCKET_ENTRIES; i++) {
        const uint64_t ts = atomic_load_explicit(&bucket->ts[i], memory_order_relaxed);

        if (atomic_load_explicit(&bucket->tags[i], memory_order_relaxed) == tag)
            return i;
        if (ts < oldest_ts) {
            oldest_ts = ts;
            oldest = i;
        }
    }
    return oldest;
}

static void raise_by_role(_Atomic uint64_t *value, uint64_t to)
{
    if (atomic_load_explicit(value, memory_order_relaxed) < to)
        atomic_store_explicit(value, to, memory_order_release);
}

// The order of the stores is what the proof above rests on.
static void point_note(struct conflict_history *history, uint64_t hash, uint64_t ts)
{
    struct bucket *bucket = bucket_of(history, hash);
    const uint32_t tag = tag_of(hash);
    const size_t i = entry_for(bucket, tag);

    if (atomic_load_explicit(&bucket->tags[i], memory_order_relaxed) == tag) {
        atomic_store_explicit(&bucket->ts[i], ts, memory_order_release);
        return;
    }
    raise_by_role(&bucket->floor, atomic_load_explicit(&bucket->ts[i], memory_order_relaxed));
    raise_by_role(&history->points_floor,
                  atomic_load_explicit(&bucket->ts[i], memory_order_relaxed));
    SCHEDULE_POINT();
    atomic_store_explicit(&bucket->tags[i], 0, memory_order_release);
    atomic_store_explicit(&bucket->ts[i], ts, memory_order_release);
    atomic_store_explicit(&bucket->tags[i], tag, memory_order_release);
}

void conflict_history_add(struct conflict_history *history, uint64_t ts,
                          const struct conflict_write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct ring_write write = {
            .ts = ts, .keyspace = writes[i].keyspace, .key = writes[i].key};

        point_note(history, point_hash(writes[i].keyspace, writes[i].hash), ts);
        commit_ring_add(history->ring, &write);
    }
}

static enum point_state point_state(const struct conflict_history *history, uint64_t hash,
                                    uint64_t after)
{
    const struct bucket *bucket = bucket_of(history, hash);
    const uint32_t tag = tag_of(hash);

    for (size_t i = 0; i < BUCKET_ENTRIES; i++) {
        if (atomic_load_explicit(&bucket->tags[i], memory_order_acquire) == tag &&
            atomic_load_explicit(&bucket->ts[i], memory_order_acquire) > after &&
            atomic_load_explicit(&bucket->tags[i], memory_order_relaxed) == tag)
            return POINT_CHANGED;
    }
    if (history->first_floor > after ||
        atomic_load_explicit(&bucket->floor, memory_order_acquire) > after)
        return POINT_FORGOTTEN;
    return POINT_UNCHANGED;
}

void conflict_history_show_keys(struct conflict_history *history)
{
    history->shows_keys = true;
}

// What messages say of a key. Of one that may be shown the first bytes: printable ASCII as it
// is, the rest in hex.
struct key_words {
    char text[4 * KEY_BYTES_TOLD + sizeof "key \"...\""];
};

static struct key_words key_in_words(const struct conflict_history *history, lsm_slice key)
{
    const uint8_t *bytes = key.data;
    const size_t told = key.size < KEY_BYTES_TOLD ? key.size : KEY_BYTES_TOLD;
    struct key_words words = {"a key"};
    char *at = words.text;

    if (!history->shows_keys)
        return words;
    at = stpcpy(at, "key \"");
    for (size_t i = 0; i < told; i++) {
        if (bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '"' && bytes[i] != '\\')
            *at++ = (char)bytes[i];
        else
            at += snprintf(at, sizeof "\\xff", "\\x%02x", bytes[i]);
    }
    strcpy(at, told < key.size ? "...\"" : "\"");
    return words;
}

static lsm_status conflict_on(const struct conflict_history *history, uint32_t keyspace,
                              lsm_slice key, uint64_t after)
{
    return lsm_fail(LSM_CONFLICT,
                    "another transaction wrote %s of keyspace %" PRIu32 " after timestamp %" PRIu64
                    "; run this one again",
                    key_in_words(history, key).text, keyspace, after);
}

static lsm_status conflict_for_age(const struct conflict_history *history, uint32_t keyspace,
                                   lsm_slice key, uint64_t after)
{
    return lsm_fail(LSM_CONFLICT,
                    "the transaction reads at timestamp %" PRIu64
                    ", from which on commits near %s of keyspace %" PRIu32
                    " are no longer remembered; run it again",
                    after, key_in_words(history, key).text, keyspace);
}

static lsm_status check_point(const struct conflict_history *history,
                              const struct read_point *point, uint64_t after,
                              const struct conflict_fallback *fallback)
{
    uint64_t newest;

    switch (point_state(history, point_hash(point->keyspace, point->hash), after)) {
    case POINT_UNCHANGED:
        return LSM_OK;
    case POINT_CHANGED:
        return conflict_on(history, point->keyspace, point->key, after);
    case POINT_FORGOTTEN:
        if (PLANTED(FORGET_EVICTED_COMMITS))
            return LSM_OK;
        break;
    }
    if (fallback == NULL)
        return conflict_for_age(history, point->keyspace, point->key, after);
    TRY(fallback->newest_of_point(fallback->ctx, point, &newest));
    return newest > after ? conflict_on(history, point->keyspace, point->key, after) : LSM_OK;
}

// A walk of the ring that looks for a write into one of the ranges.
struct range_search {
    const struct conflict_history *history;
    const struct read_range *ranges; // disjoint and in order
    size_t count;
    uint64_t after;
    lsm_status status; // the conflict found
};

static bool range_begins_behind(const struct read_range *range, const struct ring_write *write)
{
    if (range->keyspace != write->keyspace)
        return range->keyspace > write->keyspace;
    return slice_compare(range->low, write->key) > 0;
}

static bool range_search_step(void *ctx, const struct ring_write *write)
{
    struct range_search *search = ctx;
    const struct read_range *range;
    size_t low = 0;
    size_t high = search->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (range_begins_behind(&search->ranges[middle], write))
            high = middle;
        else
            low = middle + 1;
    }
    if (low == 0)
        return true;
    range = &search->ranges[low - 1];
    if (range->keyspace != write->keyspace || read_range_ends_before(range, write->key))
        return true;
    search->status = conflict_on(search->history, write->keyspace, write->key, search->after);
    return false;
}

static lsm_status check_ranges_by_fallback(const struct conflict_history *history,
                                           const struct read_range *ranges, size_t count,
                                           uint64_t after, const struct conflict_fallback *fallback)
{
    if (fallback == NULL)
        return conflict_for_age(history, ranges->keyspace, ranges->low, after);
    for (size_t i = 0; i < count; i++) {
        uint64_t newest;

        TRY(fallback->newest_in_range(fallback->ctx, &ranges[i], &newest));
        if (newest > after)
            return conflict_on(history, ranges[i].keyspace, ranges[i].low, after);
    }
    return LSM_OK;
}

static lsm_status check_ranges(const struct conflict_history *history,
                               const struct read_range *ranges, size_t count, uint64_t after,
                               uint64_t up_to, const struct conflict_fallback *fallback)
{
    struct range_search search = {
        .history = history, .ranges = ranges, .count = count, .after = after};

    if (count == 0 || PLANTED(SKIP_RANGE_VALIDATION))
        return LSM_OK;
    if (!commit_ring_walk(history->ring, after, up_to, range_search_step, &search))
        return check_ranges_by_fallback(history, ranges, count, after, fallback);
    return search.status;
}

lsm_status conflict_history_check(struct conflict_history *history, const struct read_set *set,
                                  uint64_t after, uint64_t up_to,
                                  const struct conflict_fallback *fallback)
{
    size_t point_count;
    size_t range_count;
    const struct read_point *points = read_set_points(set, &point_count);
    const struct read_range *ranges = read_set_ranges(set, &range_count);

    if (after >= up_to)
        return LSM_OK;
    if (PLANTED(SKIP_POINT_VALIDATION))
        point_count = 0;
    for (size_t i = 0; i < point_count; i++)
        TRY(check_point(history, &points[i], after, fallback));
    return check_ranges(history, ranges, range_count, after, up_to, fallback);
}

lsm_status conflict_history_check_writes(struct conflict_history *history,
                                         const struct conflict_write *writes, size_t count,
                                         uint64_t after, uint64_t up_to,
                                         const struct conflict_fallback *fallback)
{
    if (after >= up_to || PLANTED(SNAPSHOT_SKIPS_FIRST_COMMITTER))
        return LSM_OK;
    for (size_t i = 0; i < count; i++) {
        const struct read_point point = {
            .hash = writes[i].hash, .keyspace = writes[i].keyspace, .key = writes[i].key};

        TRY(check_point(history, &point, after, fallback));
    }
    return LSM_OK;
}

uint64_t conflict_history_floor(const struct conflict_history *history)
{
    const uint64_t points = atomic_load_explicit(&history->points_floor, memory_order_acquire);
    const uint64_t ring = commit_ring_floor(history->ring);

    return points > ring ? points : ring;
}
