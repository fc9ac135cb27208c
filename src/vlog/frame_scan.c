// frame_scan.c -- the window, and what verifies in it.

#include "vlog/frame_scan.h"

#include <assert.h>

#include "base/plant.h"
#include "vlog/record.h"

#define WINDOW_SIZE (256u << 10)

static lsm_status read_file_header(struct frame_scan *scan)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    size_t got;

    TRY(file_size(scan->file, &scan->limit));
    TRY(file_read(scan->file, 0, bytes, sizeof bytes, &got));
    return file_header_decode(slice_make(bytes, got), FILE_KIND_LOG, scan->file->name,
                              &scan->header);
}

// Whoever scans a segment knows of it, by what names it or by a list of the directory.
static lsm_status open_known(struct dir *dir, const char *name, struct file **out)
{
    struct file *file;

    TRY(file_find(dir, name, FILE_READ, &file));
    if (file == NULL)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: the segment is missing", name);
    *out = file;
    return LSM_OK;
}

lsm_status frame_scan_open(struct dir *dir, const char *name, struct frame_scan *out)
{
    struct frame_scan scan = {0};
    lsm_status status;

    TRY(open_known(dir, name, &scan.file));
    status = read_file_header(&scan);
    if (status != LSM_OK) {
        file_close_quietly(scan.file);
        return status;
    }
    *out = scan;
    return LSM_OK;
}

lsm_status frame_scan_open_as(struct dir *dir, const char *name, const struct file_header *header,
                              struct frame_scan *out)
{
    struct frame_scan scan = {.header = *header};
    lsm_status status;

    TRY(open_known(dir, name, &scan.file));
    status = file_size(scan.file, &scan.limit);
    if (status != LSM_OK) {
        file_close_quietly(scan.file);
        return status;
    }
    *out = scan;
    return LSM_OK;
}

void frame_scan_close(struct frame_scan *scan)
{
    file_close_quietly(scan->file);
    lsm_buf_free(&scan->window);
    lsm_buf_free(&scan->record);
    *scan = (struct frame_scan){0};
}

// --- the window ---

static bool in_window(const struct frame_scan *scan, uint64_t offset, uint64_t size)
{
    return offset >= scan->window_at && size <= scan->window.size &&
           offset - scan->window_at <= scan->window.size - size;
}

static lsm_status fill_window(struct frame_scan *scan, uint64_t offset, uint64_t size)
{
    uint64_t left = scan->limit - offset;
    uint64_t wanted = size > WINDOW_SIZE ? size : WINDOW_SIZE;

    if (wanted > left)
        wanted = left;
    buf_clear(&scan->window); // whatever fails, the window holds nothing wrong
    TRY(buf_reserve(&scan->window, wanted));
    TRY(file_read_exact(scan->file, offset, scan->window.data, (size_t)wanted));
    scan->window.size = (size_t)wanted;
    scan->window_at = offset;
    return LSM_OK;
}

// `size` bytes at `offset`, all below the limit, until the next call.
static lsm_status peek(struct frame_scan *scan, uint64_t offset, uint64_t size,
                       const uint8_t **bytes)
{
    assert(offset <= scan->limit && size <= scan->limit - offset);
    if (!in_window(scan, offset, size))
        TRY(fill_window(scan, offset, size));
    *bytes = (const uint8_t *)scan->window.data + (offset - scan->window_at);
    return LSM_OK;
}

lsm_status frame_scan_read(struct frame_scan *scan, uint64_t offset, void *to, size_t size)
{
    return file_read_exact(scan->file, offset, to, size);
}

// --- frames ---

static bool has_room(const struct frame_scan *scan, uint64_t offset, uint64_t size)
{
    return offset <= scan->limit && size <= scan->limit - offset;
}

static bool decode_header(const struct frame_scan *scan, const uint8_t *bytes, uint64_t offset,
                          struct frame_header *out)
{
    return frame_header_decode(bytes, &scan->header.file_uuid, offset, out);
}

// Whether the record is the entry's.
static lsm_status verify_record(struct frame_scan *scan, const struct entry *entry,
                                const struct value_pointer *pointer, bool *verifies)
{
    struct record record;
    lsm_status status;
    lsm_slice bytes;

    TRY(buf_reserve(&scan->record, pointer->record_size));
    TRY(frame_scan_read(scan, pointer->offset, scan->record.data, pointer->record_size));
    bytes = slice_make(scan->record.data, pointer->record_size);
    status = record_decode(bytes, scan->file->name, pointer->offset, &record);
    if (status != LSM_OK && status != LSM_CORRUPT)
        return status;
    *verifies =
        status == LSM_OK && record_is_of(&record, entry->keyspace, entry->key, pointer->value_size);
    return LSM_OK;
}

