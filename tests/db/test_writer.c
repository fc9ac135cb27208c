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

// --- not waiting ---

// Puts `count` tables in level 0, of which nothing is merged, with writers slowed from the third
// on up to a stop at `stop`.
static void press_by_level_0(unsigned count, uint64_t stop)
{
    f.options.level0_trigger = 2;
    f.options.level0_slowdown = 2;
    f.options.level0_stop = stop;
    db_fixture_open(&f);
    compactor_pause(f.db->compactor);
    for (unsigned i = 0; i < count; i++) {
        assert_ok(put_numbered(i, 100));
        assert_ok(lsm_flush(f.db));
    }
}

// What a commit of `log_bytes` that does not want to wait is told.
static lsm_status admit_at_once(uint64_t log_bytes)
{
    struct write_request request;
    lsm_status status;

    write_request_init(&request, REQUEST_COMMIT);
    request.frame.size = log_bytes;
    status = writer_admit(&f.db->writer, &request, true);
    write_request_release(&request);
    return status;
}

static void finish(void)
{
    compactor_resume(f.db->compactor);
    db_fixture_end(&f);
}

Test(no_wait, a_delay_that_nobody_would_notice_is_none)
{
    db_fixture_prepare(&f, 1);
    press_by_level_0(5, 1000); // 9 ns a KiB
    for (uint64_t size = 64; size <= UINT64_C(1) << 30; size *= 2)
        assert_ok(admit_at_once(size));
    finish();
}

Test(no_wait, a_delay_that_one_would_notice_is_refused)
{
    db_fixture_prepare(&f, 1);
    press_by_level_0(6, 10); // 256 us a KiB
    assert_ok(admit_at_once(3 << 10));
    assert_status(admit_at_once(4 << 10), LSM_BUSY);
    cr_assert(strstr(lsm_errmsg(), "level0") != NULL, "%s", lsm_errmsg());
    finish();
}

// Each is not noticed, all together would be.
Test(no_wait, many_small_delays_are_owed_until_time_has_paid)
{
    db_fixture_prepare(&f, 1);
    f.options.is_manual = false;
    press_by_level_0(6, 10);
    for (unsigned round = 0; round < 3; round++) {
        unsigned count = 0;

        while (count < 1000 && admit_at_once(1 << 10) == LSM_OK)
            count++;
        cr_assert(count >= 3 && count < 1000, "%u", count); // jobs take time, too
        sim_advance(f.sim, NS_PER_S);
    }
    finish();
}
