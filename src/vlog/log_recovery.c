// log_recovery.c -- walk, decide, restart, replay.
//
// The walk verifies headers and entries of every frame, and steps over the bytes of
// separated values: whether those must be read is not known before the mark M is,
// and M may be carried by the last frame there is. So values above M are verified
// afterwards; the first bad one becomes a limit, and the walk is made again with it.
//
//     replay           M                 end          limit of the file
//        |-- durable --|-- frames above --|-- torn tail --|
//                       `- copied to the restart segment
//
// All marks are true, whatever became of the frames that carry them, since a mark is
// written after the sync it tells of. So every header that verifies counts.

#include "vlog/log_recovery.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "vlog/frame_scan.h"

#define COPY_BYTES (1u << 20) // read and written at once

// A segment of the chain as found.
struct walked {
    struct log_link link;    // `final_size` is where its last frame ends
    struct segment *segment; // a reference
    uint64_t start;          // of its first frame at or behind the replay position
    uint64_t file_size;
};

struct log_recovery {
    struct segment_store *store;
    struct log_recovery_input input; // its chain is `chain`
    struct log_link *chain;
    uint32_t *ids; // of the segments in the directory, ascending
    size_t id_count;
    size_t id_capacity;

    struct log_position limit; // a value is bad there: the log ends before it
    struct walked *walked;     // from the replay position on, in order
    size_t walked_count;
    size_t walked_capacity;
    uint64_t frame_ts; // of the frame walked last
    struct log_found found;

    struct log_link *old_links; // what log_recovery_chain() gives
    struct segment **old_segments;
    size_t old_count;

    struct segment *restart; // a reference, or NULL before log_recovery_restart()
    uint64_t restart_end;
};

// --- life ---

static void forget_walked(struct log_recovery *r)
{
    for (size_t i = 0; i < r->walked_count; i++)
        segment_unref(r->walked[i].segment);
    r->walked_count = 0;
}

void log_recovery_free(struct log_recovery *r)
{
    if (r == NULL)
        return;
    forget_walked(r);
    segment_unref(r->restart);
    mem_free(r->walked);
    mem_free(r->chain);
    mem_free(r->ids);
    mem_free(r->old_links);
    mem_free(r->old_segments);
    mem_free(r);
}

static void log_recovery_freep(struct log_recovery **r)
{
    log_recovery_free(*r);
}

const struct log_found *log_recovery_found(const struct log_recovery *r)
{
    return &r->found;
}

// --- what there is ---

