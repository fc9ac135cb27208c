// cache.c -- the shards.
//
// A shard is an array of buckets, each a chain of blocks, newest first. Readers
// walk chains while the shard changes under them: a block taken out keeps its
// `next`, and one that moves to the chain of a larger array leads readers of the
// old array into the new chain. Such a reader may miss a block that is there,
// and then finds it when it inserts its own copy under the mutex; it never sees
// a released one, since blocks and arrays are retired.
//
// The clock's hand walks over the buckets. A block starts without its used mark:
// until it has been found once it is on probation, which keeps a scan from
// driving out what is in use.

#include "sstable/cache.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "sstable/compress.h"
#include "sstable/residency.h"

#define SHARDS_MAX       16
#define SHARD_BYTES_MIN  (512 * 1024)
#define BUCKETS_MIN      64
#define STRIPES          16
#define ROUNDS_PER_SWEEP 2
#define ALLOCATION_SHARE 32            // bytes: a block's share of buckets and of the allocator
#define RETIRED_MAX      (1024 * 1024) // bytes that may wait to be freed by somebody else

static_assert(offsetof(struct block, bytes) % 8 == 0, "block bytes start at a multiple of 8");

struct bucket_array {
    struct epoch_node node;
    size_t count; // a power of two
    struct block *_Atomic heads[];
};

struct shard {
    // Written under the mutex with release, read by lookups with acquire.
    struct bucket_array *_Atomic buckets;

    _Alignas(64) struct mutex mu; // rank LOCK_CACHE; guards the fields below
    size_t count;
    size_t hand;                 // index of the next bucket the clock looks at
    _Atomic size_t used;         // read without the mutex for statistics
    _Atomic uint64_t insertions; // likewise
    _Atomic uint64_t evictions;  // likewise
};

// Written by the threads that share the stripe, relaxed.
struct stripe {
    _Alignas(64) _Atomic uint64_t hits;
    _Atomic uint64_t misses;
};

struct cache {
    struct epoch_bin *bin; // immutable
    size_t shard_count;    // immutable, a power of two
    bool is_watched;       // immutable once there is a block
    struct residency residency;
    struct decompressor_pool decompressors;

    _Atomic size_t budget;   // relaxed; shards read it when they trim
    _Atomic int64_t charged; // likewise
    _Atomic size_t retired;  // relaxed; bytes, since somebody collected last
    _Atomic uint64_t next_file;

    struct stripe stripes[STRIPES];
    struct shard shards[SHARDS_MAX];
};

struct block *block_new(size_t size)
{
    size_t room;
    struct block *b;

    if (__builtin_add_overflow(size, sizeof *b + BLOCK_SLACK, &room))
        return NULL;
    b = mem_alloc(room);
    if (b == NULL)
        return NULL;
    atomic_init(&b->refs, 1);
    atomic_init(&b->is_used, false);
    atomic_init(&b->next, NULL);
    b->file = 0;
    b->offset = 0;
    b->size = size;
    return b;
}

void block_ref(struct block *block)
{
    (void)atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
}

void block_unref(struct block *block)
{
    // Release and acquire: the last holder frees after the reads of all others.
    if (block != NULL && atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) == 1)
        mem_free(block);
}

void block_unrefp(struct block **block)
{
    block_unref(*block);
}

static void block_release(struct epoch_node *node)
{
    block_unref((struct block *)node);
}

static void bucket_array_release(struct epoch_node *node)
{
    mem_free(node);
}

static_assert(offsetof(struct block, node) == 0, "a block is released through its node");

static size_t block_charge(const struct block *block)
{
    return sizeof *block + block->size + BLOCK_SLACK + ALLOCATION_SHARE;
}

static struct bucket_array *bucket_array_new(size_t count)
{
    struct bucket_array *a = mem_alloc(sizeof *a + count * sizeof a->heads[0]);

    if (a == NULL)
        return NULL;
    a->count = count;
    for (size_t i = 0; i < count; i++)
        atomic_init(&a->heads[i], NULL);
    return a;
}

static size_t shard_count_for(size_t budget)
{
    size_t count = 1;

    while (count < SHARDS_MAX && budget / (count * 2) >= SHARD_BYTES_MIN)
        count *= 2;
    return count;
}

