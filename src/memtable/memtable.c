// memtable.c -- skiplists by keyspace, and the index over them.
//
// The lists themselves are found through one more skiplist, the directory, whose keys
// are keyspace ids (big-endian) and whose values are pointers to the lists.
//
// The index is an array of buckets, each a chain of the newest nodes of the keys that
// hash there. A node with a newer version takes the place of the older one in the
// chain: it takes over the older one's successor, then the link to the older one is
// stored to it. A new key goes to the front.
//
// Why a reader at timestamp T, taken from what has been published, misses nothing at
// or below T. Let P be the moment T was published; all of T's entries were in before.
// Every link the reader follows it loads after P, and finds as it was at P or later:
// a live link because of coherence, and the link of a replaced node N because the
// reader got to N by a link that still led there at or after P, so that N was replaced
// after P and its own link, frozen at that moment, is of after P too. Replacing keeps
// the order of the chain and inserting only adds at its front, so walking links of
// after P passes the node of every key that had one at P, in the version of P or in a
// newer one. From there the list leads to the older versions, newest first, and these
// are the direct successors of the node: all that is inserted later is newer still.
//
// Keys can be chosen that have one hash, which is part of the format and thus known to all.
// Nobody walks further down a chain than keys get by chance: who looks for one descends the
// list then, and a version whose older one is not found goes to the front like a new key. The
// newest node of a key stays in front of its older ones, and a walk meets it first.

#include "memtable/memtable.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "base/hash.h"
#include "base/schedule.h"
#include "memtable/skiplist.h"

#define PREFETCH_STRIDE   64 // bytes of a cache line
#define HEIGHT_MAX        12
#define HEIGHT_MAX_LARGE  16
#define LARGE_BYTES       (256u << 20) // from here towers may be higher
#define CHUNK_BYTES_SMALL 4096         // of the arena of a memtable without index
#define CHUNK_BYTES_MAX   (2u << 20)
#define BYTES_PER_BUCKET  128 // about one entry with its node
#define VERSION_STEPS_MAX 8   // versions walked over before a seek
#define CHAIN_STEPS_MAX   32  // keys of a bucket walked over; it has 2 on average

struct memtable {
    // Immutable.
    skiplist_link *buckets; // NULL: no index
    size_t bucket_mask;
    unsigned height_max;
    struct skiplist *directory;

    uint8_t apart[64]; // an insert does not take the cache line above from readers

    // The inserting thread's; readers reach into the arena through links.
    struct arena arena;
    struct skiplist *recent; // the list of the last insert, or NULL
    size_t spare_links;      // granted to towers by the last reservation, not used yet
    bool is_watched;
    uint64_t sum;        // of the digests of all entries, when it is watched
    atomic_size_t count; // relaxed; read by any thread
};

static size_t bucket_count_for(size_t size)
{
    size_t count = 1024;

    while (count < size / BYTES_PER_BUCKET)
        count *= 2;
    return count;
}

static size_t chunk_size_for(size_t size)
{
    if (size / 8 < CHUNK_BYTES_SMALL)
        return CHUNK_BYTES_SMALL;
    return size / 8 < CHUNK_BYTES_MAX ? size / 8 : CHUNK_BYTES_MAX;
}

static size_t index_size(const struct memtable *mem)
{
    return mem->buckets == NULL ? 0 : (mem->bucket_mask + 1) * sizeof *mem->buckets;
}

static void memtable_freep(struct memtable **mem)
{
    memtable_free(*mem);
}

lsm_status memtable_new(size_t size, struct memtable **out)
{
    CLEANUP(memtable_freep) struct memtable *mem = mem_alloc_zeroed(1, sizeof *mem);

    if (mem == NULL)
        return lsm_fail(LSM_NO_MEMORY, "memtable: %zu bytes", sizeof *mem);
    arena_init(&mem->arena, chunk_size_for(size));
    mem->height_max = size < LARGE_BYTES ? HEIGHT_MAX : HEIGHT_MAX_LARGE;
    mem->directory = skiplist_new(&mem->arena, 0, HEIGHT_MAX);
    if (mem->directory == NULL)
        return lsm_fail(LSM_NO_MEMORY, "memtable: %zu bytes", mem->arena.chunk_size);
    if (size != 0) {
        const size_t count = bucket_count_for(size);

        mem->buckets = mem_map(count * sizeof *mem->buckets);
        if (mem->buckets == NULL)
            return lsm_fail(LSM_NO_MEMORY, "memtable: an index of %zu buckets", count);
        mem->bucket_mask = count - 1;
    }
    *out = MOVE(mem);
    return LSM_OK;
}

