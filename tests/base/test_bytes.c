// test_bytes.c -- slices and buffers.

#include "base/bytes.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/coding.h"
#include "support/alloc_fault.h"
#include "support/random.h"

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

Test(bytes, slices_order_by_memcmp_then_by_length)
{
    cr_assert(slice_compare(slice_of("a"), slice_of("b")) < 0);
    cr_assert(slice_compare(slice_of("b"), slice_of("abc")) > 0);
    cr_assert(slice_compare(slice_of("ab"), slice_of("abc")) < 0);
    cr_assert(slice_compare(slice_of("abc"), slice_of("abc")) == 0);
    cr_assert(slice_compare(slice_of("\xff"), slice_of("\x01")) > 0);
    cr_assert(slice_compare(slice_make(NULL, 0), slice_of("")) == 0);
    cr_assert(slice_compare(slice_make(NULL, 0), slice_of("a")) < 0);
    cr_assert(slice_equal(slice_make(NULL, 0), slice_of("")));
    cr_assert(not(slice_equal(slice_of("a"), slice_of("ab"))));
}

Test(bytes, prefixes_are_recognised)
{
    cr_assert(slice_has_prefix(slice_of("abc"), slice_of("ab")));
    cr_assert(slice_has_prefix(slice_of("abc"), slice_of("")));
    cr_assert(slice_has_prefix(slice_make(NULL, 0), slice_make(NULL, 0)));
    cr_assert(not(slice_has_prefix(slice_of("ab"), slice_of("abc"))));
    cr_assert(not(slice_has_prefix(slice_of("abc"), slice_of("ac"))));
    cr_assert(slice_equal(slice_from(lsm_str("abc"), 1), slice_of("bc")));
}

Test(bytes, the_head_is_the_first_eight_bytes_big_endian)
{
    cr_assert(eq(u64, slice_head(slice_make(NULL, 0)), 0));
    cr_assert(eq(u64, slice_head(slice_of("a")), UINT64_C(0x6100000000000000)));
    cr_assert(eq(u64, slice_head(slice_of("abcdefgh")), UINT64_C(0x6162636465666768)));
    cr_assert(eq(u64, slice_head(slice_of("abcdefghi")), UINT64_C(0x6162636465666768)));
}

Test(bytes, heads_order_as_keys_do)
{
    struct random random = random_for_test(__func__);

    for (int i = 0; i < 100000; i++) {
        uint8_t a[12];
        uint8_t b[12];
        lsm_slice x = slice_make(a, random_below(&random, sizeof a + 1));
        lsm_slice y = slice_make(b, random_below(&random, sizeof b + 1));

        for (size_t j = 0; j < sizeof a; j++) {
            a[j] = (uint8_t)(random_below(&random, 3) * 127);
            b[j] = random_one_in(&random, 10) ? (uint8_t)random_next(&random) : a[j];
        }
        if (slice_head(x) != slice_head(y))
            cr_assert(sign(slice_compare(x, y)) == (slice_head(x) < slice_head(y) ? -1 : 1));
        cr_assert(sign(slice_compare(x, y)) == -sign(slice_compare(y, x)));
    }
}

Test(bytes, the_successor_of_a_prefix_is_above_all_it_starts)
{
    lsm_buf successor = {0};
    bool exists;

    cr_assert(slice_prefix_successor(slice_of("ab"), &exists, &successor) == LSM_OK);
    cr_assert(exists);
    cr_assert(slice_equal(slice_of_buf(&successor), slice_of("ac")));
    cr_assert(slice_prefix_successor(slice_of("a\xff\xff"), &exists, &successor) == LSM_OK);
    cr_assert(exists);
    cr_assert(slice_equal(slice_of_buf(&successor), slice_of("b")));
    cr_assert(slice_prefix_successor(slice_make("\0", 1), &exists, &successor) == LSM_OK);
    cr_assert(exists);
    cr_assert(slice_equal(slice_of_buf(&successor), slice_of("\x01")));
    lsm_buf_free(&successor);
}

Test(bytes, no_key_is_above_all_with_an_empty_or_highest_prefix)
{
    lsm_buf successor = {0};
    bool exists;

    cr_assert(slice_prefix_successor(slice_make(NULL, 0), &exists, &successor) == LSM_OK);
    cr_assert(not(exists));
    cr_assert(slice_prefix_successor(slice_of("\xff\xff"), &exists, &successor) == LSM_OK);
    cr_assert(not(exists));
    cr_assert(successor.data == NULL);
    cr_assert(eq(str, (char *)lsm_errmsg(), ""));
}

