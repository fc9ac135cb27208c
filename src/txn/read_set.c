// read_set.c -- two growing arrays whose keys lie in an arena.
//
// Additions are appended as they come. An array that is full is put in order and
// joined; if that does not halve it, it is made coarser: points become ranges over
// several neighbours, neighbouring ranges become one. The keys that are still named
// then move to a fresh arena, so memory is bounded by what the arrays may hold.

#include "txn/read_set.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

#define RANGES_MAX       READ_SET_POINTS_MAX
#define POINTS_PER_RANGE 16 // neighbours joined when there are too many points
#define ARENA_CHUNK      4096

struct read_set {
    struct arena arena; // keys

    struct read_point *points;
    size_t point_count;
    size_t point_capacity;

    struct read_range *ranges;
    size_t range_count;
    size_t range_capacity;
};

lsm_status read_set_new(struct read_set **out)
{
    struct read_set *set = mem_alloc_zeroed(1, sizeof *set);

    if (set == NULL)
        return lsm_fail(LSM_NO_MEMORY, "read set: %zu bytes", sizeof *set);
    arena_init(&set->arena, ARENA_CHUNK);
    *out = set;
    return LSM_OK;
}

void read_set_free(struct read_set *set)
{
    if (set == NULL)
        return;
    arena_release(&set->arena);
    mem_free(set->points);
    mem_free(set->ranges);
    mem_free(set);
}

static int order_keys(uint32_t keyspace_a, lsm_slice a, uint32_t keyspace_b, lsm_slice b)
{
    int order = (keyspace_a > keyspace_b) - (keyspace_a < keyspace_b);

    return order != 0 ? order : slice_compare(a, b);
}

static int order_points(const void *left, const void *right)
{
    const struct read_point *a = left;
    const struct read_point *b = right;

    return order_keys(a->keyspace, a->key, b->keyspace, b->key);
}

static int order_ranges(const void *left, const void *right)
{
    const struct read_range *a = left;
    const struct read_range *b = right;

    return order_keys(a->keyspace, a->low, b->keyspace, b->low);
}

// Sorts, and leaves out what is there twice.
static void points_join(struct read_set *set)
{
    size_t kept = 0;

    if (set->point_count == 0)
        return;
    qsort(set->points, set->point_count, sizeof *set->points, order_points);
    for (size_t i = 1; i < set->point_count; i++) {
        if (order_points(&set->points[kept], &set->points[i]) != 0)
            set->points[++kept] = set->points[i];
    }
    set->point_count = kept + 1;
}

// Whether `a` ends behind the end of `b`.
static bool range_ends_behind(const struct read_range *a, const struct read_range *b)
{
    int order;

    if (a->is_open || b->is_open)
        return !b->is_open;
    order = slice_compare(a->high, b->high);
    return order > 0 || (order == 0 && b->excludes_high && !a->excludes_high);
}

// Extends `range` to the end of `other`, which does not begin before it.
static void range_extend(struct read_range *range, const struct read_range *other)
{
    if (!range_ends_behind(other, range))
        return;
    range->high = other->high;
    range->excludes_high = other->excludes_high;
    range->is_open = other->is_open;
}

// Whether `other`, which does not begin before `range`, overlaps or adjoins it.
static bool range_reaches(const struct read_range *range, const struct read_range *other)
{
    return range->keyspace == other->keyspace &&
           (range->is_open || slice_compare(other->low, range->high) <= 0);
}

// Sorts, and joins what overlaps.
static void ranges_join(struct read_set *set)
{
    size_t kept = 0;

    if (set->range_count == 0)
        return;
    qsort(set->ranges, set->range_count, sizeof *set->ranges, order_ranges);
    for (size_t i = 1; i < set->range_count; i++) {
        if (range_reaches(&set->ranges[kept], &set->ranges[i]))
            range_extend(&set->ranges[kept], &set->ranges[i]);
        else
            set->ranges[++kept] = set->ranges[i];
    }
    set->range_count = kept + 1;
}

// Joins each range with its neighbour, gap included.
static void ranges_coarsen(struct read_set *set)
{
    size_t kept = 0;
    size_t i = 0;

    while (i < set->range_count) {
        struct read_range range = set->ranges[i++];

        if (i < set->range_count && set->ranges[i].keyspace == range.keyspace)
            range_extend(&range, &set->ranges[i++]);
        set->ranges[kept++] = range;
    }
    set->range_count = kept;
}

// Puts neighbouring points into ranges. There is room for them.
static void points_coarsen(struct read_set *set)
{
    size_t i = 0;

    while (i < set->point_count) {
        const struct read_point *first = &set->points[i];
        size_t last = i;

        while (last + 1 < set->point_count && last + 1 < i + POINTS_PER_RANGE &&
               set->points[last + 1].keyspace == first->keyspace)
            last++;
        assert(set->range_count < set->range_capacity);
        set->ranges[set->range_count++] = (struct read_range){
            .keyspace = first->keyspace, .low = first->key, .high = set->points[last].key};
        i = last + 1;
    }
    set->point_count = 0;
}

