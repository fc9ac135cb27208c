// test_kept_options.c -- what was set of a database's own options stays in force, whoever opens it.

#include "db/options_file.h"
#include "support/db_fixture.h"

static struct sim *sim;
static lsm_db *db;
static lsm_options *options;

static void fresh_options(void)
{
    lsm_options_free(options);
    assert_ok(lsm_options_new(&options));
    options->env = sim_env(sim);
    options->is_manual = true;
}

static void setup(void)
{
    assert_ok(sim_new(1, &sim));
    fresh_options();
}

static void teardown(void)
{
    sim_set_fault(sim, NULL);
    assert_ok(lsm_close(db));
    lsm_options_free(options);
    sim_free(sim);
}

TestSuite(kept_options, .init = setup, .fini = teardown);

static void close_db(void)
{
    assert_ok(lsm_close(db));
    db = NULL;
}

// Opens with what has been set in `options` since the last time.
static void open_db(void)
{
    if (db != NULL)
        close_db();
    assert_ok(lsm_open(DB_DIR, options, &db));
    fresh_options();
}

static void assert_in_force(const char *name, const char *value, lsm_option_source source)
{
    CLEANUP(lsm_buf_free) lsm_buf got = LSM_BUF_INIT;
    lsm_option_source from;

    assert_ok(lsm_get_option(db, name, &got));
    assert_buf(&got, value);
    assert_ok(lsm_option_from(db, name, &from));
    cr_assert(eq(int, (int)from, (int)source), "%s", name);
}

Test(kept_options, what_was_set_stays_until_it_is_set_again)
{
    assert_ok(lsm_options_set(options, "versions_to_keep", "10"));
    assert_ok(lsm_options_set_compression(options, 7));
    open_db();
    assert_in_force("versions_to_keep", "10", LSM_OPTION_CALLER);
    open_db();
    assert_in_force("versions_to_keep", "10", LSM_OPTION_DATABASE);
    assert_in_force("compression", "7", LSM_OPTION_DATABASE);
    assert_in_force("table_size", "64MiB", LSM_OPTION_DEFAULT);
    assert_ok(lsm_options_set(options, "compression", "3"));
    open_db();
    open_db();
    assert_in_force("versions_to_keep", "10", LSM_OPTION_DATABASE);
    assert_in_force("compression", "3", LSM_OPTION_DATABASE);
}

Test(kept_options, what_is_the_process_s_is_not_kept)
{
    lsm_option_info info;

    assert_ok(lsm_options_set(options, "sync", "written"));
    assert_ok(lsm_options_set_cache_size(options, 1 << 20));
    open_db();
    open_db();
    for (size_t i = 0; lsm_option_at(i, &info); i++) {
        if (!info.kept)
            assert_in_force(info.name, info.default_value, LSM_OPTION_DEFAULT);
    }
}

Test(kept_options, for_this_time_only_and_back_to_the_default)
{
    assert_ok(lsm_options_set(options, "versions_to_keep", "10"));
    assert_ok(lsm_options_set(options, "compression", "7"));
    open_db();
    assert_ok(lsm_options_set_once(options, "compression", "19"));
    open_db();
    assert_in_force("compression", "19", LSM_OPTION_CALLER);
    assert_ok(lsm_options_set(options, "compression", "19"));
    assert_ok(lsm_options_unset(options, "compression"));
    assert_ok(lsm_options_reset(options, "versions_to_keep"));
    open_db();
    assert_in_force("compression", "7", LSM_OPTION_DATABASE);
    assert_in_force("versions_to_keep", "1", LSM_OPTION_DEFAULT);
    open_db();
    assert_in_force("versions_to_keep", "1", LSM_OPTION_DEFAULT);
}

Test(kept_options, while_open_it_is_the_same)
{
    open_db();
    assert_ok(lsm_set_option(db, "versions_to_keep", "5"));
    assert_ok(lsm_set_option(db, "compression", "7"));
    assert_ok(lsm_set_option_once(db, "table_size", "1MiB"));
    assert_ok(lsm_set_option(db, "cache_size", "1MiB"));
    assert_in_force("table_size", "1MiB", LSM_OPTION_CALLER);
    open_db();
    assert_in_force("versions_to_keep", "5", LSM_OPTION_DATABASE);
    assert_in_force("table_size", "64MiB", LSM_OPTION_DEFAULT);
    assert_in_force("cache_size", "256MiB", LSM_OPTION_DEFAULT);
    assert_ok(lsm_reset_option(db, "versions_to_keep"));
    assert_in_force("versions_to_keep", "1", LSM_OPTION_DEFAULT);
    open_db();
    assert_in_force("versions_to_keep", "1", LSM_OPTION_DEFAULT);
    assert_in_force("compression", "7", LSM_OPTION_DATABASE);
    assert_refused(lsm_reset_option(db, "no_such_option"));
    assert_refused(lsm_option_from(db, "no_such_option", &(lsm_option_source){0}));
}

