// salvage_table.c -- tables, block by block.
//
// A block verifies by itself, with the uuid of its file. Where index or footer are lost the
// blocks are found by their trailers, one behind the other; data blocks come first in a file,
// and an index, which has the form of one, gives itself away by a timestamp of 0.
//
// What a damaged part has held, nobody knows; but keys are in order, so it lies between the
// last intact one before and the first behind, or the bounds that are known of the table.

#include "base/alloc.h"
#include "db/salvage_part.h"
#include "env/filename.h"
#include "sstable/block_search.h"

void salvage_lose(struct salvage_losses *losses, const char *file, uint64_t offset, uint64_t size,
                  const char *what)
{
    const struct salvage_loss loss = {.file = file, .offset = offset, .size = size, .what = what};

    if (losses->is_muted)
        return;
    losses->count++;
    losses->bytes += size;
    if (losses->fn != NULL)
        losses->fn(losses->ctx, &loss);
}

void salvage_lose_keys(struct salvage_losses *losses, const struct lost_keys *keys)
{
    if (losses->is_muted)
        return;
    losses->range_count++;
    if (losses->keys_fn != NULL)
        losses->keys_fn(losses->keys_ctx, keys);
}

void salvage_note_read(struct salvage_losses *losses, uint64_t bytes)
{
    losses->read_bytes += bytes;
    if (losses->progress_fn != NULL)
        losses->progress_fn(losses->ctx, losses->read_bytes, losses->total_bytes);
}

void salvage_table_release(struct salvage_table *table)
{
    table_meta_free(table->meta);
}

// --- whose a file is ---

// The uuid of the file. A header that does not verify still holds it, most likely: then every
// block that verifies with it proves it.
static lsm_status find_uuid(struct file *file, const struct salvage_table *table,
                            const struct uuid *db_uuid, struct salvage_losses *losses,
                            struct uuid *out)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header header;
    lsm_status status;

    TRY(file_read_exact(file, 0, bytes, sizeof bytes));
    status =
        file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_TABLE, file->name, &header);
    if (status == LSM_OK) {
        if ((db_uuid != NULL && !uuid_equal(&header.db_uuid, db_uuid)) ||
            header.number != table->id ||
            (table->has_uuid && !uuid_equal(&header.file_uuid, &table->uuid)))
            return lsm_fail(LSM_CORRUPT, "%s: is another table", file->name);
        *out = header.file_uuid;
        return LSM_OK;
    }
    if (status != LSM_CORRUPT)
        return status;
    salvage_lose(losses, file->name, 0, 0, lsm_errmsg());
    if (table->has_uuid)
        *out = table->uuid;
    else
        memcpy(out->bytes, bytes + 32, sizeof out->bytes);
    return LSM_OK;
}

static lsm_status look_at_properties(struct salvage_table *table, struct table_source *source)
{
    struct properties properties;
    struct footer footer;
    uint64_t size;

    TRY(file_size(source->file, &size));
    TRY(layout_footer_read(source->file, size, &source->uuid, &footer));
    TRY(source_read_properties(source, &footer, &properties));
    table->meta = MOVE(properties.meta);
    properties_release(&properties);
    return LSM_OK;
}

lsm_status salvage_table_look(struct salvage_table *table, const struct uuid *db_uuid)
{
    const struct filename name = filename_of(FILENAME_TABLE, table->id);
    CLEANUP(file_closep) struct file *file = NULL;
    struct decompressor_pool decompressors;
    struct table_source source = {.decompressors = &decompressors};
    struct salvage_losses untold = {.is_muted = true}; // reading the table tells of them
    lsm_status status;

    TRY(file_open(table->dir, name.text, FILE_READ, &file));
    TRY(find_uuid(file, table, db_uuid, &untold, &table->uuid));
    table->has_uuid = true;
    source.file = file;
    source.uuid = table->uuid;
    decompressor_pool_init(&decompressors);
    status = look_at_properties(table, &source);
    decompressor_pool_release(&decompressors);
    return salvage_is_stopped(status) ? status : LSM_OK;
}

// --- reading one ---

struct reading {
    struct table_source source;
    struct filename name;
    uint64_t size;
    struct footer footer;
    struct block *index; // NULL: it is lost, or there is none
    struct block_view index_view;
    uint32_t index_next;
    uint64_t at; // of the next block, without an index
    struct block_search search;
    bool has_gap;   // since the last block that was taken
    bool has_taken; // a block; the lane's `last` is of this table then

    struct block *block; // NULL: take the next one
    struct block_view view;
    uint32_t next; // entry of the block
};

static void reading_release(struct reading *r)
{
    block_unref(r->block);
    block_unref(r->index);
    block_search_release(&r->search);
    file_close_quietly(r->source.file);
    *r = (struct reading){.at = 0};
}

// A cursor over disjoint tables, one of them open.
struct lane {
    struct iter base;
    const struct salvage_table *tables;
    size_t count;
    size_t next_table;
    struct decompressor_pool *decompressors;
    struct salvage_losses *losses;
    struct reading reading; // its file is NULL between tables
    struct ikey last;       // of the block before
    lsm_buf last_key;
    uint8_t *key;       // of the entry at hand, BLOCK_KEY_ROOM_MAX bytes
    uint8_t *separator; // as many
};

