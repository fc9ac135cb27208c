// test_db_crash.c -- the whole database under a power cut at every call.
//
// A script runs over the sim. For every call the power goes before it; for every way the
// unsynced bytes may survive, the database opens by itself and holds a prefix of the
// commits that reaches at least as far as what was acknowledged as durable. It is then
// written to, cut again, and cut within its recovery.

#include "db_script.h"

static const struct survival {
    enum sim_survival kind;
    uint64_t seed;
} survivals[] = {
    {SIM_NONE, 0},
    {SIM_ALL, 0},
    {SIM_PREFIX, 1},
    {SIM_RANDOM, 1},
};

#define SURVIVALS (sizeof survivals / sizeof survivals[0])

// One crash: the disk as it was then, and what the application knew.
struct crash {
    struct sim *sim;
    struct history history;
};

static struct sim *survivor_of(const struct crash *crash, struct survival survival)
{
    struct sim *sim;

    cr_assert(eq(int, sim_clone(crash->sim, &sim), LSM_OK));
    sim_restart(sim, survival.kind, survival.seed);
    return sim;
}

// A process after the crash: checks, writes more, and ends without closing.
static void check_life_after(struct sim *sim, struct history *history)
{
    static const struct step steps[] = {
        {PUT(0, SMALL)}, {PUT(1, SEPARATE), .is_weak = true},      {.kind = STEP_FLUSH},
        {DELETE(0)},     {BATCH(2, 3, SEPARATE), .is_weak = true},
    };
    struct script s = {.history = history};

    script_options(&s.options, sim);
    script_open_checked(&s);
    cr_assert(eq(int, script_run(&s, steps, sizeof steps / sizeof steps[0]), LSM_OK), "%s",
              lsm_errmsg());
    sim_crash_at(sim, 1);
    (void)script_close(&s); // fails, since the power has gone
}

// Recovers twice, with a life in between that ends in another crash.
static void check_survivor(const struct crash *crash, struct survival survival)
{
    struct sim *sim = survivor_of(crash, survival);
    struct history *h = malloc(sizeof *h);

    *h = crash->history;
    check_life_after(sim, h);
    sim_restart(sim, survival.kind, survival.seed + 100);
    check_life_after(sim, h);
    sim_free(sim);
    free(h);
}

// The power goes again before call `call` of the opening. False when that needs fewer.
static bool crash_in_recovery(const struct crash *crash, struct survival survival, uint64_t call)
{
    struct sim *sim = survivor_of(crash, survival);
    struct history *h = malloc(sizeof *h);
    struct script s = {.history = h};
    lsm_status status;
    bool has_crashed;

    *h = crash->history;
    script_options(&s.options, sim);
    sim_crash_at(sim, call);
    status = lsm_open(DB_DIR, &s.options, &s.db);
    has_crashed = sim_has_crashed(sim);
    cr_assert(ne(int, status, LSM_CORRUPT), "%s", lsm_errmsg());
    if (!has_crashed)
        cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
    (void)lsm_close(s.db); // of what has crashed
    if (has_crashed) {
        sim_restart(sim, survival.kind, survival.seed + call);
        check_life_after(sim, h);
    }
    sim_free(sim);
    free(h);
    return has_crashed;
}

// Runs the script with the power going before call `call`. False when it needs fewer.
static bool run_until(struct crash *crash, const struct step *steps, size_t count, uint64_t call)
{
    struct script s = {.history = &crash->history};
    lsm_status status;
    bool has_crashed;

    crash->history = (struct history){.other = IS_ABSENT};
    cr_assert(eq(int, sim_new(7, &crash->sim), LSM_OK));
    script_options(&s.options, crash->sim);
    sim_crash_at(crash->sim, call);
    status = script_open(&s);
    if (status == LSM_OK)
        status = script_run(&s, steps, count);
    has_crashed = sim_has_crashed(crash->sim);
    if (!has_crashed) {
        cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
        status = script_close(&s);
        has_crashed = sim_has_crashed(crash->sim);
        cr_assert(has_crashed || status == LSM_OK, "%s", lsm_errmsg());
    } else {
        (void)script_close(&s);
    }
    return has_crashed;
}

