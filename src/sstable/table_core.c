#include "sstable/table_core.h"

#include <assert.h>
#include <inttypes.h>

#include "base/alloc.h"

lsm_status source_fail_at(const struct table_source *source, uint64_t offset, lsm_status status)
{
    if (status != LSM_CORRUPT)
        return status;
    return lsm_fail(LSM_CORRUPT, "%s: block at offset %" PRIu64 ": %s", source->file->name, offset,
                    lsm_errmsg());
}

lsm_status table_source_get(struct table *table, struct table_source *out)
{
    struct file *file;

    TRY(cached_file_get(&table->file, &file));
    *out = (struct table_source){.file = file,
                                 .uuid = table->meta->uuid,
                                 .decompressors = cache_decompressors(table->store->cache)};
    return LSM_OK;
}

lsm_status source_read_block(const struct table_source *source, const struct block_place *place,
                             uint64_t raw_max, struct block **out)
{
    struct layout_read read = {.file = source->file,
                               .uuid = &source->uuid,
                               .decompressors = source->decompressors,
                               .place = *place,
                               .raw_max = raw_max};

    return layout_block_read(&read, out);
}

lsm_status source_read_data(const struct table_source *source, const struct block_place *place,
                            struct block **out)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    lsm_status status;

    TRY(source_read_block(source, place, LAYOUT_DATA_RAW_MAX, &block));
    status = block_check(slice_make(block->bytes, block->size), BLOCK_DATA);
    if (status != LSM_OK)
        return source_fail_at(source, place->offset, status);
    *out = MOVE(block);
    return LSM_OK;
}

lsm_status source_read_properties(const struct table_source *source, const struct footer *footer,
                                  struct properties *out)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct block_place place =
        layout_place_between(footer->properties_offset, footer->index_offset);
    struct properties p;

    TRY(source_read_block(source, &place, place.size, &block));
    TRY(source_fail_at(source, place.offset,
                       properties_decode(slice_make(block->bytes, block->size), &p)));
    if (p.block_count != footer->block_count || p.meta->entry_count != footer->entry_count ||
        p.meta->size != footer->offset + LAYOUT_FOOTER_SIZE ||
        !uuid_equal(&p.meta->uuid, &source->uuid)) {
        properties_release(&p);
        return lsm_fail(LSM_CORRUPT, "%s: properties at offset %" PRIu64 " contradict the footer",
                        source->file->name, place.offset);
    }
    *out = p;
    return LSM_OK;
}

lsm_status source_read_filter(const struct table_source *source, const struct footer *footer,
                              struct block **out, struct filter *filter)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct block_place place =
        layout_place_between(footer->filter_offset, footer->references_offset);

    TRY(source_read_block(source, &place, place.size, &block));
    TRY(source_fail_at(source, place.offset,
                       filter_open(slice_make(block->bytes, block->size), filter)));
    *out = MOVE(block);
    return LSM_OK;
}

static bool read_place(lsm_slice value, struct block_place *out)
{
    struct reader r = reader_over(value);

    out->offset = read_varint64(&r);
    out->size = read_varint32(&r);
    return reader_done(&r);
}

struct block_place index_place_at(const struct block_view *index, uint32_t i)
{
    struct block_entry e;
    struct block_place place;
    bool is_good;

    block_entry_at(index, i, &e);
    is_good = read_place(e.value, &place);
    assert(is_good); // by source_read_index()
    (void)is_good;
    return place;
}

// Whether the blocks named lie one behind the other from the header to `end`.
static bool index_is_contiguous(const struct block_view *index, uint64_t end)
{
    uint64_t at = FILE_HEADER_SIZE;

    for (uint32_t i = 0; i < index->count; i++) {
        struct block_place place;
        struct block_entry e;

        block_entry_at(index, i, &e);
        if (!read_place(e.value, &place) || place.offset != at || place.size == 0 ||
            place.size > end || block_place_end(&place) > end)
            return false;
        at = block_place_end(&place);
    }
    return at == end;
}

lsm_status source_read_index(const struct table_source *source, const struct footer *footer,
                             struct block **out)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct block_place place = layout_place_between(footer->index_offset, footer->offset);
    struct block_view view;

    TRY(source_read_block(source, &place, place.size, &block));
    TRY(source_fail_at(source, place.offset,
                       block_check(slice_make(block->bytes, block->size), BLOCK_INDEX)));
    view = block_view_of(block->bytes);
    if (view.count != footer->block_count || !index_is_contiguous(&view, footer->filter_offset))
        return lsm_fail(LSM_CORRUPT, "%s: index at offset %" PRIu64 " contradicts the footer",
                        source->file->name, place.offset);
    *out = MOVE(block);
    return LSM_OK;
}

lsm_status source_read_references(const struct table_source *source, const struct footer *footer,
                                  const struct table_meta *meta, struct block **out)
{
    struct block_place place =
        layout_place_between(footer->references_offset, footer->properties_offset);
    // What the counts below come to is told by a file, and so is how much a few bytes become.
    uint64_t limit = LAYOUT_REFERENCES_RATIO_MAX * footer->references_offset;
    // No number takes more than its longest varint.
    uint64_t raw_max = VARINT_SIZE_MAX + 4 * VARINT_SIZE_MAX * (uint64_t)meta->reference_count;

    for (size_t i = 0; i < meta->reference_count; i++)
        raw_max += meta->references[i].count * VARINT_SIZE_MAX;
    if (limit < place.size)
        limit = place.size; // as it is stored
    return source_read_block(source, &place, raw_max < limit ? raw_max : limit, out);
}

