// log_walk.c -- from the replay position along the chain, and behind its end.

#include "vlog/log_walk.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/plant.h"

// --- what there is ---

static lsm_status add_id(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct log_walk *walk = ctx;
    uint64_t id;

    (void)size;
    if (!is_regular || filename_parse(name, &id) != FILENAME_SEGMENT || id > UINT32_MAX)
        return LSM_OK;
    if (walk->id_count == walk->id_capacity) {
        size_t capacity = walk->id_capacity == 0 ? 64 : 2 * walk->id_capacity;
        uint32_t *ids = mem_resize_array(walk->ids, capacity, sizeof *ids);

        if (ids == NULL)
            return lsm_fail(LSM_NO_MEMORY, "log recovery: %zu segments", capacity);
        walk->ids = ids;
        walk->id_capacity = capacity;
    }
    walk->ids[walk->id_count++] = (uint32_t)id;
    return LSM_OK;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static lsm_status list_segments(struct log_walk *walk)
{
    TRY(dir_list(walk->store->dir, add_id, walk));
    if (walk->id_count != 0)
        qsort(walk->ids, walk->id_count, sizeof *walk->ids, compare_ids);
    return LSM_OK;
}

// --- life ---

lsm_status log_walk_init(struct log_walk *walk, struct segment_store *store,
                         const struct log_recovery_input *input)
{
    *walk = (struct log_walk){
        .store = store,
        .input = *input,
        .limit = {UINT32_MAX, UINT64_MAX},
    };
    return list_segments(walk);
}

static void forget_segments(struct log_walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        segment_unref(walk->segments[i].segment);
    walk->count = 0;
}

void log_walk_release(struct log_walk *walk)
{
    forget_segments(walk);
    mem_free(walk->segments);
    mem_free(walk->ids);
}

// --- opening segments ---

static struct filename segment_name(uint32_t id)
{
    return filename_of(FILENAME_SEGMENT, id);
}

static bool is_of_database(const struct log_walk *walk, const struct frame_scan *scan, uint32_t id)
{
    return uuid_equal(&scan->header.db_uuid, &walk->store->db_uuid) && scan->header.number == id;
}

lsm_status log_walk_open(const struct log_walk *walk, const struct log_link *link,
                         struct frame_scan *out)
{
    struct filename name = segment_name(link->id);

    TRY(frame_scan_open(walk->store->dir, name.text, out));
    if (is_of_database(walk, out, link->id) && uuid_equal(&out->header.file_uuid, &link->uuid))
        return LSM_OK;
    frame_scan_close(out);
    return lsm_fail(LSM_CORRUPT, "%s: offset 0: not the segment that the log names", name.text);
}

// Tells a header that never became durable, so that nothing behind it is log, from one
// that was damaged later.
static lsm_status judge_header(struct log_walk *walk, const char *name)
{
    bool is_damaged;

    TRY(frame_scan_is_damaged(walk->store->dir, name, &is_damaged));
    if (!is_damaged)
        return LSM_OK;
    return lsm_fail(LSM_CORRUPT,
                    "%s: offset 0: the header does not verify, but there are frames behind it",
                    name);
}

// Opens a segment that was listed; one that is gone since is damage, for nobody may remove what
// could be log. `*is_ours` is false, and nothing open, when it is none of ours.
static lsm_status open_candidate(struct log_walk *walk, uint32_t id, struct frame_scan *out,
                                 bool *is_ours)
{
    const struct filename name = segment_name(id);
    lsm_status status = frame_scan_open(walk->store->dir, name.text, out);

    *is_ours = false;
    if (status == LSM_CORRUPT)
        return judge_header(walk, name.text);
    TRY(status);
    *is_ours = is_of_database(walk, out, id);
    if (!*is_ours)
        frame_scan_close(out);
    return LSM_OK;
}

// --- marks ---

static void raise_mark(struct log_walk *walk, struct log_position mark)
{
    if (log_position_compare(mark, walk->found.mark) > 0)
        walk->found.mark = mark;
}

static lsm_status take_mark(struct log_walk *walk, const struct frame_scan *scan, uint64_t at,
                            const struct frame_header *header)
{
    if (header->edit_number > walk->input.edit_number)
        return lsm_fail(LSM_CORRUPT,
                        "%s: offset %" PRIu64 ": a frame was written after edit %" PRIu64
                        " of the manifest, which ends at edit %" PRIu64,
                        scan->file->name, at, header->edit_number, walk->input.edit_number);
    if (!PLANTED(IGNORE_MARKS))
        raise_mark(walk, header->mark);
    return LSM_OK;
}

static lsm_status search_marks(struct log_walk *walk, struct frame_scan *scan, uint64_t from)
{
    struct frame_header header;
    uint64_t used, at;

    TRY(frame_scan_used(scan, from, &used));
    walk->found.torn_bytes += used - from;
    if (used + FRAME_HEADER_SIZE < scan->limit)
        scan->limit = used + FRAME_HEADER_SIZE; // a header begins with what is not zero
    for (;;) {
        bool is_found;

        TRY(frame_scan_find(scan, from, &is_found, &at, &header));
        if (!is_found)
            return LSM_OK;
        TRY(take_mark(walk, scan, at, &header));
        from = at + FRAME_ALIGNMENT;
    }
}

// Marks behind the stop: in the rest of the last segment walked, and in segments with
// higher ids, whether they are log or not. Nothing lies behind a final length.
static lsm_status search_behind(struct log_walk *walk)
{
    const struct walked *last = &walk->segments[walk->count - 1];
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};

    TRY(log_walk_open(walk, &last->link, &scan));
    scan.limit = last->file_size;
    TRY(search_marks(walk, &scan, last->link.final_size));
    for (size_t i = 0; i < walk->id_count; i++) {
        CLEANUP(frame_scan_close) struct frame_scan later = {0};
        bool is_ours;

        if (walk->ids[i] <= last->link.id)
            continue;
        TRY(open_candidate(walk, walk->ids[i], &later, &is_ours));
        if (is_ours)
            TRY(search_marks(walk, &later, FIRST_FRAME_AT));
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
// chain (log_recovery_chain()), so that a link to it reaches over it; that no frame is
// missing between them is seen by the sequence.
static bool links_back(const struct frame_link *link, const struct log_link *before)
{
    bool is_over = link->segment > before->id && link->final_size == FIRST_FRAME_AT;

    return is_over || names(link, before);
}

// Whether a frame that verifies is the one that follows what has been walked.
// `before` is the segment walked before this one, or NULL.
static bool follows(const struct log_walk *walk, const struct frame_header *header, uint64_t at,
                    lsm_slice entries, const struct walked *before)
{
    bool is_first = walk->found.frame_count == 0;
    struct frame_link link;

    if (!is_first && header->sequence != walk->found.last_sequence + 1 &&
        !PLANTED(SKIP_SEQUENCE_CHECK))
        return false;
    if (header->type == FRAME_LINK)
        return at == FIRST_FRAME_AT && frame_link_decode(entries, &link) &&
               (before == NULL || links_back(&link, &before->link)) && header->ts >= walk->frame_ts;
    return header->type == FRAME_COMMIT ? is_first || header->ts > walk->frame_ts
                                        : header->ts >= walk->frame_ts;
}

static lsm_status check_type(const struct frame_scan *scan, uint64_t at,
                             const struct frame_header *header)
{
    if (header->type == FRAME_COMMIT || header->type == FRAME_LINK || header->type == FRAME_MARK)
        return LSM_OK;
    return lsm_fail(LSM_UNSUPPORTED, "%s: offset %" PRIu64 ": frame of type %d", scan->file->name,
                    at, (int)header->type);
}

static void count_wall(struct log_walk *walk, const struct frame_header *header)
{
    struct log_found *found = &walk->found;

    found->last_wall_ns = header->wall_ns;
    if (header->edit_number >= walk->input.edit_number &&
        (found->low_wall_ns == 0 || header->wall_ns < found->low_wall_ns))
        found->low_wall_ns = header->wall_ns;
}

static void count_frame(struct log_walk *walk, const struct frame_header *header)
{
    walk->found.frame_count++;
    walk->found.last_sequence = header->sequence;
    walk->frame_ts = header->ts;
    if (header->ts > walk->found.last_ts)
        walk->found.last_ts = header->ts;
    if (header->wall_ns != 0)
        count_wall(walk, header);
}

// Walks the frames of one segment from w->start on and sets where they end.
static lsm_status walk_segment(struct log_walk *walk, struct frame_scan *scan, struct walked *w,
                               const struct walked *before)
{
    struct frame_header header;
    uint64_t at = w->start;
    lsm_slice entries;

    // Without a limit it names the last id there can be, at an offset that no file has.
    if (walk->limit.segment == w->link.id && walk->limit.offset < scan->limit)
        scan->limit = walk->limit.offset;
    for (;;) {
        bool verifies;

        TRY(frame_scan_at(scan, at, false, &verifies, &header, &entries));
        if (!verifies)
            break;
        TRY(take_mark(walk, scan, at, &header));
        TRY(check_type(scan, at, &header));
        if (!follows(walk, &header, at, entries, before))
            break;
        count_frame(walk, &header);
        at += frame_size(header.body_size);
    }
    w->link.final_size = at;
    return LSM_OK;
}

static lsm_status reserve_walked(struct log_walk *walk)
{
    size_t capacity = walk->capacity == 0 ? 16 : 2 * walk->capacity;
    struct walked *walked;

    if (walk->count < walk->capacity)
        return LSM_OK;
    walked = mem_resize_array(walk->segments, capacity, sizeof *walked);
    if (walked == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log recovery: %zu segments", capacity);
    walk->segments = walked;
    walk->capacity = capacity;
    return LSM_OK;
}

// Adds the segment that `scan` is over to those walked, and walks it from `start`.
static lsm_status add_walked(struct log_walk *walk, struct frame_scan *scan, uint64_t start)
{
    const struct walked *before;
    struct walked *w;

    TRY(reserve_walked(walk));
    before = walk->count == 0 ? NULL : &walk->segments[walk->count - 1];
    w = &walk->segments[walk->count];
    w->link = (struct log_link){
        .id = (uint32_t)scan->header.number,
        .uuid = scan->header.file_uuid,
    };
    w->start = start;
    w->file_size = scan->limit;
    TRY(segment_new(walk->store, w->link.id, &w->link.uuid, 0, &w->segment));
    walk->count++;
    return walk_segment(walk, scan, w, before);
}

// A segment of the manifest's chain. When its final length is known, it was synced to
// there before the manifest named it, and nothing behind it is looked at.
static lsm_status walk_named(struct log_walk *walk, const struct log_link *link)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};
    uint64_t start = FIRST_FRAME_AT;
    uint64_t end;

    TRY(log_walk_open(walk, link, &scan));
    if (link->id == walk->input.replay.segment)
        start = walk->input.replay.offset;
    if (scan.limit < link->final_size || scan.limit < start)
        return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": the file ends before byte %" PRIu64,
                        scan.file->name, scan.limit, scan.limit < start ? start : link->final_size);
    if (link->final_size != 0) {
        scan.limit = link->final_size;
        raise_mark(walk, (struct log_position){link->id, link->final_size});
    }
    TRY(add_walked(walk, &scan, start));
    end = walk->segments[walk->count - 1].link.final_size;
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
    bool verifies;

    TRY(frame_scan_at(scan, FIRST_FRAME_AT, false, &verifies, &header, &entries));
    *is_link = verifies && header.type == FRAME_LINK && frame_link_decode(entries, &link) &&
               names(&link, last);
    return LSM_OK;
}

