// test_hidden.c -- what a reader does not see costs it a bounded number of steps.
//
// Steps are counted by the statistic iterator_versions_skipped, never by time.

#include "support/db_fixture.h"

#define VERSIONS  20000
#define STEPS_MAX 64 // of one move

static struct db_fixture f;
static lsm_snapshot *middle; // sees the version half way
static lsm_snapshot *early;  // sees the first version

static const lsm_write_options written = {.sync = LSM_SYNC_WRITTEN};

static void put_number(const char *key, int number)
{
    char value[16];

    snprintf(value, sizeof value, "%d", number);
    assert_ok(lsm_put(f.db, NULL, lsm_str(key), lsm_str(value), &written));
}

// "a" and "c" have one version each, "b" between them many.
static void put_versions(void)
{
    put_number("a", 0);
    put_number("c", 0);
    put_number("b", 0);
    assert_ok(lsm_snapshot_new(f.db, NULL, &early));
    for (int i = 1; i < VERSIONS; i++) {
        put_number("b", i);
        if (i == VERSIONS / 2)
            assert_ok(lsm_snapshot_new(f.db, NULL, &middle));
    }
}

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.memtable_size = 64 << 20;
    db_fixture_open(&f);
    put_versions();
}

static void teardown(void)
{
    lsm_snapshot_free(early);
    lsm_snapshot_free(middle);
    db_fixture_end(&f);
}

TestSuite(hidden, .init = setup, .fini = teardown);

static uint64_t steps_so_far(void)
{
    uint64_t steps;

    assert_ok(lsm_stat(f.db, "iterator_versions_skipped", &steps));
    return steps;
}

static lsm_iter *iter_of(lsm_snapshot *snapshot, const lsm_iter_options *options)
{
    lsm_iter *it;

    assert_ok(snapshot == NULL ? lsm_iter_open(f.db, NULL, options, &it)
                               : lsm_snapshot_iter_open(snapshot, NULL, options, &it));
    return it;
}

static void assert_on(lsm_iter *it, const char *key, int number)
{
    lsm_slice value;
    char expected[16];

    snprintf(expected, sizeof expected, "%d", number);
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str(key)));
    assert_ok(lsm_iter_value(it, &value));
    cr_assert(slice_equal(value, lsm_str(expected)), "%s", expected);
}

// Every move there is over the three keys, of which "b" shows `number`.
static void check_moves(lsm_snapshot *snapshot, int number)
{
    const uint64_t before = steps_so_far();
    lsm_iter *it = iter_of(snapshot, NULL);

    assert_ok(lsm_iter_first(it));
    assert_on(it, "a", 0);
    assert_ok(lsm_iter_next(it));
    assert_on(it, "b", number);
    assert_ok(lsm_iter_next(it));
    assert_on(it, "c", 0);
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "b", number);
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "a", 0);
    assert_ok(lsm_iter_last(it));
    assert_on(it, "c", 0);
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "b", number);
    assert_ok(lsm_iter_next(it));
    assert_on(it, "c", 0);
    assert_ok(lsm_iter_seek(it, lsm_str("b")));
    assert_on(it, "b", number);
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "a", 0);
    assert_ok(lsm_iter_seek_for_prev(it, lsm_str("b")));
    assert_on(it, "b", number);
    lsm_iter_close(it);
    cr_assert(lt(u64, steps_so_far() - before, 12 * STEPS_MAX));
}

// Of all versions, those that are too new for the reader.
static void check_all_versions(void)
{
    const lsm_iter_options options = {.all_versions = true};
    const uint64_t before = steps_so_far();
    lsm_iter *it = iter_of(early, &options);

    assert_ok(lsm_iter_seek(it, lsm_str("b")));
    assert_on(it, "b", 0);
    assert_ok(lsm_iter_next(it));
    assert_on(it, "c", 0);
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "b", 0);
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "a", 0);
    lsm_iter_close(it);
    cr_assert(lt(u64, steps_so_far() - before, 4 * STEPS_MAX));
}

static void check_all(void)
{
    check_moves(NULL, VERSIONS - 1);
    check_moves(middle, VERSIONS / 2);
    check_moves(early, 0);
    check_all_versions();
}

Test(hidden, many_versions_of_a_key_in_a_memtable_cost_a_few_steps)
{
    check_all();
}

