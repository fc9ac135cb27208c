// test_misuse_children.c -- calls of transactions, snapshots and iterators that make no sense.

#include "support/db_fixture.h"

static struct db_fixture f;
static lsm_db *other;
static lsm_keyspace *foreign; // of the other database

static void setup(void)
{
    db_fixture_start(&f);
    put_text(&f, "k", "v");
    assert_ok(lsm_open("/other", &f.options, &other));
    assert_ok(lsm_keyspace_open(other, "a", true, NULL, &foreign));
}

static void teardown(void)
{
    lsm_keyspace_close(foreign);
    assert_ok(lsm_close(other));
    assert_holds(&f, NULL, "k", "v");
    db_fixture_end(&f);
}

TestSuite(misuse_children, .init = setup, .fini = teardown);

static const lsm_slice null_bytes = {NULL, 5};

Test(misuse_children, a_keyspace_of_another_database_is_refused_by_every_child)
{
    const lsm_slice key = lsm_str("k");
    lsm_buf buf = LSM_BUF_INIT;
    lsm_snapshot *snapshot;
    lsm_status status;
    lsm_iter *it;
    lsm_txn *txn;

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_refused(lsm_txn_exists(txn, foreign, key));
    assert_refused(lsm_txn_multi_get(txn, foreign, &key, 1, &buf, &status));
    assert_refused(lsm_txn_put_entry(txn, foreign, key, key, 0, 0));
    assert_refused(lsm_txn_delete(txn, foreign, key));
    assert_refused(lsm_txn_put_if_absent(txn, foreign, key, key));
    assert_refused(lsm_txn_iter_open(txn, foreign, NULL, &it));
    lsm_txn_free(txn);
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    assert_refused(lsm_snapshot_get(snapshot, foreign, key, &buf));
    assert_refused(lsm_snapshot_iter_open(snapshot, foreign, NULL, &it));
    lsm_snapshot_free(snapshot);
    assert_refused(lsm_delete(f.db, foreign, key, NULL));
    assert_refused(lsm_put_if_absent(f.db, foreign, key, key, NULL));
    assert_refused(lsm_compare_and_set(f.db, foreign, key, NULL, &key, NULL));
    assert_refused(lsm_add_i64(f.db, foreign, key, 1, NULL, NULL));
    assert_refused(lsm_append(f.db, foreign, key, key, NULL));
    assert_refused(lsm_exists(f.db, foreign, key));
    assert_refused(lsm_get_pinned(f.db, foreign, key, &(lsm_pin){0}));
    assert_refused(lsm_multi_get(f.db, foreign, &key, 1, &buf, &status));
    assert_refused(lsm_compact_range(f.db, foreign, NULL, NULL));
    assert_refused(lsm_approximate_size(f.db, foreign, NULL, NULL, &(uint64_t){0}));
    cr_assert(eq(ptr, buf.data, NULL));
}

Test(misuse_children, a_null_result_is_refused_by_every_child)
{
    const lsm_slice key = lsm_str("k");
    lsm_buf buf = LSM_BUF_INIT;
    lsm_snapshot *snapshot;
    lsm_status status;
    lsm_iter *it;
    lsm_txn *txn;

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_refused(lsm_txn_get(txn, NULL, key, NULL));
    assert_refused(lsm_txn_multi_get(txn, NULL, NULL, 1, &buf, &status));
    assert_refused(lsm_txn_multi_get(txn, NULL, &key, 1, NULL, &status));
    assert_refused(lsm_txn_multi_get(txn, NULL, &key, 1, &buf, NULL));
    assert_ok(lsm_txn_multi_get(txn, NULL, NULL, 0, NULL, NULL));
    assert_refused(lsm_txn_savepoint(txn, NULL));
    assert_refused(lsm_txn_rollback_to(txn, 7));
    assert_refused(lsm_txn_release(txn, 7));
    assert_refused(lsm_txn_iter_open(txn, NULL, NULL, NULL));
    lsm_txn_free(txn);
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    assert_refused(lsm_snapshot_get(snapshot, NULL, key, NULL));
    assert_refused(lsm_snapshot_iter_open(snapshot, NULL, NULL, NULL));
    lsm_snapshot_free(snapshot);
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    assert_ok(lsm_iter_first(it));
    assert_refused(lsm_iter_value(it, NULL));
    lsm_iter_close(it);
}

