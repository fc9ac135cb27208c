// test_merge_job.c -- running one compaction.

#include "compaction/merge_job.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "compaction/flush.h"
#include "compaction/picker.h"
#include "support/engine_fixture.h"

#define assert_ok(expression) cr_assert(eq(int, (expression), LSM_OK), "%s", lsm_errmsg())

static struct engine_fixture f;
static _Atomic bool is_stopping;
static struct table_id_set busy;

static void setup(void)
{
    engine_fixture_init(&f, 1);
}

static void teardown(void)
{
    engine_fixture_release(&f);
}

static struct picker_input input_for(struct view *view)
{
    return (struct picker_input){
        .version = view->version,
        .options = &f.options,
        .busy = &busy,
        .oldest_ts = model_oldest_ts(&f),
        .oldest_wall = f.oldest_wall,
        .now_seconds = clock_wall_ns(f.engine.env) / 1000000000,
    };
}

static lsm_status pick(struct compaction **out)
{
    struct view *view = views_acquire(&f.views);
    struct picker_input input = input_for(view);
    lsm_status status = compaction_pick(&input, out);

    view_unref(view);
    return status;
}

// One level down, whatever the picker would think of it.
static lsm_status pick_all(struct compaction **out)
{
    struct view *view = views_acquire(&f.views);
    struct picker_input input = input_for(view);
    lsm_status status =
        compaction_pick_range(&input, &(struct compaction_range){.keyspace = 0}, out);

    view_unref(view);
    return status;
}

static lsm_status run(struct compaction *compaction)
{
    lsm_status status = merge_job_run(&f.engine, compaction, &is_stopping);

    compaction_free(compaction);
    return status;
}

static void merge_down(void)
{
    struct compaction *compaction;

    assert_ok(pick_all(&compaction));
    assert_ok(run(compaction));
}

static void merge_to_bottom(void)
{
    struct compaction *compaction;

    while (pick_all(&compaction) == LSM_OK && compaction != NULL)
        assert_ok(run(compaction));
}

static void fill(unsigned from, unsigned to, size_t size)
{
    for (unsigned i = from; i < to; i++)
        engine_put(&f, i, size + i % 90);
    engine_flush(&f);
}

Test(merge_job, level_0_becomes_tables_of_the_last_level, .init = setup, .fini = teardown)
{
    for (unsigned i = 0; i < 4; i++)
        fill(i * 20, i * 20 + 100, 40 + i * 25);
    merge_down();
    cr_assert(eq(sz, engine_table_count(&f, 0), 0));
    cr_assert(gt(sz, engine_table_count(&f, LEVEL_COUNT - 1), 1));
    cr_assert(eq(u64, engine_entry_count(&f), 160));
    cr_assert(engine_agrees(&f, 200, 0));
    engine_reclaim(&f);
    cr_assert(engine_agrees(&f, 200, 0));
}

Test(merge_job, outputs_are_about_as_large_as_asked, .init = setup, .fini = teardown)
{
    struct view *view;

    atomic_store(&f.options.compression, 0);
    for (unsigned i = 0; i < 4; i++)
        fill(0, 300, 60);
    merge_down();
    view = views_acquire(&f.views);
    for (size_t i = 0; i + 1 < view->version->levels[6].count; i++) {
        uint64_t size = table_meta(view->version->levels[6].tables[i])->size;

        cr_assert(gt(u64, size, 4096 / 2));
        cr_assert(lt(u64, size, 4096 * 3));
    }
    view_unref(view);
}

Test(merge_job, all_versions_of_a_key_end_in_one_table, .init = setup, .fini = teardown)
{
    struct view *view;

    f.oldest_ts = 0; // everything stays
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 60; j++)
            engine_put(&f, j % 3, 90);
        engine_flush(&f);
    }
    merge_down();
    cr_assert(eq(u64, engine_entry_count(&f), 240));
    view = views_acquire(&f.views);
    cr_assert(eq(sz, view->version->levels[6].count, 3));
    view_unref(view);
    cr_assert(engine_agrees(&f, 4, 240));
}

Test(merge_job, what_a_snapshot_sees_stays, .init = setup, .fini = teardown)
{
    fill(0, 50, 30);
    f.oldest_ts = f.model->last_ts;
    fill(0, 50, 60);
    for (unsigned i = 0; i < 25; i++)
        engine_delete(&f, i);
    engine_flush(&f);
    merge_down();
    cr_assert(eq(u64, engine_entry_count(&f), 50 + 50 + 25));
    cr_assert(engine_agrees(&f, 60, 50));
}

