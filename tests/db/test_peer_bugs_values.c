// test_peer_bugs_values.c -- what other engines did to values outside of their tables.
//
// The number is that of the report in the other project.

#include "support/db_fixture.h"

#define SIZE 3000

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(peer_bugs_values, .init = setup, .fini = teardown);

static void put(char fill)
{
    char value[SIZE];

    memset(value, fill, sizeof value);
    assert_ok(lsm_put(f.db, NULL, lsm_str("key"), slice_make(value, sizeof value), NULL));
}

static lsm_status find_segment(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct filename *segment = ctx;
    uint64_t id;

    (void)size;
    (void)is_regular;
    if (filename_parse(name, &id) == FILENAME_SEGMENT)
        *segment = filename_of(FILENAME_SEGMENT, id);
    return LSM_OK;
}

// Whether some segment holds the bytes of put(fill), and where.
static bool find_value(char fill, struct filename *name, uint64_t *offset)
{
    static uint8_t bytes[1 << 20];
    char wanted[SIZE];
    struct dir *dir;
    struct file *file;
    size_t size;
    const uint8_t *at;

    memset(wanted, fill, sizeof wanted);
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(dir_list(dir, find_segment, name));
    assert_ok(file_open(dir, name->text, FILE_READ, &file));
    assert_ok(file_read(file, 0, bytes, sizeof bytes, &size));
    file_close_quietly(file);
    dir_close(dir);
    at = memmem(bytes, size, wanted, sizeof wanted);
    *offset = at == NULL ? 0 : (uint64_t)(at - bytes);
    return at != NULL;
}

// A flipped byte of a value was returned as if nothing were wrong.
Test(peer_bugs_values, peer_badger_1049)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    struct filename segment;
    uint64_t offset;
    lsm_slice slice;
    lsm_iter *it;

    put('v');
    db_fixture_close(&f);
    cr_assert(find_value('v', &segment, &offset));
    assert_ok(sim_flip(f.sim, DB_DIR, segment.text, offset + SIZE / 2, 0x10));
    db_fixture_open(&f);
    assert_status(lsm_get(f.db, NULL, lsm_str("key"), &value), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), segment.text) != NULL, "%s", lsm_errmsg());
    cr_assert(eq(sz, value.size, 0));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    assert_ok(lsm_iter_first(it));
    assert_status(lsm_iter_value(it, &slice), LSM_CORRUPT);
    lsm_iter_close(it);
    assert_status(lsm_verify(f.db, NULL, NULL), LSM_CORRUPT);
}

// Files of values went while an iterator or a snapshot still read them.
Test(peer_bugs_values, peer_badger_578)
{
    lsm_snapshot *snapshot;
    lsm_slice value;
    lsm_iter *it;

    put('a');
    assert_ok(lsm_snapshot_new(f.db, NULL, &snapshot));
    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (char fill = 'b'; fill < 'f'; fill++) {
        put(fill);
        assert_ok(lsm_flush(f.db));
        assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
        assert_ok(lsm_wait_idle(f.db));
    }
    assert_ok(lsm_iter_first(it));
    assert_ok(lsm_iter_value(it, &value));
    cr_assert(eq(sz, value.size, SIZE));
    cr_assert(eq(chr, ((const char *)value.data)[SIZE - 1], 'a'));
    lsm_iter_close(it);
    assert_ok(lsm_snapshot_iter_open(snapshot, NULL, NULL, &it));
    assert_ok(lsm_iter_first(it));
    assert_ok(lsm_iter_value(it, &value));
    cr_assert(eq(chr, ((const char *)value.data)[0], 'a'));
    lsm_iter_close(it);
    lsm_snapshot_free(snapshot);
    db_fixture_reopen(&f);
    assert_ok(lsm_verify(f.db, NULL, NULL));
}
