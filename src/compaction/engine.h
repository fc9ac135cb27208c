// engine.h -- what background work needs of the database, and nothing more.

#ifndef LSM_COMPACTION_ENGINE_H
#define LSM_COMPACTION_ENGINE_H

#include "env/scheduler.h"
#include "manifest/manifest.h"
#include "manifest/view.h"
#include "sstable/table_builder.h"

#define LEVEL_LAST (LEVEL_COUNT - 1)

// Options of background work; each may change at run time (relaxed atomics). What follows from
// one is worked out where it is used, never kept beside it.
struct engine_options {
    _Atomic uint64_t table_size; // bytes after which a merge starts a new table
    _Atomic uint64_t block_size; // of uncompressed levels
    _Atomic uint64_t compressed_block_size;
    _Atomic uint64_t level0_trigger;    // tables in level 0 from which it is merged
    _Atomic uint64_t level_multiplier;  // size ratio of a level to the one above
    _Atomic uint64_t level_base_size;   // smallest target of a level, bytes
    _Atomic uint32_t compression;       // zstd level of the last level; 0: none anywhere
    _Atomic uint32_t compression_upper; // of the levels between, from level 2 on
    _Atomic double filter_bits;         // bloom bits per key of the last level
    _Atomic uint32_t versions_to_keep;  // per key, when no snapshot needs more
    _Atomic uint64_t memtable_size;
    _Atomic uint64_t level0_slowdown; // tables in level 0; like the next three, see throttle.c
    _Atomic uint64_t level0_stop;     // 0: never, as for the debt
    _Atomic uint64_t debt_slowdown;   // bytes waiting to be merged
    _Atomic uint64_t debt_stop;
    _Atomic uint64_t log_bytes_min;   // least bound of the unflushed log
    // Counts the changes: stored after them (release), read before them (acquire).
    _Atomic uint64_t revision;
};

struct compaction_stats {
    _Atomic uint64_t flush_count, flush_bytes, flush_ns;
    _Atomic uint64_t merge_count, merge_read_bytes, merge_write_bytes, merge_ns;
    _Atomic uint64_t move_count;
    _Atomic uint64_t entries_in, entries_out, entries_dropped;
    _Atomic uint64_t errors;
};

struct engine {
    struct env *env;
    struct dir *dir;
    struct table_store *tables;
    struct segment_store *segments;
    struct views *views;
    struct manifest *manifest;
    struct log *log;
    struct poison *poison;
    struct eventlog *events;
    struct engine_options *options;
    struct compaction_stats *stats;
    bool checks_memory; // sums of memtables are compared before their tables count

    // Answered by the floors above. The oldest snapshot: a merge drops what no
    // snapshot at or above `ts` sees, and expires by `wall` seconds (0: not at all).
    // Of a moment ago: what is worth a merge goes by it.
    void (*oldest_snapshot)(void *ctx, uint64_t *ts, uint64_t *wall);
    // The same for who drops: no snapshot is told a second before `wall` until
    // end_dropping(), after the edit is installed or given up. LSM_NO_MEMORY.
    lsm_status (*begin_dropping)(void *ctx, uint64_t *ts, uint64_t *wall, void **hold);
    void (*end_dropping)(void *ctx, void *hold);
    // The options of a keyspace and whether it has been dropped at or below the
    // oldest snapshot (its entries then go); false for an unknown id.
    bool (*keyspace_options)(void *ctx, uint32_t id, struct keyspace_options *out,
                             bool *is_dropped);
    // Latest timestamp, and the time that is past without doubt, to persist with an edit.
    void (*clock)(void *ctx, uint64_t *last_ts, uint64_t *last_wall_ns);
    void *ctx;
};

// The keyspace's own option `compression`, or KEYSPACE_INHERIT.
static inline uint32_t engine_keyspace_compression(const struct engine *engine, uint32_t keyspace)
{
    struct keyspace_options options;
    bool is_dropped;

    return engine->keyspace_options(engine->ctx, keyspace, &options, &is_dropped)
               ? options.compression
               : KEYSPACE_INHERIT;
}

#endif
