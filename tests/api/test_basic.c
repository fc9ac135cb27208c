// test_basic.c -- what the public functions promise, one by one.

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

TestSuite(basic, .init = setup, .fini = teardown);

// --- single entries ---

Test(basic, what_is_put_is_found_and_what_is_deleted_is_not)
{
    put_text(&f, "ada", "1815");
    assert_holds(&f, NULL, "ada", "1815");
    put_text(&f, "ada", "1852");
    assert_holds(&f, NULL, "ada", "1852");
    assert_ok(lsm_delete(f.db, NULL, lsm_str("ada"), NULL));
    assert_holds(&f, NULL, "ada", NULL);
    assert_ok(lsm_delete(f.db, NULL, lsm_str("never there"), NULL));
}

Test(basic, an_empty_value_is_a_value)
{
    assert_ok(lsm_put(f.db, NULL, lsm_str("k"), (lsm_slice){NULL, 0}, NULL));
    assert_holds(&f, NULL, "k", "");
}

Test(basic, a_failed_get_leaves_the_buffer_alone)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    put_text(&f, "k", "kept");
    assert_ok(lsm_get(f.db, NULL, lsm_str("k"), &value));
    assert_status(lsm_get(f.db, NULL, lsm_str("absent"), &value), LSM_NOT_FOUND);
    assert_buf(&value, "kept");
}

Test(basic, the_longest_key_and_a_value_of_many_segments_come_back_whole)
{
    const size_t size = 5 << 20; // segments have 1 MiB
    static char key[LSM_KEY_SIZE_MAX];
    char *bytes = malloc(size);
    lsm_buf value = LSM_BUF_INIT;

    memset(key, 'k', sizeof key);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + (i >> 12));
    assert_ok(lsm_put(f.db, NULL, (lsm_slice){key, sizeof key}, (lsm_slice){bytes, size}, NULL));
    db_fixture_reopen(&f);
    assert_ok(lsm_get(f.db, NULL, (lsm_slice){key, sizeof key}, &value));
    cr_assert(slice_equal(slice_of_buf(&value), (lsm_slice){bytes, size}));
    lsm_buf_free(&value);
    free(bytes);
}

Test(basic, a_pinned_value_stays_through_overwriting_and_compaction)
{
    static char large[5000];
    lsm_pin small_pin;
    lsm_pin large_pin;

    memset(large, 'x', sizeof large);
    put_text(&f, "small", "one");
    assert_ok(lsm_put(f.db, NULL, lsm_str("large"), (lsm_slice){large, sizeof large}, NULL));
    assert_ok(lsm_get_pinned(f.db, NULL, lsm_str("small"), &small_pin));
    assert_ok(lsm_get_pinned(f.db, NULL, lsm_str("large"), &large_pin));
    put_text(&f, "small", "two");
    put_text(&f, "large", "gone");
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_ok(lsm_wait_idle(f.db));
    cr_assert(slice_equal(small_pin.value, lsm_str("one")));
    cr_assert(slice_equal(large_pin.value, (lsm_slice){large, sizeof large}));
    lsm_pin_release(&small_pin);
    lsm_pin_release(&large_pin);
}

Test(basic, many_keys_are_looked_up_at_once)
{
    const lsm_slice keys[] = {lsm_str("b"), lsm_str("none"), lsm_str("a"), {NULL, 1}};
    lsm_buf values[4] = {LSM_BUF_INIT, LSM_BUF_INIT, LSM_BUF_INIT, LSM_BUF_INIT};
    lsm_status statuses[4];

    put_text(&f, "a", "1");
    put_text(&f, "b", "2");
    assert_ok(lsm_multi_get(f.db, NULL, keys, 3, values, statuses));
    cr_assert(eq(int, statuses[0], LSM_OK));
    cr_assert(eq(int, statuses[1], LSM_NOT_FOUND));
    cr_assert(eq(int, statuses[2], LSM_OK));
    assert_buf(&values[0], "2");
    assert_buf(&values[2], "1");
    assert_ok(lsm_multi_get(f.db, NULL, NULL, 0, NULL, NULL));
    // One bad key does not keep the others from being found.
    assert_status(lsm_multi_get(f.db, NULL, keys, 4, values, statuses), LSM_INVALID);
    cr_assert(eq(int, statuses[0], LSM_OK));
    cr_assert(eq(int, statuses[3], LSM_INVALID));
    for (size_t i = 0; i < 4; i++)
        lsm_buf_free(&values[i]);
}

