// fault_loops.c -- campaign: every call of the env and every allocation fails once, and for ever.
//
// A round takes one scenario and one way to fail. Call number 1 fails in the first trial, number
// 2 in the second, and so on until a trial ends without meeting the fault. Checked after each:
//
// - the failure has the right status and words that tell of the failed call;
// - what was read, before and after, is right;
// - the database is usable again without reopening, or it is poisoned, for a reason that
//   poisons: then it refuses writes with the first cause, and reads go on;
// - nothing is left open or allocated after closing;
// - reopened, after a power cut at that moment and after closing, it holds a legal prefix of
//   the commits: all acknowledged ones, and none that was told to have failed.

#include <stdio.h>
#include <stdlib.h>

#include "faults/fault.h"
#include "faults/scenarios.h"
#include "faults/sites.h"
#include "support/alloc_fault.h"
#include "support/campaign.h"

// Under a sanitizer some calls are skipped, at random.
#ifdef __SANITIZE_ADDRESS__
#define STRIDE_MAX 6
#else
#define STRIDE_MAX 1
#endif

#define AT_MAX 100000

// In the order in which they are tried.
static const struct way {
    enum fault_error error;
    bool for_ever;
} ways[] = {
    {FAULT_EIO, false},        {FAULT_ALLOCATION, false}, {FAULT_ENOSPC, false},
    {FAULT_EIO, true},         {FAULT_ALLOCATION, true},  {FAULT_ENOSPC, true},
    {FAULT_TORN_EIO, false},   {FAULT_TORN_EIO, true},    {FAULT_EMFILE, false},
    {FAULT_EMFILE, true},      {FAULT_ENOMEM, false},     {FAULT_ENOMEM, true},
    {FAULT_EROFS, false},      {FAULT_EROFS, true},       {FAULT_TORN_ENOSPC, false},
    {FAULT_TORN_ENOSPC, true}, {FAULT_ENOENT, false},     {FAULT_ENOENT, true},
};

#define WAYS (sizeof ways / sizeof ways[0])

// What is deliberately never failed.
static const struct site_excuse excuses[] = {
    {"db/options_file.c", "dir_open", "lsm_options_load_from_db() has no env: test_kept_options"},
    {"db/retry.c", "env_random", "the manual scheduler never pauses after a conflict"},
    {"vlog/segment.c", "file_read", "a second failure, behind a write without space: test_log.c"},
    {"vlog/segment_scan.c", "file_size", "nobody cuts a segment meanwhile"},
    {NULL, NULL, NULL},
};

static uint64_t trial_count;

// --- one trial ---

struct trial {
    struct world w;
    const struct scenario *scenario;
    struct fault fault;
    struct fault_report report;
    lsm_status status; // of the act
    char words[FAILURE_MESSAGE_MAX];
    struct random *random;
};

// Whether the fault is one after which the fate of bytes is unknown.
static bool may_poison(const struct trial *t)
{
    const unsigned fatal =
        SIM_OP_SYNC | SIM_OP_DIR_SYNC | SIM_OP_CLOSE | SIM_OP_RENAME | SIM_OP_TRUNCATE;

    return (t->report.ops & fatal) != 0;
}

static bool is_poisoned(struct trial *t)
{
    return t->w.db != NULL && poison_is_set(&t->w.db->poison);
}

// Where a directory or its CURRENT seems not to be there, opening for reading and salvage find no
// database, as their headers say.
static bool finds_no_database(const struct trial *t)
{
    return t->status == LSM_NOT_FOUND && t->w.db == NULL &&
           (strstr(t->words, "there is no database in ") != NULL ||
            strstr(t->words, "there is no such directory") != NULL);
}

// A file that is not there is damage where something names it. It is never LSM_NOT_FOUND: that
// would say of a key that it is not there.
static bool is_expected_status(const struct trial *t)
{
    if (t->fault.error == FAULT_ENOENT && (t->status == LSM_CORRUPT || finds_no_database(t)))
        return true;
    return t->status == LSM_OK || t->status == fault_status(t->fault.error) ||
           t->status == LSM_OUTCOME_UNKNOWN || t->status == LSM_POISONED;
}

static void check_failure(struct trial *t)
{
    if (!is_expected_status(t))
        world_wrong(&t->w, "the call fails with %s: %s", lsm_status_name(t->status), t->words);
    if (t->status != LSM_OK && t->report.hits == 0)
        world_wrong(&t->w, "the call fails without a fault: %s", t->words);
    if (t->status != LSM_OK && t->words[0] == '\0')
        world_wrong(&t->w, "the call fails without words");
    if (t->status != LSM_OK && t->fault.error != FAULT_ALLOCATION &&
        t->fault.error != FAULT_ENOENT && strstr(t->words, "simulated") == NULL)
        world_wrong(&t->w, "the words do not tell of the failed call: %s", t->words);
    if (t->w.db != NULL && t->status == LSM_OUTCOME_UNKNOWN && !is_poisoned(t))
        world_wrong(&t->w, "an unknown outcome does not poison");
    if (is_poisoned(t) && !may_poison(t))
        world_wrong(&t->w, "a fault that is soft or of one call poisons");
}

