// test_writer.c -- what a writer waits for, and what it is told when waiting is in vain.

#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.level0_trigger = 2;
    db_fixture_open(&f);
}

static void teardown(void)
{
    sim_set_fault(f.sim, NULL);
    db_fixture_end(&f);
}

// Commits one value of `size` bytes under a key made of `i`.
static lsm_status put_numbered(unsigned i, size_t size)
{
    char key[16];
    char value[1000] = "";

    snprintf(key, sizeof key, "key-%06u", i);
    return lsm_put(f.db, NULL, lsm_str(key), slice_make(value, size), NULL);
}

static struct filename oldest_table(void)
{
    EPOCH_SECTION();
    const struct level *top = &views_current(&f.db->views)->version->levels[0];

    return filename_of(FILENAME_TABLE, table_meta(top->tables[top->count - 1])->id);
}

// Leaves the tree with a merge that has failed, and would again: a table of it cannot be read.
static void break_merges(void)
{
    static struct filename name;
    const struct sim_fault fault = {
        .ops = SIM_OP_READ, .name_part = name.text, .at = 1, .for_ever = true, .status = LSM_IO};

    compactor_pause(f.db->compactor);
    for (unsigned i = 0; i < 4; i++) {
        assert_ok(put_numbered(i % 2, 100));
        assert_ok(lsm_flush(f.db));
    }
    name = oldest_table();
    sim_set_fault(f.sim, &fault);
    compactor_resume(f.db->compactor);
    assert_status(lsm_wait_idle(f.db), LSM_IO);
    assert_status(compactor_health(f.db->compactor), LSM_IO);
}

static uint64_t flush_count(void)
{
    return atomic_load(&f.db->compaction_stats.flush_count);
}

Test(writer, a_write_that_waits_for_memory_does_not_fail_with_a_merge, .init = setup,
     .fini = teardown)
{
    uint64_t flushed;

    break_merges();
    flushed = flush_count();
    for (unsigned i = 0; i < 400; i++)
        assert_ok(put_numbered(i, 1000));
    cr_assert(flush_count() > flushed); // by the writers that waited: nobody else runs jobs
    assert_status(compactor_health(f.db->compactor), LSM_IO);
}

Test(writer, a_write_that_waits_for_memory_fails_with_the_flush, .init = setup, .fini = teardown)
{
    const struct sim_fault fault = {.ops = SIM_OP_WRITE,
                                    .name_part = ".sst",
                                    .at = 1,
                                    .for_ever = true,
                                    .status = LSM_NO_SPACE};
    lsm_status status = LSM_OK;

    sim_set_fault(f.sim, &fault);
    for (unsigned i = 0; i < 400 && status == LSM_OK; i++)
        status = put_numbered(i, 1000);
    assert_status(status, LSM_NO_SPACE);
    cr_assert(not(zero(ptr, strstr(lsm_errmsg(), "background work"))));
    sim_set_fault(f.sim, NULL);
    assert_ok(lsm_flush(f.db)); // space is back
    assert_ok(put_numbered(0, 1000));
}

// The device is full for long enough that the next retry is seconds away; then there is room.
Test(writer, a_write_after_a_failed_flush_has_it_tried_again, .init = setup, .fini = teardown)
{
    const struct sim_fault fault = {.ops = SIM_OP_WRITE,
                                    .name_part = ".sst",
                                    .at = 1,
                                    .for_ever = true,
                                    .status = LSM_NO_SPACE};
    unsigned i = 0;

    sim_set_fault(f.sim, &fault);
    while (i < 400 && put_numbered(i, 1000) == LSM_OK)
        i++;
    for (int attempt = 0; attempt < 6; attempt++) {
        const uint64_t failures = atomic_load(&f.db->compaction_stats.errors);

        // One attempt per write, and none in the first moments after the last.
        assert_status(put_numbered(i, 1000), LSM_NO_SPACE);
        cr_assert(eq(u64, atomic_load(&f.db->compaction_stats.errors), failures));
        sim_advance(f.sim, NS_PER_S / 5);
        assert_status(put_numbered(i, 1000), LSM_NO_SPACE);
        cr_assert(eq(u64, atomic_load(&f.db->compaction_stats.errors), failures + 1));
    }
    sim_set_fault(f.sim, NULL);
    assert_status(put_numbered(i, 1000), LSM_NO_SPACE); // what has just failed
    sim_advance(f.sim, NS_PER_S / 5);
    assert_ok(put_numbered(i, 1000));
}

Test(writer, a_write_that_waits_for_level_0_fails_with_the_merge, .init = setup, .fini = teardown)
{
    break_merges();
    for (unsigned i = 0; i < 64; i++) {
        if (put_numbered(i % 2, 100) != LSM_OK)
            break;
        assert_ok(lsm_flush(f.db));
    }
    assert_status(put_numbered(0, 100), LSM_IO);
}
