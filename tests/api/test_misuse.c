// test_misuse.c -- wrong use is refused in words, and nothing changes.

#include <sys/wait.h>
#include <unistd.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/file_header.h"
#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
    put_text(&f, "k", "v");
}

static void teardown(void)
{
    assert_holds(&f, NULL, "k", "v");
    db_fixture_end(&f);
}

TestSuite(misuse, .init = setup, .fini = teardown);

#define assert_words(part)                                                                         \
    cr_assert(ne(ptr, (void *)strstr(lsm_errmsg(), (part)), NULL), "words: %s", lsm_errmsg())

static const lsm_slice null_bytes = {NULL, 5};

// --- keys and values ---

static void refuse_key(lsm_slice key)
{
    const lsm_slice value = lsm_str("x");
    lsm_buf buf = LSM_BUF_INIT;
    lsm_pin pin;
    lsm_batch *batch;
    lsm_txn *txn;
    lsm_snapshot *snapshot;

    assert_refused(lsm_put(f.db, NULL, key, value, NULL));
    assert_refused(lsm_delete(f.db, NULL, key, NULL));
    assert_refused(lsm_put_if_absent(f.db, NULL, key, value, NULL));
    assert_refused(lsm_compare_and_set(f.db, NULL, key, NULL, &value, NULL));
    assert_refused(lsm_add_i64(f.db, NULL, key, 1, NULL, NULL));
    assert_refused(lsm_append(f.db, NULL, key, value, NULL));
    assert_refused(lsm_get(f.db, NULL, key, &buf));
    assert_refused(lsm_exists(f.db, NULL, key));
    assert_refused(lsm_get_pinned(f.db, NULL, key, &pin));
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    assert_refused(lsm_snapshot_get(snapshot, NULL, key, &buf));
    lsm_snapshot_free(snapshot);
    assert_ok(lsm_batch_new(&batch));
    assert_refused(lsm_batch_put(batch, NULL, key, value));
    assert_refused(lsm_batch_delete(batch, NULL, key));
    cr_assert(eq(sz, lsm_batch_count(batch), 0));
    lsm_batch_free(batch);
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_refused(lsm_txn_get(txn, NULL, key, &buf));
    assert_refused(lsm_txn_exists(txn, NULL, key));
    assert_refused(lsm_txn_put(txn, NULL, key, value));
    assert_refused(lsm_txn_put_entry(txn, NULL, key, value, 0, 0));
    assert_refused(lsm_txn_delete(txn, NULL, key));
    assert_refused(lsm_txn_put_if_absent(txn, NULL, key, value));
    assert_ok(lsm_commit(txn, NULL));
    cr_assert(eq(u64, lsm_txn_commit_ts(txn), 0)); // nothing was written
    lsm_txn_free(txn);
    cr_assert(eq(ptr, buf.data, NULL));
}

Test(misuse, a_null_or_oversize_key_is_refused_everywhere)
{
    static char large[LSM_KEY_SIZE_MAX + 1];

    refuse_key(null_bytes);
    assert_words("5 bytes at NULL");
    refuse_key((lsm_slice){large, sizeof large});
    assert_words("65536");
    assert_words("65535");
    refuse_key((lsm_slice){large, SIZE_MAX});
}

static void refuse_value(lsm_slice value)
{
    const lsm_slice key = lsm_str("new");
    lsm_batch *batch;
    lsm_txn *txn;

    assert_refused(lsm_put(f.db, NULL, key, value, NULL));
    assert_refused(lsm_put_if_absent(f.db, NULL, key, value, NULL));
    assert_refused(lsm_compare_and_set(f.db, NULL, key, NULL, &value, NULL));
    assert_refused(lsm_append(f.db, NULL, key, value, NULL));
    assert_ok(lsm_batch_new(&batch));
    assert_refused(lsm_batch_put(batch, NULL, key, value));
    lsm_batch_free(batch);
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_refused(lsm_txn_put(txn, NULL, key, value));
    assert_refused(lsm_txn_put_entry(txn, NULL, key, value, 0, 0));
    assert_refused(lsm_txn_put_if_absent(txn, NULL, key, value));
    lsm_txn_free(txn);
    assert_holds(&f, NULL, "new", NULL);
}

