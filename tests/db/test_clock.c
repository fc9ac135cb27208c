// test_clock.c -- expiry under a clock that is wrong for a while, in both directions.

#include "support/db_fixture.h"

#define MINUTE_NS (60 * NS_PER_S)
#define HOUR_NS   (60 * MINUTE_NS)
#define DAY_NS    (24 * HOUR_NS)
#define YEAR_NS   (365 * DAY_NS)

static struct db_fixture f;

static void start(void)
{
    db_fixture_start(&f);
}

static void end(void)
{
    db_fixture_end(&f);
}

static uint64_t clock_now(void)
{
    return clock_wall_ns(sim_env(f.sim));
}

static void put_for(const char *key, uint64_t ttl_ns)
{
    const lsm_write_options options = {.ttl_seconds = ttl_ns / NS_PER_S};

    assert_ok(lsm_put(f.db, NULL, lsm_str(key), lsm_str("v"), &options));
}

// Flushes and merges everything, so that whatever may be dropped is.
static void merge_all(void)
{
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_ok(lsm_wait_idle(f.db));
}

// How many entries tables hold.
static uint64_t entries_left(void)
{
    lsm_level_info levels[LSM_LEVELS];
    uint64_t count = 0;

    assert_ok(lsm_levels(f.db, levels));
    for (size_t i = 0; i < LSM_LEVELS; i++)
        count += levels[i].entries;
    return count;
}

static const uint64_t jumps[] = {5 * NS_PER_S, 20 * HOUR_NS, 3 * YEAR_NS};
#define JUMPS (sizeof jumps / sizeof jumps[0])

// --- ahead ---

Test(clock, what_a_clock_ahead_shows_expired_is_there_when_it_is_right_again, .init = start,
     .fini = end)
{
    for (size_t i = 0; i < JUMPS; i++) {
        put_for("entry", jumps[i] - NS_PER_S);
        put_text(&f, "lasting", "v");
        sim_set_wall(f.sim, clock_now() + jumps[i]);
        assert_holds(&f, NULL, "entry", NULL);
        merge_all();
        assert_holds(&f, NULL, "entry", NULL);
        assert_holds(&f, NULL, "lasting", "v");
        sim_set_wall(f.sim, clock_now() - jumps[i]);
        assert_holds(&f, NULL, "entry", "v");
        merge_all();
        assert_holds(&f, NULL, "entry", "v");
    }
}

// The process that sees the clock ahead is another one, and it writes.
Test(clock, nor_does_it_outlive_a_process, .init = start, .fini = end)
{
    for (size_t i = 0; i < JUMPS; i++) {
        put_for("entry", jumps[i] - NS_PER_S);
        sim_set_wall(f.sim, clock_now() + jumps[i]);
        for (int process = 0; process < 3; process++) {
            db_fixture_reopen(&f);
            put_text(&f, "other", "v");
            merge_all();
            assert_holds(&f, NULL, "entry", NULL);
        }
        sim_set_wall(f.sim, clock_now() - jumps[i]);
        db_fixture_reopen(&f);
        assert_holds(&f, NULL, "entry", "v");
        merge_all();
        assert_holds(&f, NULL, "entry", "v");
    }
}

Test(clock, nor_a_crash, .init = start, .fini = end)
{
    put_for("entry", YEAR_NS);
    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    put_text(&f, "other", "v");
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    sim_restart(f.sim, SIM_NONE, 1);
    db_fixture_open(&f);
    assert_holds(&f, NULL, "entry", NULL);
    merge_all();
    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS);
    assert_holds(&f, NULL, "entry", "v");
}

Test(clock, an_expiry_is_counted_from_what_the_clock_says_now, .init = start, .fini = end)
{
    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    put_text(&f, "other", "v");
    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS);
    put_for("entry", 5 * NS_PER_S);
    assert_holds(&f, NULL, "entry", "v");
    sim_advance(f.sim, 5 * NS_PER_S);
    assert_holds(&f, NULL, "entry", NULL);
}

// A machine that comes up with a wrong clock each time until a time server answers; the
// database is as old as its first error.
Test(clock, a_database_made_under_a_wrong_clock_unlearns_it, .init = start, .fini = end)
{
    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    put_text(&f, "other", "v");
    db_fixture_reopen(&f);
    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS);
    put_for("entry", YEAR_NS);
    sim_crash_at(f.sim, 1); // before anything is written down about the step
    (void)lsm_close(f.db);
    sim_restart(f.sim, SIM_NONE, 1);
    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    db_fixture_open(&f);
    merge_all();
    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS);
    assert_holds(&f, NULL, "entry", "v");
}

// Loading a dump into a new database, on a machine that was set up with a wrong clock.
Test(clock, what_is_written_expired_is_kept_like_the_rest, .init = start, .fini = end)
{
    const lsm_write_options options = {.expiry_seconds = (clock_now() + YEAR_NS) / NS_PER_S};

    db_fixture_end(&f);
    db_fixture_prepare(&f, 2);
    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    db_fixture_open(&f);
    assert_ok(lsm_put(f.db, NULL, lsm_str("entry"), lsm_str("v"), &options));
    assert_holds(&f, NULL, "entry", NULL);
    merge_all();
    db_fixture_reopen(&f);
    merge_all();
    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS);
    assert_holds(&f, NULL, "entry", "v");
}

// --- reclaiming goes on ---

