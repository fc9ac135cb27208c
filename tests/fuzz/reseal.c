#include "reseal.h"

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/file_header.h"
#include "manifest/manifest_file.h"
#include "sstable/block.h"
#include "sstable/layout.h"
#include "vlog/frame.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);

#define UUID_AT 32 // of the file, in its header

static struct uuid uuid_of(const uint8_t *bytes)
{
    struct uuid uuid;

    memcpy(uuid.bytes, bytes + UUID_AT, UUID_SIZE);
    return uuid;
}

// What the checksums of frames and blocks start with.
static uint32_t crc_of_place(const uint8_t *bytes, uint64_t offset)
{
    uint8_t place[sizeof offset];
    uint32_t crc = crc32c(0, bytes + UUID_AT, UUID_SIZE);

    put_u64(place, offset);
    return crc32c(crc, place, sizeof place);
}

void reseal_current(uint8_t *bytes, size_t size)
{
    if (size >= FILE_HEADER_SIZE)
        put_u32(bytes + FILE_HEADER_SIZE - 4, crc32c(0, bytes, FILE_HEADER_SIZE - 4));
}

// --- segments ---

enum {
    FRAME_BODY_AT = 8,
    FRAME_ENTRIES_AT = 16,
    FRAME_BODY_CRC_AT = 52,
};

static void reseal_record(uint8_t *bytes, size_t size, const struct value_pointer *pointer)
{
    uint8_t *record = bytes + pointer->offset;

    if (pointer->record_size < 4 || pointer->offset > size ||
        pointer->record_size > size - pointer->offset)
        return;
    put_u32(record, crc32c(0, record + 4, pointer->record_size - 4));
}

static void reseal_records(uint8_t *bytes, size_t size, uint64_t at,
                           const struct frame_header *header)
{
    const struct log_position position = {.segment = 1, .offset = at};
    struct frame_reader reader;
    struct value_pointer pointer;
    struct entry entry;

    if (header->type != FRAME_COMMIT)
        return;
    frame_reader_over(&reader, header, position,
                      slice_make(bytes + at + FRAME_HEADER_SIZE, header->entries_size));
    while (frame_reader_next(&reader, &entry) == FRAME_ENTRY) {
        if (entry.kind == ENTRY_POINTER && pointer_decode(entry.value, &pointer) == LSM_OK)
            reseal_record(bytes, size, &pointer);
    }
}

// Returns where the next frame starts, or `size` when this is none.
static size_t reseal_frame(uint8_t *bytes, size_t size, size_t at)
{
    const struct uuid uuid = uuid_of(bytes);
    const size_t room = size - at - FRAME_HEADER_SIZE;
    const uint64_t body_size = get_u64(bytes + at + FRAME_BODY_AT);
    const uint64_t entries_size = get_u64(bytes + at + FRAME_ENTRIES_AT);
    struct frame_header header;

    if (body_size > room || entries_size > body_size)
        return size;
    put_u32(bytes + at + FRAME_BODY_CRC_AT,
            crc32c(0, bytes + at + FRAME_HEADER_SIZE, entries_size));
    put_u32(bytes + at, crc32c(crc_of_place(bytes, at), bytes + at + 4, FRAME_HEADER_SIZE - 4));
    if (frame_header_decode(bytes + at, &uuid, at, &header))
        reseal_records(bytes, size, at, &header);
    return at + frame_size(body_size);
}

void reseal_segment(uint8_t *bytes, size_t size)
{
    size_t at = FILE_HEADER_SIZE;

    reseal_current(bytes, size);
    while (size >= FRAME_HEADER_SIZE && at <= size - FRAME_HEADER_SIZE)
        at = reseal_frame(bytes, size, at);
}

// --- manifests ---

void reseal_manifest(uint8_t *bytes, size_t size)
{
    size_t at = FILE_HEADER_SIZE;

    reseal_current(bytes, size);
    while (size >= MANIFEST_FRAME_HEADER_SIZE && at <= size - MANIFEST_FRAME_HEADER_SIZE) {
        const size_t room = size - at - MANIFEST_FRAME_HEADER_SIZE;
        const uint32_t edit_size = get_u32(bytes + at + 4);
        const size_t frame_bytes = MANIFEST_FRAME_HEADER_SIZE + (size_t)edit_size;

        if (edit_size > room)
            return;
        put_u32(bytes + at, crc32c(crc_of_place(bytes, at), bytes + at + 4, frame_bytes - 4));
        at += frame_bytes;
    }
}

