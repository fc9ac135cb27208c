// log_fixture.h -- a log over an env, and the paper that stands for its manifest.
//
// The tests of the log share it. What a commit holds follows from its timestamp and
// shape alone, so that a replayed one can be checked byte for byte.

#ifndef LSM_TESTS_VLOG_LOG_FIXTURE_H
#define LSM_TESTS_VLOG_LOG_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file_header.h"
#include "support/random.h"
#include "vlog/log_recovery.h"

#define WORLD_DIR          "/db"
#define WORLD_SEGMENT_SIZE 4096
#define CONTENT_MAX        3
#define PAPER_CHAIN_MAX    64

// --- what a commit holds ---

enum shape {
    SHAPE_SMALL,  // inline values
    SHAPE_VALUES, // several separated values among inline ones
    SHAPE_HUGE,   // values larger than a segment
    SHAPE_COUNT,
    SHAPE_VAST = SHAPE_COUNT, // larger than what is read or copied at once; takes no turns
};

struct content {
    uint64_t ts;
    size_t count;
    char keys[CONTENT_MAX][48];
    size_t sizes[CONTENT_MAX];
    bool is_separate[CONTENT_MAX];
    uint8_t *values[CONTENT_MAX];
};

static inline void content_make(struct content *c, uint64_t ts, enum shape shape)
{
    static const size_t sizes[SHAPE_COUNT + 1][CONTENT_MAX] = {
        {20, 0, 33},
        {701, 40, 1003},
        {5001, 7, 4099},
        {2500001, 50, 300007},
    };
    struct random random = {.state = ts * 977};

    c->ts = ts;
    c->count = 1 + (shape == SHAPE_SMALL ? ts % CONTENT_MAX : CONTENT_MAX - 1);
    for (size_t i = 0; i < c->count; i++) {
        (void)snprintf(c->keys[i], sizeof c->keys[i], "key-%zu-%llu", i, (unsigned long long)ts);
        c->sizes[i] = sizes[shape][i];
        c->is_separate[i] = c->sizes[i] > 100;
        c->values[i] = malloc(c->sizes[i] + 1);
        random_fill(&random, c->values[i], c->sizes[i]);
    }
}

static inline void content_release(struct content *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->values[i]);
}

static inline lsm_status content_encode(const struct content *c, struct commit_frame *frame)
{
    commit_frame_release(frame);
    for (size_t i = 0; i < c->count; i++) {
        struct entry entry = {
            .keyspace = 1,
            .kind = ENTRY_VALUE,
            .user_byte = (uint8_t)i,
            .key = slice_of(c->keys[i]),
            .value = slice_make(c->values[i], c->sizes[i]),
        };

        TRY(commit_frame_add(frame, &entry, c->is_separate[i]));
    }
    TRY(commit_frame_finish(frame));
    frame->ts = c->ts;
    frame->wall_ns = c->ts * 1000;
    return LSM_OK;
}

// LSM_CORRUPT when the entry is not the content's with index `i`.
static inline lsm_status content_check_entry(const struct content *c, size_t i,
                                             const struct entry *entry, struct segment *segment)
{
    lsm_slice wanted = slice_make(c->values[i], c->sizes[i]);
    CLEANUP(lsm_buf_free) lsm_buf value = {0};
    struct value_pointer pointer;
    bool is_same;

    if (entry->ts != c->ts || entry->keyspace != 1 || entry->user_byte != i ||
        !slice_equal(entry->key, slice_of(c->keys[i])) ||
        (entry->kind == ENTRY_POINTER) != c->is_separate[i])
        return lsm_fail(LSM_CORRUPT, "content: entry %zu of commit %llu differs", i,
                        (unsigned long long)c->ts);
    if (entry->kind == ENTRY_POINTER) {
        TRY(pointer_decode(entry->value, &pointer));
        if (pointer.segment != segment_id(segment))
            return lsm_fail(LSM_CORRUPT, "content: pointer into segment %u", pointer.segment);
        TRY(segment_read_value(segment, &pointer, 1, entry->key, &value));
        is_same = slice_equal(slice_of_buf(&value), wanted);
    } else {
        is_same = slice_equal(entry->value, wanted);
    }
    if (!is_same)
        return lsm_fail(LSM_CORRUPT, "content: value %zu of commit %llu differs", i,
                        (unsigned long long)c->ts);
    return LSM_OK;
}

