// test_sessions.c -- many short lives: open, put, close, thousands of times.
//
// No job in the background ever runs here but those that somebody waits for: the lives are too
// short. What they leave is bounded all the same, by count as well as by bytes.

#include "db/upkeep.h"
#include "support/db_fixture.h"

#define SESSIONS 3000

static struct db_fixture f;

static struct {
    size_t files, segments; // in the directory, at most
    uint64_t calls;         // of one open, at most: opens, reads, stats
    uint64_t calls_now;     // of the one at hand
    size_t files_now, segments_now;
} seen;

static void count_call(void *ctx, struct sim *sim, const struct sim_call *call)
{
    (void)ctx;
    (void)sim;
    seen.calls_now += (call->op & (SIM_OP_OPEN | SIM_OP_READ | SIM_OP_STAT)) != 0;
}

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    memset(&seen, 0, sizeof seen);
}

static void teardown(void)
{
    sim_free(f.sim);
}

TestSuite(sessions, .init = setup, .fini = teardown, .timeout = 600);

static lsm_status count_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    uint64_t number;

    (void)ctx;
    (void)size;
    (void)is_regular;
    seen.files_now++;
    seen.segments_now += filename_parse(name, &number) == FILENAME_SEGMENT;
    return LSM_OK;
}

static void count_files(void)
{
    struct dir *dir;

    seen.files_now = 0;
    seen.segments_now = 0;
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(dir_list(dir, count_file, NULL));
    dir_close(dir);
    if (seen.files_now > seen.files)
        seen.files = seen.files_now;
    if (seen.segments_now > seen.segments)
        seen.segments = seen.segments_now;
}

static void open_counting(void)
{
    seen.calls_now = 0;
    sim_set_call_hook(f.sim, count_call, NULL);
    db_fixture_open(&f);
    sim_set_call_hook(f.sim, NULL, NULL);
    if (seen.calls_now > seen.calls)
        seen.calls = seen.calls_now;
}

static void put_number(int number, size_t size)
{
    char key[16], value[2048];

    (void)snprintf(key, sizeof key, "%06d", number);
    memset(value, 'a' + number % 26, sizeof value);
    assert_ok(lsm_put(f.db, NULL, lsm_str(key), slice_make(value, size), NULL));
}

static void assert_numbers(int count, int step, size_t size)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    for (int i = 0; i < count; i += step) {
        char key[16];

        (void)snprintf(key, sizeof key, "%06d", i);
        assert_ok(lsm_get(f.db, NULL, lsm_str(key), &value));
        cr_assert(eq(sz, value.size, size));
    }
}

static void kill_it(void)
{
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db);
    f.db = NULL;
    sim_restart(f.sim, SIM_NONE, 0);
}

// `sessions` lives, of which every `put_step`th one puts and every `kill_step`th one is killed.
static void live(int sessions, int put_step, int kill_step)
{
    for (int i = 0; i < sessions; i++) {
        open_counting();
        count_files(); // what was left by a process that was killed has been removed
        if (i % put_step == 0)
            put_number(i, 20);
        else
            assert_holds(&f, NULL, "absent", NULL);
        if (i % kill_step == kill_step - 1)
            kill_it();
        else
            db_fixture_close(&f);
    }
    db_fixture_open(&f);
    assert_numbers(sessions, put_step, 20);
    assert_ok(lsm_verify(f.db, NULL, NULL));
    db_fixture_close(&f);
}

// The log, what is being made, level 0 until writers stop for it, and the rest by name.
static void assert_few_files(void)
{
    cr_assert(le(sz, seen.segments, LOG_SEGMENTS_MAX + 2));
    cr_assert(le(sz, seen.files, LOG_SEGMENTS_MAX + f.options.level0_stop + 16));
    cr_assert(le(u64, seen.calls, 12 * (LOG_SEGMENTS_MAX + f.options.level0_stop)));
}

Test(sessions, that_close_leave_few_files)
{
    live(SESSIONS, 1, SESSIONS + 1);
    assert_few_files();
}

Test(sessions, that_are_killed_leave_few_files)
{
    live(SESSIONS / 4, 1, 1);
    assert_few_files();
}

Test(sessions, that_end_in_either_way_leave_few_files)
{
    live(SESSIONS / 2, 1, 3);
    assert_few_files();
}

Test(sessions, that_mostly_read_leave_few_files)
{
    live(SESSIONS, 10, 7);
    assert_few_files();
}

// A large value keeps its segment for as long as it is the newest of its key; only collecting
// brings several of them together. The log itself is as short as ever.
Test(sessions, with_large_values_leave_a_short_log)
{
    for (int i = 0; i < SESSIONS / 10; i++) {
        db_fixture_open(&f);
        put_number(i, 2000);
        cr_assert(le(sz, log_segment_count(f.db->log), LOG_SEGMENTS_MAX + 1));
        db_fixture_close(&f);
    }
    db_fixture_open(&f);
    assert_numbers(SESSIONS / 10, 1, 2000);
    db_fixture_close(&f);
}

// As on a full disk: opening does not need the flush, and the next one makes up for it.
Test(sessions, whose_flush_fails_open_all_the_same)
{
    const struct sim_fault fault = {.ops = SIM_OP_OPEN,
                                    .kinds = SIM_KIND(FILENAME_TABLE),
                                    .at = 1,
                                    .for_ever = true,
                                    .status = LSM_NO_SPACE};
    const int count = LOG_SEGMENTS_MAX + 20;

    for (int i = 0; i < count; i++) {
        sim_set_fault(f.sim, &fault);
        db_fixture_open(&f);
        put_number(i, 20);
        db_fixture_close(&f);
    }
    sim_set_fault(f.sim, NULL);
    db_fixture_open(&f);
    assert_numbers(count, 1, 20);
    cr_assert(lt(sz, log_segment_count(f.db->log), 4));
    db_fixture_close(&f);
}

// Many failed writes in one life do the same as many lives: each abandons its segment.
Test(sessions, of_many_failed_writes_have_their_log_flushed)
{
    const struct sim_fault fault = {
        .ops = SIM_OP_WRITE, .kinds = SIM_KIND(FILENAME_SEGMENT), .at = 1, .status = LSM_IO};
    int failed = 0;

    db_fixture_open(&f);
    for (int i = 0; i < 4 * LOG_SEGMENTS_MAX; i++) {
        put_number(2 * i, 20);
        sim_set_fault(f.sim, &fault);
        failed += lsm_put(f.db, NULL, lsm_str("lost"), lsm_str("value"), NULL) != LSM_OK;
        sim_set_fault(f.sim, NULL);
    }
    cr_assert(eq(int, failed, 4 * LOG_SEGMENTS_MAX));
    assert_ok(lsm_wait_idle(f.db));
    cr_assert(le(sz, log_segment_count(f.db->log), LOG_SEGMENTS_MAX + 3));
    assert_numbers(8 * LOG_SEGMENTS_MAX, 2, 20);
    db_fixture_close(&f);
}
