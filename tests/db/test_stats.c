// test_stats.c -- what is counted, and when it shows.

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

TestSuite(stats, .init = setup, .fini = teardown);

static uint64_t counted(enum counter counter)
{
    return stats_read(f.db->stats, counter);
}

// Keys in order, each written `versions` times.
static void put_keys(int count, int versions)
{
    char key[32];

    for (int version = 0; version < versions; version++) {
        for (int i = 0; i < count; i++) {
            (void)snprintf(key, sizeof key, "key-%06d", i);
            put_text(&f, key, "value");
        }
    }
}

Test(stats, a_tally_shows_when_it_is_full_and_when_it_is_flushed)
{
    struct tally tally = {.stats = f.db->stats, .counter = COUNTER_SYNCS};
    const uint64_t before = counted(COUNTER_SYNCS);

    for (int i = 0; i < TALLY_MAX - 1; i++)
        tally_add_one(&tally);
    cr_assert(eq(u64, counted(COUNTER_SYNCS), before));
    tally_add_one(&tally);
    cr_assert(eq(u64, counted(COUNTER_SYNCS), before + TALLY_MAX));
    tally_add_one(&tally);
    tally_flush(&tally);
    tally_flush(&tally);
    cr_assert(eq(u64, counted(COUNTER_SYNCS), before + TALLY_MAX + 1));
}

Test(stats, moves_of_an_iterator_show_during_a_long_scan_and_all_when_it_is_closed)
{
    enum { KEYS = 1500 };
    lsm_iter *it;
    int moves = 1;

    put_keys(KEYS, 1);
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    cr_assert(eq(u64, counted(COUNTER_ITERATORS), 1));
    assert_ok(lsm_iter_first(it));
    while (lsm_iter_next(it) == LSM_OK)
        moves++;
    cr_assert(eq(int, moves, KEYS));
    cr_assert(eq(u64, counted(COUNTER_ITERATOR_MOVES), TALLY_MAX));
    lsm_iter_close(it);
    cr_assert(eq(u64, counted(COUNTER_ITERATOR_MOVES), KEYS + 1)); // and the one past the end
}

Test(stats, hidden_versions_are_counted_in_both_directions)
{
    enum { KEYS = 10, VERSIONS = 4 };
    lsm_iter *it;

    put_keys(KEYS, VERSIONS);
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (lsm_status status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        ;
    lsm_iter_close(it);
    cr_assert(eq(u64, counted(COUNTER_VERSIONS_SKIPPED), KEYS * (VERSIONS - 1)));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (lsm_status status = lsm_iter_last(it); status == LSM_OK; status = lsm_iter_prev(it))
        ;
    lsm_iter_close(it);
    // Backward each version is passed, the one shown too.
    cr_assert(eq(u64, counted(COUNTER_VERSIONS_SKIPPED), KEYS * (VERSIONS - 1 + VERSIONS)));
}
