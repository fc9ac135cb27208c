// test_check_memory.c -- bits that memory flips between a commit and the disk, and after.
//
// Each test changes a byte where it lies, as a bad module would.

#include "base/hash.h"
#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.check_memory = 1;
    f.options.value_threshold = 100;
    db_fixture_open(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(check_memory, .init = setup, .fini = teardown);

static void flip(const void *bytes, size_t at)
{
    ((uint8_t *)(uintptr_t)bytes)[at] ^= 0x10;
}

// --- on the way to the log ---

struct outcome {
    bool is_told;
    lsm_status status;
};

static void tell(void *ctx, lsm_status status, uint64_t commit_ts)
{
    struct outcome *outcome = ctx;

    (void)commit_ts;
    *outcome = (struct outcome){.is_told = true, .status = status};
}

// Queues a commit: the writer takes it when jobs run.
static void submit(const char *key, lsm_slice value, struct outcome *outcome)
{
    lsm_txn *txn;

    *outcome = (struct outcome){.is_told = false};
    assert_ok(lsm_begin(f.db, LSM_TXN_SNAPSHOT, &txn));
    assert_ok(lsm_txn_put(txn, NULL, lsm_str(key), value));
    assert_ok(lsm_commit_async(txn, NULL, tell, outcome));
    lsm_txn_free(txn);
    cr_assert(not(outcome->is_told));
}

static void run_jobs(void)
{
    for (int i = 0; i < 100 && scheduler_run_one(f.db->scheduler); i++)
        ;
}

// Three commits, of which the second changes before the writer comes to it: it alone fails.
static void check_commit(lsm_slice value, bool is_separated)
{
    struct outcome outcomes[3];
    struct write_request *second;

    submit("first", value, &outcomes[0]);
    submit("second", value, &outcomes[1]);
    submit("third", value, &outcomes[2]);
    second = f.db->writer.oldest->next;
    cr_assert(eq(sz, second->frame.value_count, is_separated));
    if (is_separated)
        flip(second->frame.values[0].value.data, value.size / 2);
    else
        flip(second->frame.entries.data, second->frame.entries.size - value.size / 2);
    run_jobs();
    for (int i = 0; i < 3; i++) {
        cr_assert(outcomes[i].is_told);
        cr_assert(eq(int, outcomes[i].status, i == 1 ? LSM_CORRUPT : LSM_OK));
    }
    for (int i = 0; i < 2; i++) {
        assert_ok(lsm_exists(f.db, NULL, lsm_str("first")));
        assert_status(lsm_exists(f.db, NULL, lsm_str("second")), LSM_NOT_FOUND);
        assert_ok(lsm_exists(f.db, NULL, lsm_str("third")));
        db_fixture_reopen(&f);
    }
}

Test(check_memory, an_entry_that_changes_before_the_log_fails_its_commit)
{
    check_commit(lsm_str("a small value"), false);
}

Test(check_memory, a_separated_value_that_changes_before_the_log_fails_its_commit)
{
    static char large[500];

    check_commit(slice_make(large, sizeof large), true);
}

// --- in the memtable ---

// The entry where it lies.
static struct entry find_entry(const char *key)
{
    const struct ikey ikey = {.keyspace = KEYSPACE_DEFAULT_ID, .key = lsm_str(key), .ts = TS_MAX};
    struct view *view = views_acquire(&f.db->views);
    struct entry entry;

    cr_assert(memtable_get(view->memtables[0]->mem, &ikey, key_hash(KEYSPACE_DEFAULT_ID, ikey.key),
                           &entry));
    view_unref(view); // the memtable is the current view's, too
    return entry;
}

static void fill(void)
{
    put_text(&f, "aaa", "1");
    put_text(&f, "bbb", "a value in the memtable");
    put_text(&f, "ccc", "3");
}

// No table counts that holds what changed; opening again reads the log, where all is right.
static void check_flush(void)
{
    lsm_table_info *tables;
    size_t count;

    cr_assert(ne(int, lsm_flush(f.db), LSM_OK));
    cr_assert(strstr(lsm_errmsg(), "memory has changed") != NULL, "%s", lsm_errmsg());
    assert_ok(lsm_tables(f.db, &tables, &count));
    lsm_free(tables);
    cr_assert(eq(sz, count, 0));
    assert_status(lsm_put(f.db, NULL, lsm_str("k"), lsm_str("v"), NULL), LSM_POISONED);
    assert_status(lsm_close(f.db), LSM_POISONED);
    db_fixture_open(&f);
    assert_holds(&f, NULL, "aaa", "1");
    assert_holds(&f, NULL, "bbb", "a value in the memtable");
    assert_holds(&f, NULL, "ccc", "3");
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_verify(f.db, NULL, NULL));
}

