// test_txn.c -- what transactions promise each other.

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

TestSuite(txn, .init = setup, .fini = teardown);

static lsm_txn *begin(lsm_txn_mode mode)
{
    lsm_txn *txn = NULL;

    assert_ok(lsm_begin(f.db, mode, &txn));
    return txn;
}

static void txn_put_text(lsm_txn *txn, const char *key, const char *value)
{
    assert_ok(lsm_txn_put(txn, NULL, lsm_str(key), lsm_str(value)));
}

static lsm_status end(lsm_txn *txn)
{
    lsm_status status = lsm_commit(txn, NULL);

    lsm_txn_free(txn);
    return status;
}

// Number of entries in [from, to); NULL: open.
static int count_range(lsm_txn *txn, const char *from, const char *to, bool is_backward)
{
    const lsm_slice lower = lsm_str(from == NULL ? "" : from);
    const lsm_slice upper = lsm_str(to == NULL ? "" : to);
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_status status;
    lsm_iter *it;
    int count = 0;

    options.lower = from == NULL ? NULL : &lower;
    options.upper = to == NULL ? NULL : &upper;
    assert_ok(lsm_txn_iter_open(txn, NULL, &options, &it));
    status = is_backward ? lsm_iter_last(it) : lsm_iter_first(it);
    for (; status == LSM_OK; status = is_backward ? lsm_iter_prev(it) : lsm_iter_next(it))
        count++;
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    return count;
}

// --- serializable: one of each pair fails ---

static void flush_all(void)
{
    assert_ok(lsm_flush(f.db));
}

static void do_nothing(void)
{
}

// Runs `body` once on memtables and once on tables.
static void with_and_without_flush(void (*body)(void (*settle)(void)))
{
    body(do_nothing);
    body(flush_all);
}

// Both doctors are on call; each may leave while the other stays.
static lsm_status leave(lsm_txn *txn, const char *me, const char *other)
{
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status = lsm_txn_get(txn, NULL, lsm_str(other), &value);

    assert_ok(status);
    assert_buf(&value, "on");
    lsm_buf_free(&value);
    return lsm_txn_put(txn, NULL, lsm_str(me), lsm_str("off"));
}

static void write_skew(void (*settle)(void))
{
    lsm_txn *first;
    lsm_txn *second;

    put_text(&f, "alice", "on");
    put_text(&f, "bob", "on");
    settle();
    first = begin(LSM_TXN_SERIALIZABLE);
    second = begin(LSM_TXN_SERIALIZABLE);
    assert_ok(leave(first, "alice", "bob"));
    assert_ok(leave(second, "bob", "alice"));
    assert_ok(end(first));
    settle();
    assert_status(end(second), LSM_CONFLICT);
    assert_holds(&f, NULL, "alice", "off");
    assert_holds(&f, NULL, "bob", "on");
}

Test(txn, of_a_write_skew_pair_the_second_fails)
{
    with_and_without_flush(write_skew);
}

static void phantom(void (*settle)(void), bool is_backward)
{
    lsm_txn *scanner;

    put_text(&f, "m1", "");
    put_text(&f, "m3", "");
    assert_ok(lsm_delete(f.db, NULL, lsm_str("m2"), NULL));
    settle();
    scanner = begin(LSM_TXN_SERIALIZABLE);
    cr_assert(eq(int, count_range(scanner, "m", "n", is_backward), 2));
    txn_put_text(scanner, "count", "2");
    put_text(&f, "m2", "");
    settle();
    assert_status(end(scanner), LSM_CONFLICT);

    // Beside the range nobody minds.
    scanner = begin(LSM_TXN_SERIALIZABLE);
    cr_assert(eq(int, count_range(scanner, "m", "n", is_backward), 3));
    txn_put_text(scanner, "count", "3");
    put_text(&f, "o", "");
    put_text(&f, "l", "");
    settle();
    assert_ok(end(scanner));
}

static void phantom_forward(void (*settle)(void))
{
    phantom(settle, false);
}

