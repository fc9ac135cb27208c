// test_recovery.c -- opening, with each call and each allocation failing on the way.

#include "db/recovery.h"

#include "base/file_header.h"
#include "support/alloc_fault.h"
#include "support/db_fixture.h"
#include "vlog/segment_scan.h"

#define KEYS       300
#define VALUE_SIZE 6000 // of every third one; all in all more than a segment

static struct db_fixture f;

// What is written stays in one memtable; replayed, it fills several.
static void prepare(void)
{
    db_fixture_prepare(&f, 1);
    f.options.memtable_size = 1 << 20;
}

static void fill_value(size_t i, char value[VALUE_SIZE + 1])
{
    memset(value, 'a' + (int)(i % 26), VALUE_SIZE);
    value[i % 3 == 0 ? VALUE_SIZE : 100] = '\0';
}

static void put_all(lsm_keyspace *keyspace, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        char key[32], value[VALUE_SIZE + 1];

        (void)snprintf(key, sizeof key, "%06zu", i);
        fill_value(i, value);
        assert_ok(lsm_put(f.db, keyspace, lsm_str(key), lsm_str(value), NULL));
    }
}

// What a database leaves whose power went: a table, a log of several memtables, and as the last
// thing of all the drop of a keyspace.
static void leave_database(void)
{
    lsm_keyspace *users, *doomed;

    db_fixture_open(&f);
    assert_ok(lsm_keyspace_open(f.db, "users", true, NULL, &users));
    assert_ok(lsm_keyspace_open(f.db, "doomed", true, NULL, &doomed));
    put_all(NULL, 0, KEYS / 3);
    assert_ok(lsm_flush(f.db));
    put_all(NULL, KEYS / 3, KEYS);
    put_all(users, 0, KEYS);
    put_all(doomed, 0, 5);
    lsm_keyspace_close(users);
    lsm_keyspace_close(doomed);
    assert_ok(lsm_keyspace_drop(f.db, "doomed"));
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    f.db = NULL;
    sim_restart(f.sim, SIM_NONE, 0);
    f.options.memtable_size = 64 << 10;
}

static void assert_holds_all(lsm_db *db, lsm_keyspace *keyspace)
{
    CLEANUP(lsm_buf_free) lsm_buf got = LSM_BUF_INIT;

    for (size_t i = 0; i < KEYS; i++) {
        char key[32], value[VALUE_SIZE + 1];

        (void)snprintf(key, sizeof key, "%06zu", i);
        fill_value(i, value);
        assert_ok(lsm_get(db, keyspace, lsm_str(key), &got));
        assert_buf(&got, value);
    }
}

// That `db` holds what leave_database() has left.
static void assert_is_whole(lsm_db *db)
{
    lsm_keyspace *users, *doomed;

    assert_ok(lsm_keyspace_open(db, "users", false, NULL, &users));
    assert_holds_all(db, NULL);
    assert_holds_all(db, users);
    lsm_keyspace_close(users);
    assert_status(lsm_keyspace_open(db, "doomed", false, NULL, &doomed), LSM_NOT_FOUND);
}

static void assert_is_empty(lsm_db *db)
{
    lsm_iter *it;

    assert_ok(lsm_iter_open(db, NULL, NULL, &it));
    assert_status(lsm_iter_first(it), LSM_NOT_FOUND);
    lsm_iter_close(it);
}

// --- what is found ---

Test(recovery, a_log_of_several_memtables_is_replayed_in_order)
{
    struct view *view;

    prepare();
    leave_database();
    db_fixture_open(&f);
    view = views_acquire(&f.db->views);
    cr_assert(lt(sz, 1, view->memtable_count));
    for (size_t i = 1; i < view->memtable_count; i++)
        cr_assert(lt(u64, view->memtables[i]->last_ts, view->memtables[i - 1]->first_ts));
    view_unref(view);
    assert_is_whole(f.db);
    db_fixture_end(&f);
}

static uint64_t active_log_bytes(void)
{
    EPOCH_SECTION();

    return views_current(&f.db->views)->memtables[0]->log_bytes;
}