// --- conditional writes ---

Test(basic, put_if_absent_writes_once)
{
    assert_ok(lsm_put_if_absent(f.db, NULL, lsm_str("k"), lsm_str("first"), NULL));
    assert_status(lsm_put_if_absent(f.db, NULL, lsm_str("k"), lsm_str("second"), NULL),
                  LSM_CONFLICT);
    assert_holds(&f, NULL, "k", "first");
    assert_ok(lsm_delete(f.db, NULL, lsm_str("k"), NULL));
    assert_ok(lsm_put_if_absent(f.db, NULL, lsm_str("k"), lsm_str("third"), NULL));
    assert_holds(&f, NULL, "k", "third");
}

Test(basic, compare_and_set_replaces_only_what_is_expected)
{
    const lsm_slice key = lsm_str("k");
    const lsm_slice one = lsm_str("1");
    const lsm_slice two = lsm_str("2");

    assert_status(lsm_compare_and_set(f.db, NULL, key, &one, &two, NULL), LSM_CONFLICT);
    assert_ok(lsm_compare_and_set(f.db, NULL, key, NULL, &one, NULL));
    assert_status(lsm_compare_and_set(f.db, NULL, key, NULL, &two, NULL), LSM_CONFLICT);
    assert_status(lsm_compare_and_set(f.db, NULL, key, &two, &one, NULL), LSM_CONFLICT);
    assert_holds(&f, NULL, "k", "1");
    assert_ok(lsm_compare_and_set(f.db, NULL, key, &one, &two, NULL));
    assert_holds(&f, NULL, "k", "2");
    assert_ok(lsm_compare_and_set(f.db, NULL, key, &two, NULL, NULL));
    assert_holds(&f, NULL, "k", NULL);
}

Test(basic, a_counter_counts_and_refuses_to_overflow)
{
    const lsm_slice key = lsm_str("counter");
    int64_t sum = 0;

    assert_ok(lsm_add_i64(f.db, NULL, key, 5, &sum, NULL));
    cr_assert(eq(i64, sum, 5));
    assert_ok(lsm_add_i64(f.db, NULL, key, -7, &sum, NULL));
    cr_assert(eq(i64, sum, -2));
    assert_ok(lsm_add_i64(f.db, NULL, key, INT64_MIN + 2, NULL, NULL));
    assert_status(lsm_add_i64(f.db, NULL, key, -1, &sum, NULL), LSM_INVALID);
    cr_assert(eq(i64, sum, -2));
    assert_ok(lsm_add_i64(f.db, NULL, key, 0, &sum, NULL));
    cr_assert(eq(i64, sum, INT64_MIN));
    put_text(&f, "text", "abc");
    assert_status(lsm_add_i64(f.db, NULL, lsm_str("text"), 1, &sum, NULL), LSM_INVALID);
    assert_holds(&f, NULL, "text", "abc");
}

Test(basic, append_extends_a_value)
{
    assert_ok(lsm_append(f.db, NULL, lsm_str("log"), lsm_str("one,"), NULL));
    assert_ok(lsm_append(f.db, NULL, lsm_str("log"), lsm_str("two"), NULL));
    assert_holds(&f, NULL, "log", "one,two");
}

