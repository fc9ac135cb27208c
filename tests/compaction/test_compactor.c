// test_compactor.c -- the jobs that keep the tree in shape, one at a time.

#include "compaction/compactor.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "compaction/level_targets.h"
#include "support/engine_fixture.h"

#define assert_ok(expression) cr_assert(eq(int, (expression), LSM_OK), "%s", lsm_errmsg())

#define NS_PER_SECOND 1000000000ull

static struct engine_fixture f;
static unsigned change_count;

static void on_changed(void *ctx)
{
    (void)ctx;
    change_count++;
}

static void setup(void)
{
    engine_fixture_init(&f, 1);
    engine_fixture_start_jobs(&f, 2);
    compactor_set_notify(f.compactor, on_changed, NULL);
}

static void teardown(void)
{
    engine_fixture_release(&f);
}

static void fill(unsigned from, unsigned to, size_t size)
{
    for (unsigned i = from; i < to; i++)
        engine_put(&f, i, size + i % 90);
    engine_rotate(&f);
}

static void run_jobs(void)
{
    while (scheduler_run_one(f.scheduler))
        continue;
}

Test(compactor, a_wake_flushes_and_merges_what_there_is, .init = setup, .fini = teardown)
{
    for (unsigned i = 0; i < 5; i++)
        fill(i * 10, i * 10 + 60, 50);
    compactor_wake(f.compactor);
    run_jobs();
    cr_assert(eq(u64, atomic_load(&f.stats.flush_count), 5));
    cr_assert(gt(u64, atomic_load(&f.stats.merge_count), 0));
    cr_assert(lt(sz, engine_table_count(&f, 0), 3));
    cr_assert(eq(uint, change_count,
                 (unsigned)(atomic_load(&f.stats.flush_count) + atomic_load(&f.stats.merge_count) +
                            atomic_load(&f.stats.move_count))));
    cr_assert(engine_agrees(&f, 120, 0));
    assert_ok(compactor_health(f.compactor));
}

Test(compactor, waiting_for_the_flush_runs_it, .init = setup, .fini = teardown)
{
    fill(0, 20, 50);
    fill(0, 20, 60);
    assert_ok(compactor_wait_flushed(f.compactor));
    cr_assert(eq(u64, atomic_load(&f.stats.flush_count), 2));
    assert_ok(compactor_wait_flushed(f.compactor));
}

Test(compactor, idle_means_no_level_is_above_its_target, .init = setup, .fini = teardown)
{
    struct level_targets targets;
    struct view *view;

    for (unsigned i = 0; i < 12; i++)
        fill(i * 40 % 300, i * 40 % 300 + 100, 70);
    assert_ok(compactor_wait_idle(f.compactor));
    view = views_acquire(&f.views);
    level_targets_compute(view->version, &f.options, &targets);
    for (unsigned i = 0; i < LEVEL_COUNT; i++)
        cr_assert(targets.score[i] <= 1.0, "level %u: %f", i, targets.score[i]);
    cr_assert(eq(u64, compaction_debt(view->version, &f.options), 0));
    view_unref(view);
    cr_assert(engine_agrees(&f, 420, 0));
}

Test(compactor, while_paused_nothing_is_merged, .init = setup, .fini = teardown)
{
    compactor_pause(f.compactor);
    compactor_pause(f.compactor);
    for (unsigned i = 0; i < 5; i++)
        fill(0, 60, 50);
    assert_ok(compactor_wait_idle(f.compactor));
    cr_assert(eq(sz, engine_table_count(&f, 0), 5));
    compactor_resume(f.compactor);
    assert_ok(compactor_wait_idle(f.compactor));
    cr_assert(eq(sz, engine_table_count(&f, 0), 5));
    compactor_resume(f.compactor);
    assert_ok(compactor_wait_idle(f.compactor));
    cr_assert(eq(sz, engine_table_count(&f, 0), 0));
}

// --- by hand ---

Test(compactor, compacting_a_range_leaves_one_version_of_each_key, .init = setup, .fini = teardown)
{
    for (unsigned i = 0; i < 8; i++)
        fill(i * 30, i * 30 + 100, 60);
    for (unsigned i = 0; i < 310; i += 3)
        engine_delete(&f, i);
    engine_rotate(&f);
    assert_ok(compactor_compact_range(f.compactor, 0, NULL, NULL));
    cr_assert(eq(u64, engine_tombstone_count(&f), 0));
    cr_assert(eq(u64, engine_entry_count(&f), 310 - 104));
    cr_assert(engine_agrees(&f, 400, 0));
}

