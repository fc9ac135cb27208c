// table_iter.c -- the cursor over one table.
//
// Between moves it holds the table, its core and the current block by reference.
// A block that is not in the cache is inserted there or, without fill_cache, kept
// by the cursor alone. Reads that follow one another make it read ahead, in
// windows that double.

#include <assert.h>

#include "base/alloc.h"
#include "sstable/table_core.h"

#define WINDOW_MIN      (32 * 1024)
#define WINDOW_MAX      (1024 * 1024)
#define KEY_SLACK       8 // what block_key_complete() writes behind a key
#define STREAK_TO_AHEAD 2 // reads in a row before the first window

struct read_ahead {
    uint64_t next;   // where the block read last ends
    uint64_t end;    // prefetched up to here
    uint64_t window; // size of the next window
    unsigned streak; // reads in a row
};

struct table_iter {
    struct iter base;
    struct table *table;
    struct table_core *core;
    struct table_iter_options options;

    uint32_t block_index; // in the index
    uint32_t at;          // in the block
    struct block *block;  // NULL before the first move
    struct block_view view;

    uint8_t *key; // the full key; the prefix of `block` lies there from the start
    size_t key_capacity;
    struct read_ahead ahead;
};

static struct table_iter *table_iter_of(struct iter *base)
{
    return (struct table_iter *)base;
}

static void prefetch(struct table_iter *it, struct file *file, const struct block_place *place)
{
    struct read_ahead *a = &it->ahead;
    uint64_t limit = it->core->footer.filter_offset;
    uint64_t from;

    a->streak = place->offset == a->next ? a->streak + 1 : 0;
    a->next = block_place_end(place);
    if (a->streak < STREAK_TO_AHEAD && !it->options.sequential) {
        a->window = WINDOW_MIN;
        a->end = 0;
        return;
    }
    // The next window is asked for when half of this one has been read.
    if (place->offset + a->window / 2 < a->end)
        return;
    from = place->offset > a->end ? place->offset : a->end;
    a->end = from + a->window < limit ? from + a->window : limit;
    if (a->end > from)
        file_prefetch(file, from, a->end - from);
    a->window = a->window * 2 < WINDOW_MAX ? a->window * 2 : WINDOW_MAX;
}

// One reference to the block at `place`.
static lsm_status take_block(struct table_iter *it, const struct block_place *place,
                             struct block **out)
{
    struct table *table = it->table;
    struct cache *cache = table->store->cache;
    struct table_source source;
    struct block *block;

    EPOCH_SECTION();
    block = cache_lookup(cache, table->file_key, place->offset);
    if (block == NULL) {
        TRY(table_source_get(table, &source));
        prefetch(it, source.file, place);
        TRY(source_read_data(&source, place, &block));
        if (!it->options.fill_cache) {
            *out = block;
            return LSM_OK;
        }
        block = cache_insert(cache, block, table->file_key, place->offset);
    }
    block_ref(block);
    *out = block;
    return LSM_OK;
}

