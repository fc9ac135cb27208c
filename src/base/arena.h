// arena.h -- many small things with one lifetime, freed whole.
//
// One thread allocates at a time; what was allocated may be read by any.

#ifndef LSM_BASE_ARENA_H
#define LSM_BASE_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    uint8_t *at; // the free room of the newest chunk
    uint8_t *end;
    struct arena_chunk *chunks; // newest first
    size_t chunk_size;          // of a usual chunk; a larger request gets its own
    _Atomic size_t used;        // bytes of all chunks, readable by any thread
};

// Allocates nothing yet. Chunks come from mem_map(): large ones go back to the system
// when they are released, and those of whole 2 MiB may be backed by huge pages.
void arena_init(struct arena *arena, size_t chunk_size);
void arena_release(struct arena *arena);

// `size` bytes, at least 1, at a multiple of 8, not zeroed, or NULL when memory is short.
void *arena_alloc(struct arena *arena, size_t size);

// Makes sure that the next allocations, of `size` bytes in all with at most
// `count` of them, cannot fail; false when memory is short.
bool arena_reserve(struct arena *arena, size_t size, size_t count);

// Bytes of memory held. Any thread.
size_t arena_used(const struct arena *arena);

#endif
