// test_key_codec.c -- parts of a key come back as they were, and order as what they encode.

#include <math.h>

#include "support/alloc_fault.h"
#include "support/db_fixture.h"
#include "support/random.h"

// How two keys of one part each compare; they are released.
static int compare_and_free(lsm_buf *a, lsm_buf *b)
{
    int order = slice_compare(slice_of_buf(a), slice_of_buf(b));

    lsm_buf_free(a);
    lsm_buf_free(b);
    return (order > 0) - (order < 0);
}

// --- numbers ---

static void assert_u64(uint64_t a, uint64_t b)
{
    lsm_buf x = LSM_BUF_INIT, y = LSM_BUF_INIT;
    lsm_slice rest;
    uint64_t got;

    assert_ok(lsm_key_add_u64(&x, a));
    assert_ok(lsm_key_add_u64(&y, b));
    rest = slice_of_buf(&x);
    assert_ok(lsm_key_take_u64(&rest, &got));
    cr_assert(eq(u64, got, a));
    cr_assert(eq(sz, rest.size, 0));
    cr_assert(eq(int, compare_and_free(&x, &y), (a > b) - (a < b)));
}

static void assert_i64(int64_t a, int64_t b)
{
    lsm_buf x = LSM_BUF_INIT, y = LSM_BUF_INIT;
    lsm_slice rest;
    int64_t got;

    assert_ok(lsm_key_add_i64(&x, a));
    assert_ok(lsm_key_add_i64(&y, b));
    rest = slice_of_buf(&x);
    assert_ok(lsm_key_take_i64(&rest, &got));
    cr_assert(eq(i64, got, a));
    cr_assert(eq(int, compare_and_free(&x, &y), (a > b) - (a < b)));
}

Test(key_codec, integers_order_as_numbers)
{
    static const uint64_t edges[] = {
        0, 1, 127, 128, 255, 256, UINT32_MAX, INT64_MAX, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
    struct random random = random_for_test(__func__);

    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        for (size_t j = 0; j < sizeof edges / sizeof *edges; j++) {
            assert_u64(edges[i], edges[j]);
            assert_i64((int64_t)edges[i], (int64_t)edges[j]);
        }
    }
    for (int round = 0; round < 2000; round++) {
        uint64_t a = random_next(&random) >> random_below(&random, 64);
        uint64_t b = random_next(&random) >> random_below(&random, 64);

        assert_u64(a, b);
        assert_i64((int64_t)a, -(int64_t)b);
    }
}

// NaN is behind all numbers and equals itself here; the two zeroes are one.
static int number_order(double a, double b)
{
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return (a > b) - (a < b);
}

static void assert_double(double a, double b)
{
    lsm_buf x = LSM_BUF_INIT, y = LSM_BUF_INIT;
    lsm_slice rest;
    double got;

    assert_ok(lsm_key_add_double(&x, a));
    assert_ok(lsm_key_add_double(&y, b));
    rest = slice_of_buf(&x);
    assert_ok(lsm_key_take_double(&rest, &got));
    cr_assert(eq(int, number_order(got, a), 0));
    cr_assert(eq(int, compare_and_free(&x, &y), number_order(a, b)), "%g %g", a, b);
}

Test(key_codec, doubles_order_as_numbers_with_nan_last)
{
    static const double edges[] = {-INFINITY, -1e308, -1.5, -1,  -5e-324, -0.0,    0.0,
                                   5e-324,    0.1,    1,    1.5, 1e308,   INFINITY};
    struct random random = random_for_test(__func__);
    const size_t count = sizeof edges / sizeof *edges;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++)
            assert_double(edges[i], edges[j]);
        assert_double(edges[i], NAN);
        assert_double(NAN, edges[i]);
        assert_double(-NAN, edges[i]);
    }
    assert_double(NAN, -NAN);
    for (int round = 0; round < 2000; round++) {
        uint64_t bits[2] = {random_next(&random), random_next(&random)};
        double pair[2];

        memcpy(pair, bits, sizeof pair);
        assert_double(pair[0], pair[1]);
    }
}

// --- strings ---

// Short, and of few bytes, so that one is often the beginning of another.
static lsm_slice random_string(struct random *random, uint8_t bytes[6])
{
    static const uint8_t alphabet[] = {0, 1, 'a', 0xFE, 0xFF};
    size_t size = random_below(random, 7);

    for (size_t i = 0; i < size; i++)
        bytes[i] = alphabet[random_below(random, sizeof alphabet)];
    return slice_make(bytes, size);
}

