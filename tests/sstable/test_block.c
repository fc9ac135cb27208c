// test_block.c -- searching in a block, compared with a sorted array, and blocks
// that are not what they should be.

#include "sstable/block.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/block_builder.h"
#include "sstable/cache.h"
#include "sstable/table_fixture.h"
#include "support/alloc_fault.h"

static struct block *encode(const struct entry_array *a)
{
    struct block_builder b;
    lsm_buf bytes = {.data = NULL};
    struct block *block;

    block_builder_init(&b);
    for (size_t i = 0; i < a->count; i++)
        MUST(block_builder_add(&b, &a->items[i]));
    MUST(block_builder_encode(&b, &bytes));
    cr_assert(le(sz, bytes.size, block_builder_size(&b)));
    cr_assert(ge(sz, bytes.size + 12 * a->count, block_builder_size(&b)));
    block = block_new(bytes.size);
    memcpy(block->bytes, bytes.data, bytes.size);
    lsm_buf_free(&bytes);
    block_builder_release(&b);
    return block;
}

static lsm_slice bytes_of(const struct block *block)
{
    return slice_make(block->bytes, block->size);
}

static void check_entry(const struct block_view *view, uint32_t i, const struct entry *expected)
{
    static uint8_t key[BLOCK_KEY_ROOM_MAX];
    struct entry e = block_assemble(view, i, key);

    cr_assert(entry_equal(&e, expected), "entry %u", i);
}

static void check_search(const struct block_view *view, const struct entry_array *a,
                         const struct ikey *target)
{
    size_t expected = entry_array_seek(a, target);
    uint32_t got = block_lower_bound(view, target);

    cr_assert(eq(sz, got, expected));
    if (got < view->count) {
        struct block_entry e;

        block_entry_at(view, got, &e);
        cr_assert(eq(int, block_entry_has_key(view, &e, target),
                     a->items[got].keyspace == target->keyspace &&
                         slice_equal(a->items[got].key, target->key)));
    }
}

static const struct entry_shape shapes[] = {
    {.count = 200, .keyspaces = 1, .key_max = 12, .ts_max = 3, .value_max = 9},
    {.count = 200, .keyspaces = 1, .prefix_size = 30, .key_max = 20, .alphabet = 2, .ts_max = 900},
    {.count = 300, .keyspaces = 1, .key_max = 10, .alphabet = 1, .ts_max = UINT64_MAX - 1},
    // As in an index: several keyspaces, which share none to three bytes.
    {.count = 300, .keyspaces = 400, .key_max = 9, .alphabet = 3, .ts_max = 2},
    {.count = 300, .keyspaces = 3, .key_max = 3, .alphabet = 2, .ts_max = 1000},
    {.count = 80, .keyspaces = 1, .key_max = 30, .ts_max = 2, .value_max = 4000}, // wide offsets
    {.count = 1, .keyspaces = 1, .key_max = 1, .ts_max = 2},
};

Test(block, finds_what_a_sorted_array_finds)
{
    struct random rng = random_for_test("block");

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        struct entry_array a = random_entries(&rng, &shapes[s]);
        struct entry_array others = random_entries(&rng, &shapes[s]);
        bool is_index = shapes[s].keyspaces > 1;
        struct block *block;
        struct block_view view;

        for (size_t i = 0; is_index && i < a.count; i++)
            a.items[i].kind = ENTRY_VALUE;
        block = encode(&a);
        view = block_view_of(block->bytes);
        MUST(block_check(bytes_of(block), is_index ? BLOCK_INDEX : BLOCK_DATA));
        cr_assert(
            eq(int, block_check(bytes_of(block), BLOCK_DATA), is_index ? LSM_CORRUPT : LSM_OK));
        for (uint32_t i = 0; i < a.count; i++) {
            struct ikey at = entry_ikey(&a.items[i]);

            check_entry(&view, i, &a.items[i]);
            check_search(&view, &a, &at);
            at.ts++;
            check_search(&view, &a, &at);
            at.ts = 0;
            check_search(&view, &a, &at);
            at.key.size -= at.key.size > 0;
            check_search(&view, &a, &at);
        }
        for (size_t i = 0; i < others.count; i++) {
            struct ikey at = entry_ikey(&others.items[i]);

            check_search(&view, &a, &at);
            at.keyspace += 1;
            check_search(&view, &a, &at);
        }
        block_unref(block);
        entry_array_release(&a);
        entry_array_release(&others);
    }
}

