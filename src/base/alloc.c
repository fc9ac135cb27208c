// alloc.c -- the process-wide allocator, fixed by the first allocation.

#include "base/alloc.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/status.h"

#define ARRAY_CAPACITY_MIN 8

static void *resize_by_libc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return realloc(block, size);
}

static void release_by_libc(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static pthread_mutex_t choice_mu = PTHREAD_MUTEX_INITIALIZER;

// Guarded by choice_mu until `in_use` points to it, immutable from then on.
static lsm_allocator choice = {.resize = resize_by_libc, .release = release_by_libc};

// NULL until the first allocation. Stored with release under choice_mu, loaded
// with acquire by anyone, who then sees the choice.
static const lsm_allocator *_Atomic in_use;

lsm_status lsm_set_allocator(const lsm_allocator *allocator)
{
    lsm_status status = LSM_OK;

    if (allocator == NULL || allocator->resize == NULL || allocator->release == NULL)
        return lsm_fail(LSM_INVALID, "set_allocator: resize and release are both needed");
    pthread_mutex_lock(&choice_mu);
    if (atomic_load_explicit(&in_use, memory_order_relaxed) == NULL)
        choice = *allocator;
    else
        status = lsm_fail(LSM_INVALID, "set_allocator: memory has been allocated already; "
                                       "call it before anything else");
    pthread_mutex_unlock(&choice_mu);
    return status;
}

static __attribute__((cold, noinline)) const lsm_allocator *allocator_fix(void)
{
    pthread_mutex_lock(&choice_mu);
    atomic_store_explicit(&in_use, &choice, memory_order_release);
    pthread_mutex_unlock(&choice_mu);
    return &choice;
}

static const lsm_allocator *allocator_get(void)
{
    const lsm_allocator *allocator = atomic_load_explicit(&in_use, memory_order_acquire);

    return LIKELY(allocator != NULL) ? allocator : allocator_fix();
}

void *mem_resize(void *block, size_t size)
{
    const lsm_allocator *allocator = allocator_get();

    // What an allocator does with a size of 0 differs from one to the next.
    return allocator->resize(allocator->ctx, block, size == 0 ? 1 : size);
}

void *mem_resize_array(void *block, size_t count, size_t size)
{
    size_t product;

    if (__builtin_mul_overflow(count, size, &product))
        return NULL;
    return mem_resize(block, product);
}

bool mem_grow(void *array, size_t *capacity, size_t count, size_t more, size_t item_size)
{
    size_t wanted;
    void *items;

    if (__builtin_add_overflow(count, more, &wanted))
        return false;
    if (wanted < 2 * *capacity)
        wanted = 2 * *capacity;
    if (wanted < ARRAY_CAPACITY_MIN)
        wanted = ARRAY_CAPACITY_MIN;
    // The pointer is of another type: its bytes are copied.
    memcpy(&items, array, sizeof items);
    items = mem_resize_array(items, wanted, item_size);
    if (items == NULL)
        return false;
    memcpy(array, &items, sizeof items);
    *capacity = wanted;
    return true;
}

void *mem_alloc(size_t size)
{
    return mem_resize(NULL, size);
}

void *mem_alloc_zeroed(size_t count, size_t size)
{
    size_t product;
    void *block;

    if (__builtin_mul_overflow(count, size, &product))
        return NULL;
    // The C library knows which pages come zeroed from the system.
    if (allocator_get()->resize == resize_by_libc)
        return calloc(1, product == 0 ? 1 : product);
    block = mem_alloc(product);
    if (block != NULL)
        memset(block, 0, product);
    return block;
}

void mem_free(void *block)
{
    const lsm_allocator *allocator;

    if (block == NULL)
        return;
    allocator = allocator_get();
    allocator->release(allocator->ctx, block);
}

void lsm_free(void *memory)
{
    mem_free(memory);
}

// The block that was allocated is remembered just before the aligned address:
//
//   | unused | block | aligned bytes ... | unused |
void *mem_alloc_aligned(size_t alignment, size_t size)
{
    const size_t slack = alignment - 1 + sizeof(void *);
    size_t room;
    uint8_t *block;
    uint8_t *aligned;

    assert(alignment != 0 && (alignment & (alignment - 1)) == 0);
    assert(alignment <= MEM_ALIGNMENT_MAX);
    if (__builtin_add_overflow(size, slack, &room))
        return NULL;
    block = mem_alloc(room);
    if (block == NULL)
        return NULL;
    aligned = block + slack;
    aligned -= (uintptr_t)aligned & (alignment - 1);
    memcpy(aligned - sizeof block, &block, sizeof block);
    return aligned;
}

void mem_free_aligned(void *block)
{
    void *allocated;

    if (block == NULL)
        return;
    memcpy(&allocated, (uint8_t *)block - sizeof allocated, sizeof allocated);
    mem_free(allocated);
}

// --- pages ---

#define PAGES_BYTES_MIN ((size_t)1 << 20)

static bool comes_as_pages(size_t size)
{
    return MEM_HAS_PAGES && size >= PAGES_BYTES_MIN && allocator_get()->resize == resize_by_libc;
}

static void *map_anywhere(size_t size)
{
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return block == MAP_FAILED ? NULL : block;
}

// `size` is a multiple of a huge page's. What lies around the aligned part is given back.
static void *map_aligned(size_t size)
{
    uint8_t *block = map_anywhere(size + MEM_ALIGNMENT_MAX);
    size_t before;

    if (block == NULL)
        return NULL;
    before = -(uintptr_t)block & (MEM_ALIGNMENT_MAX - 1);
    if (before > 0)
        (void)munmap(block, before);
    (void)munmap(block + before + size, MEM_ALIGNMENT_MAX - before);
    (void)madvise(block + before, size, MADV_HUGEPAGE);
    return block + before;
}

void *mem_map(size_t size)
{
    if (size > PTRDIFF_MAX) // more than any allocator has; room to align what is less
        return NULL;
    if (!comes_as_pages(size))
        return mem_alloc_zeroed(1, size);
    return size % MEM_ALIGNMENT_MAX == 0 ? map_aligned(size) : map_anywhere(size);
}

void mem_unmap(void *block, size_t size)
{
    if (block != NULL && comes_as_pages(size))
        (void)munmap(block, size);
    else
        mem_free(block);
}
