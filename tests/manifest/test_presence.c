// test_presence.c -- what is said of files that are not as the manifest says; whole databases
// are tried by tests/damage.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <string.h>

#include "manifest/presence.h"
#include "support/sim.h"

#define SEGMENTS 200

static struct sim *sim;
static struct dir *dir;
static struct segment_use uses[SEGMENTS];
static struct version version;
static struct manifest_state state;

static void setup(void)
{
    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, dir_open(sim_env(sim), "/db", true, &dir), LSM_OK));
    for (uint32_t i = 0; i < SEGMENTS; i++)
        uses[i] = (struct segment_use){.id = i + 1, .final_size = 200};
    version = (struct version){.segments = uses, .segment_count = SEGMENTS};
}

static void teardown(void)
{
    dir_close(dir);
    sim_free(sim);
}

TestSuite(presence, .init = setup, .fini = teardown);

static void make(uint32_t id, uint64_t size)
{
    struct file *file;

    cr_assert(eq(int, file_open(dir, filename_of(FILENAME_SEGMENT, id).text, FILE_CREATE, &file),
                 LSM_OK));
    cr_assert(eq(int, file_truncate(file, size), LSM_OK));
    cr_assert(eq(int, file_close(file), LSM_OK));
}

static void make_from(uint32_t first, uint64_t size)
{
    for (uint32_t id = first; id <= SEGMENTS; id++)
        make(id, size);
}

static void assert_told(const char *words)
{
    cr_assert(eq(int, presence_check(dir, &state, &version), LSM_CORRUPT));
    cr_assert(eq(str, (char *)lsm_errmsg(), (char *)words));
}

Test(presence, what_is_there_is_enough_and_may_be_longer)
{
    make_from(1, 200);
    uses[3].final_size = 199;
    cr_assert(eq(int, presence_check(dir, &state, &version), LSM_OK), "%s", lsm_errmsg());
}

Test(presence, all_that_the_words_hold_are_named)
{
    make(1, 150);
    make_from(4, 200);
    assert_told("000001.vlog: has 150 bytes, the manifest says 200; 000002.vlog: is missing; "
                "000003.vlog: is missing");
}

Test(presence, how_many_more_there_are_is_told)
{
    const char *behind;
    unsigned more = 0;
    size_t named = 1;

    cr_assert(eq(int, presence_check(dir, &state, &version), LSM_CORRUPT));
    for (const char *at = lsm_errmsg(); (at = strstr(at, "; 000")) != NULL; at++)
        named++;
    behind = strstr(lsm_errmsg(), "; and ");
    cr_assert(behind != NULL, "%s", lsm_errmsg());
    cr_assert(eq(int, sscanf(behind, "; and %u more", &more), 1));
    cr_assert(eq(sz, named + more, SEGMENTS));
}

// One that is still log must be as long as the manifest knows it to be durable.
Test(presence, a_segment_of_the_log_reaches_to_the_mark)
{
    struct log_link chain[] = {{.id = 1, .final_size = 180}, {.id = 2}};

    make(1, 180);
    make(2, 160);
    version.segment_count = 2;
    uses[0].final_size = uses[1].final_size = 0;
    state = (struct manifest_state){.chain = chain,
                                    .chain_count = 2,
                                    .replay = {.segment = 1, .offset = 140},
                                    .mark = {.segment = 2, .offset = 160}};
    cr_assert(eq(int, presence_check(dir, &state, &version), LSM_OK), "%s", lsm_errmsg());
    state.mark.offset = 161;
    assert_told("000002.vlog: has 160 bytes, the manifest says 161");
    state.mark.offset = 160;
    chain[0].final_size = 181;
    assert_told("000001.vlog: has 180 bytes, the manifest says 181");
    chain[0].final_size = 0;
    state.replay.offset = 200;
    assert_told("000001.vlog: has 180 bytes, the manifest says 200");
}

Test(presence, a_failure_to_look_is_no_verdict)
{
    const struct sim_fault fault = {.ops = SIM_OP_STAT, .at = 2, .status = LSM_IO};

    sim_set_fault(sim, &fault);
    cr_assert(eq(int, presence_check(dir, &state, &version), LSM_IO));
    sim_set_fault(sim, NULL);
}
