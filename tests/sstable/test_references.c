// test_references.c -- reference blocks hold what was added, in order.

#include "sstable/references.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/alloc.h"
#include "support/alloc_fault.h"
#include "support/random.h"

struct collected {
    struct reference items[2000];
    size_t count;
    struct segment_reference segments[8];
    size_t segment_count;
};

static struct collected c;

static lsm_status collect_segment(void *ctx, const struct segment_reference *reference)
{
    (void)ctx;
    c.segments[c.segment_count++] = *reference;
    return LSM_OK;
}

static lsm_status collect_offset(void *ctx, uint32_t segment, uint64_t offset)
{
    (void)ctx;
    c.items[c.count++] = (struct reference){.segment = segment, .offset = offset};
    return LSM_OK;
}

static const struct references_visitor visitor = {.segment = collect_segment,
                                                  .offset = collect_offset};

static void add_random(struct references *r, size_t count)
{
    struct random rng = random_for_test("references");

    for (size_t i = 0; i < count; i++) {
        struct value_pointer p = {.segment = (uint32_t)random_below(&rng, 5) * 1000,
                                  .offset = random_next(&rng) >> random_below(&rng, 64),
                                  .record_size = (uint32_t)random_next(&rng)};

        cr_assert(eq(int, references_add(r, &p), LSM_OK));
    }
    references_sort(r);
}

Test(references, are_read_back_as_sorted)
{
    struct references r;
    struct segment_reference *sums;
    lsm_buf bytes = {.data = NULL};
    size_t count;

    references_init(&r);
    add_random(&r, 2000);
    cr_assert(eq(int, references_encode(&r, &bytes), LSM_OK));
    cr_assert(eq(int, references_sum(&r, &sums, &count), LSM_OK));
    cr_assert(eq(int, references_walk(slice_of_buf(&bytes), &visitor), LSM_OK));
    cr_assert(eq(sz, c.count, r.count));
    for (size_t i = 0; i < r.count; i++) {
        cr_assert(eq(u32, c.items[i].segment, r.items[i].segment));
        cr_assert(eq(u64, c.items[i].offset, r.items[i].offset));
    }
    cr_assert(eq(sz, c.segment_count, count));
    for (size_t i = 0; i < count; i++) {
        cr_assert(eq(u64, c.segments[i].count, sums[i].count));
        cr_assert(eq(u64, c.segments[i].bytes, sums[i].bytes));
    }
    mem_free(sums);
    lsm_buf_free(&bytes);
    references_release(&r);
}

Test(references, none_is_a_block_too)
{
    struct references r;
    lsm_buf bytes = {.data = NULL};

    references_init(&r);
    cr_assert(eq(int, references_encode(&r, &bytes), LSM_OK));
    cr_assert(eq(int, references_walk(slice_of_buf(&bytes), &visitor), LSM_OK));
    cr_assert(eq(sz, c.count, 0));
    lsm_buf_free(&bytes);
}

Test(references, every_cut_and_extension_is_corrupt)
{
    struct references_visitor nobody = {.ctx = NULL};
    struct references r;
    lsm_buf bytes = {.data = NULL};

    references_init(&r);
    add_random(&r, 40);
    cr_assert(eq(int, references_encode(&r, &bytes), LSM_OK));
    for (size_t size = 0; size < bytes.size; size++)
        cr_assert(eq(int, references_walk(slice_make(bytes.data, size), &nobody), LSM_CORRUPT));
    cr_assert(eq(int, buf_append_u8(&bytes, 0), LSM_OK));
    cr_assert(eq(int, references_walk(slice_of_buf(&bytes), &nobody), LSM_CORRUPT));
    lsm_buf_free(&bytes);
    references_release(&r);
}

Test(references, counts_and_offsets_that_cannot_be_are_corrupt)
{
    struct references_visitor nobody = {.ctx = NULL};
    const uint8_t endless[] = {1, 7, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 5}; // 2^32 offsets
    const uint8_t wraps[] = {1,    7,    2,    1,    11,   0xff, 0xff, 0xff,
                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1};
    const uint8_t twice[] = {2, 7, 1, 1, 1, 5, 7, 1, 1, 1, 5};

    cr_assert(eq(int, references_walk(slice_make(endless, sizeof endless), &nobody), LSM_CORRUPT));
    cr_assert(eq(int, references_walk(slice_make(wraps, sizeof wraps), &nobody), LSM_CORRUPT));
    cr_assert(eq(int, references_walk(slice_make(twice, sizeof twice), &nobody), LSM_CORRUPT));
}

Test(references, reports_a_lack_of_memory)
{
    struct value_pointer p = {.segment = 1, .offset = 2, .record_size = 3};
    struct segment_reference *sums;
    struct references r;
    size_t count;

    cr_assert(alloc_fault_install());
    references_init(&r);
    alloc_fault_at(1, false);
    cr_assert(eq(int, references_add(&r, &p), LSM_NO_MEMORY));
    cr_assert(eq(int, references_add(&r, &p), LSM_OK));
    alloc_fault_at(1, false);
    cr_assert(eq(int, references_sum(&r, &sums, &count), LSM_NO_MEMORY));
    references_release(&r);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}