static lsm_status verify_records(struct frame_scan *scan, uint64_t offset,
                                 const struct frame_header *header, lsm_slice entries,
                                 bool *verifies)
{
    struct log_position position = {(uint32_t)scan->header.number, offset};
    enum frame_next next;
    struct frame_reader r;
    struct entry entry;

    *verifies = true;
    frame_reader_over(&r, header, position, entries);
    while (*verifies && (next = frame_reader_next(&r, &entry)) != FRAME_END) {
        if (next == FRAME_MALFORMED)
            *verifies = false;
        else if (entry.kind == ENTRY_POINTER)
            TRY(verify_record(scan, &entry, &r.pointer, verifies));
    }
    return LSM_OK;
}

// Whether the bytes that align the next frame are zero. No checksum covers them.
static lsm_status verify_padding(struct frame_scan *scan, uint64_t offset,
                                 const struct frame_header *header, bool *verifies)
{
    uint64_t from = offset + FRAME_HEADER_SIZE + header->body_size;
    size_t size = (size_t)(offset + frame_size(header->body_size) - from);
    uint8_t bytes[FRAME_ALIGNMENT] = {0};

    if (in_window(scan, from, size))
        memcpy(bytes, (const uint8_t *)scan->window.data + (from - scan->window_at), size);
    else
        TRY(frame_scan_read(scan, from, bytes, size));
    *verifies = get_u64(bytes) == 0;
    return LSM_OK;
}

lsm_status frame_scan_at(struct frame_scan *scan, uint64_t offset, bool verify_values,
                         bool *verifies, struct frame_header *header, lsm_slice *entries)
{
    struct frame_header found;
    const uint8_t *bytes;
    lsm_slice body;

    *verifies = false;
    if (offset % FRAME_ALIGNMENT != 0 || !has_room(scan, offset, FRAME_HEADER_SIZE))
        return LSM_OK;
    TRY(peek(scan, offset, FRAME_HEADER_SIZE, &bytes));
    if (!decode_header(scan, bytes, offset, &found) ||
        !has_room(scan, offset, frame_size(found.body_size)))
        return LSM_OK;
    TRY(peek(scan, offset, FRAME_HEADER_SIZE + found.entries_size, &bytes));
    body = slice_make(bytes + FRAME_HEADER_SIZE, (size_t)found.entries_size);
    scan->bytes_summed += body.size;
    if (frame_body_crc(body) != found.body_crc && !PLANTED(SKIP_FRAME_CRC))
        return LSM_OK;
    TRY(verify_padding(scan, offset, &found, verifies));
    if (*verifies && verify_values && found.type == FRAME_COMMIT)
        TRY(verify_records(scan, offset, &found, body, verifies));
    *header = found;
    *entries = body;
    return LSM_OK;
}

// Tells most of what is no header by two words: zeroes above all.
static bool may_be_header(const uint8_t *bytes)
{
    uint32_t type = get_u32(bytes + 4);

    return type != 0 && type <= UINT8_MAX;
}

lsm_status frame_scan_find(struct frame_scan *scan, uint64_t from, bool *found, uint64_t *at,
                           struct frame_header *header)
{
    uint64_t offset = (from + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT * FRAME_ALIGNMENT;
    const uint8_t *bytes;

    *found = false;
    for (; has_room(scan, offset, FRAME_HEADER_SIZE); offset += FRAME_ALIGNMENT) {
        TRY(peek(scan, offset, FRAME_HEADER_SIZE, &bytes));
        if (may_be_header(bytes) && decode_header(scan, bytes, offset, header)) {
            *at = offset;
            *found = true;
            break;
        }
    }
    return LSM_OK;
}

lsm_status frame_scan_is_damaged(struct dir *dir, const char *name, bool *out)
{
    struct file_header header = {.kind = FILE_KIND_LOG};
    CLEANUP(frame_scan_close) struct frame_scan scan = {.file = NULL};
    struct frame_header frame;
    uint8_t bytes[FILE_HEADER_SIZE];
    uint64_t at;

    TRY(frame_scan_open_as(dir, name, &header, &scan));
    *out = false;
    if (scan.limit <= FILE_HEADER_SIZE)
        return LSM_OK;
    TRY(frame_scan_read(&scan, 0, bytes, sizeof bytes));
    memcpy(scan.header.file_uuid.bytes, bytes + FILE_HEADER_UUID_AT, UUID_SIZE);
    return frame_scan_find(&scan, FILE_HEADER_SIZE, out, &at, &frame);
}

lsm_status frame_scan_used(struct frame_scan *scan, uint64_t from, uint64_t *end)
{
    uint64_t at = scan->limit;
    const uint8_t *bytes;

    while (at > from) {
        uint64_t size = at - from > WINDOW_SIZE ? WINDOW_SIZE : at - from;

        TRY(peek(scan, at - size, size, &bytes));
        while (size >= sizeof(uint64_t) && get_u64(bytes + size - sizeof(uint64_t)) == 0) {
            size -= sizeof(uint64_t);
            at -= sizeof(uint64_t);
        }
        while (size > 0 && bytes[size - 1] == 0) {
            size--;
            at--;
        }
        if (size > 0)
            break;
    }
    *end = at > from ? at : from;
    return LSM_OK;
}