Test(misuse, a_null_or_oversize_value_is_refused_everywhere)
{
    refuse_value(null_bytes);
    refuse_value((lsm_slice){"", SIZE_MAX});
    refuse_value((lsm_slice){"", (size_t)LSM_VALUE_SIZE_MAX + 1});
    assert_refused(
        lsm_put(f.db, NULL, lsm_str("new"), (lsm_slice){"", (size_t)LSM_VALUE_SIZE_MAX + 1}, NULL));
    assert_words("1073741825");
    assert_words("1073741824");
}

Test(misuse, bytes_at_null_are_refused_where_they_are_compared)
{
    const lsm_slice value = lsm_str("x");

    assert_refused(lsm_compare_and_set(f.db, NULL, lsm_str("k"), &null_bytes, &value, NULL));
}

// --- NULLs ---

static lsm_status never_run(lsm_txn *txn, void *ctx)
{
    (void)txn;
    (void)ctx;
    abort();
}

static void never_called(void *ctx, lsm_status status, uint64_t ts)
{
    (void)ctx;
    (void)status;
    (void)ts;
    abort();
}

Test(misuse, a_null_database_is_refused_everywhere)
{
    const lsm_slice key = lsm_str("k");
    lsm_level_info levels[LSM_LEVELS];
    lsm_health_info health;
    lsm_buf buf = LSM_BUF_INIT;
    lsm_status status;
    lsm_pin pin;
    uint64_t number;
    size_t count;
    void *out;

    cr_assert(eq(int, lsm_close(NULL), LSM_OK));
    assert_refused(lsm_put(NULL, NULL, key, key, NULL));
    assert_refused(lsm_delete(NULL, NULL, key, NULL));
    assert_refused(lsm_put_if_absent(NULL, NULL, key, key, NULL));
    assert_refused(lsm_compare_and_set(NULL, NULL, key, NULL, NULL, NULL));
    assert_refused(lsm_add_i64(NULL, NULL, key, 1, NULL, NULL));
    assert_refused(lsm_append(NULL, NULL, key, key, NULL));
    assert_refused(lsm_get(NULL, NULL, key, &buf));
    assert_refused(lsm_exists(NULL, NULL, key));
    assert_refused(lsm_get_pinned(NULL, NULL, key, &pin));
    assert_refused(lsm_multi_get(NULL, NULL, &key, 1, &buf, &status));
    assert_refused(lsm_snapshot_new(NULL, NULL, (lsm_snapshot **)&out));
    assert_refused(lsm_begin(NULL, LSM_TXN_READ_ONLY, (lsm_txn **)&out));
    assert_refused(lsm_update(NULL, never_run, NULL));
    assert_refused(lsm_iter_open(NULL, NULL, NULL, (lsm_iter **)&out));
    assert_refused(lsm_keyspace_open(NULL, "a", true, NULL, (lsm_keyspace **)&out));
    assert_refused(lsm_keyspace_drop(NULL, "a"));
    assert_refused(lsm_keyspace_alter(NULL, "a", NULL));
    assert_refused(lsm_keyspace_list(NULL, (lsm_keyspace_info **)&out, &count));
    assert_refused(lsm_flush(NULL));
    assert_refused(lsm_sync(NULL));
    assert_refused(lsm_compact_range(NULL, NULL, NULL, NULL));
    assert_refused(lsm_wait_idle(NULL));
    assert_refused(lsm_verify(NULL, NULL, NULL));
    assert_refused(lsm_approximate_size(NULL, NULL, NULL, NULL, &number));
    assert_refused(lsm_set_option(NULL, "sync", "full"));
    assert_refused(lsm_get_option(NULL, "sync", &buf));
    assert_refused(lsm_health(NULL, &health));
    assert_refused(lsm_resume(NULL));
    assert_refused(lsm_stats(NULL, LSM_STATS_TEXT, &buf));
    assert_refused(lsm_stat(NULL, "commits", &number));
    assert_refused(lsm_levels(NULL, levels));
    assert_refused(lsm_segments(NULL, (lsm_segment_info **)&out, &count));
    assert_refused(lsm_tables(NULL, (lsm_table_info **)&out, &count));
}

