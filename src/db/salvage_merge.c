#include "db/salvage_merge.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/merge.h"
#include "memtable/memtable.h"
#include "sstable/table_builder.h"

// Entries of the log that are sorted at once.
#define RUN_BYTES_MAX ((size_t)32 << 20)

void salvage_merge_init(struct salvage_merge *merge, struct salvage_losses *losses)
{
    *merge = (struct salvage_merge){.losses = losses};
    decompressor_pool_init(&merge->decompressors);
}

void salvage_merge_release(struct salvage_merge *merge)
{
    for (size_t i = 0; i < merge->count; i++)
        salvage_table_release(&merge->tables[i]);
    mem_free(merge->tables);
    decompressor_pool_release(&merge->decompressors);
}

lsm_status salvage_merge_add(struct salvage_merge *merge, const struct salvage_table *table)
{
    if (merge->count == merge->capacity) {
        const size_t capacity = merge->capacity == 0 ? 64 : 2 * merge->capacity;
        struct salvage_table *tables = mem_resize_array(merge->tables, capacity, sizeof *tables);

        if (tables == NULL)
            return lsm_fail(LSM_NO_MEMORY, "salvage: %zu tables", capacity);
        merge->tables = tables;
        merge->capacity = capacity;
    }
    merge->tables[merge->count++] = *table;
    return LSM_OK;
}

// --- sorting the log ---

struct sorter {
    struct salvage_merge *merge;
    struct dir *scratch;
    uint64_t *next_id;
    struct poison poison;
    struct memtable *mem;
};

static lsm_status build_run(struct sorter *s, struct salvage_table *run)
{
    const struct table_options options = {.block_size = 64 << 10, .compression = 1};
    const struct uuid nobody = {.bytes = {0}};
    CLEANUP(table_builder_freep) struct table_builder *builder = NULL;
    CLEANUP(iter_closep) struct iter *it = NULL;

    TRY(memtable_iter_new(s->mem, &it));
    TRY(table_builder_new(s->scratch, run->id, &nobody, &s->poison, &options, &builder));
    TRY(iter_first(it));
    while (it->is_valid) {
        TRY(table_builder_add(builder, &it->entry));
        TRY(iter_next(it));
    }
    return table_builder_finish(builder, &run->meta);
}

// Writes what has been collected as a table, and starts afresh.
static lsm_status write_run(struct sorter *s)
{
    struct salvage_table run = {.dir = s->scratch, .id = *s->next_id, .has_uuid = true};
    lsm_status status;

    if (memtable_is_empty(s->mem))
        return LSM_OK;
    TRY(build_run(s, &run));
    ++*s->next_id;
    run.uuid = run.meta->uuid;
    status = salvage_merge_add(s->merge, &run);
    if (status != LSM_OK) {
        salvage_table_release(&run);
        return status;
    }
    memtable_free(s->mem);
    s->mem = NULL;
    return memtable_new(0, &s->mem);
}

static lsm_status sort_frame(void *ctx, const struct frame_header *header,
                             struct log_position position, lsm_slice entries)
{
    struct sorter *s = ctx;
    struct frame_reader reader;
    struct entry entry;
    enum frame_next next;

    if (memtable_used(s->mem) + entries.size > RUN_BYTES_MAX)
        TRY(write_run(s));
    TRY(memtable_reserve(s->mem, header->entry_count,
                         entries.size + header->entry_count * (uint64_t)POINTER_SIZE_MAX,
                         header->entry_count));
    frame_reader_over(&reader, header, position, entries);
    while ((next = frame_reader_next(&reader, &entry)) == FRAME_ENTRY)
        memtable_insert(s->mem, &entry, key_hash(entry.keyspace, entry.key));
    return frame_end_status(next);
}

lsm_status salvage_merge_add_log(struct salvage_merge *merge, struct salvage_log *log,
                                 bool is_certain, struct dir *scratch, uint64_t *next_id)
{
    struct sorter s = {.merge = merge, .scratch = scratch, .next_id = next_id};
    lsm_status status;

    TRY(memtable_new(0, &s.mem));
    poison_init(&s.poison);
    status = salvage_log_each(log, is_certain, sort_frame, &s);
    if (status == LSM_OK)
        status = write_run(&s);
    memtable_free(s.mem);
    poison_release(&s.poison);
    return status;
}

// --- joining ---

// Tables of unknown bounds last; they get lanes of their own.
static int compare_tables(const void *left, const void *right)
{
    const struct salvage_table *a = left;
    const struct salvage_table *b = right;

    if (a->meta == NULL || b->meta == NULL)
        return (a->meta == NULL) - (b->meta == NULL);
    return ikey_compare(&a->meta->smallest, &b->meta->smallest);
}

// Moves from the front of `tables` to `lane` those that make one sequence without overlap;
// returns how many. The others keep their order behind them.
static size_t take_lane(struct salvage_table *tables, size_t count, struct salvage_table *scratch)
{
    const struct table_meta *last = NULL;
    size_t taken = 0, left = 0;

    for (size_t i = 0; i < count; i++) {
        const struct table_meta *meta = tables[i].meta;
        const bool fits = i == 0 || (last != NULL && meta != NULL &&
                                     ikey_compare(&last->largest, &meta->smallest) < 0);

        if (fits) {
            last = meta;
            tables[taken++] = tables[i];
        } else {
            scratch[left++] = tables[i];
        }
    }
    memcpy(tables + taken, scratch, left * sizeof *tables);
    return taken;
}

static lsm_status make_lanes(struct salvage_merge *merge, struct iter **lanes, size_t *lane_count)
{
    CLEANUP(mem_freep)
    struct salvage_table *scratch = mem_alloc_zeroed(merge->count, sizeof *scratch);

    if (scratch == NULL)
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu tables", merge->count);
    for (size_t at = 0; at < merge->count;) {
        const size_t taken = take_lane(merge->tables + at, merge->count - at, scratch);

        TRY(salvage_lane_new(merge->tables + at, taken, &merge->decompressors, merge->losses,
                             &lanes[*lane_count]));
        ++*lane_count;
        at += taken;
    }
    return LSM_OK;
}

lsm_status salvage_merge_iter(struct salvage_merge *merge, struct iter **out)
{
    CLEANUP(mem_freep) struct iter **lanes = mem_alloc_zeroed(merge->count, sizeof *lanes);
    size_t count = 0;
    lsm_status status;

    if (lanes == NULL)
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu tables", merge->count);
    if (merge->count > 1)
        qsort(merge->tables, merge->count, sizeof *merge->tables, compare_tables);
    status = make_lanes(merge, lanes, &count);
    if (status == LSM_OK)
        status = merge_new(lanes, count, out);
    for (size_t i = 0; status != LSM_OK && i < count; i++)
        iter_close(lanes[i]);
    return status;
}
