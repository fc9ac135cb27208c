// test_table_meta.c -- metas survive encoding, and nothing else decodes.

#include "sstable/table_meta.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/properties.h"
#include "support/alloc_fault.h"

static struct segment_reference references[] = {{1, 10, 1000}, {7, 3, 99}, {4000000000u, 1, 5}};

static struct table_meta example(void)
{
    struct table_meta m = {.id = 99,
                           .size = 123456,
                           .entry_count = 40,
                           .tombstone_count = 4,
                           .raw_bytes = 5000,
                           .ts_min = 3,
                           .ts_max = UINT64_MAX,
                           .expiry_min = 1700000000,
                           .expiry_max = 1700000001,
                           .created_wall = 1690000000,
                           .references = references,
                           .reference_count = 3};

    memset(m.uuid.bytes, 0xab, UUID_SIZE);
    m.smallest = (struct ikey){.keyspace = 0, .key = slice_of("alpha"), .ts = 9};
    m.largest = (struct ikey){.keyspace = 3, .key = slice_of("beta"), .ts = 5};
    m.smallest_head = slice_head(m.smallest.key);
    m.largest_head = slice_head(m.largest.key);
    return m;
}

static lsm_status decode(lsm_slice bytes, struct table_meta **out)
{
    struct reader r = reader_over(bytes);

    TRY(table_meta_decode(&r, out));
    cr_assert(reader_done(&r));
    return LSM_OK;
}

Test(table_meta, is_the_same_after_encoding_and_copying)
{
    struct table_meta m = example();
    struct table_meta *decoded;
    struct table_meta *copy;
    lsm_buf bytes = {.data = NULL};

    cr_assert(eq(int, table_meta_encode(&m, &bytes), LSM_OK));
    cr_assert(eq(int, decode(slice_of_buf(&bytes), &decoded), LSM_OK));
    memset(bytes.data, 0, bytes.size); // nothing is borrowed
    cr_assert(eq(int, properties_compare("a", decoded, &m), LSM_OK));
    cr_assert(eq(u64, decoded->largest_head, m.largest_head));
    cr_assert(eq(int, table_meta_copy(decoded, &copy), LSM_OK));
    table_meta_free(decoded);
    cr_assert(eq(int, properties_compare("a", copy, &m), LSM_OK));
    cr_assert(eq(u64, table_meta_referenced_bytes(copy), 1104));
    table_meta_free(copy);
    lsm_buf_free(&bytes);
}

Test(table_meta, every_cut_is_corrupt)
{
    struct table_meta m = example();
    struct table_meta *decoded;
    lsm_buf bytes = {.data = NULL};

    cr_assert(eq(int, table_meta_encode(&m, &bytes), LSM_OK));
    for (size_t size = 0; size < bytes.size; size++)
        cr_assert(eq(int, decode(slice_make(bytes.data, size), &decoded), LSM_CORRUPT));
    lsm_buf_free(&bytes);
}

static void expect_corrupt(const struct table_meta *m)
{
    struct table_meta *decoded;
    lsm_buf bytes = {.data = NULL};

    cr_assert(eq(int, table_meta_encode(m, &bytes), LSM_OK));
    cr_assert(eq(int, decode(slice_of_buf(&bytes), &decoded), LSM_CORRUPT));
    lsm_buf_free(&bytes);
}

Test(table_meta, what_contradicts_itself_is_corrupt)
{
    static const uint8_t oversize[LSM_KEY_SIZE_MAX + 1];
    struct segment_reference bad[] = {{5, 1, 1}, {5, 1, 1}};
    struct table_meta m = example();

    m.entry_count = 0;
    expect_corrupt(&m);
    m = example();
    m.tombstone_count = 41;
    expect_corrupt(&m);
    m = example();
    m.ts_min = UINT64_MAX;
    m.ts_max = 1;
    expect_corrupt(&m);
    m = example();
    m.largest.keyspace = 0;
    m.largest.key = slice_of("aa");
    expect_corrupt(&m);
    m = example();
    m.largest.key = slice_make(oversize, sizeof oversize);
    expect_corrupt(&m);
    m.smallest = m.largest;
    m.largest.keyspace++;
    expect_corrupt(&m);
    m = example();
    m.expiry_min = 0;
    expect_corrupt(&m);
    m = example();
    m.entry_count = 17; // 4 tombstones and 14 pointers
    expect_corrupt(&m);
    m = example();
    m.references = bad;
    m.reference_count = 2;
    expect_corrupt(&m);
}

Test(table_meta, overlap_is_of_user_keys_within_a_keyspace)
{
    struct table_meta m = example(); // keyspace 0 from "alpha" to keyspace 3 "beta"
    lsm_slice a = slice_of("a");
    lsm_slice b = slice_of("beta");
    lsm_slice z = slice_of("z");

    cr_assert(table_meta_overlaps(&m, 0, NULL, NULL));
    cr_assert(not(table_meta_overlaps(&m, 0, NULL, &a)));
    cr_assert(table_meta_overlaps(&m, 0, &z, NULL));
    cr_assert(table_meta_overlaps(&m, 1, &z, &z));
    cr_assert(table_meta_overlaps(&m, 3, &b, NULL));
    cr_assert(not(table_meta_overlaps(&m, 3, &z, NULL)));
    cr_assert(table_meta_overlaps(&m, 3, NULL, &a));
    cr_assert(not(table_meta_overlaps(&m, 4, NULL, NULL)));
}

Test(table_meta, reports_a_lack_of_memory)
{
    struct table_meta m = example();
    struct table_meta *out;
    lsm_buf bytes = {.data = NULL};

    cr_assert(alloc_fault_install());
    cr_assert(eq(int, table_meta_encode(&m, &bytes), LSM_OK));
    alloc_fault_at(1, false);
    cr_assert(eq(int, table_meta_copy(&m, &out), LSM_NO_MEMORY));
    alloc_fault_at(1, false);
    cr_assert(eq(int, decode(slice_of_buf(&bytes), &out), LSM_NO_MEMORY));
    lsm_buf_free(&bytes);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}