Test(misuse, a_null_result_is_refused_everywhere)
{
    const lsm_slice key = lsm_str("k");
    lsm_buf buf = LSM_BUF_INIT;
    lsm_status status;
    lsm_txn *txn;
    size_t count;
    void *out;

    assert_refused(lsm_open(DB_DIR, NULL, NULL));
    assert_refused(lsm_open(NULL, NULL, (lsm_db **)&out));
    assert_refused(lsm_open("", NULL, (lsm_db **)&out));
    assert_refused(lsm_open_read_only(NULL, NULL, (lsm_db **)&out));
    assert_refused(lsm_get(f.db, NULL, key, NULL));
    assert_refused(lsm_get_pinned(f.db, NULL, key, NULL));
    assert_refused(lsm_multi_get(f.db, NULL, NULL, 1, &buf, &status));
    assert_refused(lsm_multi_get(f.db, NULL, &key, 1, NULL, &status));
    assert_refused(lsm_multi_get(f.db, NULL, &key, 1, &buf, NULL));
    assert_refused(lsm_snapshot_new(f.db, NULL, NULL));
    assert_refused(lsm_begin(f.db, LSM_TXN_READ_ONLY, NULL));
    assert_refused(lsm_begin(f.db, (lsm_txn_mode)99, &txn));
    assert_refused(lsm_update(f.db, NULL, NULL));
    assert_refused(lsm_iter_open(f.db, NULL, NULL, NULL));
    assert_refused(lsm_keyspace_open(f.db, NULL, true, NULL, (lsm_keyspace **)&out));
    assert_refused(lsm_keyspace_open(f.db, "a", true, NULL, NULL));
    assert_refused(lsm_keyspace_open(f.db, "", true, NULL, (lsm_keyspace **)&out));
    assert_refused(lsm_keyspace_drop(f.db, NULL));
    assert_refused(lsm_keyspace_alter(f.db, NULL, NULL));
    assert_refused(lsm_keyspace_alter(f.db, "default", NULL));
    assert_refused(lsm_keyspace_list(f.db, NULL, &count));
    assert_refused(lsm_keyspace_list(f.db, (lsm_keyspace_info **)&out, NULL));
    assert_refused(lsm_approximate_size(f.db, NULL, NULL, NULL, NULL));
    assert_refused(lsm_set_option(f.db, NULL, "full"));
    assert_refused(lsm_set_option(f.db, "sync", NULL));
    assert_refused(lsm_get_option(f.db, NULL, &buf));
    assert_refused(lsm_get_option(f.db, "sync", NULL));
    assert_refused(lsm_health(f.db, NULL));
    assert_refused(lsm_stats(f.db, LSM_STATS_TEXT, NULL));
    assert_refused(lsm_stats(f.db, (lsm_stats_format)99, &buf));
    assert_refused(lsm_stat(f.db, "commits", NULL));
    assert_refused(lsm_stat(f.db, NULL, &(uint64_t){0}));
    assert_refused(lsm_levels(f.db, NULL));
    assert_refused(lsm_segments(f.db, NULL, &count));
    assert_refused(lsm_segments(f.db, (lsm_segment_info **)&out, NULL));
    assert_refused(lsm_tables(f.db, NULL, &count));
    assert_refused(lsm_tables(f.db, (lsm_table_info **)&out, NULL));
    assert_refused(lsm_write(f.db, NULL, NULL));
    assert_refused(lsm_batch_new(NULL));
    assert_refused(lsm_batch_put(NULL, NULL, key, key));
    assert_refused(lsm_batch_delete(NULL, NULL, key));
}

