// test_keyspace_drop.c -- a drop is whole or has not happened, also through a crash.

#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(keyspace_drop, .init = setup, .fini = teardown);

static void crash_and_reopen(void)
{
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    sim_restart(f.sim, SIM_ALL, 0);
    db_fixture_open(&f);
}

static void put_into(const char *name)
{
    lsm_keyspace *keyspace;

    assert_ok(lsm_keyspace_open(f.db, name, true, NULL, &keyspace));
    assert_ok(lsm_put(f.db, keyspace, lsm_str("key"), lsm_str("value"), NULL));
    lsm_keyspace_close(keyspace);
}

static void refuse_edits(bool are_refused)
{
    const struct sim_fault fault = {.ops = SIM_OP_WRITE,
                                    .kinds = SIM_KIND(FILENAME_MANIFEST),
                                    .at = 1,
                                    .for_ever = true,
                                    .status = LSM_NO_SPACE};

    sim_set_fault(f.sim, are_refused ? &fault : NULL);
}

// Stamped, so that nothing is committed to it any more, and then not made durable: a flush that
// left the entries out took them away from the keyspace that the crash brought back.
Test(keyspace_drop, a_drop_that_is_not_durable_takes_no_entry_away)
{
    lsm_keyspace *keyspace;

    put_into("k");
    refuse_edits(true);
    assert_status(lsm_keyspace_drop(f.db, "k"), LSM_NO_SPACE);
    refuse_edits(false);
    put_text(&f, "other", "value");
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    crash_and_reopen();
    assert_ok(lsm_keyspace_open(f.db, "k", false, NULL, &keyspace));
    assert_holds(&f, keyspace, "key", "value");
    lsm_keyspace_close(keyspace);
}

Test(keyspace_drop, a_durable_drop_stays_and_its_entries_go)
{
    lsm_keyspace *keyspace;

    put_into("k");
    assert_ok(lsm_keyspace_drop(f.db, "k"));
    assert_ok(lsm_flush(f.db));
    crash_and_reopen();
    assert_status(lsm_keyspace_open(f.db, "k", false, NULL, &keyspace), LSM_NOT_FOUND);
    put_into("k");
}