static struct lane *lane_of(struct iter *it)
{
    return (struct lane *)it;
}

// Takes a failure to read a part for its loss, unless it is ours.
static lsm_status lose_part(struct lane *lane, uint64_t offset, uint64_t size, lsm_status status)
{
    if (status == LSM_OK || salvage_is_stopped(status))
        return status;
    salvage_lose(lane->losses, lane->reading.name.text, offset, size, lsm_errmsg());
    return LSM_OK;
}

// --- between which keys ---

static const struct table_meta *meta_at_hand(const struct lane *lane)
{
    return lane->tables[lane->next_table - 1].meta;
}

// Tells the keys from the last block that was taken, or the start of the table, up to `to`.
static void tell_gap(struct lane *lane, const struct ikey *to, bool has_to)
{
    const struct reading *r = &lane->reading;
    const struct table_meta *meta = meta_at_hand(lane);
    const struct ikey *start = meta == NULL ? NULL : &meta->smallest;
    const struct lost_keys keys = {.file = r->name.text,
                                   .from = r->has_taken ? &lane->last : start,
                                   .to = to,
                                   .has_from = !r->has_taken,
                                   .has_to = has_to};

    salvage_lose_keys(lane->losses, &keys);
}

// Whether versions of the first key of the block at hand may have stood before it: the index
// says where the block that is lost has ended.
static bool may_begin_before(struct lane *lane, const struct entry *first)
{
    const struct reading *r = &lane->reading;
    struct entry separator;

    if (r->index == NULL || r->index_next < 2)
        return true;
    separator = block_assemble(&r->index_view, r->index_next - 2, lane->separator);
    return entry_same_key(&separator, first);
}

// A block has been taken: what lies between it and the one before is known now.
static void close_gap(struct lane *lane)
{
    struct reading *r = &lane->reading;
    const struct table_meta *meta = meta_at_hand(lane);
    const struct entry first = block_assemble(&r->view, 0, lane->key);
    const struct ikey at = entry_ikey(&first);

    if (r->has_gap || (!r->has_taken && meta != NULL && ikey_compare(&meta->smallest, &at) < 0))
        tell_gap(lane, &at, may_begin_before(lane, &first));
    r->has_gap = false;
    r->has_taken = true;
}

// The table has no more blocks that can be taken.
static void close_last_gap(struct lane *lane)
{
    const struct reading *r = &lane->reading;
    const struct table_meta *meta = meta_at_hand(lane);

    if (meta == NULL ? r->has_gap : !r->has_taken || ikey_compare(&lane->last, &meta->largest) < 0)
        tell_gap(lane, meta == NULL ? NULL : &meta->largest, true);
}

static lsm_status read_index(struct reading *r)
{
    TRY(layout_footer_read(r->source.file, r->size, &r->source.uuid, &r->footer));
    return source_read_index(&r->source, &r->footer, &r->index);
}

static lsm_status open_file(struct lane *lane, const struct salvage_table *table)
{
    struct reading *r = &lane->reading;

    *r = (struct reading){.name = filename_of(FILENAME_TABLE, table->id),
                          .at = FILE_HEADER_SIZE,
                          .source.decompressors = lane->decompressors};
    TRY(file_open(table->dir, r->name.text, FILE_READ, &r->source.file));
    TRY(find_uuid(r->source.file, table, NULL, lane->losses, &r->source.uuid));
    TRY(file_size(r->source.file, &r->size));
    r->search = (struct block_search){.file = r->source.file,
                                      .uuid = r->source.uuid,
                                      .end = r->size,
                                      .size_max = LAYOUT_DATA_RAW_MAX};
    return LSM_OK;
}

static lsm_status open_table(struct lane *lane)
{
    const struct salvage_table *table = &lane->tables[lane->next_table++];
    struct reading *r = &lane->reading;
    lsm_status status = open_file(lane, table);

    if (status != LSM_OK) {
        status = lose_part(lane, 0, table->meta == NULL ? 0 : table->meta->size, status);
        if (status == LSM_OK)
            close_last_gap(lane);
        reading_release(r);
        return status;
    }
    status = read_index(r);
    if (status == LSM_OK)
        r->index_view = block_view_of(r->index->bytes);
    return lose_part(lane, r->footer.index_offset == 0 ? r->size : r->footer.index_offset, 0,
                     status);
}

// Whether a block that verifies is one of data, and behind what came before.
static bool is_next_data(struct lane *lane, const struct block_view *view)
{
    struct block_entry e;
    struct entry entry;
    struct ikey first;

    for (uint32_t i = 0; i < view->count; i++) {
        block_entry_at(view, i, &e);
        if (e.ts == 0)
            return false;
    }
    entry = block_assemble(view, 0, lane->key);
    first = entry_ikey(&entry);
    return lane->last.ts == 0 || ikey_compare(&lane->last, &first) < 0;
}