// --- tables ---

// A block between `from` and `end`, where the next part starts.
static void reseal_block(uint8_t *bytes, size_t size, uint64_t from, uint64_t end)
{
    uint8_t *trailer;
    uint32_t crc;

    if (end > size || from > end || end - from < LAYOUT_TRAILER_SIZE)
        return;
    trailer = bytes + end - LAYOUT_TRAILER_SIZE;
    crc = crc32c(crc_of_place(bytes, from), bytes + from, (size_t)(end - from) - 4);
    put_u32(trailer + LAYOUT_TRAILER_SIZE - 4, crc);
}

static void reseal_named(uint8_t *bytes, size_t size, const struct block_view *index, uint32_t i)
{
    struct block_entry entry;
    struct reader reader;
    uint64_t offset, stored;

    block_entry_at(index, i, &entry);
    reader = reader_over(entry.value);
    offset = read_varint64(&reader);
    stored = read_varint32(&reader);
    if (reader_ok(&reader) && offset < size)
        reseal_block(bytes, size, offset, offset + stored + LAYOUT_TRAILER_SIZE);
}

// The data blocks, when the index is one that was stored as it is.
static void reseal_data(uint8_t *bytes, size_t size, uint64_t from, uint64_t end)
{
    const size_t stored = (size_t)(end - from) - LAYOUT_TRAILER_SIZE;
    struct block *block = block_new(stored);
    struct block_view index;

    if (block == NULL)
        return;
    memcpy(block->bytes, bytes + from, stored);
    memset(block->bytes + stored, 0, BLOCK_SLACK);
    if (block_check(slice_make(block->bytes, stored), BLOCK_INDEX) == LSM_OK) {
        index = block_view_of(block->bytes);
        for (uint32_t i = 0; i < index.count; i++)
            reseal_named(bytes, size, &index, i);
    }
    block_unref(block);
}

void reseal_table(uint8_t *bytes, size_t size)
{
    enum { PARTS = 4 }; // filter, references, properties, index
    uint64_t starts[PARTS + 1];
    uint8_t *footer;

    reseal_current(bytes, size);
    if (size < FILE_HEADER_SIZE + LAYOUT_FOOTER_SIZE)
        return;
    footer = bytes + size - LAYOUT_FOOTER_SIZE;
    put_u32(footer + LAYOUT_FOOTER_SIZE - 4,
            crc32c(crc_of_place(bytes, size - LAYOUT_FOOTER_SIZE), footer, LAYOUT_FOOTER_SIZE - 4));
    for (size_t i = 0; i < PARTS; i++)
        starts[i] = get_u64(footer + 8 + 8 * i);
    starts[PARTS] = size - LAYOUT_FOOTER_SIZE;
    for (size_t i = 0; i < PARTS; i++)
        reseal_block(bytes, size, starts[i], starts[i + 1]);
    if (starts[PARTS - 1] < starts[PARTS] &&
        starts[PARTS] - starts[PARTS - 1] > LAYOUT_TRAILER_SIZE)
        reseal_data(bytes, size, starts[PARTS - 1], starts[PARTS]);
}

void reseal_any(uint8_t *bytes, size_t size)
{
    if (size < FILE_HEADER_SIZE)
        return;
    switch (get_u16(bytes + 10)) {
    case FILE_KIND_LOG:
        reseal_segment(bytes, size);
        break;
    case FILE_KIND_TABLE:
        reseal_table(bytes, size);
        break;
    case FILE_KIND_MANIFEST:
        reseal_manifest(bytes, size);
        break;
    default:
        reseal_current(bytes, size);
    }
}

size_t reseal_mutate(uint8_t *data, size_t size, size_t size_max, unsigned seed,
                     void (*reseal)(uint8_t *bytes, size_t size))
{
    size = LLVMFuzzerMutate(data, size, size_max);
    if (seed % 8 != 0)
        reseal(data, size);
    return size;
}
