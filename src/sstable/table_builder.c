// table_builder.c -- entries to blocks to file.
//
// Bytes go through one buffer of WRITE_SIZE to the file, so that the file system
// sees few large writes, and are pushed towards the device every WRITEBACK_SIZE:
// the final sync then finds little left to do.

#include "sstable/table_builder.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "env/filename.h"
#include "sstable/block_builder.h"
#include "sstable/filter.h"
#include "sstable/layout.h"
#include "sstable/properties.h"
#include "sstable/references.h"

#define WRITE_SIZE     (1024 * 1024)
#define WRITEBACK_SIZE (4 * 1024 * 1024)

// The file and what has not reached it yet.
struct output {
    struct file *file;
    lsm_buf pending;
    uint64_t written;    // bytes of the file
    uint64_t pushed_out; // of them, handed to the device
};

struct table_builder {
    struct dir *dir;
    struct poison *poison;
    struct table_options options;
    struct filename name;

    struct output output;
    bool was_created; // the file, by this builder
    bool is_finished;
    size_t block_size;             // of the block being filled
    bool is_compressed;            // the same, by `compressor`
    struct compressor *compressor; // NULL: none has been needed yet
    lsm_buf payload;               // of the block being written

    struct block_builder block;
    struct block_builder index;
    struct filter_builder filter;
    struct references references;

    // The block written last, until its separator is known.
    bool has_closed_block;
    struct block_place closed_block;

    struct table_meta meta; // so far; its keys borrow from the next two
    lsm_buf smallest;
    lsm_buf largest;              // also the key added last
    struct properties properties; // so far, without its meta
};

static uint64_t output_at(const struct output *output)
{
    return output->written + output->pending.size;
}

static lsm_status output_flush(struct output *output)
{
    if (output->pending.size == 0)
        return LSM_OK;
    TRY(file_write_one(output->file, output->written, slice_of_buf(&output->pending)));
    output->written += output->pending.size;
    buf_clear(&output->pending);
    if (output->written - output->pushed_out >= WRITEBACK_SIZE) {
        file_writeback(output->file, output->pushed_out, output->written - output->pushed_out);
        output->pushed_out = output->written;
    }
    return LSM_OK;
}

static lsm_status output_append(struct output *output, lsm_slice bytes)
{
    if (output->pending.size + bytes.size > WRITE_SIZE)
        TRY(output_flush(output));
    return buf_append(&output->pending, bytes.data, bytes.size);
}

static lsm_status write_header(struct table_builder *b, const struct uuid *db_uuid)
{
    struct file_header header = {.kind = FILE_KIND_TABLE,
                                 .db_uuid = *db_uuid,
                                 .file_uuid = b->meta.uuid,
                                 .number = b->meta.id};
    uint8_t bytes[FILE_HEADER_SIZE];

    file_header_encode(&header, bytes);
    return output_append(&b->output, slice_make(bytes, sizeof bytes));
}

static lsm_status check_options(const struct table_options *o)
{
    if (o->block_size == 0 || o->block_size > LAYOUT_BLOCK_SIZE_MAX)
        return lsm_fail(LSM_INVALID, "table: block size %zu is not within 1 and %u", o->block_size,
                        LAYOUT_BLOCK_SIZE_MAX);
    if (o->compression < 0 || o->compression > 22)
        return lsm_fail(LSM_INVALID, "table: compression level %d is not within 0 and 22",
                        o->compression);
    if (!(o->filter_bits >= 0 && o->filter_bits <= 64))
        return lsm_fail(LSM_INVALID, "table: %g filter bits are not within 0 and 64",
                        o->filter_bits);
    return LSM_OK;
}

// For the next block.
static lsm_status use_block_options(struct table_builder *b, const struct table_options *options)
{
    if (options->compression > 0 && b->compressor == NULL)
        TRY(compressor_new(options->compression, &b->compressor));
    else if (options->compression > 0)
        compressor_set_level(b->compressor, options->compression);
    b->is_compressed = options->compression > 0;
    b->block_size = options->block_size;
    return LSM_OK;
}

lsm_status table_builder_new(struct dir *dir, uint64_t id, const struct uuid *db_uuid,
                             struct poison *poison, const struct table_options *options,
                             struct table_builder **out)
{
    CLEANUP(table_builder_freep) struct table_builder *b = NULL;