// LSM_CORRUPT when the frame does not hold exactly what commit `ts` has been given.
static inline lsm_status content_check(uint64_t ts, enum shape shape,
                                       const struct frame_header *header,
                                       struct log_position position, struct segment *segment,
                                       lsm_slice entries)
{
    CLEANUP(content_release) struct content c = {0};
    struct frame_reader r;
    struct entry entry;

    content_make(&c, ts, shape);
    if (header->entry_count != c.count || header->wall_ns != ts * 1000)
        return lsm_fail(LSM_CORRUPT, "content: header of commit %llu differs",
                        (unsigned long long)ts);
    frame_reader_over(&r, header, position, entries);
    for (size_t i = 0; i < c.count; i++) {
        if (frame_reader_next(&r, &entry) != FRAME_ENTRY)
            return lsm_fail(LSM_CORRUPT, "content: entry %zu is missing", i);
        TRY(content_check_entry(&c, i, &entry, segment));
    }
    return frame_reader_next(&r, &entry) == FRAME_END ? LSM_OK : LSM_CORRUPT;
}

// --- the paper ---

// What a manifest would hold: changed in one step, where a manifest is switched.
struct paper {
    struct log_link chain[PAPER_CHAIN_MAX];
    size_t chain_count;
    struct log_position replay;
    struct log_position mark;
    uint64_t edit_number;
    uint64_t last_ts;
    bool is_clean;
};

static inline struct log_recovery_input paper_input(const struct paper *paper)
{
    return (struct log_recovery_input){
        .chain = paper->chain,
        .chain_count = paper->chain_count,
        .replay = paper->replay,
        .mark = paper->mark,
        .edit_number = paper->edit_number,
        .last_ts = paper->last_ts,
        .is_clean = paper->is_clean,
    };
}

// --- the world of one process ---

struct world {
    struct dir *dir;
    struct epoch_bin bin;
    struct fd_cache *fds;
    struct unlinker *unlinker;
    struct poison poison;
    struct segment_store store;
    struct log *log; // NULL until world_recover()
    struct paper paper;
};

static inline void world_close(struct world *w)
{
    log_free(w->log);
    if (w->dir == NULL)
        return;
    epoch_drain(&w->bin);
    unlinker_free(w->unlinker);
    fd_cache_free(w->fds);
    poison_release(&w->poison);
    epoch_bin_release(&w->bin);
    dir_close(w->dir);
    w->dir = NULL;
    w->log = NULL;
}

// Opens the directory; no log yet.
static inline lsm_status world_open(struct world *w, struct env *env, const struct paper *paper)
{
    *w = (struct world){0};
    TRY(dir_open(env, WORLD_DIR, true, &w->dir));
    epoch_bin_init(&w->bin);
    poison_init(&w->poison);
    TRY(fd_cache_new(&w->bin, 16, &w->fds));
    TRY(unlinker_new(w->dir, &w->poison, &w->unlinker));
    w->store = (struct segment_store){
        .dir = w->dir,
        .db_uuid = {{0xDB, 1, 2, 3}},
        .fds = w->fds,
        .bin = &w->bin,
        .unlinker = w->unlinker,
        .poison = &w->poison,
    };
    w->paper = *paper;
    return LSM_OK;
}

// The log of a new database: one segment, which the paper names.
static inline lsm_status world_create(struct world *w)
{
    struct log_start start = {
        .end = FILE_HEADER_SIZE,
        .next_sequence = 1,
        .next_segment_id = 2,
    };

    TRY(segment_create(&w->store, 1, WORLD_SEGMENT_SIZE, &start.active));
    TRY(dir_sync(w->dir));
    TRY(log_new(&w->store, NULL, &start, &w->log));
    log_set_segment_size(w->log, WORLD_SEGMENT_SIZE);
    w->paper = (struct paper){
        .chain = {{.id = 1, .uuid = *segment_uuid(start.active)}},
        .chain_count = 1,
        .replay = {1, FILE_HEADER_SIZE},
        .mark = {1, FILE_HEADER_SIZE},
        .edit_number = 1,
    };
    return LSM_OK;
}

