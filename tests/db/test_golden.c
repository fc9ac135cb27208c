// test_golden.c -- databases on people's disks can be read for ever.
//
// tests/golden/db_v1 is a whole, cleanly closed database of format version 1: tables that are
// compressed and not, separated values, entries that are only in the log, a keyspace that was
// dropped. tests/golden/db_v1.txt is all that is in it, version by version. Both were written by
// this program, run with LSM_GOLDEN_WRITE=1 in its environment.

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/file_header.h"
#include "support/db_fixture.h"
#include "support/golden.h"

#define WALL_NS (UINT64_C(1800000000) * NS_PER_S)
#define EXPIRY  UINT64_C(4102444800)

static struct db_fixture f;

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    sim_set_wall(f.sim, WALL_NS);
}

static void teardown(void)
{
    sim_free(f.sim);
}

TestSuite(golden, .init = setup, .fini = teardown);

// --- files of the machine ---

static void read_golden(const char *name, lsm_buf *out)
{
    char path[4096];
    FILE *file;

    golden_path(name, path, sizeof path);
    file = fopen(path, "rb");
    cr_assert(file != NULL, "%s is missing", path);
    assert_ok(buf_reserve(out, 1 << 20));
    out->size = fread(out->data, 1, out->capacity, file);
    cr_assert(lt(sz, out->size, out->capacity));
    (void)fclose(file);
}

static void write_golden(const char *name, lsm_slice bytes)
{
    char path[4096];
    FILE *file;

    golden_path(name, path, sizeof path);
    file = fopen(path, "wb");
    cr_assert(file != NULL && fwrite(bytes.data, 1, bytes.size, file) == bytes.size);
    cr_assert(eq(int, fclose(file), 0));
}

static void load_database(void)
{
    char path[4096], name[300];
    struct dirent *entry;
    struct dir *to;
    DIR *from;

    golden_path("db_v1", path, sizeof path);
    from = opendir(path);
    cr_assert(from != NULL, "%s is missing", path);
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, true, &to));
    while ((entry = readdir(from)) != NULL) {
        CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
        struct file *file;

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(name, sizeof name, "db_v1/%s", entry->d_name);
        read_golden(name, &bytes);
        assert_ok(file_open(to, entry->d_name, FILE_CREATE, &file));
        assert_ok(file_write_one(file, 0, slice_of_buf(&bytes)));
        assert_ok(file_sync(file));
        assert_ok(file_close(file));
    }
    assert_ok(dir_sync(to));
    dir_close(to);
    (void)closedir(from);
}

static lsm_status save_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    struct file *file;
    char path[300];

    (void)is_regular;
    if (strcmp(name, "LOCK") == 0 || strcmp(name, "OPTIONS") == 0 || strstr(name, ".log") != NULL)
        return LSM_OK; // texts, which nothing reads back
    assert_ok(buf_reserve(&bytes, size));
    assert_ok(file_open(ctx, name, FILE_READ, &file));
    assert_ok(file_read_exact(file, 0, bytes.data, (size_t)size));
    assert_ok(file_close(file));
    bytes.size = (size_t)size;
    (void)snprintf(path, sizeof path, "db_v1/%s", name);
    write_golden(path, slice_of_buf(&bytes));
    return LSM_OK;
}

// --- what is in it ---

static void put(lsm_keyspace *keyspace, unsigned key, size_t size, const lsm_write_options *options)
{
    char name[32], value[3000];

    (void)snprintf(name, sizeof name, "key/%03u", key);
    for (size_t i = 0; i < size; i++)
        value[i] = (char)(key * 31 + i * i);
    assert_ok(lsm_put(f.db, keyspace, lsm_str(name), slice_make(value, size), options));
}

static lsm_keyspace *open_keyspace(const char *name, const lsm_keyspace_options *options)
{
    lsm_keyspace *keyspace;

    assert_ok(lsm_keyspace_open(f.db, name, true, options, &keyspace));
    return keyspace;
}

static void fill(void)
{
    const lsm_keyspace_options few = {.value_threshold = 100, .versions_to_keep = 3};
    const lsm_write_options adorned = {.user_byte = 0x7E, .expiry_seconds = EXPIRY};
    lsm_keyspace *history = open_keyspace("history", &few);
    lsm_keyspace *dropped = open_keyspace("dropped", NULL);

    for (unsigned i = 0; i < 200; i++) {
        put(NULL, i * 7 % 200, i % 50 == 0 ? 2000 + i : i, i % 9 == 0 ? &adorned : NULL);
        put(i % 2 == 0 ? history : dropped, i % 20, 90 + i % 20, NULL);
    }
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_delete(f.db, NULL, lsm_str("key/010"), NULL));
    assert_ok(lsm_keyspace_drop(f.db, "dropped"));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    put(NULL, 20, 10, NULL);
    assert_ok(lsm_flush(f.db));
    put(NULL, 30, 1500, &adorned); // these stay in the log
    put(history, 4, 5, NULL);
    assert_ok(lsm_delete(f.db, history, lsm_str("key/006"), NULL));
    lsm_keyspace_close(history);
    lsm_keyspace_close(dropped);
}

__attribute__((format(printf, 2, 3))) static void say(lsm_buf *to, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    assert_ok(buf_append(to, line, strlen(line)));
}