Test(bytes, a_buffer_grows_by_at_least_half)
{
    lsm_buf buf = {0};
    size_t growths = 0;
    size_t capacity = 0;

    for (int i = 0; i < 100000; i++) {
        cr_assert(buf_append_u8(&buf, (uint8_t)i) == LSM_OK);
        if (buf.capacity != capacity) {
            cr_assert(buf.capacity >= capacity + capacity / 2);
            capacity = buf.capacity;
            growths++;
        }
    }
    cr_assert(lt(sz, growths, 25));
    for (int i = 0; i < 100000; i++)
        cr_assert(eq(u8, ((uint8_t *)buf.data)[i], (uint8_t)i));
    lsm_buf_free(&buf);
    cr_assert(buf.data == NULL && buf.size == 0 && buf.capacity == 0);
    lsm_buf_free(&buf);
    lsm_buf_free(NULL);
}

Test(bytes, what_is_appended_reads_back)
{
    lsm_buf buf = {0};
    struct reader r;

    cr_assert(buf_append_u8(&buf, 0xFE) == LSM_OK);
    cr_assert(buf_append_u64(&buf, UINT64_C(0x123456789ABCDEF0)) == LSM_OK);
    cr_assert(buf_append_varint(&buf, UINT64_MAX) == LSM_OK);
    cr_assert(buf_append_prefixed(&buf, slice_of("value")) == LSM_OK);
    cr_assert(buf_append_prefixed(&buf, slice_make(NULL, 0)) == LSM_OK);
    cr_assert(buf_append(&buf, NULL, 0) == LSM_OK);
    r = reader_over(slice_of_buf(&buf));
    cr_assert(eq(u8, read_u8(&r), 0xFE));
    cr_assert(eq(u64, read_u64(&r), UINT64_C(0x123456789ABCDEF0)));
    cr_assert(eq(u64, read_varint64(&r), UINT64_MAX));
    cr_assert(slice_equal(read_prefixed(&r), slice_of("value")));
    cr_assert(slice_equal(read_prefixed(&r), slice_of("")));
    cr_assert(reader_done(&r));
    lsm_buf_free(&buf);
}

Test(bytes, assigning_replaces_and_clearing_keeps_the_memory)
{
    lsm_buf buf = {0};
    size_t capacity;

    cr_assert(buf_assign(&buf, slice_of("a long first value")) == LSM_OK);
    capacity = buf.capacity;
    cr_assert(buf_assign(&buf, slice_of("short")) == LSM_OK);
    cr_assert(slice_equal(slice_of_buf(&buf), slice_of("short")));
    buf_clear(&buf);
    cr_assert(eq(sz, buf.size, 0));
    cr_assert(eq(sz, buf.capacity, capacity));
    cr_assert(buf_assign(&buf, slice_make(NULL, 0)) == LSM_OK);
    cr_assert(eq(sz, buf.size, 0));
    lsm_buf_free(&buf);
}

Test(bytes, short_of_memory_a_buffer_stays_as_it_is)
{
    lsm_buf buf = {0};
    static const uint8_t many[1000];

    cr_assert(alloc_fault_install());
    cr_assert(buf_assign(&buf, slice_of("kept")) == LSM_OK);
    alloc_fault_at(1, true);
    cr_assert(buf_append(&buf, many, sizeof many) == LSM_NO_MEMORY);
    cr_assert(buf_assign(&buf, slice_make(many, sizeof many)) == LSM_NO_MEMORY);
    cr_assert(buf_append_prefixed(&buf, slice_make(many, sizeof many)) == LSM_NO_MEMORY);
    cr_assert(buf_reserve(&buf, SIZE_MAX) == LSM_NO_MEMORY);
    cr_assert(buf_append(&buf, many, SIZE_MAX) == LSM_NO_MEMORY);
    cr_assert(buf_append_prefixed(&buf, slice_make(many, SIZE_MAX)) == LSM_NO_MEMORY);
    cr_assert(strstr(lsm_errmsg(), "buffer") != NULL);
    cr_assert(slice_equal(slice_of_buf(&buf), slice_of("kept")));
    lsm_buf_free(&buf);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

// On a machine with addresses of 32 bits, the hundred bytes that are left of the number when it
// is cut would look like enough.
Test(bytes, room_beyond_what_can_be_addressed_is_refused)
{
    lsm_buf buf = {0};
    const uint64_t size = (UINT64_C(1) << 32) + 100;
    const lsm_status status = buf_reserve(&buf, size);

    cr_assert(status == LSM_OK ? buf.capacity >= size
                               : status == LSM_NO_MEMORY && buf.data == NULL && buf.capacity == 0);
    lsm_buf_free(&buf);
}
