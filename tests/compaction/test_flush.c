// test_flush.c -- from memtable to level 0.

#include "compaction/flush.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/engine_fixture.h"

#define assert_ok(expression) cr_assert(eq(int, (expression), LSM_OK), "%s", lsm_errmsg())

static struct engine_fixture f;

static void setup(void)
{
    engine_fixture_init(&f, 1);
}

static void teardown(void)
{
    engine_fixture_release(&f);
}

static bool has_flushed;

static void assert_nothing_to_flush(void)
{
    has_flushed = true;
    assert_ok(flush_run(&f.engine, &has_flushed));
    cr_assert(not(has_flushed));
}

static size_t memtable_total(void)
{
    EPOCH_SECTION();

    return views_current(&f.views)->memtable_count;
}

static struct log_position replay_position(void)
{
    struct log_position replay;

    manifest_lock(f.engine.manifest);
    replay = manifest_state_locked(f.engine.manifest)->replay;
    manifest_unlock(f.engine.manifest);
    return replay;
}

static size_t chain_count(void)
{
    struct segment **segments;
    struct log_link *links;
    size_t count;

    MUST(log_chain_all(f.engine.log, &links, &segments, &count));
    mem_free(links);
    mem_free(segments);
    return count;
}

Test(flush, there_is_nothing_to_flush_but_immutable_memtables, .init = setup, .fini = teardown)
{
    engine_put(&f, 1, 10);
    assert_nothing_to_flush();
    cr_assert(eq(sz, engine_table_count(&f, 0), 0));
}

Test(flush, a_memtable_becomes_a_table_and_leaves_the_view, .init = setup, .fini = teardown)
{
    for (unsigned i = 0; i < 50; i++)
        engine_put(&f, i, i * 5);
    engine_rotate(&f);
    cr_assert(eq(sz, memtable_total(), 2));
    assert_ok(flush_run(&f.engine, &has_flushed));
    cr_assert(has_flushed);
    cr_assert(eq(sz, memtable_total(), 1));
    cr_assert(eq(sz, engine_table_count(&f, 0), 1));
    cr_assert(engine_agrees(&f, 60, 0));
    cr_assert(eq(u64, atomic_load(&f.stats.flush_count), 1));
}

Test(flush, the_oldest_memtable_goes_first, .init = setup, .fini = teardown)
{
    struct log_position second;

    engine_put(&f, 1, 10);
    engine_rotate(&f);
    second = f.model->marks[f.model->mark_count - 1].start;
    engine_put(&f, 1, 20);
    engine_rotate(&f);
    engine_put(&f, 1, 30);

    assert_ok(flush_run(&f.engine, &has_flushed));
    cr_assert(eq(int, log_position_compare(replay_position(), second), 0));
    cr_assert(engine_agrees(&f, 2, 0));
    assert_ok(flush_run(&f.engine, &has_flushed));
    assert_nothing_to_flush();
    cr_assert(engine_agrees(&f, 2, 0));
    cr_assert(eq(sz, engine_table_count(&f, 0), 2));
}

// Segments that no table points to are gone for good; the others stay as value segments.
Test(flush, segments_before_the_replay_position_leave_the_log, .init = setup, .fini = teardown)
{
    size_t before;

    for (unsigned i = 0; i < 200; i++)
        engine_put(&f, i, 200);
    before = chain_count();
    cr_assert(gt(sz, before, 2));
    engine_flush(&f);
    cr_assert(eq(sz, chain_count(), 1));
    engine_reclaim(&f);
    cr_assert(engine_agrees(&f, 210, 0));

    for (unsigned i = 0; i < 200; i++)
        engine_put(&f, i, 300);
    engine_flush(&f);
    cr_assert(eq(sz, chain_count(), 1));
    cr_assert(engine_agrees(&f, 210, 0));
}

Test(flush, versions_that_no_snapshot_needs_are_left_out, .init = setup, .fini = teardown)
{
    for (unsigned i = 0; i < 10; i++)
        engine_put(&f, 7, 10 + i);
    engine_flush(&f);
    cr_assert(eq(u64, engine_entry_count(&f), 1));

    f.oldest_ts = f.model->last_ts + 4;
    for (unsigned i = 0; i < 10; i++)
        engine_put(&f, 8, 10 + i);
    engine_flush(&f);
    cr_assert(eq(u64, engine_entry_count(&f), 1 + 7));
    cr_assert(engine_agrees(&f, 10, 100));
}

Test(flush, as_many_versions_as_wanted_are_kept, .init = setup, .fini = teardown)
{
    atomic_store(&f.options.versions_to_keep, 3);
    for (unsigned i = 0; i < 10; i++)
        engine_put(&f, 7, 10 + i);
    engine_flush(&f);
    cr_assert(eq(u64, engine_entry_count(&f), 3));
}

// An older version of the key may lie in any table.
Test(flush, a_tombstone_always_stays, .init = setup, .fini = teardown)
{
    engine_put(&f, 1, 10);
    engine_put(&f, 2, 10);
    engine_flush(&f);
    engine_delete(&f, 1);
    engine_flush(&f);
    cr_assert(eq(u64, engine_tombstone_count(&f), 1));
    cr_assert(engine_agrees(&f, 3, 0));
}