static lsm_status shard_init(struct shard *shard)
{
    struct bucket_array *buckets = bucket_array_new(BUCKETS_MIN);

    if (buckets == NULL)
        return lsm_fail(LSM_NO_MEMORY, "cache: no memory for a shard");
    mutex_init(&shard->mu, LOCK_CACHE);
    atomic_init(&shard->buckets, buckets);
    return LSM_OK;
}

static void shard_release(struct shard *shard)
{
    struct bucket_array *buckets = atomic_load(&shard->buckets);

    if (buckets == NULL)
        return; // was not initialised
    for (size_t i = 0; i < buckets->count; i++) {
        struct block *block = atomic_load(&buckets->heads[i]);

        while (block != NULL) {
            struct block *next = atomic_load(&block->next);

            block_unref(block);
            block = next;
        }
    }
    mem_free(buckets);
    mutex_release(&shard->mu);
}

lsm_status cache_new(size_t budget, struct epoch_bin *bin, struct cache **out)
{
    struct cache *cache = mem_alloc_aligned(64, sizeof *cache);

    if (cache == NULL)
        return lsm_fail(LSM_NO_MEMORY, "cache: %zu bytes", sizeof *cache);
    memset(cache, 0, sizeof *cache);
    cache->bin = bin;
    cache->shard_count = shard_count_for(budget);
    atomic_init(&cache->budget, budget);
    atomic_init(&cache->next_file, 1);
    residency_init(&cache->residency, cache);
    decompressor_pool_init(&cache->decompressors);
    for (size_t i = 0; i < cache->shard_count; i++) {
        lsm_status status = shard_init(&cache->shards[i]);

        if (status != LSM_OK) {
            cache_free(cache);
            return status;
        }
    }
    *out = cache;
    return LSM_OK;
}

void cache_watch(struct cache *cache)
{
    cache->is_watched = true;
}

void cache_free(struct cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < cache->shard_count; i++)
        shard_release(&cache->shards[i]);
    decompressor_pool_release(&cache->decompressors);
    residency_release(&cache->residency);
    mem_free_aligned(cache);
}

uint64_t cache_new_file_key(struct cache *cache)
{
    return atomic_fetch_add_explicit(&cache->next_file, 1, memory_order_relaxed);
}

struct residency *cache_residency(struct cache *cache)
{
    return &cache->residency;
}

struct decompressor_pool *cache_decompressors(struct cache *cache)
{
    return &cache->decompressors;
}

// Mixes the key well in both halves: the upper bits choose the shard, the lower
// ones the bucket.
static inline uint64_t place_hash(uint64_t file, uint64_t offset)
{
    uint64_t h = (file * 0x9e3779b97f4a7c15u) ^ (offset * 0xd6e8feb86659fd93u);

    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 29);
}

static inline struct shard *shard_of(struct cache *cache, uint64_t hash)
{
    return &cache->shards[(hash >> 56) & (cache->shard_count - 1)];
}

static inline struct stripe *stripe_of_thread(struct cache *cache)
{
    static _Atomic unsigned next_stripe;
    static _Thread_local unsigned mine; // plus one; 0: not chosen yet

    if (UNLIKELY(mine == 0))
        mine = atomic_fetch_add_explicit(&next_stripe, 1, memory_order_relaxed) % STRIPES + 1;
    return &cache->stripes[mine - 1];
}