static lsm_status add_id(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct log_recovery *r = ctx;
    uint64_t id;

    (void)size;
    if (!is_regular || filename_parse(name, &id) != FILENAME_SEGMENT || id > UINT32_MAX)
        return LSM_OK;
    if (r->id_count == r->id_capacity) {
        size_t capacity = r->id_capacity == 0 ? 64 : 2 * r->id_capacity;
        uint32_t *ids = mem_resize_array(r->ids, capacity, sizeof *ids);

        if (ids == NULL)
            return lsm_fail(LSM_NO_MEMORY, "log recovery: %zu segments", capacity);
        r->ids = ids;
        r->id_capacity = capacity;
    }
    r->ids[r->id_count++] = (uint32_t)id;
    return LSM_OK;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static lsm_status list_segments(struct log_recovery *r)
{
    TRY(dir_list(r->store->dir, add_id, r));
    if (r->id_count != 0)
        qsort(r->ids, r->id_count, sizeof *r->ids, compare_ids);
    return LSM_OK;
}

static uint32_t highest_id(const struct log_recovery *r)
{
    uint32_t id_max = r->id_count == 0 ? 0 : r->ids[r->id_count - 1];

    for (size_t i = 0; i < r->input.chain_count; i++) {
        if (r->chain[i].id > id_max)
            id_max = r->chain[i].id;
    }
    return id_max;
}

static lsm_status copy_input(struct log_recovery *r, const struct log_recovery_input *input)
{
    size_t bytes = input->chain_count * sizeof *input->chain;

    r->chain = mem_alloc(bytes);
    if (r->chain == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log recovery: chain of %zu segments", input->chain_count);
    if (bytes != 0)
        memcpy(r->chain, input->chain, bytes);
    r->input = *input;
    r->input.chain = r->chain;
    return LSM_OK;
}

// --- opening segments ---

static struct filename segment_name(uint32_t id)
{
    return filename_of(FILENAME_SEGMENT, id);
}

static bool is_of_database(const struct log_recovery *r, const struct frame_scan *scan, uint32_t id)
{
    return uuid_equal(&scan->header.db_uuid, &r->store->db_uuid) && scan->header.number == id;
}

// Opens a segment that the chain names: whatever is wrong with it is damage.
static lsm_status open_named(struct log_recovery *r, const struct log_link *link,
                             struct frame_scan *out)
{
    struct filename name = segment_name(link->id);
    lsm_status status = frame_scan_open(r->store->dir, name.text, out);

    if (status == LSM_NOT_FOUND)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: a segment of the log is missing", name.text);
    TRY(status);
    if (is_of_database(r, out, link->id) && uuid_equal(&out->header.file_uuid, &link->uuid))
        return LSM_OK;
    frame_scan_close(out);
    return lsm_fail(LSM_CORRUPT, "%s: offset 0: not the segment that the log names", name.text);
}

// Tells a header that never became durable, so that nothing behind it is log, from one
// that was damaged later.
static lsm_status judge_header(struct log_recovery *r, const char *name)
{
    bool is_damaged;

    TRY(frame_scan_is_damaged(r->store->dir, name, &is_damaged));
    if (!is_damaged)
        return LSM_NOT_FOUND;
    return lsm_fail(LSM_CORRUPT,
                    "%s: offset 0: the header does not verify, but there are frames behind it",
                    name);
}

// Opens a segment that is merely there. LSM_NOT_FOUND when it is none of ours.
static lsm_status open_candidate(struct log_recovery *r, uint32_t id, struct frame_scan *out)
{
    const struct filename name = segment_name(id);
    lsm_status status = frame_scan_open(r->store->dir, name.text, out);

    if (status == LSM_CORRUPT)
        return judge_header(r, name.text);
    TRY(status);
    if (is_of_database(r, out, id))
        return LSM_OK;
    frame_scan_close(out);
    return LSM_NOT_FOUND;
}

// --- marks ---

static void raise_mark(struct log_recovery *r, struct log_position mark)
{
    if (log_position_compare(mark, r->found.mark) > 0)
        r->found.mark = mark;
}

static lsm_status take_mark(struct log_recovery *r, const struct frame_scan *scan, uint64_t at,
                            const struct frame_header *header)
{
    if (header->edit_number > r->input.edit_number)
        return lsm_fail(LSM_CORRUPT,
                        "%s: offset %" PRIu64 ": a frame was written after edit %" PRIu64
                        " of the manifest, which ends at edit %" PRIu64,
                        scan->file->name, at, header->edit_number, r->input.edit_number);
    if (!PLANTED(IGNORE_MARKS))
        raise_mark(r, header->mark);
    return LSM_OK;
}

static lsm_status search_marks(struct log_recovery *r, struct frame_scan *scan, uint64_t from)
{
    struct frame_header header;
    uint64_t used, at;

    TRY(frame_scan_used(scan, from, &used));
    r->found.torn_bytes += used - from;
    if (used + FRAME_HEADER_SIZE < scan->limit)
        scan->limit = used + FRAME_HEADER_SIZE; // a header begins with what is not zero
    for (;;) {
        lsm_status status = frame_scan_find(scan, from, &at, &header);

        if (status == LSM_NOT_FOUND)
            return LSM_OK;
        TRY(status);
        TRY(take_mark(r, scan, at, &header));
        from = at + FRAME_ALIGNMENT;
    }
}

// Marks behind the stop: in the rest of the last segment walked, and in segments with
// higher ids, whether they are log or not. Nothing lies behind a final length.
static lsm_status search_behind(struct log_recovery *r)
{
    const struct walked *last = &r->walked[r->walked_count - 1];
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};

    TRY(open_named(r, &last->link, &scan));
    scan.limit = last->file_size;
    TRY(search_marks(r, &scan, last->link.final_size));
    for (size_t i = 0; i < r->id_count; i++) {
        CLEANUP(frame_scan_close) struct frame_scan later = {0};
        lsm_status status;

        if (r->ids[i] <= last->link.id)
            continue;
        status = open_candidate(r, r->ids[i], &later);
        if (status == LSM_NOT_FOUND)
            continue;
        TRY(status);
        TRY(search_marks(r, &later, FIRST_FRAME_AT));
    }
    return LSM_OK;
}

// --- the walk ---

static bool names(const struct frame_link *link, const struct log_link *segment)
{
    return link->segment == segment->id && uuid_equal(&link->uuid, &segment->uuid) &&
           link->final_size == segment->final_size;
}

// Whether `link` goes to the segment walked before. One without a frame has left the
// chain (make_old_chain()), so that a link to it reaches over it; that no frame is
// missing between them is seen by the sequence.
static bool links_back(const struct frame_link *link, const struct log_link *before)
{
    bool is_over = link->segment > before->id && link->final_size == FIRST_FRAME_AT;

    return is_over || names(link, before);
}

// Whether a frame that verifies is the one that follows what has been walked.
// `before` is the segment walked before this one, or NULL.
static bool follows(const struct log_recovery *r, const struct frame_header *header, uint64_t at,
                    lsm_slice entries, const struct walked *before)
{
    bool is_first = r->found.frame_count == 0;
    struct frame_link link;

    if (!is_first && header->sequence != r->found.last_sequence + 1 &&
        !PLANTED(SKIP_SEQUENCE_CHECK))
        return false;
    if (header->type == FRAME_LINK)
        return at == FIRST_FRAME_AT && frame_link_decode(entries, &link) &&
               (before == NULL || links_back(&link, &before->link)) && header->ts >= r->frame_ts;
    return header->type == FRAME_COMMIT ? is_first || header->ts > r->frame_ts
                                        : header->ts >= r->frame_ts;
}

static lsm_status check_type(const struct frame_scan *scan, uint64_t at,
                             const struct frame_header *header)
{
    if (header->type == FRAME_COMMIT || header->type == FRAME_LINK || header->type == FRAME_MARK)
        return LSM_OK;
    return lsm_fail(LSM_UNSUPPORTED, "%s: offset %" PRIu64 ": frame of type %d", scan->file->name,
                    at, (int)header->type);
}

static void count_frame(struct log_recovery *r, const struct frame_header *header)
{
    r->found.frame_count++;
    r->found.last_sequence = header->sequence;
    r->frame_ts = header->ts;
    if (header->ts > r->found.last_ts)
        r->found.last_ts = header->ts;
    if (header->wall_ns > r->found.last_wall_ns)
        r->found.last_wall_ns = header->wall_ns;
}

// Walks the frames of one segment from w->start on and sets where they end.
static lsm_status walk_segment(struct log_recovery *r, struct frame_scan *scan, struct walked *w,
                               const struct walked *before)
{
    struct frame_header header;
    uint64_t at = w->start;
    lsm_slice entries;

    if (r->limit.segment == w->link.id && r->limit.offset < scan->limit)
        scan->limit = r->limit.offset;
    for (;;) {
        lsm_status status = frame_scan_at(scan, at, false, &header, &entries);

        if (status == LSM_NOT_FOUND)
            break;
        TRY(status);
        TRY(take_mark(r, scan, at, &header));
        TRY(check_type(scan, at, &header));
        if (!follows(r, &header, at, entries, before))
            break;
        count_frame(r, &header);
        at += frame_size(header.body_size);
    }
    w->link.final_size = at;
    return LSM_OK;
}

static lsm_status reserve_walked(struct log_recovery *r)
{
    size_t capacity = r->walked_capacity == 0 ? 16 : 2 * r->walked_capacity;
    struct walked *walked;

    if (r->walked_count < r->walked_capacity)
        return LSM_OK;
    walked = mem_resize_array(r->walked, capacity, sizeof *walked);
    if (walked == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log recovery: %zu segments", capacity);
    r->walked = walked;
    r->walked_capacity = capacity;
    return LSM_OK;
}

// Adds the segment that `scan` is over to those walked, and walks it from `start`.
static lsm_status add_walked(struct log_recovery *r, struct frame_scan *scan, uint64_t start)
{
    const struct walked *before;
    struct walked *w;

    TRY(reserve_walked(r));
    before = r->walked_count == 0 ? NULL : &r->walked[r->walked_count - 1];
    w = &r->walked[r->walked_count];
    w->link = (struct log_link){
        .id = (uint32_t)scan->header.number,
        .uuid = scan->header.file_uuid,
    };
    w->start = start;
    w->file_size = scan->limit;
    TRY(segment_new(r->store, w->link.id, &w->link.uuid, 0, &w->segment));
    r->walked_count++;
    return walk_segment(r, scan, w, before);
}

// A segment of the manifest's chain. When its final length is known, it was synced to
// there before the manifest named it, and nothing behind it is looked at.
static lsm_status walk_named(struct log_recovery *r, const struct log_link *link)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};
    uint64_t start = FIRST_FRAME_AT;
    uint64_t end;

    TRY(open_named(r, link, &scan));
    if (link->id == r->input.replay.segment)
        start = r->input.replay.offset;
    if (scan.limit < link->final_size || scan.limit < start)
        return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": the file ends before byte %" PRIu64,
                        scan.file->name, scan.limit, scan.limit < start ? start : link->final_size);
    if (link->final_size != 0) {
        scan.limit = link->final_size;
        raise_mark(r, (struct log_position){link->id, link->final_size});
    }
    TRY(add_walked(r, &scan, start));
    end = r->walked[r->walked_count - 1].link.final_size;
    if (link->final_size != 0 && end != link->final_size)
        return lsm_fail(LSM_CORRUPT,
                        "%s: offset %" PRIu64 ": no frame verifies, but the segment is known to "
                        "be good up to %" PRIu64,
                        scan.file->name, end, link->final_size);
    return LSM_OK;
}

