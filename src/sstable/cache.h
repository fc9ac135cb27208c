// cache.h -- blocks in memory, in bytes of one budget.
//
// A hash table from (file, offset) to block, in shards. A lookup runs inside an
// epoch section, takes no lock and writes nothing shared but, at most once per
// sweep of the clock, the block's used mark. Insertion and eviction (a clock with
// second chance) happen under the shard's mutex; an evicted block is retired.
// What tables keep resident (indexes, filters) is charged to the same budget and
// leaves less for blocks.

#ifndef LSM_SSTABLE_CACHE_H
#define LSM_SSTABLE_CACHE_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/epoch.h"
#include "env/sync.h"

struct cache;
struct decompressor_pool;
struct residency;

// A block of bytes, checked when it was read, never changed. Counted: the cache
// holds one reference, whoever keeps it beyond an epoch section another.
struct block {
    struct epoch_node node;
    _Atomic uint32_t refs;
    _Atomic bool is_used; // since the clock's hand passed
    uint32_t sum;         // of the bytes, in a cache that is watched
    uint64_t file;        // key: cache_new_file_key() of the file, and offset in it
    uint64_t offset;
    struct block *_Atomic next; // in its bucket
    size_t size;
    uint8_t bytes[]; // at a multiple of 8, and BLOCK_SLACK more behind them
};

// Room behind a block's bytes, with any content: for the trailer that is read
// along with them, and for loads of a whole word that run over the end.
#define BLOCK_SLACK 32

// A block of `size` bytes that the caller fills in; one reference. NULL when
// memory is short.
struct block *block_new(size_t size);
void block_ref(struct block *block);
void block_unref(struct block *block);
void block_unrefp(struct block **block);

lsm_status cache_new(size_t budget, struct epoch_bin *bin, struct cache **out);
// From now on each block is summed as it is inserted; one whose bytes have changed since is not
// found any more, and until it is evicted nothing is kept in its place. Before the first block.
void cache_watch(struct cache *cache);
// No reader is left.
void cache_free(struct cache *cache);

// A number that no other file has in this cache.
uint64_t cache_new_file_key(struct cache *cache);

// The block, or NULL. The caller is inside an epoch section and may use the block
// until it leaves it, or longer with a reference of its own.
struct block *cache_lookup(struct cache *cache, uint64_t file, uint64_t offset);

// Takes over the caller's reference to `block` and returns the block now under
// that key: `block`, or one that another thread was faster to insert (`block` is
// then retired). Either may be used until the epoch section ends. A block larger
// than a shard can hold is not kept, but retired at once.
struct block *cache_insert(struct cache *cache, struct block *block, uint64_t file,
                           uint64_t offset);

// Bytes kept outside the hash table that count against the budget (index and
// filter blocks of open tables); `bytes` may be negative.
void cache_charge(struct cache *cache, int64_t bytes);

// Retires what was charged, or a block: `size` bytes that are freed when no reader is
// left who sees them.
void cache_retire(struct cache *cache, struct epoch_node *node,
                  void (*release)(struct epoch_node *node), size_t size);

void cache_set_budget(struct cache *cache, size_t budget);
size_t cache_budget(const struct cache *cache);
size_t cache_used(const struct cache *cache);    // blocks and charges
size_t cache_charged(const struct cache *cache); // charges only

// What goes with every cache: the clock over the indexes and filters charged to
// it, and the contexts that decompress the blocks on their way in.
struct residency *cache_residency(struct cache *cache);
struct decompressor_pool *cache_decompressors(struct cache *cache);

struct cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t insertions;
    uint64_t evictions;
};

// Counted per thread stripe, added up here.
void cache_read_stats(const struct cache *cache, struct cache_stats *out);

#endif
