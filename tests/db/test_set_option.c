// test_set_option.c -- an option that changes while the database is open holds from then on,
// for what was begun under the old value too.

#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.idle_flush_ns = 86400 * NS_PER_S;
    f.options.sync_interval_ns = 3600 * NS_PER_S;
    db_fixture_open(&f);
}

static void teardown(void)
{
    sim_set_fault(f.sim, NULL);
    db_fixture_end(&f);
}

TestSuite(set_option, .init = setup, .fini = teardown);

static void run_jobs(void)
{
    while (scheduler_run_one(f.db->scheduler))
        continue;
}

static void rest(uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds; i++) {
        sim_advance(f.sim, NS_PER_S);
        run_jobs();
    }
}

static lsm_status put_numbered(unsigned i, bool no_wait)
{
    const lsm_write_options options = {.no_wait = no_wait};
    const char value[1000] = "";
    char key[16];

    snprintf(key, sizeof key, "key-%06u", i);
    return lsm_put(f.db, NULL, lsm_str(key), slice_make(value, sizeof value), &options);
}

static void assert_option(const char *name, const char *wants)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    assert_ok(lsm_get_option(f.db, name, &value));
    assert_buf(&value, wants);
}

// Writes until one would have to wait for the flush of memtables, which nothing runs.
static unsigned put_until_busy(unsigned from)
{
    lsm_status status = LSM_OK;

    while (status == LSM_OK && from < 100000)
        status = put_numbered(from++, true);
    assert_status(status, LSM_BUSY);
    return from;
}

Test(set_option, writers_that_stop_for_memtables_stop_by_the_new_size)
{
    unsigned i = put_until_busy(0);
    const unsigned end = i + 12000; // a memtable of the new size, and half another

    assert_ok(lsm_set_option(f.db, "memtable_size", "8MiB"));
    for (; i < end; i++)
        assert_ok(put_numbered(i, true));
    assert_ok(lsm_set_option(f.db, "memtable_size", "64KiB"));
    assert_status(put_numbered(i, true), LSM_BUSY);
    assert_ok(put_numbered(i, false)); // flushes by itself
}

Test(set_option, the_limits_of_level_0_change_while_open)
{
    compactor_pause(f.db->compactor);
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(put_numbered(i, false));
        assert_ok(lsm_flush(f.db));
    }
    assert_ok(lsm_set_option(f.db, "level0_trigger", "1"));
    assert_ok(lsm_set_option(f.db, "level0_slowdown", "2"));
    assert_ok(lsm_set_option(f.db, "level0_stop", "3"));
    assert_status(put_numbered(0, true), LSM_BUSY);
    cr_assert(strstr(lsm_errmsg(), "level0") != NULL, "%s", lsm_errmsg());
    assert_ok(lsm_set_option(f.db, "level0_stop", "48"));
    assert_ok(lsm_set_option(f.db, "level0_slowdown", "20"));
    assert_ok(put_numbered(0, true));
    compactor_resume(f.db->compactor);
}

Test(set_option, a_shorter_quiet_time_holds_for_what_was_written_before)
{
    assert_ok(put_numbered(0, false));
    assert_ok(lsm_set_option(f.db, "idle_flush", "1s"));
    rest(4);
    cr_assert(eq(u64, atomic_load(&f.db->compaction_stats.flush_count), 1));
}

Test(set_option, a_shorter_interval_holds_for_commits_that_wait_for_their_sync)
{
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};

    assert_ok(lsm_put(f.db, NULL, lsm_str("a"), lsm_str("1"), &options));
    cr_assert(ne(u64, log_mark(f.db->log).offset, log_end(f.db->log).offset));
    assert_ok(lsm_set_option(f.db, "sync_interval", "1s"));
    rest(2);
    cr_assert(eq(u64, log_mark(f.db->log).offset, log_end(f.db->log).offset));
}

Test(set_option, one_that_cannot_be_written_down_does_not_change)
{
    bool is_hit = true;

    for (uint64_t at = 1; is_hit; at++) {
        struct sim_fault fault = {
            .ops = SIM_OP_ANY, .name_part = "OPTIONS", .at = at, .status = LSM_NO_SPACE};

        sim_set_fault(f.sim, &fault);
        assert_status(lsm_set_option(f.db, "table_size", "32KiB"),
                      sim_fault_hits(f.sim) > 0 ? LSM_NO_SPACE : LSM_OK);
        is_hit = sim_fault_hits(f.sim) > 0;
        sim_set_fault(f.sim, NULL);
        assert_option("table_size", is_hit ? "16KiB" : "32KiB");
        cr_assert(
            eq(u64, atomic_load(&f.db->engine_options.table_size), is_hit ? 16 << 10 : 32 << 10));
    }
}
