// log.c -- the growing end: making room, moving on, appending.
//
// All of it is the writer role's, one thread at a time. Where it appends it keeps to
// itself; what others need of that, how far each segment is written, it publishes in the
// chain, after the bytes.

#include <assert.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "vlog/log_internal.h"

#define WRITEBACK_BYTES (1u << 20)

#define LINK_SIZE                                                                                  \
    ((FRAME_HEADER_SIZE + FRAME_LINK_BODY_SIZE + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT *          \
     FRAME_ALIGNMENT)

// --- life ---

lsm_status log_new(struct segment_store *store, struct eventlog *events,
                   const struct log_start *start, struct log **out)
{
    struct log *log = mem_alloc_zeroed(1, sizeof *log);
    lsm_status status;

    if (log == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log: %zu bytes", sizeof *log);
    log->store = store;
    log->events = events;
    log->active = start->active;
    log->end = start->end;
    log->allocated = segment_capacity(start->active);
    log->pushed = start->end;
    log->value_bytes = start->end; // nobody has looked
    log->next_sequence = start->next_sequence;
    log->last_ts = start->last_ts;
    status = chain_init(&log->chain, start);
    if (status != LSM_OK) {
        log_free(log);
        return status;
    }
    *out = log;
    return LSM_OK;
}

void log_free(struct log *log)
{
    if (log == NULL)
        return;
    chain_release(&log->chain);
    mem_free(log->parts);
    mem_free(log);
}

struct segment *log_active(struct log *log)
{
    return log->active;
}

// --- moving on ---

// The prepared segment when it is large enough, otherwise a new one. Of full size or none: a log
// that took all there is would leave no room for the flush that gives room back, nor for opening.
static lsm_status take_segment(struct log *log, uint64_t need, struct segment **out)
{
    struct segment *prepared = chain_take_prepared(&log->chain);
    const uint64_t size = chain_segment_size(&log->chain);

    if (prepared != NULL && segment_capacity(prepared) >= need) {
        *out = prepared;
        return LSM_OK;
    }
    log_discard_segment(prepared);
    return log_prepare_segment(log, size > need ? size : need, out);
}

// Writes the first frame of `next`: it names the chain's last segment, at its end.
static lsm_status write_link(struct log *log, struct segment *next, uint64_t edit_number)
{
    struct frame_link link = {
        .segment = segment_id(log->active),
        .uuid = *segment_uuid(log->active),
        .final_size = log->end,
    };
    uint8_t bytes[LINK_SIZE] = {0};
    lsm_slice body = slice_make(bytes + FRAME_HEADER_SIZE, FRAME_LINK_BODY_SIZE);
    struct frame_header header = {
        .type = FRAME_LINK,
        .body_size = body.size,
        .entries_size = body.size,
        .sequence = log->next_sequence,
        .ts = log->last_ts,
        .wall_ns = log->last_wall_ns,
        .mark = log_mark(log),
        .edit_number = edit_number,
    };
    lsm_slice frame = slice_make(bytes, sizeof bytes);

    frame_link_encode(&link, bytes + FRAME_HEADER_SIZE);
    header.body_crc = frame_body_crc(body);
    frame_header_encode(&header, segment_uuid(next), FIRST_FRAME_AT, bytes);
    return segment_write(next, FIRST_FRAME_AT, &frame, 1);
}

// Cuts `segment` to `end`, where its last good frame ends, durably: what a failed
// write up to `to` has left behind must never be read as log. Keeps the words of
// `status`, the failure of that write, unless the cut fails too. Without room even
// for cutting, as beyond a quota, `*is_cut` is false and the segment as before the
// write, if that has left nothing.
static lsm_status cut_segment(struct log *log, struct segment *segment, uint64_t end, uint64_t to,
                              lsm_status status, bool *is_cut)
{
    struct mutex *sync_mu = segment_sync_mutex(segment);
    struct failure first;
    bool is_blank;

    failure_capture(&first, status);
    is_blank = status == LSM_NO_SPACE && segment_is_blank(segment, end, to);
    mutex_lock(sync_mu);
    status = segment_seal_locked(segment, end);
    *is_cut = status != LSM_NO_SPACE || !is_blank || poison_is_set(log->store->poison);
    if (!*is_cut)
        status = LSM_OK;
    else if (status != LSM_OK)
        (void)poison_set(log->store->poison, status);
    mutex_unlock(sync_mu);
    if (*is_cut)
        eventlog_write(log->events, "segment_cut", "segment=%u size=%llu status=%s",
                       segment_id(segment), (unsigned long long)end, lsm_status_name(first.status));
    return status == LSM_OK ? failure_raise(&first) : status;
}

// Makes `next`, whose link is written, the active segment.
static void enter_segment(struct log *log, struct segment *next)
{
    if (!log->is_abandoned && log->end > log->pushed)
        segment_writeback(log->active, log->pushed, log->end - log->pushed);
    log->active = next;
    log->end = FIRST_FRAME_AT + LINK_SIZE;
    log->allocated = segment_capacity(next);
    log->pushed = log->end;
    log->value_bytes = 0;
    log->is_abandoned = false;
    log->next_sequence++;
    log_discard_segment(chain_enter(&log->chain, next, log->end));
}

// Links `next`, of which this takes over the reference; the chain has room for it.
static lsm_status link_segment(struct log *log, struct segment *next, uint64_t edit_number)
{
    lsm_status status = write_link(log, next, edit_number);
    bool is_cut;

    if (status == LSM_OK) {
        enter_segment(log, next);
        return LSM_OK;
    }
    // Never named: the next link names the same segment as this one would have.
    status = cut_segment(log, next, FIRST_FRAME_AT, FIRST_FRAME_AT + LINK_SIZE, status, &is_cut);
    log_discard_segment(next);
    return status;
}

static lsm_status move_on(struct log *log, uint64_t bytes, uint64_t edit_number)
{
    struct segment *next;

    TRY(chain_reserve(&log->chain));
    TRY(take_segment(log, FIRST_FRAME_AT + LINK_SIZE + bytes, &next));
    return link_segment(log, next, edit_number);
}

// Allocates again what log_settle() has given back; on a device that others have filled
// meanwhile just `bytes` behind the end.
static lsm_status regain_room(struct log *log, uint64_t bytes)
{
    uint64_t to = segment_capacity(log->active);
    lsm_status status;

    if (LIKELY(bytes <= log->allocated - log->end))
        return LSM_OK;
    status = segment_regain(log->active, log->allocated, to);
    if (status == LSM_NO_SPACE) {
        to = log->end + bytes;
        status = segment_regain(log->active, log->allocated, to);
    }
    TRY(status);
    log->allocated = to;
    return LSM_OK;
}

lsm_status log_reserve(struct log *log, uint64_t bytes, uint64_t edit_number)
{
    TRY(poison_check(log->store->poison));
    if (!log->is_abandoned && bytes <= segment_capacity(log->active) - log->end)
        return regain_room(log, bytes);
    return move_on(log, bytes, edit_number);
}

// --- quiet times ---

static lsm_status move_on_to_small(struct log *log, uint64_t size, uint64_t edit_number)
{
    struct segment *next;

    TRY(chain_reserve(&log->chain));
    TRY(log_prepare_segment(log, size, &next));
    return link_segment(log, next, edit_number);
}

static lsm_status trim_active(struct log *log)
{
    struct mutex *sync_mu = segment_sync_mutex(log->active);
    lsm_status status;

    mutex_lock(sync_mu);
    status = segment_trim_locked(log->active, log->end);
    mutex_unlock(sync_mu);
    if (status == LSM_OK)
        log->allocated = log->end;
    return status;
}

lsm_status log_settle(struct log *log, uint64_t size, uint64_t edit_number)
{
    TRY(poison_check(log->store->poison));
    log_discard_segment(chain_take_prepared(&log->chain));
    if (log->is_abandoned || log->allocated == log->end)
        return LSM_OK;
    if (size < segment_capacity(log->active) && log->value_bytes < log->end / 2)
        return move_on_to_small(log, size, edit_number);
    return trim_active(log);
}

// --- appending ---

static lsm_status reserve_parts(struct log *log, struct commit_frame *const *frames, size_t count)
{
    size_t need = 0;
    lsm_slice *parts;

    for (size_t i = 0; i < count; i++)
        need += 2 + 3 * frames[i]->value_count;
    if (need <= log->part_capacity)
        return LSM_OK;
    parts = mem_resize_array(log->parts, 2 * need, sizeof *parts);
    if (parts == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log: a write of %zu parts", need);
    log->parts = parts;
    log->part_capacity = 2 * need;
    return LSM_OK;
}

// Adds the frame's bytes, where they lie, to the parts of the write.
static size_t add_parts(lsm_slice *parts, const struct commit_frame *frame)
{
    static const uint8_t zeroes[FRAME_ALIGNMENT];
    size_t padding = (size_t)(frame->size - FRAME_HEADER_SIZE - frame->body_size);
    lsm_slice *at = parts;

    *at++ = slice_of_buf(&frame->entries);
    for (size_t i = 0; i < frame->value_count; i++) {
        const struct separated_value *value = &frame->values[i];

        *at++ = slice_make(value->head.bytes, value->head.size);
        *at++ = value->key;
        *at++ = value->value;
    }
    if (padding != 0)
        *at++ = slice_make(zeroes, padding);
    return (size_t)(at - parts);
}

// Gives `frame` its place and its header.
static void stamp_frame(struct log *log, struct commit_frame *frame, uint64_t sequence,
                        uint64_t offset, struct log_position mark, uint64_t edit_number)
{
    struct frame_header header = {
        .type = FRAME_COMMIT,
        .body_size = frame->body_size,
        .entries_size = frame->entries.size - FRAME_HEADER_SIZE,
        .sequence = sequence,
        .ts = frame->ts,
        .wall_ns = frame->wall_ns,
        .entry_count = frame->entry_count,
        .body_crc = frame->body_crc,
        .mark = mark,
        .edit_number = edit_number,
    };

    frame->position = (struct log_position){segment_id(log->active), offset};
    frame_header_encode(&header, segment_uuid(log->active), offset, frame->entries.data);
}

// After a failed write up to `to`: the active segment takes no more frames, and the next
// log_reserve() moves on from it, unless it is as it was.
static lsm_status abandon_active(struct log *log, uint64_t to, lsm_status status)
{
    bool is_cut;

    status = cut_segment(log, log->active, log->end, to, status, &is_cut);
    if (!is_cut)
        return status;
    log->is_abandoned = true;
    if (poison_is_set(log->store->poison))
        return status;
    chain_note_synced(&log->chain, log->active, log->end, true);
    chain_leave(&log->chain);
    return status;
}

lsm_status log_append(struct log *log, struct commit_frame *const *frames, size_t count,
                      uint64_t edit_number)
{
    struct log_position mark = log_mark(log);
    uint64_t ts = log->last_ts;
    uint64_t end = log->end;
    uint64_t value_bytes = 0;
    size_t part_count = 0;
    lsm_status status;

    assert(count > 0 && !log->is_abandoned);
    TRY(poison_check(log->store->poison));
    TRY(reserve_parts(log, frames, count));
    for (size_t i = 0; i < count; i++) {
        assert(frames[i]->is_finished && frames[i]->ts > ts);
        stamp_frame(log, frames[i], log->next_sequence + i, end, mark, edit_number);
        part_count += add_parts(log->parts + part_count, frames[i]);
        value_bytes += frames[i]->body_size + FRAME_HEADER_SIZE - frames[i]->entries.size;
        end += frames[i]->size;
        ts = frames[i]->ts;
    }
    assert(end <= log->allocated);
    status = segment_write(log->active, log->end, log->parts, part_count);
    if (status != LSM_OK)
        return PLANTED(APPEND_TO_TORN_LOG) ? status : abandon_active(log, end, status);
    log->end = end;
    log->value_bytes += value_bytes;
    log->next_sequence += count;
    log->last_ts = ts;
    log->last_wall_ns = frames[count - 1]->wall_ns;
    chain_set_end(&log->chain, end);
    return LSM_OK;
}

void log_writeback(struct log *log)
{
    if (log->is_abandoned || log->end - log->pushed < WRITEBACK_BYTES)
        return;
    segment_writeback(log->active, log->pushed, log->end - log->pushed);
    log->pushed = log->end;
}