// Tombstones that a snapshot held back lie in the last level when it goes.
Test(compactor, compacting_a_range_rewrites_the_last_level_once, .init = setup, .fini = teardown)
{
    uint64_t merges;

    fill(0, 50, 60);
    f.oldest_ts = f.model->last_ts;
    for (unsigned i = 0; i < 50; i++)
        engine_delete(&f, i);
    engine_rotate(&f);
    compactor_pause(f.compactor);
    assert_ok(compactor_compact_range(f.compactor, 1, NULL, NULL));
    cr_assert(eq(u64, engine_entry_count(&f), 100));
    merges = atomic_load(&f.stats.merge_count);

    // Nothing can be dropped yet: each table is rewritten, once.
    assert_ok(compactor_compact_range(f.compactor, 1, NULL, NULL));
    cr_assert(gt(u64, atomic_load(&f.stats.merge_count), merges));
    f.oldest_ts = TS_MAX;
    assert_ok(compactor_compact_range(f.compactor, 1, NULL, NULL));
    cr_assert(eq(u64, engine_entry_count(&f), 0));
    compactor_resume(f.compactor);
}

Test(compactor, compacting_a_range_leaves_other_keys_alone, .init = setup, .fini = teardown)
{
    lsm_slice from = slice_of("key-00000"), to = slice_of("key-00010");

    atomic_store(&f.options.compression, 0);
    compactor_pause(f.compactor);
    fill(0, 300, 60);
    assert_ok(compactor_compact_range(f.compactor, 0, NULL, NULL));
    fill(0, 20, 60);
    fill(200, 220, 60); // newer than the tables merged: stays
    assert_ok(compactor_wait_flushed(f.compactor));
    assert_ok(compactor_compact_range(f.compactor, 1, &from, &to));
    cr_assert(eq(sz, engine_table_count(&f, 0), 1));
    cr_assert(engine_agrees(&f, 310, 0));
    compactor_resume(f.compactor);
}

// --- time ---

Test(compactor, an_idle_tree_gets_rid_of_old_tombstones_and_expired_values, .init = setup,
     .fini = teardown)
{
    struct model_version v = {.keyspace = 1, .size = 50, .expiry = 1000};

    // Large enough that no level asks for a merge by its size.
    atomic_store(&f.options.level_base_size, 1 << 20);
    fill(0, 200, 60);
    assert_ok(compactor_compact_range(f.compactor, 0, NULL, NULL));
    engine_delete(&f, 5);
    for (v.key = 300; v.key < 320; v.key++)
        fixture_commit(&f, v);
    engine_rotate(&f);
    assert_ok(compactor_wait_idle(f.compactor));
    cr_assert(eq(u64, engine_tombstone_count(&f), 1));

    f.oldest_wall = 2000;
    sim_advance(f.sim, 7 * 3600 * NS_PER_SECOND);
    run_jobs();
    cr_assert(eq(u64, engine_tombstone_count(&f), 0));
    cr_assert(eq(u64, engine_entry_count(&f), 199));
    cr_assert(engine_agrees(&f, 330, 0));
}

Test(compactor, a_dropped_keyspace_is_cleared_away, .init = setup, .fini = teardown)
{
    struct model_version v = {.keyspace = 2, .size = 60};

    fill(0, 20, 60);
    for (v.key = 0; v.key < 100; v.key++)
        fixture_commit(&f, v);
    engine_rotate(&f);
    assert_ok(compactor_wait_idle(f.compactor));
    cr_assert(eq(u64, engine_entry_count(&f), 120));
    f.dropped = 2;
    compactor_wake(f.compactor);
    assert_ok(compactor_wait_idle(f.compactor));
    cr_assert(eq(u64, engine_entry_count(&f), 20));
}

// --- failures ---

Test(compactor, a_flush_that_finds_no_space_is_tried_again_after_a_while, .init = setup,
     .fini = teardown)
{
    struct sim_fault full = {.ops = SIM_OP_WRITE,
                             .name_part = ".sst",
                             .at = 1,
                             .for_ever = true,
                             .status = LSM_NO_SPACE};

    fill(0, 60, 60);
    sim_set_fault(f.sim, &full);
    cr_assert(eq(int, compactor_wait_flushed(f.compactor), LSM_NO_SPACE));
    cr_assert(eq(int, compactor_health(f.compactor), LSM_NO_SPACE));
    cr_assert(engine_agrees(&f, 70, 0));
    run_jobs(); // the retry is not due
    sim_set_fault(f.sim, NULL);
    cr_assert(eq(u64, atomic_load(&f.stats.flush_count), 0));
    sim_advance(f.sim, NS_PER_SECOND);
    run_jobs();
    cr_assert(eq(u64, atomic_load(&f.stats.flush_count), 1));
    assert_ok(compactor_health(f.compactor));
}

Test(compactor, a_merge_that_finds_no_space_is_tried_again_at_a_wake, .init = setup,
     .fini = teardown)
{
    struct sim_fault full = {.ops = SIM_OP_WRITE,
                             .name_part = ".sst",
                             .at = 1,
                             .for_ever = true,
                             .status = LSM_NO_SPACE};

    compactor_pause(f.compactor);
    for (unsigned i = 0; i < 4; i++)
        fill(0, 60, 60);
    assert_ok(compactor_wait_flushed(f.compactor));
    sim_set_fault(f.sim, &full);
    compactor_resume(f.compactor);
    cr_assert(eq(int, compactor_wait_idle(f.compactor), LSM_NO_SPACE));
    cr_assert(eq(u64, atomic_load(&f.stats.errors), 1));
    sim_set_fault(f.sim, NULL);
    compactor_wake(f.compactor);
    run_jobs();
    cr_assert(eq(sz, engine_table_count(&f, 0), 0));
    assert_ok(compactor_health(f.compactor));
}

