// test_unlinker.c -- files go when they may, and not before.

#include "env/unlinker.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/alloc_fault.h"
#include "support/sim.h"

static struct sim *sim;
static struct dir *dir;
static struct poison poison;
static struct unlinker *unlinker;
static int notices;

static void notice(void *ctx)
{
    ++*(int *)ctx;
}

static void make_file(uint64_t number)
{
    struct filename name = filename_of(FILENAME_TABLE, number);
    struct file *file;

    cr_assert(eq(int, file_open(dir, name.text, FILE_CREATE, &file), LSM_OK));
    cr_assert(eq(int, file_close(file), LSM_OK));
}

static bool exists(uint64_t number)
{
    struct filename name = filename_of(FILENAME_TABLE, number);
    uint64_t size;

    return file_stat(dir, name.text, &size) == LSM_OK;
}

static void setup(void)
{
    notices = 0;
    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, dir_open(sim_env(sim), "/db", true, &dir), LSM_OK));
    poison_init(&poison);
    cr_assert(eq(int, unlinker_new(dir, &poison, &unlinker), LSM_OK));
    unlinker_set_notify(unlinker, notice, &notices);
    for (uint64_t i = 1; i <= 3; i++)
        make_file(i);
}

static void teardown(void)
{
    unlinker_free(unlinker);
    poison_release(&poison);
    dir_close(dir);
    sim_free(sim);
}

TestSuite(unlinker, .init = setup, .fini = teardown);

Test(unlinker, removes_oldest_first_as_many_as_told)
{
    for (uint64_t i = 1; i <= 3; i++)
        unlinker_add(unlinker, FILENAME_TABLE, i);
    cr_assert(eq(int, notices, 3));
    cr_assert(eq(sz, unlinker_drain(unlinker, 2), 1));
    cr_assert(exists(3) && !exists(1) && !exists(2));
    cr_assert(eq(sz, unlinker_drain(unlinker, 2), 0));
    cr_assert(not(exists(3)));
}

Test(unlinker, removes_nothing_while_it_is_held_or_poisoned)
{
    unlinker_hold(unlinker);
    unlinker_hold(unlinker);
    unlinker_add(unlinker, FILENAME_TABLE, 1);
    cr_assert(eq(sz, unlinker_drain(unlinker, 9), 1));
    unlinker_allow(unlinker);
    cr_assert(eq(sz, unlinker_drain(unlinker, 9), 1));
    cr_assert(eq(int, notices, 1));
    unlinker_allow(unlinker);
    cr_assert(eq(int, notices, 2)); // there is work now
    (void)poison_set(&poison, lsm_fail(LSM_IO, "sync failed"));
    cr_assert(eq(sz, unlinker_drain(unlinker, 9), 1));
    cr_assert(exists(1));
}

Test(unlinker, keeps_a_file_that_cannot_be_removed_for_later)
{
    struct sim_fault fault = {.ops = SIM_OP_UNLINK, .at = 1, .status = LSM_IO};

    unlinker_add(unlinker, FILENAME_TABLE, 1);
    unlinker_add(unlinker, FILENAME_TABLE, 2);
    sim_set_fault(sim, &fault);
    cr_assert(eq(sz, unlinker_drain(unlinker, 2), 1));
    cr_assert(exists(1) && !exists(2));
    cr_assert(eq(sz, unlinker_drain(unlinker, 2), 0));
    cr_assert(not(exists(1)));
}

Test(unlinker, tells_why_until_the_file_is_gone)
{
    const struct sim_fault fault = {
        .ops = SIM_OP_UNLINK, .name_part = "1", .at = 1, .for_ever = true, .status = LSM_IO};

    cr_assert(eq(int, unlinker_health(unlinker), LSM_OK));
    unlinker_add(unlinker, FILENAME_TABLE, 1);
    unlinker_add(unlinker, FILENAME_TABLE, 2);
    unlinker_add(unlinker, FILENAME_TABLE, 3);
    sim_set_fault(sim, &fault);
    cr_assert(eq(sz, unlinker_drain(unlinker, 1), 3));
    cr_assert(eq(int, unlinker_health(unlinker), LSM_IO));
    cr_assert(eq(sz, unlinker_drain(unlinker, 2), 1)); // of the others: says nothing of the first
    cr_assert(eq(int, unlinker_health(unlinker), LSM_IO));
    sim_set_fault(sim, NULL);
    cr_assert(eq(sz, unlinker_drain(unlinker, 2), 0));
    cr_assert(eq(int, unlinker_health(unlinker), LSM_OK));
}

Test(unlinker, tries_each_file_once_however_many_it_is_told)
{
    const struct sim_fault fault = {
        .ops = SIM_OP_UNLINK, .at = 1, .for_ever = true, .status = LSM_IO};

    unlinker_add(unlinker, FILENAME_TABLE, 1);
    unlinker_add(unlinker, FILENAME_TABLE, 2);
    sim_set_fault(sim, &fault);
    cr_assert(eq(sz, unlinker_drain(unlinker, SIZE_MAX), 2));
    cr_assert(eq(u64, sim_fault_hits(sim), 2));
}

Test(unlinker, takes_a_missing_file_for_removed)
{
    unlinker_add(unlinker, FILENAME_TABLE, 77);
    cr_assert(eq(sz, unlinker_drain(unlinker, 1), 0));
}

Test(unlinker_memory, forgets_a_name_without_memory_for_it)
{
    cr_assert(alloc_fault_install());
    setup();
    alloc_fault_at(1, false);
    unlinker_add(unlinker, FILENAME_TABLE, 1);
    alloc_fault_at(0, false);
    cr_assert(eq(sz, unlinker_drain(unlinker, 1), 0));
    cr_assert(exists(1)); // an orphan, until the next open
    teardown();
}