// What an entry has beside its value, read back.
static void assert_marks(lsm_keyspace *keyspace, const char *key, uint64_t expiry, int user_byte)
{
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, keyspace, NULL, &it));
    assert_ok(lsm_iter_seek(it, lsm_str(key)));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str(key)));
    cr_assert(eq(u64, lsm_iter_expiry(it), expiry));
    cr_assert(eq(int, lsm_iter_user_byte(it), user_byte));
    lsm_iter_close(it);
}

#define FAR_EXPIRY UINT64_C(4102444800) // the year 2100

// The three that write on from what is there, each with key "k" at the counter 1 before it.
static void write_on_by_add(lsm_keyspace *keyspace, const lsm_write_options *options)
{
    assert_ok(lsm_add_i64(f.db, keyspace, lsm_str("k"), 1, NULL, options));
}

static void write_on_by_append(lsm_keyspace *keyspace, const lsm_write_options *options)
{
    assert_ok(lsm_append(f.db, keyspace, lsm_str("k"), lsm_str("and more"), options));
}

static void write_on_by_cas(lsm_keyspace *keyspace, const lsm_write_options *options)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    const lsm_slice desired = lsm_str("another");
    lsm_slice expected;

    assert_ok(lsm_get(f.db, keyspace, lsm_str("k"), &value));
    expected = (lsm_slice){value.data, value.size};
    assert_ok(lsm_compare_and_set(f.db, keyspace, lsm_str("k"), &expected, &desired, options));
}

static void put_counter(lsm_keyspace *keyspace, const lsm_write_options *options)
{
    assert_ok(lsm_delete(f.db, keyspace, lsm_str("k"), NULL));
    assert_ok(lsm_add_i64(f.db, keyspace, lsm_str("k"), 1, NULL, options));
}

static void check_marks_of(void (*write_on)(lsm_keyspace *, const lsm_write_options *),
                           lsm_keyspace *keyspace)
{
    const lsm_write_options marked = {.expiry_seconds = FAR_EXPIRY, .user_byte = 7};
    const lsm_write_options bare = {.expiry_seconds = LSM_EXPIRY_NONE};

    put_counter(keyspace, &marked);
    write_on(keyspace, NULL);
    assert_marks(keyspace, "k", FAR_EXPIRY, 7);
    put_counter(keyspace, &marked);
    write_on(keyspace, &(lsm_write_options){.user_byte = 9});
    assert_marks(keyspace, "k", FAR_EXPIRY, 9);
    put_counter(keyspace, &marked);
    write_on(keyspace, &(lsm_write_options){.expiry_seconds = FAR_EXPIRY + 5});
    assert_marks(keyspace, "k", FAR_EXPIRY + 5, 7);
    put_counter(keyspace, &marked);
    write_on(keyspace, &(lsm_write_options){.clear_user_byte = true});
    assert_marks(keyspace, "k", FAR_EXPIRY, 0);
    put_counter(keyspace, &marked);
    write_on(keyspace, &bare);
    assert_marks(keyspace, "k", 0, 7);
    // Nothing is kept of nothing: that an entry has no expiry is kept, too.
    put_counter(keyspace, &bare);
    write_on(keyspace, NULL);
    assert_marks(keyspace, "k", 0, 0);
}

// A counter that is to expire goes on to expire when it has been counted up.
Test(basic, writing_on_keeps_expiry_and_user_byte_unless_told_otherwise)
{
    const lsm_keyspace_options hour = {LSM_INHERIT, LSM_INHERIT, LSM_INHERIT, 3600};
    lsm_keyspace *timed;

    assert_ok(lsm_keyspace_open(f.db, "timed", true, &hour, &timed));
    for (int i = 0; i < 2; i++) {
        lsm_keyspace *keyspace = i == 0 ? NULL : timed;

        check_marks_of(write_on_by_add, keyspace);
        check_marks_of(write_on_by_append, keyspace);
        check_marks_of(write_on_by_cas, keyspace);
    }
    lsm_keyspace_close(timed);
}

