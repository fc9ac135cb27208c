#include "sstable/compress.h"

// For the constructors that take an allocator.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "base/alloc.h"

struct compressor {
    ZSTD_CCtx *context;
    int level;
    lsm_buf out;
};

static void *zstd_alloc(void *unused, size_t size)
{
    (void)unused;
    return mem_alloc(size);
}

static void zstd_free(void *unused, void *block)
{
    (void)unused;
    mem_free(block);
}

static const ZSTD_customMem zstd_memory = {.customAlloc = zstd_alloc, .customFree = zstd_free};

lsm_status compressor_new(int level, struct compressor **out)
{
    struct compressor *c = mem_alloc_zeroed(1, sizeof *c);

    if (c != NULL)
        c->context = ZSTD_createCCtx_advanced(zstd_memory);
    if (c == NULL || c->context == NULL) {
        compressor_free(c);
        return lsm_fail(LSM_NO_MEMORY, "compressor: no memory for its context");
    }
    c->level = level;
    *out = c;
    return LSM_OK;
}

void compressor_set_level(struct compressor *c, int level)
{
    c->level = level;
}

void compressor_free(struct compressor *c)
{
    if (c == NULL)
        return;
    (void)ZSTD_freeCCtx(c->context);
    lsm_buf_free(&c->out);
    mem_free(c);
}

lsm_status compressor_run(struct compressor *c, lsm_slice raw, enum block_codec *codec,
                          lsm_slice *stored)
{
    size_t size;

    TRY(buf_reserve(&c->out, ZSTD_compressBound(raw.size)));
    size =
        ZSTD_compressCCtx(c->context, c->out.data, c->out.capacity, raw.data, raw.size, c->level);
    // With room for the worst case only memory can be what is short.
    if (ZSTD_isError(size))
        return lsm_fail(LSM_NO_MEMORY, "compressing %zu bytes: %s", raw.size,
                        ZSTD_getErrorName(size));
    if (size > raw.size - raw.size / 8) {
        *codec = CODEC_NONE;
        *stored = raw;
    } else {
        *codec = CODEC_ZSTD;
        *stored = slice_make(c->out.data, size);
    }
    return LSM_OK;
}

void decompressor_pool_init(struct decompressor_pool *pool)
{
    for (size_t i = 0; i < DECOMPRESSOR_POOL_SIZE; i++)
        atomic_init(&pool->contexts[i], NULL);
}

void decompressor_pool_release(struct decompressor_pool *pool)
{
    for (size_t i = 0; i < DECOMPRESSOR_POOL_SIZE; i++)
        (void)ZSTD_freeDCtx(atomic_exchange(&pool->contexts[i], NULL));
}

static ZSTD_DCtx *context_take(struct decompressor_pool *pool)
{
    for (size_t i = 0; i < DECOMPRESSOR_POOL_SIZE; i++) {
        ZSTD_DCtx *context;

        if (atomic_load_explicit(&pool->contexts[i], memory_order_relaxed) == NULL)
            continue;
        // Acquire: pairs with the release in context_put(), whose thread wrote
        // to the context.
        context = atomic_exchange_explicit(&pool->contexts[i], NULL, memory_order_acquire);
        if (context != NULL)
            return context;
    }
    return ZSTD_createDCtx_advanced(zstd_memory);
}

static void context_put(struct decompressor_pool *pool, ZSTD_DCtx *context)
{
    for (size_t i = 0; i < DECOMPRESSOR_POOL_SIZE; i++) {
        void *expected = NULL;

        if (atomic_compare_exchange_strong_explicit(&pool->contexts[i], &expected, context,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
    (void)ZSTD_freeDCtx(context);
}

lsm_status decompress(struct decompressor_pool *pool, lsm_slice stored, void *to, size_t size)
{
    ZSTD_DCtx *context = context_take(pool);
    size_t got;

    if (context == NULL)
        return lsm_fail(LSM_NO_MEMORY, "decompressing: no memory for the context");
    got = ZSTD_decompressDCtx(context, to, size, stored.data, stored.size);
    context_put(pool, context);
    if (ZSTD_isError(got))
        return lsm_fail(LSM_CORRUPT, "zstd: %s", ZSTD_getErrorName(got));
    if (got != size)
        return lsm_fail(LSM_CORRUPT, "zstd: %zu bytes instead of %zu", got, size);
    return LSM_OK;
}
