// test_cache.c -- the cache keeps to its budget and finds what it keeps.

#include "sstable/cache.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/residency.h"
#include "support/alloc_fault.h"

static struct epoch_bin bin;

static void setup(void)
{
    epoch_bin_init(&bin);
}

static void teardown(void)
{
    epoch_drain(&bin);
    epoch_bin_release(&bin);
}

TestSuite(cache, .init = setup, .fini = teardown);

static struct cache *cache_of(size_t budget)
{
    struct cache *cache;

    cr_assert(eq(int, cache_new(budget, &bin, &cache), LSM_OK));
    return cache;
}

static void insert(struct cache *cache, uint64_t file, uint64_t offset, size_t size)
{
    struct block *block = block_new(size);

    cr_assert(block != NULL);
    memset(block->bytes, (int)(file * 31 + offset), size);
    epoch_enter();
    cr_assert(eq(ptr, cache_insert(cache, block, file, offset), block));
    epoch_exit();
}

static bool has(struct cache *cache, uint64_t file, uint64_t offset)
{
    struct block *block;

    EPOCH_SECTION();
    block = cache_lookup(cache, file, offset);
    if (block == NULL)
        return false;
    cr_assert(eq(u64, block->file, file));
    cr_assert(eq(u64, block->offset, offset));
    for (size_t i = 0; i < block->size; i++)
        cr_assert(block->bytes[i] == (uint8_t)(file * 31 + offset));
    return true;
}

Test(cache, finds_every_block_that_fits)
{
    struct cache *cache = cache_of(64 << 20);

    for (uint64_t i = 0; i < 5000; i++)
        insert(cache, i % 7 + 1, i * 4096, 1000);
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert(has(cache, i % 7 + 1, i * 4096), "block %zu", (size_t)i);
    cr_assert(not(has(cache, 8, 0)));
    cr_assert(not(has(cache, 1, 4096)));
    cache_free(cache);
}

Test(cache, counts_bytes_with_overhead_and_stays_within_the_budget)
{
    struct cache *cache = cache_of(1 << 20);
    size_t one;

    cr_assert(eq(sz, cache_used(cache), 0));
    insert(cache, 1, 0, 1000);
    one = cache_used(cache);
    cr_assert(ge(sz, one, 1000 + sizeof(struct block) + BLOCK_SLACK));
    insert(cache, 1, 1, 1000);
    cr_assert(eq(sz, cache_used(cache), 2 * one));
    for (uint64_t i = 2; i < 5000; i++) {
        insert(cache, 1, i, 1000);
        cr_assert(le(sz, cache_used(cache), cache_budget(cache)));
    }
    cr_assert(gt(sz, cache_used(cache), cache_budget(cache) / 10 * 8));
    cache_free(cache);
}

Test(cache, a_block_that_is_used_outlives_a_scan)
{
    struct cache *cache = cache_of(1 << 20);
    size_t lost = 0;

    for (uint64_t i = 0; i < 50; i++)
        insert(cache, 1, i, 1000);
    for (uint64_t i = 0; i < 5000; i++) {
        insert(cache, 2, i, 1000);
        for (uint64_t j = 0; i % 100 == 0 && j < 50; j++)
            lost += !has(cache, 1, j);
    }
    for (uint64_t j = 0; j < 50; j++)
        lost += !has(cache, 1, j);
    cr_assert(eq(sz, lost, 0));
    cache_free(cache);
}

Test(cache, the_first_of_two_copies_stays)
{
    struct cache *cache = cache_of(1 << 20);
    struct block *second = block_new(10);
    struct block *kept;

    insert(cache, 1, 1, 10);
    epoch_enter();
    kept = cache_insert(cache, second, 1, 1);
    cr_assert(ne(ptr, kept, second));
    cr_assert(eq(ptr, kept, cache_lookup(cache, 1, 1)));
    epoch_exit();
    cache_free(cache);
}

Test(cache, a_block_larger_than_a_shard_is_usable_but_not_kept)
{
    struct cache *cache = cache_of(100000);
    struct block *block = block_new(200000);

    epoch_enter();
    cr_assert(eq(ptr, cache_insert(cache, block, 1, 1), block));
    block->bytes[199999] = 1;
    cr_assert(eq(ptr, cache_lookup(cache, 1, 1), NULL));
    epoch_exit();
    cr_assert(eq(sz, cache_used(cache), 0));
    cache_free(cache);
}

Test(cache, a_watched_block_that_has_changed_is_not_found)
{
    struct cache *cache = cache_of(1 << 20);
    struct block *bad, *fresh;

    cache_watch(cache);
    insert(cache, 1, 1, 100);
    insert(cache, 1, 2, 100);
    epoch_enter();
    bad = cache_lookup(cache, 1, 1);
    bad->bytes[7] ^= 0x40;
    cr_assert(eq(ptr, cache_lookup(cache, 1, 1), NULL));
    cr_assert(has(cache, 1, 2));
    fresh = block_new(100);
    memset(fresh->bytes, 1, 100);
    cr_assert(eq(ptr, cache_insert(cache, fresh, 1, 1), fresh), "usable, though not kept");
    cr_assert(eq(int, fresh->bytes[7], 1));
    bad->bytes[7] ^= 0x40;
    cr_assert(eq(ptr, cache_lookup(cache, 1, 1), bad));
    epoch_exit();
    cache_free(cache);
}