Test(misuse, null_children_are_refused_and_freeing_them_is_nothing)
{
    const lsm_slice key = lsm_str("k");
    lsm_buf buf = LSM_BUF_INIT;
    lsm_slice slice;
    lsm_status status;
    uint64_t savepoint;
    lsm_iter *it;

    assert_refused(lsm_snapshot_get(NULL, NULL, key, &buf));
    assert_refused(lsm_snapshot_iter_open(NULL, NULL, NULL, &it));
    assert_refused(lsm_txn_get(NULL, NULL, key, &buf));
    assert_refused(lsm_txn_exists(NULL, NULL, key));
    assert_refused(lsm_txn_multi_get(NULL, NULL, &key, 1, &buf, &status));
    assert_refused(lsm_txn_put(NULL, NULL, key, key));
    assert_refused(lsm_txn_put_entry(NULL, NULL, key, key, 0, 0));
    assert_refused(lsm_txn_delete(NULL, NULL, key));
    assert_refused(lsm_txn_put_if_absent(NULL, NULL, key, key));
    assert_refused(lsm_txn_savepoint(NULL, &savepoint));
    assert_refused(lsm_txn_rollback_to(NULL, 1));
    assert_refused(lsm_txn_release(NULL, 1));
    assert_refused(lsm_commit(NULL, NULL));
    assert_refused(lsm_commit_async(NULL, NULL, never_called, NULL));
    assert_refused(lsm_rollback(NULL));
    assert_refused(lsm_txn_iter_open(NULL, NULL, NULL, &it));
    assert_refused(lsm_iter_first(NULL));
    assert_refused(lsm_iter_last(NULL));
    assert_refused(lsm_iter_seek(NULL, key));
    assert_refused(lsm_iter_seek_for_prev(NULL, key));
    assert_refused(lsm_iter_next(NULL));
    assert_refused(lsm_iter_prev(NULL));
    assert_refused(lsm_iter_value(NULL, &slice));
    cr_assert(eq(sz, lsm_iter_key(NULL).size, 0));
    cr_assert(eq(u64, lsm_iter_ts(NULL), 0));
    cr_assert(eq(u64, lsm_txn_read_ts(NULL), 0));
    cr_assert(eq(u64, lsm_txn_commit_ts(NULL), 0));
    cr_assert(eq(u64, lsm_snapshot_ts(NULL), 0));
    cr_assert(eq(sz, lsm_batch_count(NULL), 0));
    lsm_snapshot_free(NULL);
    lsm_txn_free(NULL);
    lsm_iter_close(NULL);
    lsm_pin_release(NULL);
    lsm_batch_free(NULL);
    lsm_batch_clear(NULL);
    lsm_options_free(NULL);
    lsm_keyspace_close(NULL);
    (void)lsm_keyspace_name(NULL);
    lsm_buf_free(NULL);
    lsm_free(NULL);
}

Test(misuse, options_are_checked_and_the_nearest_name_is_suggested)
{
    lsm_options *options;
    lsm_buf buf = LSM_BUF_INIT;

    assert_refused(lsm_options_new(NULL));
    assert_ok(lsm_options_new(&options));
    assert_refused(lsm_options_set(NULL, "sync", "full"));
    assert_refused(lsm_options_set(options, NULL, "full"));
    assert_refused(lsm_options_set(options, "sync", NULL));
    assert_refused(lsm_options_set(options, "memtable_sise", "64MiB"));
    assert_words("memtable_size");
    assert_refused(lsm_options_set(options, "memtable_size", "1"));
    assert_words("64KiB");
    assert_refused(lsm_options_set(options, "memtable_size", "-1"));
    assert_refused(lsm_options_set(options, "memtable_size", "many"));
    assert_refused(lsm_options_set(options, "filter_bits", "nan"));
    assert_refused(lsm_options_set_memtable_size(options, 0));
    assert_refused(lsm_options_set_memtable_size(NULL, 1 << 20));
    assert_refused(lsm_options_get(options, "none", &buf));
    assert_refused(lsm_options_get(NULL, "sync", &buf));
    assert_refused(lsm_options_get(options, "sync", NULL));
    assert_refused(lsm_options_save(options, NULL));
    assert_refused(lsm_options_load(options, NULL));
    cr_assert(not(lsm_option_at(SIZE_MAX, &(lsm_option_info){0})));
    assert_refused(lsm_set_option(f.db, "in_memory", "true")); // not while open
    assert_refused(lsm_set_option(f.db, "memtable_size", "1"));
    lsm_options_free(options);
}

