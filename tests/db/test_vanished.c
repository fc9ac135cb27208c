// test_vanished.c -- the directory of an open database is removed, as by a cleaner of temporary
// files: every call comes back, says what has happened, and nobody waits for ever.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

static struct {
    char path[64];
    lsm_options *options;
    lsm_db *db;
} f;

static void setup(void)
{
    (void)snprintf(f.path, sizeof f.path, "/tmp/lsm-vanished-XXXXXX");
    cr_assert(mkdtemp(f.path) != NULL);
    assert_ok(lsm_options_new(&f.options));
    assert_ok(lsm_options_set(f.options, "memtable_size", "64KiB"));
    assert_ok(lsm_options_set(f.options, "segment_size_max", "1MiB"));
    assert_ok(lsm_open(f.path, f.options, &f.db));
}

static void remove_directory(void)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf %s", f.path);
    cr_assert(eq(int, system(command), 0));
}

static void teardown(void)
{
    lsm_options_free(f.options);
    remove_directory();
}

TestSuite(vanished, .init = setup, .fini = teardown, .timeout = 120);

static lsm_status put(unsigned number, size_t size)
{
    static char value[4096];
    char key[16];

    (void)snprintf(key, sizeof key, "key-%06u", number);
    return lsm_put(f.db, NULL, lsm_str(key), slice_make(value, size), NULL);
}

static void put_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_ok(put(i, 200));
}

// A failure of the machine or of the database, told with the name of what has gone.
static void assert_told(lsm_status status, const char *call)
{
    cr_expect(status == LSM_IO || status == LSM_CORRUPT || status == LSM_POISONED,
              "%s gives %s: %s", call, lsm_status_name(status), lsm_errmsg());
    cr_expect(strstr(lsm_errmsg(), "removed") != NULL || strstr(lsm_errmsg(), "missing") != NULL ||
                  strstr(lsm_errmsg(), "no such file") != NULL,
              "%s: %s", call, lsm_errmsg());
}

static void assert_not_healthy(void)
{
    lsm_health_info health;

    assert_ok(lsm_health(f.db, &health));
    cr_expect(not(eq(int, health.state, LSM_HEALTHY)));
    cr_expect(health.reason[0] != '\0');
}

static void close_in_vain(void)
{
    assert_told(lsm_close(f.db), "lsm_close()");
}

Test(vanished, a_flush_fails_and_says_why)
{
    put_all(10);
    remove_directory();
    assert_told(lsm_flush(f.db), "lsm_flush()");
    assert_not_healthy();
    assert_told(lsm_flush(f.db), "a second lsm_flush()");
    close_in_vain();
}

// Memory fills, flushes fail: writers are told instead of waiting.
Test(vanished, writes_come_back_when_memory_is_full)
{
    lsm_status status = LSM_OK;

    put_all(10);
    remove_directory();
    for (unsigned i = 0; i < 100000 && status == LSM_OK; i++)
        status = put(i, 1000);
    assert_told(status, "lsm_put()");
    assert_not_healthy();
    assert_told(put(0, 1000), "a later lsm_put()");
    close_in_vain();
}

Test(vanished, every_wait_has_a_way_out)
{
    put_all(1000);
    remove_directory();
    (void)put(1, 100); // the log is open: it may go on for a while
    assert_told(lsm_compact_range(f.db, NULL, NULL, NULL), "lsm_compact_range()");
    cr_expect(not(eq(int, lsm_wait_idle(f.db), LSM_NOT_FOUND)));
    cr_expect(not(eq(int, lsm_resume(f.db), LSM_NOT_FOUND)));
    cr_expect(not(eq(int, lsm_sync(f.db), LSM_NOT_FOUND)));
    assert_told(lsm_verify(f.db, NULL, NULL), "lsm_verify()");
    assert_not_healthy();
    close_in_vain();
}

// What a table holds that has gone is never told as absent.
Test(vanished, reading_never_says_that_a_key_is_not_there)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    unsigned failed = 0;
    lsm_status status;
    lsm_iter *it;

    put_all(3000);
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_wait_idle(f.db));
    assert_ok(lsm_close(f.db));
    assert_ok(lsm_open(f.path, f.options, &f.db)); // no table is open yet
    remove_directory();
    for (unsigned i = 0; i < 3000; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "key-%06u", i);
        status = lsm_get(f.db, NULL, lsm_str(key), &value);
        cr_assert(not(eq(int, status, LSM_NOT_FOUND)), "%s", key);
        failed += status != LSM_OK;
    }
    cr_assert(gt(uint, failed, 0));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK;)
        status = lsm_iter_next(it);
    assert_told(status, "an iterator");
    lsm_iter_close(it);
    assert_told(lsm_verify(f.db, NULL, NULL), "lsm_verify()");
    close_in_vain();
}

Test(vanished, an_idle_database_closes_with_a_failure)
{
    remove_directory();
    close_in_vain();
}

// Opening is the one place where absence is an answer.
Test(vanished, what_is_not_there_is_no_database)
{
    lsm_db *db;

    assert_ok(lsm_close(f.db));
    remove_directory();
    cr_expect(eq(int, lsm_open_read_only(f.path, NULL, &db), LSM_NOT_FOUND));
    assert_ok(lsm_options_set_create(f.options, false));
    cr_expect(eq(int, lsm_open(f.path, f.options, &db), LSM_NOT_FOUND));
}