// The writer goes by it when it decides that a memtable must be flushed to let go of the log.
Test(recovery, a_memtable_knows_how_much_log_it_has_whoever_filled_it)
{
    struct log_position start;
    uint64_t written;

    prepare();
    db_fixture_open(&f);
    start = log_end(f.db->log);
    put_all(NULL, 0, 10); // four of the values are in the log alone
    assert_ok(lsm_sync(f.db));
    written = active_log_bytes();
    cr_assert(lt(u64, 4 * VALUE_SIZE, written));
    cr_assert(eq(u64, written, log_bytes_since(f.db->log, start)));
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    sim_restart(f.sim, SIM_NONE, 0);
    db_fixture_open(&f);
    cr_assert(eq(u64, active_log_bytes(), written));
    db_fixture_end(&f);
}

// Somebody else's file that leaves no number for the log of a new database.
Test(recovery, a_database_is_not_made_beside_a_segment_with_the_last_number)
{
    struct dir *dir;
    struct file *file;
    uint64_t size;

    prepare();
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, true, &dir));
    assert_ok(file_open(dir, "4294967295.vlog", FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_of("somebody else's")));
    assert_ok(file_close(file));
    assert_status(lsm_open(DB_DIR, &f.options, &f.db), LSM_UNSUPPORTED);
    cr_assert(strstr(lsm_errmsg(), "4294967295") != NULL);
    cr_assert(eq(int, file_stat(dir, "CURRENT", &size), LSM_IO));
    assert_ok(file_stat(dir, "4294967295.vlog", &size));
    cr_assert(eq(u64, size, 15));
    dir_close(dir);
    sim_free(f.sim);
}

// --- hostile bytes ---

// Makes the first entry of a frame malformed, and every checksum right again.
static lsm_status spoil(void *ctx, uint64_t offset, uint64_t size,
                        const struct frame_header *header, lsm_slice entries)
{
    struct file *file = ctx;
    struct frame_header spoiled;
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header segment;
    lsm_buf copy = LSM_BUF_INIT;

    if (header == NULL || header->type != FRAME_COMMIT || size == 0)
        return LSM_OK;
    assert_ok(file_read_exact(file, 0, bytes, sizeof bytes));
    assert_ok(file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_LOG, "", &segment));
    assert_ok(buf_append(&copy, entries.data, entries.size));
    *(uint8_t *)copy.data = 0x0F; // no such kind of entry
    spoiled = *header;
    spoiled.body_crc = frame_body_crc(slice_of_buf(&copy));
    frame_header_encode(&spoiled, &segment.file_uuid, offset, bytes);
    assert_ok(file_write_one(file, offset, slice_make(bytes, FRAME_HEADER_SIZE)));
    assert_ok(file_write_one(file, offset + FRAME_HEADER_SIZE, slice_of_buf(&copy)));
    lsm_buf_free(&copy);
    return LSM_BUSY; // one is enough
}

Test(recovery, a_durable_frame_with_a_malformed_entry_is_damage)
{
    struct dir *dir;
    struct file *file;

    prepare();
    db_fixture_open(&f);
    put_all(NULL, 0, 10);
    db_fixture_close(&f); // all of the log is durable
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(sim_open_to_change(dir, "000001.vlog", &file));
    assert_status(segment_scan(dir, "000001.vlog", true, spoil, file), LSM_BUSY);
    assert_ok(file_close(file));
    dir_close(dir);
    assert_status(lsm_open(DB_DIR, &f.options, &f.db), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), "segment 1: offset 128") != NULL, "%s", lsm_errmsg());
    assert_status(lsm_open_read_only(DB_DIR, &f.options, &f.db), LSM_CORRUPT);
    sim_free(f.sim);
}

// --- each call, each allocation ---

typedef lsm_status (*open_fn)(const char *path, const lsm_options *options, lsm_db **out);
typedef void (*check_fn)(lsm_db *db);

