// test_alloc.c -- the allocator and its hook.

#include "base/alloc.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "support/alloc_fault.h"

static bool is_filled(const uint8_t *bytes, uint8_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

Test(alloc, a_size_of_zero_yields_a_unique_pointer)
{
    void *a = mem_alloc(0);
    void *b = mem_alloc_zeroed(0, 8);
    void *c = mem_resize(NULL, 0);

    cr_assert(a != NULL && b != NULL && c != NULL);
    cr_assert(a != b && b != c && a != c);
    mem_free(a);
    mem_free(b);
    mem_free(mem_resize(c, 0));
}

Test(alloc, a_product_that_overflows_is_refused)
{
    uint8_t *block = mem_alloc(16);

    cr_assert(mem_alloc_zeroed(SIZE_MAX / 2, 3) == NULL);
    cr_assert(mem_resize_array(block, SIZE_MAX / 8 + 1, 8) == NULL);
    cr_assert(mem_alloc_aligned(4096, SIZE_MAX - 100) == NULL);
    memset(block, 1, 16); // still there
    mem_free(block);
}

Test(alloc, growing_keeps_the_bytes)
{
    uint8_t *block = mem_alloc(100);

    memset(block, 7, 100);
    block = mem_resize_array(block, 1000, 10);
    cr_assert(block != NULL);
    cr_assert(is_filled(block, 7, 100));
    mem_free(block);
}

Test(alloc, an_array_grows_by_doubling_and_keeps_its_items)
{
    uint32_t *items = NULL;
    size_t capacity = 0;
    unsigned growths = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        const size_t before = capacity;

        cr_assert(mem_reserve(&items, &capacity, i, 1, sizeof *items));
        cr_assert(capacity > i && capacity >= before);
        growths += capacity != before;
        items[i] = i;
    }
    cr_assert(growths <= 14);
    cr_assert(mem_reserve(&items, &capacity, 10000, 50000, sizeof *items));
    cr_assert(ge(sz, capacity, 60000));
    for (uint32_t i = 0; i < 10000; i++)
        cr_assert(eq(u32, items[i], i));
    mem_free(items);
}

Test(alloc, an_array_that_cannot_grow_stays_as_it_is)
{
    uint32_t *items = NULL;
    uint32_t *before;
    size_t capacity = 0;
    size_t old;

    cr_assert(mem_reserve(&items, &capacity, 0, 3, sizeof *items));
    before = items;
    old = capacity;
    cr_assert(not(mem_reserve(&items, &capacity, 3, SIZE_MAX, sizeof *items)));
    cr_assert(not(mem_reserve(&items, &capacity, 3, SIZE_MAX / 2, sizeof *items)));
    cr_assert(items == before);
    cr_assert(eq(sz, capacity, old));
    mem_free(items);
}

Test(alloc, zeroed_memory_is_zero_with_and_without_a_hook)
{
    uint8_t *block;

    cr_assert(alloc_fault_install());
    block = mem_alloc(5000);
    memset(block, 0xAA, 5000);
    mem_free(block);
    block = mem_alloc_zeroed(50, 100);
    cr_assert(is_filled(block, 0, 5000));
    mem_free(block);
}

Test(alloc, mapped_memory_is_zeroed_and_writable)
{
    static const size_t sizes[] = {1, 4096, 1000000, 1 << 20, (1 << 20) + 1, 2 << 20, 6 << 20};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *block = mem_map(sizes[i]);

        cr_assert(block != NULL);
        for (size_t at = 0; at < sizes[i]; at += 97)
            cr_assert(zero(u8, block[at]));
        memset(block, 0xA5, sizes[i]);
        mem_unmap(block, sizes[i]);
    }
    cr_assert(mem_map(SIZE_MAX - 100) == NULL);
    mem_unmap(NULL, 4096);
    mem_unmap(NULL, 4 << 20);
}

Test(alloc, aligned_memory_is_aligned_and_whole)
{
    for (size_t alignment = 1; alignment <= MEM_ALIGNMENT_MAX; alignment *= 2) {
        for (size_t size = 0; size < 300; size += 99) {
            uint8_t *block = mem_alloc_aligned(alignment, size);

            cr_assert(block != NULL);
            cr_assert(eq(sz, (uintptr_t)block % alignment, 0));
            memset(block, 1, size);
            mem_free_aligned(block);
        }
    }
}

Test(alloc, releasing_null_does_nothing)
{
    CLEANUP(mem_freep) char *nothing = NULL;

    mem_free(nothing);
    mem_free_aligned(NULL);
    lsm_free(NULL);
}

Test(alloc, the_hook_sees_every_allocation_and_release)
{
    void *a;
    void *b;
    void *c;

    cr_assert(alloc_fault_install());
    a = mem_alloc(1);
    b = mem_alloc_zeroed(2, 2);
    c = mem_alloc_aligned(64, 3);
    cr_assert(eq(sz, alloc_fault_live(), 3));
    a = mem_resize(a, 100);
    cr_assert(eq(sz, alloc_fault_live(), 3));
    lsm_free(a);
    mem_free(b);
    mem_free_aligned(c);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

Test(alloc, a_failing_hook_fails_every_kind_of_allocation)
{
    void *block;

    cr_assert(alloc_fault_install());
    block = mem_alloc(8);
    alloc_fault_at(1, true);
    cr_assert(mem_alloc(8) == NULL);
    cr_assert(mem_alloc_zeroed(1, 8) == NULL);
    cr_assert(mem_alloc_aligned(64, 8) == NULL);
    cr_assert(mem_resize(block, 16) == NULL);
    cr_assert(alloc_fault_was_hit());
    alloc_fault_at(0, false);
    mem_free(block);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

Test(alloc, the_hook_is_fixed_by_the_first_allocation)
{
    cr_assert(alloc_fault_install());
    cr_assert(alloc_fault_install(), "nothing has been allocated yet");
    mem_free(mem_alloc(1));
    cr_assert(not(alloc_fault_install()));
    cr_assert(strstr(lsm_errmsg(), "allocated already") != NULL);
}

static void *resize_nothing(void *ctx, void *block, size_t size)
{
    (void)ctx, (void)block, (void)size;
    return NULL;
}

Test(alloc, a_hook_without_both_functions_is_refused)
{
    const lsm_allocator half = {.resize = resize_nothing};

    cr_assert(lsm_set_allocator(NULL) == LSM_INVALID);
    cr_assert(lsm_set_allocator(&half) == LSM_INVALID);
    mem_free(mem_alloc(1)); // the usual allocator is still in place
}