// Walks the segment that is linked behind the last one walked, if there is one.
static lsm_status walk_successor(struct log_walk *walk, bool *is_there)
{
    struct log_link last = walk->segments[walk->count - 1].link;

    for (size_t i = 0; i < walk->id_count; i++) {
        CLEANUP(frame_scan_close) struct frame_scan scan = {0};
        bool is_ours;

        if (walk->ids[i] <= last.id)
            continue;
        TRY(open_candidate(walk, walk->ids[i], &scan, &is_ours));
        if (!is_ours)
            continue;
        TRY(links_to(&scan, &last, is_there));
        if (*is_there)
            return add_walked(walk, &scan, FIRST_FRAME_AT);
    }
    *is_there = false;
    return LSM_OK;
}

static bool is_at_limit(const struct log_walk *walk)
{
    return walk->segments[walk->count - 1].link.id == walk->limit.segment;
}

// Step 2. The chain is walked from the segment of the replay position, or from the
// first behind it: a segment without a frame is not kept in the chain.
static lsm_status walk_chain(struct log_walk *walk)
{
    for (size_t i = 0; i < walk->input.chain_count; i++) {
        if (walk->input.chain[i].id < walk->input.replay.segment)
            continue;
        TRY(walk_named(walk, &walk->input.chain[i]));
        if (is_at_limit(walk))
            return LSM_OK;
    }
    if (walk->count == 0)
        return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": the log has no segment from here on",
                        segment_name(walk->input.replay.segment).text, walk->input.replay.offset);
    for (bool is_more = true; is_more && !is_at_limit(walk);)
        TRY(walk_successor(walk, &is_more));
    return LSM_OK;
}