// Whether the segment's first frame links it to `last`, the end of the walk.
static lsm_status links_to(struct frame_scan *scan, const struct log_link *last, bool *is_link)
{
    struct frame_header header;
    struct frame_link link;
    lsm_slice entries;
    lsm_status status = frame_scan_at(scan, FIRST_FRAME_AT, false, &header, &entries);

    *is_link = false;
    if (status == LSM_NOT_FOUND)
        return LSM_OK;
    TRY(status);
    *is_link = header.type == FRAME_LINK && frame_link_decode(entries, &link) && names(&link, last);
    return LSM_OK;
}

// Walks the segment that is linked behind the last one walked. LSM_NOT_FOUND when
// there is none.
static lsm_status walk_successor(struct log_recovery *r)
{
    struct log_link last = r->walked[r->walked_count - 1].link;

    for (size_t i = 0; i < r->id_count; i++) {
        CLEANUP(frame_scan_close) struct frame_scan scan = {0};
        lsm_status status;
        bool is_link;

        if (r->ids[i] <= last.id)
            continue;
        status = open_candidate(r, r->ids[i], &scan);
        if (status == LSM_NOT_FOUND)
            continue;
        TRY(status);
        TRY(links_to(&scan, &last, &is_link));
        if (is_link)
            return add_walked(r, &scan, FIRST_FRAME_AT);
    }
    return LSM_NOT_FOUND;
}

