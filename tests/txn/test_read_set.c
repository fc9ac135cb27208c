// test_read_set.c -- what a transaction has read.

#include "txn/read_set.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "support/alloc_fault.h"
#include "support/random.h"

static void assert_ok(lsm_status status)
{
    cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
}

static struct read_set *new_set(void)
{
    struct read_set *set;

    assert_ok(read_set_new(&set));
    return set;
}

static void add_point(struct read_set *set, uint32_t keyspace, const char *key)
{
    assert_ok(read_set_add_point(set, keyspace, slice_of(key), key_hash(keyspace, slice_of(key))));
}

static void add_range(struct read_set *set, uint32_t keyspace, const char *low, const char *high)
{
    const struct read_range range = {.keyspace = keyspace,
                                     .low = slice_of(low),
                                     .high = slice_of(high == NULL ? "" : high),
                                     .is_open = high == NULL};

    assert_ok(read_set_add_range(set, &range));
}

static void add_range_of_one(struct read_set *set, uint32_t keyspace, lsm_slice key)
{
    const struct read_range range = {.keyspace = keyspace, .low = key, .high = key};

    assert_ok(read_set_add_range(set, &range));
}

// From `low` up to, but without `high`.
static void add_range_before(struct read_set *set, uint32_t keyspace, const char *low,
                             const char *high)
{
    const struct read_range range = {
        .keyspace = keyspace, .low = slice_of(low), .high = slice_of(high), .excludes_high = true};

    assert_ok(read_set_add_range(set, &range));
}

static void assert_range(const struct read_range *range, uint32_t keyspace, const char *low,
                         const char *high)
{
    cr_assert(eq(u32, range->keyspace, keyspace));
    cr_assert(slice_equal(range->low, slice_of(low)), "low of %s", low);
    cr_assert(eq(int, range->is_open, high == NULL));
    if (high != NULL)
        cr_assert(slice_equal(range->high, slice_of(high)), "high of %s", low);
}

// Whether a write to the key would be noticed. Bisects nothing, on purpose.
static bool covers(const struct read_set *set, uint32_t keyspace, lsm_slice key)
{
    size_t count;
    const struct read_point *points = read_set_points(set, &count);
    const struct read_range *ranges;

    for (size_t i = 0; i < count; i++) {
        if (points[i].keyspace == keyspace && slice_equal(points[i].key, key))
            return true;
    }
    ranges = read_set_ranges(set, &count);
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].keyspace == keyspace && slice_compare(ranges[i].low, key) <= 0 &&
            (ranges[i].is_open ||
             slice_compare(key, ranges[i].high) <= (ranges[i].excludes_high ? -1 : 0)))
            return true;
    }
    return false;
}

static void assert_in_order(const struct read_set *set)
{
    size_t count;
    const struct read_point *points = read_set_points(set, &count);
    const struct read_range *ranges;

    for (size_t i = 1; i < count; i++)
        cr_assert(points[i - 1].keyspace < points[i].keyspace ||
                  (points[i - 1].keyspace == points[i].keyspace &&
                   slice_compare(points[i - 1].key, points[i].key) < 0));
    ranges = read_set_ranges(set, &count);
    for (size_t i = 1; i < count; i++)
        cr_assert(ranges[i - 1].keyspace < ranges[i].keyspace ||
                  (ranges[i - 1].keyspace == ranges[i].keyspace && !ranges[i - 1].is_open &&
                   slice_compare(ranges[i - 1].high, ranges[i].low) < 0));
}

Test(read_set, a_new_one_is_empty)
{
    struct read_set *set = new_set();
    size_t count;

    cr_assert(read_set_is_empty(set));
    assert_ok(read_set_seal(set));
    (void)read_set_points(set, &count);
    cr_assert(eq(sz, count, 0));
    (void)read_set_ranges(set, &count);
    cr_assert(eq(sz, count, 0));
    read_set_free(set);
    read_set_free(NULL);
}

Test(read_set, points_are_sorted_and_kept_once)
{
    struct read_set *set = new_set();
    const struct read_point *points;
    size_t count;

    add_point(set, 2, "a");
    add_point(set, 1, "b");
    add_point(set, 1, "a");
    add_point(set, 1, "b");
    cr_assert(not(read_set_is_empty(set)));
    assert_ok(read_set_seal(set));
    points = read_set_points(set, &count);
    cr_assert(eq(sz, count, 3));
    cr_assert(slice_equal(points[0].key, slice_of("a")));
    cr_assert(slice_equal(points[1].key, slice_of("b")));
    cr_assert(eq(u32, points[2].keyspace, 2));
    cr_assert(eq(u64, points[1].hash, key_hash(1, slice_of("b"))));
    read_set_free(set);
}

