// compress.h -- zstd over single blocks, with contexts that are used again.

#ifndef LSM_SSTABLE_COMPRESS_H
#define LSM_SSTABLE_COMPRESS_H

#include <stdatomic.h>

#include "base/bytes.h"

// How a block's bytes are stored; part of the format.
enum block_codec {
    CODEC_NONE = 0,
    CODEC_ZSTD = 1,
};

// One thread at a time.
struct compressor;

// `level` is a zstd level, 1 to 22.
lsm_status compressor_new(int level, struct compressor **out);
void compressor_set_level(struct compressor *compressor, int level);
void compressor_free(struct compressor *compressor);

// Compresses `raw`. `*codec` is CODEC_NONE and `*stored` is `raw` itself when that
// would save less than an eighth; otherwise `*stored` borrows from the compressor
// until its next use.
lsm_status compressor_run(struct compressor *compressor, lsm_slice raw, enum block_codec *codec,
                          lsm_slice *stored);

// Decompression contexts kept for the next block. Any thread takes one by an
// atomic exchange and puts it back the same way, so no reader waits for another.
#define DECOMPRESSOR_POOL_SIZE 8

struct decompressor_pool {
    void *_Atomic contexts[DECOMPRESSOR_POOL_SIZE]; // ZSTD_DCtx
};

void decompressor_pool_init(struct decompressor_pool *pool);
void decompressor_pool_release(struct decompressor_pool *pool);

// Decompresses `stored` into exactly `size` bytes at `to`. LSM_CORRUPT, without a
// place (the caller knows it), when it is anything else.
lsm_status decompress(struct decompressor_pool *pool, lsm_slice stored, void *to, size_t size);

#endif