    TRY(check_options(options));
    b = mem_alloc_zeroed(1, sizeof *b);
    if (b == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table builder: %zu bytes", sizeof *b);
    b->dir = dir;
    b->poison = poison;
    b->options = *options;
    b->name = filename_of(FILENAME_TABLE, id);
    b->meta.id = id;
    b->meta.created_wall = clock_wall_ns(dir->env) / 1000000000;
    block_builder_init(&b->block);
    block_builder_init(&b->index);
    filter_builder_init(&b->filter);
    references_init(&b->references);
    TRY(use_block_options(b, options));
    TRY(buf_reserve(&b->output.pending, WRITE_SIZE));
    TRY(env_random(dir->env, b->meta.uuid.bytes, UUID_SIZE));
    TRY(file_open(dir, b->name.text, FILE_CREATE, &b->output.file));
    b->was_created = true;
    TRY(write_header(b, db_uuid));
    *out = MOVE(b);
    return LSM_OK;
}

// Writes `payload` as a block, compressed if that is wanted and worth it.
static lsm_status write_block(struct table_builder *b, lsm_slice payload, bool may_compress,
                              struct block_place *place)
{
    enum block_codec codec = CODEC_NONE;
    lsm_slice stored = payload;
    uint8_t trailer[LAYOUT_TRAILER_SIZE];
    uint64_t offset = output_at(&b->output);