static lsm_status read_data(struct lane *lane, const struct block_place *place)
{
    struct reading *r = &lane->reading;

    salvage_note_read(lane->losses, block_place_end(place) - place->offset);
    TRY(source_read_data(&r->source, place, &r->block));
    r->view = block_view_of(r->block->bytes);
    r->next = 0;
    if (is_next_data(lane, &r->view))
        return LSM_OK;
    block_unref(r->block);
    r->block = NULL;
    return lsm_fail(LSM_CORRUPT, "%s: block at offset %llu: not in order", r->name.text,
                    (unsigned long long)place->offset);
}

// The next block that verifies, telling what is passed over; `*found` is false at the end of the
// file.
static lsm_status find_block(struct lane *lane, bool *found, struct block_place *out)
{
    struct reading *r = &lane->reading;
    const uint64_t from = r->at;
    const lsm_status status = block_search_next(&r->search, from, found, out);

    if (status == LSM_OK)
        r->at = *found ? out->offset : r->size;
    if (r->at > from) {
        salvage_lose(lane->losses, r->name.text, from, r->at - from, "no block that verifies");
        r->has_gap = true;
    }
    return status;
}

// Without an index: behind the data come filter, references, properties and the index.
static lsm_status search_block(struct lane *lane, bool *found)
{
    struct reading *r = &lane->reading;
    struct block_place place;
    bool is_block;
    lsm_status status = find_block(lane, &is_block, &place);

    if (status != LSM_OK)
        TRY(lose_part(lane, r->at, r->size - r->at, status)); // it cannot even be read
    else if (is_block)
        status = read_data(lane, &place);
    if (salvage_is_stopped(status))
        return status;
    *found = status == LSM_OK && is_block;
    r->at = *found ? block_place_end(&place) : r->size;
    return LSM_OK;
}

static lsm_status next_block(struct lane *lane, bool *found)
{
    struct reading *r = &lane->reading;

    *found = false;
    if (r->index == NULL)
        return search_block(lane, found);
    while (!*found && r->index_next < r->index_view.count) {
        const struct block_place place = index_place_at(&r->index_view, r->index_next++);
        const lsm_status status = read_data(lane, &place);

        *found = status == LSM_OK;
        r->has_gap |= !*found;
        TRY(lose_part(lane, place.offset, block_place_end(&place) - place.offset, status));
    }
    return LSM_OK;
}

// Takes the next block of any table; `*found` is false behind the last.
static lsm_status advance(struct lane *lane, bool *found)
{
    for (*found = false; !*found;) {
        if (lane->reading.source.file == NULL) {
            if (lane->next_table == lane->count)
                return LSM_OK;
            TRY(open_table(lane));
            continue;
        }
        TRY(next_block(lane, found));
        if (*found) {
            close_gap(lane);
        } else {
            close_last_gap(lane);
            reading_release(&lane->reading);
        }
    }
    return LSM_OK;
}

static lsm_status lane_next(struct iter *it)
{
    struct lane *lane = lane_of(it);
    struct reading *r = &lane->reading;

    it->is_valid = false;
    if (r->block != NULL && r->next == r->view.count) {
        lane->last = entry_ikey(&it->entry);
        TRY(buf_assign(&lane->last_key, it->entry.key));
        lane->last.key = slice_of_buf(&lane->last_key);
        block_unref(r->block);
        r->block = NULL;
    }
    if (r->block == NULL) {
        bool found;

        TRY(advance(lane, &found));
        if (!found)
            return LSM_OK;
    }
    it->entry = block_assemble(&r->view, r->next++, lane->key);
    it->is_valid = true;
    return LSM_OK;
}

static lsm_status lane_first(struct iter *it)
{
    struct lane *lane = lane_of(it);

    reading_release(&lane->reading);
    lane->next_table = 0;
    lane->last = (struct ikey){.ts = 0};
    return lane_next(it);
}

static void lane_close(struct iter *it)
{
    struct lane *lane = lane_of(it);

    reading_release(&lane->reading);
    lsm_buf_free(&lane->last_key);
    mem_free(lane->key);
    mem_free(lane->separator);
    mem_free(lane);
}

lsm_status salvage_lane_new(const struct salvage_table *tables, size_t count,
                            struct decompressor_pool *decompressors, struct salvage_losses *losses,
                            struct iter **out)
{
    static const struct iter_ops ops = {
        .first = lane_first, .next = lane_next, .close = lane_close};
    struct lane *lane = mem_alloc_zeroed(1, sizeof *lane);
    uint8_t *key = mem_alloc(BLOCK_KEY_ROOM_MAX);
    uint8_t *separator = mem_alloc(BLOCK_KEY_ROOM_MAX);

    if (lane == NULL || key == NULL || separator == NULL) {
        mem_free(lane);
        mem_free(key);
        mem_free(separator);
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu tables", count);
    }
    *lane = (struct lane){.base.ops = &ops,
                          .tables = tables,
                          .count = count,
                          .decompressors = decompressors,
                          .losses = losses,
                          .key = key,
                          .separator = separator};
    *out = &lane->base;
    return LSM_OK;
}
