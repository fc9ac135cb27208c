// test_peer_bugs_model.c -- bugs of other engines by which a deleted key came back.
//
// A tombstone may go, or move down, only while no older version of its key can lie further
// down in any level. Each test is named after the report it repeats.

#include "support/db_fixture.h"

static struct db_fixture f;

// Nothing is compressed, so that sizes are what is written.
static void setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.compression = 0;
    f.options.level0_trigger = 1;
    db_fixture_open(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(peer_bugs_model, .init = setup, .fini = teardown);

// Puts keys `prefix`-00000 and so on, of 200 bytes each.
static void load(const char *prefix, unsigned count)
{
    char value[200];
    char key[32];

    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "%s-%05u", prefix, i);
        assert_ok(lsm_put(f.db, NULL, lsm_str(key), slice_make(value, sizeof value), NULL));
    }
}

// Whether gets and iterators of both directions find no "doomed".
static void assert_gone(void)
{
    const lsm_slice doomed = lsm_str("doomed");
    const lsm_iter_options options = {.prefix = &doomed};
    lsm_iter *it;

    assert_holds(&f, NULL, "doomed", NULL);
    assert_ok(lsm_iter_open(f.db, NULL, &options, &it));
    assert_status(lsm_iter_first(it), LSM_NOT_FOUND);
    assert_status(lsm_iter_last(it), LSM_NOT_FOUND);
    lsm_iter_close(it);
}

// Runs the jobs one by one; after each the key must be gone. The levels below 0 in which
// tombstones were met are added to `met`, a bit each.
static void run_jobs_watching(unsigned *met)
{
    lsm_level_info levels[LSM_LEVELS];

    while (scheduler_run_one(f.db->scheduler)) {
        assert_gone();
        assert_ok(lsm_levels(f.db, levels));
        for (unsigned i = 1; i < LSM_LEVELS; i++)
            *met |= (levels[i].tombstones > 0) << i;
    }
}

static void run_jobs(void)
{
    while (scheduler_run_one(f.db->scheduler)) {
    }
}

// The timestamp of "doomed", which is there.
static uint64_t ts_of_doomed(void)
{
    uint64_t ts;
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    assert_ok(lsm_iter_seek(it, lsm_str("doomed")));
    ts = lsm_iter_ts(it);
    lsm_iter_close(it);
    return ts;
}

// The deepest level with a table that can hold the version of "doomed" at `ts`; 0: none.
static unsigned level_of_doomed(uint64_t ts)
{
    const lsm_slice key = lsm_str("doomed");
    lsm_table_info *tables;
    unsigned level = 0;
    size_t count;

    assert_ok(lsm_tables(f.db, &tables, &count));
    for (size_t i = 0; i < count; i++) {
        const lsm_table_info *t = &tables[i];

        if (t->level > level && t->ts_min <= ts && t->ts_max >= ts &&
            slice_compare(t->smallest, key) <= 0 && slice_compare(t->largest, key) >= 0)
            level = t->level;
    }
    lsm_free(tables);
    return level;
}

// badger #464: a merge looked for older versions in the next level only, and dropped the
// tombstone while the value lay further down. Here it has two levels to pass on its way.
Test(peer_bugs_model, peer_badger_464)
{
    unsigned met = 0;

    load("a", 3000);
    put_text(&f, "doomed", "old");
    load("x", 3000);
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    cr_assert(eq(u32, level_of_doomed(ts_of_doomed()), LSM_LEVELS - 1));
    load("b", 1500); // the levels between fill
    run_jobs();

    assert_ok(lsm_delete(f.db, NULL, lsm_str("doomed"), NULL));
    assert_ok(lsm_flush(f.db));
    assert_gone();
    for (unsigned i = 0; i < 30; i++) {
        load(i % 2 == 0 ? "c" : "y", 100 + 10 * i);
        assert_ok(lsm_flush(f.db));
        run_jobs_watching(&met);
    }
    cr_assert(ne(u32, met & ~(1u << (LSM_LEVELS - 1)), 0), "no level between held the tombstone");
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_gone();
    db_fixture_reopen(&f);
    assert_gone();
}

// badger #2143: the base level went below one that still held tables, as level sizes changed;
// level 0 was merged past them, and a tombstone lay under the value it hides. Here an option
// makes the last level the base that the sizes ask for, while the value is two levels higher.
Test(peer_bugs_model, peer_badger_2143)
{
    unsigned met = 0;
    unsigned level;

    load("a", 3000);
    load("x", 3000);
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    put_text(&f, "doomed", "old"); // into a level above the last
    load("c", 200);
    assert_ok(lsm_flush(f.db));
    load("e", 200);
    assert_ok(lsm_flush(f.db));
    run_jobs();
    level = level_of_doomed(ts_of_doomed());
    cr_assert(level > 0 && level < LSM_LEVELS - 1, "the value is in level %u", level);

    assert_ok(lsm_set_option(f.db, "level_base_size", "1GiB"));
    assert_ok(lsm_delete(f.db, NULL, lsm_str("doomed"), NULL));
    assert_ok(lsm_flush(f.db));
    run_jobs_watching(&met);
    for (unsigned i = 0; i < 10; i++) {
        load(i % 2 == 0 ? "c" : "e", 50);
        assert_ok(lsm_flush(f.db));
        run_jobs_watching(&met);
    }
    cr_assert(ne(u32, met, 0), "the tombstone was never merged");
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_gone();
    db_fixture_reopen(&f);
    assert_gone();
}