Test(misuse, write_options_out_of_range_are_refused)
{
    const lsm_write_options options = {.sync = (lsm_sync_mode)99};

    assert_refused(lsm_put(f.db, NULL, lsm_str("k"), lsm_str("w"), &options));
    assert_refused(lsm_delete(f.db, NULL, lsm_str("k"), &options));
}

Test(misuse, keyspace_options_out_of_range_are_refused)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;
    lsm_keyspace *keyspace;
    char name[300];

    options.compression = 23;
    assert_refused(lsm_keyspace_open(f.db, "a", true, &options, &keyspace));
    assert_refused(lsm_keyspace_alter(f.db, "default", &options));
    options = (lsm_keyspace_options)LSM_KEYSPACE_OPTIONS_INIT;
    options.value_threshold = 65537;
    assert_refused(lsm_keyspace_open(f.db, "a", true, &options, &keyspace));
    assert_refused(lsm_keyspace_alter(f.db, "default", &options));
    options = (lsm_keyspace_options)LSM_KEYSPACE_OPTIONS_INIT;
    options.versions_to_keep = 0;
    assert_refused(lsm_keyspace_open(f.db, "a", true, &options, &keyspace));
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    assert_refused(lsm_keyspace_open(f.db, name, true, NULL, &keyspace));
    assert_status(lsm_keyspace_open(f.db, "a", false, NULL, &keyspace), LSM_NOT_FOUND);
}

// --- finished transactions ---

static void refuse_finished(lsm_txn *txn)
{
    const lsm_slice key = lsm_str("k");
    lsm_buf buf = LSM_BUF_INIT;
    lsm_status status;
    uint64_t savepoint;
    lsm_iter *it;

    assert_refused(lsm_txn_get(txn, NULL, key, &buf));
    assert_words("finished");
    assert_refused(lsm_txn_exists(txn, NULL, key));
    assert_refused(lsm_txn_multi_get(txn, NULL, &key, 1, &buf, &status));
    assert_refused(lsm_txn_put(txn, NULL, key, key));
    assert_refused(lsm_txn_delete(txn, NULL, key));
    assert_refused(lsm_txn_put_if_absent(txn, NULL, lsm_str("new"), key));
    assert_refused(lsm_txn_savepoint(txn, &savepoint));
    assert_refused(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_refused(lsm_commit(txn, NULL));
    assert_refused(lsm_commit_async(txn, NULL, never_called, NULL));
    assert_refused(lsm_rollback(txn));
    (void)lsm_txn_read_ts(txn);
    lsm_txn_free(txn);
}

Test(misuse, a_finished_transaction_refuses_everything)
{
    lsm_txn *txn;

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_commit(txn, NULL));
    refuse_finished(txn);
    assert_ok(lsm_begin(f.db, LSM_TXN_SNAPSHOT, &txn));
    assert_ok(lsm_rollback(txn));
    refuse_finished(txn);
}

