// frame.c -- encoder and decoder of the log's frames.

#include "vlog/frame.h"

#include <assert.h>

#include "base/alloc.h"

#define AT_CHECKSUM     0
#define AT_TYPE         4
#define AT_BODY_SIZE    8
#define AT_ENTRIES_SIZE 16
#define AT_SEQUENCE     24
#define AT_TS           32
#define AT_WALL_NS      40
#define AT_ENTRY_COUNT  48
#define AT_BODY_CRC     52
#define AT_MARK_OFFSET  56
#define AT_MARK_SEGMENT 64
#define AT_EDIT_NUMBER  72

// No file is larger, and sums of a few sizes below it do not overflow.
#define BODY_SIZE_MAX (1ull << 60)

#define ENTRY_KIND_MASK  0x0F
#define ENTRY_USER_BYTE  0x10
#define ENTRY_EXPIRY     0x20
#define ENTRY_FLAGS_MASK (ENTRY_USER_BYTE | ENTRY_EXPIRY)

// Flags, user byte, and at most five varints: keyspace, key size, expiry and two sizes.
#define ENTRY_HEAD_SIZE_MAX (2 + 5 * VARINT_SIZE_MAX)
// Flags, keyspace, and two bytes of key size or key: a tombstone.
#define ENTRY_SIZE_MIN 4

static uint32_t header_crc(const uint8_t *bytes, const struct uuid *uuid, uint64_t offset)
{
    uint8_t place[sizeof offset];
    uint32_t crc = crc32c(0, uuid->bytes, UUID_SIZE);

    put_u64(place, offset);
    crc = crc32c(crc, place, sizeof place);
    return crc32c(crc, bytes + AT_TYPE, FRAME_HEADER_SIZE - AT_TYPE);
}

void frame_header_encode(const struct frame_header *header, const struct uuid *uuid,
                         uint64_t offset, uint8_t *to)
{
    assert(offset % FRAME_ALIGNMENT == 0);
    assert(header->entries_size <= header->body_size);
    memset(to, 0, FRAME_HEADER_SIZE);
    to[AT_TYPE] = (uint8_t)header->type;
    put_u64(to + AT_BODY_SIZE, header->body_size);
    put_u64(to + AT_ENTRIES_SIZE, header->entries_size);
    put_u64(to + AT_SEQUENCE, header->sequence);
    put_u64(to + AT_TS, header->ts);
    put_u64(to + AT_WALL_NS, header->wall_ns);
    put_u32(to + AT_ENTRY_COUNT, header->entry_count);
    put_u32(to + AT_BODY_CRC, header->body_crc);
    put_u64(to + AT_MARK_OFFSET, header->mark.offset);
    put_u32(to + AT_MARK_SEGMENT, header->mark.segment);
    put_u64(to + AT_EDIT_NUMBER, header->edit_number);
    put_u32(to + AT_CHECKSUM, header_crc(to, uuid, offset));
}

bool frame_header_decode(const uint8_t *bytes, const struct uuid *uuid, uint64_t offset,
                         struct frame_header *out)
{
    struct frame_header header;

    if (get_u32(bytes + AT_CHECKSUM) != header_crc(bytes, uuid, offset))
        return false;
    header.type = bytes[AT_TYPE];
    header.body_size = get_u64(bytes + AT_BODY_SIZE);
    header.entries_size = get_u64(bytes + AT_ENTRIES_SIZE);
    header.sequence = get_u64(bytes + AT_SEQUENCE);
    header.ts = get_u64(bytes + AT_TS);
    header.wall_ns = get_u64(bytes + AT_WALL_NS);
    header.entry_count = get_u32(bytes + AT_ENTRY_COUNT);
    header.body_crc = get_u32(bytes + AT_BODY_CRC);
    header.mark.offset = get_u64(bytes + AT_MARK_OFFSET);
    header.mark.segment = get_u32(bytes + AT_MARK_SEGMENT);
    header.edit_number = get_u64(bytes + AT_EDIT_NUMBER);
    // Memory is taken for so many entries before they are read.
    if (header.body_size > BODY_SIZE_MAX || header.entries_size > header.body_size ||
        header.entry_count > header.entries_size / ENTRY_SIZE_MIN)
        return false;
    *out = header;
    return true;
}

void frame_link_encode(const struct frame_link *link, uint8_t *to)
{
    put_u32(to, link->segment);
    memcpy(to + 4, link->uuid.bytes, UUID_SIZE);
    put_u64(to + 4 + UUID_SIZE, link->final_size);
}

bool frame_link_decode(lsm_slice body, struct frame_link *out)
{
    const uint8_t *at = body.data;

    if (body.size != FRAME_LINK_BODY_SIZE)
        return false;
    out->segment = get_u32(at);
    memcpy(out->uuid.bytes, at + 4, UUID_SIZE);
    out->final_size = get_u64(at + 4 + UUID_SIZE);
    return true;
}

