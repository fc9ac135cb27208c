// test_idle.c -- a database that is left alone flushes, and holds no more room than it needs.

#include "support/db_fixture.h"

#define SEGMENT_MIN (1u << 20)

static struct db_fixture f;

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.segment_size_max = 16 << 20;
    f.options.memtable_size = 8 << 20;
    db_fixture_open(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

static void run_jobs(void)
{
    while (scheduler_run_one(f.db->scheduler))
        continue;
}

// Lets the time pass after which a database counts as idle.
static void rest(void)
{
    for (unsigned i = 0; i < 4; i++) {
        sim_advance(f.sim, 10 * NS_PER_S);
        run_jobs();
    }
}

static lsm_status add_segment(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    uint64_t number;

    (void)is_regular;
    if (filename_parse(name, &number) == FILENAME_SEGMENT)
        *(uint64_t *)ctx += size;
    return LSM_OK;
}

static uint64_t segment_bytes(void)
{
    uint64_t bytes = 0;

    assert_ok(dir_list(f.db->dir, add_segment, &bytes));
    return bytes;
}

static void put_many(unsigned from, unsigned to, size_t size)
{
    static char value[20000];
    char key[16];

    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof key, "key-%06u", i);
        memset(value, (int)i, size);
        assert_ok(lsm_put(f.db, NULL, lsm_str(key), slice_make(value, size), NULL));
        if (i % 16 == 0)
            run_jobs();
    }
}

static void assert_holds_many(unsigned from, unsigned to, size_t size)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    char key[16];

    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof key, "key-%06u", i);
        assert_ok(lsm_get(f.db, NULL, lsm_str(key), &value));
        cr_assert(eq(sz, value.size, size));
        cr_assert(eq(u8, *((uint8_t *)value.data + size - 1), (uint8_t)i));
    }
}

Test(idle, the_log_of_small_values_goes_when_it_is_flushed, .init = setup, .fini = teardown)
{
    put_many(0, 12000, 800);
    cr_assert(gt(u64, segment_bytes(), 4 * SEGMENT_MIN));
    rest();
    cr_assert(le(u64, segment_bytes(), SEGMENT_MIN));
    assert_holds_many(0, 12000, 800);
    put_many(12000, 12100, 800);
    db_fixture_reopen(&f);
    assert_holds_many(0, 12100, 800);
}

Test(idle, a_flush_by_hand_before_changes_nothing, .init = setup, .fini = teardown)
{
    put_many(0, 12000, 800);
    assert_ok(lsm_flush(f.db));
    rest();
    cr_assert(le(u64, segment_bytes(), SEGMENT_MIN));
    db_fixture_reopen(&f);
    assert_holds_many(0, 12000, 800);
}

Test(idle, separated_values_keep_no_room_ahead, .init = setup, .fini = teardown)
{
    uint64_t used;

    put_many(0, 700, 20000);
    rest();
    used = segment_bytes();
    cr_assert(lt(u64, used, 700 * 20200));
    put_many(700, 710, 20000);
    rest();
    cr_assert(lt(u64, segment_bytes(), used + 10 * 20200));
    assert_holds_many(0, 710, 20000);
    db_fixture_reopen(&f);
    assert_holds_many(0, 710, 20000);
}

Test(idle, after_that_nothing_is_written_until_somebody_writes, .init = setup, .fini = teardown)
{
    uint64_t calls;

    put_many(0, 100, 800);
    rest();
    calls = sim_call_count(f.sim);
    rest();
    cr_assert(eq(u64, sim_call_count(f.sim), calls));
}

// Segments are as long as they were allocated when a crash finds them.
Test(idle, room_that_a_crash_has_left_is_given_back, .init = setup, .fini = teardown)
{
    put_many(0, 400, 20000);
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    sim_restart(f.sim, SIM_ALL, 1);
    db_fixture_open(&f);
    run_jobs();
    cr_assert(lt(u64, segment_bytes(), 400 * 20200 + SEGMENT_MIN));
    assert_holds_many(0, 400, 20000);
}

// The same of one that is log no more: its values are in tables.
Test(idle, room_behind_flushed_values_is_given_back_after_a_crash, .init = setup, .fini = teardown)
{
    put_many(0, 420, 20000);
    assert_ok(lsm_flush(f.db));
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    sim_restart(f.sim, SIM_ALL, 1);
    db_fixture_open(&f);
    run_jobs();
    cr_assert(lt(u64, segment_bytes(), 420 * 20200 + SEGMENT_MIN));
    assert_holds_many(0, 420, 20000);
}

static void settle_once(void *ctx, struct sim *sim, const struct sim_call *call)
{
    bool *is_settled = ctx;

    (void)sim;
    if (*is_settled || call->op != SIM_OP_READ || strstr(call->name, ".vlog") == NULL)
        return;
    *is_settled = true;
    assert_ok(log_settle(f.db->log, SEGMENT_MIN, manifest_edit_number(f.db->manifest)));
}

// The room ahead may go while somebody reads the segment.
Test(idle, verifying_reads_nothing_behind_the_end_of_the_log, .init = setup, .fini = teardown)
{
    bool is_settled = false;

    put_many(0, 10, 20000);
    sim_set_call_hook(f.sim, settle_once, &is_settled);
    assert_ok(lsm_verify(f.db, NULL, NULL));
    sim_set_call_hook(f.sim, NULL, NULL);
    cr_assert(is_settled);
}
