// test_env.c -- what every env promises, asked of each of them.

#include "env/env.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/alloc_fault.h"
#include "support/random.h"
#include "support/sim.h"

#define assert_ok(call)            cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())
#define assert_status(call, wants) cr_assert(eq(int, (call), (wants)), "%s", lsm_errmsg())

enum env_kind { POSIX, MEMORY, SIM, ENV_COUNT };

// A directory "d" of an env of its own.
struct fixture {
    enum env_kind kind;
    struct env *env;
    struct sim *sim;
    char root[64];
    char path[80];
    struct dir *dir;
};

static void fixture_open(struct fixture *f, enum env_kind kind)
{
    *f = (struct fixture){.kind = kind, .root = "/root"};
    if (kind == POSIX) {
        f->env = env_posix();
        snprintf(f->root, sizeof f->root, "/tmp/lsm-test-env-XXXXXX");
        cr_assert(mkdtemp(f->root) != NULL);
    } else if (kind == MEMORY) {
        assert_ok(env_memory_new(&f->env));
    } else {
        assert_ok(sim_new(1, &f->sim));
        f->env = sim_env(f->sim);
    }
    snprintf(f->path, sizeof f->path, "%s/a/d", f->root);
    assert_ok(dir_open(f->env, f->path, true, &f->dir));
}

static void fixture_close(struct fixture *f)
{
    char command[128];

    dir_close(f->dir);
    if (f->kind == MEMORY)
        env_memory_free(f->env);
    sim_free(f->sim);
    if (f->kind == POSIX) {
        snprintf(command, sizeof command, "rm -rf %s", f->root);
        cr_assert(system(command) == 0);
    }
}

// Defines the test once for each env.
#define TEST_EACH(name)                                                                            \
    static void name(struct fixture *f);                                                           \
    Test(env_posix, name)                                                                          \
    {                                                                                              \
        struct fixture f;                                                                          \
        fixture_open(&f, POSIX);                                                                   \
        name(&f);                                                                                  \
        fixture_close(&f);                                                                         \
    }                                                                                              \
    Test(env_memory, name)                                                                         \
    {                                                                                              \
        struct fixture f;                                                                          \
        fixture_open(&f, MEMORY);                                                                  \
        name(&f);                                                                                  \
        fixture_close(&f);                                                                         \
    }                                                                                              \
    Test(env_sim, name)                                                                            \
    {                                                                                              \
        struct fixture f;                                                                          \
        fixture_open(&f, SIM);                                                                     \
        name(&f);                                                                                  \
        fixture_close(&f);                                                                         \
    }                                                                                              \
    static void name(struct fixture *f)

static struct file *create(struct fixture *f, const char *name, const char *text)
{
    struct file *file = NULL;

    assert_ok(file_open(f->dir, name, FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_of(text)));
    return file;
}

static void create_closed(struct fixture *f, const char *name, const char *text)
{
    assert_ok(file_close(create(f, name, text)));
}

static void assert_text(struct fixture *f, const char *name, const char *text)
{
    CLEANUP(file_closep) struct file *file = NULL;
    char found[100] = "";
    size_t got;

    assert_ok(file_open(f->dir, name, FILE_READ, &file));
    assert_ok(file_read(file, 0, found, sizeof found - 1, &got));
    cr_assert(eq(sz, got, strlen(text)));
    cr_assert(eq(str, found, (char *)text));
}

TEST_EACH(what_is_written_is_read_back)
{
    struct file *file = create(f, "f", "hello, world");
    char text[6] = "";
    size_t got;
    uint64_t size;

    assert_ok(file_read(file, 7, text, 5, &got));
    cr_assert(eq(sz, got, 5));
    cr_assert(eq(str, text, "world"));
    assert_ok(file_size(file, &size));
    cr_assert(eq(u64, size, 12));
    assert_ok(file_sync(file));
    file_writeback(file, 0, 12);
    file_prefetch(file, 0, 12);
    cr_assert(eq(str, (char *)file->name, "f"));
    assert_ok(file_close(file));
    assert_text(f, "f", "hello, world");
}

TEST_EACH(a_read_stops_at_the_end_of_the_file)
{
    struct file *file = create(f, "f", "abc");
    char text[8];
    size_t got = 99;

    assert_ok(file_read(file, 1, text, sizeof text, &got));
    cr_assert(eq(sz, got, 2));
    assert_ok(file_read(file, 3, text, sizeof text, &got));
    cr_assert(eq(sz, got, 0));
    assert_ok(file_read(file, UINT64_MAX - 3, text, sizeof text, &got));
    cr_assert(eq(sz, got, 0));
    assert_ok(file_read_exact(file, 0, text, 3));
    assert_status(file_read_exact(file, 1, text, 3), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), "f: ends at offset 3") != NULL, "%s", lsm_errmsg());
    assert_ok(file_close(file));
}

