// test_options.c -- options as text: what is taken, what is refused, and files of them.

#include "db/options_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "support/alloc_fault.h"
#include "support/db_fixture.h"

static lsm_options *options;
static lsm_buf got = LSM_BUF_INIT;
static char dir[] = "/tmp/lsm_options_XXXXXX";
static char path[64];

static void setup(void)
{
    assert_ok(lsm_options_new(&options));
    cr_assert(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/options", dir);
}

static void teardown(void)
{
    lsm_options_free(options);
    lsm_buf_free(&got);
    (void)unlink(path);
    cr_assert(eq(int, rmdir(dir), 0)); // nothing else is left
}

TestSuite(options, .init = setup, .fini = teardown);

static const char *text_of(const char *name)
{
    assert_ok(lsm_options_get(options, name, &got));
    return got.data;
}

// --- values ---

Test(options, every_option_takes_what_it_says)
{
    lsm_option_info info;
    size_t count = 0;

    for (; lsm_option_at(count, &info); count++) {
        char before[64];

        (void)snprintf(before, sizeof before, "%s", text_of(info.name));
        cr_assert(eq(str, before, (char *)info.default_value), "%s", info.name);
        assert_ok(lsm_options_set(options, info.name, before));
        cr_assert(eq(str, (char *)text_of(info.name), before));
    }
    cr_assert(lt(sz, 20, count));
}

Test(options, values_are_numbers_with_units)
{
    static const struct {
        const char *name, *set, *get;
    } values[] = {
        {"memtable_size", "131072", "128KiB"},
        {"memtable_size", "128k", "128KiB"},
        {"memtable_size", "65537 b", "65537"},
        {"memtable_size", "1 GiB", "1GiB"},
        {"idle_flush", "1500ms", "1500ms"},
        {"idle_flush", "7200 s", "2h"},
        {"idle_flush", "1D", "1d"},
        {"workers", "64", "64"},
        {"sync", "written", "written"},
        {"sync", "full", "full"},
        {"in_memory", "true", "true"},
        {"in_memory", "false", "false"},
        {"filter_bits", "7.5", "7.5"},
        {"filter_bits", "7.123456789", "7.123456789"},
        {"filter_bits", "0.1", "0.1"},
        {"value_threshold", "0", "0"},
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_ok(lsm_options_set(options, values[i].name, values[i].set));
        cr_assert(eq(str, (char *)text_of(values[i].name), (char *)values[i].get));
    }
}

Test(options, other_values_are_refused_and_change_nothing)
{
    static const struct {
        const char *name, *set;
    } values[] = {
        {"memtable_size", ""},       {"memtable_size", "64 MB"},
        {"memtable_size", " 64MiB"}, {"memtable_size", "99999999999999999999"},
        {"memtable_size", "1K"},     {"memtable_size", "18446744073709551615T"},
        {"memtable_size", "1T"},     {"idle_flush", "10"},
        {"idle_flush", "1ns"},       {"workers", "65"},
        {"workers", "1K"},           {"sync", "none"},
        {"in_memory", "1"},          {"filter_bits", ""},
        {"filter_bits", "10 bits"},  {"filter_bits", "-1"},
        {"filter_bits", "33"},       {"filter_bits", "1e999"},
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char before[64];

        (void)snprintf(before, sizeof before, "%s", text_of(values[i].name));
        assert_status(lsm_options_set(options, values[i].name, values[i].set), LSM_INVALID);
        cr_assert(strstr(lsm_errmsg(), values[i].name) != NULL);
        cr_assert(eq(str, (char *)text_of(values[i].name), before));
    }
    assert_status(lsm_options_set_workers(options, 65), LSM_INVALID);
    assert_status(lsm_options_set_cache_size(options, 1), LSM_INVALID);
    assert_ok(lsm_options_set_workers(options, 3));
    cr_assert(eq(str, (char *)text_of("workers"), "3"));
}

Test(options, options_that_contradict_each_other_are_refused_when_opening)
{
    static const struct {
        const char *name, *set;
    } values[] = {{"level0_slowdown", "1"}, {"level0_stop", "1"}, {"debt_stop", "1MiB"}};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        lsm_db *db;

        lsm_options_free(options);
        assert_ok(lsm_options_new(&options));
        assert_ok(lsm_options_set(options, "in_memory", "true"));
        if (lsm_options_set(options, values[i].name, values[i].set) == LSM_OK)
            assert_status(lsm_open(path, options, &db), LSM_INVALID);
    }
}

// --- files ---

static void write_text(const char *text)
{
    FILE *file = fopen(path, "wb");

    cr_assert(file != NULL);
    cr_assert(fputs(text, file) >= 0);
    cr_assert(fclose(file) == 0);
}

