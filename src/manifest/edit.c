// edit.c -- edits in memory and as bytes.
//
// An edit is a sequence of fields, each a tag and what the tag calls for, tags not
// decreasing. What is zero, or false, is left out.
//
//   tag  field                                 content
//     1  flags                                 varint: bit 0 snapshot, bit 1 clean
//     2  a table removed, any number           u8 level, varint id
//     3  a table added, any number             u8 level, table meta
//     4  the log changes: where replay starts  varint segment, varint offset
//     5  a segment of the log, any number      link
//     6  a segment that left it, any number    link
//     7  a change of a keyspace, any number    u8 kind, varint id, then
//          create                              prefixed name, options
//          alter                               options
//          drop                                varint timestamp
//     8  last timestamp                        varint
//     9  last wall clock, nanoseconds          varint
//    10  next number of a file                 varint
//    11  next id of a keyspace                 varint
//    12  durable mark of the log               varint segment, varint offset
//
//   link     varint id, 16 bytes uuid, varint final size
//   options  varint each: value threshold, versions to keep, compression, ttl seconds

#include "manifest/edit.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/coding.h"

enum edit_tag {
    TAG_FLAGS = 1,
    TAG_REMOVED = 2,
    TAG_ADDED = 3,
    TAG_REPLAY = 4,
    TAG_CHAIN = 5,
    TAG_LEFT = 6,
    TAG_KEYSPACE = 7,
    TAG_LAST_TS = 8,
    TAG_LAST_WALL = 9,
    TAG_NEXT_FILE = 10,
    TAG_NEXT_KEYSPACE = 11,
    TAG_MARK = 12,
};

enum edit_flags { FLAG_SNAPSHOT = 1, FLAG_CLEAN = 2, FLAGS_KNOWN = 3 };

void edit_init(struct edit *edit)
{
    *edit = (struct edit){.number = 0};
}

void edit_release(struct edit *edit)
{
    for (size_t i = 0; i < edit->added_count; i++)
        table_meta_free(edit->added[i].meta);
    for (size_t i = 0; i < edit->keyspace_count; i++)
        mem_free((void *)edit->keyspaces[i].name.data);
    mem_free(edit->removed);
    mem_free(edit->added);
    mem_free(edit->chain);
    mem_free(edit->left);
    mem_free(edit->keyspaces);
    edit_init(edit);
}

// Makes room for one more item behind `count`. The arrays know no capacity: they
// hold a power of two of items, and grow when the count is one.
static lsm_status grow(void *array_pointer, size_t count, size_t item_size)
{
    void **array = array_pointer;
    void *grown;

    if (*array != NULL && (count & (count - 1)) != 0)
        return LSM_OK;
    grown = mem_resize_array(*array, count == 0 ? 1 : 2 * count, item_size);
    if (grown == NULL)
        return lsm_fail(LSM_NO_MEMORY, "edit: %zu items of %zu bytes", 2 * count, item_size);
    *array = grown;
    return LSM_OK;
}

lsm_status edit_add_table(struct edit *edit, unsigned level, struct table_meta *meta)
{
    assert(level < LEVEL_COUNT);
    TRY(grow(&edit->added, edit->added_count, sizeof *edit->added));
    edit->added[edit->added_count++] =
        (struct table_change){.level = (uint8_t)level, .id = meta->id, .meta = meta};
    return LSM_OK;
}

lsm_status edit_remove_table(struct edit *edit, unsigned level, uint64_t id)
{
    assert(level < LEVEL_COUNT);
    TRY(grow(&edit->removed, edit->removed_count, sizeof *edit->removed));
    edit->removed[edit->removed_count++] = (struct table_change){.level = (uint8_t)level, .id = id};
    return LSM_OK;
}

lsm_status edit_change_keyspace(struct edit *edit, const struct keyspace_change *change)
{
    struct keyspace_change copy = *change;

    TRY(grow(&edit->keyspaces, edit->keyspace_count, sizeof *edit->keyspaces));
    copy.name = slice_make(NULL, 0);
    if (change->kind == KEYSPACE_CREATE) {
        void *name = mem_alloc(change->name.size);

        if (name == NULL)
            return lsm_fail(LSM_NO_MEMORY, "edit: %zu bytes", change->name.size);
        if (change->name.size != 0)
            memcpy(name, change->name.data, change->name.size);
        copy.name = slice_make(name, change->name.size);
    }
    edit->keyspaces[edit->keyspace_count++] = copy;
    return LSM_OK;
}

lsm_status edit_add_chain(struct edit *edit, const struct log_link *link)
{
    TRY(grow(&edit->chain, edit->chain_count, sizeof *edit->chain));
    edit->chain[edit->chain_count++] = *link;
    return LSM_OK;
}

lsm_status edit_add_left(struct edit *edit, const struct log_link *link)
{
    TRY(grow(&edit->left, edit->left_count, sizeof *edit->left));
    edit->left[edit->left_count++] = *link;
    return LSM_OK;
}