void memtable_free(struct memtable *mem)
{
    if (mem == NULL)
        return;
    arena_release(&mem->arena);
    mem_unmap(mem->buckets, index_size(mem));
    mem_free(mem);
}

// The id of a keyspace as a key of the directory.
struct directory_key {
    uint8_t bytes[sizeof(uint32_t)];
};

static struct directory_key directory_key_of(uint32_t keyspace)
{
    const uint32_t big_endian = __builtin_bswap32(keyspace);
    struct directory_key key;

    put_u32(key.bytes, big_endian);
    return key;
}

// The place of keyspace `keyspace` in the directory; borrows from `key`.
static struct ikey directory_ikey(const struct directory_key *key)
{
    return (struct ikey){.key = slice_make(key->bytes, sizeof key->bytes), .ts = 0};
}

static struct skiplist *directory_list(const struct skiplist_node *node)
{
    struct skiplist *list;

    memcpy(&list, skiplist_node_entry(node).value.data, sizeof list);
    return list;
}

// The first place in the directory at or after `keyspace`, or NULL.
static const struct skiplist_node *directory_seek(const struct memtable *mem, uint32_t keyspace)
{
    const struct directory_key key = directory_key_of(keyspace);
    const struct ikey target = directory_ikey(&key);

    return skiplist_seek(mem->directory, &target);
}

// The last place in the directory at or before `keyspace`, or NULL.
static const struct skiplist_node *directory_seek_for_prev(const struct memtable *mem,
                                                           uint32_t keyspace)
{
    const struct directory_key key = directory_key_of(keyspace);
    const struct ikey target = directory_ikey(&key);

    return skiplist_seek_for_prev(mem->directory, &target);
}

// The list of `keyspace`, or NULL when it has none yet.
static struct skiplist *list_find(const struct memtable *mem, uint32_t keyspace)
{
    const struct skiplist_node *node = directory_seek(mem, keyspace);
    struct skiplist *list = node == NULL ? NULL : directory_list(node);

    return list != NULL && skiplist_keyspace(list) == keyspace ? list : NULL;
}

static struct skiplist *list_add(struct memtable *mem, uint32_t keyspace)
{
    const struct directory_key key = directory_key_of(keyspace);
    const lsm_slice bytes = slice_make(key.bytes, sizeof key.bytes);
    struct skiplist *list = skiplist_new(&mem->arena, keyspace, mem->height_max);
    struct skiplist_node *node;
    const struct entry entry = {
        .kind = ENTRY_VALUE,
        .head = slice_head(bytes),
        .key = bytes,
        .value = slice_make(&list, sizeof list),
    };

    assert(list != NULL); // reserved by the caller
    node = skiplist_node_new(mem->directory, &mem->arena, &entry, HEIGHT_MAX);
    skiplist_insert(mem->directory, node, NULL);
    return list;
}

// The list to insert into: batches mostly stay within one keyspace.
static struct skiplist *list_for_insert(struct memtable *mem, uint32_t keyspace)
{
    if (mem->recent == NULL || skiplist_keyspace(mem->recent) != keyspace) {
        struct skiplist *list = list_find(mem, keyspace);

        mem->recent = list != NULL ? list : list_add(mem, keyspace);
    }
    return mem->recent;
}

// A memtable that began small takes larger chunks as it grows.
static void chunks_adapt(struct memtable *mem)
{
    struct arena *arena = &mem->arena;

    if (arena->chunk_size < CHUNK_BYTES_MAX && arena_used(arena) / 8 >= arena->chunk_size)
        arena->chunk_size *= 2;
}