static void phantom_backward(void (*settle)(void))
{
    phantom(settle, true);
}

Test(txn, an_insert_into_a_scanned_range_fails_the_scanner)
{
    with_and_without_flush(phantom_forward);
}

Test(txn, an_insert_into_a_range_scanned_backward_fails_the_scanner)
{
    with_and_without_flush(phantom_backward);
}

static void empty_range(void (*settle)(void))
{
    lsm_txn *scanner = begin(LSM_TXN_SERIALIZABLE);

    cr_assert(eq(int, count_range(scanner, "x", "y", false), 0));
    txn_put_text(scanner, "count", "0");
    put_text(&f, "x5", "");
    settle();
    assert_status(end(scanner), LSM_CONFLICT);
    assert_ok(lsm_delete(f.db, NULL, lsm_str("x5"), NULL));
}

Test(txn, an_insert_into_a_range_found_empty_fails_the_scanner)
{
    with_and_without_flush(empty_range);
}

static void open_range(void (*settle)(void), bool is_backward)
{
    lsm_txn *scanner = begin(LSM_TXN_SERIALIZABLE);

    (void)count_range(scanner, NULL, NULL, is_backward);
    txn_put_text(scanner, "count", "?");
    put_text(&f, is_backward ? "\xff\xff\xff" : "\x01", "");
    settle();
    assert_status(end(scanner), LSM_CONFLICT);
}

static void open_range_forward(void (*settle)(void))
{
    open_range(settle, false);
}

static void open_range_backward(void (*settle)(void))
{
    open_range(settle, true);
}

Test(txn, a_scan_of_everything_minds_inserts_at_both_ends)
{
    with_and_without_flush(open_range_forward);
    with_and_without_flush(open_range_backward);
}

static void deleted_key(void (*settle)(void))
{
    lsm_txn *scanner;

    put_text(&f, "d1", "");
    put_text(&f, "d2", "");
    settle();
    scanner = begin(LSM_TXN_SERIALIZABLE);
    cr_assert(eq(int, count_range(scanner, "d", "e", false), 2));
    txn_put_text(scanner, "count", "2");
    assert_ok(lsm_delete(f.db, NULL, lsm_str("d1"), NULL));
    settle();
    assert_status(end(scanner), LSM_CONFLICT);
}

Test(txn, deleting_a_scanned_key_fails_the_scanner)
{
    with_and_without_flush(deleted_key);
}

static void absent_key(void (*settle)(void))
{
    lsm_txn *first = begin(LSM_TXN_SERIALIZABLE);
    lsm_txn *second = begin(LSM_TXN_SERIALIZABLE);

    assert_txn_sees(first, "name", NULL);
    assert_txn_sees(second, "name", NULL);
    txn_put_text(first, "name", "first");
    txn_put_text(second, "name", "second");
    assert_ok(end(first));
    settle();
    assert_status(end(second), LSM_CONFLICT);
    assert_holds(&f, NULL, "name", "first");
    assert_ok(lsm_delete(f.db, NULL, lsm_str("name"), NULL));
}

Test(txn, of_two_inserts_of_a_key_read_as_absent_one_fails)
{
    with_and_without_flush(absent_key);
}

Test(txn, a_scan_that_stopped_minds_only_what_it_has_seen)
{
    lsm_txn *txn;
    lsm_iter *it;

    for (char key[2] = "a"; key[0] <= 'z'; key[0]++)
        put_text(&f, key, "");
    txn = begin(LSM_TXN_SERIALIZABLE);
    assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_ok(lsm_iter_seek(it, lsm_str("f")));
    assert_ok(lsm_iter_next(it));
    assert_ok(lsm_iter_prev(it));
    assert_ok(lsm_iter_prev(it));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str("e")));
    lsm_iter_close(it);
    txn_put_text(txn, "done", "");
    put_text(&f, "dd", "");
    put_text(&f, "gg", "");
    assert_ok(end(txn));

    txn = begin(LSM_TXN_SERIALIZABLE);
    assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_ok(lsm_iter_seek(it, lsm_str("f")));
    assert_ok(lsm_iter_prev(it));
    lsm_iter_close(it);
    txn_put_text(txn, "done", "");
    put_text(&f, "ee", "");
    assert_status(end(txn), LSM_CONFLICT);
}

