// table_measure.c -- what a range of a table takes, in its file and in the value log.
//
// Where the blocks of the range lie, the index tells; of a block that a bound cuts, the
// part on each side is weighed by its entries. What entries point to is known for the
// whole table only, and values may differ in size a million times, so that no share by
// entries or by bytes of the table is near the truth: the pointers are added up, of the
// range or of what lies outside it, whichever is less to read.

#include <inttypes.h>

#include "base/pointer.h"
#include "sstable/table_core.h"

// Between two entries.
struct cut {
    uint32_t block; // in the index; its count: behind all
    uint32_t entry; // in the block: those before it lie before the cut
    uint64_t data;  // bytes of data blocks before the cut
};

struct measure {
    struct table *table;
    struct table_core *core;
};

// One reference to block `i`. What has to be read is not kept: a measurement is not what
// makes a block hot.
static lsm_status take_block(const struct measure *m, uint32_t i, struct block **out)
{
    const struct block_place place = index_place_at(&m->core->index_view, i);
    struct table_source source;
    struct block *block;

    EPOCH_SECTION();
    block = cache_lookup(m->table->store->cache, m->table->file_key, place.offset);
    if (block == NULL) {
        TRY(table_source_get(m->table, &source));
        return source_read_data(&source, &place, out);
    }
    block_ref(block);
    *out = block;
    return LSM_OK;
}

// --- where the bounds cut ---

static uint64_t data_start(const struct measure *m)
{
    return index_place_at(&m->core->index_view, 0).offset;
}

static uint64_t data_size(const struct measure *m)
{
    return m->core->footer.filter_offset - data_start(m);
}

// Of a block before entry `i`, as far as entries can be told apart.
static uint64_t weight_before(const struct block_view *view, uint32_t i)
{
    return block_offset_at(view, i) + (uint64_t)i * BLOCK_HEAD_SIZE;
}

static lsm_status find_cut(const struct measure *m, const struct ikey *key, struct cut *out)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    const uint32_t i = block_lower_bound(&m->core->index_view, key);
    struct cut cut = {.block = i, .data = data_size(m)};
    struct block_place place;
    struct block_view view;
    double part;

    if (i < m->core->index_view.count) {
        TRY(take_block(m, i, &block));
        view = block_view_of(block->bytes);
        place = index_place_at(&m->core->index_view, i);
        cut.entry = block_lower_bound(&view, key);
        part = (double)weight_before(&view, cut.entry) / (double)weight_before(&view, view.count);
        cut.data = place.offset - data_start(m) +
                   (uint64_t)(part * (double)(block_place_end(&place) - place.offset));
    }
    *out = cut;
    return LSM_OK;
}

// --- what entries point to ---

static lsm_status add_block(const struct measure *m, uint32_t block_index, uint32_t from,
                            const uint32_t *to, uint64_t *bytes)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct value_pointer pointer;
    struct block_view view;
    struct block_entry entry;
    uint32_t end;

    TRY(take_block(m, block_index, &block));
    view = block_view_of(block->bytes);
    end = to == NULL ? view.count : *to;
    for (uint32_t i = from; i < end; i++) {
        block_entry_at(&view, i, &entry);
        if (entry.kind != ENTRY_POINTER)
            continue;
        if (pointer_decode(entry.value, &pointer) != LSM_OK)
            return lsm_fail(LSM_CORRUPT, "%s: block at offset %" PRIu64 ": a malformed pointer",
                            m->table->file.name,
                            index_place_at(&m->core->index_view, block_index).offset);
        *bytes += pointer.record_size;
    }
    return LSM_OK;
}

// Adds what is pointed to between two cuts.
static lsm_status add_between(const struct measure *m, const struct cut *from, const struct cut *to,
                              uint64_t *bytes)
{
    for (uint32_t i = from->block; i < to->block; i++)
        TRY(add_block(m, i, i == from->block ? from->entry : 0, NULL, bytes));
    if (to->entry == 0)
        return LSM_OK;
    return add_block(m, to->block, to->block == from->block ? from->entry : 0, &to->entry, bytes);
}

static lsm_status referenced_between(const struct measure *m, const struct cut *from,
                                     const struct cut *to, uint64_t *bytes)
{
    const struct cut start = {.block = 0};
    const struct cut end = {.block = m->core->index_view.count, .data = data_size(m)};
    const uint64_t inside = to->data - from->data;
    const uint64_t total = table_meta_referenced_bytes(m->table->meta);
    uint64_t sum = 0;

    if (total == 0) {
        *bytes = 0;
        return LSM_OK;
    }
    if (inside <= end.data - inside) {
        TRY(add_between(m, from, to, bytes));
        return LSM_OK;
    }
    TRY(add_between(m, &start, from, &sum));
    TRY(add_between(m, to, &end, &sum));
    *bytes = total > sum ? total - sum : 0;
    return LSM_OK;
}

// --- the whole ---

static lsm_status measure_part(const struct measure *m, const struct ikey *low,
                               const struct ikey *high, struct table_share *out)
{
    struct table_share share = {0};
    struct cut from;
    struct cut to;

    TRY(find_cut(m, low, &from));
    TRY(find_cut(m, high, &to));
    // Filter and index are shared out as the data is.
    share.file_bytes = (uint64_t)((double)(to.data - from.data) / (double)data_size(m) *
                                  (double)m->table->meta->size);
    TRY(referenced_between(m, &from, &to, &share.referenced_bytes));
    *out = share;
    return LSM_OK;
}

lsm_status table_measure(struct table *table, const struct ikey *low, const struct ikey *high,
                         struct table_share *out)
{
    CLEANUP(table_core_unrefp) struct table_core *core = NULL;
    const struct table_meta *meta = table_meta(table);
    struct measure m = {.table = table};

    if (ikey_compare(low, high) >= 0 || ikey_compare(&meta->largest, low) < 0 ||
        ikey_compare(&meta->smallest, high) >= 0) {
        *out = (struct table_share){0};
        return LSM_OK;
    }
    if (ikey_compare(low, &meta->smallest) <= 0 && ikey_compare(&meta->largest, high) < 0) {
        *out = (struct table_share){meta->size, table_meta_referenced_bytes(meta)};
        return LSM_OK;
    }
    TRY(table_core_take(table, &core));
    m.core = core;
    return measure_part(&m, low, high, out);
}
