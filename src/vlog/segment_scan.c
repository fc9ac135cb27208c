// segment_scan.c -- frames, and what lies between them.

#include "vlog/segment_scan.h"

struct scan_state {
    struct frame_scan *scan;
    bool verify_values;
    segment_scan_fn fn;
    void *ctx;
};

// Where to look on behind a header that verifies and a body that does not. What lies in the body
// are values: a frame among them would be somebody's forgery, and to sum up each of many that
// reach far would take for ever.
static uint64_t behind_frame(const struct frame_scan *scan, uint64_t at,
                             const struct frame_header *header)
{
    const uint64_t size = frame_size(header->body_size);

    return size <= scan->limit - at ? at + size : at + FRAME_ALIGNMENT;
}

// The first offset from `from` on at which a whole frame verifies, or the end of what
// the file holds.
static lsm_status find_frame(struct scan_state *state, uint64_t from, uint64_t *at)
{
    struct frame_header header;
    lsm_slice entries;

    for (;;) {
        bool is_found, verifies;

        TRY(frame_scan_find(state->scan, from, &is_found, at, &header));
        if (!is_found && from + FRAME_ALIGNMENT <= state->scan->limit)
            return frame_scan_used(state->scan, from, at);
        if (!is_found) { // less than a word is left
            *at = state->scan->limit;
            return LSM_OK;
        }
        TRY(frame_scan_at(state->scan, *at, state->verify_values, &verifies, &header, &entries));
        if (verifies)
            return LSM_OK;
        from = behind_frame(state->scan, *at, &header);
    }
}

// Reports what is at `*at` and moves behind it.
static lsm_status scan_next(struct scan_state *state, uint64_t *at)
{
    struct frame_header header;
    uint64_t size, next;
    lsm_slice entries;
    bool verifies;

    TRY(frame_scan_at(state->scan, *at, state->verify_values, &verifies, &header, &entries));
    if (verifies) {
        size = frame_size(header.body_size);
        TRY(state->fn(state->ctx, *at, size, &header, entries));
        *at += size;
        return LSM_OK;
    }
    TRY(find_frame(state, *at, &next));
    TRY(state->fn(state->ctx, *at, next - *at, NULL, slice_make("", 0)));
    *at = next;
    return LSM_OK;
}

static lsm_status scan_rest(struct scan_state *state, uint64_t *at)
{
    uint64_t used;

    TRY(frame_scan_used(state->scan, *at, &used));
    while (*at < used)
        TRY(scan_next(state, at));
    return LSM_OK;
}

// Whether the file has become shorter. A process that is writing cuts it behind its frames.
static bool was_cut(struct frame_scan *scan)
{
    uint64_t size;

    if (file_size(scan->file, &size) != LSM_OK || size >= scan->limit)
        return false;
    scan->limit = size;
    return true;
}

lsm_status segment_scan_open(struct frame_scan *scan, bool verify_values, segment_scan_fn fn,
                             void *ctx)
{
    struct scan_state state = {.scan = scan, .verify_values = verify_values, .fn = fn, .ctx = ctx};
    uint64_t at = FILE_HEADER_SIZE;
    struct failure failure;
    lsm_status status;

    do {
        status = scan_rest(&state, &at);
        failure_capture(&failure, status);
    } while (status == LSM_CORRUPT && was_cut(scan));
    return failure_raise(&failure);
}

lsm_status segment_scan(struct dir *dir, const char *name, bool verify_values, segment_scan_fn fn,
                        void *ctx)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {.file = NULL};

    TRY(frame_scan_open(dir, name, &scan));
    return segment_scan_open(&scan, verify_values, fn, ctx);
}