// Commits other keys, by which a short history of commits forgets what came before.
static void write_fillers(int count)
{
    lsm_batch *batch;
    char key[32];

    assert_ok(lsm_batch_new(&batch));
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "filler-%07d", i);
        assert_ok(lsm_batch_put(batch, NULL, lsm_str(key), lsm_str("")));
        if (i % 500 == 499) {
            assert_ok(lsm_write(f.db, batch, NULL));
            lsm_batch_clear(batch);
        }
    }
    lsm_batch_free(batch);
}

// Moves an iterator over [c, f) as `scan` does; then another transaction writes `key`. Returns
// how the scanner's commit goes.
static lsm_status scan_beside(const char *key, lsm_status (*scan)(lsm_iter *it),
                              void (*settle)(void))
{
    const lsm_slice lower = lsm_str("c");
    const lsm_slice upper = lsm_str("f");
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_txn *scanner = begin(LSM_TXN_SERIALIZABLE);
    lsm_iter *it;

    options.lower = &lower;
    options.upper = &upper;
    assert_ok(lsm_txn_iter_open(scanner, NULL, &options, &it));
    assert_status(scan(it), LSM_NOT_FOUND);
    lsm_iter_close(it);
    txn_put_text(scanner, "written", "");
    put_text(&f, key, "");
    settle();
    assert_ok(lsm_delete(f.db, NULL, lsm_str(key), NULL));
    return end(scanner);
}

static lsm_status scan_up(lsm_iter *it)
{
    assert_ok(lsm_iter_first(it));
    return lsm_iter_next(it);
}

static lsm_status scan_down(lsm_iter *it)
{
    assert_ok(lsm_iter_last(it));
    return lsm_iter_prev(it);
}

static lsm_status scan_up_and_down(lsm_iter *it)
{
    assert_status(scan_up(it), LSM_NOT_FOUND);
    return scan_down(it);
}

static lsm_status scan_down_from_above(lsm_iter *it)
{
    assert_ok(lsm_iter_seek_for_prev(it, lsm_str("x")));
    return lsm_iter_prev(it);
}

static void exact_bounds(void (*settle)(void))
{
    lsm_status (*const scans[])(lsm_iter * it) = {scan_up, scan_down, scan_up_and_down,
                                                  scan_down_from_above};

    put_text(&f, "d", "");
    settle();
    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++) {
        assert_ok(scan_beside("f", scans[i], settle));
        assert_ok(scan_beside("bzzz", scans[i], settle));
        assert_status(scan_beside("ezzz", scans[i], settle), LSM_CONFLICT);
        assert_status(scan_beside("c", scans[i], settle), LSM_CONFLICT);
    }
}

// The lower bound belongs to what is scanned, the upper one does not.
Test(txn, a_scan_minds_its_bounds_exactly)
{
    with_and_without_flush(exact_bounds);
}

static void overflow_history(void)
{
    write_fillers(3000);
}

Test(txn, a_scan_minds_its_bounds_exactly_when_the_history_is_too_short)
{
    db_fixture_close(&f);
    f.options.conflict_history_size = 64 << 10;
    db_fixture_open(&f);
    exact_bounds(overflow_history);
}

static lsm_status seek_above(lsm_iter *it)
{
    return lsm_iter_seek(it, lsm_str("m"));
}

static lsm_status seek_below(lsm_iter *it)
{
    return lsm_iter_seek_for_prev(it, lsm_str("b"));
}

static lsm_status seek_into_the_gap(lsm_iter *it)
{
    return lsm_iter_seek(it, lsm_str("dd"));
}

