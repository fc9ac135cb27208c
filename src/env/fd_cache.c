// fd_cache.c -- the open files form a ring, over which the hand of a clock moves:
// it takes the mark of use from the file it passes and closes one without it.

#include "env/fd_cache.h"

#include <assert.h>
#include <sched.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/schedule.h"

#define OPEN_MIN   8
#define YIELDS_MAX 100 // to readers, until they have left what is to be closed

// An open file, allocated together with what retires it: closing cannot fail for
// want of memory.
struct open_file {
    struct epoch_node node;
    struct fd_cache *cache; // one reference
    struct file *file;
};

struct fd_cache {
    struct epoch_bin *bin; // immutable, like the next two
    size_t open_max;
    struct dir *served; // NULL: none

    struct mutex mu; // rank LOCK_TABLES; guards the ring
    struct cached_file *hand;
    size_t open_count;

    // Of the owner, and of each open_file: a retired one may outlive the owner's.
    _Atomic size_t reference_count;
};

static void cache_unref(struct fd_cache *cache)
{
    // Release, and acquire by the last one: what others did with the cache
    // happens before it is freed.
    if (atomic_fetch_sub_explicit(&cache->reference_count, 1, memory_order_acq_rel) > 1)
        return;
    mutex_release(&cache->mu);
    mem_free(cache);
}

lsm_status fd_cache_new(struct epoch_bin *bin, size_t open_max, struct fd_cache **out)
{
    struct fd_cache *cache = mem_alloc_zeroed(1, sizeof *cache);

    if (cache == NULL)
        return lsm_fail(LSM_NO_MEMORY, "descriptor cache: %zu bytes", sizeof *cache);
    cache->bin = bin;
    cache->open_max = open_max > OPEN_MIN ? open_max : OPEN_MIN;
    mutex_init(&cache->mu, LOCK_TABLES);
    atomic_init(&cache->reference_count, 1);
    *out = cache;
    return LSM_OK;
}

void fd_cache_free(struct fd_cache *cache)
{
    if (cache == NULL)
        return;
    assert(cache->open_count == 0);
    if (cache->served != NULL)
        cache->served->spare = NULL;
    cache_unref(cache);
}

void fd_cache_serve(struct fd_cache *cache, struct dir *dir)
{
    assert(cache->served == NULL && dir->spare == NULL);
    cache->served = dir;
    dir->spare = cache;
}

size_t fd_cache_open_count(struct fd_cache *cache)
{
    size_t count;

    mutex_lock(&cache->mu);
    count = cache->open_count;
    mutex_unlock(&cache->mu);
    return count;
}

// --- one open file ---

static void open_file_free(struct open_file *open)
{
    struct fd_cache *cache = open->cache;

    file_close_quietly(open->file);
    mem_free(open);
    cache_unref(cache);
}

static void open_file_freep(struct open_file **open)
{
    if (*open != NULL)
        open_file_free(*open);
}

static void release_retired(struct epoch_node *node)
{
    open_file_free((struct open_file *)node); // its first member
}

