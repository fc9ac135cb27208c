// arena.c -- chunks, filled one after the other.

#include "base/arena.h"

#include <assert.h>

#include "base/alloc.h"

#define ARENA_ALIGNMENT 8

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;
    uint64_t bytes[]; // uint64_t for its alignment
};

void arena_init(struct arena *arena, size_t chunk_size)
{
    assert(chunk_size > sizeof(struct arena_chunk));
    *arena = (struct arena){.chunk_size = chunk_size};
}

void arena_release(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunks;

    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;

        mem_unmap(chunk, chunk->size);
        chunk = older;
    }
    *arena = (struct arena){.chunk_size = arena->chunk_size};
}

// A chunk of `size` bytes with its header, which counts as used from now on.
static struct arena_chunk *chunk_new(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = mem_map(size);

    if (chunk == NULL)
        return NULL;
    chunk->size = size;
    atomic_fetch_add_explicit(&arena->used, size, memory_order_relaxed);
    return chunk;
}

// Starts a new chunk with room for `size` bytes at least.
static bool arena_grow(struct arena *arena, size_t size)
{
    size_t chunk_size;
    struct arena_chunk *chunk;

    if (__builtin_add_overflow(size, sizeof *chunk, &chunk_size))
        return false;
    if (chunk_size < arena->chunk_size)
        chunk_size = arena->chunk_size;
    chunk = chunk_new(arena, chunk_size);
    if (chunk == NULL)
        return false;
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->at = (uint8_t *)chunk->bytes;
    arena->end = (uint8_t *)chunk + chunk_size;
    return true;
}

// A chunk for one large request, put behind the newest, whose room stays in use.
static void *arena_alloc_alone(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = chunk_new(arena, sizeof *chunk + size);

    if (chunk == NULL)
        return NULL;
    chunk->older = arena->chunks->older;
    arena->chunks->older = chunk;
    return chunk->bytes;
}

static size_t arena_room(const struct arena *arena)
{
    return (size_t)(arena->end - arena->at);
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t rounded = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    uint8_t *block;

    assert(size > 0);
    if (rounded < size || rounded > SIZE_MAX - sizeof(struct arena_chunk))
        return NULL;
    if (rounded > arena_room(arena)) {
        if (arena->chunks != NULL && rounded > arena->chunk_size / 4)
            return arena_alloc_alone(arena, rounded);
        if (!arena_grow(arena, rounded))
            return NULL;
    }
    block = arena->at;
    arena->at += rounded;
    return block;
}

bool arena_reserve(struct arena *arena, size_t size, size_t count)
{
    size_t rounding;
    size_t needed;

    if (__builtin_mul_overflow(count, ARENA_ALIGNMENT - 1, &rounding) ||
        __builtin_add_overflow(size, rounding, &needed))
        return false;
    return needed <= arena_room(arena) || arena_grow(arena, needed);
}

size_t arena_used(const struct arena *arena)
{
    return atomic_load_explicit(&arena->used, memory_order_relaxed);
}
