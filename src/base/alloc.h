// alloc.h -- the one door to the allocator.
//
// Everything the library allocates goes through these functions, so that an
// embedder can bring an allocator (lsm_set_allocator()) and a test can fail any
// allocation. All of them may be called from any thread.

#ifndef LSM_BASE_ALLOC_H
#define LSM_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

// Each returns NULL when memory is short, and for a product that overflows; the
// caller reports LSM_NO_MEMORY. A size of 0 yields a unique pointer.
void *mem_alloc(size_t size) __attribute__((malloc));
void *mem_alloc_zeroed(size_t count, size_t size) __attribute__((malloc));
void *mem_resize(void *block, size_t size);
void *mem_resize_array(void *block, size_t count, size_t size);

// Makes room for `more` items behind the `count` of an array. `array` is where its pointer is
// kept, `*capacity` how many items it has room for: when it grows, to twice as many at least.
// False, with nothing changed, when memory is short.
bool mem_grow(void *array, size_t *capacity, size_t count, size_t more, size_t item_size);
static inline bool mem_reserve(void *array, size_t *capacity, size_t count, size_t more,
                               size_t item_size)
{
    return more <= *capacity - count || mem_grow(array, capacity, count, more, item_size);
}

#define MEM_ALIGNMENT_MAX ((size_t)2 << 20) // the size of a huge page

// Memory at a multiple of `alignment`, a power of two of at most
// MEM_ALIGNMENT_MAX; released by mem_free_aligned(). It takes up to `alignment`
// more bytes from the allocator, which nobody touches.
void *mem_alloc_aligned(size_t alignment, size_t size);
void mem_free_aligned(void *block);

// AddressSanitizer watches what comes from malloc() only: under it there are no pages.
#ifdef __SANITIZE_ADDRESS__
#define MEM_HAS_PAGES 0
#elif defined(__has_feature)
#define MEM_HAS_PAGES (!__has_feature(address_sanitizer))
#else
#define MEM_HAS_PAGES 1
#endif

// A large piece of zeroed memory, released by mem_unmap() with the same size. From
// 1 MiB on it is pages of its own that go back to the system at once, whatever lies
// around it in the heap; whole multiples of MEM_ALIGNMENT_MAX are aligned, and advised
// to be huge pages. An allocator that an embedder brings is asked for these, too.
void *mem_map(size_t size);
void mem_unmap(void *block, size_t size);

// Releasing NULL does nothing.
void mem_free(void *block);

// For CLEANUP(mem_freep) on a local pointer of any type.
static inline void mem_freep(void *pointer_to_block)
{
    mem_free(*(void **)pointer_to_block);
}

#endif
