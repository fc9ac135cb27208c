// alloc_fault.c -- malloc with a counter before it.

#include "support/alloc_fault.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "lsmkv.h"

struct alloc_fault {
    _Atomic int64_t until; // allocations before the one that fails; below 0: passed
    atomic_bool is_armed;
    atomic_bool for_ever;
    atomic_bool was_hit;
    atomic_size_t live;
    void (*seen)(bool is_failed); // set before use by several threads; may be NULL
};

static struct alloc_fault state;

static bool fails_now(struct alloc_fault *fault)
{
    int64_t before;

    if (!atomic_load(&fault->is_armed))
        return false;
    before = atomic_fetch_sub(&fault->until, 1);
    if (before > 0 || (before < 0 && !atomic_load(&fault->for_ever)))
        return false;
    atomic_store(&fault->was_hit, true);
    return true;
}

static void *fault_resize(void *ctx, void *block, size_t size)
{
    struct alloc_fault *fault = ctx;
    const bool is_failed = fails_now(fault);
    void *resized;

    if (fault->seen != NULL)
        fault->seen(is_failed);
    if (is_failed)
        return NULL;
    resized = realloc(block, size);
    if (block == NULL && resized != NULL)
        atomic_fetch_add(&fault->live, 1);
    return resized;
}

static void fault_release(void *ctx, void *block)
{
    struct alloc_fault *fault = ctx;

    atomic_fetch_sub(&fault->live, 1);
    free(block);
}

bool alloc_fault_install(void)
{
    const lsm_allocator allocator = {
        .resize = fault_resize, .release = fault_release, .ctx = &state};

    return lsm_set_allocator(&allocator) == LSM_OK;
}

void alloc_fault_at(size_t n, bool for_ever)
{
    atomic_store(&state.is_armed, false);
    atomic_store(&state.was_hit, false);
    atomic_store(&state.for_ever, for_ever);
    atomic_store(&state.until, (int64_t)n - 1);
    atomic_store(&state.is_armed, n != 0);
}

void alloc_fault_watch(void (*seen)(bool is_failed))
{
    state.seen = seen;
}

bool alloc_fault_was_hit(void)
{
    return atomic_load(&state.was_hit);
}

size_t alloc_fault_live(void)
{
    return atomic_load(&state.live);
}
