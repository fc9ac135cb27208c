// test_pointer.c -- encoded value pointers.

#include "base/pointer.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static const struct value_pointer largest = {
    .segment = UINT32_MAX,
    .offset = UINT64_MAX,
    .record_size = UINT32_MAX,
    .value_size = UINT32_MAX,
};

static void check_round_trip(struct value_pointer pointer)
{
    uint8_t bytes[POINTER_SIZE_MAX];
    size_t size = pointer_encode(&pointer, bytes);
    struct value_pointer decoded;

    cr_assert(le(sz, size, POINTER_SIZE_MAX));
    cr_assert(pointer_decode(slice_make(bytes, size), &decoded) == LSM_OK);
    cr_assert(eq(u32, decoded.segment, pointer.segment));
    cr_assert(eq(u64, decoded.offset, pointer.offset));
    cr_assert(eq(u32, decoded.record_size, pointer.record_size));
    cr_assert(eq(u32, decoded.value_size, pointer.value_size));
}

Test(pointer, what_is_encoded_decodes)
{
    check_round_trip((struct value_pointer){0});
    check_round_trip((struct value_pointer){
        .segment = 3, .offset = 1 << 20, .record_size = 5000, .value_size = 4900});
    check_round_trip(largest);
}

Test(pointer, fields_are_varints_in_order)
{
    const struct value_pointer pointer = {
        .segment = 1, .offset = 300, .record_size = 2, .value_size = 3};
    uint8_t bytes[POINTER_SIZE_MAX];

    cr_assert(eq(sz, pointer_encode(&pointer, bytes), 5));
    cr_assert(memcmp(bytes, "\x01\xAC\x02\x02\x03", 5) == 0);
}

Test(pointer, cut_or_continued_bytes_are_corrupt)
{
    uint8_t bytes[POINTER_SIZE_MAX + 1] = {0};
    size_t size = pointer_encode(&largest, bytes);
    struct value_pointer decoded = {.segment = 42};

    for (size_t cut = 0; cut < size; cut++)
        cr_assert(pointer_decode(slice_make(bytes, cut), &decoded) == LSM_CORRUPT);
    cr_assert(pointer_decode(slice_make(bytes, size + 1), &decoded) == LSM_CORRUPT);
    cr_assert(pointer_decode(slice_make(NULL, 0), &decoded) == LSM_CORRUPT);
    cr_assert(eq(u32, decoded.segment, 42), "untouched");
}

Test(pointer, a_segment_beyond_32_bits_is_corrupt)
{
    static const uint8_t bytes[] = {0x80, 0x80, 0x80, 0x80, 0x10, 1, 1, 1};
    struct value_pointer decoded;

    cr_assert(pointer_decode(slice_make(bytes, sizeof bytes), &decoded) == LSM_CORRUPT);
}
