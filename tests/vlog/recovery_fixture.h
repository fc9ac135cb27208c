// recovery_fixture.h -- a log that ends without a word, and what is recovered from it.
//
// The tests of recovery share it: one sim, one process at a time.

#ifndef LSM_TESTS_VLOG_RECOVERY_FIXTURE_H
#define LSM_TESTS_VLOG_RECOVERY_FIXTURE_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/sim.h"

static struct sim *sim;
static struct paper paper;
static struct world w;

static inline void start_world(void)
{
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
}

// The process ends without a word; what it wrote is all on disk.
static inline void end_world(void)
{
    paper = w.paper;
    world_close(&w);
    sim_restart(sim, SIM_ALL, 0);
}

static inline void fixture_open(void)
{
    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    start_world();
    cr_assert(eq(int, world_create(&w), LSM_OK));
}

static inline void fixture_close(void)
{
    world_close(&w);
    sim_free(sim);
}

static inline void append(uint64_t ts, size_t count, enum shape shape)
{
    cr_assert(eq(int, world_append(&w, ts, count, shape), LSM_OK), "%s", lsm_errmsg());
}

static inline void sync_all(void)
{
    cr_assert(eq(int, world_sync(&w), LSM_OK));
}

static inline lsm_status walk(struct log_recovery **out)
{
    struct log_recovery_input input = paper_input(&paper);

    return log_recovery_walk(&w.store, &input, out);
}

// --- frames handed over ---

static enum shape shapes[64]; // of the commits, by timestamp

struct seen {
    size_t count;
    uint64_t ts[64];
    struct log_position positions[64];
};

static inline lsm_status on_frame(void *ctx, const struct frame_header *header,
                                  struct log_position position, struct segment *segment,
                                  lsm_slice entries)
{
    struct seen *seen = ctx;

    cr_assert(eq(u32, segment_id(segment), position.segment));
    seen->ts[seen->count] = header->ts;
    seen->positions[seen->count++] = position;
    return content_check(header->ts, shapes[header->ts], header, position, segment, entries);
}

static inline lsm_status recover(struct seen *seen)
{
    *seen = (struct seen){0};
    return world_recover(&w, on_frame, seen);
}

// The commits recovered are those with timestamps 1 to `count`.
static inline void assert_recovers(size_t count)
{
    struct seen seen;

    cr_assert(eq(int, recover(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(sz, seen.count, count));
    for (size_t i = 0; i < count; i++)
        cr_assert(eq(u64, seen.ts[i], i + 1));
}

static inline void append_shape(uint64_t ts, enum shape shape)
{
    shapes[ts] = shape;
    append(ts, 1, shape);
}

// Three durable commits and their end; the first has separated values.
static inline struct log_position append_durable(void)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_SMALL);
    append_shape(3, SHAPE_SMALL);
    sync_all();
    return log_end(w.log);
}

static inline const char *name_of(uint32_t id)
{
    static struct filename name;

    name = filename_of(FILENAME_SEGMENT, id);
    return name.text;
}

static inline void flip(uint32_t id, uint64_t offset)
{
    cr_assert(eq(int, sim_flip(sim, WORLD_DIR, name_of(id), offset, 0x10), LSM_OK));
}

static inline void assert_names(uint32_t id)
{
    cr_assert(ne(ptr, strstr(lsm_errmsg(), name_of(id)), NULL), "%s", lsm_errmsg());
    cr_assert(ne(ptr, strstr(lsm_errmsg(), "offset"), NULL), "%s", lsm_errmsg());
}

static inline void assert_walk_is(lsm_status wanted)
{
    struct log_recovery *recovery = NULL;
    lsm_status status = walk(&recovery);

    cr_assert(eq(int, status, wanted), "%s", lsm_errmsg());
    log_recovery_free(recovery);
}

// Recovers without writing, as a reader would: many times over, leaving nothing.
static inline lsm_status look(struct seen *seen)
{
    struct log_recovery *recovery = NULL;
    lsm_status status = walk(&recovery);

    *seen = (struct seen){0};
    if (status == LSM_OK)
        status = log_recovery_replay(recovery, true, on_frame, seen);
    log_recovery_free(recovery);
    return status;
}

static inline void append_over_three_segments(void)
{
    for (uint64_t ts = 1; ts <= 5; ts++)
        append_shape(ts, SHAPE_VALUES);
    sync_all();
    append_shape(6, SHAPE_SMALL);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 3));
}

// Names the whole chain as a flush would, but lets the replay begin at its start.
static inline void name_chain(void)
{
    struct log_position replay = w.paper.replay;
    struct segment **segments;
    struct log_link *links;
    size_t count;

    cr_assert(eq(int, log_chain_all(w.log, &links, &segments, &count), LSM_OK));
    memcpy(w.paper.chain, links, count * sizeof *links);
    w.paper.chain_count = count;
    w.paper.replay = replay;
    mem_free(links);
    mem_free(segments);
}

#endif
