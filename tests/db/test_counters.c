// test_counters.c -- counters that are near their end, as only a hostile file has them.
//
// A database whose manifest says so is refused in words, or works to the last number; nothing
// starts again at 0.

#include "manifest/manifest_state.h"
#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
    put_text(&f, "key", "value");
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(counters, .init = setup, .fini = teardown);

// What the manifest states now.
static struct manifest_state read_state(void)
{
    struct manifest_state state;

    manifest_lock(f.db->manifest);
    assert_ok(manifest_state_copy(manifest_state_locked(f.db->manifest), &state));
    manifest_unlock(f.db->manifest);
    return state;
}

// Has a fresh manifest state that, and the process killed.
static void restate(struct manifest_state *state)
{
    struct view *view = views_acquire(&f.db->views);
    struct manifest *manifest;

    assert_ok(manifest_start(&f.db->tables, &f.db->segments, &f.db->poison, NULL, state,
                             view->version, &manifest));
    manifest_free(manifest);
    manifest_state_release(state);
    view_unref(view);
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db); // fails, since the power has gone
    sim_restart(f.sim, SIM_ALL, 0);
}

static void assert_open_refused(struct manifest_state *state, const char *what)
{
    lsm_db *db;

    restate(state);
    assert_status(lsm_open(DB_DIR, &f.options, &db), LSM_UNSUPPORTED);
    cr_assert(strstr(lsm_errmsg(), what) != NULL, "%s", lsm_errmsg());
    assert_status(lsm_open_read_only(DB_DIR, &f.options, &db), LSM_UNSUPPORTED);
    sim_free(f.sim);
    db_fixture_start(&f); // another one
}

Test(counters, the_last_timestamp_is_not_reached)
{
    static const uint64_t timestamps[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - (1u << 31)};

    for (size_t i = 0; i < sizeof timestamps / sizeof timestamps[0]; i++) {
        struct manifest_state state = read_state();

        state.last_ts = timestamps[i];
        assert_open_refused(&state, "a timestamp");
    }
}

Test(counters, the_last_edit_is_not_reached)
{
    struct manifest_state state = read_state();

    state.edit_number = UINT64_MAX - 1;
    assert_open_refused(&state, "the edit");
}

Test(counters, the_last_number_of_a_file_is_not_reached)
{
    struct manifest_state state = read_state();

    state.next_file_id = UINT64_MAX - 2;
    assert_open_refused(&state, "the file number");
}

// Far beyond 2^32, and with room left, all is as with small ones.
Test(counters, large_ones_work)
{
    struct manifest_state state = read_state();
    lsm_iter *it;

    state.last_ts = UINT64_MAX / 2;
    state.next_file_id = UINT64_MAX / 2;
    state.edit_number = UINT64_MAX / 2;
    restate(&state);
    db_fixture_open(&f);
    for (int i = 0; i < 3; i++) {
        assert_holds(&f, NULL, "key", "value");
        put_text(&f, "key", "newer");
        assert_ok(lsm_flush(f.db));
        put_text(&f, "key", "value");
        assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
        db_fixture_reopen(&f);
    }
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    assert_ok(lsm_iter_first(it));
    cr_assert(gt(u64, lsm_iter_ts(it), UINT64_MAX / 2));
    lsm_iter_close(it);
    assert_ok(lsm_verify(f.db, NULL, NULL));
}

// Ids of keyspaces are used once: when all have been, no keyspace can be made, and nothing else
// suffers.
Test(counters, the_ids_of_keyspaces_end_softly)
{
    struct manifest_state state = read_state();
    lsm_keyspace *keyspace;

    state.next_keyspace_id = UINT32_MAX - 1;
    restate(&state);
    db_fixture_open(&f);
    assert_ok(lsm_keyspace_open(f.db, "the last", true, NULL, &keyspace));
    assert_ok(lsm_put(f.db, keyspace, lsm_str("a"), lsm_str("1"), NULL));
    lsm_keyspace_close(keyspace);
    assert_status(lsm_keyspace_open(f.db, "one more", true, NULL, &keyspace), LSM_UNSUPPORTED);
    put_text(&f, "key", "still written");
    assert_ok(lsm_flush(f.db));
    db_fixture_reopen(&f);
    assert_ok(lsm_keyspace_open(f.db, "the last", false, NULL, &keyspace));
    assert_holds(&f, keyspace, "a", "1");
    lsm_keyspace_close(keyspace);
    assert_holds(&f, NULL, "key", "still written");
}