Test(check_memory, a_value_that_changes_in_the_memtable_does_not_reach_a_table)
{
    fill();
    flip(find_entry("bbb").value.data, 3);
    check_flush();
}

Test(check_memory, a_key_that_changes_in_the_memtable_does_not_reach_a_table)
{
    fill();
    flip(find_entry("bbb").key.data, 2); // the order stays
    check_flush();
}

// What recovery puts into memtables is watched like what is written.
Test(check_memory, what_was_replayed_is_watched)
{
    fill();
    db_fixture_reopen(&f);
    flip(find_entry("bbb").value.data, 3);
    check_flush();
}

// --- on the way to a table ---

static unsigned writes_until_flip; // of tables; 0: no more

// The bytes have been summed up already.
static void flip_write(void *ctx, struct sim *sim, const char *dir, const char *name,
                       uint64_t offset, const lsm_slice *parts, size_t count)
{
    (void)ctx;
    (void)sim;
    (void)dir;
    (void)offset;
    (void)count;
    if (strstr(name, ".sst") != NULL && writes_until_flip > 0 && --writes_until_flip == 0)
        flip(parts[0].data, parts[0].size / 2);
}

// A table that is not what was to be written takes nobody's place: a flush or merge fails, and the
// next one does not.
Test(check_memory, a_table_that_changes_while_it_is_written_does_not_count)
{
    lsm_status status = LSM_CORRUPT;

    sim_set_write_hook(f.sim, flip_write, NULL);
    for (unsigned i = 1; status != LSM_OK; i++) {
        fill();
        writes_until_flip = i;
        status = lsm_flush(f.db);
        cr_assert(eq(int, status, writes_until_flip == 0 ? LSM_CORRUPT : LSM_OK));
        writes_until_flip = 0;
        assert_ok(lsm_flush(f.db));
        fill();
        assert_ok(lsm_flush(f.db));
        writes_until_flip = i;
        status = lsm_compact_range(f.db, NULL, NULL, NULL);
        cr_assert(eq(int, status, writes_until_flip == 0 ? LSM_CORRUPT : LSM_OK));
        writes_until_flip = 0;
        assert_holds(&f, NULL, "bbb", "a value in the memtable");
        sim_advance(f.sim, 7200 * NS_PER_S); // out of quarantine
        assert_ok(lsm_resume(f.db));
        assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
        assert_holds(&f, NULL, "bbb", "a value in the memtable");
    }
    db_fixture_reopen(&f);
    assert_ok(lsm_verify(f.db, NULL, NULL));
}

// --- in the cache ---

// The pin shows the value where it lies in the cached block.
static void flip_cached(const char *key)
{
    lsm_pin pin;

    assert_ok(lsm_get_pinned(f.db, NULL, lsm_str(key), &pin));
    flip(pin.value.data, 3);
    lsm_pin_release(&pin);
}

Test(check_memory, a_block_that_changes_in_the_cache_is_read_again)
{
    fill();
    assert_ok(lsm_flush(f.db));
    for (int i = 0; i < 3; i++) {
        assert_holds(&f, NULL, "bbb", "a value in the memtable");
        flip_cached("bbb");
    }
    assert_holds(&f, NULL, "bbb", "a value in the memtable");
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_holds(&f, NULL, "bbb", "a value in the memtable");
}
