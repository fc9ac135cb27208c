// test_long_snapshot.c -- a snapshot that is held while everything is overwritten.

#include "support/db_fixture.h"

#define KEYS       50
#define OVERWRITES 100000

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(long_snapshot, .init = setup, .fini = teardown);

static lsm_slice key_of(unsigned number, char text[16])
{
    (void)snprintf(text, 16, "key-%03u", number);
    return lsm_str(text);
}

static void put_number(unsigned key, uint64_t number)
{
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
    char text[16];

    assert_ok(
        lsm_put(f.db, NULL, key_of(key, text), (lsm_slice){&number, sizeof number}, &options));
}

static void assert_number(lsm_slice value, uint64_t number)
{
    uint64_t found = 0;

    cr_assert(eq(sz, value.size, sizeof found));
    memcpy(&found, value.data, sizeof found);
    cr_assert(eq(u64, found, number));
}

// Every key of the iterator holds its own number, from where it stands to the end.
static void assert_first_numbers(lsm_iter *it, lsm_status status, unsigned key, int direction)
{
    for (; status == LSM_OK; key += (unsigned)direction) {
        lsm_slice value;
        char text[16];

        cr_assert(slice_equal(lsm_iter_key(it), key_of(key, text)));
        assert_ok(lsm_iter_value(it, &value));
        assert_number(value, key);
        status = direction > 0 ? lsm_iter_next(it) : lsm_iter_prev(it);
    }
    assert_status(status, LSM_NOT_FOUND);
    cr_assert(eq(u32, key, direction > 0 ? KEYS : UINT32_MAX));
}

static void assert_snapshot_unchanged(lsm_snapshot *snapshot)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_iter *it;
    char text[16];

    for (unsigned i = 0; i < KEYS; i++) {
        assert_ok(lsm_snapshot_get(snapshot, NULL, key_of(i, text), &value));
        assert_number(slice_of_buf(&value), i);
    }
    assert_ok(lsm_snapshot_iter_open(snapshot, NULL, NULL, &it));
    assert_first_numbers(it, lsm_iter_first(it), 0, 1);
    assert_first_numbers(it, lsm_iter_last(it), KEYS - 1, -1);
    lsm_iter_close(it);
}

// Flushes and merges come between; an iterator stands in the middle of the snapshot all along.
Test(long_snapshot, a_hundred_thousand_overwrites_leave_it_as_it_was)
{
    lsm_snapshot *snapshot;
    lsm_status status;
    lsm_iter *it;

    for (unsigned i = 0; i < KEYS; i++)
        put_number(i, i);
    assert_ok(lsm_snapshot_new(f.db, "long", &snapshot));
    assert_ok(lsm_snapshot_iter_open(snapshot, NULL, NULL, &it));
    status = lsm_iter_first(it);
    for (uint64_t i = 0; i < OVERWRITES; i++) {
        if (i % 2000 == 1999) {
            char text[16];

            assert_ok(lsm_delete(f.db, NULL, key_of((unsigned)(i % KEYS), text), NULL));
            assert_ok(i % 20000 == 19999 ? lsm_compact_range(f.db, NULL, NULL, NULL)
                                         : lsm_flush(f.db));
        }
        if (i % 10000 == 9999)
            assert_snapshot_unchanged(snapshot);
        put_number((unsigned)(i * 7 % KEYS), KEYS + i);
    }
    assert_ok(lsm_wait_idle(f.db));
    assert_snapshot_unchanged(snapshot);
    assert_first_numbers(it, status, 0, 1);
    lsm_iter_close(it);
    lsm_snapshot_free(snapshot);
}