// peer_badger_2143: deleted keys came back when a tombstone was dropped above an older
// version.
Test(merge_job, peer_badger_2143_a_deleted_key_never_comes_back, .init = setup, .fini = teardown)
{
    struct compaction *compaction;

    // Two levels in use: 6, and 5 above it.
    fill(0, 300, 99);
    merge_to_bottom();
    fill(100, 400, 99);
    merge_to_bottom();
    atomic_store(&f.options.level_base_size, 2048);
    fill(0, 300, 90);
    merge_down();
    cr_assert(gt(sz, engine_table_count(&f, 5) + engine_table_count(&f, 4), 0));

    for (unsigned i = 0; i < 300; i += 2)
        engine_delete(&f, i);
    engine_flush(&f);
    while (pick_all(&compaction) == LSM_OK && compaction != NULL) {
        assert_ok(run(compaction));
        cr_assert(engine_agrees(&f, 400, 0));
    }
    // At the bottom they are gone, and what they deleted with them.
    cr_assert(eq(u64, engine_tombstone_count(&f), 0));
    cr_assert(eq(u64, engine_entry_count(&f), 250));
}

Test(merge_job, a_table_that_overlaps_nothing_moves_without_being_read, .init = setup,
     .fini = teardown)
{
    struct compaction *compaction;

    atomic_store(&f.options.compression, 0);
    for (unsigned i = 0; i < 4; i++)
        fill(i * 100, i * 100 + 50, 40);
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(pick(&compaction));
        cr_assert(compaction->is_move);
        assert_ok(run(compaction));
    }
    cr_assert(eq(u64, atomic_load(&f.stats.move_count), 2));
    cr_assert(eq(u64, atomic_load(&f.stats.merge_count), 0));
    cr_assert(eq(sz, engine_table_count(&f, 0), 2));
    cr_assert(eq(sz, engine_table_count(&f, 6), 2));
    cr_assert(engine_agrees(&f, 450, 0));
}

Test(merge_job, tables_of_level_0_become_one_when_the_next_level_is_busy, .init = setup,
     .fini = teardown)
{
    struct view *view;
    struct picker_input input;
    struct compaction *compaction;

    for (unsigned i = 0; i < 6; i++)
        fill(i, i + 40, 20);
    view = views_acquire(&f.views);
    input = input_for(view);
    input.level0_is_busy = true;
    assert_ok(compaction_pick(&input, &compaction));
    view_unref(view);
    cr_assert(eq(int, (int)compaction->reason, COMPACTION_INTRA_LEVEL0));
    assert_ok(run(compaction));
    cr_assert(eq(sz, engine_table_count(&f, 0), 1));
    cr_assert(engine_agrees(&f, 60, 0));
}

// An older version may lie in a table of level 0 that takes no part.
Test(merge_job, a_tombstone_survives_a_merge_within_level_0, .init = setup, .fini = teardown)
{
    struct view *view;
    struct picker_input input;
    struct compaction *compaction;
    uint64_t oldest;

    fill(0, 40, 20);
    for (unsigned i = 0; i < 40; i++)
        engine_delete(&f, i);
    engine_flush(&f);
    for (unsigned i = 0; i < 4; i++)
        fill(40, 60, 20);
    view = views_acquire(&f.views);
    oldest = table_meta(view->version->levels[0].tables[5])->id;
    assert_ok(table_id_set_reserve(&busy, 1));
    table_id_set_add(&busy, oldest);
    input = input_for(view);
    input.level0_is_busy = true;
    assert_ok(compaction_pick(&input, &compaction));
    view_unref(view);
    table_id_set_release(&busy);
    cr_assert(not(compaction->is_bottommost));
    assert_ok(run(compaction));
    cr_assert(eq(sz, engine_table_count(&f, 0), 2));
    cr_assert(eq(u64, engine_tombstone_count(&f), 40));
    cr_assert(engine_agrees(&f, 60, 0));
}

Test(merge_job, separated_values_are_left_where_they_are, .init = setup, .fini = teardown)
{
    uint64_t reads;

    fill(0, 50, 300);
    fill(25, 75, 350);
    merge_down();
    reads = atomic_load(&f.stats.merge_read_bytes);
    cr_assert(lt(u64, reads, 20000)); // of 35,000 bytes of values
    cr_assert(engine_agrees(&f, 80, 0));
    engine_reclaim(&f);
    cr_assert(engine_agrees(&f, 80, 0));
}

Test(merge_job, when_everything_is_dropped_no_table_is_written, .init = setup, .fini = teardown)
{
    fill(0, 50, 30);
    for (unsigned i = 0; i < 50; i++)
        engine_delete(&f, i);
    engine_flush(&f);
    merge_down();
    cr_assert(eq(u64, engine_entry_count(&f), 0));
    for (unsigned i = 0; i < LEVEL_COUNT; i++)
        cr_assert(eq(sz, engine_table_count(&f, i), 0));
    cr_assert(engine_agrees(&f, 60, 0));
}