lsm_status memtable_reserve(struct memtable *mem, uint64_t count, uint64_t bytes,
                            uint64_t keyspaces)
{
    // A tower takes a third of a link on average beyond its first. Half a link is
    // granted, and some for small batches; when it is used up, towers stay low.
    const uint64_t spare_links = count / 2 + mem->height_max;
    const size_t per_keyspace = skiplist_size(mem->height_max) +
                                skiplist_node_size(sizeof(struct directory_key) + sizeof(void *)) +
                                HEIGHT_MAX * sizeof(skiplist_link);
    size_t node_bytes;
    size_t list_bytes;
    size_t size;

    chunks_adapt(mem);
    if (__builtin_mul_overflow(count, skiplist_node_size(0), &node_bytes) ||
        __builtin_mul_overflow(keyspaces, per_keyspace, &list_bytes) ||
        __builtin_add_overflow(node_bytes, bytes, &size) ||
        __builtin_add_overflow(size, list_bytes, &size) ||
        __builtin_add_overflow(size, spare_links * sizeof(skiplist_link), &size) ||
        !arena_reserve(&mem->arena, size, (size_t)(count + 2 * keyspaces)))
        return lsm_fail(LSM_NO_MEMORY, "memtable: room for %" PRIu64 " entries, %" PRIu64 " bytes",
                        count, bytes);
    mem->spare_links = (size_t)spare_links;
    return LSM_OK;
}

static uint16_t tag_of(uint64_t hash)
{
    return (uint16_t)(hash >> 48);
}

static bool node_has_key(const struct skiplist_node *node, uint32_t keyspace, lsm_slice key)
{
    return node->keyspace == keyspace && slice_equal(skiplist_node_key(node), key);
}

// The link of the chain that leads to the newest node of a key, or the one at the
// chain's end. `*found` is what it leads to. NULL when the chain is too long to tell.
static inline skiplist_link *index_find(const struct memtable *mem, uint32_t keyspace,
                                        lsm_slice key, uint64_t hash, struct skiplist_node **found)
{
    skiplist_link *link = &mem->buckets[hash & mem->bucket_mask];

    for (unsigned steps = 0; steps <= CHAIN_STEPS_MAX; steps++) {
        struct skiplist_node *node = atomic_load_explicit(link, memory_order_acquire);

        if (node == NULL || (node->tag == tag_of(hash) && node_has_key(node, keyspace, key))) {
            *found = node;
            return link;
        }
        link = &node->chain;
    }
    return NULL;
}

// Makes `node` the one the index knows its key by. `link` leads to the version before
// it, `older`; or none is known.
static void index_put(struct memtable *mem, struct skiplist_node *node, uint64_t hash,
                      skiplist_link *link, struct skiplist_node *older)
{
    struct skiplist_node *successor;

    if (older != NULL) {
        successor = atomic_load_explicit(&older->chain, memory_order_relaxed);
    } else {
        link = &mem->buckets[hash & mem->bucket_mask];
        successor = atomic_load_explicit(link, memory_order_relaxed);
    }
    node->tag = tag_of(hash);
    atomic_store_explicit(&node->chain, successor, memory_order_relaxed);
    SCHEDULE_POINT();
    atomic_store_explicit(link, node, memory_order_release);
}

void memtable_watch(struct memtable *mem)
{
    assert(memtable_is_empty(mem));
    mem->is_watched = true;
}

static inline const struct skiplist_node *insert(struct memtable *mem, const struct entry *entry,
                                                 uint64_t hash)
{
    struct skiplist *list = list_for_insert(mem, entry->keyspace);
    struct skiplist_node *older = NULL;
    skiplist_link *link = NULL;
    struct skiplist_node *node;

    if (mem->buckets != NULL)
        __builtin_prefetch(&mem->buckets[hash & mem->bucket_mask]); // comes during the copy
    node = skiplist_node_new(list, &mem->arena, entry, mem->spare_links + 1);
    mem->spare_links -= node->height - 1u;
    if (mem->buckets != NULL)
        link = index_find(mem, entry->keyspace, entry->key, hash, &older);
    skiplist_insert(list, node, older);
    if (mem->buckets != NULL)
        index_put(mem, node, hash, link, older);
    if (mem->is_watched)
        mem->sum += entry_digest(entry);
    atomic_fetch_add_explicit(&mem->count, 1, memory_order_relaxed);
    return node;
}