static bool is_at_limit(const struct log_recovery *r)
{
    return r->walked[r->walked_count - 1].link.id == r->limit.segment;
}

// Step 2. The chain is walked from the segment of the replay position, or from the
// first behind it: a segment without a frame is not kept in the chain.
static lsm_status walk_chain(struct log_recovery *r)
{
    for (size_t i = 0; i < r->input.chain_count; i++) {
        if (r->chain[i].id < r->input.replay.segment)
            continue;
        TRY(walk_named(r, &r->chain[i]));
        if (is_at_limit(r))
            return LSM_OK;
    }
    if (r->walked_count == 0)
        return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": the log has no segment from here on",
                        segment_name(r->input.replay.segment).text, r->input.replay.offset);
    while (!is_at_limit(r)) {
        lsm_status status = walk_successor(r);

        if (status == LSM_NOT_FOUND)
            return LSM_OK;
        TRY(status);
    }
    return LSM_OK;
}

static struct log_position walk_start(const struct log_recovery *r)
{
    return (struct log_position){r->walked[0].link.id, r->walked[0].start};
}

static struct log_position walk_end(const struct log_recovery *r)
{
    const struct log_link *last = &r->walked[r->walked_count - 1].link;

    return (struct log_position){last->id, last->final_size};
}

// Steps 2 and 3 up to M. What lies below the start is flushed, so that M is not below.
static lsm_status look(struct log_recovery *r)
{
    forget_walked(r);
    r->frame_ts = 0;
    r->found = (struct log_found){
        .mark = r->input.mark,
        .last_ts = r->input.last_ts,
        .id_max = highest_id(r),
    };
    TRY(walk_chain(r));
    TRY(search_behind(r));
    raise_mark(r, walk_start(r));
    r->found.end = walk_end(r);
    return LSM_OK;
}