static void check_reads(struct trial *t, const char *when)
{
    struct content expected;

    world_expect(&t->w, &expected);
    if (t->w.db != NULL && world_read(&t->w, &expected) != LSM_OK)
        world_wrong(&t->w, "reading %s: %s", when, lsm_errmsg());
}

// The power goes now.
static void check_power_cut(struct trial *t)
{
    static const enum sim_survival survivals[] = {SIM_NONE, SIM_ALL, SIM_RANDOM};
    struct world after;

    world_copy(&t->w, &after);
    sim_restart(after.sim, survivals[random_below(t->random, 3)], random_next(t->random));
    if (world_open(&after) != LSM_OK)
        world_wrong(&after, "opening: %s", lsm_errmsg());
    if (after.db != NULL) {
        world_check_reopened(&after);
        (void)world_close(&after);
    }
    if (world_is_wrong(&after))
        world_wrong(&t->w, "after a power cut: %s", after.problem);
    world_release(&after);
}

static void expect(struct trial *t, lsm_status wanted, lsm_status status, const char *call)
{
    if (status == wanted)
        return;
    world_wrong(&t->w, "%s afterwards gives %s instead of %s: %s", call, lsm_status_name(status),
                lsm_status_name(wanted), status == LSM_OK ? "" : lsm_errmsg());
}

static void check_poisoned(struct trial *t)
{
    static const struct step put = {.run = step_put, .key = 1, .count = 1, .size = 40};
    struct world *w = &t->w;
    lsm_keyspace *keyspace;
    lsm_health_info health;

    expect(t, LSM_POISONED, step_put(w, &put), "lsm_put()");
    if (strstr(lsm_errmsg(), "simulated") == NULL && t->fault.error != FAULT_ENOENT)
        world_wrong(w, "a refused write does not tell the first cause: %s", lsm_errmsg());
    expect(t, LSM_POISONED, lsm_flush(w->db), "lsm_flush()");
    expect(t, LSM_POISONED, lsm_sync(w->db), "lsm_sync()");
    expect(t, LSM_POISONED, lsm_keyspace_open(w->db, "new", true, NULL, &keyspace),
           "lsm_keyspace_open()");
    expect(t, LSM_OK, lsm_health(w->db, &health), "lsm_health()");
    if (health.state != LSM_SICK)
        world_wrong(w, "lsm_health() does not tell of the poison");
}

static void run_jobs(struct world *w)
{
    for (int i = 0; i < 100 && scheduler_run_one(w->db->scheduler); i++)
        ;
}

// What failed softly works again, without reopening, and nothing remains of it.
static void check_usable(struct trial *t)
{
    static const struct step puts[] = {
        {.run = step_put, .key = 1, .count = 2, .size = 40},
        {.run = step_put, .key = 3, .count = 1, .size = 1500},
        {.run = NULL},
    };
    struct world *w = &t->w;
    lsm_health_info health;

    sim_advance(w->sim, UINT64_C(7200) * 1000000000u); // what is in quarantine leaves it
    expect(t, LSM_OK, lsm_resume(w->db), "lsm_resume()");
    run_jobs(w);
    expect(t, LSM_OK, steps_run(w, puts), "lsm_put()");
    if (w->history.other == IS_EITHER) {
        const lsm_status status = lsm_keyspace_drop(w->db, "other");

        expect(t, LSM_OK, status == LSM_NOT_FOUND ? LSM_OK : status, "lsm_keyspace_drop()");
        w->history.other = IS_ABSENT;
    }
    expect(t, LSM_OK, lsm_flush(w->db), "lsm_flush()");
    world_all_durable(w);
    expect(t, LSM_OK, lsm_wait_idle(w->db), "lsm_wait_idle()");
    expect(t, LSM_OK, lsm_health(w->db, &health), "lsm_health()");
    if (health.state != LSM_HEALTHY)
        world_wrong(w, "lsm_health() is not healthy again: %s", health.reason);
    check_reads(t, "after recovering");
}

static void check_closed(struct trial *t, size_t live_before)
{
    if (fault_open_handles() != 0)
        world_wrong(&t->w, "%zu handles are open after closing", fault_open_handles());
    if (alloc_fault_live() != live_before)
        world_wrong(&t->w, "%zu blocks are allocated after closing, %zu before", alloc_fault_live(),
                    live_before);
}

static void check_reopened(struct trial *t)
{
    struct world *w = &t->w;

    expect(t, LSM_OK, world_open(w), "lsm_open()");
    if (w->db == NULL)
        return;
    world_check_reopened(w);
    if (world_is_wrong(w))
        return;
    expect(t, LSM_OK, step_verify(w, NULL), "lsm_verify()");
}