lsm_status edit_check_chain(const struct edit *edit)
{
    if (!edit->has_log)
        return LSM_OK;
    if (edit->chain_count == 0 || edit->chain[0].id != edit->replay.segment)
        return lsm_fail(LSM_CORRUPT, "edit: the log does not start at segment %u, as replay does",
                        edit->replay.segment);
    for (size_t i = 1; i < edit->chain_count; i++) {
        if (edit->chain[i].id <= edit->chain[i - 1].id)
            return lsm_fail(LSM_CORRUPT, "edit: segment %u of the log comes after %u",
                            edit->chain[i].id, edit->chain[i - 1].id);
    }
    return LSM_OK;
}

// --- encoding ---

static lsm_status put_number(lsm_buf *to, enum edit_tag tag, uint64_t value)
{
    if (value == 0)
        return LSM_OK;
    TRY(buf_append_u8(to, (uint8_t)tag));
    return buf_append_varint(to, value);
}

static lsm_status put_position(lsm_buf *to, enum edit_tag tag, struct log_position position)
{
    TRY(buf_append_u8(to, (uint8_t)tag));
    TRY(buf_append_varint(to, position.segment));
    return buf_append_varint(to, position.offset);
}

static lsm_status put_links(lsm_buf *to, enum edit_tag tag, const struct log_link *links,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        TRY(buf_append_u8(to, (uint8_t)tag));
        TRY(buf_append_varint(to, links[i].id));
        TRY(buf_append(to, links[i].uuid.bytes, UUID_SIZE));
        TRY(buf_append_varint(to, links[i].final_size));
    }
    return LSM_OK;
}

static lsm_status put_tables(lsm_buf *to, const struct edit *edit)
{
    for (size_t i = 0; i < edit->removed_count; i++) {
        TRY(buf_append_u8(to, TAG_REMOVED));
        TRY(buf_append_u8(to, edit->removed[i].level));
        TRY(buf_append_varint(to, edit->removed[i].id));
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        TRY(buf_append_u8(to, TAG_ADDED));
        TRY(buf_append_u8(to, edit->added[i].level));
        TRY(table_meta_encode(edit->added[i].meta, to));
    }
    return LSM_OK;
}

static lsm_status put_options(lsm_buf *to, const struct keyspace_options *options)
{
    TRY(buf_append_varint(to, options->value_threshold));
    TRY(buf_append_varint(to, options->versions_to_keep));
    TRY(buf_append_varint(to, options->compression));
    return buf_append_varint(to, options->ttl_seconds);
}

static lsm_status put_keyspace(lsm_buf *to, const struct keyspace_change *change)
{
    TRY(buf_append_u8(to, TAG_KEYSPACE));
    TRY(buf_append_u8(to, (uint8_t)change->kind));
    TRY(buf_append_varint(to, change->id));
    if (change->kind == KEYSPACE_DROP)
        return buf_append_varint(to, change->ts);
    if (change->kind == KEYSPACE_CREATE)
        TRY(buf_append_prefixed(to, change->name));
    return put_options(to, &change->options);
}

lsm_status edit_encode(const struct edit *edit, lsm_buf *to)
{
    unsigned flags = (edit->is_snapshot ? FLAG_SNAPSHOT : 0) | (edit->is_clean ? FLAG_CLEAN : 0);

    TRY(put_number(to, TAG_FLAGS, flags));
    TRY(put_tables(to, edit));
    if (edit->has_log) {
        TRY(put_position(to, TAG_REPLAY, edit->replay));
        TRY(put_links(to, TAG_CHAIN, edit->chain, edit->chain_count));
    }
    TRY(put_links(to, TAG_LEFT, edit->left, edit->left_count));
    for (size_t i = 0; i < edit->keyspace_count; i++)
        TRY(put_keyspace(to, &edit->keyspaces[i]));
    TRY(put_number(to, TAG_LAST_TS, edit->last_ts));
    TRY(put_number(to, TAG_LAST_WALL, edit->last_wall_ns));
    TRY(put_number(to, TAG_NEXT_FILE, edit->next_file_id));
    TRY(put_number(to, TAG_NEXT_KEYSPACE, edit->next_keyspace_id));
    if (edit->mark.segment != 0)
        TRY(put_position(to, TAG_MARK, edit->mark));
    return LSM_OK;
}

// --- decoding ---

static lsm_status malformed(const char *what)
{
    return lsm_fail(LSM_CORRUPT, "edit: malformed %s", what);
}

static struct log_position read_position(struct reader *r)
{
    struct log_position position;

    position.segment = read_varint32(r);
    position.offset = read_varint64(r);
    return position;
}

static lsm_status read_link(struct reader *r, struct log_link *link)
{
    lsm_slice uuid;

    link->id = read_varint32(r);
    uuid = read_bytes(r, UUID_SIZE);
    link->final_size = read_varint64(r);
    if (!reader_ok(r) || link->id == 0)
        return malformed("segment of the log");
    memcpy(link->uuid.bytes, uuid.data, UUID_SIZE);
    return LSM_OK;
}

