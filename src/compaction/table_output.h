// table_output.h -- the tables that a flush or a merge writes into one level.

#ifndef LSM_COMPACTION_TABLE_OUTPUT_H
#define LSM_COMPACTION_TABLE_OUTPUT_H

#include "compaction/engine.h"

// How tables of `level` are written: larger, stronger compressed blocks and fewer
// filter bits towards the last level, where the bytes are.
// `compression` is the keyspace's own, or KEYSPACE_INHERIT: it takes the place of the
// option of that name.
struct table_options table_options_of_level(const struct engine_options *options, unsigned level,
                                            uint32_t compression);

// How much memory may grow with the entries of a table of usual size while it is built.
uint64_t table_memory_max(const struct engine_options *options);

struct table_output {
    struct engine *engine;
    struct edit *edit; // receives each finished table
    unsigned level;
    struct table_builder *builder; // NULL between tables
    uint32_t keyspace;             // of the entry added last, while there is a builder
    uint64_t id;                   // of the table being built
    uint64_t sum;                  // of the digests of its entries, when memory is checked
    uint64_t bytes;                // of finished files
    uint64_t entry_count;          // in finished tables
};

void table_output_init(struct table_output *output, struct engine *engine, struct edit *edit,
                       unsigned level);

// Adds an entry, greater than the one before, starting a table when there is none. When memory is
// checked, each table is read back once it is finished: LSM_CORRUPT when it is not what was added.
lsm_status table_output_add(struct table_output *output, const struct entry *entry);

// Bytes of the table being built, about; 0 between tables.
uint64_t table_output_size(const struct table_output *output);

// Whether the table being built takes so much memory that another should be started,
// whatever its size: entries may be tiny, or compress well.
bool table_output_is_heavy(const struct table_output *output);

// Finishes the table being built, if there is one: written and synced, its name not.
lsm_status table_output_cut(struct table_output *output);

// Gives up a table being built, if there is one. Returns `status`, with its words: a
// file that cannot be removed is not what failed.
lsm_status table_output_release(struct table_output *output, lsm_status status);

#endif
