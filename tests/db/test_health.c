// test_health.c -- lsm_health() tells of every background job that keeps failing, until it does
// not any more.

#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    sim_set_fault(f.sim, NULL);
    db_fixture_end(&f);
}

TestSuite(health, .init = setup, .fini = teardown);

static void rest(uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds; i++) {
        sim_advance(f.sim, NS_PER_S);
        while (scheduler_run_one(f.db->scheduler))
            continue;
    }
}

static void assert_degraded(const char *why)
{
    lsm_health_info health;

    assert_ok(lsm_health(f.db, &health));
    cr_assert(eq(int, (int)health.state, LSM_DEGRADED), "%s", health.reason);
    cr_assert(strstr(health.reason, why) != NULL, "%s", health.reason);
}

static void assert_healthy(void)
{
    lsm_health_info health;

    assert_ok(lsm_health(f.db, &health));
    cr_assert(eq(int, (int)health.state, LSM_HEALTHY), "%s", health.reason);
}

static void fail_for_ever(unsigned ops, const char *name_part)
{
    const struct sim_fault fault = {
        .ops = ops, .name_part = name_part, .at = 1, .for_ever = true, .status = LSM_NO_SPACE};

    sim_set_fault(f.sim, &fault);
}

static void put_large(unsigned count)
{
    static const char value[50000];

    for (unsigned i = 0; i < count; i++)
        assert_ok(lsm_put(f.db, NULL, lsm_str("large"), slice_make(value, sizeof value), NULL));
}

Test(health, segments_that_cannot_be_prepared_are_told)
{
    rest(1);
    put_large(15); // most of the first segment: the next one is due
    fail_for_ever(SIM_OP_OPEN | SIM_OP_ALLOCATE, ".vlog");
    put_large(4);
    rest(1);
    assert_degraded("preparing and sealing segments");
    sim_set_fault(f.sim, NULL);
    rest(2);
    assert_healthy();
}

Test(health, obsolete_files_that_cannot_be_removed_are_told)
{
    fail_for_ever(SIM_OP_UNLINK, ".sst");
    for (unsigned i = 0; i < 6; i++) {
        put_text(&f, "a", "1");
        assert_ok(lsm_flush(f.db));
    }
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    rest(4); // readers are given time to leave
    assert_degraded("removing obsolete files");
    sim_set_fault(f.sim, NULL);
    assert_ok(lsm_resume(f.db));
    rest(2);
    assert_healthy();
}
