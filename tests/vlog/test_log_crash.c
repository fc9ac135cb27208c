// test_log_crash.c -- the log under a power cut at every call.
//
// A script of commits runs over the sim. For every call the power goes before it; for
// every way the unsynced bytes may survive, the log is recovered and must hold a
// prefix of the commits that reaches at least as far as what was acknowledged as
// durable. Then recovery itself is cut at every one of its calls.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/sim.h"

#define TS_LIMIT 256

// What the application knows of its commits.
enum fate {
    FATE_NONE,    // never tried
    FATE_WRITTEN, // the append returned well
    FATE_FAILED,  // the append failed, while the machine ran
    FATE_UNKNOWN, // the power went during the append
};

struct history {
    enum fate fates[TS_LIMIT];
    enum shape shapes[TS_LIMIT];
    uint64_t last_ts;    // tried
    uint64_t durable_ts; // acknowledged as durable up to here
    uint64_t flushed_ts; // replay starts behind it
};

enum step_kind {
    STEP_COMMIT, // `count` commits of `shape` in one group
    STEP_SYNC,
    STEP_UPKEEP,
    STEP_FLUSH,
    STEP_GROW,       // segments to come are four times as large
    STEP_SETTLE,     // to a segment of the size at first
    STEP_FAIL_WRITE, // the next write fails after `count` bytes
    STEP_FINISH,
};

struct step {
    enum step_kind kind;
    size_t count;
    enum shape shape;
};

#define STEP(name)                                                                                 \
    {                                                                                              \
        .kind = STEP_##name                                                                        \
    }
#define COMMIT(n, its_shape)                                                                       \
    {                                                                                              \
        .kind = STEP_COMMIT, .count = n, .shape = its_shape                                        \
    }
#define FAIL_WRITE(bytes)                                                                          \
    {                                                                                              \
        .kind = STEP_FAIL_WRITE, .count = bytes                                                    \
    }

// --- invariants of every write ---

struct byte_range {
    char name[32];
    uint64_t from;
    uint64_t to;
};

// Checks what is being written against what is durable.
struct watch {
    struct byte_range ranges[1024];
    size_t range_count;
};

static void check_written_once(struct watch *watch, const char *name, uint64_t from, uint64_t size)
{
    struct byte_range *range;

    for (size_t i = 0; i < watch->range_count; i++) {
        range = &watch->ranges[i];
        if (strcmp(range->name, name) == 0)
            cr_assert(from >= range->to || from + size <= range->from,
                      "%s: bytes from %llu on are written twice", name, (unsigned long long)from);
    }
    cr_assert(watch->range_count < 1024);
    range = &watch->ranges[watch->range_count++];
    (void)snprintf(range->name, sizeof range->name, "%s", name);
    range->from = from;
    range->to = from + size;
}

// Whether the failed write counts is a matter of taste: its bytes are cut off, and the
// segment takes no more, so that they are not written again either.
static void on_write(void *ctx, struct sim *sim, const char *dir, const char *name, uint64_t offset,
                     const lsm_slice *parts, size_t count)
{
    uint64_t size = 0;
    const uint8_t *header;
    struct log_position mark;

    for (size_t i = 0; i < count; i++)
        size += parts[i].size;
    check_written_once(ctx, name, offset, size);
    if (offset < FILE_HEADER_SIZE || size == 0)
        return;
    header = parts[0].data;
    mark = (struct log_position){get_u32(header + 64), get_u64(header + 56)};
    cr_assert(
        sim_is_durable(sim, dir, filename_of(FILENAME_SEGMENT, mark.segment).text, mark.offset),
        "%s: a frame claims the mark %u:%llu, which is not synced", name, mark.segment,
        (unsigned long long)mark.offset);
    if (offset == FILE_HEADER_SIZE && header[4] == FRAME_LINK)
        cr_assert(sim_is_durable(sim, dir, name, FILE_HEADER_SIZE),
                  "%s is linked before it is durable", name);
}

// --- running a script ---

static lsm_status run_commit(struct world *w, struct sim *sim, struct history *h,
                             const struct step *step)
{
    uint64_t first = h->last_ts + 1;
    enum fate fate;
    lsm_status status;

    for (size_t i = 0; i < step->count; i++) {
        h->shapes[first + i] = step->shape;
        h->fates[first + i] = FATE_UNKNOWN;
    }
    h->last_ts += step->count;
    status = world_append(w, first, step->count, step->shape);
    fate = status == LSM_OK ? FATE_WRITTEN : sim_has_crashed(sim) ? FATE_UNKNOWN : FATE_FAILED;
    for (size_t i = 0; i < step->count; i++)
        h->fates[first + i] = fate;
    return fate == FATE_FAILED ? LSM_OK : status;
}