Test(txn, a_search_minds_nothing_outside_the_bounds)
{
    put_text(&f, "d", "");
    assert_ok(scan_beside("m", seek_above, do_nothing));
    assert_ok(scan_beside("e", seek_above, do_nothing));
    assert_ok(scan_beside("b", seek_below, do_nothing));
    assert_ok(scan_beside("c", seek_below, do_nothing));
    assert_ok(scan_beside("dc", seek_into_the_gap, do_nothing));
    assert_ok(scan_beside("f", seek_into_the_gap, do_nothing));
    assert_status(scan_beside("dd", seek_into_the_gap, do_nothing), LSM_CONFLICT);
}

Test(txn, conflicts_are_found_when_the_history_of_commits_is_too_short)
{
    lsm_txn *skewed;
    lsm_txn *clean;

    db_fixture_close(&f);
    f.options.conflict_history_size = 64 << 10;
    db_fixture_open(&f);
    skewed = begin(LSM_TXN_SERIALIZABLE);
    clean = begin(LSM_TXN_SERIALIZABLE);
    assert_txn_sees(skewed, "victim", NULL);
    assert_txn_sees(clean, "nobody", NULL);
    txn_put_text(skewed, "a", "");
    txn_put_text(clean, "b", "");
    put_text(&f, "victim", "");
    write_fillers(20000);
    assert_status(end(skewed), LSM_CONFLICT);
    assert_ok(end(clean));
}

// --- the other modes ---

Test(txn, snapshot_mode_allows_write_skew_and_phantoms)
{
    lsm_txn *first;
    lsm_txn *second;

    put_text(&f, "alice", "on");
    put_text(&f, "bob", "on");
    first = begin(LSM_TXN_SNAPSHOT);
    second = begin(LSM_TXN_SNAPSHOT);
    assert_ok(leave(first, "alice", "bob"));
    assert_ok(leave(second, "bob", "alice"));
    assert_ok(end(first));
    assert_ok(end(second));
    assert_holds(&f, NULL, "alice", "off");
    assert_holds(&f, NULL, "bob", "off");

    first = begin(LSM_TXN_SNAPSHOT);
    cr_assert(eq(int, count_range(first, NULL, NULL, false), 2));
    txn_put_text(first, "count", "2");
    put_text(&f, "carol", "on");
    cr_assert(eq(int, count_range(first, NULL, "c", false), 2));
    assert_ok(end(first));
}

static void lost_update(void (*settle)(void))
{
    lsm_txn *first = begin(LSM_TXN_SNAPSHOT);
    lsm_txn *second = begin(LSM_TXN_SNAPSHOT);

    txn_put_text(first, "k", "first");
    txn_put_text(second, "k", "second");
    assert_ok(end(first));
    settle();
    assert_status(end(second), LSM_CONFLICT);
    assert_holds(&f, NULL, "k", "first");
}

Test(txn, in_snapshot_mode_of_two_writes_of_a_key_one_fails)
{
    with_and_without_flush(lost_update);
}

Test(txn, a_read_only_transaction_sees_its_snapshot_through_everything)
{
    static char large[3000];
    lsm_txn *txn;
    char key[16];

    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < 400; i++) {
        (void)snprintf(key, sizeof key, "%04d", i);
        put_text(&f, key, i % 8 == 0 ? large : key);
    }
    txn = begin(LSM_TXN_READ_ONLY);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 400; i++) {
            (void)snprintf(key, sizeof key, "%04d", i);
            if ((i + round) % 2 == 0)
                assert_ok(lsm_delete(f.db, NULL, lsm_str(key), NULL));
            else
                put_text(&f, key, "overwritten");
        }
        assert_ok(lsm_flush(f.db));
        assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
        assert_ok(lsm_wait_idle(f.db));
        cr_assert(eq(int, count_range(txn, NULL, NULL, round % 2 == 0), 400));
        for (int i = 0; i < 400; i++) {
            (void)snprintf(key, sizeof key, "%04d", i);
            assert_txn_sees(txn, key, i % 8 == 0 ? large : key);
        }
    }
    assert_ok(end(txn));
}