Test(read_set, keys_are_copied)
{
    struct read_set *set = new_set();
    char key[] = "key";
    lsm_slice bytes = slice_make(key, 3);
    size_t count;

    assert_ok(read_set_add_point(set, 1, bytes, 0));
    add_range_of_one(set, 1, bytes);
    memset(key, 'x', 3);
    assert_ok(read_set_seal(set));
    cr_assert(slice_equal(read_set_points(set, &count)->key, slice_of("key")));
    cr_assert(slice_equal(read_set_ranges(set, &count)->low, slice_of("key")));
    cr_assert(slice_equal(read_set_ranges(set, &count)->high, slice_of("key")));
    read_set_free(set);
}

Test(read_set, ranges_that_overlap_are_joined)
{
    struct read_set *set = new_set();
    const struct read_range *ranges;
    size_t count;

    add_range(set, 1, "m", "p");
    add_range(set, 1, "a", "c");
    add_range(set, 1, "b", "bb");
    add_range(set, 1, "c", "d"); // touches: the ends belong to ranges
    add_range(set, 2, "b", "z");
    add_range(set, 2, "x", NULL);
    add_range(set, 2, "y", "zz");
    add_range(set, 3, "", NULL);
    add_range(set, 3, "q", "r");
    assert_ok(read_set_seal(set));
    ranges = read_set_ranges(set, &count);
    cr_assert(eq(sz, count, 4));
    assert_range(&ranges[0], 1, "a", "d");
    assert_range(&ranges[1], 1, "m", "p");
    assert_range(&ranges[2], 2, "b", NULL);
    assert_range(&ranges[3], 3, "", NULL);
    read_set_free(set);
}

Test(read_set, a_range_may_end_before_its_high_end)
{
    struct read_set *set = new_set();
    const struct read_range *ranges;
    size_t count;

    add_range_before(set, 1, "a", "c");
    add_range_before(set, 1, "d", "f");
    add_range_before(set, 1, "f", "h"); // adjoins: nothing lies between
    add_range_before(set, 1, "p", "r");
    add_range(set, 1, "q", "r");        // reaches one key further
    add_range_before(set, 1, "x", "x"); // empty
    assert_ok(read_set_seal(set));
    ranges = read_set_ranges(set, &count);
    cr_assert(eq(sz, count, 4));
    assert_range(&ranges[0], 1, "a", "c");
    assert_range(&ranges[1], 1, "d", "h");
    assert_range(&ranges[2], 1, "p", "r");
    cr_assert(covers(set, 1, slice_of("bb")));
    cr_assert(not(covers(set, 1, slice_of("c"))));
    cr_assert(covers(set, 1, slice_of("f")));
    cr_assert(not(covers(set, 1, slice_of("h"))));
    cr_assert(covers(set, 1, slice_of("r")));
    cr_assert(not(covers(set, 1, slice_of("x"))));
    read_set_free(set);
}

Test(read_set, of_two_ranges_with_one_high_end_the_joined_one_keeps_it)
{
    struct read_set *set = new_set();
    const struct read_range *ranges;
    size_t count;

    add_range(set, 1, "a", "m");
    add_range_before(set, 1, "b", "m");
    add_range_before(set, 2, "a", "m");
    add_range(set, 2, "b", "m");
    assert_ok(read_set_seal(set));
    ranges = read_set_ranges(set, &count);
    cr_assert(eq(sz, count, 2));
    cr_assert(not(ranges[0].excludes_high));
    cr_assert(not(ranges[1].excludes_high));
    read_set_free(set);
}

Test(read_set, it_may_be_added_to_after_sealing)
{
    struct read_set *set = new_set();

    add_point(set, 1, "b");
    assert_ok(read_set_seal(set));
    add_point(set, 1, "a");
    add_range(set, 1, "x", "y");
    assert_ok(read_set_seal(set));
    assert_in_order(set);
    cr_assert(covers(set, 1, slice_of("a")));
    cr_assert(covers(set, 1, slice_of("b")));
    cr_assert(covers(set, 1, slice_of("xx")));
    read_set_free(set);
}

