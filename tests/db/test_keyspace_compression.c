// test_keyspace_compression.c -- blocks are compressed as their keyspace says.

#include "support/db_fixture.h"

#define VALUES 400

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(keyspace_compression, .init = setup, .fini = teardown);

static lsm_keyspace *open_keyspace(const char *name, uint32_t compression)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;
    lsm_keyspace *keyspace;

    options.compression = compression;
    assert_ok(lsm_keyspace_open(f.db, name, true, &options, &keyspace));
    return keyspace;
}

static lsm_slice numbered(int number, char key[32])
{
    (void)snprintf(key, 32, "key-%06d", number);
    return lsm_str(key);
}

// Inline values that compress to almost nothing.
static void fill(lsm_keyspace *keyspace)
{
    char value[200];
    char key[32];

    memset(value, 'v', sizeof value);
    for (int i = 0; i < VALUES; i++)
        assert_ok(lsm_put(f.db, keyspace, numbered(i, key), slice_make(value, sizeof value), NULL));
}

static void assert_filled(lsm_keyspace *keyspace)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    char key[32];

    for (int i = 0; i < VALUES; i++) {
        assert_ok(lsm_get(f.db, keyspace, numbered(i, key), &value));
        cr_assert(eq(sz, value.size, 200));
    }
}

// Brings everything to the last level.
static void settle(lsm_keyspace *keyspace)
{
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, keyspace, NULL, NULL));
    assert_ok(lsm_wait_idle(f.db));
}

// Bytes in tables per byte of keys and values.
static double stored_ratio(void)
{
    struct view *view = views_acquire(&f.db->views);
    uint64_t stored = 0;
    uint64_t raw = 0;

    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        const struct level *level = &view->version->levels[i];

        for (size_t j = 0; j < level->count; j++) {
            stored += table_meta(level->tables[j])->size;
            raw += table_meta(level->tables[j])->raw_bytes;
        }
    }
    view_unref(view);
    cr_assert(ge(u64, raw, VALUES * 200));
    return (double)stored / (double)raw;
}

static void reopen_with_compression(unsigned compression)
{
    db_fixture_close(&f);
    f.options.compression = compression;
    db_fixture_open(&f);
}

Test(keyspace_compression, a_keyspace_is_compressed_where_the_database_is_not)
{
    lsm_keyspace *packed;

    reopen_with_compression(0);
    packed = open_keyspace("packed", 3);
    fill(packed);
    settle(packed);
    cr_assert(lt(dbl, stored_ratio(), 0.5));
    assert_filled(packed);
    lsm_keyspace_close(packed);
}

Test(keyspace_compression, a_keyspace_is_stored_plain_where_the_database_is_compressed)
{
    lsm_keyspace *plain;

    reopen_with_compression(3);
    plain = open_keyspace("plain", 0);
    fill(plain);
    settle(plain);
    cr_assert(gt(dbl, stored_ratio(), 0.95));
    assert_filled(plain);
    lsm_keyspace_close(plain);
}

Test(keyspace_compression, without_one_of_its_own_a_keyspace_follows_the_database)
{
    lsm_keyspace *keyspace;

    reopen_with_compression(3);
    keyspace = open_keyspace("any", LSM_INHERIT);
    fill(keyspace);
    settle(keyspace);
    cr_assert(lt(dbl, stored_ratio(), 0.5));
    lsm_keyspace_close(keyspace);
}

// Keyspaces share memtables, tables and merges.
Test(keyspace_compression, keyspaces_side_by_side_keep_their_own)
{
    lsm_keyspace *plain;
    lsm_keyspace *packed;

    reopen_with_compression(0);
    packed = open_keyspace("packed", 3);
    plain = open_keyspace("plain", LSM_INHERIT);
    fill(packed);
    fill(plain);
    settle(packed);
    settle(plain);
    cr_assert(gt(dbl, stored_ratio(), 0.5));
    cr_assert(lt(dbl, stored_ratio(), 0.7));
    assert_filled(packed);
    assert_filled(plain);
    lsm_keyspace_close(packed);
    lsm_keyspace_close(plain);
}

Test(keyspace_compression, an_altered_one_lasts_and_holds_for_what_is_written_next)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;
    lsm_keyspace *keyspace;

    reopen_with_compression(0);
    keyspace = open_keyspace("some", LSM_INHERIT);
    fill(keyspace);
    settle(keyspace);
    cr_assert(gt(dbl, stored_ratio(), 0.95));
    options.compression = 5;
    assert_ok(lsm_keyspace_alter(f.db, "some", &options));
    lsm_keyspace_close(keyspace);
    db_fixture_reopen(&f);
    assert_ok(lsm_keyspace_open(f.db, "some", false, NULL, &keyspace));
    fill(keyspace); // every table is merged with what is written now
    settle(keyspace);
    cr_assert(lt(dbl, stored_ratio(), 0.5));
    assert_filled(keyspace);
    lsm_keyspace_close(keyspace);
}