// --- a commit on its way into the log ---

void commit_frame_init(struct commit_frame *frame)
{
    *frame = (struct commit_frame){0};
}

void commit_frame_release(struct commit_frame *frame)
{
    lsm_buf_free(&frame->entries);
    mem_free(frame->values);
    commit_frame_init(frame);
}

// Room for `size` more bytes of entries; the room for the header comes first.
static lsm_status reserve_entries(struct commit_frame *frame, size_t size)
{
    size_t used = frame->entries.size == 0 ? FRAME_HEADER_SIZE : frame->entries.size;

    TRY(buf_reserve(&frame->entries, used + size));
    frame->entries.size = used;
    return LSM_OK;
}

static lsm_status reserve_value(struct commit_frame *frame)
{
    size_t capacity = frame->value_capacity == 0 ? 4 : 2 * frame->value_capacity;
    struct separated_value *values;

    if (frame->value_count < frame->value_capacity)
        return LSM_OK;
    values = mem_resize_array(frame->values, capacity, sizeof *values);
    if (values == NULL)
        return lsm_fail(LSM_NO_MEMORY, "commit: %zu separated values", capacity);
    frame->values = values;
    frame->value_capacity = capacity;
    return LSM_OK;
}

// The empty key's takes two bytes, so that no entry is shorter than ENTRY_SIZE_MIN: to a reader
// that knows no empty key the frame then is one that verifies and is malformed. A tombstone of
// three bytes would make it a frame that does not verify, which is the torn end of a log.
static uint8_t *put_key_size(uint8_t *at, size_t size)
{
    if (size > 0)
        return put_varint(at, size);
    *at++ = 0x80;
    *at++ = 0;
    return at;
}

static uint8_t *put_entry_head(uint8_t *at, const struct entry *entry, enum entry_kind kind)
{
    uint8_t *flags = at++;

    *flags = (uint8_t)kind;
    at = put_varint(at, entry->keyspace);
    at = put_key_size(at, entry->key.size);
    at = put_bytes(at, entry->key);
    if (entry->user_byte != 0) {
        *flags |= ENTRY_USER_BYTE;
        *at++ = entry->user_byte;
    }
    if (entry->expiry != 0) {
        *flags |= ENTRY_EXPIRY;
        at = put_varint(at, entry->expiry);
    }
    return at;
}

// Sets the value aside, to be written as a record, and puts what stands for it.
static uint8_t *put_separated(uint8_t *at, struct commit_frame *frame, const struct entry *entry)
{
    struct separated_value *value = &frame->values[frame->value_count++];
    uint64_t size = record_size(entry->keyspace, entry->key.size, entry->value.size);

    record_head_make(entry->keyspace, entry->key, entry->value, &value->head);
    value->key = entry->key;
    value->value = entry->value;
    frame->body_size += size;
    at = put_varint(at, size);
    return put_varint(at, entry->value.size);
}

lsm_status commit_frame_add(struct commit_frame *frame, const struct entry *entry, bool separate)
{
    bool is_inline = entry->kind == ENTRY_VALUE && !separate;
    size_t value_bytes = is_inline ? entry->value.size : 0;
    uint8_t *at;

    assert(!frame->is_finished);
    assert(entry->kind == ENTRY_VALUE || (entry->kind == ENTRY_DELETE && !separate));
    assert(entry->key.size <= LSM_KEY_SIZE_MAX);
    assert(entry->value.size <= LSM_VALUE_SIZE_MAX);
    TRY(reserve_entries(frame, ENTRY_HEAD_SIZE_MAX + entry->key.size + value_bytes));
    if (separate)
        TRY(reserve_value(frame));
    at = (uint8_t *)frame->entries.data + frame->entries.size;
    if (separate) {
        at = put_entry_head(at, entry, ENTRY_POINTER);
        at = put_separated(at, frame, entry);
    } else {
        at = put_entry_head(at, entry, entry->kind);
        if (is_inline) {
            at = put_varint(at, value_bytes);
            at = put_bytes(at, entry->value);
        }
    }
    frame->entries.size = (size_t)(at - (uint8_t *)frame->entries.data);
    frame->entry_count++;
    frame->key_bytes += entry->key.size + value_bytes;
    return LSM_OK;
}

static lsm_slice commit_frame_entries(const struct commit_frame *frame)
{
    return slice_from(slice_of_buf(&frame->entries), FRAME_HEADER_SIZE);
}