static struct log_position walk_start(const struct log_walk *walk)
{
    return (struct log_position){walk->segments[0].link.id, walk->segments[0].start};
}

static struct log_position walk_end(const struct log_walk *walk)
{
    const struct log_link *last = &walk->segments[walk->count - 1].link;

    return (struct log_position){last->id, last->final_size};
}

// Steps 2 and 3 up to M. What lies below the start is flushed, so that M is not below.
lsm_status log_walk_run(struct log_walk *walk)
{
    forget_segments(walk);
    walk->frame_ts = 0;
    walk->found = (struct log_found){
        .mark = walk->input.mark,
        .last_ts = walk->input.last_ts,
        .id_max = walk->id_count == 0 ? 0 : walk->ids[walk->id_count - 1],
    };
    TRY(walk_chain(walk));
    TRY(search_behind(walk));
    raise_mark(walk, walk_start(walk));
    walk->found.end = walk_end(walk);
    return LSM_OK;
}

// --- frames, once they are known to verify ---

uint64_t log_walk_above_mark(const struct log_walk *walk, const struct walked *w)
{
    struct log_position mark = walk->found.mark;

    if (w->link.id < mark.segment)
        return w->link.final_size;
    return w->link.id == mark.segment && mark.offset > w->start ? mark.offset : w->start;
}

lsm_status log_walk_visit(const struct log_walk *walk, const struct log_link *link, uint64_t from,
                          uint64_t to, log_walk_fn visit, void *ctx)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};
    struct frame_header header;
    lsm_slice entries;

    if (from == to)
        return LSM_OK;
    TRY(log_walk_open(walk, link, &scan));
    while (from < to) {
        bool verifies;

        TRY(frame_scan_at(&scan, from, false, &verifies, &header, &entries));
        if (!verifies)
            return lsm_fail(LSM_CORRUPT,
                            "%s: offset %" PRIu64 ": a frame that did verify no longer does",
                            scan.file->name, from);
        TRY(visit(ctx, &scan, from, &header, entries));
        from += frame_size(header.body_size);
    }
    return LSM_OK;
}
