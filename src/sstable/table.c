// table.c -- the table object and its point lookup.

#include "sstable/table.h"

#include <assert.h>

#include "base/alloc.h"
#include "env/filename.h"
#include "sstable/references.h"
#include "sstable/table_core.h"

#define PREFETCH_LINES 8 // of 64 bytes: heads and offsets of about 45 entries

lsm_status table_new(struct table_store *store, struct table_meta *meta, struct table **out)
{
    struct table *table = mem_alloc_zeroed(1, sizeof *table);
    struct filename name = filename_of(FILENAME_TABLE, meta->id);

    if (table == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table: %zu bytes", sizeof *table);
    atomic_init(&table->refs, 1);
    atomic_init(&table->is_obsolete, false);
    atomic_init(&table->core, NULL);
    table->store = store;
    table->file_key = cache_new_file_key(store->cache);
    cached_file_init(&table->file, store->fds, store->dir, name.text);
    table->meta = meta;
    *out = table;
    return LSM_OK;
}

void table_ref(struct table *table)
{
    (void)atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
}

static void table_release(struct epoch_node *node)
{
    struct table *table = (struct table *)node;
    struct table_store *store = table->store;

    residency_evict(cache_residency(store->cache), &table->core);
    cached_file_release(&table->file);
    if (atomic_load_explicit(&table->is_obsolete, memory_order_relaxed))
        unlinker_add(store->unlinker, FILENAME_TABLE, table->meta->id);
    table_meta_free(table->meta);
    mem_free(table);
}

static_assert(offsetof(struct table, node) == 0, "a table is released through its node");

void table_unref(struct table *table)
{
    if (table == NULL)
        return;
    // Release and acquire: what every holder did comes before the end.
    if (atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) == 1)
        epoch_retire(table->store->bin, &table->node, table_release);
}

void table_mark_obsolete(struct table *table)
{
    atomic_store_explicit(&table->is_obsolete, true, memory_order_relaxed);
}

const struct table_meta *table_meta(const struct table *table)
{
    return table->meta;
}

lsm_status table_may_contain(struct table *table, uint64_t hash, bool *maybe)
{
    struct table_core *core;

    TRY(table_core_get(table, &core));
    *maybe = filter_may_contain(&core->filter, hash);
    return LSM_OK;
}

void table_prefetch_filter(struct table *table, uint64_t hash)
{
    // Acquire: pairs with the release in residency_admit().
    struct resident *resident = atomic_load_explicit(&table->core, memory_order_acquire);

    if (resident != NULL)
        __builtin_prefetch(filter_line(&((struct table_core *)resident)->filter, hash));
}

// The block at `place`, from the cache or through it.
static lsm_status fetch_block(struct table *table, const struct block_place *place,
                              struct block **out)
{
    struct block *block = cache_lookup(table->store->cache, table->file_key, place->offset);
    struct table_source source;

    if (UNLIKELY(block == NULL)) {
        TRY(table_source_get(table, &source));
        TRY(source_read_data(&source, place, &block));
        block = cache_insert(table->store->cache, block, table->file_key, place->offset);
    }
    *out = block;
    return LSM_OK;
}

// Fetches the lines where heads, offsets and prefix of a usual block lie at once,
// rather than one after the other as the search comes to them: a quarter of the
// time of a get whose block is in memory but not in the processor's caches.
static void prefetch_start(const struct block *block)
{
    for (size_t i = 0; i < PREFETCH_LINES; i++)
        __builtin_prefetch(block->bytes + i * 64);
}

lsm_status table_get(struct table *table, const struct ikey *key, uint64_t hash, struct entry *out,
                     bool *found, struct block **block)
{
    struct table_core *core;
    struct block_place place;
    struct block_view view;
    struct block_entry e;
    struct block *in;
    uint32_t i;

    TRY(table_core_get(table, &core));
    *found = false;
    if (!filter_may_contain(&core->filter, hash))
        return LSM_OK;
    i = block_lower_bound(&core->index_view, key);
    if (i == core->index_view.count)
        return LSM_OK;
    place = index_place_at(&core->index_view, i);
    TRY(fetch_block(table, &place, &in));
    prefetch_start(in);
    view = block_view_of(in->bytes);
    i = block_lower_bound(&view, key);
    // The separator is before the next block's first entry: if the place sought is
    // behind all entries here, no version that old exists.
    if (i == view.count)
        return LSM_OK;
    block_entry_at(&view, i, &e);
    if (!block_entry_has_key(&view, &e, key))
        return LSM_OK;
    *out = (struct entry){.keyspace = key->keyspace,
                          .kind = e.kind,
                          .user_byte = e.user_byte,
                          .ts = e.ts,
                          .expiry = e.expiry,
                          .head = slice_head(key->key),
                          .key = key->key,
                          .value = e.value};
    *found = true;
    if (block != NULL)
        *block = in;
    return LSM_OK;
}

lsm_status table_approximate_offset(struct table *table, const struct ikey *key, uint64_t *offset)
{
    struct table_core *core;
    uint32_t i;

    EPOCH_SECTION();
    TRY(table_core_get(table, &core));
    i = block_lower_bound(&core->index_view, key);
    *offset = i < core->index_view.count ? index_place_at(&core->index_view, i).offset
                                         : core->footer.filter_offset;
    return LSM_OK;
}

// Reads the reference block while the file is held open.
static lsm_status read_references(struct table *table, struct block **out)
{
    struct table_source source;
    struct table_core *core;

    EPOCH_SECTION();
    TRY(table_core_get(table, &core));
    TRY(table_source_get(table, &source));
    return source_read_references(&source, &core->footer, table->meta, out);
}

lsm_status table_references(struct table *table, table_reference_fn fn, void *ctx)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct references_visitor visitor = {.offset = fn, .ctx = ctx};

    TRY(read_references(table, &block));
    return references_walk(slice_make(block->bytes, block->size), &visitor);
}
