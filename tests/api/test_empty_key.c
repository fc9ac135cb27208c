// test_empty_key.c -- the key of no bytes is a key like any other, and the first of all.

#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    assert_ok(lsm_verify(f.db, NULL, NULL));
    db_fixture_end(&f);
}

TestSuite(empty_key, .init = setup, .fini = teardown);

// Both are the same key.
static const lsm_slice at_null = {NULL, 0};
static const lsm_slice at_bytes = {"", 0};

// The power fails; what was promised is replayed.
static void crash(void)
{
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    sim_restart(f.sim, SIM_NONE, 0);
    db_fixture_open(&f);
}

// --- points ---

static void use_everywhere(lsm_slice key)
{
    const lsm_slice one = lsm_str("1");
    const lsm_slice two = lsm_str("2");
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_status status;
    lsm_pin pin;
    int64_t sum;

    assert_holds(&f, NULL, "", NULL);
    assert_ok(lsm_put(f.db, NULL, key, one, NULL));
    assert_holds(&f, NULL, "", "1");
    assert_ok(lsm_exists(f.db, NULL, key));
    assert_ok(lsm_get_pinned(f.db, NULL, key, &pin));
    cr_assert(slice_equal(pin.value, one));
    lsm_pin_release(&pin);
    assert_ok(lsm_multi_get(f.db, NULL, &key, 1, &value, &status));
    assert_buf(&value, "1");
    assert_status(lsm_put_if_absent(f.db, NULL, key, two, NULL), LSM_CONFLICT);
    assert_ok(lsm_compare_and_set(f.db, NULL, key, &one, &two, NULL));
    assert_ok(lsm_append(f.db, NULL, key, one, NULL));
    assert_holds(&f, NULL, "", "21");
    assert_ok(lsm_delete(f.db, NULL, key, NULL));
    assert_ok(lsm_add_i64(f.db, NULL, key, 5, NULL, NULL));
    assert_ok(lsm_add_i64(f.db, NULL, key, 5, &sum, NULL));
    cr_assert(eq(i64, sum, 10));
    assert_ok(lsm_delete(f.db, NULL, key, NULL));
    assert_status(lsm_get(f.db, NULL, key, &value), LSM_NOT_FOUND);
}

Test(empty_key, every_call_takes_it)
{
    use_everywhere(at_null);
    use_everywhere(at_bytes);
}

Test(empty_key, batches_transactions_and_snapshots_take_it)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_snapshot *snapshot;
    uint64_t savepoint;
    lsm_batch *batch;
    lsm_txn *txn;

    assert_ok(lsm_batch_new(&batch));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str("a"), lsm_str("1")));
    assert_ok(lsm_batch_put(batch, NULL, at_null, lsm_str("0")));
    assert_ok(lsm_write(f.db, batch, NULL));
    assert_holds(&f, NULL, "", "0");
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    lsm_batch_clear(batch);
    assert_ok(lsm_batch_delete(batch, NULL, at_null));
    assert_ok(lsm_write(f.db, batch, NULL));
    lsm_batch_free(batch);
    assert_holds(&f, NULL, "", NULL);
    assert_ok(lsm_snapshot_get(snapshot, NULL, at_null, &value));
    assert_buf(&value, "0");
    lsm_snapshot_free(snapshot);

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_put_if_absent(txn, NULL, at_null, lsm_str("2")));
    assert_txn_sees(txn, "", "2");
    assert_ok(lsm_txn_savepoint(txn, &savepoint));
    assert_ok(lsm_txn_delete(txn, NULL, at_null));
    assert_txn_sees(txn, "", NULL);
    assert_ok(lsm_txn_rollback_to(txn, savepoint));
    assert_txn_sees(txn, "", "2");
    assert_ok(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
    assert_holds(&f, NULL, "", "2");
}

// --- where it is kept ---

// A commit that deletes nothing but the empty key is the shortest there is.
Test(empty_key, the_shortest_commit_is_replayed)
{
    put_text(&f, "", "1");
    crash();
    assert_holds(&f, NULL, "", "1");
    assert_ok(lsm_delete(f.db, NULL, at_null, NULL));
    crash();
    assert_holds(&f, NULL, "", NULL);
}

