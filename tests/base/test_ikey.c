// test_ikey.c -- the order of entries.

#include "base/ikey.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/random.h"

static struct entry entry_at(uint32_t keyspace, const char *key, uint64_t ts)
{
    return (struct entry){.keyspace = keyspace,
                          .kind = ENTRY_VALUE,
                          .ts = ts,
                          .head = slice_head(slice_of(key)),
                          .key = slice_of(key)};
}

// Checks both comparisons, in both directions.
static void check_before(struct entry first, struct entry second)
{
    struct ikey a = entry_ikey(&first);
    struct ikey b = entry_ikey(&second);

    cr_assert(lt(int, entry_compare(&first, &second), 0));
    cr_assert(gt(int, entry_compare(&second, &first), 0));
    cr_assert(lt(int, ikey_compare(&a, &b), 0));
    cr_assert(gt(int, ikey_compare(&b, &a), 0));
}

Test(ikey, keyspace_decides_first_then_key_then_the_newer_timestamp)
{
    check_before(entry_at(1, "z", 1), entry_at(2, "a", 9));
    check_before(entry_at(1, "a", 1), entry_at(1, "b", 9));
    check_before(entry_at(1, "a", 9), entry_at(1, "a", 1));
    check_before(entry_at(1, "a", TS_MAX), entry_at(1, "a", 0));
}

Test(ikey, keys_with_equal_heads_are_compared_whole)
{
    check_before(entry_at(1, "12345678a", 1), entry_at(1, "12345678b", 9));
    check_before(entry_at(1, "12345678", 1), entry_at(1, "123456780", 9));
    check_before(entry_at(1, "a", 1), (struct entry){.keyspace = 1,
                                                     .ts = 9,
                                                     .head = slice_head(slice_of("a")),
                                                     .key = slice_make("a\0", 2)});
}

Test(ikey, both_comparisons_agree)
{
    static const char *const keys[] = {"", "a", "ab", "abcdefgh", "abcdefghi", "abcdefgi", "b"};
    struct random random = random_for_test(__func__);

    for (int i = 0; i < 50000; i++) {
        struct entry a = entry_at((uint32_t)random_below(&random, 2),
                                  keys[random_below(&random, 7)], random_below(&random, 3));
        struct entry b = entry_at((uint32_t)random_below(&random, 2),
                                  keys[random_below(&random, 7)], random_below(&random, 3));
        struct ikey x = entry_ikey(&a);
        struct ikey y = entry_ikey(&b);
        int order = entry_compare(&a, &b);

        cr_assert(eq(int, (order > 0) - (order < 0),
                     (ikey_compare(&x, &y) > 0) - (ikey_compare(&x, &y) < 0)));
        cr_assert(
            eq(int, entry_same_key(&a, &b), a.keyspace == b.keyspace && slice_equal(a.key, b.key)));
    }
}

Test(ikey, tombstones_and_expired_entries_read_as_absent)
{
    struct entry e = entry_at(1, "a", 1);

    cr_assert(not(entry_is_absent(&e, 1000)));
    e.expiry = 1000;
    cr_assert(not(entry_is_absent(&e, 999)));
    cr_assert(entry_is_absent(&e, 1000));
    cr_assert(not(entry_is_absent(&e, 0)), "at time 0 nothing has expired");
    e.expiry = 0;
    e.kind = ENTRY_DELETE;
    cr_assert(entry_is_absent(&e, 0));
}

Test(ikey, reserved_kinds_are_not_known)
{
    cr_assert(entry_kind_is_known(ENTRY_VALUE));
    cr_assert(entry_kind_is_known(ENTRY_POINTER));
    cr_assert(entry_kind_is_known(ENTRY_DELETE));
    cr_assert(not(entry_kind_is_known(0)));
    cr_assert(not(entry_kind_is_known(ENTRY_RANGE_DELETE)));
    cr_assert(not(entry_kind_is_known(ENTRY_MERGE)));
    cr_assert(not(entry_kind_is_known(255)));
}