// Opens, and looks at what it got.
static lsm_status open_and_check(open_fn open, check_fn check)
{
    lsm_db *db;

    TRY(open(DB_DIR, &f.options, &db));
    check(db);
    assert_ok(lsm_close(db));
    return LSM_OK;
}

// Opens copies of the disk, of which call number 1, 2, ... fails. An open may go on without a
// call, to remove an orphan for one; when it fails, the next one finds everything.
static void fail_each_call(open_fn open, check_fn check, lsm_status failure)
{
    struct sim *disk = f.sim;
    bool is_hit = true;
    size_t refused = 0;

    for (uint64_t at = 1; is_hit; at++) {
        struct sim_fault fault = {.ops = SIM_OP_ANY, .at = at, .status = failure};
        lsm_db *db = NULL;
        lsm_status status;

        assert_ok(sim_clone(disk, &f.sim));
        f.options.env = sim_env(f.sim);
        sim_set_fault(f.sim, &fault);
        status = open(DB_DIR, &f.options, &db);
        is_hit = sim_fault_hits(f.sim) > 0;
        sim_set_fault(f.sim, NULL);
        cr_assert(status == LSM_OK || (is_hit && status == failure), "call %d: %s", (int)at,
                  lsm_errmsg());
        refused += status != LSM_OK;
        if (db != NULL) {
            check(db);
            (void)lsm_close(db); // the scheduler may have met a failure meanwhile
        }
        assert_ok(open_and_check(open, check));
        sim_free(f.sim);
    }
    cr_assert(lt(sz, 8, refused));
    f.sim = disk;
    f.options.env = sim_env(disk);
}

Test(recovery, an_open_of_which_any_call_fails_loses_nothing)
{
    prepare();
    leave_database();
    fail_each_call(lsm_open, assert_is_whole, LSM_IO);
    fail_each_call(lsm_open, assert_is_whole, LSM_NO_SPACE);
    sim_free(f.sim);
}

Test(recovery, an_open_for_reading_of_which_any_call_fails_can_be_made_again)
{
    prepare();
    leave_database();
    fail_each_call(lsm_open_read_only, assert_is_whole, LSM_IO);
    sim_free(f.sim);
}

Test(recovery, a_creation_of_which_any_call_fails_can_be_made_again)
{
    prepare();
    fail_each_call(lsm_open, assert_is_empty, LSM_IO);
    fail_each_call(lsm_open, assert_is_empty, LSM_NO_SPACE);
    sim_free(f.sim);
}

static void fail_each_allocation(open_fn open, check_fn check)
{
    struct sim *disk = f.sim;
    bool is_hit = true;
    size_t refused = 0;

    for (size_t at = 1; is_hit; at++) {
        lsm_db *db = NULL;
        lsm_status status;

        assert_ok(sim_clone(disk, &f.sim));
        f.options.env = sim_env(f.sim);
        alloc_fault_at(at, false);
        status = open(DB_DIR, &f.options, &db);
        is_hit = alloc_fault_was_hit();
        alloc_fault_at(0, false);
        cr_assert(status == LSM_OK || (is_hit && status == LSM_NO_MEMORY), "allocation %zu: %s", at,
                  lsm_errmsg());
        refused += status != LSM_OK;
        if (db != NULL) {
            check(db);
            (void)lsm_close(db);
        }
        assert_ok(open_and_check(open, check));
        sim_free(f.sim);
    }
    cr_assert(lt(sz, 40, refused));
    f.sim = disk;
    f.options.env = sim_env(disk);
}

Test(recovery_memory, an_open_of_which_any_allocation_fails_loses_nothing)
{
    cr_assert(alloc_fault_install());
    prepare();
    leave_database();
    fail_each_allocation(lsm_open, assert_is_whole);
    fail_each_allocation(lsm_open_read_only, assert_is_whole);
    sim_free(f.sim);
}

Test(recovery_memory, a_creation_of_which_any_allocation_fails_can_be_made_again)
{
    cr_assert(alloc_fault_install());
    prepare();
    fail_each_allocation(lsm_open, assert_is_empty);
    sim_free(f.sim);
}