Test(misuse, a_transaction_does_not_end_while_its_iterators_are_open)
{
    lsm_slice value;
    lsm_txn *txn;
    lsm_iter *it;

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_put(txn, NULL, lsm_str("new"), lsm_str("1")));
    assert_ok(lsm_txn_iter_open(txn, NULL, NULL, &it));
    assert_ok(lsm_iter_first(it));
    assert_refused(lsm_commit(txn, NULL));
    assert_refused(lsm_commit_async(txn, NULL, never_called, NULL));
    assert_refused(lsm_rollback(txn));
    lsm_txn_free(txn);
    assert_refused(lsm_iter_next(it));
    assert_words("finished");
    assert_refused(lsm_iter_first(it));
    assert_refused(lsm_iter_seek(it, lsm_str("a")));
    assert_refused(lsm_iter_value(it, &value));
    assert_refused(lsm_close(f.db));
    lsm_iter_close(it); // frees the transaction, too
    assert_holds(&f, NULL, "new", NULL);
}

// --- iterators ---

Test(misuse, an_iterator_is_positioned_first_and_its_bounds_are_checked)
{
    static char large[LSM_KEY_SIZE_MAX + 1];
    const lsm_slice oversize = {large, sizeof large};
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_slice value;
    lsm_iter *it;

    options.lower = &null_bytes;
    assert_refused(lsm_iter_open(f.db, NULL, &options, &it));
    options.lower = &oversize;
    assert_refused(lsm_iter_open(f.db, NULL, &options, &it));
    options = (lsm_iter_options)LSM_ITER_OPTIONS_INIT;
    options.keys_only = true;
    assert_ok(lsm_iter_open(f.db, NULL, &options, &it));
    assert_refused(lsm_iter_next(it));
    assert_refused(lsm_iter_prev(it));
    assert_refused(lsm_iter_value(it, &value));
    assert_refused(lsm_iter_seek(it, null_bytes));
    assert_refused(lsm_iter_seek_for_prev(it, oversize));
    assert_ok(lsm_iter_first(it));
    assert_refused(lsm_iter_value(it, &value)); // keys only
    assert_status(lsm_iter_next(it), LSM_NOT_FOUND);
    assert_refused(lsm_iter_next(it));
    lsm_iter_close(it);
}

// --- databases ---

Test(misuse, closing_with_open_children_lists_them_and_changes_nothing)
{
    lsm_snapshot *snapshot;
    lsm_pin pin;
    lsm_txn *txn;
    lsm_iter *it;

    assert_ok(lsm_snapshot_new(f.db, "backup", &snapshot));
    assert_ok(lsm_begin_tagged(f.db, LSM_TXN_READ_ONLY, "report", &txn));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    assert_ok(lsm_get_pinned(f.db, NULL, lsm_str("k"), &pin));
    assert_refused(lsm_close(f.db));
    assert_words("4 open");
    assert_words("backup");
    assert_words("report");
    assert_words("iterator");
    assert_words("pinned value");
    put_text(&f, "k", "w");
    put_text(&f, "k", "v");
    lsm_pin_release(&pin);
    lsm_iter_close(it);
    lsm_txn_free(txn);
    assert_refused(lsm_close(f.db));
    assert_words("1 open");
    lsm_snapshot_free(snapshot);
}

Test(misuse, a_keyspace_of_another_database_is_refused)
{
    lsm_buf buf = LSM_BUF_INIT;
    lsm_keyspace *foreign;
    lsm_batch *batch;
    lsm_db *other;
    lsm_iter *it;
    lsm_txn *txn;

    assert_ok(lsm_open("/other", &f.options, &other));
    assert_ok(lsm_keyspace_open(other, "a", true, NULL, &foreign));
    assert_refused(lsm_put(f.db, foreign, lsm_str("k"), lsm_str("w"), NULL));
    assert_words("another database");
    assert_refused(lsm_get(f.db, foreign, lsm_str("k"), &buf));
    assert_refused(lsm_iter_open(f.db, foreign, NULL, &it));
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_refused(lsm_txn_put(txn, foreign, lsm_str("k"), lsm_str("w")));
    assert_refused(lsm_txn_get(txn, foreign, lsm_str("k"), &buf));
    lsm_txn_free(txn);
    assert_ok(lsm_batch_new(&batch));
    assert_ok(lsm_batch_put(batch, foreign, lsm_str("k"), lsm_str("w")));
    assert_refused(lsm_write(f.db, batch, NULL));
    lsm_batch_free(batch);
    lsm_keyspace_close(foreign);
    assert_ok(lsm_close(other));
}