static void describe_entry(lsm_iter *it, lsm_buf *to)
{
    const lsm_slice key = lsm_iter_key(it);
    lsm_slice value = lsm_str("");

    if (!lsm_iter_is_deleted(it))
        assert_ok(lsm_iter_value(it, &value));
    say(to, "%.*s ts %" PRIu64 " expiry %" PRIu64 " byte %02x %s %zu bytes, crc %08" PRIx32 "\n",
        (int)key.size, (const char *)key.data, lsm_iter_ts(it), lsm_iter_expiry(it),
        lsm_iter_user_byte(it), lsm_iter_is_deleted(it) ? "deleted" : "value", value.size,
        crc32c(0, value.data, value.size));
}

static void describe_keyspace(const lsm_keyspace_info *info, lsm_buf *to)
{
    const lsm_iter_options options = {.all_versions = true};
    lsm_keyspace *keyspace;
    lsm_status status;
    lsm_iter *it;

    say(to, "keyspace %" PRIu32 " %s threshold %" PRIu32 " versions %" PRIu32 "\n", info->id,
        info->name, info->options.value_threshold, info->options.versions_to_keep);
    assert_ok(lsm_keyspace_open(f.db, info->name, false, NULL, &keyspace));
    assert_ok(lsm_iter_open(f.db, keyspace, &options, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        describe_entry(it, to);
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    lsm_keyspace_close(keyspace);
}

static void assert_is_as_ever(void)
{
    CLEANUP(lsm_buf_free) lsm_buf now = LSM_BUF_INIT;
    CLEANUP(lsm_buf_free) lsm_buf ever = LSM_BUF_INIT;
    lsm_keyspace_info *infos;
    size_t count;

    assert_ok(lsm_keyspace_list(f.db, &infos, &count));
    for (size_t i = 0; i < count; i++)
        describe_keyspace(&infos[i], &now);
    lsm_free(infos);
    if (getenv("LSM_GOLDEN_WRITE") != NULL)
        write_golden("db_v1.txt", slice_of_buf(&now));
    read_golden("db_v1.txt", &ever);
    assert_ok(buf_append_u8(&ever, 0));
    assert_ok(buf_append_u8(&now, 0));
    cr_assert(eq(str, (char *)now.data, (char *)ever.data));
}

// --- the tests ---

// With LSM_GOLDEN_WRITE it is run alone, before the others.
Test(golden, a_database_is_filled_as_ever)
{
    struct dir *dir;

    db_fixture_open(&f);
    fill();
    assert_is_as_ever();
    db_fixture_close(&f);
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    if (getenv("LSM_GOLDEN_WRITE") != NULL)
        assert_ok(dir_list(dir, save_file, dir));
    dir_close(dir);
}

Test(golden, a_database_of_version_1_is_read_without_writing)
{
    load_database();
    assert_ok(lsm_open_read_only(DB_DIR, &f.options, &f.db));
    assert_is_as_ever();
    assert_ok(lsm_verify(f.db, NULL, NULL));
    db_fixture_close(&f);
}

Test(golden, a_database_of_version_1_is_opened_and_written_on)
{
    load_database();
    db_fixture_open(&f);
    assert_is_as_ever();
    db_fixture_reopen(&f);
    assert_is_as_ever();
    put_text(&f, "zebra", "new");
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    db_fixture_reopen(&f);
    assert_holds(&f, NULL, "zebra", "new");
    assert_holds(&f, NULL, "key/010", NULL);
    assert_ok(lsm_verify(f.db, NULL, NULL));
    db_fixture_close(&f);
}

Test(golden, current_is_written_byte_for_byte_as_ever)
{
    CLEANUP(lsm_buf_free) lsm_buf ever = LSM_BUF_INIT;
    uint8_t now[FILE_HEADER_SIZE];
    struct file_header header;

    read_golden("db_v1/CURRENT", &ever);
    assert_ok(file_header_decode(slice_of_buf(&ever), FILE_KIND_CURRENT, "CURRENT", &header));
    cr_assert(eq(u64, header.number, 9));
    file_header_encode(&header, now);
    cr_assert(slice_equal(slice_of_buf(&ever), slice_make(now, sizeof now)));
}

// Gives a file of the database the next format version, under a checksum that is right.
static void make_newer(const char *name)
{
    uint8_t header[FILE_HEADER_SIZE];
    struct file *file;
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(sim_open_to_change(dir, name, &file));
    assert_ok(file_read_exact(file, 0, header, sizeof header));
    put_u16(header + 8, FILE_FORMAT_VERSION + 1);
    put_u32(header + 124, crc32c(0, header, 124));
    assert_ok(file_write_one(file, 0, slice_make(header, sizeof header)));
    assert_ok(file_close(file));
    dir_close(dir);
}

Test(golden, a_newer_file_of_any_kind_is_refused_by_name_and_version)
{
    static const char *const names[] = {"CURRENT", "MANIFEST-000009", "000001.vlog", "000005.sst"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lsm_status status;

        load_database();
        make_newer(names[i]);
        status = lsm_open_read_only(DB_DIR, &f.options, &f.db);
        if (status == LSM_OK) // a table is opened when it is read
            status = lsm_verify(f.db, NULL, NULL);
        assert_status(status, LSM_UNSUPPORTED);
        cr_assert(strstr(lsm_errmsg(), names[i]) != NULL, "%s", lsm_errmsg());
        cr_assert(strstr(lsm_errmsg(), "format 2 is newer") != NULL, "%s", lsm_errmsg());
        if (f.db != NULL)
            db_fixture_close(&f);
        teardown();
        setup();
    }
}
