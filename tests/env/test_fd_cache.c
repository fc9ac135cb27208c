// test_fd_cache.c -- a bound on open descriptors.

#include "env/fd_cache.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#include "support/alloc_fault.h"
#include "support/random.h"
#include "support/sim.h"

#define assert_ok(call)            cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())
#define assert_status(call, wants) cr_assert(eq(int, (call), (wants)), "%s", lsm_errmsg())

enum { FILES = 30, OPEN_MAX = 8 };

static struct {
    struct sim *sim;
    struct dir *dir;
    struct epoch_bin bin;
    struct fd_cache *cache;
    struct cached_file files[FILES];
} f;

// File i holds the byte i.
static void setup(void)
{
    assert_ok(sim_new(1, &f.sim));
    assert_ok(dir_open(sim_env(f.sim), "/db", true, &f.dir));
    epoch_bin_init(&f.bin);
    assert_ok(fd_cache_new(&f.bin, 1, &f.cache)); // raised to 8
    fd_cache_serve(f.cache, f.dir);
    for (uint8_t i = 0; i < FILES; i++) {
        struct file *file = NULL;
        char name[16];

        snprintf(name, sizeof name, "%02d", i);
        assert_ok(file_open(f.dir, name, FILE_CREATE, &file));
        assert_ok(file_write_one(file, 0, slice_make(&i, 1)));
        assert_ok(file_close(file));
        cached_file_init(&f.files[i], f.cache, f.dir, name);
    }
}

static void teardown(void)
{
    for (int i = 0; i < FILES; i++)
        cached_file_release(&f.files[i]);
    cr_assert(eq(sz, fd_cache_open_count(f.cache), 0));
    fd_cache_free(f.cache); // before what it retired is closed
    epoch_drain(&f.bin);
    epoch_bin_release(&f.bin);
    dir_close(f.dir);
    sim_restart(f.sim, SIM_NONE, 0); // asserts that every file is closed
    sim_free(f.sim);
}

TestSuite(fd_cache, .init = setup, .fini = teardown);

static void assert_byte(struct file *file, int expected)
{
    uint8_t byte;

    assert_ok(file_read_exact(file, 0, &byte, 1));
    cr_assert(eq(u8, byte, (uint8_t)expected));
}

static void get_and_check(int i)
{
    EPOCH_SECTION();
    struct file *file = NULL;

    assert_ok(cached_file_get(&f.files[i], &file));
    assert_byte(file, i);
}

static bool is_open(int i)
{
    return atomic_load(&f.files[i].file) != NULL;
}

Test(fd_cache, a_file_is_opened_once)
{
    EPOCH_SECTION();
    struct file *first = NULL;
    struct file *second = NULL;

    cr_assert(eq(sz, fd_cache_open_count(f.cache), 0));
    assert_ok(cached_file_get(&f.files[3], &first));
    assert_ok(cached_file_get(&f.files[3], &second));
    cr_assert(first == second);
    assert_byte(first, 3);
    cr_assert(eq(sz, fd_cache_open_count(f.cache), 1));
}

Test(fd_cache, no_more_files_stay_open_than_allowed)
{
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < FILES; i++) {
            get_and_check(i);
            cr_assert(le(sz, fd_cache_open_count(f.cache), OPEN_MAX));
        }
    }
    cr_assert(eq(sz, fd_cache_open_count(f.cache), OPEN_MAX));
}

Test(fd_cache, a_file_in_use_outlives_one_that_is_not)
{
    for (int i = 0; i < FILES; i++) {
        get_and_check(0);
        get_and_check(i);
        cr_assert(is_open(0));
    }
    cr_assert(not(is_open(1)));
}

Test(fd_cache, an_evicted_file_stays_open_for_the_section_that_sees_it)
{
    struct file *file = NULL;

    epoch_enter();
    assert_ok(cached_file_get(&f.files[0], &file));
    for (int i = 1; i < FILES; i++) {
        struct file *other = NULL;

        assert_ok(cached_file_get(&f.files[i], &other));
    }
    cr_assert(not(is_open(0)));
    (void)epoch_collect(&f.bin);
    assert_byte(file, 0);
    epoch_exit();
}

Test(fd_cache, closed_files_do_not_pile_up)
{
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < FILES; i++)
            get_and_check(i);
    }
    // Nobody but the cache has collected.
    cr_assert(le(sz, f.bin.count, OPEN_MAX));
}

Test(fd_cache, a_released_file_may_be_opened_by_another_owner)
{
    get_and_check(5);
    cached_file_release(&f.files[5]);
    cr_assert(eq(sz, fd_cache_open_count(f.cache), 0));
    cached_file_release(&f.files[5]);
    cached_file_init(&f.files[5], f.cache, f.dir, "05");
    get_and_check(5);
}

