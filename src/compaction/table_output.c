#include "compaction/table_output.h"

#include <assert.h>

#include "base/hash.h"
#include "base/plant.h"

#define FILTER_BITS_PER_LEVEL 2.0  // more for each level above the last,
#define FILTER_BITS_MAX       20.0 // up to this many

#define MEMORY_SHARE 8 // of a table's size, for what grows with its entries
#define MEMORY_MIN   (UINT64_C(1) << 20)

#define LEVEL_COMPRESSED_FIRST 2 // above it tables live too briefly to pay for it

static uint32_t compression_of_level(const struct engine_options *options, unsigned level,
                                     uint32_t last)
{
    if (last == KEYSPACE_INHERIT)
        last = atomic_load_explicit(&options->compression, memory_order_relaxed);
    if (level == LEVEL_LAST || last == 0)
        return last;
    if (level < LEVEL_COMPRESSED_FIRST)
        return 0;
    return atomic_load_explicit(&options->compression_upper, memory_order_relaxed);
}

// A filter that errs less is cheapest where there are few keys, and spares a probe
// of every level below just as well (Dayan et al., "Monkey", 2017).
static double filter_bits_of_level(const struct engine_options *options, unsigned level)
{
    double last = atomic_load_explicit(&options->filter_bits, memory_order_relaxed);
    double bits = last + FILTER_BITS_PER_LEVEL * (LEVEL_LAST - level);

    if (last <= 0)
        return 0;
    if (bits > FILTER_BITS_MAX)
        bits = FILTER_BITS_MAX;
    return bits > last ? bits : last;
}

struct table_options table_options_of_level(const struct engine_options *options, unsigned level,
                                            uint32_t compression)
{
    const uint32_t zstd_level = compression_of_level(options, level, compression);
    const _Atomic uint64_t *block_size =
        zstd_level == 0 ? &options->block_size : &options->compressed_block_size;

    return (struct table_options){
        .block_size = (size_t)atomic_load_explicit(block_size, memory_order_relaxed),
        .compression = (int)zstd_level,
        .filter_bits = filter_bits_of_level(options, level),
    };
}

void table_output_init(struct table_output *output, struct engine *engine, struct edit *edit,
                       unsigned level)
{
    *output = (struct table_output){
        .engine = engine,
        .edit = edit,
        .level = level,
    };
}

static lsm_status start_table(struct table_output *output)
{
    struct engine *engine = output->engine;
    const struct table_options options =
        table_options_of_level(engine->options, output->level, KEYSPACE_INHERIT);

    output->id = manifest_next_file_id(engine->manifest);
    output->sum = 0;
    return table_builder_new(engine->dir, output->id, &engine->tables->db_uuid, engine->poison,
                             &options, &output->builder);
}

// Has the blocks of a keyspace written as its options say.
static lsm_status enter_keyspace(struct table_output *output, uint32_t keyspace)
{
    const struct engine *engine = output->engine;
    const struct table_options options = table_options_of_level(
        engine->options, output->level, engine_keyspace_compression(engine, keyspace));

    TRY(table_builder_set_blocks(output->builder, &options));
    output->keyspace = keyspace;
    return LSM_OK;
}

lsm_status table_output_add(struct table_output *output, const struct entry *entry)
{
    const bool is_new = output->builder == NULL;

    if (is_new)
        TRY(start_table(output));
    if (is_new || entry->keyspace != output->keyspace)
        TRY(enter_keyspace(output, entry->keyspace));
    if (output->engine->checks_memory)
        output->sum += entry_digest(entry);
    return table_builder_add(output->builder, entry);
}

uint64_t table_output_size(const struct table_output *output)
{
    return output->builder == NULL ? 0 : table_builder_size(output->builder);
}

uint64_t table_memory_max(const struct engine_options *options)
{
    uint64_t share =
        atomic_load_explicit(&options->table_size, memory_order_relaxed) / MEMORY_SHARE;

    return share > MEMORY_MIN ? share : MEMORY_MIN;
}

bool table_output_is_heavy(const struct table_output *output)
{
    return output->builder != NULL &&
           table_builder_memory(output->builder) > table_memory_max(output->engine->options);
}

static lsm_status sum_table(struct table *table, uint64_t *out)
{
    const struct table_iter_options options = {.fill_cache = false};
    CLEANUP(iter_closep) struct iter *it = NULL;
    uint64_t sum = 0;

    TRY(table_iter_new(table, &options, &it));
    TRY(iter_first(it));
    while (it->is_valid) {
        sum += entry_digest(&it->entry);
        TRY(iter_next(it));
    }
    *out = sum;
    return LSM_OK;
}

// Reads the finished table back: what it takes the place of is still there.
static lsm_status check_table(const struct table_output *output, const struct table_meta *meta)
{
    CLEANUP(table_meta_freep) struct table_meta *copy = NULL;
    struct table *table;
    lsm_status status;
    uint64_t sum = 0;

    if (!output->engine->checks_memory || PLANTED(SKIP_TABLE_CHECK))
        return LSM_OK;
    TRY(table_meta_copy(meta, &copy));
    TRY(table_new(output->engine->tables, copy, &table));
    (void)MOVE(copy); // the table's now
    status = sum_table(table, &sum);
    table_unref(table);
    if (status != LSM_OK || sum == output->sum)
        return status;
    return lsm_fail(LSM_CORRUPT, "%s: does not hold what was written: memory has changed",
                    filename_of(FILENAME_TABLE, meta->id).text);
}

lsm_status table_output_cut(struct table_output *output)
{
    CLEANUP(table_meta_freep) struct table_meta *meta = NULL;
    uint64_t size, entry_count;
    lsm_status status;

    if (output->builder == NULL)
        return LSM_OK;
    TRY(table_builder_finish(output->builder, &meta));
    table_builder_free(MOVE(output->builder));
    size = meta->size;
    entry_count = meta->entry_count;
    status = check_table(output, meta);
    if (status == LSM_OK)
        status = edit_add_table(output->edit, output->level, meta);
    if (status != LSM_OK) {
        // The edit will not tell publish_discard() of this one.
        unlinker_add(output->engine->tables->unlinker, FILENAME_TABLE, output->id);
        return status;
    }
    (void)MOVE(meta); // the edit's now
    output->bytes += size;
    output->entry_count += entry_count;
    return LSM_OK;
}

lsm_status table_output_release(struct table_output *output, lsm_status status)
{
    struct failure failure;

    if (output->builder == NULL)
        return status;
    failure_capture(&failure, status);
    table_builder_free(MOVE(output->builder));
    return status == LSM_OK ? LSM_OK : failure_raise(&failure);
}