// --- the decision ---

static lsm_status check_end(const struct log_recovery *r)
{
    struct log_position end = r->found.end;
    struct log_position mark = r->found.mark;
    uint64_t file_size = r->walked[r->walked_count - 1].file_size;
    bool is_exact = log_position_compare(end, r->input.mark) == 0 && file_size == end.offset;

    if (log_position_compare(end, mark) < 0)
        return lsm_fail(LSM_CORRUPT,
                        "%s: offset %" PRIu64 ": no frame verifies, but the log is known to be "
                        "good up to %s, offset %" PRIu64 "; lsmctl salvage reads what is left",
                        segment_name(end.segment).text, end.offset, segment_name(mark.segment).text,
                        mark.offset);
    if (r->input.is_clean && !is_exact)
        return lsm_fail(LSM_CORRUPT,
                        "%s: offset %" PRIu64 ": the log does not end at %s, offset %" PRIu64
                        ", where it was closed",
                        segment_name(end.segment).text, end.offset,
                        segment_name(r->input.mark.segment).text, r->input.mark.offset);
    return LSM_OK;
}

// Where the frames of `w` begin that lie at M or behind it; its end when there are none.
static uint64_t above_mark(const struct log_recovery *r, const struct walked *w)
{
    struct log_position mark = r->found.mark;

    if (w->link.id < mark.segment)
        return w->link.final_size;
    return w->link.id == mark.segment && mark.offset > w->start ? mark.offset : w->start;
}

// Reads the values of the frames above M in one segment. The first frame with a bad
// one becomes the limit.
static lsm_status verify_values(struct log_recovery *r, const struct walked *w)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};
    uint64_t at = above_mark(r, w);
    struct frame_header header;
    lsm_slice entries;

    if (at == w->link.final_size)
        return LSM_OK;
    TRY(open_named(r, &w->link, &scan));
    while (at < w->link.final_size) {
        lsm_status status = frame_scan_at(&scan, at, true, &header, &entries);

        if (status == LSM_NOT_FOUND) {
            r->limit = (struct log_position){w->link.id, at};
            return LSM_OK;
        }
        TRY(status);
        at += frame_size(header.body_size);
        r->found.copied_bytes += frame_size(header.body_size);
    }
    return LSM_OK;
}