Test(basic, an_entry_that_never_expires_can_be_put_where_others_do)
{
    const lsm_keyspace_options hour = {LSM_INHERIT, LSM_INHERIT, LSM_INHERIT, 3600};
    const lsm_write_options never = {.expiry_seconds = LSM_EXPIRY_NONE};
    lsm_keyspace *timed;
    lsm_txn *txn;
    lsm_batch *batch;

    assert_ok(lsm_keyspace_open(f.db, "timed", true, &hour, &timed));
    assert_ok(lsm_put(f.db, timed, lsm_str("a"), lsm_str("1"), &never));
    assert_ok(lsm_put_if_absent(f.db, timed, lsm_str("b"), lsm_str("1"), &never));
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_put_entry(txn, timed, lsm_str("c"), lsm_str("1"), LSM_EXPIRY_NONE, 0));
    assert_ok(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
    assert_ok(lsm_batch_new(&batch));
    assert_ok(lsm_batch_put(batch, timed, lsm_str("d"), lsm_str("1")));
    assert_ok(lsm_write(f.db, batch, &never));
    lsm_batch_free(batch);
    assert_marks(timed, "a", 0, 0);
    assert_marks(timed, "b", 0, 0);
    assert_marks(timed, "c", 0, 0);
    assert_marks(timed, "d", 0, 0);
    lsm_keyspace_close(timed);
}

Test(basic, a_user_byte_is_not_set_and_cleared_at_once)
{
    const lsm_write_options both = {.user_byte = 1, .clear_user_byte = true};

    assert_status(lsm_add_i64(f.db, NULL, lsm_str("k"), 1, NULL, &both), LSM_INVALID);
    assert_holds(&f, NULL, "k", NULL);
}

// --- batches ---

Test(basic, a_batch_applies_in_order_across_keyspaces_and_again)
{
    lsm_keyspace *other;
    lsm_batch *batch;

    assert_ok(lsm_keyspace_open(f.db, "other", true, NULL, &other));
    assert_ok(lsm_batch_new(&batch));
    assert_ok(lsm_write(f.db, batch, NULL));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str("a"), lsm_str("1")));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str("a"), lsm_str("2")));
    assert_ok(lsm_batch_put(batch, other, lsm_str("a"), lsm_str("3")));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str("b"), lsm_str("4")));
    assert_ok(lsm_batch_delete(batch, NULL, lsm_str("b")));
    cr_assert(eq(sz, lsm_batch_count(batch), 5));
    for (int i = 0; i < 2; i++) {
        assert_ok(lsm_write(f.db, batch, NULL));
        assert_holds(&f, NULL, "a", "2");
        assert_holds(&f, other, "a", "3");
        assert_holds(&f, NULL, "b", NULL);
        put_text(&f, "a", "changed");
    }
    lsm_batch_clear(batch);
    cr_assert(eq(sz, lsm_batch_count(batch), 0));
    assert_ok(lsm_write(f.db, batch, NULL));
    assert_holds(&f, NULL, "a", "changed");
    lsm_batch_free(batch);
    lsm_keyspace_close(other);
}

// --- expiry ---

Test(basic, an_entry_expires_when_its_time_has_come)
{
    const lsm_write_options by_ttl = {.ttl_seconds = 10};
    const lsm_write_options by_time = {.expiry_seconds = 2000000020};

    sim_set_wall(f.sim, 2000000000 * NS_PER_S);
    assert_ok(lsm_put(f.db, NULL, lsm_str("ttl"), lsm_str("v"), &by_ttl));
    assert_ok(lsm_put(f.db, NULL, lsm_str("time"), lsm_str("v"), &by_time));
    put_text(&f, "always", "v");
    sim_set_wall(f.sim, 2000000009 * NS_PER_S);
    assert_holds(&f, NULL, "ttl", "v");
    sim_set_wall(f.sim, 2000000011 * NS_PER_S);
    assert_holds(&f, NULL, "ttl", NULL);
    assert_holds(&f, NULL, "time", "v");
    sim_set_wall(f.sim, 2000000021 * NS_PER_S);
    assert_holds(&f, NULL, "time", NULL);
    assert_ok(lsm_put_if_absent(f.db, NULL, lsm_str("time"), lsm_str("new"), NULL));
    assert_holds(&f, NULL, "time", "new");
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_holds(&f, NULL, "ttl", NULL);
    assert_holds(&f, NULL, "always", "v");
}