void memtable_insert(struct memtable *mem, const struct entry *entry, uint64_t hash)
{
    (void)insert(mem, entry, hash);
}

bool memtable_insert_over(struct memtable *mem, const struct entry *entry, uint64_t hash,
                          struct entry *older)
{
    // Versions stand newest first.
    const struct skiplist_node *next = skiplist_next(insert(mem, entry, hash));

    if (next == NULL || !node_has_key(next, entry->keyspace, entry->key))
        return false;
    *older = skiplist_node_entry(next);
    return true;
}

// The version of the key at or before `key->ts`, by a descent, or NULL.
static const struct skiplist_node *version_by_seek(const struct memtable *mem,
                                                   const struct ikey *key)
{
    const struct skiplist *list = list_find(mem, key->keyspace);
    const struct skiplist_node *node = list == NULL ? NULL : skiplist_seek(list, key);

    return node != NULL && node_has_key(node, key->keyspace, key->key) ? node : NULL;
}

// The same, through the index: from the newest version few are stepped over.
static const struct skiplist_node *version_by_index(const struct memtable *mem,
                                                    const struct ikey *key, uint64_t hash)
{
    const struct skiplist_node *node;
    struct skiplist_node *newest;

    if (index_find(mem, key->keyspace, key->key, hash, &newest) == NULL)
        return version_by_seek(mem, key);
    if (newest == NULL || newest->ts <= key->ts)
        return newest;
    node = skiplist_next(newest);
    for (unsigned steps = 0; steps < VERSION_STEPS_MAX; steps++) {
        if (node == NULL || !node_has_key(node, key->keyspace, key->key))
            return NULL;
        if (node->ts <= key->ts)
            return node;
        node = skiplist_next(node);
    }
    return version_by_seek(mem, key);
}

bool memtable_get(const struct memtable *mem, const struct ikey *key, uint64_t hash,
                  struct entry *out)
{
    const struct skiplist_node *node =
        mem->buckets != NULL ? version_by_index(mem, key, hash) : version_by_seek(mem, key);

    if (node == NULL)
        return false;
    *out = skiplist_node_entry(node);
    return true;
}

size_t memtable_used(const struct memtable *mem)
{
    return sizeof *mem + index_size(mem) + arena_used(&mem->arena);
}

uint64_t memtable_count(const struct memtable *mem)
{
    return atomic_load_explicit(&mem->count, memory_order_relaxed);
}

bool memtable_is_empty(const struct memtable *mem)
{
    return memtable_count(mem) == 0;
}

// The cursor. `node` is where it stands, `place` the list's place in the directory.
struct memtable_iter {
    struct iter base;
    const struct memtable *mem;
    const struct skiplist_node *place;
    const struct skiplist_node *node;
};

static struct memtable_iter *memtable_iter_of(struct iter *it)
{
    return (struct memtable_iter *)it;
}

static lsm_status iter_show(struct memtable_iter *it)
{
    it->base.is_valid = it->node != NULL;
    if (it->node != NULL)
        it->base.entry = skiplist_node_entry(it->node);
    return LSM_OK;
}

// Has the node behind the current one brought near: in key order nodes lie anywhere, and a scan
// would wait for each.
static void prefetch_next(const struct memtable_iter *it)
{
    const struct skiplist_node *next = skiplist_next(it->node);

    if (next != NULL) {
        __builtin_prefetch(next);
        __builtin_prefetch((const char *)next + PREFETCH_STRIDE);
    }
}

// Goes on to the first node of the following lists while there is no node here.
static lsm_status settle_forward(struct memtable_iter *it)
{
    while (it->node == NULL && it->place != NULL) {
        it->place = skiplist_next(it->place);
        if (it->place != NULL)
            it->node = skiplist_first(directory_list(it->place));
    }
    return iter_show(it);
}