TEST_EACH(parts_are_written_one_behind_the_other)
{
    enum { COUNT = 5000 };
    struct file *file = create(f, "f", "");
    lsm_slice parts[COUNT];
    uint8_t expected[COUNT];
    uint8_t found[COUNT];
    size_t size = 0;

    for (size_t i = 0; i < COUNT; i++) {
        expected[size] = (uint8_t)(i * 7);
        parts[i] = slice_make(&expected[size], i % 5 == 0 ? 0 : 1); // empty ones among them
        size += parts[i].size;
    }
    assert_ok(file_write(file, 3, parts, COUNT));
    assert_ok(file_read_exact(file, 3, found, size));
    cr_assert(memcmp(found, expected, size) == 0);
    assert_ok(file_write(file, 0, NULL, 0));
    assert_ok(file_write(file, 0, parts, 1)); // the empty one
    assert_ok(file_read_exact(file, 0, found, 3));
    cr_assert(memcmp(found, "\0\0\0", 3) == 0, "the gap reads as zeroes");
    assert_ok(file_close(file));
}

TEST_EACH(allocating_extends_with_zeroes_and_keeps_what_is_there)
{
    struct file *file = create(f, "f", "abc");
    uint8_t found[1000];
    uint64_t size;

    assert_ok(file_allocate(file, 0, 1000));
    assert_ok(file_allocate(file, 500, 100));
    assert_ok(file_size(file, &size));
    cr_assert(eq(u64, size, 1000));
    assert_ok(file_read_exact(file, 0, found, 1000));
    cr_assert(memcmp(found, "abc", 3) == 0);
    for (size_t i = 3; i < 1000; i++)
        cr_assert(eq(u8, found[i], 0));
    assert_ok(file_close(file));
}

TEST_EACH(truncating_cuts_and_grows)
{
    struct file *file = create(f, "f", "abcdef");
    char found[6];
    uint64_t size;

    assert_ok(file_truncate(file, 3));
    assert_ok(file_size(file, &size));
    cr_assert(eq(u64, size, 3));
    assert_ok(file_truncate(file, 6));
    assert_ok(file_read_exact(file, 0, found, 6));
    cr_assert(memcmp(found, "abc\0\0\0", 6) == 0, "what was cut does not come back");
    assert_ok(file_close(file));
}

TEST_EACH(open_modes_say_whether_the_file_exists)
{
    struct file *file = NULL;
    uint64_t size;

    assert_status(file_open(f->dir, "f", FILE_READ, &file), LSM_IO);
    assert_status(file_open(f->dir, "f", FILE_WRITE, &file), LSM_IO);
    assert_status(file_stat(f->dir, "f", &size), LSM_IO);
    create_closed(f, "f", "abc");
    assert_status(file_open(f->dir, "f", FILE_CREATE, &file), LSM_IO);
    cr_assert(file == NULL);
    assert_ok(file_stat(f->dir, "f", &size));
    cr_assert(eq(u64, size, 3));
    assert_ok(file_open(f->dir, "f", FILE_WRITE, &file));
    assert_ok(file_write_one(file, 1, slice_of("X")));
    assert_ok(file_close(file));
    assert_text(f, "f", "aXc");
}

TEST_EACH(a_file_opened_for_reading_is_not_written)
{
    struct file *file = NULL;

    create_closed(f, "f", "abc");
    assert_ok(file_open(f->dir, "f", FILE_READ, &file));
    assert_status(file_write_one(file, 0, slice_of("X")), LSM_IO);
    assert_ok(file_close(file));
    assert_text(f, "f", "abc");
}

TEST_EACH(a_directory_is_not_a_regular_file)
{
    struct dir *inner = NULL;
    struct file *file = NULL;
    char path[100];

    snprintf(path, sizeof path, "%s/inner", f->path);
    assert_ok(dir_open(f->env, path, true, &inner));
    assert_status(file_open(f->dir, "inner", FILE_READ, &file), LSM_INVALID);
    assert_status(file_open(f->dir, "inner", FILE_WRITE, &file), LSM_INVALID);
    dir_close(inner);
}

TEST_EACH(renaming_replaces_the_target)
{
    create_closed(f, "from", "new");
    create_closed(f, "to", "old");
    assert_ok(file_rename(f->dir, "from", "to"));
    assert_text(f, "to", "new");
    assert_status(file_rename(f->dir, "from", "to"), LSM_IO);
    assert_ok(file_rename(f->dir, "to", "to"));
    assert_text(f, "to", "new");
}