static lsm_status key_reserve(struct table_iter *it, size_t size)
{
    uint8_t *grown;

    if (LIKELY(size + KEY_SLACK <= it->key_capacity))
        return LSM_OK;
    grown = mem_resize(it->key, size * 2 + KEY_SLACK);
    if (grown == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table cursor: a key of %zu bytes", size);
    it->key = grown;
    it->key_capacity = size * 2 + KEY_SLACK;
    return LSM_OK;
}

// Makes the block of index entry `i` the current one.
static lsm_status load_block(struct table_iter *it, uint32_t i)
{
    struct block_place place = index_place_at(&it->core->index_view, i);
    struct block *block;

    if (it->block != NULL && it->block_index == i)
        return LSM_OK;
    TRY(take_block(it, &place, &block));
    block_unref(it->block);
    it->block = block;
    it->block_index = i;
    it->view = block_view_of(block->bytes);
    return LSM_OK;
}

// Makes entry `at` of the current block the current entry; the block's prefix lies
// in `key` already.
static lsm_status settle(struct table_iter *it, uint32_t at)
{
    struct entry *entry = &it->base.entry;
    struct block_entry e;
    size_t size;

    block_entry_at(&it->view, at, &e);
    size = block_key_size(&it->view, &e);
    TRY(key_reserve(it, size));
    block_key_complete(&it->view, &e, it->key);
    entry->kind = e.kind;
    entry->user_byte = e.user_byte;
    entry->ts = e.ts;
    entry->expiry = e.expiry;
    entry->key = slice_make(it->key + BLOCK_KEYSPACE_SIZE, size - BLOCK_KEYSPACE_SIZE);
    entry->head = slice_head(entry->key);
    entry->value = e.value;
    it->at = at;
    it->base.is_valid = true;
    return LSM_OK;
}

// As settle(), in a block that may be new.
static lsm_status settle_anew(struct table_iter *it, uint32_t at)
{
    TRY(key_reserve(it, it->view.prefix_size));
    memcpy(it->key, it->view.prefix, it->view.prefix_size);
    it->base.entry.keyspace = block_keyspace_of(it->key);
    return settle(it, at);
}

static lsm_status table_iter_first(struct iter *base)
{
    struct table_iter *it = table_iter_of(base);

    base->is_valid = false;
    TRY(load_block(it, 0));
    return settle_anew(it, 0);
}

static lsm_status table_iter_last(struct iter *base)
{
    struct table_iter *it = table_iter_of(base);

    base->is_valid = false;
    TRY(load_block(it, it->core->index_view.count - 1));
    return settle_anew(it, it->view.count - 1);
}

static lsm_status table_iter_seek(struct iter *base, const struct ikey *target)
{
    struct table_iter *it = table_iter_of(base);
    uint32_t i = block_lower_bound(&it->core->index_view, target);
    uint32_t at;

    base->is_valid = false;
    if (i == it->core->index_view.count)
        return LSM_OK;
    TRY(load_block(it, i));
    at = block_lower_bound(&it->view, target);
    if (at < it->view.count)
        return settle_anew(it, at);
    // The target lies between the last entry and the separator.
    if (i + 1 == it->core->index_view.count)
        return LSM_OK;
    TRY(load_block(it, i + 1));
    return settle_anew(it, 0);
}

static lsm_status table_iter_next(struct iter *base)
{
    struct table_iter *it = table_iter_of(base);

    assert(base->is_valid);
    base->is_valid = false;
    if (LIKELY(it->at + 1 < it->view.count))
        return settle(it, it->at + 1);
    if (it->block_index + 1 == it->core->index_view.count)
        return LSM_OK;
    TRY(load_block(it, it->block_index + 1));
    return settle_anew(it, 0);
}

static lsm_status table_iter_prev(struct iter *base)
{
    struct table_iter *it = table_iter_of(base);

    assert(base->is_valid);
    base->is_valid = false;
    if (LIKELY(it->at > 0))
        return settle(it, it->at - 1);
    if (it->block_index == 0)
        return LSM_OK;
    TRY(load_block(it, it->block_index - 1));
    return settle_anew(it, it->view.count - 1);
}

static lsm_status table_iter_seek_for_prev(struct iter *base, const struct ikey *target)
{
    struct ikey found;

    TRY(table_iter_seek(base, target));
    if (!base->is_valid)
        return table_iter_last(base);
    found = entry_ikey(&base->entry);
    return ikey_compare(&found, target) == 0 ? LSM_OK : table_iter_prev(base);
}

static void table_iter_close(struct iter *base)
{
    struct table_iter *it = table_iter_of(base);

    block_unref(it->block);
    table_core_unref(it->core);
    table_unref(it->table);
    mem_free(it->key);
    mem_free(it);
}

static const struct iter_ops table_iter_ops = {
    .first = table_iter_first,
    .last = table_iter_last,
    .seek = table_iter_seek,
    .seek_for_prev = table_iter_seek_for_prev,
    .next = table_iter_next,
    .prev = table_iter_prev,
    .close = table_iter_close,
};

lsm_status table_iter_new(struct table *table, const struct table_iter_options *options,
                          struct iter **out)
{
    CLEANUP(mem_freep) struct table_iter *it = mem_alloc_zeroed(1, sizeof *it);

    if (it == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table cursor: %zu bytes", sizeof *it);
    TRY(table_core_take(table, &it->core));
    table_ref(table);
    it->base.ops = &table_iter_ops;
    it->table = table;
    it->options = *options;
    it->ahead.window = options->sequential ? WINDOW_MAX / 4 : WINDOW_MIN;
    *out = &MOVE(it)->base;
    return LSM_OK;
}