Test(key_codec, tuples_order_by_their_first_part_that_differs)
{
    struct random random = random_for_test(__func__);
    lsm_buf text = LSM_BUF_INIT;

    for (int round = 0; round < 20000; round++) {
        lsm_buf x = LSM_BUF_INIT, y = LSM_BUF_INIT;
        uint8_t bytes_a[6], bytes_b[6];
        lsm_slice a = random_string(&random, bytes_a);
        lsm_slice b = random_string(&random, bytes_b);
        int64_t m = (int64_t)random_below(&random, 5) - 2;
        int64_t n = (int64_t)random_below(&random, 5) - 2;
        int wants = slice_compare(a, b);
        lsm_slice rest;
        int64_t got;

        wants = wants != 0 ? (wants > 0) - (wants < 0) : (m > n) - (m < n);
        assert_ok(lsm_key_add_bytes(&x, a));
        assert_ok(lsm_key_add_i64(&x, m));
        assert_ok(lsm_key_add_bytes(&y, b));
        assert_ok(lsm_key_add_i64(&y, n));
        rest = slice_of_buf(&x);
        assert_ok(lsm_key_take_bytes(&rest, &text));
        assert_ok(lsm_key_take_i64(&rest, &got));
        cr_assert(slice_equal(slice_of_buf(&text), a));
        cr_assert(eq(i64, got, m));
        cr_assert(eq(sz, rest.size, 0));
        cr_assert(eq(int, compare_and_free(&x, &y), wants));
    }
    lsm_buf_free(&text);
}

// --- what is none ---

static lsm_status take_bytes(const void *bytes, size_t size)
{
    lsm_slice key = slice_make(bytes, size);
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status = lsm_key_take_bytes(&key, &value);

    cr_assert(eq(sz, key.size, status == LSM_OK ? 0 : size));
    lsm_buf_free(&value);
    return status;
}

Test(key_codec, bytes_that_are_no_such_part_are_refused_and_left)
{
    lsm_slice key = lsm_str("1234567");
    uint64_t number;
    int64_t integer;
    double real;

    assert_status(lsm_key_take_u64(&key, &number), LSM_INVALID);
    assert_status(lsm_key_take_i64(&key, &integer), LSM_INVALID);
    assert_status(lsm_key_take_double(&key, &real), LSM_INVALID);
    cr_assert(eq(sz, key.size, 7));
    assert_ok(take_bytes("\0\0", 2));
    assert_ok(take_bytes("a\0\xFF\0\0", 5));
    assert_status(take_bytes("", 0), LSM_INVALID);
    assert_status(take_bytes("\0", 1), LSM_INVALID);
    assert_status(take_bytes("abc", 3), LSM_INVALID);
    assert_status(take_bytes("a\0\x01\0\0", 5), LSM_INVALID); // no such escape
    assert_status(take_bytes("a\0\xFF", 3), LSM_INVALID);
}

Test(key_codec, null_is_refused)
{
    lsm_buf key = LSM_BUF_INIT;
    lsm_slice slice = lsm_str("12345678");
    uint64_t number;

    assert_status(lsm_key_add_u64(NULL, 1), LSM_INVALID);
    assert_status(lsm_key_add_i64(NULL, 1), LSM_INVALID);
    assert_status(lsm_key_add_double(NULL, 1), LSM_INVALID);
    assert_status(lsm_key_add_bytes(NULL, slice), LSM_INVALID);
    assert_status(lsm_key_add_bytes(&key, slice_make(NULL, 1)), LSM_INVALID);
    assert_ok(lsm_key_add_bytes(&key, slice_make(NULL, 0)));
    cr_assert(eq(sz, key.size, 2));
    assert_status(lsm_key_take_u64(NULL, &number), LSM_INVALID);
    assert_status(lsm_key_take_u64(&slice, NULL), LSM_INVALID);
    assert_status(lsm_key_take_i64(&slice, NULL), LSM_INVALID);
    assert_status(lsm_key_take_double(&slice, NULL), LSM_INVALID);
    assert_status(lsm_key_take_bytes(NULL, &key), LSM_INVALID);
    assert_status(lsm_key_take_bytes(&slice, NULL), LSM_INVALID);
    cr_assert(eq(sz, slice.size, 8));
    lsm_buf_free(&key);
}

Test(key_codec, out_of_memory_leaves_the_key)
{
    char *large = calloc(1, 5000);
    lsm_buf key = LSM_BUF_INIT, value = LSM_BUF_INIT;
    lsm_slice rest;

    cr_assert(alloc_fault_install());
    assert_ok(lsm_key_add_u64(&key, 7));
    alloc_fault_at(1, false);
    assert_status(lsm_key_add_bytes(&key, slice_make(large, 5000)), LSM_NO_MEMORY);
    cr_assert(eq(sz, key.size, 8));
    assert_ok(lsm_key_add_bytes(&key, slice_make(large, 5000)));
    rest = slice_from(slice_of_buf(&key), 8);
    alloc_fault_at(1, false);
    assert_status(lsm_key_take_bytes(&rest, &value), LSM_NO_MEMORY);
    assert_ok(lsm_key_take_bytes(&rest, &value));
    cr_assert(slice_equal(slice_of_buf(&value), slice_make(large, 5000)));
    lsm_buf_free(&key);
    lsm_buf_free(&value);
    free(large);
}