Test(fd_cache, releasing_a_zeroed_file_does_nothing)
{
    struct cached_file zeroed = {0};

    cached_file_release(&zeroed);
    fd_cache_free(NULL);
}

Test(fd_cache, a_failure_to_open_reaches_the_caller)
{
    struct sim_fault fault = {.ops = SIM_OP_OPEN, .at = 1, .status = LSM_IO};
    struct file *file = NULL;

    sim_set_fault(f.sim, &fault);
    epoch_enter();
    assert_status(cached_file_get(&f.files[0], &file), LSM_IO);
    epoch_exit();
    cr_assert(file == NULL);
    get_and_check(0);
}

Test(fd_cache, with_no_descriptor_left_others_are_closed)
{
    struct sim_fault once = {.ops = SIM_OP_OPEN, .at = 1, .status = LSM_BUSY};
    struct sim_fault for_ever = {.ops = SIM_OP_OPEN, .at = 1, .for_ever = true, .status = LSM_BUSY};
    struct file *file = NULL;

    for (int i = 0; i < OPEN_MAX; i++)
        get_and_check(i);
    sim_set_fault(f.sim, &once);
    get_and_check(20);
    cr_assert(eq(sz, fd_cache_open_count(f.cache), OPEN_MAX / 2 + 1));

    sim_set_fault(f.sim, &for_ever);
    epoch_enter();
    assert_status(cached_file_get(&f.files[21], &file), LSM_BUSY);
    epoch_exit();
    sim_set_fault(f.sim, NULL);
    get_and_check(21);
}

Test(fd_cache, a_new_file_takes_the_descriptor_of_one_that_is_only_cached)
{
    struct sim_fault once = {.ops = SIM_OP_OPEN, .at = 1, .status = LSM_BUSY};
    struct file *file = NULL;

    for (int i = 0; i < OPEN_MAX; i++)
        get_and_check(i);
    sim_set_fault(f.sim, &once);
    assert_ok(file_open(f.dir, "new", FILE_CREATE, &file));
    cr_assert(eq(sz, fd_cache_open_count(f.cache), OPEN_MAX / 2));
    cr_assert(eq(sz, f.bin.count, 0)); // closed, not only hidden
    assert_ok(file_close(file));
}

// A reader in its section keeps what it sees; what it does not see goes.
Test(fd_cache, room_is_not_made_at_the_cost_of_a_reader)
{
    struct sim_fault for_ever = {.ops = SIM_OP_OPEN, .at = 1, .for_ever = true, .status = LSM_BUSY};
    struct file *seen = NULL;
    struct file *file = NULL;

    epoch_enter();
    assert_ok(cached_file_get(&f.files[0], &seen));
    sim_set_fault(f.sim, &for_ever);
    assert_status(file_open(f.dir, "new", FILE_CREATE, &file), LSM_BUSY);
    sim_set_fault(f.sim, NULL);
    cr_assert(file == NULL);
    assert_byte(seen, 0);
    epoch_exit();
    assert_ok(file_open(f.dir, "new", FILE_CREATE, &file));
    assert_ok(file_close(file));
}

Test(fd_cache, a_failure_of_another_kind_closes_nothing)
{
    struct sim_fault once = {.ops = SIM_OP_OPEN, .at = 1, .status = LSM_NO_SPACE};
    struct file *file = NULL;

    get_and_check(0);
    sim_set_fault(f.sim, &once);
    assert_status(file_open(f.dir, "new", FILE_CREATE, &file), LSM_NO_SPACE);
    cr_assert(is_open(0));
}

Test(fd_cache, random_use_finds_the_right_bytes)
{
    struct random random = random_for_test("random_use_finds_the_right_bytes");

    for (int step = 0; step < 5000; step++) {
        int i = (int)random_below(&random, FILES);

        if (random_one_in(&random, 50)) {
            char name[16];

            snprintf(name, sizeof name, "%02d", i);
            cached_file_release(&f.files[i]);
            cached_file_init(&f.files[i], f.cache, f.dir, name);
        }
        get_and_check(i);
        cr_assert(le(sz, fd_cache_open_count(f.cache), OPEN_MAX));
    }
}

Test(fd_cache_memory, shortness_of_memory_is_reported)
{
    cr_assert(alloc_fault_install());
    setup();
    ALLOC_FAULT_EACH({
        struct file *file = NULL;
        lsm_status status;

        epoch_enter();
        status = cached_file_get(&f.files[0], &file);
        epoch_exit();
        cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
    });
    teardown();
    cr_assert(eq(sz, alloc_fault_live(), 0));
}