static lsm_status read_removed(struct reader *r, struct edit *edit)
{
    unsigned level = read_u8(r);
    uint64_t id = read_varint64(r);

    if (!reader_ok(r) || level >= LEVEL_COUNT)
        return malformed("removed table");
    return edit_remove_table(edit, level, id);
}

static lsm_status read_added(struct reader *r, struct edit *edit)
{
    CLEANUP(table_meta_freep) struct table_meta *meta = NULL;
    unsigned level = read_u8(r);

    if (!reader_ok(r) || level >= LEVEL_COUNT)
        return malformed("added table");
    TRY(table_meta_decode(r, &meta));
    TRY(edit_add_table(edit, level, meta));
    meta = NULL; // the edit's now
    return LSM_OK;
}

static void read_options(struct reader *r, struct keyspace_options *options)
{
    options->value_threshold = read_varint32(r);
    options->versions_to_keep = read_varint32(r);
    options->compression = read_varint32(r);
    options->ttl_seconds = read_varint64(r);
}

static bool options_are_good(const struct keyspace_options *options)
{
    return options->compression <= KEYSPACE_COMPRESSION_MAX ||
           options->compression == KEYSPACE_INHERIT;
}

static lsm_status read_keyspace(struct reader *r, struct edit *edit)
{
    struct keyspace_change change = {.kind = read_u8(r)};

    change.id = read_varint32(r);
    if (change.kind == KEYSPACE_CREATE)
        change.name = read_prefixed(r);
    if (change.kind == KEYSPACE_CREATE || change.kind == KEYSPACE_ALTER)
        read_options(r, &change.options);
    else if (change.kind == KEYSPACE_DROP)
        change.ts = read_varint64(r);
    else
        return malformed("change of a keyspace");
    if (!reader_ok(r) || change.id == 0)
        return malformed("change of a keyspace");
    if (change.kind == KEYSPACE_CREATE &&
        (change.name.size == 0 || change.name.size > KEYSPACE_NAME_SIZE_MAX))
        return malformed("name of a keyspace");
    if (!options_are_good(&change.options))
        return malformed("options of a keyspace");
    return edit_change_keyspace(edit, &change);
}

static lsm_status read_log_link(struct reader *r, enum edit_tag tag, struct edit *edit)
{
    struct log_link link;

    TRY(read_link(r, &link));
    if (tag == TAG_LEFT)
        return edit_add_left(edit, &link);
    if (!edit->has_log)
        return malformed("log: no replay position");
    return edit_add_chain(edit, &link);
}

static lsm_status read_flags(struct reader *r, struct edit *edit)
{
    uint64_t flags = read_varint64(r);

    if (!reader_ok(r) || (flags & ~(uint64_t)FLAGS_KNOWN) != 0)
        return malformed("flags");
    edit->is_snapshot = (flags & FLAG_SNAPSHOT) != 0;
    edit->is_clean = (flags & FLAG_CLEAN) != 0;
    return LSM_OK;
}

// What follows `tag`; an overrun in a plain number is left to the caller.
static lsm_status read_field(struct reader *r, unsigned tag, struct edit *edit)
{
    switch (tag) {
    case TAG_FLAGS:
        return read_flags(r, edit);
    case TAG_REMOVED:
        return read_removed(r, edit);
    case TAG_ADDED:
        return read_added(r, edit);
    case TAG_REPLAY:
        edit->has_log = true;
        edit->replay = read_position(r);
        return LSM_OK;
    case TAG_CHAIN:
    case TAG_LEFT:
        return read_log_link(r, tag, edit);
    case TAG_KEYSPACE:
        return read_keyspace(r, edit);
    case TAG_LAST_TS:
        edit->last_ts = read_varint64(r);
        return LSM_OK;
    case TAG_LAST_WALL:
        edit->last_wall_ns = read_varint64(r);
        return LSM_OK;
    case TAG_NEXT_FILE:
        edit->next_file_id = read_varint64(r);
        return LSM_OK;
    case TAG_NEXT_KEYSPACE:
        edit->next_keyspace_id = read_varint32(r);
        return LSM_OK;
    case TAG_MARK:
        edit->mark = read_position(r);
        return LSM_OK;
    default:
        return lsm_fail(LSM_CORRUPT, "edit: unknown field %u", tag);
    }
}

static bool tag_repeats(unsigned tag)
{
    return tag == TAG_REMOVED || tag == TAG_ADDED || tag == TAG_CHAIN || tag == TAG_LEFT ||
           tag == TAG_KEYSPACE;
}

lsm_status edit_decode(lsm_slice bytes, struct edit *out)
{
    CLEANUP(edit_release) struct edit edit;
    struct reader r = reader_over(bytes);
    unsigned last_tag = 0;

    edit_init(&edit);
    while (reader_left(&r) > 0) {
        unsigned tag = read_u8(&r);

        if (tag < last_tag || (tag == last_tag && !tag_repeats(tag)))
            return malformed("order of fields");
        TRY(read_field(&r, tag, &edit));
        if (!reader_ok(&r))
            return malformed("number");
        last_tag = tag;
    }
    *out = edit;
    edit_init(&edit); // given away
    return LSM_OK;
}