Test(block, holds_keys_and_values_of_the_largest_size)
{
    static uint8_t bytes[65536];
    struct entry_array a = {.items = calloc(4, sizeof *a.items), .count = 4};

    for (size_t i = 0; i < a.count; i++) {
        bytes[65534] = (uint8_t)i;
        a.items[i] = (struct entry){.kind = ENTRY_VALUE, .ts = i};
        a.items[i].key = bytes_copy(bytes, 65535);
        a.items[i].value = bytes_copy(bytes, 65536);
    }
    struct block *block = encode(&a);
    struct block_view view = block_view_of(block->bytes);
    MUST(block_check(bytes_of(block), BLOCK_DATA));
    for (uint32_t i = 0; i < a.count; i++)
        check_entry(&view, i, &a.items[i]);
    block_unref(block);
    entry_array_release(&a);
}

// Damage that a checksum would not have let through must not lead outside of the
// block either: under the sanitizers every answer is fine but a stray access.
Test(block, damaged_bytes_are_refused_or_harmless)
{
    struct random rng = random_for_test("block damage");
    struct entry_shape shape = {
        .count = 30, .keyspaces = 1, .key_max = 14, .alphabet = 3, .ts_max = 5, .value_max = 20};
    struct entry_array a = random_entries(&rng, &shape);
    struct block *good = encode(&a);
    size_t refused = 0;

    for (size_t round = 0; round < 40000; round++) {
        size_t size = random_one_in(&rng, 4) ? random_below(&rng, good->size) : good->size;
        struct block *bad = block_new(size);

        memcpy(bad->bytes, good->bytes, size);
        for (size_t i = 0; i < 1 + random_below(&rng, 3) && size > 0; i++)
            bad->bytes[random_below(&rng, size)] ^= (uint8_t)(1u << random_below(&rng, 8));
        if (block_check(bytes_of(bad), BLOCK_DATA) != LSM_OK) {
            refused++;
        } else {
            struct block_view view = block_view_of(bad->bytes);
            static uint8_t key[BLOCK_KEY_ROOM_MAX];

            for (uint32_t i = 0; i < view.count; i++) {
                struct entry e = block_assemble(&view, i, key);
                struct ikey at = entry_ikey(&e);

                cr_assert(eq(u32, block_lower_bound(&view, &at), i));
            }
        }
        block_unref(bad);
    }
    cr_assert(gt(sz, refused, 10000));
    block_unref(good);
    entry_array_release(&a);
}

Test(block, reports_a_lack_of_memory)
{
    struct entry e = {.kind = ENTRY_VALUE, .key = slice_of("key"), .value = slice_of("value")};
    struct block_builder b;
    lsm_buf bytes = {.data = NULL};

    cr_assert(alloc_fault_install());
    block_builder_init(&b);
    for (size_t n = 1; n <= 2; n++) {
        alloc_fault_at(n, false);
        cr_assert(eq(int, block_builder_add(&b, &e), LSM_NO_MEMORY));
        block_builder_release(&b);
    }
    alloc_fault_at(0, false);
    MUST(block_builder_add(&b, &e));
    alloc_fault_at(1, false);
    cr_assert(eq(int, block_builder_encode(&b, &bytes), LSM_NO_MEMORY));
    MUST(block_builder_encode(&b, &bytes));
    block_builder_release(&b);
    lsm_buf_free(&bytes);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}