static void check_after(struct trial *t, size_t live_before)
{
    struct world *w = &t->w;
    const bool was_poisoned = is_poisoned(t);

    check_failure(t);
    expect(t, LSM_OK, steps_run(w, t->scenario->after), "what comes after");
    check_reads(t, "after the fault");
    if (!world_is_wrong(w))
        check_power_cut(t);
    if (was_poisoned)
        check_poisoned(t);
    else if (w->db != NULL && !world_is_wrong(w))
        check_usable(t);
    check_reads(t, "before closing");
    if (w->db != NULL)
        expect(t, was_poisoned ? LSM_POISONED : LSM_OK, world_close(w), "lsm_close()");
    check_closed(t, live_before);
    if (!world_is_wrong(w)) {
        check_reopened(t);
        if (w->db != NULL && !world_is_wrong(w))
            check_usable(t);
        if (w->db != NULL)
            expect(t, LSM_OK, world_close(w), "lsm_close()");
        check_closed(t, live_before);
    }
}

static void act(struct trial *t)
{
    fault_arm(t->w.sim, &t->fault);
    t->status = steps_run(&t->w, t->scenario->act);
    (void)snprintf(t->words, sizeof t->words, "%s", t->status == LSM_OK ? "" : lsm_errmsg());
    t->report = fault_disarm();
}

static void prepare(struct trial *t)
{
    if (!t->scenario->is_closed)
        expect(t, LSM_OK, world_open(&t->w), "lsm_open()");
    if (!world_is_wrong(&t->w))
        expect(t, LSM_OK, steps_run(&t->w, t->scenario->before), "a call");
}

// The fault hits its call, unless the calls are fewer: then false.
static bool run_trial(struct campaign *campaign, const struct scenario *scenario,
                      const struct world *image, const struct fault *fault, struct random *random)
{
    struct trial *t = calloc(1, sizeof *t);
    const size_t live_before = alloc_fault_live();
    bool is_hit;

    if (t == NULL)
        abort();
    t->scenario = scenario;
    t->fault = *fault;
    t->random = random;
    world_copy(image, &t->w);
    t->w.is_file_hidden = fault->error == FAULT_ENOENT;
    prepare(t);
    if (!world_is_wrong(&t->w)) {
        act(t);
        check_after(t, live_before);
    }
    is_hit = t->report.hits > 0;
    trial_count++;
    if (world_is_wrong(&t->w))
        campaign_violation(campaign, "%s, %s %s of call %llu: %s", scenario->name,
                           fault_name(fault->error), fault->for_ever ? "for ever" : "once",
                           (unsigned long long)fault->at, t->w.problem);
    if (campaign->is_replay)
        printf("%s %llu: %s, hits %llu, ops %x\n", scenario->name, (unsigned long long)fault->at,
               lsm_status_name(t->status), (unsigned long long)t->report.hits, t->report.ops);
    world_release(&t->w);
    free(t);
    return is_hit;
}

// --- one round ---

static bool make_image(const struct scenario *scenario, struct world *image)
{
    struct sim *sim;
    lsm_status status;

    if (sim_new(1, &sim) != LSM_OK)
        abort();
    world_init(image, sim);
    status = steps_run(image, scenario->image);
    if (status == LSM_OK && scenario->is_crashed)
        sim_crash_at(sim, 1);
    if (image->db != NULL && world_close(image) != LSM_OK && !scenario->is_crashed)
        status = LSM_IO;
    if (scenario->is_crashed)
        sim_restart(sim, SIM_ALL, 1);
    if (status != LSM_OK)
        world_wrong(image, "%s", lsm_errmsg());
    return !world_is_wrong(image);
}

static void run_round(struct campaign *campaign, struct random *random)
{
    const struct scenario *scenario = &scenarios[campaign->round % scenario_count];
    const struct way *way = &ways[campaign->round / scenario_count % WAYS];
    struct world *image = calloc(1, sizeof *image);
    struct fault fault = {.error = way->error, .for_ever = way->for_ever, .at = 1};

    if (image == NULL)
        abort();
    if (!make_image(scenario, image))
        campaign_violation(campaign, "%s: the image cannot be made: %s", scenario->name,
                           image->problem);
    else
        while (run_trial(campaign, scenario, image, &fault, random) && fault.at < AT_MAX)
            fault.at += 1 + random_below(random, STRIDE_MAX);
    world_release(image);
    free(image);
}

// --- the report ---

// Once every scenario has met every error, every call must have failed with each that it can
// give.
static void check_coverage(struct campaign *campaign)
{
    size_t empty;
    size_t missing;

    if (campaign->is_replay || STRIDE_MAX > 1 || campaign->round < WAYS * scenario_count)
        return;
    empty = fault_print_matrix();
    missing = sites_report(excuses);
    if (empty > 0)
        campaign_violation(campaign, "%zu cells of the matrix are empty", empty);
    if (missing > 0)
        campaign_violation(campaign, "%zu places were never failed", missing);
}

int main(int argc, char **argv)
{
    struct campaign campaign = campaign_begin("fault_loops", WAYS * scenario_count, argc, argv);
    struct random random;

    if (!fault_init())
        abort();
    while (campaign_next(&campaign, &random))
        run_round(&campaign, &random);
    check_coverage(&campaign);
    return campaign_end(&campaign, trial_count, "trials");
}