Test(flush, an_expired_value_becomes_a_tombstone, .init = setup, .fini = teardown)
{
    struct model_version v = {.keyspace = 1, .key = 1, .size = 300, .expiry = 1000};

    f.oldest_wall = 1000;
    fixture_commit(&f, v);
    v.key = 2;
    v.expiry = 1001;
    fixture_commit(&f, v);
    engine_flush(&f);
    cr_assert(eq(u64, engine_tombstone_count(&f), 1));
    cr_assert(eq(u64, engine_entry_count(&f), 2));
    cr_assert(engine_agrees(&f, 3, 0));
}

Test(flush, entries_of_a_dropped_keyspace_are_left_out, .init = setup, .fini = teardown)
{
    struct model_version v = {.keyspace = 2, .key = 1, .size = 30};

    engine_put(&f, 1, 10);
    fixture_commit(&f, v);
    f.dropped = 2;
    engine_flush(&f);
    cr_assert(eq(u64, engine_entry_count(&f), 1));
}

Test(flush, without_an_entry_to_write_the_replay_position_still_moves, .init = setup,
     .fini = teardown)
{
    struct model_version v = {.keyspace = 2, .key = 1, .size = 30};

    fixture_commit(&f, v);
    f.dropped = 2;
    engine_flush(&f);
    cr_assert(eq(sz, engine_table_count(&f, 0), 0));
    cr_assert(eq(int, log_position_compare(replay_position(), log_end(f.engine.log)), 0));
    cr_assert(eq(sz, memtable_total(), 1));
}

// --- failures ---

static void fill_for_failures(void)
{
    for (unsigned i = 0; i < 40; i++)
        engine_put(&f, i, 50 + i * 4);
    engine_flush(&f);
    for (unsigned i = 20; i < 60; i++)
        engine_put(&f, i, 60 + i * 3);
    engine_delete(&f, 5);
    engine_rotate(&f);
}

// Whatever call fails, once, answers stay what they were; unless the poison is set, the
// next attempt succeeds and leaves no file behind that nobody names.
Test(flush, any_call_may_fail_once)
{
    static const unsigned ops[] = {SIM_OP_OPEN,  SIM_OP_WRITE,    SIM_OP_SYNC,   SIM_OP_DIR_SYNC,
                                   SIM_OP_CLOSE, SIM_OP_TRUNCATE, SIM_OP_RENAME, SIM_OP_UNLINK};
    unsigned failed = 0;

    for (size_t op = 0; op < sizeof ops / sizeof ops[0]; op++) {
        for (uint64_t at = 1;; at++) {
            struct sim_fault fault = {.ops = ops[op], .at = at, .status = LSM_NO_SPACE};
            uint64_t hits;
            lsm_status status;

            setup();
            fill_for_failures();
            sim_set_fault(f.sim, &fault);
            status = flush_run(&f.engine, &has_flushed);
            hits = sim_fault_hits(f.sim);
            sim_set_fault(f.sim, NULL);
            failed += status != LSM_OK;
            cr_assert(engine_agrees(&f, 70, 0));
            if (status != LSM_OK && !poison_is_set(&f.poison))
                assert_ok(flush_run(&f.engine, &has_flushed));
            engine_reclaim(&f);
            cr_assert(engine_agrees(&f, 70, 0));
            teardown();
            if (hits == 0)
                break;
        }
    }
    cr_assert(gt(uint, failed, 4));
}

Test(flush, a_full_disk_loses_nothing_and_recovers, .init = setup, .fini = teardown)
{
    struct sim_fault full = {.ops = SIM_OP_WRITE,
                             .name_part = ".sst",
                             .at = 1,
                             .for_ever = true,
                             .status = LSM_NO_SPACE};

    fill_for_failures();
    sim_set_fault(f.sim, &full);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(eq(int, flush_run(&f.engine, &has_flushed), LSM_NO_SPACE));
    cr_assert(eq(sz, memtable_total(), 2));
    cr_assert(engine_agrees(&f, 70, 0));
    sim_set_fault(f.sim, NULL);
    assert_ok(flush_run(&f.engine, &has_flushed));
    cr_assert(engine_agrees(&f, 70, 0));
}

Test(flush, nothing_is_published_once_poisoned, .init = setup, .fini = teardown)
{
    fill_for_failures();
    (void)poison_set(&f.poison, lsm_fail(LSM_IO, "made up"));
    cr_assert(eq(int, flush_run(&f.engine, &has_flushed), LSM_POISONED));
    cr_assert(eq(sz, engine_table_count(&f, 0), 1));
    cr_assert(engine_agrees(&f, 70, 0));
}

// Before, or after: at every call the power may go.
Test(flush, a_crash_at_any_call_leaves_the_state_before_or_after)
{
    static const enum sim_survival survivals[] = {SIM_NONE, SIM_ALL, SIM_PREFIX, SIM_RANDOM};
    bool has_crashed = true;

    for (uint64_t call = 1; has_crashed; call++) {
        setup();
        fill_for_failures();
        sim_crash_at(f.sim, call);
        (void)flush_run(&f.engine, &has_flushed);
        has_crashed = sim_has_crashed(f.sim);
        for (size_t i = 0; has_crashed && i < sizeof survivals / sizeof survivals[0]; i++) {
            struct sim *disk;

            assert_ok(sim_clone(f.sim, &disk));
            sim_restart(disk, survivals[i], call);
            cr_assert(disk_agrees(&f, disk, 70), "call %llu", (unsigned long long)call);
            sim_free(disk);
        }
        teardown();
    }
}