static lsm_status no_memory(size_t bytes)
{
    return lsm_fail(LSM_NO_MEMORY, "read set: %zu bytes", bytes);
}

// Copies the bytes of `*key` into `arena` and lets it name the copy.
static lsm_status key_copy(struct arena *arena, lsm_slice *key)
{
    void *copy;

    if (key->size == 0) {
        *key = slice_make(NULL, 0);
        return LSM_OK;
    }
    copy = arena_alloc(arena, key->size);
    if (copy == NULL)
        return no_memory(key->size);
    memcpy(copy, key->data, key->size);
    *key = slice_make(copy, key->size);
    return LSM_OK;
}

static lsm_status points_reserve(struct read_set *set, size_t more)
{
    if (!mem_reserve(&set->points, &set->point_capacity, set->point_count, more,
                     sizeof *set->points))
        return no_memory((set->point_count + more) * sizeof *set->points);
    return LSM_OK;
}

static lsm_status ranges_reserve(struct read_set *set, size_t more)
{
    if (!mem_reserve(&set->ranges, &set->range_capacity, set->range_count, more,
                     sizeof *set->ranges))
        return no_memory((set->range_count + more) * sizeof *set->ranges);
    return LSM_OK;
}

// Bytes of the keys that are named, and how many they are.
static size_t named_bytes(const struct read_set *set, size_t *count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < set->point_count; i++)
        bytes += set->points[i].key.size;
    for (size_t i = 0; i < set->range_count; i++)
        bytes += set->ranges[i].low.size + set->ranges[i].high.size;
    *count = set->point_count + 2 * set->range_count;
    return bytes;
}

// Moves the keys that are still named to a fresh arena. Without memory for that they
// stay where they are, with the others.
static void keys_compact(struct read_set *set)
{
    struct arena arena;
    size_t count;
    const size_t bytes = named_bytes(set, &count);

    arena_init(&arena, ARENA_CHUNK);
    if (!arena_reserve(&arena, bytes, count)) {
        arena_release(&arena);
        return;
    }
    for (size_t i = 0; i < set->point_count; i++)
        (void)key_copy(&arena, &set->points[i].key);
    for (size_t i = 0; i < set->range_count; i++) {
        (void)key_copy(&arena, &set->ranges[i].low);
        (void)key_copy(&arena, &set->ranges[i].high);
    }
    arena_release(&set->arena);
    set->arena = arena;
}

static void ranges_shrink(struct read_set *set)
{
    ranges_join(set);
    if (set->range_count > RANGES_MAX / 2)
        ranges_coarsen(set);
    keys_compact(set);
}

static lsm_status points_shrink(struct read_set *set)
{
    points_join(set);
    if (set->point_count > READ_SET_POINTS_MAX / 2) {
        if (set->range_count >= RANGES_MAX)
            ranges_shrink(set);
        TRY(ranges_reserve(set, set->point_count));
        points_coarsen(set);
    }
    keys_compact(set);
    return LSM_OK;
}

lsm_status read_set_add_point(struct read_set *set, uint32_t keyspace, lsm_slice key, uint64_t hash)
{
    struct read_point point = {.hash = hash, .keyspace = keyspace, .key = key};

    if (set->point_count > 0 && order_points(&set->points[set->point_count - 1], &point) == 0)
        return LSM_OK; // read again right away, as loops do
    if (set->point_count >= READ_SET_POINTS_MAX)
        TRY(points_shrink(set));
    TRY(points_reserve(set, 1));
    TRY(key_copy(&set->arena, &point.key));
    set->points[set->point_count++] = point;
    return LSM_OK;
}

lsm_status read_set_add_range(struct read_set *set, const struct read_range *range)
{
    struct read_range copy = *range;

    assert(copy.is_open || slice_compare(copy.low, copy.high) <= 0);
    if (set->range_count >= RANGES_MAX)
        ranges_shrink(set);
    TRY(ranges_reserve(set, 1));
    if (copy.is_open)
        copy.high = slice_make(NULL, 0);
    TRY(key_copy(&set->arena, &copy.low));
    TRY(key_copy(&set->arena, &copy.high));
    set->ranges[set->range_count++] = copy;
    return LSM_OK;
}

bool read_set_is_empty(const struct read_set *set)
{
    return set->point_count == 0 && set->range_count == 0;
}

lsm_status read_set_seal(struct read_set *set)
{
    points_join(set);
    ranges_join(set);
    return LSM_OK;
}

const struct read_point *read_set_points(const struct read_set *set, size_t *count)
{
    *count = set->point_count;
    return set->points;
}

const struct read_range *read_set_ranges(const struct read_set *set, size_t *count)
{
    *count = set->range_count;
    return set->ranges;
}