    if (may_compress && b->is_compressed)
        TRY(compressor_run(b->compressor, payload, &codec, &stored));
    layout_trailer_encode(&b->meta.uuid, offset, stored, codec, (uint32_t)payload.size, trailer);
    TRY(output_append(&b->output, stored));
    TRY(output_append(&b->output, slice_make(trailer, sizeof trailer)));
    *place = (struct block_place){.offset = offset, .size = (uint32_t)stored.size};
    return LSM_OK;
}

// Ends the data block being filled, if it has entries.
static lsm_status close_block(struct table_builder *b)
{
    if (block_builder_count(&b->block) == 0)
        return LSM_OK;
    TRY(block_builder_encode(&b->block, &b->payload));
    TRY(write_block(b, slice_of_buf(&b->payload), true, &b->closed_block));
    b->has_closed_block = true;
    b->properties.block_count++;
    b->properties.data_raw_bytes += b->payload.size;
    block_builder_clear(&b->block);
    return LSM_OK;
}

// The shortest key that is not less than `last` and less than `next`, two different
// keys of one keyspace; or `last` where none is shorter.
static lsm_slice shortest_separator(lsm_slice last, lsm_slice next)
{
    const uint8_t *a = last.data;
    const uint8_t *b = next.data;
    size_t common = 0;

    while (common < last.size && common < next.size && a[common] == b[common])
        common++;
    // One byte more of `next` is greater than `last`, and less than `next` only
    // if `next` goes on.
    if (common + 1 < next.size && common + 1 < last.size)
        return slice_make(b, common + 1);
    return last;
}

// Names the closed block in the index, under a place in the order of entries that
// is not before its last entry and before `next`, the first entry behind it, or
// NULL. Between different keys the timestamp is 0: the place behind all versions.
static lsm_status index_closed_block(struct table_builder *b, const struct entry *next)
{
    struct entry separator = {.kind = ENTRY_VALUE, .keyspace = b->meta.largest.keyspace};
    uint8_t place[2 * VARINT_SIZE_MAX];
    uint8_t *end = put_varint(place, b->closed_block.offset);

    separator.key = b->meta.largest.key;
    if (next != NULL && next->keyspace == separator.keyspace) {
        if (slice_equal(separator.key, next->key))
            separator.ts = b->meta.largest.ts;
        else
            separator.key = shortest_separator(separator.key, next->key);
    }
    end = put_varint(end, b->closed_block.size);
    separator.value = slice_make(place, (size_t)(end - place));
    b->has_closed_block = false;
    return block_builder_add(&b->index, &separator);
}

static lsm_status check_entry(const struct table_builder *b, const struct entry *entry)
{
    const struct ikey place = entry_ikey(entry);

    if (entry->key.size > LAYOUT_KEY_SIZE_MAX)
        return lsm_fail(LSM_INVALID, "%s: a key of %zu bytes", b->name.text, entry->key.size);
    if (entry->value.size > LAYOUT_VALUE_SIZE_MAX ||
        (entry->kind == ENTRY_DELETE && entry->value.size != 0))
        return lsm_fail(LSM_INVALID, "%s: a value of %zu bytes for an entry of kind %u",
                        b->name.text, entry->value.size, entry->kind);
    if (!entry_kind_is_known(entry->kind))
        return lsm_fail(LSM_INVALID, "%s: an entry of unknown kind %u", b->name.text, entry->kind);
    if (b->meta.entry_count > 0 && ikey_compare(&b->meta.largest, &place) >= 0)
        return lsm_fail(LSM_INVALID, "%s: entries out of order", b->name.text);
    return LSM_OK;
}

static lsm_status note_pointer(struct table_builder *b, const struct entry *entry)
{
    struct value_pointer pointer;

    TRY(pointer_decode(entry->value, &pointer));
    return references_add(&b->references, &pointer);
}

// Makes `entry` the bound `bound`, whose key is kept in `key`.
static lsm_status set_bound(struct ikey *bound, lsm_buf *key, const struct entry *entry)
{
    TRY(buf_assign(key, entry->key));
    *bound = entry_ikey(entry);
    bound->key = slice_of_buf(key);
    return LSM_OK;
}

static bool is_new_key(const struct table_builder *b, const struct entry *entry)
{
    return b->meta.entry_count == 0 || b->meta.largest.keyspace != entry->keyspace ||
           !slice_equal(b->meta.largest.key, entry->key);
}

// Whether `entry` has to start a block: one of another keyspace, or one that would
// make the entries there longer than its own size explains, by sharing less of
// their prefix. So no block exceeds the option by more than one entry.
static bool starts_block(const struct table_builder *b, const struct entry *entry)
{
    size_t own = entry->key.size + entry->value.size + LAYOUT_ENTRY_OVERHEAD_MAX;

    if (block_builder_count(&b->block) == 0)
        return false;
    return b->meta.largest.keyspace != entry->keyspace ||
           block_builder_size_with(&b->block, entry) > b->block_size + own;
}

lsm_status table_builder_set_blocks(struct table_builder *b, const struct table_options *options)
{
    TRY(check_options(options));
    TRY(close_block(b));
    return use_block_options(b, options);
}

lsm_status table_builder_add(struct table_builder *b, const struct entry *entry)
{
    TRY(check_entry(b, entry));
    if (starts_block(b, entry))
        TRY(close_block(b));
    if (b->has_closed_block)
        TRY(index_closed_block(b, entry));
    if (is_new_key(b, entry)) {
        b->properties.key_count++;
        if (b->options.filter_bits > 0)
            TRY(filter_builder_add(&b->filter, key_hash(entry->keyspace, entry->key)));
    }
    if (entry->kind == ENTRY_POINTER)
        TRY(note_pointer(b, entry));
    TRY(block_builder_add(&b->block, entry));
    if (b->meta.entry_count == 0)
        TRY(set_bound(&b->meta.smallest, &b->smallest, entry));
    TRY(set_bound(&b->meta.largest, &b->largest, entry));
    table_meta_count(&b->meta, entry);
    return block_builder_size(&b->block) >= b->block_size ? close_block(b) : LSM_OK;
}

uint64_t table_builder_size(const struct table_builder *b)
{
    size_t block = block_builder_count(&b->block) == 0 ? 0 : block_builder_size(&b->block);

    return output_at(&b->output) + block + b->index.bytes.size +
           (uint64_t)((double)b->filter.count * b->options.filter_bits / 8);
}

size_t table_builder_memory(const struct table_builder *b)
{
    return b->filter.count * sizeof *b->filter.hashes +
           b->references.count * sizeof *b->references.items + block_builder_memory(&b->index);
}

static lsm_status write_filter(struct table_builder *b, struct footer *footer)
{
    struct block_place place;

    TRY(filter_builder_encode(&b->filter, b->options.filter_bits, &b->payload));
    TRY(write_block(b, slice_of_buf(&b->payload), false, &place));
    footer->filter_offset = place.offset;
    return LSM_OK;
}

static lsm_status write_references(struct table_builder *b, struct footer *footer)
{
    const uint64_t raw_max = LAYOUT_REFERENCES_RATIO_MAX * output_at(&b->output);
    struct block_place place;

    TRY(references_encode(&b->references, &b->payload));
    TRY(write_block(b, slice_of_buf(&b->payload), b->payload.size <= raw_max, &place));
    footer->references_offset = place.offset;
    return LSM_OK;
}

// The properties hold the size of the whole file, so the index, which lies behind
// them, is encoded first.
static lsm_status write_properties_and_index(struct table_builder *b, const struct table_meta *meta,
                                             struct footer *footer)
{
    CLEANUP(lsm_buf_free) lsm_buf index = {.data = NULL};
    struct table_meta own = *meta;
    struct properties properties = b->properties;
    struct block_place place;

