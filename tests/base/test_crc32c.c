// test_crc32c.c -- known sums, and that the ways to compute them agree.

#include "base/crc32c.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>

#include "support/random.h"

// RFC 3720, appendix B.4, and the check value of the catalogues.
Test(crc32c, known_messages_have_their_published_sums)
{
    uint8_t bytes[32];

    cr_assert(eq(u32, crc32c(0, "123456789", 9), 0xE3069283));
    memset(bytes, 0, sizeof bytes);
    cr_assert(eq(u32, crc32c(0, bytes, sizeof bytes), 0x8A9136AA));
    memset(bytes, 0xFF, sizeof bytes);
    cr_assert(eq(u32, crc32c(0, bytes, sizeof bytes), 0x62A8AB43));
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    cr_assert(eq(u32, crc32c(0, bytes, sizeof bytes), 0x46DD794E));
    cr_assert(eq(u32, crc32c_portable(0, bytes, sizeof bytes), 0x46DD794E));
}

Test(crc32c, the_sum_of_nothing_is_zero)
{
    cr_assert(eq(u32, crc32c(0, NULL, 0), 0));
    cr_assert(eq(u32, crc32c(123, NULL, 0), 123));
    cr_assert(eq(u32, crc32c_portable(123, NULL, 0), 123));
}

// Bit by bit, straight from the definition.
static uint32_t sum_by_bits(uint32_t crc, const uint8_t *at, size_t size)
{
    crc = ~crc;
    for (; size > 0; at++, size--) {
        crc ^= *at;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
    }
    return ~crc;
}

// Sizes cover the seams between bytes, words and one, two or many stream groups.
Test(crc32c, all_ways_agree_on_every_size_and_alignment)
{
    enum { SIZE = 9000 };
    struct random random = random_for_test(__func__);
    uint8_t *bytes = malloc(SIZE + 8);

    random_fill(&random, bytes, SIZE + 8);
    for (size_t size = 0; size <= SIZE; size += size < 600 ? 1 : random_below(&random, 200) + 1) {
        const uint8_t *at = bytes + random_below(&random, 8);
        uint32_t crc = (uint32_t)random_next(&random);
        uint32_t truth = sum_by_bits(crc, at, size);

        cr_assert(eq(u32, crc32c(crc, at, size), truth), "size %zu", size);
        cr_assert(eq(u32, crc32c_portable(crc, at, size), truth), "size %zu", size);
    }
    free(bytes);
}

Test(crc32c, sums_continue_over_any_split)
{
    enum { SIZE = 5000 };
    struct random random = random_for_test(__func__);
    uint8_t bytes[SIZE];
    uint32_t whole;

    random_fill(&random, bytes, SIZE);
    whole = crc32c(0, bytes, SIZE);
    for (int i = 0; i < 500; i++) {
        size_t at = random_below(&random, SIZE + 1);

        cr_assert(eq(u32, crc32c(crc32c(0, bytes, at), bytes + at, SIZE - at), whole));
        cr_assert(eq(u32, crc32c_portable(crc32c(0, bytes, at), bytes + at, SIZE - at), whole));
    }
}

Test(crc32c, sums_of_two_parts_join_to_that_of_the_whole_and_come_apart_again)
{
    enum { SIZE = 5000 };
    struct random random = random_for_test(__func__);
    uint8_t bytes[SIZE];

    random_fill(&random, bytes, SIZE);
    for (int i = 0; i < 500; i++) {
        size_t end = random_below(&random, SIZE + 1);
        size_t at = random_below(&random, end + 1);
        uint32_t first = crc32c(0, bytes, at);
        uint32_t second = crc32c(0, bytes + at, end - at);
        uint32_t whole = crc32c(0, bytes, end);

        cr_assert(eq(u32, crc32c_join(first, second, end - at), whole), "%zu of %zu", at, end);
        cr_assert(eq(u32, crc32c_join(first, whole, end - at), second), "%zu of %zu", at, end);
    }
}

Test(crc32c, every_flipped_bit_changes_the_sum)
{
    uint8_t bytes[300] = {1, 2, 3};
    uint32_t sum = crc32c(0, bytes, sizeof bytes);

    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_assert(ne(u32, crc32c(0, bytes, sizeof bytes), sum), "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void *sum_zeroes(void *out)
{
    static const uint8_t zeroes[3000];

    *(uint32_t *)out = crc32c(0, zeroes, sizeof zeroes);
    return NULL;
}

Test(crc32c, the_first_calls_may_come_from_many_threads)
{
    pthread_t threads[8];
    uint32_t sums[8];

    for (int i = 0; i < 8; i++)
        cr_assert(pthread_create(&threads[i], NULL, sum_zeroes, &sums[i]) == 0);
    for (int i = 0; i < 8; i++)
        cr_assert(pthread_join(threads[i], NULL) == 0);
    for (int i = 1; i < 8; i++)
        cr_assert(eq(u32, sums[i], sums[0]));
}