static lsm_status run_step(struct world *w, struct sim *sim, struct history *h,
                           const struct step *step)
{
    struct sim_fault fault = {
        .ops = SIM_OP_WRITE, .at = 1, .status = LSM_NO_SPACE, .short_by = step->count};

    switch (step->kind) {
    case STEP_COMMIT:
        return run_commit(w, sim, h, step);
    case STEP_SYNC:
        TRY(world_sync(w));
        h->durable_ts = h->last_ts;
        return LSM_OK;
    case STEP_UPKEEP:
        return log_upkeep(w->log);
    case STEP_FLUSH:
        TRY(world_flush(w, h->last_ts));
        h->durable_ts = h->last_ts;
        h->flushed_ts = h->last_ts;
        return LSM_OK;
    case STEP_GROW:
        log_set_segment_size(w->log, 4 * WORLD_SEGMENT_SIZE);
        return LSM_OK;
    case STEP_SETTLE:
        return log_settle(w->log, WORLD_SEGMENT_SIZE, w->paper.edit_number);
    case STEP_FAIL_WRITE:
        sim_set_fault(sim, &fault);
        return LSM_OK;
    case STEP_FINISH:
        TRY(world_finish(w));
        h->durable_ts = h->last_ts;
        return LSM_OK;
    }
    return LSM_INVALID;
}

static lsm_status run_script(struct world *w, struct sim *sim, struct history *h,
                             const struct step *script, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(run_step(w, sim, h, &script[i]));
    return LSM_OK;
}

// --- recovering ---

struct replayed {
    const struct history *history;
    uint64_t last_ts;
    size_t count;
};

static lsm_status on_frame(void *ctx, const struct frame_header *header,
                           struct log_position position, struct segment *segment, lsm_slice entries)
{
    struct replayed *replayed = ctx;
    const struct history *h = replayed->history;

    cr_assert(header->ts > replayed->last_ts, "in order");
    cr_assert(header->ts <= h->last_ts, "commit %llu was never made",
              (unsigned long long)header->ts);
    for (uint64_t ts = replayed->last_ts + 1; ts < header->ts; ts++)
        cr_assert(h->fates[ts] == FATE_FAILED, "commit %llu is missing before %llu",
                  (unsigned long long)ts, (unsigned long long)header->ts);
    cr_assert(h->fates[header->ts] != FATE_FAILED, "commit %llu had failed",
              (unsigned long long)header->ts);
    replayed->last_ts = header->ts;
    replayed->count++;
    return content_check(header->ts, h->shapes[header->ts], header, position, segment, entries);
}

// Recovers and checks that the log holds a prefix, of at least what was durable.
static lsm_status recover_checked(struct world *w, const struct history *h, uint64_t *last_ts)
{
    struct replayed replayed = {.history = h, .last_ts = h->flushed_ts};

    TRY(world_recover(w, on_frame, &replayed));
    for (uint64_t ts = replayed.last_ts + 1; ts <= h->durable_ts; ts++)
        cr_assert(h->fates[ts] == FATE_FAILED, "durable commit %llu is lost",
                  (unsigned long long)ts);
    *last_ts = replayed.last_ts;
    return LSM_OK;
}

// What the recovered log holds is now the whole truth.
static void settle(struct history *h, uint64_t last_ts)
{
    for (uint64_t ts = last_ts + 1; ts <= h->last_ts; ts++)
        h->fates[ts] = FATE_FAILED;
    for (uint64_t ts = 1; ts <= last_ts; ts++) {
        if (h->fates[ts] == FATE_UNKNOWN)
            h->fates[ts] = FATE_WRITTEN;
    }
    h->durable_ts = last_ts;
}

// What was allocated beyond the final lengths is given back, and not a byte more.
static lsm_status cut_checked(struct world *w)
{
    TRY(log_upkeep(w->log));
    for (size_t i = 0; i + 1 < w->paper.chain_count; i++) {
        const struct log_link *link = &w->paper.chain[i];
        uint64_t size;

        TRY(file_stat(w->dir, filename_of(FILENAME_SEGMENT, link->id).text, &size));
        cr_assert(eq(u64, size, link->final_size));
    }
    return LSM_OK;
}