// Opening what is open in this process fails as it would in another.
Test(misuse, a_second_open_in_the_process_is_refused)
{
    lsm_db *second = NULL;

    assert_status(lsm_open(DB_DIR, &f.options, &second), LSM_LOCKED);
    cr_assert(eq(ptr, second, NULL));
}

// --- the machine's files, other processes ---

struct place {
    char dir[64];
    char file[128];
};

static void place_make(struct place *place, const char *name)
{
    (void)snprintf(place->dir, sizeof place->dir, "/tmp/lsmkv-misuse-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(place->dir), NULL));
    (void)snprintf(place->file, sizeof place->file, "%s/%s", place->dir, name);
}

static void place_write(const struct place *place, const char *text)
{
    FILE *file = fopen(place->file, "w");

    cr_assert(ne(ptr, file, NULL));
    cr_assert(ge(int, fputs(text, file), 0));
    cr_assert(eq(int, fclose(file), 0));
}

static void place_remove(const struct place *place)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -r %s", place->dir);
    cr_assert(eq(int, system(command), 0));
}

static void assert_only_file_holds(const struct place *place, const char *text)
{
    char command[512];

    (void)snprintf(command, sizeof command,
                   "test \"$(ls -A %s)\" = \"$(basename %s)\" && test \"$(cat %s)\" = \"%s\"",
                   place->dir, place->file, place->file, text);
    cr_assert(eq(int, system(command), 0));
}

Test(misuse, a_file_in_the_place_of_the_directory_is_left_alone)
{
    struct place place;
    lsm_db *db;

    place_make(&place, "notes.txt");
    place_write(&place, "mine");
    cr_assert(ne(int, lsm_open(place.file, NULL, &db), LSM_OK));
    assert_words("notes.txt");
    cr_assert(ne(int, lsm_open_read_only(place.file, NULL, &db), LSM_OK));
    assert_only_file_holds(&place, "mine");
    place_remove(&place);
}

Test(misuse, a_directory_that_is_not_a_database_is_left_alone)
{
    struct place place;
    lsm_db *db;

    place_make(&place, "notes.txt");
    place_write(&place, "mine");
    assert_status(lsm_open(place.dir, NULL, &db), LSM_INVALID);
    assert_words(place.dir);
    assert_only_file_holds(&place, "mine");
    cr_assert(ne(int, lsm_open_read_only(place.dir, NULL, &db), LSM_OK));
    assert_only_file_holds(&place, "mine");
    place_remove(&place);
}

static void child_holds(const char *dir, int ready, int done)
{
    lsm_db *db;
    char byte = 'x';

    if (lsm_open(dir, NULL, &db) != LSM_OK || write(ready, &byte, 1) != 1)
        _exit(1);
    (void)!read(done, &byte, 1);
    _exit(lsm_close(db) == LSM_OK ? 0 : 1);
}

Test(misuse, a_database_held_by_another_process_names_its_pid)
{
    struct place place;
    int ready[2], done[2], result;
    char byte, pid_text[32];
    lsm_db *db;
    pid_t pid;

    place_make(&place, "LOCK");
    cr_assert(eq(int, pipe(ready), 0));
    cr_assert(eq(int, pipe(done), 0));
    pid = fork();
    if (pid == 0) {
        close(done[1]);
        child_holds(place.dir, ready[1], done[0]);
    }
    cr_assert(eq(int, (int)read(ready[0], &byte, 1), 1));
    assert_status(lsm_open(place.dir, NULL, &db), LSM_LOCKED);
    (void)snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
    assert_words(pid_text);
    assert_ok(lsm_open_read_only(place.dir, NULL, &db));
    assert_ok(lsm_close(db));
    close(done[1]);
    cr_assert(eq(int, (int)waitpid(pid, &result, 0), (int)pid));
    cr_assert(eq(int, result, 0));
    assert_ok(lsm_open(place.dir, NULL, &db));
    assert_ok(lsm_close(db));
    place_remove(&place);
}