Test(basic, a_keyspace_has_a_default_expiry)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;
    lsm_keyspace *sessions;

    options.ttl_seconds = 60;
    sim_set_wall(f.sim, 2000000000 * NS_PER_S);
    assert_ok(lsm_keyspace_open(f.db, "sessions", true, &options, &sessions));
    assert_ok(lsm_put(f.db, sessions, lsm_str("k"), lsm_str("v"), NULL));
    assert_holds(&f, sessions, "k", "v");
    sim_set_wall(f.sim, 2000000061 * NS_PER_S);
    assert_holds(&f, sessions, "k", NULL);
    lsm_keyspace_close(sessions);
}

Test(basic, a_snapshot_sees_what_expires_after_it)
{
    const lsm_write_options by_ttl = {.ttl_seconds = 10};
    lsm_buf value = LSM_BUF_INIT;
    lsm_snapshot *snapshot;

    sim_set_wall(f.sim, 2000000000 * NS_PER_S);
    assert_ok(lsm_put(f.db, NULL, lsm_str("k"), lsm_str("v"), &by_ttl));
    assert_ok(lsm_snapshot_new(f.db, "report", &snapshot));
    sim_set_wall(f.sim, 2000000100 * NS_PER_S);
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_holds(&f, NULL, "k", NULL);
    assert_ok(lsm_snapshot_get(snapshot, NULL, lsm_str("k"), &value));
    assert_buf(&value, "v");
    lsm_buf_free(&value);
    lsm_snapshot_free(snapshot);
}

Test(basic, an_iterator_tells_expiry_user_byte_and_size)
{
    const lsm_write_options options = {.user_byte = 42, .expiry_seconds = 4000000000};
    lsm_slice value;
    lsm_iter *it;

    assert_ok(lsm_put(f.db, NULL, lsm_str("k"), lsm_str("value"), &options));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    cr_assert(eq(sz, lsm_iter_key(it).size, 0));
    assert_ok(lsm_iter_first(it));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str("k")));
    assert_ok(lsm_iter_value(it, &value));
    cr_assert(slice_equal(value, lsm_str("value")));
    cr_assert(eq(u8, lsm_iter_user_byte(it), 42));
    cr_assert(eq(u64, lsm_iter_expiry(it), 4000000000));
    cr_assert(eq(u64, lsm_iter_value_size(it), 5));
    cr_assert(not(lsm_iter_is_deleted(it)));
    assert_status(lsm_iter_next(it), LSM_NOT_FOUND);
    lsm_iter_close(it);
}

// --- keyspaces ---

Test(basic, keyspaces_hold_keys_of_their_own_and_are_listed)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;
    lsm_keyspace_info *list;
    lsm_keyspace *a;
    lsm_keyspace *b;
    size_t count;

    options.value_threshold = 0;
    assert_status(lsm_keyspace_open(f.db, "a", false, NULL, &a), LSM_NOT_FOUND);
    assert_ok(lsm_keyspace_open(f.db, "a", true, &options, &a));
    assert_ok(lsm_keyspace_open(f.db, "a", false, NULL, &b));
    assert_ok(lsm_put(f.db, a, lsm_str("k"), lsm_str("in a"), NULL));
    put_text(&f, "k", "in default");
    assert_holds(&f, b, "k", "in a");
    assert_holds(&f, NULL, "k", "in default");
    cr_assert(eq(str, (char *)lsm_keyspace_name(a), "a"));
    assert_ok(lsm_keyspace_list(f.db, &list, &count));
    cr_assert(eq(sz, count, 2));
    cr_assert(eq(str, list[0].name, "default"));
    cr_assert(eq(str, list[1].name, "a"));
    cr_assert(eq(u32, list[1].options.value_threshold, 0));
    lsm_free(list);
    lsm_keyspace_close(a);
    lsm_keyspace_close(b);
}

