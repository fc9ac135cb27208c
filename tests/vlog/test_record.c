// test_record.c -- separated values and their proof.

#include "vlog/record.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "base/crc32c.h"

// The record of {keyspace, key, value} in one piece; freed by the caller.
static lsm_buf record_bytes(uint32_t keyspace, const char *key, lsm_slice value)
{
    struct record_head head;
    lsm_buf bytes = {0};

    record_head_make(keyspace, slice_of(key), value, &head);
    cr_assert(eq(int, buf_append(&bytes, head.bytes, head.size), LSM_OK));
    cr_assert(eq(int, buf_append(&bytes, key, strlen(key)), LSM_OK));
    cr_assert(eq(int, buf_append(&bytes, value.data, value.size), LSM_OK));
    return bytes;
}

static lsm_status decode(const lsm_buf *bytes, struct record *out)
{
    return record_decode(slice_of_buf(bytes), "000007.vlog", 4711, out);
}

Test(record, what_is_encoded_is_decoded)
{
    lsm_buf bytes = record_bytes(300, "key", slice_of("some value"));
    struct record record;

    cr_assert(eq(sz, bytes.size, record_size(300, 3, 10)));
    cr_assert(eq(int, decode(&bytes, &record), LSM_OK));
    cr_assert(eq(u32, record.keyspace, 300));
    cr_assert(slice_equal(record.key, slice_of("key")));
    cr_assert(slice_equal(record.value, slice_of("some value")));
    lsm_buf_free(&bytes);
}

Test(record, the_bytes_are_those_of_the_format)
{
    static const uint8_t behind_crc[] = {0, 1, 1, 2, 'k', 'v', 'w'};
    lsm_buf bytes = record_bytes(1, "k", slice_of("vw"));

    cr_assert(eq(sz, bytes.size, 4 + sizeof behind_crc));
    cr_assert(eq(int, memcmp((uint8_t *)bytes.data + 4, behind_crc, sizeof behind_crc), 0));
    lsm_buf_free(&bytes);
}

Test(record, an_empty_value_is_a_value)
{
    lsm_buf bytes = record_bytes(1, "k", slice_make(NULL, 0));
    struct record record;

    cr_assert(eq(int, decode(&bytes, &record), LSM_OK));
    cr_assert(eq(sz, record.value.size, 0));
    lsm_buf_free(&bytes);
}

// The checksum does not cover a place, but everything else.
Test(record, any_flipped_bit_is_corrupt_and_names_file_and_offset)
{
    lsm_buf bytes = record_bytes(1, "key", slice_of("value"));
    struct record record;

    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        uint8_t *at = (uint8_t *)bytes.data + bit / 8;

        *at ^= (uint8_t)(1u << bit % 8);
        cr_assert(eq(int, decode(&bytes, &record), LSM_CORRUPT), "bit %zu", bit);
        cr_assert(ne(ptr, strstr(lsm_errmsg(), "000007.vlog"), NULL));
        cr_assert(ne(ptr, strstr(lsm_errmsg(), "4711"), NULL));
        *at ^= (uint8_t)(1u << bit % 8);
    }
    lsm_buf_free(&bytes);
}

Test(record, a_record_cut_or_extended_anywhere_is_corrupt)
{
    lsm_buf bytes = record_bytes(1, "key", slice_of("value"));
    size_t size = bytes.size;
    struct record record;

    for (bytes.size = 0; bytes.size < size; bytes.size++)
        cr_assert(eq(int, decode(&bytes, &record), LSM_CORRUPT), "%zu bytes", bytes.size);
    bytes.size = size;
    cr_assert(eq(int, buf_append_u8(&bytes, 0), LSM_OK));
    cr_assert(eq(int, decode(&bytes, &record), LSM_CORRUPT));
    lsm_buf_free(&bytes);
}

// Seals `bytes` again after the test has changed them.
static void seal(lsm_buf *bytes)
{
    put_u32(bytes->data, crc32c(0, (uint8_t *)bytes->data + 4, bytes->size - 4));
}

Test(record, an_unknown_codec_is_unsupported_not_corrupt)
{
    lsm_buf bytes = record_bytes(1, "key", slice_of("value"));
    struct record record;

    ((uint8_t *)bytes.data)[4] = 9;
    seal(&bytes);
    cr_assert(eq(int, decode(&bytes, &record), LSM_UNSUPPORTED));
    lsm_buf_free(&bytes);
}

Test(record, sizes_that_do_not_add_up_are_corrupt_though_the_checksum_is_right)
{
    lsm_buf bytes = record_bytes(1, "key", slice_of("value"));
    struct record record;

    ((uint8_t *)bytes.data)[6]++; // size of the key
    seal(&bytes);
    cr_assert(eq(int, decode(&bytes, &record), LSM_CORRUPT));
    lsm_buf_free(&bytes);
}