static bool is_limited(const struct log_recovery *r)
{
    return r->limit.segment != UINT32_MAX;
}

static lsm_status verify_above(struct log_recovery *r)
{
    for (size_t i = 0; i < r->walked_count && !is_limited(r) && !PLANTED(SKIP_VALUES_ABOVE_MARK);
         i++)
        TRY(verify_values(r, &r->walked[i]));
    return LSM_OK;
}

static lsm_status decide(struct log_recovery *r)
{
    uint64_t copied_bytes;

    TRY(look(r));
    TRY(check_end(r));
    TRY(verify_above(r));
    if (!is_limited(r))
        return LSM_OK;
    copied_bytes = r->found.copied_bytes;
    TRY(look(r));
    r->found.copied_bytes = copied_bytes;
    return check_end(r);
}

// The chain below M. A segment without a frame holds nothing that anyone could need.
static lsm_status make_old_chain(struct log_recovery *r)
{
    r->old_links = mem_alloc(r->walked_count * sizeof *r->old_links);
    r->old_segments = mem_alloc(r->walked_count * sizeof(struct segment *));
    if (r->old_links == NULL || r->old_segments == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log recovery: chain of %zu segments", r->walked_count);
    for (size_t i = 0; i < r->walked_count; i++) {
        struct walked *w = &r->walked[i];
        struct log_link link = w->link;

        if (link.id > r->found.mark.segment)
            break;
        if (link.id == r->found.mark.segment)
            link.final_size = r->found.mark.offset;
        if (link.final_size == FIRST_FRAME_AT)
            continue;
        r->old_links[r->old_count] = link;
        r->old_segments[r->old_count++] = w->segment;
    }
    return LSM_OK;
}

lsm_status log_recovery_walk(struct segment_store *store, const struct log_recovery_input *input,
                             struct log_recovery **out)
{
    CLEANUP(log_recovery_freep) struct log_recovery *r = mem_alloc_zeroed(1, sizeof *r);

    if (r == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log recovery: %zu bytes", sizeof *r);
    r->store = store;
    r->limit = (struct log_position){UINT32_MAX, UINT64_MAX};
    TRY(copy_input(r, input));
    TRY(list_segments(r));
    TRY(decide(r));
    TRY(make_old_chain(r));
    *out = MOVE(r);
    return LSM_OK;
}

void log_recovery_chain(const struct log_recovery *r, const struct log_link **links,
                        struct segment *const **segments, size_t *count)
{
    *links = r->old_links;
    *segments = r->old_segments;
    *count = r->old_count;
}

// --- frames, once they are known to verify ---

typedef lsm_status (*visit_fn)(void *ctx, struct frame_scan *scan, uint64_t at,
                               const struct frame_header *header, lsm_slice entries);

static lsm_status visit_frames(struct log_recovery *r, const struct log_link *link, uint64_t from,
                               uint64_t to, visit_fn visit, void *ctx)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};
    struct frame_header header;
    lsm_slice entries;

    if (from == to)
        return LSM_OK;
    TRY(open_named(r, link, &scan));
    while (from < to) {
        lsm_status status = frame_scan_at(&scan, from, false, &header, &entries);

        if (status == LSM_NOT_FOUND)
            return lsm_fail(LSM_CORRUPT,
                            "%s: offset %" PRIu64 ": a frame that did verify no longer does",
                            scan.file->name, from);
        TRY(status);
        TRY(visit(ctx, &scan, from, &header, entries));
        from += frame_size(header.body_size);
    }
    return LSM_OK;
}

// --- the restart segment ---

