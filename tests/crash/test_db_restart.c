// test_db_restart.c -- a database that is closed and opened again and again.
//
// Every opening begins a restart segment of the log; one that gets no frame leaves the
// chain at the next opening, also when a later segment is linked to it.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>

#include "db/options.h"
#include "support/sim.h"

#define DB_DIR    "/db"
#define HUGE_SIZE (9u << 20) // more than a segment of a small database holds

static struct sim *sim;
static struct lsm_options options;
static lsm_db *db;
static uint8_t *huge;

static void open_again(void)
{
    cr_assert(eq(int, lsm_close(db), LSM_OK), "%s", lsm_errmsg());
    db = NULL;
    cr_assert(eq(int, lsm_open(DB_DIR, &options, &db), LSM_OK), "%s", lsm_errmsg());
}

static void fixture_open(void)
{
    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    options_init(&options);
    options.env = sim_env(sim);
    options.is_manual = true;
    huge = malloc(HUGE_SIZE);
    memset(huge, 'h', HUGE_SIZE);
    open_again();
}

static void fixture_close(void)
{
    cr_assert(eq(int, lsm_close(db), LSM_OK), "%s", lsm_errmsg());
    sim_free(sim);
    free(huge);
}

TestSuite(db_restart, .init = fixture_open, .fini = fixture_close);

static void put(const char *key, lsm_slice value)
{
    cr_assert(eq(int, lsm_put(db, NULL, lsm_str(key), value, NULL), LSM_OK), "%s", lsm_errmsg());
}

static void assert_holds(const char *key, lsm_slice value)
{
    CLEANUP(lsm_buf_free) lsm_buf got = LSM_BUF_INIT;

    cr_assert(eq(int, lsm_get(db, NULL, lsm_str(key), &got), LSM_OK), "%s", lsm_errmsg());
    cr_assert(slice_equal(slice_of_buf(&got), value), "%s", key);
}

static void assert_holds_all(void)
{
    assert_holds("a", lsm_str("first"));
    assert_holds("huge", slice_make(huge, HUGE_SIZE));
    assert_holds("b", lsm_str("last"));
}

Test(db_restart, a_value_larger_than_the_first_segment_survives_reopening)
{
    put("a", lsm_str("first"));
    put("huge", slice_make(huge, HUGE_SIZE));
    put("b", lsm_str("last"));
    for (int i = 0; i < 4; i++) {
        open_again();
        assert_holds_all();
    }
}

Test(db_restart, a_value_larger_than_the_restart_segment_survives_reopening)
{
    put("a", lsm_str("first"));
    open_again();
    put("huge", slice_make(huge, HUGE_SIZE));
    put("b", lsm_str("last"));
    for (int i = 0; i < 4; i++) {
        open_again();
        assert_holds_all();
    }
}

Test(db_restart, openings_without_a_write_do_not_lengthen_the_log)
{
    lsm_segment_info *segments;
    size_t count;

    put("a", lsm_str("first"));
    for (int i = 0; i < 8; i++)
        open_again();
    cr_assert(eq(int, lsm_segments(db, &segments, &count), LSM_OK), "%s", lsm_errmsg());
    cr_assert(le(sz, count, 2));
    lsm_free(segments);
}
