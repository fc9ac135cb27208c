// table_core.h -- the inside of a table, for the sources that make it up: table,
// table_iter, table_verify and table_inspect.

#ifndef LSM_SSTABLE_TABLE_CORE_H
#define LSM_SSTABLE_TABLE_CORE_H

#include "sstable/block.h"
#include "sstable/filter.h"
#include "sstable/layout.h"
#include "sstable/properties.h"
#include "sstable/residency.h"
#include "sstable/table.h"

// What of a file is kept in memory while it is read: immutable, counted. The slot
// of the table holds one reference, cursors hold more.
struct table_core {
    struct resident resident; // first: the slot points to it
    _Atomic uint32_t refs;
    struct footer footer;
    void *filter_bytes; // aligned to a cache line
    struct filter filter;
    struct block *index;
    struct block_view index_view; // over `index`
};

struct table {
    struct epoch_node node; // first: the table is released through it
    _Atomic uint32_t refs;
    _Atomic bool is_obsolete; // relaxed: set before the reference that frees goes
    struct table_store *store;
    struct table_meta *meta;
    struct cached_file file;
    uint64_t file_key;             // in the cache
    struct resident *_Atomic core; // see residency.h
};

// The core, loaded if need be. Inside an epoch section, for as long as that.
lsm_status table_core_get(struct table *table, struct table_core **out);
// As table_core_get(), with a reference of the caller's own.
lsm_status table_core_take(struct table *table, struct table_core **out);

// A core read afresh from the file, unpublished; the caller owns its reference.
// Inside an epoch section.
lsm_status table_core_load(struct table *table, struct table_core **out);
void table_core_ref(struct table_core *core);
void table_core_unref(struct table_core *core);
void table_core_unrefp(struct table_core **core);

// An open table file, and what its blocks are checked with.
struct table_source {
    struct file *file;
    struct uuid uuid;
    struct decompressor_pool *decompressors;
};

// Inside an epoch section, for as long as that.
lsm_status table_source_get(struct table *table, struct table_source *out);

// The parts of a file, each read and checked on its own. The caller releases what
// it is given.
lsm_status source_read_block(const struct table_source *source, const struct block_place *place,
                             uint64_t raw_max, struct block **out);
lsm_status source_read_data(const struct table_source *source, const struct block_place *place,
                            struct block **out);
lsm_status source_read_properties(const struct table_source *source, const struct footer *footer,
                                  struct properties *out);
lsm_status source_read_filter(const struct table_source *source, const struct footer *footer,
                              struct block **out, struct filter *filter);
// Also checks that the blocks it names fill the file from header to filter.
lsm_status source_read_index(const struct table_source *source, const struct footer *footer,
                             struct block **out);
lsm_status source_read_references(const struct table_source *source, const struct footer *footer,
                                  const struct table_meta *meta, struct block **out);

// The place that entry `i` of a checked index names.
struct block_place index_place_at(const struct block_view *index, uint32_t i);

// Adds file and offset to the words of the last failure, if it is LSM_CORRUPT.
lsm_status source_fail_at(const struct table_source *source, uint64_t offset, lsm_status status);

#endif
