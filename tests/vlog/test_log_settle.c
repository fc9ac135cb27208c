// test_log_settle.c -- the room that the log takes, gives back when nothing is written, and
// takes again.
//
// Crashes are in test_log_crash.c.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/alloc_fault.h"
#include "support/sim.h"

#define LARGE_SIZE (4 * WORLD_SEGMENT_SIZE)

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

static struct sim *sim;
static struct world w;
static uint64_t last_ts;

static void append(size_t count, enum shape shape)
{
    assert_ok(world_append(&w, last_ts + 1, count, shape));
    last_ts += count;
}

// The second segment is active, a large one, with `count` commits of `shape` in it.
static void fixture_fill(size_t count, enum shape shape)
{
    log_set_segment_size(w.log, LARGE_SIZE);
    while (log_end(w.log).segment == 1)
        append(1, SHAPE_SMALL);
    for (size_t i = 0; i < count; i++)
        append(1, shape);
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    cr_assert(eq(u64, segment_capacity(log_active(w.log)), LARGE_SIZE));
}

static void fixture_open(void)
{
    static const struct paper blank;

    last_ts = 0;
    assert_ok(sim_new(1, &sim));
    assert_ok(world_open(&w, sim_env(sim), &blank));
    assert_ok(world_create(&w));
}

static void fixture_close(void)
{
    world_close(&w);
    sim_free(sim);
}

static void install_and_open(void)
{
    cr_assert(alloc_fault_install());
    fixture_open();
}

TestSuite(log_settle, .init = fixture_open, .fini = fixture_close);
TestSuite(log_settle_memory, .init = install_and_open, .fini = fixture_close);

static lsm_status settle(void)
{
    return log_settle(w.log, WORLD_SEGMENT_SIZE, w.paper.edit_number);
}

static uint64_t file_size_of(uint32_t id)
{
    uint64_t size = 0;

    assert_ok(file_stat(w.dir, filename_of(FILENAME_SEGMENT, id).text, &size));
    return size;
}

static void set_fault(unsigned ops)
{
    const struct sim_fault fault = {.ops = ops, .at = 1, .status = LSM_NO_SPACE};

    sim_set_fault(sim, &fault);
}

// --- giving back ---

Test(log_settle, a_large_segment_of_few_values_is_left_for_a_small_one)
{
    uint64_t end;

    fixture_fill(8, SHAPE_SMALL);
    end = log_end(w.log).offset;
    assert_ok(settle());
    cr_assert(eq(u32, log_end(w.log).segment, 3));
    cr_assert(eq(u64, file_size_of(3), WORLD_SEGMENT_SIZE));
    assert_ok(log_upkeep(w.log));
    cr_assert(eq(u64, file_size_of(2), end));

    assert_ok(settle()); // once is enough
    cr_assert(eq(u32, log_end(w.log).segment, 3));
    append(1, SHAPE_SMALL);
    cr_assert(eq(u32, log_end(w.log).segment, 3));
}

Test(log_settle, a_segment_of_values_is_cut_to_what_is_used_until_it_is_appended_to)
{
    fixture_fill(3, SHAPE_VALUES);
    assert_ok(settle());
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    cr_assert(eq(u64, file_size_of(2), log_end(w.log).offset));

    append(1, SHAPE_VALUES);
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    cr_assert(eq(u64, file_size_of(2), LARGE_SIZE));
    assert_ok(world_sync(&w));
}

Test(log_settle, a_small_segment_is_cut_whatever_is_in_it)
{
    append(1, SHAPE_SMALL);
    assert_ok(settle());
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    cr_assert(eq(u64, file_size_of(1), log_end(w.log).offset));
}

Test(log_settle, what_is_cut_already_is_not_cut_again)
{
    append(1, SHAPE_SMALL);
    assert_ok(settle());
    set_fault(SIM_OP_TRUNCATE);
    assert_ok(settle());
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
}

Test(log_settle, an_abandoned_segment_is_left_alone)
{
    append(1, SHAPE_SMALL);
    set_fault(SIM_OP_WRITE);
    cr_assert(eq(int, world_append(&w, last_ts + 1, 1, SHAPE_SMALL), LSM_NO_SPACE));
    set_fault(SIM_OP_TRUNCATE);
    assert_ok(settle());
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
    append(1, SHAPE_SMALL);
    cr_assert(eq(u32, log_end(w.log).segment, 2));
}

Test(log_settle, a_poisoned_log_gives_nothing_back)
{
    append(1, SHAPE_SMALL);
    set_fault(SIM_OP_SYNC);
    cr_assert(eq(int, world_sync(&w), LSM_NO_SPACE));
    cr_assert(eq(int, settle(), LSM_POISONED));
    cr_assert(eq(u64, file_size_of(1), WORLD_SEGMENT_SIZE));
}