Test(empty_key, it_is_flushed_merged_and_deleted_for_good)
{
    lsm_table_info *tables;
    size_t count;

    put_text(&f, "", "1");
    put_text(&f, "a", "1");
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_tables(f.db, &tables, &count));
    cr_assert(eq(sz, count, 1));
    cr_assert(eq(sz, tables->smallest.size, 0));
    lsm_free(tables);
    assert_holds(&f, NULL, "", "1");
    put_text(&f, "", "2");
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_holds(&f, NULL, "", "2");
    assert_ok(lsm_delete(f.db, NULL, at_null, NULL));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_holds(&f, NULL, "", NULL);
    db_fixture_reopen(&f);
    assert_holds(&f, NULL, "", NULL);
    assert_holds(&f, NULL, "a", "1");
}

// A merge of versions: the newest one stays, and what lies below a deletion does not come back.
Test(empty_key, a_merge_of_its_versions_keeps_the_newest)
{
    for (int i = 0; i < 3; i++) {
        put_text(&f, "", "old");
        assert_ok(lsm_flush(f.db));
        if (i < 2)
            assert_ok(lsm_delete(f.db, NULL, at_null, NULL));
        put_text(&f, "b", "1");
        assert_ok(lsm_flush(f.db));
    }
    assert_ok(lsm_delete(f.db, NULL, at_null, NULL));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_holds(&f, NULL, "", NULL);
    assert_holds(&f, NULL, "b", "1");
}

Test(empty_key, a_table_of_it_alone_is_one)
{
    put_text(&f, "", "1");
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    db_fixture_reopen(&f);
    assert_holds(&f, NULL, "", "1");
    assert_holds(&f, NULL, "a", NULL);
}

Test(empty_key, a_large_value_of_it_is_separated_and_read_back)
{
    static char large[5000];
    const lsm_slice bytes = {large, sizeof large};
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    memset(large, 'v', sizeof large);
    assert_ok(lsm_put(f.db, NULL, at_null, bytes, NULL));
    crash();
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_ok(lsm_get(f.db, NULL, at_null, &value));
    cr_assert(slice_equal(slice_of_buf(&value), bytes));
}

// --- iterators ---

static void assert_on(lsm_status status, lsm_iter *it, const char *key)
{
    assert_status(status, LSM_OK);
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str(key)), "'%.*s' instead of '%s'",
              (int)lsm_iter_key(it).size, (const char *)lsm_iter_key(it).data, key);
    cr_assert(ne(u64, lsm_iter_ts(it), 0));
}

static void assert_at_end(lsm_status status, lsm_iter *it)
{
    assert_status(status, LSM_NOT_FOUND);
    cr_assert(eq(sz, lsm_iter_key(it).size, 0));
    cr_assert(eq(u64, lsm_iter_ts(it), 0)); // which no entry has
}

static void walk(lsm_iter *it)
{
    assert_on(lsm_iter_first(it), it, "");
    assert_on(lsm_iter_next(it), it, "a");
    assert_on(lsm_iter_prev(it), it, "");
    assert_at_end(lsm_iter_prev(it), it);
    assert_on(lsm_iter_last(it), it, "a");
    assert_on(lsm_iter_prev(it), it, "");
    assert_on(lsm_iter_next(it), it, "a");
    assert_at_end(lsm_iter_next(it), it);
    assert_on(lsm_iter_seek(it, at_null), it, "");
    assert_on(lsm_iter_seek_for_prev(it, at_null), it, "");
    assert_on(lsm_iter_seek_for_prev(it, lsm_str("Z")), it, "");
    assert_on(lsm_iter_seek(it, (lsm_slice){"\0", 1}), it, "a");
}

Test(empty_key, iterators_come_to_it_from_both_sides)
{
    lsm_iter *it;

    put_text(&f, "a", "1");
    put_text(&f, "", "1");
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    walk(it);
    lsm_iter_close(it);
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    walk(it);
    lsm_iter_close(it);
}