Test(misuse_children, an_error_of_one_key_of_many_is_told_for_it_alone)
{
    lsm_slice keys[3] = {lsm_str("k"), {NULL, 5}, lsm_str("none")};
    lsm_buf values[3] = {LSM_BUF_INIT, LSM_BUF_INIT, LSM_BUF_INIT};
    lsm_status statuses[3];
    lsm_txn *txn;

    assert_ok(lsm_begin(f.db, LSM_TXN_READ_ONLY, &txn));
    assert_refused(lsm_txn_multi_get(txn, NULL, keys, 3, values, statuses));
    cr_assert(eq(int, statuses[0], LSM_OK));
    cr_assert(eq(int, statuses[1], LSM_INVALID));
    cr_assert(eq(int, statuses[2], LSM_NOT_FOUND));
    assert_buf(&values[0], "v");
    lsm_buf_free(&values[0]);
    lsm_txn_free(txn);
}

Test(misuse_children, an_iterator_checks_every_bound_and_key)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_iter *it;

    options.upper = &null_bytes;
    assert_refused(lsm_iter_open(f.db, NULL, &options, &it));
    options.upper = NULL;
    options.prefix = &null_bytes;
    assert_refused(lsm_iter_open(f.db, NULL, &options, &it));
    options.prefix = NULL;
    options.prefetch = UINT32_MAX;
    assert_refused(lsm_iter_open(f.db, NULL, &options, &it));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    assert_refused(lsm_iter_seek(it, null_bytes));
    assert_refused(lsm_iter_seek_for_prev(it, null_bytes));
    assert_ok(lsm_iter_seek(it, lsm_str("")));
    lsm_iter_close(it);
}

// It would be taken for a feed of changes, which misses what merges have dropped.
Test(misuse_children, since_and_all_versions_do_not_go_together)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_snapshot *snapshot;
    lsm_iter *it;
    lsm_txn *txn;

    put_text(&f, "a", "v");
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    assert_ok(lsm_begin(f.db, LSM_TXN_READ_ONLY, &txn));
    options.all_versions = true;
    options.since_ts = 1;
    assert_refused(lsm_iter_open(f.db, NULL, &options, &it));
    cr_assert(strstr(lsm_errmsg(), "change feed") != NULL);
    assert_refused(lsm_snapshot_iter_open(snapshot, NULL, &options, &it));
    assert_refused(lsm_txn_iter_open(txn, NULL, &options, &it));
    options.since_ts = 0;
    assert_ok(lsm_iter_open(f.db, NULL, &options, &it));
    lsm_iter_close(it);
    lsm_txn_free(txn);
    lsm_snapshot_free(snapshot);
}

// Nothing is told of an entry that there is not, and no memory is looked at.
Test(misuse_children, an_iterator_behind_its_end_tells_nothing)
{
    lsm_slice value;
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (int i = 0; i < 2; i++) {
        cr_assert(eq(sz, lsm_iter_key(it).size, 0));
        cr_assert(eq(u64, lsm_iter_ts(it), 0));
        cr_assert(eq(u64, lsm_iter_expiry(it), 0));
        cr_assert(eq(u8, lsm_iter_user_byte(it), 0));
        cr_assert(not(lsm_iter_is_deleted(it)));
        cr_assert(eq(u64, lsm_iter_value_size(it), 0));
        assert_refused(lsm_iter_value(it, &value));
        assert_ok(lsm_iter_last(it));
        assert_status(lsm_iter_next(it), LSM_NOT_FOUND);
    }
    lsm_iter_close(it);
}
