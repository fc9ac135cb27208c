// sstable_cache.c -- threads that look up, insert and evict in a cache that is
// far too small; each block found must hold what its key says.

#include <stdio.h>
#include <stdlib.h>

#include "env/sync.h"
#include "sstable/cache.h"
#include "support/random.h"

#define THREADS 4
#define OPS     30000
#define KEYS    2000

struct worker {
    struct thread thread;
    struct cache *cache;
    struct epoch_bin *bin;
    uint64_t seed;
};

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static size_t size_of_key(uint64_t key)
{
    return 64 + key % 3000;
}

static void check(const struct block *block, uint64_t key)
{
    uint64_t first;
    uint64_t last;

    if (block->size != size_of_key(key))
        fail("a block of another size");
    memcpy(&first, block->bytes, sizeof first);
    memcpy(&last, block->bytes + block->size - sizeof last, sizeof last);
    if (first != key || last != ~key)
        fail("a block with other bytes");
}

static struct block *make(uint64_t key)
{
    struct block *block = block_new(size_of_key(key));
    uint64_t last = ~key;

    if (block == NULL)
        fail("no memory");
    memcpy(block->bytes, &key, sizeof key);
    memcpy(block->bytes + block->size - sizeof last, &last, sizeof last);
    return block;
}

// One lookup, an insertion after a miss, and now and then a reference kept beyond
// the section.
static void use_key(struct worker *w, struct random *rng, uint64_t key)
{
    struct block *kept = NULL;
    struct block *block;

    epoch_enter();
    block = cache_lookup(w->cache, key % 5 + 1, key);
    if (block == NULL)
        block = cache_insert(w->cache, make(key), key % 5 + 1, key);
    check(block, key);
    if (random_one_in(rng, 8)) {
        block_ref(block);
        kept = block;
    }
    epoch_exit();
    if (kept != NULL)
        check(kept, key);
    block_unref(kept);
}

static void work(void *ctx)
{
    struct worker *w = ctx;
    struct random rng = {.state = w->seed};

    for (size_t i = 0; i < OPS; i++) {
        // Half of the accesses go to a tenth of the keys.
        uint64_t range = random_one_in(&rng, 2) ? KEYS / 10 : KEYS;

        use_key(w, &rng, random_below(&rng, range));
        if (random_one_in(&rng, 500))
            cache_set_budget(w->cache, (size_t)(1 + random_below(&rng, 8)) * 64 * 1024);
        if (random_one_in(&rng, 700)) {
            cache_charge(w->cache, 50000);
            cache_charge(w->cache, -50000);
        }
        if (random_one_in(&rng, 200))
            (void)epoch_collect(w->bin);
    }
}

int main(void)
{
    struct random rng = random_for_test("sstable_cache");
    struct worker workers[THREADS];
    struct epoch_bin bin;
    struct cache *cache;
    struct cache_stats stats;

    epoch_bin_init(&bin);
    if (cache_new(2 << 20, &bin, &cache) != LSM_OK)
        fail("cache_new");
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cache = cache, .bin = &bin, .seed = random_next(&rng)};
        if (thread_start(&workers[i].thread, "cache", work, &workers[i]) != LSM_OK)
            fail("thread_start");
    }
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&workers[i].thread);
    cache_set_budget(cache, 64 * 1024);
    if (cache_used(cache) > 64 * 1024)
        fail("over the budget");
    cache_read_stats(cache, &stats);
    if (stats.insertions == 0 || stats.evictions == 0 || stats.hits == 0)
        fail("nothing happened");
    cache_set_budget(cache, 0);
    if (cache_used(cache) != 0)
        fail("bytes are left that no block has");
    epoch_drain(&bin);
    cache_free(cache);
    epoch_bin_release(&bin);
    return 0;
}