// What a fork's child may not do; the exit status tells the first that it could.
static int use_in_child(lsm_txn *txn, lsm_iter *it, lsm_snapshot *snapshot)
{
    lsm_buf buf = LSM_BUF_INIT;

    if (lsm_put(f.db, NULL, lsm_str("k"), lsm_str("w"), NULL) != LSM_INVALID)
        return 1;
    if (strstr(lsm_errmsg(), "fork") == NULL)
        return 2;
    if (lsm_get(f.db, NULL, lsm_str("k"), &buf) != LSM_INVALID)
        return 3;
    if (lsm_txn_put(txn, NULL, lsm_str("k"), lsm_str("w")) != LSM_INVALID)
        return 4;
    if (lsm_commit(txn, NULL) != LSM_INVALID)
        return 5;
    if (lsm_iter_next(it) != LSM_INVALID)
        return 6;
    if (lsm_snapshot_get(snapshot, NULL, lsm_str("k"), &buf) != LSM_INVALID)
        return 7;
    return lsm_close(f.db) == LSM_INVALID ? 0 : 8;
}

Test(misuse, handles_do_not_survive_a_fork)
{
    lsm_snapshot *snapshot;
    lsm_txn *txn;
    lsm_iter *it;
    pid_t pid;
    int result;

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    assert_ok(lsm_iter_first(it));
    pid = fork();
    if (pid == 0)
        _exit(use_in_child(txn, it, snapshot));
    cr_assert(eq(int, (int)waitpid(pid, &result, 0), (int)pid));
    cr_assert(eq(int, WEXITSTATUS(result), 0));
    lsm_iter_close(it);
    lsm_snapshot_free(snapshot);
    lsm_txn_free(txn);
}

// --- formats ---

// Has CURRENT say a format version that this library does not know.
static void claim_newer_format(const struct place *place)
{
    uint8_t header[FILE_HEADER_SIZE];
    FILE *file = fopen(place->file, "r+b");

    cr_assert(ne(ptr, file, NULL));
    cr_assert(eq(sz, fread(header, sizeof header, 1, file), 1));
    put_u16(header + 8, FILE_FORMAT_VERSION + 1);
    put_u32(header + FILE_HEADER_SIZE - 4, crc32c(0, header, FILE_HEADER_SIZE - 4));
    rewind(file);
    cr_assert(eq(sz, fwrite(header, sizeof header, 1, file), 1));
    cr_assert(eq(int, fclose(file), 0));
}

// Sizes, times and contents of all that lies in the directory.
static void describe_place(const struct place *place, char *to, size_t size)
{
    char command[256];
    FILE *pipe;

    (void)snprintf(command, sizeof command, "cd %s && stat -c '%%n %%s %%y' * && cksum *",
                   place->dir);
    pipe = popen(command, "r");
    cr_assert(ne(ptr, pipe, NULL));
    to[fread(to, 1, size - 1, pipe)] = '\0';
    cr_assert(eq(int, pclose(pipe), 0));
}

Test(misuse, a_newer_format_is_refused_and_nothing_is_written)
{
    char before[4096];
    char after[4096];
    struct place place;
    lsm_db *db;

    place_make(&place, "CURRENT");
    assert_ok(lsm_open(place.dir, NULL, &db));
    assert_ok(lsm_put(db, NULL, lsm_str("k"), lsm_str("v"), NULL));
    assert_ok(lsm_close(db));
    claim_newer_format(&place);
    describe_place(&place, before, sizeof before);
    assert_status(lsm_open(place.dir, NULL, &db), LSM_UNSUPPORTED);
    assert_words("CURRENT");
    assert_status(lsm_open_read_only(place.dir, NULL, &db), LSM_UNSUPPORTED);
    describe_place(&place, after, sizeof after);
    cr_assert(eq(str, before, after));
    place_remove(&place);
}