// rivals: a damaged table made others compact in an endless loop.
Test(compactor, a_merge_that_meets_damage_is_left_alone_for_a_growing_time, .init = setup,
     .fini = teardown)
{
    struct sim_fault unreadable = {
        .ops = SIM_OP_READ, .name_part = ".sst", .at = 1, .for_ever = true, .status = LSM_IO};

    compactor_pause(f.compactor);
    for (unsigned i = 0; i < 4; i++)
        fill(0, 60, 60);
    assert_ok(compactor_wait_flushed(f.compactor));
    sim_set_fault(f.sim, &unreadable);
    compactor_resume(f.compactor);
    run_jobs();
    cr_assert(eq(u64, atomic_load(&f.stats.errors), 1));
    cr_assert(eq(int, compactor_health(f.compactor), LSM_IO));

    // Flushing goes on, and so do merges of other tables.
    fill(0, 60, 70);
    compactor_wake(f.compactor);
    run_jobs();
    cr_assert(eq(u64, atomic_load(&f.stats.flush_count), 5));
    cr_assert(eq(u64, atomic_load(&f.stats.errors), 1));

    sim_advance(f.sim, 61 * NS_PER_SECOND);
    run_jobs();
    cr_assert(eq(u64, atomic_load(&f.stats.errors), 2));
    sim_advance(f.sim, 61 * NS_PER_SECOND);
    run_jobs();
    cr_assert(eq(u64, atomic_load(&f.stats.errors), 2));

    sim_set_fault(f.sim, NULL);
    cr_assert(eq(int, compactor_compact_range(f.compactor, 0, NULL, NULL), LSM_IO));
    sim_advance(f.sim, 61 * NS_PER_SECOND);
    run_jobs();
    assert_ok(compactor_wait_idle(f.compactor));
    assert_ok(compactor_health(f.compactor));
    cr_assert(eq(sz, engine_table_count(&f, 0), 0));
    cr_assert(engine_agrees(&f, 70, 0));
}

Test(compactor, once_poisoned_nothing_runs_and_no_wait_lasts, .init = setup, .fini = teardown)
{
    fill(0, 60, 60);
    (void)poison_set(&f.poison, lsm_fail(LSM_IO, "made up"));
    compactor_wake(f.compactor);
    run_jobs();
    cr_assert(eq(u64, atomic_load(&f.stats.flush_count), 0));
    cr_assert(eq(int, compactor_wait_flushed(f.compactor), LSM_POISONED));
    cr_assert(eq(int, compactor_wait_idle(f.compactor), LSM_POISONED));
    cr_assert(eq(int, compactor_compact_range(f.compactor, 0, NULL, NULL), LSM_POISONED));
    cr_assert(engine_agrees(&f, 70, 0));
}

// --- at random ---

#define KEYS 80

static void random_write(struct random *random)
{
    struct model_version v = {
        .keyspace = 1 + (uint32_t)random_below(random, 2),
        .key = (unsigned)random_below(random, KEYS),
        .is_delete = random_one_in(random, 4),
        .size = random_below(random, random_one_in(random, 4) ? 400 : 90),
    };

    if (!v.is_delete && random_one_in(random, 6))
        v.expiry = f.oldest_wall + 1 + random_below(random, 50);
    fixture_commit(&f, v);
}

// A snapshot is taken, or let go; the clock of the oldest moves on.
static void random_snapshot(struct random *random)
{
    uint64_t oldest = model_oldest_ts(&f);

    f.oldest_ts = random_one_in(random, 3)
                      ? TS_MAX
                      : oldest + random_below(random, f.model->last_ts - oldest + 1);
    f.oldest_wall += random_below(random, 10);
}

// Whatever the jobs do, in any order, every snapshot reads what was written.
Test(compactor, random_work_reads_like_the_model_after_every_job)
{
    struct random random = random_for_test("compactor");

    for (unsigned round = 0; round < 6; round++) {
        setup();
        scheduler_set_seed(f.scheduler, random_next(&random));
        atomic_store(&f.options.versions_to_keep, 1 + (uint32_t)random_below(&random, 2));
        for (unsigned step = 0; step < 250; step++) {
            unsigned writes = (unsigned)random_below(&random, 12);

            while (writes-- > 0)
                random_write(&random);
            if (random_one_in(&random, 4))
                engine_rotate(&f);
            if (random_one_in(&random, 4))
                random_snapshot(&random);
            if (random_one_in(&random, 40))
                assert_ok(compactor_compact_range(f.compactor, 0, NULL, NULL));
            compactor_wake(f.compactor);
            if (scheduler_run_one(f.scheduler) && random_one_in(&random, 3))
                cr_assert(engine_agrees(&f, KEYS, 3));
            engine_reclaim(&f);
        }
        assert_ok(compactor_wait_idle(f.compactor));
        cr_assert(engine_agrees(&f, KEYS, 20));
        teardown();
    }
}
