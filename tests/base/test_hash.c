// test_hash.c -- hashes are part of the format: they never change.

#include "base/hash.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>

#include "base/bytes.h"

Test(hash, values_are_those_written_by_every_release)
{
    static const struct {
        size_t size;
        uint64_t plain;
        uint64_t of_key; // in keyspace 7
    } known[] = {
        {0, 0x2d06800538d394c2, 0x913ae0873e9b7eb8},
        {1, 0xc44bdff4074eecdb, 0x2c45aa60ff5dc0e5},
        {8, 0x3a1c2d7c85af88f8, 0xdb86d781f5b8bd4a},
        {16, 0x8355e3a6f61770db, 0xee0b9003ece2cff1},
        {100, 0x004e4f921a64bd1c, 0xf99b79905a88dc51},
        {300, 0xd44052f5a3485425, 0xb863d8c6eef5bca4},
    };
    uint8_t bytes[300];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        cr_assert(eq(u64, hash64(bytes, known[i].size, 0), known[i].plain));
        cr_assert(eq(u64, key_hash(7, slice_make(bytes, known[i].size)), known[i].of_key));
    }
    cr_assert(eq(u64, hash64(NULL, 0, 0), known[0].plain));
}

Test(hash, a_key_hashes_differently_in_every_keyspace)
{
    for (uint32_t keyspace = 1; keyspace < 1000; keyspace++)
        cr_assert(ne(u64, key_hash(keyspace, slice_of("key")), key_hash(0, slice_of("key"))));
}

// Buckets picked by the high or the low bits of hashes of consecutive numbers
// fill evenly: a fair coin's deviation, six times over, is never reached.
Test(hash, numbered_keys_spread_evenly)
{
    enum { BUCKETS = 256, KEYS = 256000 };
    static unsigned high[BUCKETS];
    static unsigned low[BUCKETS];
    const double limit = 6 * sqrt((double)KEYS / BUCKETS);

    for (uint32_t i = 0; i < KEYS; i++) {
        uint64_t hash = key_hash(0, slice_make(&i, sizeof i));

        high[hash >> 56]++;
        low[hash & 0xFF]++;
    }
    for (int i = 0; i < BUCKETS; i++) {
        cr_assert(lt(dbl, fabs(high[i] - (double)KEYS / BUCKETS), limit));
        cr_assert(lt(dbl, fabs(low[i] - (double)KEYS / BUCKETS), limit));
    }
}

Test(hash, a_place_is_the_upper_half_of_the_product)
{
    static const struct {
        uint64_t hash;
        uint64_t count;
        uint64_t place;
    } known[] = {
        {0x123456789abcdef0, 0x0fedcba987654321, 0x0121fa00ad77d742},
        {0xffffffffffffffff, 0xffffffffffffffff, 0xfffffffffffffffe},
        {0xffffffff00000001, 0x00000001ffffffff, 0x00000001fffffffd},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        cr_assert(eq(u64, hash_place(known[i].hash, known[i].count), known[i].place));
        cr_assert(eq(u64, hash_place(known[i].count, known[i].hash), known[i].place));
        cr_assert(eq(u64, hash_place(UINT64_MAX, known[i].count), known[i].count - 1));
        cr_assert(eq(u64, hash_place(UINT64_C(1) << 63, known[i].count), known[i].count / 2));
        cr_assert(eq(u64, hash_place(0, known[i].count), 0));
    }
}
