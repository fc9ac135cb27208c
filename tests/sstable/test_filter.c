// test_filter.c -- filters deny no key that was added, and few others pass.

#include "sstable/filter.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/hash.h"
#include "support/alloc_fault.h"

static uint64_t hash_of(uint64_t i)
{
    return key_hash(1, slice_make(&i, sizeof i));
}

static struct filter build(size_t keys, double bits, lsm_buf *bytes)
{
    struct filter_builder b;
    struct filter filter;

    filter_builder_init(&b);
    for (uint64_t i = 0; i < keys; i++)
        cr_assert(eq(int, filter_builder_add(&b, hash_of(i)), LSM_OK));
    cr_assert(eq(int, filter_builder_encode(&b, bits, bytes), LSM_OK));
    filter_builder_release(&b);
    cr_assert(eq(int, filter_open(slice_of_buf(bytes), &filter), LSM_OK));
    cr_assert(eq(u64, filter.key_count, keys));
    return filter;
}

// The share of keys not added that pass.
static double error_rate(size_t keys, double bits)
{
    const uint64_t probes = 400000;
    lsm_buf bytes = {.data = NULL};
    struct filter filter = build(keys, bits, &bytes);
    uint64_t passed = 0;

    for (uint64_t i = 0; i < keys; i++)
        cr_assert(filter_may_contain(&filter, hash_of(i)), "key %zu is denied", (size_t)i);
    for (uint64_t i = 0; i < probes; i++)
        passed += filter_may_contain(&filter, hash_of(i + (1ull << 40)));
    lsm_buf_free(&bytes);
    return (double)passed / (double)probes;
}

Test(filter, errs_as_rarely_as_its_bits_allow)
{
    cr_assert(lt(dbl, error_rate(200000, 10), 0.012));
    cr_assert(lt(dbl, error_rate(200000, 16), 0.0016));
    cr_assert(lt(dbl, error_rate(200000, 6.5), 0.055));
    cr_assert(gt(dbl, error_rate(200000, 6.5), 0.02), "better than possible: a broken test");
    cr_assert(lt(dbl, error_rate(200000, 0.5), 0.95));
}

Test(filter, holds_few_keys_and_none)
{
    for (size_t keys = 0; keys < 70; keys++)
        cr_assert(le(dbl, error_rate(keys, 10), 0.05), "%zu keys", keys);
}

Test(filter, without_bits_everything_passes)
{
    lsm_buf bytes = {.data = NULL};
    struct filter filter = build(100, 0, &bytes);

    cr_assert(eq(sz, bytes.size, FILTER_TAIL_SIZE));
    cr_assert(filter_may_contain(&filter, 12345));
    lsm_buf_free(&bytes);
}

Test(filter, a_malformed_block_is_corrupt)
{
    lsm_buf bytes = {.data = NULL};
    struct filter filter = build(100, 10, &bytes);
    uint8_t *tail = (uint8_t *)bytes.data + bytes.size - FILTER_TAIL_SIZE;

    for (size_t size = 0; size < bytes.size; size++)
        cr_assert(eq(int, filter_open(slice_make(bytes.data, size), &filter), LSM_CORRUPT));
    tail[8] = 0; // no probes, but lines
    cr_assert(eq(int, filter_open(slice_of_buf(&bytes), &filter), LSM_CORRUPT));
    tail[8] = FILTER_PROBES_MAX + 1;
    cr_assert(eq(int, filter_open(slice_of_buf(&bytes), &filter), LSM_CORRUPT));
    lsm_buf_free(&bytes);
}

Test(filter, reports_a_lack_of_memory)
{
    struct filter_builder b;
    lsm_buf bytes = {.data = NULL};

    cr_assert(alloc_fault_install());
    filter_builder_init(&b);
    alloc_fault_at(1, false);
    cr_assert(eq(int, filter_builder_add(&b, 1), LSM_NO_MEMORY));
    cr_assert(eq(int, filter_builder_add(&b, 1), LSM_OK));
    alloc_fault_at(1, false);
    cr_assert(eq(int, filter_builder_encode(&b, 10, &bytes), LSM_NO_MEMORY));
    filter_builder_release(&b);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}