static lsm_slice numbered(uint64_t number, char *to)
{
    const int size = snprintf(to, 32, "%012llu", (unsigned long long)number);

    return slice_make(to, (size_t)size);
}

// Scattered keys in two keyspaces, ten times more than are kept as points.
Test(read_set, too_many_points_become_ranges_and_none_is_lost)
{
    enum { POINTS = 10 * READ_SET_POINTS_MAX };
    struct read_set *set = new_set();
    size_t points;
    size_t ranges;
    char key[32];

    for (uint64_t i = 0; i < POINTS; i++)
        assert_ok(read_set_add_point(set, i % 2, numbered(i * 7919 % 1000003, key), i));
    assert_ok(read_set_seal(set));
    assert_in_order(set);
    (void)read_set_points(set, &points);
    (void)read_set_ranges(set, &ranges);
    cr_assert(le(sz, points, READ_SET_POINTS_MAX));
    cr_assert(le(sz, ranges, READ_SET_POINTS_MAX));
    cr_assert(gt(sz, ranges, 1));
    for (uint64_t i = 0; i < POINTS; i += 997)
        cr_assert(covers(set, i % 2, numbered(i * 7919 % 1000003, key)));
    read_set_free(set);
}

Test(read_set, too_many_ranges_become_fewer_and_none_is_lost)
{
    enum { RANGES = 3 * READ_SET_POINTS_MAX };
    struct read_set *set = new_set();
    char key[32];
    size_t count;

    for (uint64_t i = 0; i < RANGES; i++) {
        add_range_of_one(set, 1, numbered(i * 7919 % 1000003, key));
    }
    assert_ok(read_set_seal(set));
    assert_in_order(set);
    (void)read_set_ranges(set, &count);
    cr_assert(le(sz, count, READ_SET_POINTS_MAX));
    for (uint64_t i = 0; i < RANGES; i += 997)
        cr_assert(covers(set, 1, numbered(i * 7919 % 1000003, key)));
    read_set_free(set);
}

Test(read_set, reading_the_same_keys_for_ever_takes_bounded_memory)
{
    struct read_set *set;
    char key[32];
    size_t count;

    cr_assert(alloc_fault_install());
    set = new_set();
    for (uint64_t i = 0; i < 8 * READ_SET_POINTS_MAX; i++)
        assert_ok(read_set_add_point(set, 1, numbered(i % 1000, key), i % 1000));
    // Chunks of keys between two compactions, whose number does not depend on how often.
    cr_assert(lt(sz, alloc_fault_live(), 16 * READ_SET_POINTS_MAX / 4096 * 2));
    assert_ok(read_set_seal(set));
    (void)read_set_points(set, &count);
    cr_assert(eq(sz, count, 1000));
    (void)read_set_ranges(set, &count);
    cr_assert(eq(sz, count, 0));
    read_set_free(set);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

// What was refused may be added again; what was accepted stays.
Test(read_set, without_memory_nothing_is_added_and_nothing_lost)
{
    enum { POINTS = READ_SET_POINTS_MAX + 100 };
    struct read_set *set = NULL;
    char key[32];
    lsm_status status;

    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH({
        status = read_set_new(&set);
        if (alloc_fault_was_hit())
            cr_assert(eq(int, status, LSM_NO_MEMORY));
    });
    for (uint64_t i = 0; i < POINTS; i++) {
        const lsm_slice low = numbered(i, key);
        const struct read_range range = {.keyspace = 1, .low = low, .high = low};

        ALLOC_FAULT_EACH({
            status = read_set_add_point(set, 0, low, i);
            if (status == LSM_OK)
                break;
            cr_assert(eq(int, status, LSM_NO_MEMORY));
        });
        if (i % 64 != 0)
            continue;
        ALLOC_FAULT_EACH({
            status = read_set_add_range(set, &range);
            if (status == LSM_OK)
                break;
            cr_assert(eq(int, status, LSM_NO_MEMORY));
        });
    }
    alloc_fault_at(0, false);
    assert_ok(read_set_seal(set));
    assert_in_order(set);
    for (uint64_t i = 0; i < POINTS; i += 64) {
        cr_assert(covers(set, 0, numbered(i, key)));
        cr_assert(covers(set, 1, numbered(i, key)));
    }
    read_set_free(set);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}