Test(options, what_is_saved_is_loaded)
{
    assert_ok(lsm_options_set(options, "memtable_size", "1MiB"));
    assert_ok(lsm_options_set(options, "sync", "written"));
    assert_ok(lsm_options_set(options, "filter_bits", "12.25"));
    assert_ok(lsm_options_save(options, path));
    assert_ok(lsm_options_save(options, path)); // replaces it
    lsm_options_free(options);
    assert_ok(lsm_options_new(&options));
    assert_ok(lsm_options_load(options, path));
    cr_assert(eq(str, (char *)text_of("memtable_size"), "1MiB"));
    cr_assert(eq(str, (char *)text_of("sync"), "written"));
    cr_assert(eq(str, (char *)text_of("filter_bits"), "12.25"));
}

Test(options, a_path_without_a_directory_is_in_the_current_one)
{
    cr_assert(eq(int, chdir(dir), 0));
    assert_ok(lsm_options_save(options, "options"));
    assert_ok(lsm_options_load(options, "options"));
    assert_ok(lsm_options_load(options, path));
    assert_status(lsm_options_load(options, "/no such file"), LSM_IO);
    assert_status(lsm_options_load(options, "/no such directory/options"), LSM_IO);
    assert_status(lsm_options_save(options, "/no such directory/options"), LSM_IO);
}

Test(options, a_file_has_comments_empty_lines_and_spaces)
{
    write_text("# a comment\r\n"
               "\r\n"
               "   \t\n"
               "\t memtable_size\t =  2MiB \t\r\n"
               "sync=written\n"
               "  # another\n"
               "workers = 5");
    assert_ok(lsm_options_load(options, path));
    cr_assert(eq(str, (char *)text_of("memtable_size"), "2MiB"));
    cr_assert(eq(str, (char *)text_of("sync"), "written"));
    cr_assert(eq(str, (char *)text_of("workers"), "5"));
    write_text("");
    assert_ok(lsm_options_load(options, path));
}

Test(options, a_bad_line_is_told_by_number_and_nothing_is_set)
{
    static const char *const lines[] = {"memtable_sise = 2MiB", "memtable_size = 1", "workers",
                                        "= 5"};

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[256];

        (void)snprintf(text, sizeof text, "workers = 7\n\n%s\n", lines[i]);
        write_text(text);
        assert_status(lsm_options_load(options, path), LSM_INVALID);
        cr_assert(strstr(lsm_errmsg(), "line 3") != NULL, "%s", lsm_errmsg());
        cr_assert(eq(str, (char *)text_of("workers"), "0"));
    }
}

Test(options, long_lines_and_large_files_are_refused)
{
    char line[300];

    memset(line, '#', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    write_text(line);
    assert_status(lsm_options_load(options, path), LSM_INVALID);
    cr_assert(strstr(lsm_errmsg(), "line 1: longer than 255 characters") != NULL);
    line[255] = '\0';
    write_text(line);
    assert_ok(lsm_options_load(options, path));
    cr_assert(eq(int, truncate(path, (1 << 20) + 1), 0));
    assert_status(lsm_options_load(options, path), LSM_INVALID);
    cr_assert(strstr(lsm_errmsg(), "too many for an options file") != NULL);
}

// --- failing ---

Test(options_faults, the_file_of_a_database_is_replaced_whole_or_not_at_all)
{
    struct lsm_options saved;
    struct sim *sim;
    struct dir *where;
    bool is_hit = true;

    assert_ok(sim_new(1, &sim));
    assert_ok(dir_open(sim_env(sim), DB_DIR, true, &where));
    options_init(&saved);
    assert_ok(options_file_write(where, &saved));
    for (uint64_t at = 1; is_hit; at++) {
        struct sim_fault fault = {.ops = SIM_OP_ANY, .at = at, .status = LSM_NO_SPACE};
        uint64_t size;

        sim_set_fault(sim, &fault);
        assert_status(options_file_write(where, &saved),
                      sim_fault_hits(sim) > 0 ? LSM_NO_SPACE : LSM_OK);
        is_hit = sim_fault_hits(sim) > 0;
        sim_set_fault(sim, NULL);
        assert_ok(file_stat(where, "OPTIONS", &size));
        cr_assert(lt(u64, 1000, size));
    }
    dir_close(where);
    sim_free(sim);
}

Test(options_memory, out_of_memory_is_told)
{
    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH({
        lsm_options *fresh;
        lsm_status status = lsm_options_new(&fresh);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        if (status == LSM_OK)
            lsm_options_free(fresh);
    });
    setup();
    ALLOC_FAULT_EACH({
        assert_status(lsm_options_save(options, path),
                      alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
    });
    ALLOC_FAULT_EACH({
        assert_status(lsm_options_load(options, path),
                      alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
    });
    alloc_fault_at(1, false);
    assert_status(lsm_options_get(options, "workers", &got), LSM_NO_MEMORY);
    teardown();
}