// A process after the crash: recovers, commits more, and ends without closing.
static void check_life_after(struct sim *sim, struct paper *paper, struct history *h)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_VALUES),
        COMMIT(2, SHAPE_SMALL),
        STEP(SYNC),
        COMMIT(1, SHAPE_HUGE),
    };
    struct watch *watch = calloc(1, sizeof *watch);
    struct world w;
    uint64_t last_ts;

    sim_set_write_hook(sim, on_write, watch);
    cr_assert(eq(int, world_open(&w, sim_env(sim), paper), LSM_OK));
    cr_assert(eq(int, recover_checked(&w, h, &last_ts), LSM_OK), "%s", lsm_errmsg());
    settle(h, last_ts);
    cr_assert(eq(int, cut_checked(&w), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(int, run_script(&w, sim, h, script, 4), LSM_OK), "%s", lsm_errmsg());
    *paper = w.paper;
    world_close(&w);
    sim_set_write_hook(sim, NULL, NULL);
    free(watch);
}

static const struct survival {
    enum sim_survival kind;
    uint64_t seed;
} survivals[] = {
    {SIM_NONE, 0},   {SIM_ALL, 0},    {SIM_PREFIX, 1}, {SIM_PREFIX, 2},
    {SIM_RANDOM, 1}, {SIM_RANDOM, 2}, {SIM_RANDOM, 3},
};

static struct sim *survivor_of(const struct sim *crashed, struct survival survival)
{
    struct sim *sim;

    cr_assert(eq(int, sim_clone(crashed, &sim), LSM_OK));
    sim_restart(sim, survival.kind, survival.seed);
    return sim;
}

// Recovers twice, with a life in between that ends in another crash.
static void check_survivor(const struct sim *crashed, struct survival survival,
                           const struct paper *paper, const struct history *history)
{
    struct sim *sim = survivor_of(crashed, survival);
    struct history h = *history;
    struct paper current = *paper;

    check_life_after(sim, &current, &h);
    sim_restart(sim, survival.kind, survival.seed + 100);
    check_life_after(sim, &current, &h);
    sim_free(sim);
}

// The power goes again before call `call` of the recovery, or of the upkeep behind it. False
// when they need fewer calls.
static bool crash_in_recovery(const struct sim *crashed, struct survival survival, uint64_t call,
                              const struct paper *paper, const struct history *history)
{
    struct sim *sim = survivor_of(crashed, survival);
    struct history h = *history;
    struct paper current = *paper;
    struct world w = {0};
    uint64_t last_ts;
    lsm_status status;
    bool has_crashed;

    sim_crash_at(sim, call);
    status = world_open(&w, sim_env(sim), paper);
    if (status == LSM_OK)
        status = recover_checked(&w, &h, &last_ts);
    if (status == LSM_OK)
        status = log_upkeep(w.log);
    has_crashed = sim_has_crashed(sim);
    if (w.dir != NULL)
        current = w.paper;
    world_close(&w);
    if (has_crashed) {
        cr_assert(ne(int, status, LSM_CORRUPT), "%s", lsm_errmsg());
        sim_restart(sim, survival.kind, survival.seed + call);
        check_life_after(sim, &current, &h);
    }
    sim_free(sim);
    return has_crashed;
}

// Runs the script with the power going before call `call`. False when the script
// needs fewer calls.
static bool crash_at(const struct step *script, size_t count, uint64_t call)
{
    static const struct paper blank;
    struct watch *watch = calloc(1, sizeof *watch);
    struct history h = {0};
    struct world w = {0};
    struct sim *sim;
    struct paper paper;
    lsm_status status;
    bool has_crashed;

    cr_assert(eq(int, sim_new(7, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &blank), LSM_OK));
    cr_assert(eq(int, world_create(&w), LSM_OK));
    sim_set_write_hook(sim, on_write, watch);
    sim_crash_at(sim, call);
    status = run_script(&w, sim, &h, script, count);
    has_crashed = sim_has_crashed(sim);
    if (!has_crashed)
        cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
    paper = w.paper;
    world_close(&w);
    for (size_t i = 0; i < sizeof survivals / sizeof survivals[0]; i++) {
        check_survivor(sim, survivals[i], &paper, &h);
        for (uint64_t again = 1; crash_in_recovery(sim, survivals[i], again, &paper, &h); again++)
            ;
    }
    sim_free(sim);
    free(watch);
    return has_crashed;
}

static void crash_everywhere(const struct step *script, size_t count)
{
    uint64_t call = 1;

    while (crash_at(script, count, call))
        call++;
    cr_assert(call > count, "the script makes calls that a crash can hit");
}

#define CRASH_EVERYWHERE(script) crash_everywhere(script, sizeof(script) / sizeof(script)[0])

// --- the scripts ---