Test(log_settle, a_prepared_segment_is_given_back)
{
    append(1, SHAPE_VALUES);
    append(1, SHAPE_VALUES);
    assert_ok(log_upkeep(w.log));
    cr_assert(eq(u64, file_size_of(2), WORLD_SEGMENT_SIZE));
    assert_ok(settle());
    epoch_drain(&w.bin);
    (void)unlinker_drain(w.unlinker, SIZE_MAX);
    cr_assert(
        eq(int, file_stat(w.dir, filename_of(FILENAME_SEGMENT, 2).text, &(uint64_t){0}), LSM_IO));
    append(1, SHAPE_VALUES);
    cr_assert(eq(u32, log_end(w.log).segment, 3));
}

Test(log_settle, without_space_for_a_small_segment_all_stays_as_it_is)
{
    fixture_fill(8, SHAPE_SMALL);
    set_fault(SIM_OP_ALLOCATE);
    cr_assert(eq(int, settle(), LSM_NO_SPACE));
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    append(1, SHAPE_SMALL);
    cr_assert(eq(u32, log_end(w.log).segment, 2));
}

Test(log_settle, a_segment_that_cannot_be_cut_stays_as_it_is)
{
    append(1, SHAPE_SMALL);
    set_fault(SIM_OP_TRUNCATE);
    cr_assert(eq(int, settle(), LSM_NO_SPACE));
    cr_assert(eq(u64, file_size_of(1), WORLD_SEGMENT_SIZE));
    append(1, SHAPE_SMALL);
    assert_ok(world_sync(&w));
}

// --- taking again ---

Test(log_settle, without_space_to_take_again_a_commit_fails_softly)
{
    const struct sim_fault full = {
        .ops = SIM_OP_ALLOCATE, .at = 1, .for_ever = true, .status = LSM_NO_SPACE};

    append(1, SHAPE_SMALL);
    assert_ok(settle());
    sim_set_fault(sim, &full);
    cr_assert(eq(int, world_append(&w, last_ts + 1, 1, SHAPE_SMALL), LSM_NO_SPACE));
    cr_assert(not(poison_is_set(&w.poison)));
    sim_set_fault(sim, NULL);
    append(1, SHAPE_SMALL);
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    cr_assert(eq(u64, file_size_of(1), WORLD_SEGMENT_SIZE));
}

// Others may have filled the device meanwhile: what a commit needs is enough for it.
Test(log_settle, with_little_space_a_commit_takes_what_it_needs)
{
    append(1, SHAPE_SMALL);
    assert_ok(settle());
    for (unsigned i = 0; i < 2; i++) {
        set_fault(SIM_OP_ALLOCATE);
        append(1, SHAPE_SMALL);
        cr_assert(eq(u64, sim_fault_hits(sim), 1));
        cr_assert(eq(u64, file_size_of(1), log_end(w.log).offset));
    }
    append(1, SHAPE_SMALL);
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    cr_assert(eq(u64, file_size_of(1), WORLD_SEGMENT_SIZE));
    assert_ok(world_sync(&w));
}

// --- where room is scarce ---

// Segments to come are of full size, and the first one has no room for values any more.
static void fixture_fill_first(void)
{
    append(1, SHAPE_VALUES);
    append(1, SHAPE_VALUES);
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    log_set_segment_size(w.log, LARGE_SIZE);
}

// The room that is left is the flush's, by which room comes back, and that of the next open.
Test(log_settle, without_space_for_a_segment_of_full_size_moving_on_fails_softly)
{
    fixture_fill_first();
    set_fault(SIM_OP_ALLOCATE);
    cr_assert(eq(int, world_append(&w, last_ts + 1, 1, SHAPE_VALUES), LSM_NO_SPACE));
    cr_assert(eq(u64, sim_fault_hits(sim), 1));
    cr_assert(not(poison_is_set(&w.poison)));
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    cr_assert(
        eq(int, file_stat(w.dir, filename_of(FILENAME_SEGMENT, 2).text, &(uint64_t){0}), LSM_IO));
    append(1, SHAPE_VALUES);
    cr_assert(eq(u64, file_size_of(log_end(w.log).segment), LARGE_SIZE));
    assert_ok(world_sync(&w));
}

Test(log_settle, a_directory_that_cannot_be_synced_for_want_of_space_poisons)
{
    fixture_fill_first();
    set_fault(SIM_OP_DIR_SYNC);
    cr_assert(eq(int, world_append(&w, last_ts + 1, 1, SHAPE_VALUES), LSM_NO_SPACE));
    cr_assert(poison_is_set(&w.poison));
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    cr_assert(
        eq(int, file_stat(w.dir, filename_of(FILENAME_SEGMENT, 3).text, &(uint64_t){0}), LSM_IO));
}

// --- memory ---

static void settle_with_faults(void)
{
    const lsm_status status = settle();

    cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
    cr_assert(eq(int, log_end(w.log).segment == 2, alloc_fault_was_hit()));
}

// The chain has no room for a third segment yet.
Test(log_settle_memory, without_memory_for_a_small_segment_all_stays_as_it_is)
{
    fixture_fill(8, SHAPE_SMALL);
    ALLOC_FAULT_EACH(settle_with_faults());
    cr_assert(eq(u64, file_size_of(log_end(w.log).segment), WORLD_SEGMENT_SIZE));
    append(1, SHAPE_SMALL);
    assert_ok(world_sync(&w));
}
