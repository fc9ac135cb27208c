// test_coding.c -- integers on disk and the bounded reader.

#include "base/coding.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/random.h"

#define READER(...)                                                                                \
    reader_over(slice_make((const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})))

Test(coding, fixed_integers_are_little_endian)
{
    uint8_t bytes[8];

    put_u16(bytes, 0x0102);
    cr_assert(bytes[0] == 2 && bytes[1] == 1);
    cr_assert(eq(u16, get_u16(bytes), 0x0102));
    put_u32(bytes, 0x01020304);
    cr_assert(bytes[0] == 4 && bytes[3] == 1);
    cr_assert(eq(u32, get_u32(bytes), 0x01020304));
    put_u64(bytes, UINT64_C(0x0102030405060708));
    cr_assert(bytes[0] == 8 && bytes[7] == 1);
    cr_assert(eq(u64, get_u64(bytes), UINT64_C(0x0102030405060708)));
}

// At and around every power of two: the size told, written and read agree.
Test(coding, varints_of_every_size_read_back)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int around = -1; around <= 1; around++) {
            uint64_t value = ((uint64_t)1 << bit) + (uint64_t)around;
            uint8_t bytes[VARINT_SIZE_MAX];
            size_t size = (size_t)(put_varint(bytes, value) - bytes);
            struct reader r = reader_over(slice_make(bytes, size));

            cr_assert(eq(sz, size, varint_size(value)));
            cr_assert(eq(u64, read_varint64(&r), value));
            cr_assert(reader_done(&r));
        }
    }
    cr_assert(eq(sz, varint_size(0), 1));
    cr_assert(eq(sz, varint_size(UINT64_MAX), VARINT_SIZE_MAX));
}

Test(coding, a_cut_varint_is_an_overrun)
{
    uint8_t bytes[VARINT_SIZE_MAX];

    put_varint(bytes, UINT64_MAX);
    for (size_t size = 0; size < VARINT_SIZE_MAX; size++) {
        struct reader r = reader_over(slice_make(bytes, size));

        cr_assert(eq(u64, read_varint64(&r), 0));
        cr_assert(not(reader_ok(&r)));
    }
}

Test(coding, a_varint_too_large_or_too_long_is_bad)
{
    struct reader large = READER(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02);
    struct reader long_one =
        READER(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00);

    cr_assert(eq(u64, read_varint64(&large), 0));
    cr_assert(not(reader_ok(&large)));
    cr_assert(eq(u64, read_varint64(&long_one), 0));
    cr_assert(not(reader_ok(&long_one)));
}

Test(coding, a_varint32_above_32_bits_is_bad)
{
    struct reader most = READER(0xFF, 0xFF, 0xFF, 0xFF, 0x0F);
    struct reader more = READER(0x80, 0x80, 0x80, 0x80, 0x10);

    cr_assert(eq(u32, read_varint32(&most), UINT32_MAX));
    cr_assert(reader_done(&most));
    cr_assert(eq(u32, read_varint32(&more), 0));
    cr_assert(not(reader_ok(&more)));
}

Test(coding, after_an_overrun_everything_reads_as_zero)
{
    struct reader r = READER(1, 2, 3, 4, 5, 6, 7);

    cr_assert(eq(u8, read_u8(&r), 1));
    cr_assert(eq(u64, read_u64(&r), 0));
    cr_assert(not(reader_ok(&r)));
    cr_assert(eq(u8, read_u8(&r), 0));
    cr_assert(eq(u32, read_u32(&r), 0));
    cr_assert(eq(u64, read_varint64(&r), 0));
    cr_assert(eq(u32, read_varint32(&r), 0));
    cr_assert(eq(sz, read_bytes(&r, 0).size, 0));
    cr_assert(eq(sz, read_prefixed(&r).size, 0));
    cr_assert(not(reader_done(&r)));
}

Test(coding, a_length_beyond_the_end_is_an_overrun)
{
    struct reader prefixed = READER(3, 'a', 'b');
    struct reader huge = READER(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 'a');

    cr_assert(eq(sz, read_prefixed(&prefixed).size, 0));
    cr_assert(not(reader_ok(&prefixed)));
    cr_assert(eq(sz, read_prefixed(&huge).size, 0));
    cr_assert(not(reader_ok(&huge)));
}

Test(coding, what_is_left_is_known)
{
    struct reader r = READER(1, 2, 3);
    struct reader none = reader_over(slice_make(NULL, 0));

    cr_assert(eq(sz, read_bytes(&r, 2).size, 2));
    cr_assert(eq(sz, reader_left(&r), 1));
    cr_assert(reader_ok(&r));
    cr_assert(not(reader_done(&r)), "a byte is left");
    cr_assert(eq(sz, reader_left(&none), 0));
    cr_assert(reader_done(&none));
}

// Whatever the bytes are, a reader stays within them.
Test(coding, hostile_bytes_never_lead_a_reader_outside)
{
    struct random random = random_for_test(__func__);

    for (int round = 0; round < 20000; round++) {
        size_t size = random_below(&random, 24);
        uint8_t *bytes = malloc(size + 1); // exact, so that a sanitizer sees the end
        struct reader r = reader_over(slice_make(bytes, size));

        random_fill(&random, bytes, size);
        while (reader_ok(&r) && !reader_done(&r)) {
            switch (random_below(&random, 4)) {
            case 0:
                (void)read_varint64(&r);
                break;
            case 1:
                (void)read_varint32(&r);
                break;
            case 2:
                (void)read_u32(&r);
                break;
            default:
                (void)read_prefixed(&r);
            }
            cr_assert(r.at >= bytes && r.at <= bytes + size);
        }
        free(bytes);
    }
}