Test(txn, a_read_only_transaction_refuses_writes)
{
    lsm_txn *txn = begin(LSM_TXN_READ_ONLY);
    uint64_t savepoint;

    assert_status(lsm_txn_put(txn, NULL, lsm_str("k"), lsm_str("v")), LSM_INVALID);
    assert_status(lsm_txn_delete(txn, NULL, lsm_str("k")), LSM_INVALID);
    assert_status(lsm_txn_savepoint(txn, &savepoint), LSM_INVALID);
    assert_ok(end(txn));
}

// --- own writes ---

Test(txn, own_writes_are_seen_in_gets_and_by_nobody_else)
{
    lsm_txn *txn;

    put_text(&f, "old", "1");
    put_text(&f, "dying", "1");
    txn = begin(LSM_TXN_SERIALIZABLE);
    txn_put_text(txn, "old", "2");
    txn_put_text(txn, "new", "3");
    assert_ok(lsm_txn_delete(txn, NULL, lsm_str("dying")));
    assert_txn_sees(txn, "old", "2");
    assert_txn_sees(txn, "new", "3");
    assert_txn_sees(txn, "dying", NULL);
    assert_status(lsm_txn_exists(txn, NULL, lsm_str("dying")), LSM_NOT_FOUND);
    assert_status(lsm_txn_put_if_absent(txn, NULL, lsm_str("new"), lsm_str("x")), LSM_CONFLICT);
    assert_ok(lsm_txn_put_if_absent(txn, NULL, lsm_str("dying"), lsm_str("reborn")));
    assert_holds(&f, NULL, "old", "1");
    assert_holds(&f, NULL, "new", NULL);
    assert_holds(&f, NULL, "dying", "1");
    cr_assert(eq(u64, lsm_txn_commit_ts(txn), 0));
    assert_ok(lsm_commit(txn, NULL));
    cr_assert(gt(u64, lsm_txn_commit_ts(txn), lsm_txn_read_ts(txn)));
    lsm_txn_free(txn);
    assert_holds(&f, NULL, "old", "2");
    assert_holds(&f, NULL, "new", "3");
    assert_holds(&f, NULL, "dying", "reborn");
}

Test(txn, a_cursor_sees_own_writes_made_before_it_and_none_after)
{
    lsm_slice value;
    lsm_txn *txn;
    lsm_iter *it;

    put_text(&f, "a", "1");
    put_text(&f, "c", "1");
    put_text(&f, "e", "1");
    txn = begin(LSM_TXN_SERIALIZABLE);
    txn_put_text(txn, "b", "own");
    txn_put_text(txn, "c", "own");
    assert_ok(lsm_txn_delete(txn, NULL, lsm_str("e")));
    assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_ok(lsm_iter_first(it));
    txn_put_text(txn, "bb", "later");
    txn_put_text(txn, "c", "later");
    assert_ok(lsm_txn_delete(txn, NULL, lsm_str("b")));
    assert_ok(lsm_iter_next(it));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str("b")));
    assert_ok(lsm_iter_value(it, &value));
    cr_assert(slice_equal(value, lsm_str("own")));
    assert_ok(lsm_iter_next(it));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str("c")));
    assert_ok(lsm_iter_value(it, &value));
    cr_assert(slice_equal(value, lsm_str("own")));
    assert_status(lsm_iter_next(it), LSM_NOT_FOUND);
    assert_ok(lsm_iter_last(it));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str("c")));
    assert_ok(lsm_iter_prev(it));
    assert_ok(lsm_iter_prev(it));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str("a")));
    lsm_iter_close(it);
    cr_assert(eq(int, count_range(txn, NULL, NULL, true), 3));
    assert_ok(end(txn));
    assert_holds(&f, NULL, "bb", "later");
    assert_holds(&f, NULL, "b", NULL);
}

