// table.h -- reading a sorted table.
//
// A table object exists as long as a version names its file. It opens its file,
// and loads its index and filter, when first read; both are given back when
// descriptors or the cache's budget run short. Any thread; no lock on a hit.

#ifndef LSM_SSTABLE_TABLE_H
#define LSM_SSTABLE_TABLE_H

#include "base/iter.h"
#include "env/fd_cache.h"
#include "env/unlinker.h"
#include "sstable/cache.h"
#include "sstable/table_meta.h"

// What all tables of a database share. Immutable after open.
struct table_store {
    struct dir *dir;
    struct uuid db_uuid;
    struct fd_cache *fds;
    struct cache *cache;
    struct epoch_bin *bin;
    struct unlinker *unlinker;
};

struct table;

// A table for the file of `meta`, which it takes over on success. Touches no file.
// One reference.
lsm_status table_new(struct table_store *store, struct table_meta *meta, struct table **out);
void table_ref(struct table *table);
// The last reference retires the object; if it is obsolete its file is handed to
// the unlinker.
void table_unref(struct table *table);
// A durable edit has removed the table.
void table_mark_obsolete(struct table *table);

const struct table_meta *table_meta(const struct table *table);

// Whether the key can be in the table: its filter, loading it if need be. Inside
// an epoch section.
lsm_status table_may_contain(struct table *table, uint64_t hash, bool *maybe);
// Starts fetching the filter line that table_may_contain() will read. May do
// nothing.
void table_prefetch_filter(struct table *table, uint64_t hash);

// The newest entry of `key->key` with a timestamp of at most `key->ts`. `*found` is
// false, and `out` untouched, when there is none. Inside an epoch section; `out`
// borrows bytes that live until it ends. `block`, when not NULL, receives the block
// they lie in, for a reference of the caller's own. `hash` is key_hash().
lsm_status table_get(struct table *table, const struct ikey *key, uint64_t hash, struct entry *out,
                     bool *found, struct block **block);

struct table_iter_options {
    bool fill_cache; // keep the blocks that are read
    bool sequential; // will be read to the end: read ahead from the start
};

// A cursor. It holds a reference to the table and to its current block, no epoch
// section between moves.
lsm_status table_iter_new(struct table *table, const struct table_iter_options *options,
                          struct iter **out);

// Bytes of the file before the first block that may hold `key`.
lsm_status table_approximate_offset(struct table *table, const struct ikey *key, uint64_t *offset);

// What a range takes of a table's file and of the value log.
struct table_share {
    uint64_t file_bytes;       // its blocks, and their part of filter and index
    uint64_t referenced_bytes; // records that its entries point to
};

// Of the entries in [low, high). No file is read for a range that covers the table, and
// where nothing points into the value log the blocks at the bounds are; else up to half
// of the table.
lsm_status table_measure(struct table *table, const struct ikey *low, const struct ikey *high,
                         struct table_share *out);

// Reads every block past all caches and checks checksums, order, counts and that
// the properties, filter and references agree with the entries. The first failure
// is returned, LSM_CORRUPT with file and offset.
lsm_status table_verify(struct table *table);

// Called once per entry that points into the value log; a failure ends the walk.
typedef lsm_status (*table_reference_fn)(void *ctx, uint32_t segment, uint64_t offset);

// Walks the reference block: the offsets pointed to, by segment, increasing.
lsm_status table_references(struct table *table, table_reference_fn fn, void *ctx);

// Describes a table file in text for people (properties, and per block offset,
// size and first key), through `print`; works as far as the file is whole.
typedef void (*table_print_fn)(void *ctx, const char *line);
lsm_status table_inspect(struct dir *dir, const char *name, table_print_fn print, void *ctx);

#endif