Test(clock, what_expires_under_a_clock_that_runs_right_is_dropped, .init = start, .fini = end)
{
    put_for("entry", 5 * NS_PER_S);
    sim_advance(f.sim, 5 * NS_PER_S);
    merge_all();
    cr_assert(eq(u64, entries_left(), 0));
    put_for("entry", 5 * HOUR_NS);
    sim_suspend(f.sim, 5 * HOUR_NS);
    merge_all();
    cr_assert(eq(u64, entries_left(), 0));
}

// What expired while it was closed is kept for an hour; then nobody has to ask.
Test(clock, what_expired_while_closed_is_dropped_once_the_clock_is_believed, .init = start,
     .fini = end)
{
    put_for("entry", HOUR_NS);
    assert_ok(lsm_flush(f.db));
    db_fixture_close(&f);
    sim_advance(f.sim, 20 * HOUR_NS);
    db_fixture_open(&f);
    merge_all();
    cr_assert(eq(u64, entries_left(), 1));
    sim_advance(f.sim, HOUR_NS);
    while (scheduler_run_one(f.db->scheduler))
        ;
    cr_assert(eq(u64, entries_left(), 0));
}

// Opened for a moment each day.
Test(clock, what_expired_before_the_last_visit_is_dropped_a_day_later, .init = start, .fini = end)
{
    put_for("entry", HOUR_NS);
    for (int day = 0; day < 2; day++) {
        db_fixture_close(&f);
        sim_advance(f.sim, DAY_NS);
        db_fixture_open(&f);
        put_text(&f, "visit", "v");
        merge_all();
        cr_assert(eq(u64, entries_left(), day == 0 ? 2 : 1));
    }
}

// --- snapshots ---

Test(clock, a_snapshot_keeps_the_time_it_was_told, .init = start, .fini = end)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_snapshot *ahead;
    lsm_snapshot *right;

    put_for("entry", YEAR_NS);
    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    assert_ok(lsm_snapshot_new(f.db, NULL, &ahead));
    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS);
    assert_ok(lsm_snapshot_new(f.db, NULL, &right));
    for (int i = 0; i < 2; i++) {
        assert_status(lsm_snapshot_get(ahead, NULL, lsm_str("entry"), &value), LSM_NOT_FOUND);
        assert_ok(lsm_snapshot_get(right, NULL, lsm_str("entry"), &value));
        merge_all();
    }
    // A year later it has expired for everyone but the snapshot that was told it has not.
    sim_advance(f.sim, YEAR_NS);
    assert_holds(&f, NULL, "entry", NULL);
    merge_all();
    assert_ok(lsm_snapshot_get(right, NULL, lsm_str("entry"), &value));
    lsm_snapshot_free(ahead);
    lsm_snapshot_free(right);
    merge_all();
    cr_assert(eq(u64, entries_left(), 0));
}

// A key that has expired is free for who is told so, and what it wrote stands.
Test(clock, conditions_are_judged_by_the_transactions_own_time, .init = start, .fini = end)
{
    lsm_txn *txn;

    put_for("entry", YEAR_NS);
    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS);
    assert_status(lsm_put_if_absent(f.db, NULL, lsm_str("entry"), lsm_str("no"), NULL),
                  LSM_CONFLICT);
    assert_ok(lsm_txn_put_if_absent(txn, NULL, lsm_str("entry"), lsm_str("new")));
    assert_ok(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
    assert_holds(&f, NULL, "entry", "new");
}

// --- behind ---

Test(clock, a_clock_behind_drops_nothing, .init = start, .fini = end)
{
    const uint64_t behind[] = {10 * NS_PER_S, 20 * HOUR_NS, 3 * YEAR_NS, 50 * YEAR_NS};

    for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        put_for("entry", MINUTE_NS);
        sim_set_wall(f.sim, clock_now() - behind[i]);
        db_fixture_reopen(&f);
        sim_advance(f.sim, 2 * MINUTE_NS); // expired in truth
        merge_all();
        assert_holds(&f, NULL, "entry", behind[i] < MINUTE_NS ? NULL : "v");
        sim_set_wall(f.sim, clock_now() + behind[i]);
        assert_holds(&f, NULL, "entry", NULL);
    }
}

// --- what is told ---

static lsm_health_info health(void)
{
    lsm_health_info info;

    assert_ok(lsm_health(f.db, &info));
    cr_assert(eq(int, info.state, LSM_HEALTHY));
    return info;
}

Test(clock, health_tells_the_difference, .init = start, .fini = end)
{
    lsm_health_info info = health();

    cr_assert(eq(i64, info.clock_ahead_ns, 0));
    cr_assert(eq(str, info.clock_note, ""));

    sim_set_wall(f.sim, clock_now() + 3 * YEAR_NS);
    info = health();
    cr_assert(eq(i64, info.clock_ahead_ns, (int64_t)(3 * YEAR_NS)));
    cr_assert(strstr(info.clock_note, "3 years ahead") != NULL, "%s", info.clock_note);
    cr_assert(strstr(info.clock_note, "another 1 day ") != NULL, "%s", info.clock_note);

    sim_set_wall(f.sim, clock_now() - 3 * YEAR_NS - 90 * MINUTE_NS);
    info = health();
    cr_assert(eq(i64, info.clock_ahead_ns, -(int64_t)(90 * MINUTE_NS)));
    cr_assert(strstr(info.clock_note, "1 h 30 min behind") != NULL, "%s", info.clock_note);

    sim_advance(f.sim, HOUR_NS);
    info = health();
    cr_assert(eq(i64, info.clock_ahead_ns, 0));
}