static lsm_status settle_backward(struct memtable_iter *it)
{
    while (it->node == NULL && it->place != NULL) {
        it->place = skiplist_prev(it->mem->directory, it->place);
        if (it->place != NULL)
            it->node = skiplist_last(directory_list(it->place));
    }
    return iter_show(it);
}

static lsm_status memtable_iter_first(struct iter *base)
{
    struct memtable_iter *it = memtable_iter_of(base);

    it->place = skiplist_first(it->mem->directory);
    it->node = it->place == NULL ? NULL : skiplist_first(directory_list(it->place));
    return settle_forward(it);
}

static lsm_status memtable_iter_last(struct iter *base)
{
    struct memtable_iter *it = memtable_iter_of(base);

    it->place = skiplist_last(it->mem->directory);
    it->node = it->place == NULL ? NULL : skiplist_last(directory_list(it->place));
    return settle_backward(it);
}

static lsm_status memtable_iter_seek(struct iter *base, const struct ikey *target)
{
    struct memtable_iter *it = memtable_iter_of(base);

    it->place = directory_seek(it->mem, target->keyspace);
    it->node = NULL;
    if (it->place != NULL) {
        const struct skiplist *list = directory_list(it->place);

        it->node = skiplist_keyspace(list) == target->keyspace ? skiplist_seek(list, target)
                                                               : skiplist_first(list);
    }
    return settle_forward(it);
}

static lsm_status memtable_iter_seek_for_prev(struct iter *base, const struct ikey *target)
{
    struct memtable_iter *it = memtable_iter_of(base);

    it->place = directory_seek_for_prev(it->mem, target->keyspace);
    it->node = NULL;
    if (it->place != NULL) {
        const struct skiplist *list = directory_list(it->place);

        it->node = skiplist_keyspace(list) == target->keyspace
                       ? skiplist_seek_for_prev(list, target)
                       : skiplist_last(list);
    }
    return settle_backward(it);
}

static lsm_status memtable_iter_next(struct iter *base)
{
    struct memtable_iter *it = memtable_iter_of(base);

    assert(it->base.is_valid);
    it->node = skiplist_next(it->node);
    if (LIKELY(it->node != NULL))
        prefetch_next(it);
    return settle_forward(it);
}

static lsm_status memtable_iter_prev(struct iter *base)
{
    struct memtable_iter *it = memtable_iter_of(base);

    assert(it->base.is_valid);
    it->node = skiplist_prev(directory_list(it->place), it->node);
    return settle_backward(it);
}

static void memtable_iter_close(struct iter *base)
{
    mem_free(memtable_iter_of(base));
}

static const struct iter_ops memtable_iter_ops = {
    .first = memtable_iter_first,
    .last = memtable_iter_last,
    .seek = memtable_iter_seek,
    .seek_for_prev = memtable_iter_seek_for_prev,
    .next = memtable_iter_next,
    .prev = memtable_iter_prev,
    .close = memtable_iter_close,
};

lsm_status memtable_iter_new(const struct memtable *mem, struct iter **out)
{
    struct memtable_iter *it = mem_alloc_zeroed(1, sizeof *it);

    if (it == NULL)
        return lsm_fail(LSM_NO_MEMORY, "memtable cursor: %zu bytes", sizeof *it);
    it->base.ops = &memtable_iter_ops;
    it->mem = mem;
    *out = &it->base;
    return LSM_OK;
}

lsm_status memtable_verify(const struct memtable *mem)
{
    struct memtable_iter it = {.base.ops = &memtable_iter_ops, .mem = mem};
    uint64_t count = 0, sum = 0;

    TRY(iter_first(&it.base));
    while (it.base.is_valid) {
        count++;
        if (mem->is_watched)
            sum += entry_digest(&it.base.entry);
        TRY(iter_next(&it.base));
    }
    if (count == memtable_count(mem) && sum == mem->sum)
        return LSM_OK;
    return lsm_fail(
        LSM_CORRUPT,
        "memtable: %llu entries were inserted, and %llu are there%s: memory has changed",
        (unsigned long long)memtable_count(mem), (unsigned long long)count,
        count == memtable_count(mem) ? ", not the same" : "");
}