static void core_free(struct table_core *core)
{
    mem_free_aligned(core->filter_bytes);
    block_unref(core->index);
    mem_free(core);
}

void table_core_ref(struct table_core *core)
{
    (void)atomic_fetch_add_explicit(&core->refs, 1, memory_order_relaxed);
}

void table_core_unref(struct table_core *core)
{
    // Release and acquire: the last holder frees after the reads of all others.
    if (core != NULL && atomic_fetch_sub_explicit(&core->refs, 1, memory_order_acq_rel) == 1)
        core_free(core);
}

void table_core_unrefp(struct table_core **core)
{
    table_core_unref(*core);
}

static void core_release(struct epoch_node *node)
{
    table_core_unref((struct table_core *)node);
}

static_assert(offsetof(struct table_core, resident) == 0 && offsetof(struct resident, node) == 0,
              "a core is found and released through its resident");

// Moves the filter to where each of its lines is one line of the processor's cache.
static lsm_status core_take_filter(struct table_core *core, const struct block *block)
{
    core->filter_bytes = mem_alloc_aligned(FILTER_LINE_SIZE, block->size);
    if (core->filter_bytes == NULL)
        return lsm_fail(LSM_NO_MEMORY, "filter: %zu bytes", block->size);
    memcpy(core->filter_bytes, block->bytes, block->size);
    core->filter.lines = core->filter_bytes;
    return LSM_OK;
}

static lsm_status check_header(struct table *table, const struct table_source *source)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header header;

    TRY(file_read_exact(source->file, 0, bytes, sizeof bytes));
    TRY(file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_TABLE, source->file->name,
                           &header));
    if (!uuid_equal(&header.db_uuid, &table->store->db_uuid))
        return lsm_fail(LSM_CORRUPT, "%s: belongs to another database", source->file->name);
    if (!uuid_equal(&header.file_uuid, &source->uuid) || header.number != table->meta->id)
        return lsm_fail(LSM_CORRUPT, "%s: is another table than the manifest names",
                        source->file->name);
    return LSM_OK;
}

static lsm_status check_size(struct table *table, const struct table_source *source)
{
    uint64_t size;

    TRY(file_size(source->file, &size));
    if (size != table->meta->size)
        return lsm_fail(LSM_CORRUPT, "%s: %" PRIu64 " bytes instead of %" PRIu64,
                        source->file->name, size, table->meta->size);
    return LSM_OK;
}

static lsm_status check_properties(struct table *table, const struct table_source *source,
                                   const struct footer *footer)
{
    struct properties properties;
    lsm_status status = source_read_properties(source, footer, &properties);

    if (status != LSM_OK)
        return status;
    status = properties_compare(source->file->name, properties.meta, table->meta);
    properties_release(&properties);
    return status;
}

lsm_status table_core_load(struct table *table, struct table_core **out)
{
    CLEANUP(table_core_unrefp) struct table_core *core = mem_alloc_zeroed(1, sizeof *core);
    CLEANUP(block_unrefp) struct block *filter = NULL;
    struct table_source source;

    if (core == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table: %zu bytes", sizeof *core);
    atomic_init(&core->refs, 1);
    TRY(table_source_get(table, &source));
    TRY(check_header(table, &source));
    TRY(check_size(table, &source));
    TRY(layout_footer_read(source.file, table->meta->size, &source.uuid, &core->footer));
    TRY(check_properties(table, &source, &core->footer));
    TRY(source_read_filter(&source, &core->footer, &filter, &core->filter));
    TRY(core_take_filter(core, filter));
    TRY(source_read_index(&source, &core->footer, &core->index));
    core->index_view = block_view_of(core->index->bytes);
    core->resident.release = core_release;
    core->resident.size = sizeof *core + filter->size + core->index->size + sizeof *core->index;
    *out = MOVE(core);
    return LSM_OK;
}

// Several threads may load at the same time, none waits for another's reads; the
// first to finish wins.
static __attribute__((noinline)) lsm_status core_load_and_admit(struct table *table,
                                                                struct table_core **out)
{
    struct table_core *loaded;
    struct resident *winner;

    TRY(table_core_load(table, &loaded));
    winner = residency_admit(cache_residency(table->store->cache), &loaded->resident, &table->core);
    if (winner != &loaded->resident)
        table_core_unref(loaded);
    *out = (struct table_core *)winner;
    return LSM_OK;
}

lsm_status table_core_get(struct table *table, struct table_core **out)
{
    // Acquire: pairs with the release in residency_admit().
    struct resident *resident = atomic_load_explicit(&table->core, memory_order_acquire);

    if (UNLIKELY(resident == NULL))
        return core_load_and_admit(table, out);
    resident_touch(resident);
    *out = (struct table_core *)resident;
    return LSM_OK;
}

lsm_status table_core_take(struct table *table, struct table_core **out)
{
    struct table_core *core;

    EPOCH_SECTION();
    TRY(table_core_get(table, &core));
    table_core_ref(core);
    *out = core;
    return LSM_OK;
}
