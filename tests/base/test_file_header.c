// test_file_header.c -- what is accepted as the start of a file.

#include "base/file_header.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/coding.h"
#include "base/crc32c.h"

static const struct file_header sample = {
    .kind = FILE_KIND_TABLE,
    .db_uuid = {{1, 2, 3}},
    .file_uuid = {{4, 5, 6}},
    .number = 0x0102030405060708,
};

static lsm_status decode(const uint8_t *bytes, size_t size)
{
    struct file_header header;

    return file_header_decode(slice_make(bytes, size), FILE_KIND_TABLE, "000007.tbl", &header);
}

// Decodes after a byte has been changed and the checksum set right again.
static lsm_status decode_changed(size_t offset, uint8_t value)
{
    uint8_t bytes[FILE_HEADER_SIZE];

    file_header_encode(&sample, bytes);
    bytes[offset] = value;
    put_u32(bytes + 124, crc32c(0, bytes, 124));
    return decode(bytes, sizeof bytes);
}

Test(file_header, what_is_encoded_decodes)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header header;

    file_header_encode(&sample, bytes);
    cr_assert(file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_TABLE, "t", &header) ==
              LSM_OK);
    cr_assert(header.kind == FILE_KIND_TABLE);
    cr_assert(uuid_equal(&header.db_uuid, &sample.db_uuid));
    cr_assert(uuid_equal(&header.file_uuid, &sample.file_uuid));
    cr_assert(eq(u64, header.number, sample.number));
}

Test(file_header, fields_lie_where_the_format_says)
{
    uint8_t bytes[FILE_HEADER_SIZE];

    file_header_encode(&sample, bytes);
    cr_assert(memcmp(bytes, "lsmkv\r\n\x1a", 8) == 0);
    cr_assert(eq(u16, get_u16(bytes + 8), 1));
    cr_assert(eq(u16, get_u16(bytes + 10), FILE_KIND_TABLE));
    cr_assert(eq(u8, bytes[16], 1));
    cr_assert(eq(u8, bytes[32], 4));
    cr_assert(eq(u64, get_u64(bytes + 48), sample.number));
    cr_assert(eq(u32, get_u32(bytes + 124), crc32c(0, bytes, 124)));
}

Test(file_header, every_flipped_bit_is_found)
{
    uint8_t bytes[FILE_HEADER_SIZE];

    file_header_encode(&sample, bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_assert(decode(bytes, sizeof bytes) == LSM_CORRUPT, "bit %zu", bit);
        cr_assert(strstr(lsm_errmsg(), "000007.tbl: offset ") != NULL);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    cr_assert(decode(bytes, sizeof bytes) == LSM_OK);
}

Test(file_header, a_cut_header_is_corrupt)
{
    uint8_t bytes[FILE_HEADER_SIZE];

    file_header_encode(&sample, bytes);
    for (size_t size = 0; size < sizeof bytes; size++)
        cr_assert(decode(bytes, size) == LSM_CORRUPT);
    cr_assert(decode(NULL, 0) == LSM_CORRUPT);
}

Test(file_header, a_file_of_another_kind_is_corrupt)
{
    cr_assert(decode_changed(10, FILE_KIND_MANIFEST) == LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), "a manifest (3) where a table is expected") != NULL);
    cr_assert(decode_changed(11, 1) == LSM_CORRUPT, "an unknown kind");
}

Test(file_header, a_newer_format_is_refused_with_its_number)
{
    cr_assert(decode_changed(8, 9) == LSM_UNSUPPORTED);
    cr_assert(strstr(lsm_errmsg(), "000007.tbl: format 9 is newer") != NULL);
    cr_assert(decode_changed(8, 0) == LSM_CORRUPT, "there is no format 0");
}

Test(file_header, an_encrypted_file_is_refused)
{
    cr_assert(decode_changed(56, 1) == LSM_UNSUPPORTED);
    cr_assert(strstr(lsm_errmsg(), "encrypted") != NULL);
}

Test(file_header, reserved_bytes_are_zero)
{
    static const size_t reserved[] = {12, 15, 64, 79, 80, 91, 92, 123};

    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        cr_assert(decode_changed(reserved[i], 1) == LSM_CORRUPT, "offset %zu", reserved[i]);
}

Test(file_header, on_failure_the_result_is_untouched)
{
    struct file_header header = {.number = 42};
    uint8_t bytes[FILE_HEADER_SIZE] = {0};

    cr_assert(file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_TABLE, "t", &header) ==
              LSM_CORRUPT);
    cr_assert(eq(u64, header.number, 42));
}