Test(txn, rolling_back_leaves_no_trace)
{
    lsm_txn *txn = begin(LSM_TXN_SERIALIZABLE);

    txn_put_text(txn, "k", "v");
    assert_ok(lsm_rollback(txn));
    lsm_txn_free(txn);
    txn = begin(LSM_TXN_SERIALIZABLE);
    txn_put_text(txn, "k", "v");
    lsm_txn_free(txn);
    assert_holds(&f, NULL, "k", NULL);
}

Test(txn, savepoints_nest)
{
    lsm_txn *txn = begin(LSM_TXN_SERIALIZABLE);
    uint64_t outer;
    uint64_t inner;

    txn_put_text(txn, "k", "1");
    assert_ok(lsm_txn_savepoint(txn, &outer));
    txn_put_text(txn, "k", "2");
    txn_put_text(txn, "new", "2");
    assert_ok(lsm_txn_savepoint(txn, &inner));
    assert_ok(lsm_txn_delete(txn, NULL, lsm_str("k")));
    assert_txn_sees(txn, "k", NULL);
    assert_ok(lsm_txn_rollback_to(txn, inner));
    assert_txn_sees(txn, "k", "2");
    assert_ok(lsm_txn_delete(txn, NULL, lsm_str("k")));
    assert_ok(lsm_txn_rollback_to(txn, inner)); // it has been kept
    assert_txn_sees(txn, "k", "2");
    assert_ok(lsm_txn_rollback_to(txn, outer));
    assert_txn_sees(txn, "k", "1");
    assert_txn_sees(txn, "new", NULL);
    assert_status(lsm_txn_rollback_to(txn, inner), LSM_INVALID);
    txn_put_text(txn, "k", "3");
    assert_ok(lsm_txn_release(txn, outer));
    assert_status(lsm_txn_rollback_to(txn, outer), LSM_INVALID);
    assert_ok(end(txn));
    assert_holds(&f, NULL, "k", "3");
    assert_holds(&f, NULL, "new", NULL);
}

Test(txn, what_was_read_before_a_rollback_to_a_savepoint_stays_read)
{
    lsm_txn *txn = begin(LSM_TXN_SERIALIZABLE);
    uint64_t savepoint;

    assert_ok(lsm_txn_savepoint(txn, &savepoint));
    assert_txn_sees(txn, "k", NULL);
    assert_ok(lsm_txn_rollback_to(txn, savepoint));
    txn_put_text(txn, "other", "");
    put_text(&f, "k", "");
    assert_status(end(txn), LSM_CONFLICT);
}

// A write too many is refused and the rest of the transaction still commits.
Test(txn, a_write_over_the_byte_limit_leaves_the_transaction_as_it_was)
{
    static char large[70000];
    lsm_txn *txn;

    assert_ok(lsm_set_option(f.db, "txn_bytes_max", "64KiB"));
    txn = begin(LSM_TXN_SERIALIZABLE);
    txn_put_text(txn, "small", "fits");
    assert_status(lsm_txn_put(txn, NULL, lsm_str("small"), (lsm_slice){large, sizeof large}),
                  LSM_INVALID);
    assert_txn_sees(txn, "small", "fits");
    assert_ok(end(txn));
    assert_holds(&f, NULL, "small", "fits");
}

// --- running again ---

struct rivalry {
    int runs;
    int rivals; // commits that come between, one per run
};

static lsm_status increment(lsm_txn *txn, void *ctx)
{
    struct rivalry *rivalry = ctx;
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status = lsm_txn_get(txn, NULL, lsm_str("counter"), &value);
    char text[16];

    rivalry->runs++;
    if (status != LSM_OK)
        return status;
    (void)snprintf(text, sizeof text, "%u", number_in(&value) + 1);
    lsm_buf_free(&value);
    if (rivalry->rivals > 0) {
        rivalry->rivals--;
        put_text(&f, "counter", rivalry->rivals == 0 ? "100" : "50");
    }
    return lsm_txn_put(txn, NULL, lsm_str("counter"), lsm_str(text));
}