Test(basic, altering_a_keyspace_lasts)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;
    lsm_keyspace_info *list;
    lsm_keyspace *a;
    size_t count;

    assert_ok(lsm_keyspace_open(f.db, "a", true, NULL, &a));
    lsm_keyspace_close(a);
    options.versions_to_keep = 7;
    options.ttl_seconds = 99;
    options.compression = 22;
    assert_ok(lsm_keyspace_alter(f.db, "a", &options));
    assert_status(lsm_keyspace_alter(f.db, "none", &options), LSM_NOT_FOUND);
    db_fixture_reopen(&f);
    assert_ok(lsm_keyspace_list(f.db, &list, &count));
    cr_assert(eq(u32, list[1].options.versions_to_keep, 7));
    cr_assert(eq(u64, list[1].options.ttl_seconds, 99));
    cr_assert(eq(u32, list[1].options.compression, 22));
    cr_assert(eq(u32, list[0].options.compression, LSM_INHERIT));
    lsm_free(list);
}

Test(basic, a_dropped_keyspace_is_gone_but_for_those_who_came_before)
{
    lsm_keyspace *old;
    lsm_keyspace *new;
    lsm_snapshot *snapshot;
    lsm_buf value = LSM_BUF_INIT;

    assert_ok(lsm_keyspace_open(f.db, "a", true, NULL, &old));
    assert_ok(lsm_put(f.db, old, lsm_str("k"), lsm_str("v"), NULL));
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    assert_ok(lsm_keyspace_drop(f.db, "a"));
    assert_status(lsm_keyspace_drop(f.db, "a"), LSM_NOT_FOUND);
    assert_status(lsm_keyspace_drop(f.db, "default"), LSM_INVALID);
    assert_status(lsm_put(f.db, old, lsm_str("k"), lsm_str("w"), NULL), LSM_INVALID);
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_ok(lsm_snapshot_get(snapshot, old, lsm_str("k"), &value));
    assert_buf(&value, "v");
    lsm_buf_free(&value);
    lsm_snapshot_free(snapshot);

    // A new keyspace of that name starts empty.
    assert_ok(lsm_keyspace_open(f.db, "a", true, NULL, &new));
    assert_holds(&f, new, "k", NULL);
    lsm_keyspace_close(old);
    lsm_keyspace_close(new);
    db_fixture_reopen(&f);
    assert_ok(lsm_keyspace_open(f.db, "a", false, NULL, &new));
    assert_holds(&f, new, "k", NULL);
    lsm_keyspace_close(new);
}

// --- reopening ---

Test(basic, reopening_keeps_everything)
{
    lsm_keyspace *a;
    char key[16];

    assert_ok(lsm_keyspace_open(f.db, "a", true, NULL, &a));
    for (int i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "%03d", i);
        assert_ok(lsm_put(f.db, i % 2 == 0 ? a : NULL, lsm_str(key), lsm_str(key), NULL));
        if (i == 100)
            assert_ok(lsm_flush(f.db));
        if (i == 200)
            assert_ok(lsm_delete(f.db, a, lsm_str("000"), NULL));
    }
    lsm_keyspace_close(a);
    for (int round = 0; round < 2; round++) {
        db_fixture_reopen(&f);
        assert_ok(lsm_keyspace_open(f.db, "a", false, NULL, &a));
        assert_holds(&f, a, "000", NULL);
        for (int i = 1; i < 300; i++) {
            (void)snprintf(key, sizeof key, "%03d", i);
            assert_holds(&f, i % 2 == 0 ? a : NULL, key, key);
            assert_holds(&f, i % 2 == 0 ? NULL : a, key, NULL);
        }
        lsm_keyspace_close(a);
    }
    assert_ok(lsm_verify(f.db, NULL, NULL));
}

