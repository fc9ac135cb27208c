// log_restart.c -- a new segment, a mebibyte at a time.

#include "vlog/log_restart.h"

#include "base/alloc.h"

#define COPY_BYTES (1u << 20) // read and written at once

struct copy {
    const struct log_walk *walk;
    struct segment *to;
    uint64_t written; // bytes of the segment written so far
    lsm_buf pending;  // what comes behind them
};

static void copy_release(struct copy *copy)
{
    lsm_buf_free(&copy->pending);
}

static lsm_status copy_flush(struct copy *copy)
{
    lsm_slice part = slice_of_buf(&copy->pending);

    TRY(segment_write(copy->to, copy->written, &part, 1));
    copy->written += part.size;
    buf_clear(&copy->pending);
    return LSM_OK;
}

// Room for `size` bytes behind what is pending, not counted yet.
static lsm_status copy_room(struct copy *copy, size_t size, uint8_t **at)
{
    if (copy->pending.size + size > COPY_BYTES)
        TRY(copy_flush(copy));
    TRY(buf_reserve(&copy->pending, copy->pending.size + size));
    *at = (uint8_t *)copy->pending.data + copy->pending.size;
    return LSM_OK;
}

static lsm_status copy_body(struct copy *copy, struct frame_scan *scan, uint64_t from,
                            uint64_t size)
{
    uint8_t *at;

    while (size > 0) {
        size_t piece = size < COPY_BYTES ? (size_t)size : COPY_BYTES;

        TRY(copy_room(copy, piece, &at));
        TRY(frame_scan_read(scan, from, at, piece));
        copy->pending.size += piece;
        from += piece;
        size -= piece;
    }
    return LSM_OK;
}

// The body byte for byte, under a header sealed anew for its place. A link says
// nothing here; it becomes a mark, so that sequence numbers stay dense.
static lsm_status copy_frame(void *ctx, struct frame_scan *scan, uint64_t at,
                             const struct frame_header *from, lsm_slice entries)
{
    struct copy *copy = ctx;
    uint64_t offset = copy->written + copy->pending.size;
    struct frame_header header = *from;
    size_t padding;
    uint8_t *to;

    (void)entries;
    header.mark = copy->walk->found.mark;
    header.edit_number = copy->walk->input.edit_number;
    if (header.type == FRAME_LINK) {
        header.type = FRAME_MARK;
        header.body_size = 0;
        header.entries_size = 0;
        header.body_crc = frame_body_crc(slice_make("", 0));
    }
    TRY(copy_room(copy, FRAME_HEADER_SIZE, &to));
    frame_header_encode(&header, segment_uuid(copy->to), offset, to);
    copy->pending.size += FRAME_HEADER_SIZE;
    TRY(copy_body(copy, scan, at + FRAME_HEADER_SIZE, header.body_size));
    padding = (size_t)(frame_size(header.body_size) - FRAME_HEADER_SIZE - header.body_size);
    TRY(copy_room(copy, padding, &to));
    memset(to, 0, padding);
    copy->pending.size += padding;
    return LSM_OK;
}

lsm_status log_restart_copy(const struct log_walk *walk, struct segment *to, uint64_t *end)
{
    CLEANUP(copy_release)
    struct copy copy = {
        .walk = walk,
        .to = to,
        .written = FIRST_FRAME_AT,
    };

    for (size_t i = 0; i < walk->count; i++) {
        const struct walked *w = &walk->segments[i];

        TRY(log_walk_visit(walk, &w->link, log_walk_above_mark(walk, w), w->link.final_size,
                           copy_frame, &copy));
    }
    TRY(copy_flush(&copy));
    *end = copy.written;
    return LSM_OK;
}
