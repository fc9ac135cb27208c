// table_builder.h -- writing a sorted table.
//
// Entries come in order; blocks go out as they fill. One thread.

#ifndef LSM_SSTABLE_TABLE_BUILDER_H
#define LSM_SSTABLE_TABLE_BUILDER_H

#include "env/env.h"
#include "env/poison.h"
#include "sstable/table_meta.h"

struct table_options {
    size_t block_size;  // bytes of entries after which a block is closed
    int compression;    // 0: none, otherwise a zstd level, 1 to 22
    double filter_bits; // per key; 0: no filter
};

struct table_builder;

// Creates NNNNNN.sst for `id` in `dir`. A failed close of the written file sets
// `poison`.
lsm_status table_builder_new(struct dir *dir, uint64_t id, const struct uuid *db_uuid,
                             struct poison *poison, const struct table_options *options,
                             struct table_builder **out);

// Ends the block being filled; the ones behind it are written with the block size and
// compression of `options`, which keyspaces may have of their own. The properties name
// those of table_builder_new().
lsm_status table_builder_set_blocks(struct table_builder *builder,
                                    const struct table_options *options);

// `entry` is greater than the one before. A block also ends where the keyspace
// changes.
lsm_status table_builder_add(struct table_builder *builder, const struct entry *entry);

uint64_t table_builder_size(const struct table_builder *builder); // of the file so far, about
// Bytes of memory that grow with the number of entries: hashes of keys for the filter,
// pointers for the reference block, the index.
size_t table_builder_memory(const struct table_builder *builder);

// Writes what is left, syncs and closes the file; its name is not synced. On
// success `*out` describes it and the caller releases it with table_meta_free().
// At least one entry was added.
lsm_status table_builder_finish(struct table_builder *builder, struct table_meta **out);

// Releases the builder; a file that was not finished is closed and removed, which
// no manifest names. NULL is nothing.
void table_builder_free(struct table_builder *builder);
void table_builder_freep(struct table_builder **builder);

#endif
