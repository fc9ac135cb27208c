// test_arena.c -- memory that is freed whole.

#include "base/arena.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/alloc.h"
#include "support/alloc_fault.h"
#include "support/random.h"

Test(arena, nothing_is_allocated_before_the_first_request)
{
    struct arena arena;

    cr_assert(alloc_fault_install());
    arena_init(&arena, 4096);
    cr_assert(eq(sz, arena_used(&arena), 0));
    cr_assert(eq(sz, alloc_fault_live(), 0));
    arena_release(&arena);
}

// Fills every block and looks at all of them at the end: blocks are aligned and
// none overlaps another, whatever their sizes.
Test(arena, blocks_are_aligned_and_apart)
{
    enum { BLOCKS = 3000 };
    struct random random = random_for_test(__func__);
    struct arena arena;
    uint8_t *blocks[BLOCKS];
    size_t sizes[BLOCKS];

    arena_init(&arena, 4096);
    for (size_t i = 0; i < BLOCKS; i++) {
        sizes[i] = 1 + random_below(&random, random_one_in(&random, 20) ? 10000 : 100);
        blocks[i] = arena_alloc(&arena, sizes[i]);
        cr_assert(blocks[i] != NULL);
        cr_assert(eq(sz, (uintptr_t)blocks[i] % 8, 0));
        memset(blocks[i], (int)(i % 251), sizes[i]);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            cr_assert(eq(u8, blocks[i][j], i % 251));
    }
    arena_release(&arena);
}

Test(arena, a_large_request_leaves_the_room_of_the_newest_chunk_in_use)
{
    struct arena arena;
    uint8_t *before;
    uint8_t *large;

    arena_init(&arena, 4096);
    before = arena_alloc(&arena, 8);
    large = arena_alloc(&arena, 5000);
    cr_assert(large != NULL);
    memset(large, 1, 5000);
    cr_assert(eq(ptr, arena_alloc(&arena, 8), before + 8));
    cr_assert(ge(sz, arena_used(&arena), 4096 + 5000));
    arena_release(&arena);
}

Test(arena, a_large_first_request_is_served)
{
    struct arena arena;
    uint8_t *block;

    arena_init(&arena, 64);
    block = arena_alloc(&arena, 10000);
    cr_assert(block != NULL);
    memset(block, 1, 10000);
    arena_release(&arena);
}

Test(arena, used_counts_whole_chunks)
{
    struct arena arena;

    arena_init(&arena, 4096);
    (void)arena_alloc(&arena, 1);
    cr_assert(eq(sz, arena_used(&arena), 4096));
    for (int i = 0; i < 100; i++)
        (void)arena_alloc(&arena, 30);
    cr_assert(eq(sz, arena_used(&arena), 4096));
    for (int i = 0; i < 100; i++)
        (void)arena_alloc(&arena, 30);
    cr_assert(eq(sz, arena_used(&arena), 8192));
    arena_release(&arena);
    cr_assert(eq(sz, arena_used(&arena), 0));
}

Test(arena, large_chunks_lie_on_huge_page_boundaries)
{
    struct arena arena;
    uint8_t *block;

    arena_init(&arena, MEM_ALIGNMENT_MAX);
    block = arena_alloc(&arena, 8);
    if (MEM_HAS_PAGES)
        cr_assert(lt(sz, (uintptr_t)block % MEM_ALIGNMENT_MAX, 64), "only the header before it");
    arena_release(&arena);
}

Test(arena, after_a_reservation_allocations_cannot_fail)
{
    struct random random = random_for_test(__func__);
    struct arena arena;

    cr_assert(alloc_fault_install());
    arena_init(&arena, 1024);
    for (int round = 0; round < 1000; round++) {
        size_t sizes[10];
        size_t count = 1 + random_below(&random, 10);
        size_t total = 0;

        for (size_t i = 0; i < count; i++)
            total += sizes[i] = 1 + random_below(&random, 500);
        cr_assert(arena_reserve(&arena, total, count));
        alloc_fault_at(1, true);
        for (size_t i = 0; i < count; i++)
            cr_assert(arena_alloc(&arena, sizes[i]) != NULL);
        cr_assert(not(alloc_fault_was_hit()));
        alloc_fault_at(0, false);
    }
    arena_release(&arena);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

Test(arena, short_of_memory_the_arena_stays_usable)
{
    struct arena arena;
    uint8_t *first;

    cr_assert(alloc_fault_install());
    arena_init(&arena, 1024);
    alloc_fault_at(1, true);
    cr_assert(arena_alloc(&arena, 8) == NULL);
    cr_assert(not(arena_reserve(&arena, 8, 1)));
    alloc_fault_at(0, false);
    first = arena_alloc(&arena, 8);
    alloc_fault_at(1, true);
    cr_assert(arena_alloc(&arena, 2000) == NULL);
    cr_assert(not(arena_reserve(&arena, 2000, 1)));
    cr_assert(eq(ptr, arena_alloc(&arena, 8), first + 8));
    cr_assert(eq(sz, arena_used(&arena), 1024));
    arena_release(&arena);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

Test(arena, sizes_that_overflow_are_refused)
{
    struct arena arena;

    arena_init(&arena, 1024);
    (void)arena_alloc(&arena, 8);
    cr_assert(arena_alloc(&arena, SIZE_MAX) == NULL);
    cr_assert(arena_alloc(&arena, SIZE_MAX - 15) == NULL);
    cr_assert(not(arena_reserve(&arena, SIZE_MAX - 3, 1)));
    cr_assert(not(arena_reserve(&arena, 8, SIZE_MAX / 2)));
    arena_release(&arena);
}

Test(arena, releasing_an_arena_never_used_or_twice_does_nothing)
{
    struct arena zeroed = {0};
    struct arena arena;

    arena_release(&zeroed);
    arena_init(&arena, 1024);
    (void)arena_alloc(&arena, 8);
    arena_release(&arena);
    arena_release(&arena);
}