Test(merge_job, stopping_ends_it_and_keeps_the_inputs, .init = setup, .fini = teardown)
{
    struct compaction *compaction;

    fill(0, 50, 30);
    fill(0, 50, 40);
    assert_ok(pick_all(&compaction));
    atomic_store(&is_stopping, true);
    cr_assert(eq(int, run(compaction), LSM_BUSY));
    cr_assert(eq(sz, engine_table_count(&f, 0), 2));
    cr_assert(engine_agrees(&f, 60, 0));
}

// --- damage and failures ---

static void damage_table(uint64_t id)
{
    struct filename name = filename_of(FILENAME_TABLE, id);

    assert_ok(sim_flip(f.sim, ENGINE_DIR, name.text, 900, 0x40));
}

Test(merge_job, a_damaged_block_ends_the_merge_and_no_input_is_lost, .init = setup,
     .fini = teardown)
{
    struct compaction *compaction;
    size_t count;

    fill(0, 50, 60);
    fill(20, 70, 60);
    count = engine_table_count(&f, 0);
    assert_ok(pick_all(&compaction));
    damage_table(table_meta(compaction->inputs[0][0])->id);
    cr_assert(eq(int, run(compaction), LSM_CORRUPT));
    cr_assert(eq(sz, engine_table_count(&f, 0), count));
    cr_assert(eq(u64, engine_entry_count(&f), 100));
    cr_assert(not(poison_is_set(&f.poison)));
}

static void fill_for_failures(void)
{
    fill(0, 60, 60);
    merge_down();
    fill(30, 90, 50);
    for (unsigned i = 0; i < 20; i++)
        engine_delete(&f, i);
    engine_flush(&f);
}

static size_t tables_on_disk;

static lsm_status count_table(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    uint64_t number;

    (void)ctx;
    (void)size;
    (void)is_regular;
    tables_on_disk += filename_parse(name, &number) == FILENAME_TABLE;
    return LSM_OK;
}

static void assert_no_table_left_behind(void)
{
    size_t known = 0;

    for (unsigned i = 0; i < LEVEL_COUNT; i++)
        known += engine_table_count(&f, i);
    tables_on_disk = 0;
    assert_ok(dir_list(f.dir, count_table, NULL));
    cr_assert(eq(sz, tables_on_disk, known));
}

Test(merge_job, any_call_may_fail_once)
{
    static const unsigned ops[] = {SIM_OP_OPEN,  SIM_OP_READ,     SIM_OP_WRITE,  SIM_OP_SYNC,
                                   SIM_OP_CLOSE, SIM_OP_DIR_SYNC, SIM_OP_UNLINK, SIM_OP_RENAME};
    unsigned failed = 0;

    for (size_t op = 0; op < sizeof ops / sizeof ops[0]; op++) {
        for (uint64_t at = 1;; at++) {
            struct sim_fault fault = {.ops = ops[op], .at = at, .status = LSM_IO};
            struct compaction *compaction;
            lsm_status status;
            uint64_t hits;

            setup();
            fill_for_failures();
            assert_ok(pick_all(&compaction));
            sim_set_fault(f.sim, &fault);
            status = run(compaction);
            hits = sim_fault_hits(f.sim);
            sim_set_fault(f.sim, NULL);
            failed += status != LSM_OK;
            cr_assert(engine_agrees(&f, 100, 0));
            if (!poison_is_set(&f.poison)) {
                merge_to_bottom();
                cr_assert(engine_agrees(&f, 100, 0));
                engine_reclaim(&f);
                assert_no_table_left_behind();
            }
            teardown();
            if (hits == 0)
                break;
        }
    }
    cr_assert(gt(uint, failed, 5));
}

Test(merge_job, a_crash_at_any_call_leaves_the_state_before_or_after)
{
    static const enum sim_survival survivals[] = {SIM_NONE, SIM_ALL, SIM_PREFIX, SIM_RANDOM};
    bool has_crashed = true;

    for (uint64_t call = 1; has_crashed; call++) {
        struct compaction *compaction;

        setup();
        fill_for_failures();
        assert_ok(pick_all(&compaction));
        sim_crash_at(f.sim, call);
        (void)run(compaction);
        engine_reclaim(&f);
        has_crashed = sim_has_crashed(f.sim);
        for (size_t i = 0; has_crashed && i < sizeof survivals / sizeof survivals[0]; i++) {
            struct sim *disk;

            assert_ok(sim_clone(f.sim, &disk));
            sim_restart(disk, survivals[i], call);
            cr_assert(disk_agrees(&f, disk, 100), "call %llu", (unsigned long long)call);
            sim_free(disk);
        }
        teardown();
    }
}