Test(hidden, many_versions_of_a_key_in_a_table_cost_a_few_steps)
{
    assert_ok(lsm_flush(f.db));
    check_all();
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL)); // `early` keeps them all
    check_all();
}

Test(hidden, many_versions_of_a_key_below_an_own_write_cost_a_few_steps)
{
    const uint64_t before = steps_so_far();
    lsm_iter *it;
    lsm_txn *txn;

    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_begin(f.db, LSM_TXN_SNAPSHOT, &txn));
    for (int i = 0; i < VERSIONS; i++)
        assert_ok(lsm_txn_put(txn, NULL, lsm_str("b"), lsm_str("-1")));
    assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_ok(lsm_iter_last(it));
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "b", -1);
    assert_ok(lsm_iter_prev(it));
    assert_on(it, "a", 0);
    assert_ok(lsm_iter_next(it));
    assert_on(it, "b", -1);
    assert_ok(lsm_iter_next(it));
    assert_on(it, "c", 0);
    lsm_iter_close(it);
    assert_ok(lsm_rollback(txn));
    lsm_txn_free(txn);
    cr_assert(lt(u64, steps_so_far() - before, 5 * STEPS_MAX));
}

// --- deletions of many keys ---

#define QUEUE_LENGTH    100
#define QUEUE_POPS      9000              // passing all of them would take twice as many steps
#define JOBS_EVERY      64                // pops
#define QUEUE_STEPS_MAX (3 * (4096 + 64)) // a flush is asked for after 4096 deletions

static void queue_setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.memtable_size = 64 << 20;
    db_fixture_open(&f);
}

static void queue_teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(queue, .init = queue_setup, .fini = queue_teardown);

static void push(unsigned number)
{
    char key[16];

    snprintf(key, sizeof key, "%08u", number);
    put_number(key, (int)number);
}

// Deletes the first entry, or the last, which `number` is; returns the steps it took to find it.
static uint64_t pop(unsigned number, bool is_backward)
{
    const uint64_t before = steps_so_far();
    lsm_iter *it = iter_of(NULL, NULL);
    char key[16];

    snprintf(key, sizeof key, "%08u", number);
    assert_ok(is_backward ? lsm_iter_last(it) : lsm_iter_first(it));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str(key)));
    assert_ok(lsm_delete(f.db, NULL, lsm_iter_key(it), &written));
    lsm_iter_close(it);
    return steps_so_far() - before;
}

static void run_jobs(void)
{
    while (scheduler_run_one(f.db->scheduler))
        ;
}

// Numbers run up and are taken from below, or run down and are taken from above.
static void check_queue(bool is_backward)
{
    const unsigned start = is_backward ? 10000000 : 0;
    const unsigned step = is_backward ? -1u : 1;
    uint64_t most = 0;
    uint64_t flushes;

    for (unsigned i = 0; i < QUEUE_LENGTH; i++)
        push(start + i * step);
    for (unsigned i = 0; i < QUEUE_POPS; i++) {
        const uint64_t steps = pop(start + i * step, is_backward);

        push(start + (i + QUEUE_LENGTH) * step);
        most = steps > most ? steps : most;
        if (i % JOBS_EVERY == 0)
            run_jobs();
    }
    cr_assert(lt(u64, most, QUEUE_STEPS_MAX));
    assert_ok(lsm_stat(f.db, "memtable_switches_for_readers", &flushes));
    cr_assert(ge(u64, flushes, 1));
    cr_assert(le(u64, flushes, QUEUE_POPS / 4096 + 1));
}

Test(queue, the_head_of_a_queue_is_found_in_a_bounded_number_of_steps)
{
    check_queue(false);
}

Test(queue, the_head_of_a_queue_at_its_end_is_found_in_a_bounded_number_of_steps)
{
    check_queue(true);
}

// Nothing can be dropped below a snapshot: flushing again and again would not help.
Test(queue, an_old_snapshot_causes_no_storm_of_flushes)
{
    lsm_snapshot *snapshot;
    uint64_t flushes;

    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    for (unsigned i = 0; i < 6000; i++) {
        push(i);
        push(i + 1);
        (void)pop(i, false);
        if (i % JOBS_EVERY == 0)
            run_jobs();
    }
    lsm_snapshot_free(snapshot);
    assert_ok(lsm_stat(f.db, "memtable_switches_for_readers", &flushes));
    cr_assert(le(u64, flushes, 6000 / 4096));
}