struct copy {
    struct log_recovery *recovery;
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
    struct log_recovery *r = copy->recovery;
    uint64_t offset = copy->written + copy->pending.size;
    struct frame_header header = *from;
    uint64_t padding;
    uint8_t *to;

    (void)entries;
    header.mark = r->found.mark;
    header.edit_number = r->input.edit_number;
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
    padding = frame_size(header.body_size) - FRAME_HEADER_SIZE - header.body_size;
    TRY(copy_room(copy, padding, &to));
    memset(to, 0, padding);
    copy->pending.size += padding;
    return LSM_OK;
}

static lsm_status copy_above(struct log_recovery *r, struct segment *to, uint64_t *end)
{
    CLEANUP(copy_release)
    struct copy copy = {
        .recovery = r,
        .to = to,
        .written = FIRST_FRAME_AT,
    };

    for (size_t i = 0; i < r->walked_count; i++) {
        const struct walked *w = &r->walked[i];

        TRY(visit_frames(r, &w->link, above_mark(r, w), w->link.final_size, copy_frame, &copy));
    }
    TRY(copy_flush(&copy));
    *end = copy.written;
    return LSM_OK;
}

static lsm_status sync_restart(struct log_recovery *r, struct segment *segment)
{
    struct mutex *sync_mu = segment_sync_mutex(segment);
    lsm_status status;

    mutex_lock(sync_mu);
    status = PLANTED(SKIP_RESTART_SYNC) ? LSM_OK : segment_sync_locked(segment);
    mutex_unlock(sync_mu);
    return status == LSM_OK ? dir_sync(r->store->dir) : status;
}

lsm_status log_recovery_restart(struct log_recovery *r, uint32_t id, uint64_t size,
                                struct segment **out, uint64_t *end)
{
    uint64_t need = FIRST_FRAME_AT + r->found.copied_bytes;
    struct segment *segment;
    lsm_status status;

    assert(id > r->found.id_max && r->restart == NULL);
    TRY(log_create_segment(r->store, id, size > need ? size : need, &segment));
    status = copy_above(r, segment, &r->restart_end);
    if (status == LSM_OK)
        status = sync_restart(r, segment);
    if (status != LSM_OK) {
        // No manifest names it: it is not log.
        segment_mark_obsolete(segment);
        segment_unref(segment);
        return status;
    }
    segment_ref(segment);
    r->restart = segment;
    *out = segment;
    *end = r->restart_end;
    return LSM_OK;
}

// --- replay ---

struct replay {
    struct segment *segment;
    log_frame_fn fn;
    void *ctx;
};

static lsm_status replay_frame(void *ctx, struct frame_scan *scan, uint64_t at,
                               const struct frame_header *header, lsm_slice entries)
{
    const struct replay *replay = ctx;
    struct log_position position = {(uint32_t)scan->header.number, at};

    if (header->type != FRAME_COMMIT)
        return LSM_OK;
    return replay->fn(replay->ctx, header, position, replay->segment, entries);
}

lsm_status log_recovery_replay(struct log_recovery *r, bool read_only, log_frame_fn fn, void *ctx)
{
    struct replay replay = {.fn = fn, .ctx = ctx};
    struct log_link restart;

    for (size_t i = 0; i < r->walked_count; i++) {
        const struct walked *w = &r->walked[i];
        uint64_t end = read_only ? w->link.final_size : above_mark(r, w);

        replay.segment = w->segment;
        TRY(visit_frames(r, &w->link, w->start, end, replay_frame, &replay));
    }
    if (read_only || r->found.copied_bytes == 0)
        return LSM_OK;
    assert(r->restart != NULL);
    replay.segment = r->restart;
    restart.id = segment_id(r->restart);
    restart.uuid = *segment_uuid(r->restart);
    return visit_frames(r, &restart, FIRST_FRAME_AT, r->restart_end, replay_frame, &replay);
}