Test(log_crash, durable_small_commits_survive_a_crash_at_any_call)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_SMALL), STEP(SYNC), COMMIT(3, SHAPE_SMALL), STEP(SYNC),
        COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, a_commit_with_several_separated_values_survives_whole_or_not_at_all)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_VALUES), COMMIT(1, SHAPE_SMALL), STEP(SYNC),
        COMMIT(1, SHAPE_VALUES), COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, the_chain_survives_a_crash_at_any_call_of_moving_on)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_VALUES),
        COMMIT(1, SHAPE_VALUES),
        STEP(UPKEEP),
        COMMIT(1, SHAPE_VALUES),
        STEP(SYNC),
        COMMIT(1, SHAPE_VALUES),
        COMMIT(1, SHAPE_VALUES),
        STEP(UPKEEP),
        COMMIT(1, SHAPE_VALUES),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, a_value_larger_than_a_segment_survives_a_crash_at_any_call)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_SMALL), COMMIT(1, SHAPE_HUGE), STEP(SYNC),
        STEP(UPKEEP),           COMMIT(1, SHAPE_HUGE), COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, weak_commits_over_many_segments_leave_a_prefix)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_VALUES), COMMIT(2, SHAPE_VALUES), COMMIT(2, SHAPE_VALUES),
        COMMIT(1, SHAPE_HUGE),   COMMIT(3, SHAPE_SMALL),  COMMIT(2, SHAPE_VALUES),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, full_and_weak_commits_mixed_keep_what_was_acknowledged)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_SMALL),
        COMMIT(1, SHAPE_VALUES),
        STEP(SYNC),
        COMMIT(2, SHAPE_VALUES),
        COMMIT(1, SHAPE_SMALL),
        STEP(SYNC),
        STEP(UPKEEP),
        COMMIT(2, SHAPE_VALUES),
        COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, a_failed_append_never_comes_back_whatever_call_the_crash_hits)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_SMALL), FAIL_WRITE(0),   COMMIT(1, SHAPE_VALUES),
        COMMIT(1, SHAPE_SMALL), FAIL_WRITE(300), COMMIT(3, SHAPE_VALUES),
        COMMIT(1, SHAPE_SMALL), STEP(SYNC),      COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, a_failed_link_leaves_the_chain_whole_whatever_call_the_crash_hits)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_VALUES), COMMIT(1, SHAPE_VALUES), STEP(UPKEEP), FAIL_WRITE(20),
        COMMIT(1, SHAPE_VALUES), COMMIT(1, SHAPE_VALUES), STEP(SYNC),   COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, replay_begins_at_the_flushed_position_whatever_call_the_crash_hits)
{
    static const struct step script[] = {
        COMMIT(2, SHAPE_VALUES), STEP(FLUSH),  COMMIT(2, SHAPE_VALUES),
        COMMIT(1, SHAPE_SMALL),  STEP(UPKEEP), STEP(FLUSH),
        COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, a_clean_close_is_exact_and_a_crash_in_it_is_a_crash)
{
    static const struct step script[] = {
        COMMIT(2, SHAPE_VALUES),
        STEP(UPKEEP),
        COMMIT(1, SHAPE_VALUES),
        STEP(FINISH),
    };

    CRASH_EVERYWHERE(script);
}

// The segment moved on from has few values: it goes with the next flush.
Test(log_crash, a_log_that_settles_in_a_small_segment_survives_a_crash_at_any_call)
{
    static const struct step script[] = {
        STEP(GROW),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL), // in a larger segment
        STEP(UPKEEP),
        STEP(SETTLE),
        COMMIT(1, SHAPE_SMALL),
        STEP(FLUSH),
        COMMIT(1, SHAPE_VALUES),
        STEP(SYNC),
        COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

Test(log_crash, a_log_that_settles_and_is_flushed_at_once_survives_a_crash_at_any_call)
{
    static const struct step script[] = {
        STEP(GROW),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL),
        COMMIT(8, SHAPE_SMALL), // in a larger segment
        STEP(SETTLE),
        STEP(FLUSH),
        STEP(SETTLE),
        COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}

// The room is given back, allocated again, and what is written there is written once.
Test(log_crash, a_log_that_is_trimmed_between_commits_survives_a_crash_at_any_call)
{
    static const struct step script[] = {
        COMMIT(1, SHAPE_VALUES),
        STEP(SETTLE),
        COMMIT(1, SHAPE_SMALL),
        STEP(SYNC),
        STEP(SETTLE),
        COMMIT(1, SHAPE_VALUES),
        STEP(UPKEEP),
        STEP(SETTLE),
        COMMIT(1, SHAPE_SMALL),
        STEP(SETTLE),
        COMMIT(1, SHAPE_VALUES),
        STEP(SYNC),
        STEP(SETTLE),
        STEP(FLUSH),
        COMMIT(1, SHAPE_SMALL),
    };

    CRASH_EVERYWHERE(script);
}