Test(basic, a_reader_beside_the_writer_sees_the_moment_and_writes_nothing)
{
    lsm_buf value = LSM_BUF_INIT;
    lsm_keyspace *keyspace;
    lsm_db *reader;
    lsm_txn *txn;
    uint64_t calls;

    put_text(&f, "flushed", "1");
    assert_ok(lsm_flush(f.db));
    put_text(&f, "logged", "2");
    calls = sim_call_count(f.sim);
    assert_ok(lsm_open_read_only(DB_DIR, &f.options, &reader));
    put_text(&f, "later", "3");
    calls = sim_call_count(f.sim) - calls;
    assert_ok(lsm_get(reader, NULL, lsm_str("flushed"), &value));
    assert_buf(&value, "1");
    assert_ok(lsm_get(reader, NULL, lsm_str("logged"), &value));
    assert_buf(&value, "2");
    assert_status(lsm_get(reader, NULL, lsm_str("later"), &value), LSM_NOT_FOUND);
    assert_status(lsm_put(reader, NULL, lsm_str("k"), lsm_str("v"), NULL), LSM_READ_ONLY);
    assert_status(lsm_delete(reader, NULL, lsm_str("k"), NULL), LSM_READ_ONLY);
    assert_status(lsm_begin(reader, LSM_TXN_SERIALIZABLE, &txn), LSM_READ_ONLY);
    assert_status(lsm_keyspace_open(reader, "new", true, NULL, &keyspace), LSM_READ_ONLY);
    assert_status(lsm_keyspace_drop(reader, "new"), LSM_READ_ONLY);
    assert_status(lsm_flush(reader), LSM_READ_ONLY);
    assert_ok(lsm_begin(reader, LSM_TXN_READ_ONLY, &txn));
    assert_txn_sees(txn, "logged", "2");
    assert_ok(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
    lsm_buf_free(&value);
    cr_assert(le(u64, calls, 3)); // the put's own: write and sync
    calls = sim_call_count(f.sim);
    assert_ok(lsm_close(reader));
    cr_assert(eq(u64, sim_call_count(f.sim), calls));
}

Test(basic, a_missing_database_is_not_made_when_that_is_not_wanted)
{
    lsm_db *db;

    assert_status(lsm_open_read_only("/none", &f.options, &db), LSM_NOT_FOUND);
    f.options.create_if_missing = false;
    assert_status(lsm_open("/none", &f.options, &db), LSM_NOT_FOUND);
    f.options.create_if_missing = true;
    f.options.error_if_exists = true;
    db_fixture_close(&f);
    assert_status(lsm_open(DB_DIR, &f.options, &db), LSM_INVALID);
}

Test(basic, an_in_memory_database_works_and_is_gone_when_closed)
{
    lsm_options *options;
    lsm_buf value = LSM_BUF_INIT;
    lsm_db *db;

    assert_ok(lsm_options_new(&options));
    assert_ok(lsm_options_set_in_memory(options, true));
    for (int i = 0; i < 2; i++) {
        assert_ok(lsm_open("anywhere", options, &db));
        assert_status(lsm_get(db, NULL, lsm_str("k"), &value), LSM_NOT_FOUND);
        assert_ok(lsm_put(db, NULL, lsm_str("k"), lsm_str("v"), NULL));
        assert_ok(lsm_flush(db));
        assert_ok(lsm_get(db, NULL, lsm_str("k"), &value));
        assert_buf(&value, "v");
        assert_ok(lsm_close(db));
    }
    lsm_buf_free(&value);
    lsm_options_free(options);
}