// Crashes at every call, from the first of creating the database to the last of closing
// it. Of the ways to survive, and of the calls of the recovery, each crash tries one.
static void crash_everywhere(const struct step *steps, size_t count)
{
    struct random random = random_for_test("db_crash");
    struct crash *crash = malloc(sizeof *crash);
    bool has_crashed = true;
    uint64_t call;

    for (call = 1; has_crashed; call++) {
        struct survival survival = survivals[random_below(&random, SURVIVALS)];

        has_crashed = run_until(crash, steps, count, call);
        check_survivor(crash, survival);
        (void)crash_in_recovery(crash, survival, 1 + random_below(&random, 32));
        sim_free(crash->sim);
    }
    cr_assert(call > count, "the script makes calls that a crash can hit");
    free(crash);
}

#define CRASH_EVERYWHERE(steps) crash_everywhere(steps, sizeof(steps) / sizeof(steps)[0])

Test(db_crash, a_database_is_made_whole_or_not_at_all)
{
    static const struct step steps[] = {{PUT(0, SMALL)}};

    CRASH_EVERYWHERE(steps);
}

Test(db_crash, small_and_separated_values_survive_with_flushes_between)
{
    static const struct step steps[] = {
        {PUT(0, SMALL)}, {PUT(1, SEPARATE)},   {.kind = STEP_FLUSH}, {BATCH(0, 4, SEPARATE)},
        {DELETE(1)},     {.kind = STEP_FLUSH}, {PUT(2, SMALL)},
    };

    CRASH_EVERYWHERE(steps);
}

Test(db_crash, a_value_larger_than_a_segment_survives)
{
    static const struct step steps[] = {
        {PUT(0, SMALL)}, {PUT(1, HUGE_VALUE)}, {.kind = STEP_JOBS, .count = 3},
        {PUT(2, SMALL)}, {.kind = STEP_FLUSH}, {PUT(0, SEPARATE)},
    };

    CRASH_EVERYWHERE(steps);
}

Test(db_crash, weak_commits_leave_a_prefix)
{
    static const struct step steps[] = {
        {PUT(0, SMALL), .is_weak = true},
        {BATCH(1, 3, SEPARATE), .is_weak = true},
        {.kind = STEP_SYNC},
        {DELETE(2), .is_weak = true},
        {PUT(3, SEPARATE), .is_weak = true},
        {PUT(4, SMALL)},
        {PUT(0, SEPARATE), .is_weak = true},
    };

    CRASH_EVERYWHERE(steps);
}

Test(db_crash, compactions_lose_nothing)
{
    static const struct step steps[] = {
        {BATCH(0, 6, SMALL)}, {.kind = STEP_FLUSH},   {BATCH(3, 6, SEPARATE)},
        {DELETE(0)},          {.kind = STEP_COMPACT}, {PUT(3, SMALL)},
        {DELETE(4)},          {.kind = STEP_COMPACT}, {.kind = STEP_JOBS, .count = 8},
    };

    CRASH_EVERYWHERE(steps);
}

Test(db_crash, keyspaces_are_made_and_dropped_whole)
{
    static const struct step steps[] = {
        {.kind = STEP_CREATE},
        {PUT(0, SMALL), .keyspace = IN_OTHER},
        {PUT(1, SEPARATE), .keyspace = IN_OTHER, .is_weak = true},
        {PUT(0, SMALL), .is_weak = true},
        {.kind = STEP_FLUSH},
        {PUT(2, SMALL), .keyspace = IN_OTHER, .is_weak = true},
        {.kind = STEP_DROP},
        {.kind = STEP_CREATE},
        {PUT(3, SMALL), .keyspace = IN_OTHER},
        {.kind = STEP_COMPACT},
    };

    CRASH_EVERYWHERE(steps);
}

Test(db_crash, closing_and_reopening_lose_nothing)
{
    static const struct step steps[] = {
        {PUT(0, SMALL)},       {.kind = STEP_REOPEN}, {PUT(1, SEPARATE), .is_weak = true},
        {.kind = STEP_REOPEN}, {.kind = STEP_REOPEN}, {DELETE(0)},
        {.kind = STEP_FLUSH},  {.kind = STEP_REOPEN}, {PUT(2, SMALL)},
    };

    CRASH_EVERYWHERE(steps);
}