// Steps 4 and 5: restart segment, then the paper that names it, then the log.
static inline lsm_status world_restart(struct world *w, struct log_recovery *recovery)
{
    const struct log_found *found = log_recovery_found(recovery);
    struct segment *const *segments;
    const struct log_link *links;
    struct log_start start = {0};
    lsm_status status;

    log_recovery_chain(recovery, &links, &segments, &start.chain_count);
    TRY(log_recovery_restart(recovery, found->id_max + 1, WORLD_SEGMENT_SIZE, &start.active,
                             &start.end));
    for (size_t i = 0; i < start.chain_count; i++)
        w->paper.chain[i] = links[i];
    w->paper.chain[start.chain_count] = (struct log_link){
        .id = segment_id(start.active),
        .uuid = *segment_uuid(start.active),
    };
    w->paper.chain_count = start.chain_count + 1;
    w->paper.mark = (struct log_position){segment_id(start.active), start.end};
    if (start.chain_count == 0)
        w->paper.replay = (struct log_position){segment_id(start.active), FILE_HEADER_SIZE};
    w->paper.edit_number++;
    w->paper.last_ts = found->last_ts;
    w->paper.is_clean = false;
    start.next_sequence = found->last_sequence + 1;
    start.last_ts = found->last_ts;
    start.next_segment_id = segment_id(start.active) + 1;
    start.chain = links;
    start.chain_segments = segments;
    status = log_new(&w->store, NULL, &start, &w->log);
    if (status != LSM_OK)
        segment_unref(start.active);
    else
        log_set_segment_size(w->log, WORLD_SEGMENT_SIZE);
    return status;
}

static inline void log_recovery_drop(struct log_recovery **recovery)
{
    log_recovery_free(*recovery);
}

// Recovers the log the paper names and hands its frames to `fn`.
static inline lsm_status world_recover(struct world *w, log_frame_fn fn, void *ctx)
{
    CLEANUP(log_recovery_drop) struct log_recovery *recovery = NULL;
    struct log_recovery_input input = paper_input(&w->paper);

    TRY(log_recovery_walk(&w->store, &input, &recovery));
    TRY(world_restart(w, recovery));
    return log_recovery_replay(recovery, false, fn, ctx);
}

// Appends one commit per timestamp from `ts` on, in one group.
static inline lsm_status world_append(struct world *w, uint64_t ts, size_t count, enum shape shape)
{
    struct content contents[8] = {0};
    struct commit_frame frames[8] = {0};
    struct commit_frame *group[8];
    uint64_t bytes = 0;
    lsm_status status = LSM_OK;

    for (size_t i = 0; i < count && status == LSM_OK; i++) {
        content_make(&contents[i], ts + i, shape);
        status = content_encode(&contents[i], &frames[i]);
        group[i] = &frames[i];
        bytes += frames[i].size;
    }
    if (status == LSM_OK)
        status = log_reserve(w->log, bytes, w->paper.edit_number);
    if (status == LSM_OK)
        status = log_append(w->log, group, count, w->paper.edit_number);
    for (size_t i = 0; i < count; i++) {
        content_release(&contents[i]);
        commit_frame_release(&frames[i]);
    }
    return status;
}

static inline lsm_status world_sync(struct world *w)
{
    return log_sync(w->log, log_end(w->log));
}

// Everything so far is in tables: the paper moves the replay position to the end.
static inline lsm_status world_flush(struct world *w, uint64_t last_ts)
{
    struct log_position replay = log_end(w->log);
    struct segment **segments;
    struct log_link *links;
    size_t count;

    TRY(log_sync(w->log, replay));
    TRY(log_chain(w->log, replay, &links, &segments, &count));
    for (size_t i = 0; i < count; i++)
        w->paper.chain[i] = links[i];
    w->paper.chain_count = count;
    w->paper.replay = replay;
    w->paper.mark = log_mark(w->log);
    w->paper.last_ts = last_ts;
    w->paper.edit_number++;
    log_release(w->log, replay);
    mem_free(links);
    mem_free(segments);
    return LSM_OK;
}

// A clean close, up to the paper's last word; world_close() follows.
static inline lsm_status world_finish(struct world *w)
{
    struct segment **segments;
    struct log_link *links;
    size_t count;

    TRY(log_finish(w->log));
    TRY(log_chain(w->log, w->paper.replay, &links, &segments, &count));
    for (size_t i = 0; i < count; i++)
        w->paper.chain[i] = links[i];
    w->paper.chain_count = count;
    w->paper.mark = log_mark(w->log);
    w->paper.edit_number++;
    w->paper.is_clean = true;
    mem_free(links);
    mem_free(segments);
    return LSM_OK;
}

#endif