static inline void count_one(_Atomic uint64_t *counter)
{
    // Two threads of one stripe may lose a count between them; that is cheaper
    // than a locked instruction per hit, and the numbers are statistics.
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

// The chain that `hash` belongs to, as it is now.
static inline struct block *_Atomic *chain_of(struct shard *shard, uint64_t hash)
{
    // Acquire: pairs with the release in shard_grow_locked().
    struct bucket_array *buckets = atomic_load_explicit(&shard->buckets, memory_order_acquire);

    return &buckets->heads[hash & (buckets->count - 1)];
}

// Acquire: pairs with the release that linked each block, whose bytes and key are
// then seen whole.
static inline struct block *chain_find(struct block *_Atomic *chain, uint64_t file, uint64_t offset)
{
    struct block *block = atomic_load_explicit(chain, memory_order_acquire);

    while (block != NULL && (block->offset != offset || block->file != file))
        block = atomic_load_explicit(&block->next, memory_order_acquire);
    return block;
}

static bool is_intact(const struct cache *cache, const struct block *block)
{
    return !cache->is_watched || crc32c(0, block->bytes, block->size) == block->sum;
}

struct block *cache_lookup(struct cache *cache, uint64_t file, uint64_t offset)
{
    uint64_t hash = place_hash(file, offset);
    struct block *block = chain_find(chain_of(shard_of(cache, hash), hash), file, offset);
    struct stripe *stripe = stripe_of_thread(cache);

    if (block == NULL || !is_intact(cache, block)) {
        count_one(&stripe->misses);
        return NULL;
    }
    count_one(&stripe->hits);
    if (!atomic_load_explicit(&block->is_used, memory_order_relaxed))
        atomic_store_explicit(&block->is_used, true, memory_order_relaxed);
    return block;
}

static void add_relaxed(_Atomic size_t *value, size_t change)
{
    (void)atomic_fetch_add_explicit(value, change, memory_order_relaxed);
}

void cache_retire(struct cache *cache, struct epoch_node *node,
                  void (*release)(struct epoch_node *node), size_t size)
{
    epoch_retire(cache->bin, node, release);
    add_relaxed(&cache->retired, size);
}

// What has been evicted waits for a job to free it. Without this, readers that miss all the
// time would be ahead of the job by any amount.
static void collect_when_much(struct cache *cache)
{
    if (atomic_load_explicit(&cache->retired, memory_order_relaxed) > RETIRED_MAX &&
        atomic_exchange_explicit(&cache->retired, 0, memory_order_relaxed) > RETIRED_MAX)
        (void)epoch_collect(cache->bin);
}

// Bytes of blocks that a shard may hold.
static size_t shard_budget(const struct cache *cache)
{
    size_t budget = cache_budget(cache);
    size_t charged = cache_charged(cache);

    return budget > charged ? (budget - charged) / cache->shard_count : 0;
}

// Takes the blocks of one chain that were not used since the hand passed, until
// `*over` bytes have been freed.
static void sweep_chain_locked(struct cache *cache, struct shard *shard,
                               struct block *_Atomic *link, size_t *over)
{
    struct block *block;

    while (*over > 0 && (block = atomic_load_explicit(link, memory_order_relaxed)) != NULL) {
        size_t charge = block_charge(block);

        if (atomic_exchange_explicit(&block->is_used, false, memory_order_relaxed)) {
            link = &block->next;
            continue;
        }
        // Release: whoever finds the next block through this link sees it whole.
        atomic_store_explicit(link, atomic_load_explicit(&block->next, memory_order_relaxed),
                              memory_order_release);
        add_relaxed(&shard->used, -charge);
        shard->count--;
        (void)atomic_fetch_add_explicit(&shard->evictions, 1, memory_order_relaxed);
        *over -= charge < *over ? charge : *over;
        cache_retire(cache, &block->node, block_release, charge);
    }
}

// Evicts until `incoming` more bytes fit, or nothing is left to evict. Two rounds
// take everything that nobody uses meanwhile; a third is for what somebody does.
static void shard_trim_locked(struct cache *cache, struct shard *shard, size_t incoming)
{
    struct bucket_array *buckets = atomic_load_explicit(&shard->buckets, memory_order_relaxed);
    size_t budget = shard_budget(cache);
    size_t wanted = atomic_load_explicit(&shard->used, memory_order_relaxed) + incoming;
    size_t over = wanted > budget ? wanted - budget : 0;
    size_t steps_left = (ROUNDS_PER_SWEEP + 1) * buckets->count;

    for (; over > 0 && shard->count > 0 && steps_left > 0; steps_left--) {
        sweep_chain_locked(cache, shard, &buckets->heads[shard->hand], &over);
        shard->hand = (shard->hand + 1) & (buckets->count - 1);
    }
}

static void chain_push(struct block *_Atomic *chain, struct block *block)
{
    atomic_store_explicit(&block->next, atomic_load_explicit(chain, memory_order_relaxed),
                          memory_order_release);
    atomic_store_explicit(chain, block, memory_order_release);
}

// Doubles the buckets; without memory for that the chains get longer.
static void shard_grow_locked(struct cache *cache, struct shard *shard)
{
    struct bucket_array *old = atomic_load_explicit(&shard->buckets, memory_order_relaxed);
    struct bucket_array *grown = bucket_array_new(old->count * 2);

    if (grown == NULL)
        return;
    for (size_t i = 0; i < old->count; i++) {
        struct block *block = atomic_load_explicit(&old->heads[i], memory_order_relaxed);

        while (block != NULL) {
            struct block *next = atomic_load_explicit(&block->next, memory_order_relaxed);
            uint64_t hash = place_hash(block->file, block->offset);

            chain_push(&grown->heads[hash & (grown->count - 1)], block);
            block = next;
        }
    }
    atomic_store_explicit(&shard->buckets, grown, memory_order_release);
    epoch_retire(cache->bin, &old->node, bucket_array_release);
}

// Puts `block` in and returns it, or the one that is there already, or NULL when
// it is larger than the shard may be.
static struct block *shard_insert_locked(struct cache *cache, struct shard *shard, uint64_t hash,
                                         struct block *block)
{
    struct block *_Atomic *chain = chain_of(shard, hash);
    struct block *present = chain_find(chain, block->file, block->offset);
    size_t charge = block_charge(block);

    if (present != NULL)
        return present;
    if (charge > shard_budget(cache))
        return NULL;
    shard_trim_locked(cache, shard, charge);
    chain_push(chain, block);
    add_relaxed(&shard->used, charge);
    shard->count++;
    (void)atomic_fetch_add_explicit(&shard->insertions, 1, memory_order_relaxed);
    if (shard->count > atomic_load_explicit(&shard->buckets, memory_order_relaxed)->count)
        shard_grow_locked(cache, shard);
    return block;
}

struct block *cache_insert(struct cache *cache, struct block *block, uint64_t file, uint64_t offset)
{
    uint64_t hash = place_hash(file, offset);
    struct shard *shard = shard_of(cache, hash);
    struct block *kept;

    block->file = file;
    block->offset = offset;
    if (cache->is_watched)
        block->sum = crc32c(0, block->bytes, block->size);
    mutex_lock(&shard->mu);
    kept = shard_insert_locked(cache, shard, hash, block);
    mutex_unlock(&shard->mu);
    if (kept != NULL && kept != block && !is_intact(cache, kept))
        kept = NULL; // as if it were not there; ours is, and is not retired
    if (kept != block)
        cache_retire(cache, &block->node, block_release, block_charge(block));
    collect_when_much(cache);
    return kept == NULL ? block : kept;
}

static void trim_all(struct cache *cache)
{
    for (size_t i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];

        mutex_lock(&shard->mu);
        shard_trim_locked(cache, shard, 0);
        mutex_unlock(&shard->mu);
    }
}