    properties.meta = &own;
    TRY(block_builder_encode(&b->index, &index));
    TRY(properties_encode(&properties, &b->payload));
    own.size = output_at(&b->output) + b->payload.size + index.size + 2 * LAYOUT_TRAILER_SIZE +
               LAYOUT_FOOTER_SIZE;
    TRY(properties_encode(&properties, &b->payload));
    TRY(write_block(b, slice_of_buf(&b->payload), false, &place));
    footer->properties_offset = place.offset;
    TRY(write_block(b, slice_of_buf(&index), false, &place));
    footer->index_offset = place.offset;
    footer->offset = own.size - LAYOUT_FOOTER_SIZE;
    assert(footer->offset == output_at(&b->output));
    return LSM_OK;
}

// Writes all that follows the data blocks.
static lsm_status write_end(struct table_builder *b, struct table_meta *meta)
{
    struct footer footer = {.entry_count = meta->entry_count,
                            .block_count = b->properties.block_count};
    uint8_t bytes[LAYOUT_FOOTER_SIZE];

    TRY(write_filter(b, &footer));
    TRY(write_references(b, &footer));
    TRY(write_properties_and_index(b, meta, &footer));
    layout_footer_encode(&meta->uuid, &footer, bytes);
    TRY(output_append(&b->output, slice_make(bytes, sizeof bytes)));
    meta->size = output_at(&b->output);
    return output_flush(&b->output);
}

static lsm_status sync_and_close(struct table_builder *b)
{
    lsm_status status;

    TRY(file_sync(b->output.file));
    status = file_close(MOVE(b->output.file));
    return status == LSM_OK ? LSM_OK : poison_set(b->poison, status);
}

lsm_status table_builder_finish(struct table_builder *b, struct table_meta **out)
{
    CLEANUP(mem_freep) struct segment_reference *references = NULL;
    CLEANUP(table_meta_freep) struct table_meta *meta = NULL;

    assert(b->meta.entry_count > 0);
    TRY(close_block(b));
    TRY(index_closed_block(b, NULL));
    references_sort(&b->references);
    TRY(references_sum(&b->references, &references, &b->meta.reference_count));
    b->meta.references = references;
    b->meta.smallest_head = slice_head(b->meta.smallest.key);
    b->meta.largest_head = slice_head(b->meta.largest.key);
    b->properties.block_size = b->options.block_size;
    b->properties.compression = (uint32_t)b->options.compression;
    b->properties.filter_millibits = (uint32_t)lround(b->options.filter_bits * 1000);
    TRY(table_meta_copy(&b->meta, &meta));
    TRY(write_end(b, meta));
    TRY(sync_and_close(b));
    b->is_finished = true;
    *out = MOVE(meta);
    return LSM_OK;
}

// A file that was begun and not finished: how its close ends no longer matters.
// Poison keeps every file, this one too; the next open removes it as an orphan.
static void discard_file(struct table_builder *b)
{
    file_close_quietly(b->output.file);
    if (!poison_is_set(b->poison))
        (void)file_unlink(b->dir, b->name.text);
}

void table_builder_free(struct table_builder *b)
{
    if (b == NULL)
        return;
    if (b->was_created && !b->is_finished)
        discard_file(b);
    lsm_buf_free(&b->output.pending);
    compressor_free(b->compressor);
    lsm_buf_free(&b->payload);
    block_builder_release(&b->block);
    block_builder_release(&b->index);
    filter_builder_release(&b->filter);
    references_release(&b->references);
    lsm_buf_free(&b->smallest);
    lsm_buf_free(&b->largest);
    mem_free(b);
}

void table_builder_freep(struct table_builder **b)
{
    table_builder_free(*b);
}