lsm_status commit_frame_finish(struct commit_frame *frame)
{
    lsm_slice entries;

    assert(!frame->is_finished);
    TRY(reserve_entries(frame, 0)); // for a frame without entries
    entries = commit_frame_entries(frame);
    frame->body_crc = frame_body_crc(entries);
    frame->body_size += entries.size; // the records are counted already
    frame->size = frame_size(frame->body_size);
    frame->is_finished = true;
    return LSM_OK;
}

lsm_status commit_frame_verify(const struct commit_frame *frame)
{
    assert(frame->is_finished);
    if (frame_body_crc(commit_frame_entries(frame)) != frame->body_crc)
        return lsm_fail(LSM_CORRUPT, "commit: its entries have changed in memory");
    for (size_t i = 0; i < frame->value_count; i++) {
        const struct separated_value *value = &frame->values[i];

        if (!record_head_verify(&value->head, value->key, value->value))
            return lsm_fail(LSM_CORRUPT, "commit: a value of %zu bytes has changed in memory",
                            value->value.size);
    }
    return LSM_OK;
}

// --- the entries of a frame ---

void frame_reader_over_commit(struct frame_reader *r, const struct commit_frame *frame)
{
    lsm_slice entries = commit_frame_entries(frame);
    struct frame_header header = {
        .body_size = frame->body_size,
        .entries_size = entries.size,
        .ts = frame->ts,
        .entry_count = frame->entry_count,
    };

    assert(frame->is_finished);
    frame_reader_over(r, &header, frame->position, entries);
}

void frame_reader_over(struct frame_reader *r, const struct frame_header *header,
                       struct log_position position, lsm_slice entries)
{
    *r = (struct frame_reader){
        .reader = reader_over(entries),
        .position = position,
        .ts = header->ts,
        .frame_bytes = FRAME_HEADER_SIZE + header->body_size,
        .record_at = FRAME_HEADER_SIZE + header->entries_size,
        .left = header->entry_count,
    };
}

// Reads what stands for a separated value and sets `*value` to its pointer.
static bool read_pointer(struct frame_reader *r, lsm_slice *value)
{
    struct value_pointer *pointer = &r->pointer;

    pointer->segment = r->position.segment;
    pointer->offset = r->position.offset + r->record_at;
    pointer->record_size = read_varint32(&r->reader);
    pointer->value_size = read_varint32(&r->reader);
    if (pointer->value_size > pointer->record_size ||
        pointer->record_size > r->frame_bytes - r->record_at)
        return false;
    r->record_at += pointer->record_size;
    *value = slice_make(r->pointer_bytes, pointer_encode(pointer, r->pointer_bytes));
    return true;
}

static bool read_value(struct frame_reader *r, struct entry *e)
{
    switch (e->kind) {
    case ENTRY_VALUE:
        e->value = read_prefixed(&r->reader);
        return true;
    case ENTRY_POINTER:
        return read_pointer(r, &e->value);
    case ENTRY_DELETE:
        e->value = slice_make("", 0);
        return true;
    default:
        return false;
    }
}

// Whether the entry's key comes behind the one before it. None comes before the first: the
// empty key would not lie behind it.
static bool ascends(const struct frame_reader *r, const struct entry *e)
{
    if (!r->has_key)
        return true;
    if (e->keyspace != r->keyspace)
        return e->keyspace > r->keyspace;
    return slice_compare(e->key, r->key) > 0;
}

static enum frame_next fail_malformed(const struct frame_reader *r)
{
    (void)lsm_fail(LSM_CORRUPT, "log segment %u: offset %llu: malformed entries in a frame",
                   r->position.segment, (unsigned long long)r->position.offset);
    return FRAME_MALFORMED;
}

enum frame_next frame_reader_next(struct frame_reader *r, struct entry *out)
{
    struct entry e = {.ts = r->ts};
    uint8_t flags;

    if (r->left == 0) {
        bool is_whole = reader_done(&r->reader) && r->record_at == r->frame_bytes;

        return is_whole ? FRAME_END : fail_malformed(r);
    }
    flags = read_u8(&r->reader);
    e.kind = flags & ENTRY_KIND_MASK;
    e.keyspace = read_varint32(&r->reader);
    e.key = read_prefixed(&r->reader);
    if (flags & ENTRY_USER_BYTE)
        e.user_byte = read_u8(&r->reader);
    if (flags & ENTRY_EXPIRY)
        e.expiry = read_varint64(&r->reader);
    if ((flags & ~(ENTRY_KIND_MASK | ENTRY_FLAGS_MASK)) != 0 || !read_value(r, &e) ||
        !reader_ok(&r->reader) || e.key.size > LSM_KEY_SIZE_MAX || !ascends(r, &e))
        return fail_malformed(r);
    e.head = slice_head(e.key);
    r->left--;
    r->has_key = true;
    r->keyspace = e.keyspace;
    r->key = e.key;
    *out = e;
    return FRAME_ENTRY;
}