// What the application keeps must survive a visitor that knows nothing of it.
Test(kept_options, versions_survive_a_visitor_without_options)
{
    const lsm_iter_options all = {.all_versions = true};
    lsm_iter *it;
    lsm_status status;
    unsigned count = 0;

    assert_ok(lsm_options_set(options, "versions_to_keep", "10"));
    open_db();
    for (unsigned i = 0; i < 4; i++)
        assert_ok(lsm_put(db, NULL, lsm_str("doc"), lsm_str("rev"), NULL));
    open_db();
    assert_ok(lsm_put(db, NULL, lsm_str("doc"), lsm_str("rev"), NULL));
    assert_ok(lsm_compact_range(db, NULL, NULL, NULL));
    assert_ok(lsm_iter_open(db, NULL, &all, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        count++;
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    cr_assert(eq(uint, count, 5));
}

// --- the file ---

static void write_options_file(const char *bytes, size_t size)
{
    struct dir *dir;
    struct file *file;

    assert_ok(dir_open(sim_env(sim), DB_DIR, false, &dir));
    (void)file_unlink(dir, "OPTIONS");
    if (bytes != NULL) {
        assert_ok(file_open(dir, "OPTIONS", FILE_CREATE, &file));
        if (size > 0)
            assert_ok(file_write_one(file, 0, slice_make(bytes, size)));
        assert_ok(file_close(file));
    }
    dir_close(dir);
}

static void assert_refuses_to_open(lsm_status wants, const char *words)
{
    if (db != NULL)
        close_db();
    assert_status(lsm_open(DB_DIR, options, &db), wants);
    cr_assert(strstr(lsm_errmsg(), words) != NULL, "%s", lsm_errmsg());
    cr_assert(strstr(lsm_errmsg(), "OPTIONS") != NULL, "%s", lsm_errmsg());
    assert_ok(lsm_open_read_only(DB_DIR, options, &db)); // who reads can destroy nothing
}

Test(kept_options, every_changed_byte_of_the_file_is_found)
{
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    struct lsm_options kept, read;

    options_init(&kept);
    assert_ok(lsm_options_set(&kept, "versions_to_keep", "10"));
    assert_ok(options_format_kept(&kept, &text));
    options_init(&read);
    assert_ok(options_parse_kept(&read, slice_of_buf(&text), "OPTIONS"));
    cr_assert(options_keep_same(&kept, &read));
    for (size_t i = strlen("# lsmkv options, crc32c "); i < text.size; i++) {
        uint8_t *byte = (uint8_t *)text.data + i;

        if (i >= 32 && *byte == '\n' && i < 100)
            i++, byte++; // the end of the first line, behind which the words mean nothing
        if (i >= 32 && memchr(text.data, '\n', i) == NULL)
            continue;
        *byte ^= 4;
        options_init(&read);
        assert_status(options_parse_kept(&read, slice_of_buf(&text), "OPTIONS"), LSM_CORRUPT);
        cr_assert(eq(u64, read.set, 0));
        *byte ^= 4;
    }
    for (size_t size = 0; size < text.size; size++) {
        options_init(&read);
        if (size >= 1 && size < strlen("# lsmkv options, crc32c "))
            continue; // a comment
        assert_status(options_parse_kept(&read, slice_make(text.data, size), "OPTIONS"),
                      LSM_CORRUPT);
    }
}

Test(kept_options, a_file_that_cannot_be_right_stops_who_writes)
{
    static const char unknown[] = "versions_to_keep = 3\nretention_of_tomorrow = 5\n";
    static const char bad[] = "versions_to_keep = three\n";
    static const char zero[] = "versions_to_keep = 1\0000\n";

    open_db();
    close_db();
    write_options_file("", 0);
    assert_refuses_to_open(LSM_CORRUPT, "empty");
    write_options_file(bad, sizeof bad - 1);
    assert_refuses_to_open(LSM_CORRUPT, "line 1");
    write_options_file(zero, sizeof zero - 1);
    assert_refuses_to_open(LSM_CORRUPT, "line 1");
    write_options_file(unknown, sizeof unknown - 1);
    assert_refuses_to_open(LSM_UNSUPPORTED, "retention_of_tomorrow");
    write_options_file(NULL, 0);
    open_db();
    assert_in_force("versions_to_keep", "1", LSM_OPTION_DEFAULT);
}

// It told all options of its last open: those of the database are taken.
Test(kept_options, the_file_of_an_older_version_is_read)
{
    static const char text[] = "# lsmkv options\n\n# doc (x)\ncache_size = 1MiB\n\nsync = written\n"
                               "versions_to_keep = 10\ncompression = 1\n";

    open_db();
    close_db();
    write_options_file(text, sizeof text - 1);
    open_db();
    assert_in_force("versions_to_keep", "10", LSM_OPTION_DATABASE);
    assert_in_force("sync", "full", LSM_OPTION_DEFAULT);
    assert_in_force("cache_size", "256MiB", LSM_OPTION_DEFAULT);
}

Test(kept_options, opening_without_options_writes_no_file)
{
    struct sim_fault fault = {.ops = SIM_OP_OPEN | SIM_OP_RENAME,
                              .name_part = "OPTIONS.new",
                              .at = 1,
                              .for_ever = true,
                              .status = LSM_NO_SPACE};

    assert_ok(lsm_options_set(options, "versions_to_keep", "10"));
    open_db();
    sim_set_fault(sim, &fault);
    open_db();
    assert_in_force("versions_to_keep", "10", LSM_OPTION_DATABASE);
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
    close_db();
    assert_ok(lsm_options_set(options, "versions_to_keep", "3"));
    assert_status(lsm_open(DB_DIR, options, &db), LSM_NO_SPACE);
    sim_set_fault(sim, NULL);
    fresh_options();
    open_db();
    assert_in_force("versions_to_keep", "10", LSM_OPTION_DATABASE);
}

// What holds only beside an option that is set for this time would keep everybody else out.
Test(kept_options, what_is_kept_does_not_contradict_itself)
{
    open_db();
    assert_ok(lsm_set_option_once(db, "level0_stop", "9000"));
    assert_ok(lsm_set_option_once(db, "level0_slowdown", "5000"));
    assert_status(lsm_set_option(db, "level0_trigger", "1000"), LSM_INVALID);
    cr_assert(strstr(lsm_errmsg(), "would keep") != NULL, "%s", lsm_errmsg());
    assert_in_force("level0_trigger", "4", LSM_OPTION_DEFAULT);
    close_db();

    assert_ok(lsm_options_set_once(options, "debt_stop", "1TiB"));
    assert_ok(lsm_options_set(options, "debt_slowdown", "500GiB"));
    assert_status(lsm_open(DB_DIR, options, &db), LSM_INVALID);
    fresh_options();
    open_db();
    assert_in_force("debt_slowdown", "4GiB", LSM_OPTION_DEFAULT);
}

// A comment of the file that keeps them tells the default of what is not set.
Test(kept_options, after_a_reset_the_file_tells_the_default)
{
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;

    assert_ok(lsm_options_set(options, "versions_to_keep", "10"));
    open_db();
    assert_ok(lsm_reset_option(db, "versions_to_keep"));
    assert_ok(options_format_kept(&db->kept, &text));
    assert_ok(buf_append_u8(&text, 0));
    cr_assert(strstr(text.data, "\n# versions_to_keep = 1\n") != NULL, "%s", (char *)text.data);
}

// The old ones or the new ones, whatever call fails.
Test(kept_options, a_failure_at_any_call_leaves_what_was_or_what_is_to_be)
{
    bool is_hit = true;

    assert_ok(lsm_options_set(options, "versions_to_keep", "10"));
    open_db();
    for (uint64_t at = 1; is_hit; at++) {
        struct sim_fault fault = {
            .ops = SIM_OP_ANY, .name_part = "OPTIONS", .at = at, .status = LSM_IO};
        CLEANUP(lsm_buf_free) lsm_buf got = LSM_BUF_INIT;
        lsm_status status;

        close_db();
        sim_set_fault(sim, &fault);
        assert_ok(lsm_options_set(options, "versions_to_keep", at % 2 == 0 ? "10" : "20"));
        status = lsm_open(DB_DIR, options, &db);
        is_hit = sim_fault_hits(sim) > 0;
        sim_set_fault(sim, NULL);
        fresh_options();
        if (status != LSM_OK)
            db = NULL;
        open_db();
        assert_ok(lsm_get_option(db, "versions_to_keep", &got));
        cr_assert(strcmp(got.data, "10") == 0 || strcmp(got.data, "20") == 0, "%s",
                  (char *)got.data);
    }
}