Test(cache, a_reference_keeps_a_block_beyond_the_section_and_eviction)
{
    struct cache *cache = cache_of(1 << 20);
    struct block *block;

    insert(cache, 1, 1, 100);
    epoch_enter();
    block = cache_lookup(cache, 1, 1);
    block_ref(block);
    epoch_exit();
    cache_set_budget(cache, 0);
    epoch_drain(&bin);
    cr_assert(not(has(cache, 1, 1)));
    cr_assert(block->bytes[99] == 32);
    block_unref(block);
    cache_free(cache);
}

Test(cache, a_smaller_budget_and_charges_take_effect_at_once)
{
    struct cache *cache = cache_of(4 << 20);

    for (uint64_t i = 0; i < 5000; i++)
        insert(cache, 1, i, 1000);
    cache_charge(cache, 3 << 20);
    cr_assert(eq(sz, cache_charged(cache), 3 << 20));
    cr_assert(le(sz, cache_used(cache), 4 << 20));
    cache_charge(cache, -(3 << 20));
    cr_assert(eq(sz, cache_charged(cache), 0));
    for (uint64_t i = 0; i < 5000; i++)
        insert(cache, 2, i, 1000);
    cr_assert(gt(sz, cache_used(cache), 3 << 20));
    cache_set_budget(cache, 1 << 20);
    cr_assert(le(sz, cache_used(cache), 1 << 20));
    cr_assert(eq(sz, cache_budget(cache), 1 << 20));
    cache_free(cache);
}

// Who evicts all the time may be faster than the job that frees what was evicted.
Test(cache, what_was_evicted_does_not_pile_up_when_nobody_else_collects)
{
    struct cache *cache = cache_of(1 << 20);

    for (uint64_t i = 0; i < 4096; i++) {
        insert(cache, 1, i * 4096, 4096);
        cr_assert(le(sz, bin.count * 4096, 2 << 20));
    }
    cache_free(cache);
}

Test(cache, counts_hits_misses_insertions_and_evictions)
{
    struct cache *cache = cache_of(1 << 20);
    struct cache_stats stats;

    for (uint64_t i = 0; i < 2000; i++)
        insert(cache, 1, i, 1000);
    size_t hits = 0;
    for (uint64_t i = 0; i < 2000; i++)
        hits += has(cache, 1, i);
    cache_read_stats(cache, &stats);
    cr_assert(eq(u64, stats.hits, hits));
    cr_assert(eq(u64, stats.misses, 2000 - hits));
    cr_assert(eq(u64, stats.insertions, 2000));
    cr_assert(eq(u64, stats.evictions, 2000 - hits));
    cache_free(cache);
}

Test(cache, gives_every_file_a_number_of_its_own)
{
    struct cache *cache = cache_of(0);
    uint64_t first = cache_new_file_key(cache);

    cr_assert(ne(u64, first, cache_new_file_key(cache)));
    cache_free(cache);
}

Test(cache, works_without_memory_to_grow)
{
    struct cache *cache;

    cr_assert(alloc_fault_install());
    for (size_t n = 1;; n++) {
        alloc_fault_at(n, false);
        lsm_status status = cache_new(16 << 20, &bin, &cache);
        if (status == LSM_OK)
            break;
        cr_assert(eq(int, status, LSM_NO_MEMORY));
        cr_assert(eq(sz, alloc_fault_live(), 0));
    }
    alloc_fault_at(0, false);
    for (uint64_t i = 0; i < 3000; i++) {
        struct block *block = block_new(100);

        memset(block->bytes, (int)(31 + i), 100);
        alloc_fault_at(1, true); // no larger array of buckets
        epoch_enter();
        (void)cache_insert(cache, block, 1, i);
        epoch_exit();
        alloc_fault_at(0, false);
    }
    for (uint64_t i = 0; i < 3000; i++)
        cr_assert(has(cache, 1, i));
    cache_free(cache);
    epoch_drain(&bin);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

// --- residency ---

struct thing {
    struct resident resident;
    bool is_released;
};

static void thing_release(struct epoch_node *node)
{
    ((struct thing *)node)->is_released = true;
}

#define THINGS 10

Test(cache, residents_not_used_give_way_when_charges_pass_three_quarters)
{
    struct cache *cache = cache_of(1000);
    struct thing things[THINGS] = {0};
    struct resident *_Atomic slots[THINGS] = {0};
    struct thing late = {.resident = {.size = 100, .release = thing_release}};

    for (size_t i = 0; i < THINGS; i++) {
        things[i].resident.size = 100;
        things[i].resident.release = thing_release;
        cr_assert(eq(ptr, residency_admit(cache_residency(cache), &things[i].resident, &slots[i]),
                     &things[i].resident));
        resident_touch(&things[0].resident); // always in use
        cr_assert(le(sz, cache_charged(cache), 750));
    }
    epoch_drain(&bin);
    cr_assert(atomic_load(&slots[0]) != NULL);
    cr_assert(atomic_load(&slots[THINGS - 1]) != NULL);
    cr_assert(atomic_load(&slots[1]) == NULL);
    cr_assert(things[1].is_released);
    cr_assert(eq(sz, cache_charged(cache), 700));
    // Whoever comes second gets what is there, and keeps its own.
    cr_assert(eq(ptr, residency_admit(cache_residency(cache), &late.resident, &slots[0]),
                 &things[0].resident));
    for (size_t i = 0; i < THINGS; i++)
        residency_evict(cache_residency(cache), &slots[i]);
    epoch_drain(&bin);
    for (size_t i = 0; i < THINGS; i++)
        cr_assert(things[i].is_released);
    cr_assert(not(late.is_released));
    cr_assert(eq(sz, cache_charged(cache), 0));
    cache_free(cache);
}