TEST_EACH(an_open_file_outlives_its_name)
{
    struct file *unlinked = create(f, "f", "first");
    struct file *replaced = create(f, "g", "second");
    char text[7] = "";

    assert_ok(file_unlink(f->dir, "f"));
    create_closed(f, "h", "third");
    assert_ok(file_rename(f->dir, "h", "g"));
    assert_ok(dir_sync(f->dir));
    assert_ok(file_read_exact(unlinked, 0, text, 5));
    cr_assert(eq(str, text, "first"));
    assert_ok(file_read_exact(replaced, 0, text, 6));
    cr_assert(eq(str, text, "second"));
    assert_ok(file_write_one(unlinked, 5, slice_of("!")));
    assert_ok(file_close(unlinked));
    assert_ok(file_close(replaced));
    assert_text(f, "g", "third");
    assert_ok(file_unlink(f->dir, "f")); // what is to be gone may have gone
}

// Who asks whether something is there is told; for who needs it, its absence is a failure.
TEST_EACH(that_something_is_not_there_is_an_answer_where_it_is_asked)
{
    struct file_facts facts = {.is_there = true, .size = 1};
    struct file *file = (struct file *)&facts;
    struct dir *dir = (struct dir *)&facts;
    char path[100];

    snprintf(path, sizeof path, "%s/missing", f->path);
    assert_ok(dir_find(f->env, path, &dir));
    cr_assert(dir == NULL);
    assert_ok(file_find(f->dir, "f", FILE_READ, &file));
    cr_assert(file == NULL);
    file = (struct file *)&facts;
    assert_ok(file_find(f->dir, "f", FILE_WRITE, &file));
    cr_assert(file == NULL);
    assert_ok(file_look(f->dir, "f", &facts));
    cr_assert(not(facts.is_there));
    cr_assert(eq(u64, facts.size, 0));

    create_closed(f, "f", "abc");
    assert_ok(file_look(f->dir, "f", &facts));
    cr_assert(facts.is_there);
    cr_assert(eq(u64, facts.size, 3));
    assert_ok(file_find(f->dir, "f", FILE_READ, &file));
    cr_assert(file != NULL);
    file_close_quietly(file);
    assert_ok(dir_find(f->env, f->path, &dir));
    cr_assert(dir != NULL);
    dir_close(dir);
}

struct listing {
    unsigned files;
    unsigned others;
    uint64_t size;
    unsigned stop_after;
};

static lsm_status count_name(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct listing *listing = ctx;

    if (is_regular) {
        listing->files++;
        listing->size += size;
    } else {
        cr_assert(eq(str, (char *)name, "inner"));
        listing->others++;
    }
    if (listing->files + listing->others == listing->stop_after)
        return lsm_fail(LSM_BUSY, "enough");
    return LSM_OK;
}

TEST_EACH(a_listing_names_everything_once)
{
    struct listing all = {0};
    struct listing some = {.stop_after = 2};
    struct dir *inner = NULL;
    char path[100];

    snprintf(path, sizeof path, "%s/inner", f->path);
    assert_ok(dir_open(f->env, path, true, &inner));
    create_closed(f, "a", "12345");
    create_closed(f, "b", "123");
    create_closed(f, "c", "");
    assert_ok(file_unlink(f->dir, "c"));
    assert_ok(dir_list(f->dir, count_name, &all));
    cr_assert(eq(uint, all.files, 2));
    cr_assert(eq(uint, all.others, 1));
    cr_assert(eq(u64, all.size, 8));
    assert_status(dir_list(f->dir, count_name, &some), LSM_BUSY);
    cr_assert(eq(uint, some.files + some.others, 2));
    dir_close(inner);
}

TEST_EACH(opening_a_directory_that_is_not_there_fails)
{
    struct dir *dir = NULL;
    char path[100];

    snprintf(path, sizeof path, "%s/missing", f->path);
    assert_status(dir_open(f->env, path, false, &dir), LSM_IO);
    create_closed(f, "file", "");
    snprintf(path, sizeof path, "%s/file", f->path);
    assert_status(dir_open(f->env, path, false, &dir), LSM_INVALID);
    assert_status(dir_open(f->env, path, true, &dir), LSM_INVALID);
    snprintf(path, sizeof path, "%s/file/below", f->path);
    assert_status(dir_open(f->env, path, true, &dir), LSM_INVALID);
    cr_assert(dir == NULL);
}

TEST_EACH(a_directory_is_the_same_by_any_path)
{
    struct dir *again = NULL;
    struct file *file = NULL;
    char path[100];

    create_closed(f, "f", "abc");
    snprintf(path, sizeof path, "%s//a/./d/", f->root);
    assert_ok(dir_open(f->env, path, true, &again));
    assert_ok(file_open(again, "f", FILE_READ, &file));
    assert_ok(file_close(file));
    dir_close(again);
}

