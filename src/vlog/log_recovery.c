// log_recovery.c -- walk, judge, restart, replay.
//
// Whether a separated value must be read is not known before the mark M is, and M may be
// carried by the last frame there is. So values above M are verified after the walk; the
// first bad one becomes a limit, and the walk is made again with it.
//
//     replay           M                 end          limit of the file
//        |-- durable --|-- frames above --|-- torn tail --|
//                       `- copied to the restart segment

#include <assert.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "vlog/log_restart.h"
#include "vlog/log_walk.h"

struct log_recovery {
    struct log_walk walk;

    struct log_link *old_links; // what log_recovery_chain() gives
    struct segment **old_segments;
    size_t old_count;

    struct segment *restart; // a reference, or NULL before log_recovery_restart()
    uint64_t restart_end;
};

// --- life ---

void log_recovery_free(struct log_recovery *r)
{
    if (r == NULL)
        return;
    log_walk_release(&r->walk);
    segment_unref(r->restart);
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
    return &r->walk.found;
}

// --- judging the end ---

// Bytes that were durable must not be missing, and after a clean close none may be added.
static lsm_status check_end(const struct log_walk *walk)
{
    struct log_position end = walk->found.end;
    struct log_position mark = walk->found.mark;
    const struct filename end_name = filename_of(FILENAME_SEGMENT, end.segment);
    uint64_t file_size = walk->segments[walk->count - 1].file_size;
    bool is_exact = log_position_compare(end, walk->input.mark) == 0 && file_size == end.offset;

    if (log_position_compare(end, mark) < 0)
        return lsm_fail(LSM_CORRUPT,
                        "%s: offset %" PRIu64 ": no frame verifies, but the log is known to be "
                        "good up to %s, offset %" PRIu64 "; lsmctl salvage reads what is left",
                        end_name.text, end.offset, filename_of(FILENAME_SEGMENT, mark.segment).text,
                        mark.offset);
    if (walk->input.is_clean && !is_exact)
        return lsm_fail(LSM_CORRUPT,
                        "%s: offset %" PRIu64 ": the log does not end at %s, offset %" PRIu64
                        ", where it was closed",
                        end_name.text, end.offset,
                        filename_of(FILENAME_SEGMENT, walk->input.mark.segment).text,
                        walk->input.mark.offset);
    return LSM_OK;
}

// Reads the values of the frames above M in one segment. The first frame with a bad
// one becomes the limit.
static lsm_status verify_values(struct log_walk *walk, const struct walked *w)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {0};
    uint64_t at = log_walk_above_mark(walk, w);
    struct frame_header header;
    lsm_slice entries;

    if (at == w->link.final_size)
        return LSM_OK;
    TRY(log_walk_open(walk, &w->link, &scan));
    while (at < w->link.final_size) {
        bool verifies;

        TRY(frame_scan_at(&scan, at, true, &verifies, &header, &entries));
        if (!verifies) {
            walk->limit = (struct log_position){w->link.id, at};
            return LSM_OK;
        }
        at += frame_size(header.body_size);
        walk->found.copied_bytes += frame_size(header.body_size);
    }
    return LSM_OK;
}

static bool is_limited(const struct log_walk *walk)
{
    return walk->limit.segment != UINT32_MAX;
}

static lsm_status verify_above(struct log_walk *walk)
{
    for (size_t i = 0; i < walk->count && !is_limited(walk) && !PLANTED(SKIP_VALUES_ABOVE_MARK);
         i++)
        TRY(verify_values(walk, &walk->segments[i]));
    return LSM_OK;
}

static lsm_status decide(struct log_walk *walk)
{
    uint64_t copied_bytes;

    TRY(log_walk_run(walk));
    TRY(check_end(walk));
    TRY(verify_above(walk));
    if (!is_limited(walk))
        return LSM_OK;
    copied_bytes = walk->found.copied_bytes;
    TRY(log_walk_run(walk));
    walk->found.copied_bytes = copied_bytes;
    return check_end(walk);
}

// --- what is known now ---

// The chain below M. A segment without a frame there holds nothing that anyone could need.
static lsm_status make_old_chain(struct log_recovery *r)
{
    r->old_links = mem_alloc(r->walk.count * sizeof *r->old_links);
    r->old_segments = mem_alloc(r->walk.count * sizeof(struct segment *));
    if (r->old_links == NULL || r->old_segments == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log recovery: chain of %zu segments", r->walk.count);
    for (size_t i = 0; i < r->walk.count; i++) {
        struct walked *w = &r->walk.segments[i];
        struct log_link link = w->link;

        if (link.id > r->walk.found.mark.segment)
            break;
        if (link.id == r->walk.found.mark.segment)
            link.final_size = r->walk.found.mark.offset;
        if (link.final_size <= FIRST_FRAME_AT)
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
    TRY(log_walk_init(&r->walk, store, input));
    TRY(decide(&r->walk));
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

// --- the restart segment ---

static lsm_status sync_restart(struct log_recovery *r, struct segment *segment)
{
    struct mutex *sync_mu = segment_sync_mutex(segment);
    lsm_status status;

    mutex_lock(sync_mu);
    status = PLANTED(SKIP_RESTART_SYNC) ? LSM_OK : segment_sync_locked(segment);
    mutex_unlock(sync_mu);
    return status == LSM_OK ? dir_sync(r->walk.store->dir) : status;
}

lsm_status log_recovery_restart(struct log_recovery *r, uint32_t id, uint64_t size,
                                struct segment **out, uint64_t *end)
{
    uint64_t need = FIRST_FRAME_AT + r->walk.found.copied_bytes;
    struct segment *segment;
    lsm_status status;

    assert(id > r->walk.found.id_max && r->restart == NULL);
    TRY(segment_create(r->walk.store, id, size > need ? size : need, &segment));
    status = log_restart_copy(&r->walk, segment, &r->restart_end);
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

    for (size_t i = 0; i < r->walk.count; i++) {
        const struct walked *w = &r->walk.segments[i];
        uint64_t end = read_only ? w->link.final_size : log_walk_above_mark(&r->walk, w);

        replay.segment = w->segment;
        TRY(log_walk_visit(&r->walk, &w->link, w->start, end, replay_frame, &replay));
    }
    if (read_only || r->walk.found.copied_bytes == 0)
        return LSM_OK;
    assert(r->restart != NULL);
    replay.segment = r->restart;
    restart = (struct log_link){.id = segment_id(r->restart), .uuid = *segment_uuid(r->restart)};
    return log_walk_visit(&r->walk, &restart, FIRST_FRAME_AT, r->restart_end, replay_frame,
                          &replay);
}