static lsm_status open_file_new(struct cached_file *cf, struct open_file **out)
{
    CLEANUP(open_file_freep) struct open_file *open = mem_alloc_zeroed(1, sizeof *open);

    if (open == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", cf->name, sizeof *open);
    open->cache = cf->cache;
    atomic_fetch_add_explicit(&cf->cache->reference_count, 1, memory_order_relaxed);
    TRY(file_find(cf->dir, cf->name, FILE_READ, &open->file));
    if (open->file == NULL) // only files that the manifest names are cached
        return lsm_fail(LSM_CORRUPT, "%s: the file is missing", cf->name);
    *out = MOVE(open);
    return LSM_OK;
}

// --- the ring ---

static void ring_insert_locked(struct fd_cache *cache, struct cached_file *cf)
{
    if (cache->hand == NULL) {
        cf->next = cf;
        cf->previous = cf;
        cache->hand = cf;
    } else {
        // Behind the hand, which comes to it last.
        cf->next = cache->hand;
        cf->previous = cache->hand->previous;
        cf->previous->next = cf;
        cf->next->previous = cf;
    }
    cache->open_count++;
}

static void ring_remove_locked(struct fd_cache *cache, struct cached_file *cf)
{
    if (cache->hand == cf)
        cache->hand = cf->next == cf ? NULL : cf->next;
    cf->next->previous = cf->previous;
    cf->previous->next = cf->next;
    cf->next = NULL;
    cf->previous = NULL;
    cache->open_count--;
}

// Hides the file from sections to come and has it closed after those that see it.
static void evict_locked(struct fd_cache *cache, struct cached_file *cf)
{
    struct open_file *open = MOVE(cf->open);

    ring_remove_locked(cache, cf);
    // Retiring orders this before every later section.
    atomic_store_explicit(&cf->file, NULL, memory_order_relaxed);
    epoch_retire(cache->bin, &open->node, release_retired);
}

// Twice around at the most, for readers may set the marks as fast as they go.
static struct cached_file *victim_locked(struct fd_cache *cache)
{
    for (size_t i = 0; i < 2 * cache->open_count; i++) {
        struct cached_file *cf = cache->hand;

        cache->hand = cf->next;
        if (!atomic_exchange_explicit(&cf->is_used, false, memory_order_relaxed))
            return cf;
    }
    return cache->hand;
}

static void shrink_locked(struct fd_cache *cache, size_t count)
{
    while (cache->open_count > count)
        evict_locked(cache, victim_locked(cache));
}

void fd_cache_make_room(struct fd_cache *cache)
{
    mutex_lock(&cache->mu);
    shrink_locked(cache, cache->open_count / 2);
    mutex_unlock(&cache->mu);
    // Sections are short, but for the caller's own, which would not end here.
    for (int i = 0; epoch_collect(cache->bin) > 0 && i < YIELDS_MAX && !epoch_is_inside(); i++) {
        SCHEDULE_GIVES_WAY();
        sched_yield();
    }
}

// --- cached files ---

void cached_file_init(struct cached_file *cf, struct fd_cache *cache, struct dir *dir,
                      const char *name)
{
    int size = snprintf(cf->name, sizeof cf->name, "%s", name);

    assert(size > 0 && (size_t)size < sizeof cf->name);
    (void)size;
    cf->cache = cache;
    cf->dir = dir;
    atomic_init(&cf->file, NULL);
    atomic_init(&cf->is_used, false);
    cf->next = NULL;
    cf->previous = NULL;
    cf->open = NULL;
}

void cached_file_release(struct cached_file *cf)
{
    if (cf->cache == NULL)
        return;
    mutex_lock(&cf->cache->mu);
    if (cf->open != NULL)
        evict_locked(cf->cache, cf);
    mutex_unlock(&cf->cache->mu);
}

// Retired files wait for someone to collect them. Without this, a reader that
// goes through many files would be ahead of whoever does by any number.
static void collect_when_many(struct fd_cache *cache)
{
    size_t limit = cache->open_max + cache->open_max / 4;

    if (atomic_load_explicit(&cache->reference_count, memory_order_relaxed) > limit)
        (void)epoch_collect(cache->bin);
}

static lsm_status get_by_opening(struct cached_file *cf, struct file **out)
{
    CLEANUP(open_file_freep) struct open_file *open = NULL;
    struct fd_cache *cache = cf->cache;

    TRY(open_file_new(cf, &open));
    mutex_lock(&cache->mu);
    if (cf->open == NULL) { // else another thread was faster, and ours is closed
        shrink_locked(cache, cache->open_max - 1);
        ring_insert_locked(cache, cf);
        cf->open = MOVE(open);
        // Only a second use marks: a file that is read once makes nobody leave.
        atomic_store_explicit(&cf->is_used, false, memory_order_relaxed);
        // Release: pairs with the acquire in cached_file_get().
        atomic_store_explicit(&cf->file, cf->open->file, memory_order_release);
    }
    *out = cf->open->file;
    mutex_unlock(&cache->mu);
    collect_when_many(cache);
    return LSM_OK;
}

lsm_status cached_file_get(struct cached_file *cf, struct file **out)
{
    // Acquire: pairs with the release above, which follows the opening.
    struct file *file = atomic_load_explicit(&cf->file, memory_order_acquire);

    if (UNLIKELY(file == NULL))
        return get_by_opening(cf, out);
    // Written only when it changes, so that readers share the line.
    if (!atomic_load_explicit(&cf->is_used, memory_order_relaxed))
        atomic_store_explicit(&cf->is_used, true, memory_order_relaxed);
    *out = file;
    return LSM_OK;
}