TEST_EACH(a_directory_is_locked_by_one_handle)
{
    struct dir *again = NULL;
    struct dir_lock *lock = NULL;
    struct dir_lock *second = NULL;
    char holder[32];

    assert_ok(dir_open(f->env, f->path, false, &again));
    assert_ok(dir_lock(f->dir, "LOCK", &lock));
    assert_status(dir_lock(again, "LOCK", &second), LSM_LOCKED);
    snprintf(holder, sizeof holder, "(%llu)", (unsigned long long)env_process_id(f->env));
    cr_assert(strstr(lsm_errmsg(), holder) != NULL, "%s", lsm_errmsg());
    cr_assert(second == NULL);
    dir_unlock(f->env, lock);
    assert_ok(dir_lock(again, "LOCK", &second));
    dir_unlock(f->env, second);
    dir_close(again);
}

TEST_EACH(the_machine_answers)
{
    uint64_t before = clock_mono_ns(f->env);
    uint8_t numbers[2][600] = {{0}};

    cr_assert(ge(u64, clock_mono_ns(f->env), before));
    cr_assert(gt(u64, clock_wall_ns(f->env), UINT64_C(1500000000000000000)));
    assert_ok(env_random(f->env, numbers[0], sizeof numbers[0]));
    assert_ok(env_random(f->env, numbers[1], sizeof numbers[1]));
    cr_assert(memcmp(numbers[0], numbers[1], sizeof numbers[0]) != 0);
    cr_assert(gt(u64, env_process_id(f->env), 0));
    cr_assert(gt(u64, env_descriptor_limit(f->env), 8));
}

TEST_EACH(random_changes_agree_with_an_array)
{
    enum { SIZE_MAX_OF_FILE = 300000, STEPS = 400 };
    static uint8_t model[SIZE_MAX_OF_FILE];
    static uint8_t bytes[SIZE_MAX_OF_FILE];
    struct random random = random_for_test("random_changes_agree_with_an_array");
    struct file *file = create(f, "f", "");
    size_t size = 0;

    memset(model, 0, sizeof model);
    for (int i = 0; i < STEPS; i++) {
        size_t offset = random_below(&random, SIZE_MAX_OF_FILE);
        size_t n = random_below(&random, SIZE_MAX_OF_FILE - offset);
        size_t got;

        switch (random_below(&random, 4)) {
        case 0:
            n = n % 5000;
            random_fill(&random, model + offset, n);
            assert_ok(file_write_one(file, offset, slice_make(model + offset, n)));
            size = n > 0 && offset + n > size ? offset + n : size;
            break;
        case 1:
            assert_ok(file_truncate(file, offset));
            memset(model + offset, 0, SIZE_MAX_OF_FILE - offset);
            size = offset;
            break;
        case 2:
            if (n > 0)
                assert_ok(file_allocate(file, offset, n));
            size = n > 0 && offset + n > size ? offset + n : size;
            break;
        default:
            assert_ok(file_read(file, offset, bytes, n, &got));
            cr_assert(eq(sz, got, offset >= size ? 0 : n < size - offset ? n : size - offset));
            cr_assert(memcmp(bytes, model + offset, got) == 0, "step %d", i);
        }
    }
    assert_ok(file_close(file));
}

// What runs out of memory opens, makes and leaks nothing.
static void short_of_memory(enum env_kind kind)
{
    struct fixture f;
    size_t live;

    cr_assert(alloc_fault_install());
    fixture_open(&f, kind);
    live = alloc_fault_live();
    ALLOC_FAULT_EACH({
        struct dir *dir = NULL;
        struct dir_lock *lock = NULL;
        struct file *file = NULL;
        lsm_status status = dir_open(f.env, f.path, false, &dir);

        if (status == LSM_OK)
            status = dir_lock(dir, "LOCK", &lock);
        if (status == LSM_OK)
            status = file_open(dir, "f", FILE_CREATE, &file);
        cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
        file_close_quietly(file);
        dir_unlock(f.env, lock);
        dir_closep(&dir);
    });
    assert_ok(file_unlink(f.dir, "f"));
    cr_assert(eq(sz, alloc_fault_live(), live));
    fixture_close(&f);
}

Test(env_posix, shortness_of_memory_is_reported)
{
    short_of_memory(POSIX);
}

Test(env_memory, shortness_of_memory_is_reported)
{
    short_of_memory(MEMORY);
}

Test(env_memory, a_write_without_memory_fails)
{
    struct fixture f;
    struct file *file = NULL;

    cr_assert(alloc_fault_install());
    fixture_open(&f, MEMORY);
    file = create(&f, "f", "abc");
    alloc_fault_at(1, true);
    assert_status(file_write_one(file, 1 << 20, slice_of("X")), LSM_NO_MEMORY);
    assert_status(file_allocate(file, 0, 1 << 20), LSM_NO_MEMORY);
    alloc_fault_at(0, false);
    assert_ok(file_close(file));
    assert_text(&f, "f", "abc");
    fixture_close(&f);
}