void cache_charge(struct cache *cache, int64_t bytes)
{
    (void)atomic_fetch_add_explicit(&cache->charged, bytes, memory_order_relaxed);
    if (bytes > 0)
        trim_all(cache);
}

void cache_set_budget(struct cache *cache, size_t budget)
{
    atomic_store_explicit(&cache->budget, budget, memory_order_relaxed);
    residency_trim(&cache->residency);
    trim_all(cache);
}

size_t cache_budget(const struct cache *cache)
{
    return atomic_load_explicit(&cache->budget, memory_order_relaxed);
}

size_t cache_charged(const struct cache *cache)
{
    int64_t charged = atomic_load_explicit(&cache->charged, memory_order_relaxed);

    return charged > 0 ? (size_t)charged : 0;
}

size_t cache_used(const struct cache *cache)
{
    size_t used = cache_charged(cache);

    for (size_t i = 0; i < cache->shard_count; i++)
        used += atomic_load_explicit(&cache->shards[i].used, memory_order_relaxed);
    return used;
}

void cache_read_stats(const struct cache *cache, struct cache_stats *out)
{
    struct cache_stats sum = {0};

    for (size_t i = 0; i < STRIPES; i++) {
        sum.hits += atomic_load_explicit(&cache->stripes[i].hits, memory_order_relaxed);
        sum.misses += atomic_load_explicit(&cache->stripes[i].misses, memory_order_relaxed);
    }
    for (size_t i = 0; i < cache->shard_count; i++) {
        sum.insertions += atomic_load_explicit(&cache->shards[i].insertions, memory_order_relaxed);
        sum.evictions += atomic_load_explicit(&cache->shards[i].evictions, memory_order_relaxed);
    }
    *out = sum;
}