static void assert_range(const lsm_iter_options *options, const char *first, const char *last)
{
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, options, &it));
    if (first == NULL) {
        assert_at_end(lsm_iter_first(it), it);
        assert_at_end(lsm_iter_last(it), it);
    } else {
        assert_on(lsm_iter_first(it), it, first);
        assert_on(lsm_iter_last(it), it, last);
    }
    lsm_iter_close(it);
}

// An empty bound is the place of the empty key; only NULL is open.
Test(empty_key, an_empty_bound_is_a_bound)
{
    put_text(&f, "", "1");
    put_text(&f, "a", "1");
    assert_range(&(lsm_iter_options){.lower = &at_null}, "", "a");
    assert_range(&(lsm_iter_options){.upper = &at_null}, NULL, NULL);
    assert_range(&(lsm_iter_options){.prefix = &at_null}, "", "a");
    assert_range(&(lsm_iter_options){.prefix = &at_null, .upper = &at_bytes}, NULL, NULL);
}

// All stores begin a keyspace with its empty key: the iterator of the keyspace before must not
// stop there.
Test(empty_key, the_one_of_the_next_keyspace_is_not_met)
{
    lsm_keyspace *next;
    lsm_iter *it;
    lsm_txn *txn;

    assert_ok(lsm_keyspace_open(f.db, "next", true, NULL, &next));
    put_text(&f, "a", "1");
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_put(txn, next, at_null, lsm_str("own")));
    for (int i = 0; i < 3; i++) {
        assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
        assert_on(lsm_iter_last(it), it, "a");
        assert_at_end(lsm_iter_next(it), it);
        assert_on(lsm_iter_seek_for_prev(it, lsm_str("b")), it, "a");
        lsm_iter_close(it);
        if (i == 0)
            assert_ok(lsm_put(f.db, next, at_null, lsm_str("committed"), NULL));
        if (i == 1)
            assert_ok(lsm_flush(f.db));
    }
    lsm_txn_free(txn);
    lsm_keyspace_close(next);
}

// --- conflicts ---

static void commit_conflicts(lsm_txn *txn, bool does)
{
    assert_ok(lsm_txn_put(txn, NULL, lsm_str("written"), lsm_str("1")));
    assert_status(lsm_commit(txn, NULL), does ? LSM_CONFLICT : LSM_OK);
    lsm_txn_free(txn);
}

Test(empty_key, reading_it_is_validated)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_iter *it;
    lsm_txn *txn;

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_status(lsm_txn_get(txn, NULL, at_null, &value), LSM_NOT_FOUND);
    put_text(&f, "", "1");
    commit_conflicts(txn, true);

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_on(lsm_iter_first(it), it, "");
    lsm_iter_close(it);
    assert_ok(lsm_delete(f.db, NULL, at_null, NULL));
    commit_conflicts(txn, true);

    // Whoever began behind it has not seen that it was absent.
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_status(lsm_iter_seek(it, (lsm_slice){"\0", 1}), LSM_NOT_FOUND);
    lsm_iter_close(it);
    put_text(&f, "", "2");
    commit_conflicts(txn, false);
}

// --- ranges of upkeep ---

Test(empty_key, a_range_may_end_at_it)
{
    const lsm_slice a = lsm_str("a");
    uint64_t bytes = 1;

    put_text(&f, "", "1");
    put_text(&f, "a", "1");
    assert_ok(lsm_compact_range(f.db, NULL, &at_null, &at_null));
    assert_status(lsm_compact_range(f.db, NULL, &a, &at_null), LSM_INVALID);
    assert_ok(lsm_approximate_size(f.db, NULL, &at_null, &at_null, &bytes));
    cr_assert(eq(u64, bytes, 0)); // nothing lies before it
    assert_ok(lsm_approximate_size(f.db, NULL, &at_null, NULL, &bytes));
    cr_assert(gt(u64, bytes, 0));
}
