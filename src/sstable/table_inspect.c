// table_inspect.c -- a table file in words, as far as it is whole.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/words.h"
#include "sstable/table_core.h"

#define LINE_SIZE     512
#define KEY_SHOWN_MAX 40 // bytes
#define KEY_TEXT_SIZE (4 * KEY_SHOWN_MAX + 16)

struct inspection {
    struct table_source source;
    struct footer footer;
    table_print_fn print;
    void *ctx;
    struct failure first; // failure met
    uint8_t *key;         // room for one
};

static __attribute__((format(printf, 2, 3))) void say(struct inspection *in, const char *format,
                                                      ...)
{
    char line[LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments); // too long: cut
    va_end(arguments);
    in->print(in->ctx, line);
}

// Tells of a failure and keeps the first one; the inspection goes on.
static void note(struct inspection *in, lsm_status status)
{
    if (in->first.status == LSM_OK)
        failure_capture(&in->first, status);
    say(in, "! %s", lsm_errmsg());
}

// Printable bytes as they are, others as \xNN.
static void format_key(lsm_slice key, char *text)
{
    const uint8_t *bytes = key.data;
    char *at = text;

    for (size_t i = 0; i < key.size && i < KEY_SHOWN_MAX; i++) {
        bool is_plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\';

        at += sprintf(at, is_plain ? "%c" : "\\x%02x", bytes[i]);
    }
    if (key.size > KEY_SHOWN_MAX)
        at += sprintf(at, "...");
    *at = '\0';
}

static void say_bound(struct inspection *in, const char *name, const struct ikey *bound)
{
    char text[KEY_TEXT_SIZE];

    format_key(bound->key, text);
    say(in, "%s: keyspace %" PRIu32 " \"%s\" at %" PRIu64, name, bound->keyspace, text, bound->ts);
}

static void say_properties(struct inspection *in, const struct properties *p)
{
    const struct table_meta *m = p->meta;

    say(in,
        "entries: %" PRIu64 " of %" PRIu64 " key%s, %" PRIu64 " tombstone%s, %" PRIu64
        " byte%s of keys and values",
        m->entry_count, p->key_count, plural(p->key_count), m->tombstone_count,
        plural(m->tombstone_count), m->raw_bytes, plural(m->raw_bytes));
    say_bound(in, "smallest", &m->smallest);
    say_bound(in, "largest", &m->largest);
    say(in, "timestamps: %" PRIu64 " to %" PRIu64, m->ts_min, m->ts_max);
    if (m->expiry_min != 0)
        say(in, "expiry: %s to %s", utc_text(m->expiry_min).text, utc_text(m->expiry_max).text);
    say(in, "created: %s", utc_text(m->created_wall).text);
    say(in, "data: %" PRIu64 " block%s, %" PRIu64 " byte%s before compression", p->block_count,
        plural(p->block_count), p->data_raw_bytes, plural(p->data_raw_bytes));
    say(in, "built with: block size %" PRIu64 ", compression %" PRIu32 ", %g filter bits per key",
        p->block_size, p->compression, p->filter_millibits / 1000.0);
    for (size_t i = 0; i < m->reference_count; i++)
        say(in, "points to segment %" PRIu32 ": %" PRIu64 " value%s, %" PRIu64 " byte%s",
            m->references[i].segment, m->references[i].count, plural(m->references[i].count),
            m->references[i].bytes, plural(m->references[i].bytes));
}

static void inspect_properties(struct inspection *in)
{
    CLEANUP(block_unrefp) struct block *references = NULL;
    struct properties properties;
    lsm_status status = source_read_properties(&in->source, &in->footer, &properties);

    if (status != LSM_OK) {
        note(in, status);
        return;
    }
    say_properties(in, &properties);
    status = source_read_references(&in->source, &in->footer, properties.meta, &references);
    if (status != LSM_OK)
        note(in, status);
    properties_release(&properties);
}

static void inspect_filter(struct inspection *in)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct filter filter;
    lsm_status status = source_read_filter(&in->source, &in->footer, &block, &filter);

    if (status != LSM_OK)
        note(in, status);
    else
        say(in, "filter: %" PRIu64 " line%s of %d bytes, %" PRIu64 " key%s, %" PRIu32 " probe%s",
            filter.line_count, plural(filter.line_count), FILTER_LINE_SIZE, filter.key_count,
            plural(filter.key_count), filter.probes, plural(filter.probes));
}

static void inspect_data_block(struct inspection *in, const struct block_place *place)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    lsm_status status = source_read_data(&in->source, place, &block);
    char text[KEY_TEXT_SIZE];
    struct block_view view;
    struct entry first;

    if (status != LSM_OK) {
        note(in, status);
        return;
    }
    view = block_view_of(block->bytes);
    first = block_assemble(&view, 0, in->key);
    format_key(first.key, text);
    say(in,
        "block at %" PRIu64 ": %" PRIu32 " bytes stored, %zu raw, %" PRIu32 " %s, keyspace %" PRIu32
        " from \"%s\"",
        place->offset, place->size, block->size, view.count, view.count == 1 ? "entry" : "entries",
        first.keyspace, text);
}

static void inspect_blocks(struct inspection *in)
{
    CLEANUP(block_unrefp) struct block *index = NULL;
    struct block_view view;
    lsm_status status = source_read_index(&in->source, &in->footer, &index);

    if (status != LSM_OK) {
        note(in, status);
        return;
    }
    view = block_view_of(index->bytes);
    say(in, "index: %" PRIu32 " block%s, %zu bytes", view.count, plural(view.count), index->size);
    for (uint32_t i = 0; i < view.count; i++) {
        struct block_place place = index_place_at(&view, i);

        inspect_data_block(in, &place);
    }
}

// Whatever the header says is believed, but for its checksum.
static lsm_status inspect_header(struct inspection *in)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    char uuid[UUID_TEXT_SIZE];
    struct file_header header;

    TRY(file_read_exact(in->source.file, 0, bytes, sizeof bytes));
    TRY(file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_TABLE, in->source.file->name,
                           &header));
    uuid_format(&header.db_uuid, uuid);
    say(in, "table %" PRIu64 " of database %s", header.number, uuid);
    uuid_format(&header.file_uuid, uuid);
    say(in, "uuid: %s", uuid);
    in->source.uuid = header.file_uuid;
    return LSM_OK;
}

// Without header and footer there is no telling where anything lies.
static lsm_status inspect_file(struct inspection *in)
{
    uint64_t size;

    TRY(file_size(in->source.file, &size));
    say(in, "file: %s, %" PRIu64 " bytes", in->source.file->name, size);
    TRY(inspect_header(in));
    TRY(layout_footer_read(in->source.file, size, &in->source.uuid, &in->footer));
    inspect_properties(in);
    inspect_filter(in);
    inspect_blocks(in);
    return failure_raise(&in->first);
}

lsm_status table_inspect(struct dir *dir, const char *name, table_print_fn print, void *ctx)
{
    CLEANUP(mem_freep) uint8_t *key = mem_alloc(BLOCK_KEY_ROOM_MAX);
    struct decompressor_pool decompressors;
    struct inspection in = {.print = print, .ctx = ctx, .key = key};
    lsm_status status;

    if (key == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table: no memory to inspect it");
    TRY(file_open(dir, name, FILE_READ, &in.source.file));
    decompressor_pool_init(&decompressors);
    in.source.decompressors = &decompressors;
    status = inspect_file(&in);
    decompressor_pool_release(&decompressors);
    file_close_quietly(in.source.file);
    return status;
}