Test(txn, update_runs_again_until_nobody_comes_between)
{
    struct rivalry rivalry = {.rivals = 3};

    put_text(&f, "counter", "7");
    assert_ok(lsm_update(f.db, increment, &rivalry));
    cr_assert(eq(int, rivalry.runs, 4));
    assert_holds(&f, NULL, "counter", "101");
}

Test(txn, update_gives_up_after_a_hundred_conflicts)
{
    struct rivalry rivalry = {.rivals = 1000};

    put_text(&f, "counter", "7");
    assert_status(lsm_update(f.db, increment, &rivalry), LSM_CONFLICT);
    cr_assert(eq(int, rivalry.runs, 100));
}

static lsm_status change_mind(lsm_txn *txn, void *ctx)
{
    txn_put_text(txn, "k", "v");
    return *(lsm_status *)ctx;
}

Test(txn, update_rolls_back_when_the_function_says_so)
{
    lsm_status status = LSM_NOT_FOUND;

    assert_status(lsm_update(f.db, change_mind, &status), LSM_NOT_FOUND);
    assert_holds(&f, NULL, "k", NULL);
}

// --- without waiting ---

struct outcome {
    int calls;
    lsm_status status;
    uint64_t ts;
    lsm_status nested; // of a call of the database from the callback
};

static void note_outcome(void *ctx, lsm_status status, uint64_t ts)
{
    struct outcome *outcome = ctx;

    outcome->calls++;
    outcome->status = status;
    outcome->ts = ts;
    outcome->nested = lsm_put(f.db, NULL, lsm_str("from callback"), lsm_str(""), NULL);
}

Test(txn, an_async_commit_tells_its_outcome_once)
{
    struct outcome outcome = {0};
    lsm_txn *txn = begin(LSM_TXN_SERIALIZABLE);
    uint64_t read_ts = lsm_txn_read_ts(txn);

    txn_put_text(txn, "k", "v");
    assert_ok(lsm_commit_async(txn, NULL, note_outcome, &outcome));
    lsm_txn_free(txn);
    while (outcome.calls == 0)
        cr_assert(scheduler_run_one(f.db->scheduler));
    cr_assert(eq(int, outcome.calls, 1));
    assert_status(outcome.status, LSM_OK);
    cr_assert(gt(u64, outcome.ts, read_ts));
    assert_status(outcome.nested, LSM_INVALID);
    assert_holds(&f, NULL, "k", "v");
    assert_holds(&f, NULL, "from callback", NULL);
}

Test(txn, an_async_commit_that_fails_at_once_calls_nobody)
{
    struct outcome outcome = {0};
    lsm_txn *txn = begin(LSM_TXN_SERIALIZABLE);

    assert_txn_sees(txn, "k", NULL);
    txn_put_text(txn, "k", "mine");
    put_text(&f, "k", "theirs");
    assert_status(lsm_commit_async(txn, NULL, note_outcome, &outcome), LSM_CONFLICT);
    assert_status(lsm_txn_put(txn, NULL, lsm_str("k"), lsm_str("v")), LSM_INVALID);
    lsm_txn_free(txn);
    cr_assert(eq(int, outcome.calls, 0));
    assert_holds(&f, NULL, "k", "theirs");
}

Test(txn, an_async_commit_without_writes_is_known_at_once)
{
    struct outcome outcome = {0};
    lsm_txn *txn = begin(LSM_TXN_SERIALIZABLE);

    assert_ok(lsm_commit_async(txn, NULL, note_outcome, &outcome));
    cr_assert(eq(int, outcome.calls, 1));
    assert_status(outcome.status, LSM_OK);
    lsm_txn_free(txn);
}

Test(txn, closing_carries_async_commits_out)
{
    struct outcome outcome = {0};
    lsm_txn *txn = begin(LSM_TXN_SERIALIZABLE);

    txn_put_text(txn, "k", "v");
    assert_ok(lsm_commit_async(txn, NULL, note_outcome, &outcome));
    lsm_txn_free(txn);
    db_fixture_reopen(&f);
    cr_assert(eq(int, outcome.calls, 1));
    assert_holds(&f, NULL, "k", "v");
}
