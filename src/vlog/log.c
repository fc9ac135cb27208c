// log.c -- the chain of segments, its growing end and its durable mark.
//
// The role keeps to itself where it appends; what others need of that (how far each
// segment is written) is published in the chain, under the mutex, after the bytes.
// The mark follows from the chain: it runs through every segment that has been left
// and is synced to its end, and into the next one once that one's link is synced.
// So no mark ever points behind a link that a crash could still take away.

#include "vlog/log.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/file_header.h"
#include "base/plant.h"

#define SEGMENT_SIZE_DEFAULT (1u << 20)
#define WRITEBACK_BYTES      (1u << 20)

#define FIRST_FRAME_AT FILE_HEADER_SIZE
#define LINK_SIZE                                                                                  \
    ((FRAME_HEADER_SIZE + FRAME_LINK_BODY_SIZE + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT *          \
     FRAME_ALIGNMENT)

// One segment of the chain.
struct member {
    struct segment *segment; // a reference
    uint64_t end;            // of its last frame that has been written completely
    uint64_t synced;         // everything below is durable; 0 until its link is
    bool is_left;            // `end` is final, nobody writes it any more
    bool is_found;           // by recovery: durable; its file may be longer than `end`
    bool is_sealed;          // truncated to `end`, synced, closed for writing
};

struct log {
    struct segment_store *store; // immutable
    struct eventlog *events;

    // The role's.
    struct segment *active; // the last of the chain, borrowed from it
    uint64_t end;           // of its last frame
    uint64_t allocated;     // of the active segment: its capacity, or less once it was trimmed
    uint64_t pushed;        // written back to the device up to here
    uint64_t value_bytes;   // of separated values in the active segment, at most
    bool is_abandoned;      // a write failed: the active segment takes no more frames
    uint64_t next_sequence;
    uint64_t last_ts;
    uint64_t last_wall_ns;
    lsm_slice *parts; // of the append in progress; kept for its memory
    size_t part_capacity;

    struct mutex mu; // rank LOCK_LOG; guards everything below
    struct member *chain;
    size_t chain_count;
    size_t chain_capacity;
    struct log_position mark; // never goes back
    struct segment *prepared; // the next segment, or NULL
    uint32_t next_segment_id;
    uint64_t segment_size;
};

// --- the chain, under the mutex ---

static struct member *last_member(const struct log *log)
{
    return &log->chain[log->chain_count - 1];
}

// NULL when it has been released.
static struct member *find_member_locked(struct log *log, const struct segment *segment)
{
    for (size_t i = 0; i < log->chain_count; i++) {
        if (log->chain[i].segment == segment)
            return &log->chain[i];
    }
    return NULL;
}

static lsm_status reserve_member_locked(struct log *log, size_t count)
{
    size_t capacity = log->chain_capacity == 0 ? 8 : 2 * log->chain_capacity;
    struct member *chain;

    if (count <= log->chain_capacity)
        return LSM_OK;
    if (capacity < count)
        capacity = count;
    chain = mem_resize_array(log->chain, capacity, sizeof *chain);
    if (chain == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log: chain of %zu segments", capacity);
    log->chain = chain;
    log->chain_capacity = capacity;
    return LSM_OK;
}

static void advance_mark_locked(struct log *log)
{
    struct log_position mark = log->mark;

    for (size_t i = 0; i < log->chain_count; i++) {
        const struct member *m = &log->chain[i];

        if (m->synced == 0)
            break;
        mark = (struct log_position){segment_id(m->segment),
                                     PLANTED(MARK_TOO_FAR) ? m->end : m->synced};
        if (!m->is_left || m->synced < m->end)
            break;
    }
    if (log_position_compare(mark, log->mark) > 0)
        log->mark = mark;
}

// --- life ---

static lsm_status take_start(struct log *log, const struct log_start *start)
{
    TRY(reserve_member_locked(log, start->chain_count + 1));
    for (size_t i = 0; i < start->chain_count; i++) {
        log->chain[log->chain_count++] = (struct member){
            .segment = start->chain_segments[i],
            .end = start->chain[i].final_size,
            .synced = start->chain[i].final_size,
            .is_left = true,
            .is_found = true,
        };
        segment_ref(start->chain_segments[i]);
    }
    log->chain[log->chain_count++] = (struct member){
        .segment = start->active,
        .end = start->end,
        .synced = start->end,
    };
    advance_mark_locked(log);
    return LSM_OK;
}

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
    mutex_init(&log->mu, LOCK_LOG);
    log->next_segment_id = start->next_segment_id;
    log->segment_size = SEGMENT_SIZE_DEFAULT;
    status = take_start(log, start);
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
    for (size_t i = 0; i < log->chain_count; i++)
        segment_unref(log->chain[i].segment);
    segment_unref(log->prepared);
    mutex_release(&log->mu);
    mem_free(log->chain);
    mem_free(log->parts);
    mem_free(log);
}

void log_set_segment_size(struct log *log, uint64_t size)
{
    mutex_lock(&log->mu);
    log->segment_size = size;
    mutex_unlock(&log->mu);
}

lsm_status log_create_segment(struct segment_store *store, uint32_t id, uint64_t size,
                              struct segment **out)
{
    return segment_create(store, id, size, out);
}

static uint64_t segment_size(struct log *log)
{
    uint64_t size;

    mutex_lock(&log->mu);
    size = log->segment_size;
    mutex_unlock(&log->mu);
    return size;
}

// Makes a segment of `size` bytes that can be linked: its directory entry is durable. A
// failed sync of the directory may have lost entries that others rely on.
static lsm_status prepare_segment(struct log *log, uint64_t size, struct segment **out)
{
    struct segment *segment;
    uint32_t id;
    lsm_status status;

    mutex_lock(&log->mu);
    id = log->next_segment_id++;
    mutex_unlock(&log->mu);
    TRY(log_create_segment(log->store, id, size, &segment));
    status = PLANTED(SKIP_SEGMENT_DIR_SYNC) ? LSM_OK : dir_sync(log->store->dir);
    if (status == LSM_OK) {
        *out = segment;
        return LSM_OK;
    }
    segment_unref(segment);
    return poison_set(log->store->poison, status);
}

// Gives up a segment that no frame names: it is not log.
static void discard_segment(struct segment *segment)
{
    if (segment == NULL)
        return;
    segment_mark_obsolete(segment);
    segment_unref(segment);
}

// --- moving on ---

static struct segment *take_prepared(struct log *log)
{
    struct segment *prepared;

    mutex_lock(&log->mu);
    prepared = MOVE(log->prepared);
    mutex_unlock(&log->mu);
    return prepared;
}

// The prepared segment when it is large enough, otherwise a new one.
static lsm_status take_segment(struct log *log, uint64_t need, struct segment **out)
{
    struct segment *prepared = take_prepared(log);
    const uint64_t size = segment_size(log);

    if (prepared != NULL && segment_capacity(prepared) >= need) {
        *out = prepared;
        return LSM_OK;
    }
    discard_segment(prepared);
    return prepare_segment(log, size > need ? size : need, out);
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
// write has left behind must never be read as log. Keeps the words of `status`, the
// failure of that write, unless the cut fails too.
static lsm_status cut_segment(struct log *log, struct segment *segment, uint64_t end,
                              lsm_status status)
{
    struct mutex *sync_mu = segment_sync_mutex(segment);
    struct failure first;

    failure_capture(&first, status);
    mutex_lock(sync_mu);
    status = segment_seal_locked(segment, end);
    if (status != LSM_OK)
        (void)poison_set(log->store->poison, status);
    mutex_unlock(sync_mu);
    eventlog_write(log->events, "segment_cut", "segment=%u size=%llu status=%s",
                   segment_id(segment), (unsigned long long)end, lsm_status_name(first.status));
    return status == LSM_OK ? failure_raise(&first) : status;
}

static lsm_status reserve_member(struct log *log)
{
    lsm_status status;

    mutex_lock(&log->mu);
    status = reserve_member_locked(log, log->chain_count + 1);
    mutex_unlock(&log->mu);
    return status;
}

// Makes `next`, whose link is written, the active segment. One that was prepared
// meanwhile with a lower id is of no use: segments are linked in increasing id.
static void enter_segment(struct log *log, struct segment *next)
{
    struct segment *overtaken = NULL;

    if (!log->is_abandoned && log->end > log->pushed)
        segment_writeback(log->active, log->pushed, log->end - log->pushed);
    log->active = next;
    log->end = FIRST_FRAME_AT + LINK_SIZE;
    log->allocated = segment_capacity(next);
    log->pushed = log->end;
    log->value_bytes = 0;
    log->is_abandoned = false;
    log->next_sequence++;
    mutex_lock(&log->mu);
    last_member(log)->is_left = true;
    log->chain[log->chain_count++] = (struct member){.segment = next, .end = log->end};
    if (log->prepared != NULL && segment_id(log->prepared) < segment_id(next))
        overtaken = MOVE(log->prepared);
    mutex_unlock(&log->mu);
    discard_segment(overtaken);
}

// Links `next`, of which this takes over the reference; the chain has room for it.
static lsm_status link_segment(struct log *log, struct segment *next, uint64_t edit_number)
{
    lsm_status status = write_link(log, next, edit_number);

    if (status == LSM_OK) {
        enter_segment(log, next);
        return LSM_OK;
    }
    // Never named: the next link names the same segment as this one would have.
    status = cut_segment(log, next, FIRST_FRAME_AT, status);
    discard_segment(next);
    return status;
}

static lsm_status move_on(struct log *log, uint64_t bytes, uint64_t edit_number)
{
    struct segment *next;

    TRY(reserve_member(log));
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

    TRY(reserve_member(log));
    TRY(prepare_segment(log, size, &next));
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
    discard_segment(take_prepared(log));
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
    size_t padding = frame->size - FRAME_HEADER_SIZE - frame->body_size;
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

// The active segment takes no more frames; the next log_reserve() moves on from it.
static lsm_status abandon_active(struct log *log, lsm_status status)
{
    status = cut_segment(log, log->active, log->end, status);
    log->is_abandoned = true;
    if (poison_is_set(log->store->poison))
        return status;
    mutex_lock(&log->mu);
    *last_member(log) = (struct member){
        .segment = log->active,
        .end = log->end,
        .synced = log->end,
        .is_left = true,
        .is_sealed = true,
    };
    advance_mark_locked(log);
    mutex_unlock(&log->mu);
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

    assert(!log->is_abandoned);
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
        return PLANTED(APPEND_TO_TORN_LOG) ? status : abandon_active(log, status);
    log->end = end;
    log->value_bytes += value_bytes;
    log->next_sequence += count;
    log->last_ts = ts;
    log->last_wall_ns = count == 0 ? log->last_wall_ns : frames[count - 1]->wall_ns;
    mutex_lock(&log->mu);
    last_member(log)->end = end;
    mutex_unlock(&log->mu);
    return LSM_OK;
}

struct segment *log_active(struct log *log)
{
    return log->active;
}

void log_writeback(struct log *log)
{
    if (log->is_abandoned || log->end - log->pushed < WRITEBACK_BYTES)
        return;
    segment_writeback(log->active, log->pushed, log->end - log->pushed);
    log->pushed = log->end;
}

struct log_position log_end(const struct log *log)
{
    struct mutex *mu = (struct mutex *)&log->mu; // locking it changes nothing of the log
    struct log_position end;

    mutex_lock(mu);
    end.segment = segment_id(last_member(log)->segment);
    end.offset = last_member(log)->end;
    mutex_unlock(mu);
    return end;
}

struct log_position log_mark(const struct log *log)
{
    struct mutex *mu = (struct mutex *)&log->mu;
    struct log_position mark;

    mutex_lock(mu);
    mark = log->mark;
    mutex_unlock(mu);
    return mark;
}

// --- syncing and sealing ---

// Whether bytes of the member below `to` may not be durable.
static bool needs_sync(const struct member *m, struct log_position to)
{
    uint32_t id = segment_id(m->segment);

    if (m->synced == m->end || id > to.segment)
        return false;
    if (PLANTED(SKIP_OLDER_SEGMENT_SYNC) && id < to.segment)
        return false;
    return id < to.segment || m->synced < to.offset;
}

// A reference to the oldest segment that has to be synced, or NULL.
static struct segment *next_to_sync(struct log *log, struct log_position to)
{
    struct segment *segment = NULL;

    mutex_lock(&log->mu);
    for (size_t i = 0; i < log->chain_count && segment == NULL; i++) {
        if (needs_sync(&log->chain[i], to))
            segment = log->chain[i].segment;
    }
    if (segment != NULL)
        segment_ref(segment);
    mutex_unlock(&log->mu);
    return segment;
}

// A copy of the segment's place in the chain, as of now.
static struct member member_of(struct log *log, const struct segment *segment)
{
    struct member copy = {0};
    const struct member *m;

    mutex_lock(&log->mu);
    m = find_member_locked(log, segment);
    if (m != NULL)
        copy = *m;
    mutex_unlock(&log->mu);
    return copy;
}

// Notes that `segment` is durable below `synced`.
static void note_synced(struct log *log, const struct segment *segment, uint64_t synced,
                        bool is_sealed)
{
    struct member *m;

    mutex_lock(&log->mu);
    m = find_member_locked(log, segment);
    if (m != NULL) {
        if (m->synced < synced)
            m->synced = synced;
        m->is_sealed |= is_sealed;
        advance_mark_locked(log);
    }
    mutex_unlock(&log->mu);
}

// Syncs one segment, unless another thread has done so while this one waited for its
// turn. Only what was written before the sync began counts.
static lsm_status sync_segment(struct log *log, struct segment *segment, struct log_position to)
{
    struct mutex *sync_mu = segment_sync_mutex(segment);
    lsm_status status = LSM_OK;
    struct member before;

    mutex_lock(sync_mu);
    before = member_of(log, segment);
    if (before.segment != NULL && needs_sync(&before, to)) {
        status = segment_sync_locked(segment);
        if (status == LSM_OK)
            note_synced(log, segment, before.end, false);
    }
    mutex_unlock(sync_mu);
    return status;
}

lsm_status log_sync(struct log *log, struct log_position to)
{
    for (;;) {
        struct segment *segment;
        lsm_status status;

        TRY(poison_check(log->store->poison));
        segment = next_to_sync(log, to);
        if (segment == NULL)
            return LSM_OK;
        status = sync_segment(log, segment, to);
        segment_unref(segment);
        TRY(status);
    }
}

void log_cut_found(struct eventlog *events, struct segment *segment, uint64_t size)
{
    if (segment_cut_found(segment, size) != LSM_OK)
        eventlog_write(events, "segment_not_cut", "segment=%u size=%llu reason=\"%s\"",
                       segment_id(segment), (unsigned long long)size, lsm_errmsg());
}

static lsm_status seal_member(struct log *log, const struct member *m)
{
    struct mutex *sync_mu = segment_sync_mutex(m->segment);
    lsm_status status;

    mutex_lock(sync_mu);
    status = segment_seal_locked(m->segment, m->end);
    if (status == LSM_OK)
        note_synced(log, m->segment, m->end, true);
    mutex_unlock(sync_mu);
    return status;
}

// Whether there is a segment that has been left and is not sealed yet: `*out` is a
// copy of it with a reference.
static bool next_to_seal(struct log *log, struct member *out)
{
    bool is_found = false;

    mutex_lock(&log->mu);
    for (size_t i = 0; i < log->chain_count && !is_found; i++) {
        const struct member *m = &log->chain[i];

        is_found = m->is_left && !m->is_sealed;
        if (is_found) {
            *out = *m;
            segment_ref(m->segment);
        }
    }
    mutex_unlock(&log->mu);
    return is_found;
}

static lsm_status seal_left(struct log *log)
{
    struct member m;

    while (next_to_seal(log, &m)) {
        lsm_status status = LSM_OK;

        if (m.is_found) {
            log_cut_found(log->events, m.segment, m.end);
            note_synced(log, m.segment, m.end, true);
        } else {
            status = seal_member(log, &m);
        }
        segment_unref(m.segment);
        TRY(status);
    }
    return LSM_OK;
}

// --- upkeep ---

// The next segment is prepared when half of the active one is used, so that an idle
// database does not keep one for nothing.
static bool wants_prepared_locked(const struct log *log)
{
    const struct member *last = last_member(log);

    return log->prepared == NULL && last->end > segment_capacity(last->segment) / 2;
}

bool log_needs_upkeep(const struct log *log)
{
    struct mutex *mu = (struct mutex *)&log->mu;
    bool is_needed;

    if (poison_is_set(log->store->poison))
        return false;
    mutex_lock(mu);
    is_needed = wants_prepared_locked(log);
    for (size_t i = 0; i < log->chain_count; i++)
        is_needed |= log->chain[i].is_left && !log->chain[i].is_sealed;
    mutex_unlock(mu);
    return is_needed;
}

// Gives back a segment that the log has overtaken, or does not need.
static struct segment *keep_prepared(struct log *log, struct segment *segment)
{
    mutex_lock(&log->mu);
    if (log->prepared == NULL && segment_id(segment) > segment_id(last_member(log)->segment))
        log->prepared = MOVE(segment);
    mutex_unlock(&log->mu);
    return segment;
}

lsm_status log_upkeep(struct log *log)
{
    struct segment *segment;
    bool is_wanted;

    TRY(poison_check(log->store->poison));
    TRY(seal_left(log));
    mutex_lock(&log->mu);
    is_wanted = wants_prepared_locked(log);
    mutex_unlock(&log->mu);
    if (!is_wanted)
        return LSM_OK;
    TRY(prepare_segment(log, segment_size(log), &segment));
    discard_segment(keep_prepared(log, segment));
    return LSM_OK;
}

// --- looking at the chain ---

// Fills arrays with room for the whole chain; their borrowed segments stay as long as
// nobody releases them.
static size_t copy_chain_locked(const struct log *log, uint32_t from, struct log_link *links,
                                struct segment **segments)
{
    size_t count = 0;

    for (size_t i = 0; i < log->chain_count; i++) {
        const struct member *m = &log->chain[i];

        if (segment_id(m->segment) < from)
            continue;
        links[count].id = segment_id(m->segment);
        links[count].uuid = *segment_uuid(m->segment);
        links[count].final_size = i + 1 < log->chain_count ? m->end : 0;
        segments[count++] = m->segment;
    }
    return count;
}

static lsm_status chain_from(struct log *log, uint32_t from, struct log_link **links,
                             struct segment ***segments, size_t *count)
{
    CLEANUP(mem_freep) struct log_link *link_copy = NULL;
    CLEANUP(mem_freep) struct segment **segment_copy = NULL;
    size_t copied = 0;

    mutex_lock(&log->mu);
    link_copy = mem_alloc(log->chain_count * sizeof *link_copy);
    segment_copy = mem_alloc(log->chain_count * sizeof(struct segment *));
    if (link_copy != NULL && segment_copy != NULL)
        copied = copy_chain_locked(log, from, link_copy, segment_copy);
    mutex_unlock(&log->mu);
    if (link_copy == NULL || segment_copy == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log: copy of the chain");
    TRY(seal_left(log)); // all but the last of the copy had been left
    *links = MOVE(link_copy);
    *segments = MOVE(segment_copy);
    *count = copied;
    return LSM_OK;
}

lsm_status log_chain(struct log *log, struct log_position from, struct log_link **links,
                     struct segment ***segments, size_t *count)
{
    return chain_from(log, from.segment, links, segments, count);
}

lsm_status log_chain_all(struct log *log, struct log_link **links, struct segment ***segments,
                         size_t *count)
{
    return chain_from(log, 0, links, segments, count);
}

void log_release(struct log *log, struct log_position replay)
{
    size_t kept = 0;

    mutex_lock(&log->mu);
    for (size_t i = 0; i < log->chain_count; i++) {
        struct member m = log->chain[i];

        if (segment_id(m.segment) >= replay.segment || i + 1 == log->chain_count)
            log->chain[kept++] = m;
        else
            segment_unref(m.segment);
    }
    log->chain_count = kept;
    advance_mark_locked(log);
    mutex_unlock(&log->mu);
}

uint64_t log_bytes_since(const struct log *log, struct log_position from)
{
    struct mutex *mu = (struct mutex *)&log->mu;
    uint64_t bytes = 0;

    mutex_lock(mu);
    for (size_t i = 0; i < log->chain_count; i++) {
        const struct member *m = &log->chain[i];
        uint64_t start = FIRST_FRAME_AT;

        if (segment_id(m->segment) < from.segment)
            continue;
        if (segment_id(m->segment) == from.segment)
            start = from.offset;
        bytes += m->end > start ? m->end - start : 0;
    }
    mutex_unlock(mu);
    return bytes;
}

// --- closing ---

static void remove_prepared(struct log *log)
{
    struct segment *prepared = take_prepared(log);
    struct filename name;

    if (prepared == NULL)
        return;
    name = filename_of(FILENAME_SEGMENT, segment_id(prepared));
    segment_unref(prepared);
    (void)file_unlink(log->store->dir, name.text); // else the next open removes it
}

lsm_status log_finish(struct log *log)
{
    TRY(log_sync(log, log_end(log)));
    log->is_abandoned = true; // no frame follows
    mutex_lock(&log->mu);
    last_member(log)->is_left = true;
    mutex_unlock(&log->mu);
    TRY(seal_left(log));
    remove_prepared(log);
    return LSM_OK;
}
