// crash_schedules.c -- crashes while threads are in the middle of calls and jobs.
//
// A round opens a database on the simulated disk and runs committers, a thread that creates and
// drops a keyspace, one that flushes, one that compacts, syncs, rests and breaks the manifest, and
// the real workers, in an order that the seed decides (schedule/pct.h), then closes it while
// background work is left, and may do all that once more. Before every call that changes the disk,
// whichever thread makes it, the moment is kept: the disk, and which commits had been started,
// acknowledged or made durable then. Their order is that of their timestamps, known when all have
// ended; then every moment is judged as those of a single thread are (crash/crash_judge.h).
//
// Keeping a moment is no step of the schedule. One round in RERUN_SHARE is run twice and must
// leave the same images both times.

#include <inttypes.h>
#include <stdlib.h>

#include "crash/crash_judge.h"
#include "schedule/pct.h"

#define COMMITS_EACH   6
#define LIVES          4 // of the keyspace
#define UPKEEP_STEPS   6
#define WORKERS        2
#define REST_NS        UINT64_C(11000000000) // longer than idle_flush, sync_interval and retries
#define BROKEN_TRIES   4                     // of a step that fails for a broken manifest
#define EXPECTED_STEPS 5000

// One round in so many keeps every moment, the others those before a sync of the manifest, where
// what an edit says comes to be in force, and of the rest one moment in so many; of the ways to
// survive one in so many is tried besides none and all, and of the images one in so many has
// its recovery crashed: what finds most is many schedules.
#define WATCHFUL_SHARE 16
#define MOMENT_SHARE   48
#define SURVIVAL_SHARE 32
#define DEEP_SHARE     64
#define RERUN_SHARE    16

struct round {
    struct judge *judge;
    struct random random;
    struct random choice; // of moments
    uint64_t moment_share;
    struct workload workload;
    struct sim *sim;
    struct env_ops ops; // the sim's, with the clock of the schedule
    struct session session;
    struct history history; // numbered by starts until the end
    struct moments moments;
};

// A thread, with a session and random numbers of its own.
struct actor {
    struct round *round;
    struct session session;
    struct random random;
    struct thread thread;
};

static uint64_t steps_in_all;

static void expect_ok(struct round *r, lsm_status status, const char *what)
{
    if (status == LSM_OK)
        return;
    r->judge->has_failed = true;
    campaign_violation(r->judge->campaign, "%s: %s", what, lsm_errmsg());
}

// --- moments ---

static void keep_moment(void *ctx, struct sim *sim, const struct sim_call *call)
{
    struct round *r = ctx;
    const bool is_publishing = call->op == SIM_OP_SYNC && call->kind == FILENAME_MANIFEST;

    if (!call->changes_disk || !(is_publishing || random_one_in(&r->choice, r->moment_share)))
        return;
    pct_keep_turn(true);
    moments_add(&r->moments, sim, call->op, call->kind);
    pct_keep_turn(false);
}

static void put_moments_in_order(struct round *r)
{
    for (size_t i = 0; i < r->moments.count; i++) {
        if (history_put_in_order(&r->moments.items[i].history, &r->history))
            continue;
        r->judge->has_failed = true;
        campaign_violation(r->judge->campaign,
                           "a commit comes after one that was started when it had returned");
        return;
    }
}

// --- committers ---

static void on_ended(struct crash_commit *c, lsm_status status, uint64_t ts,
                     enum commit_state state)
{
    c->state = status == LSM_OK ? state : HAS_FAILED;
    c->ts = ts;
}

static void on_written(void *ctx, lsm_status status, uint64_t ts)
{
    on_ended(ctx, status, ts, IS_ACKNOWLEDGED);
}

static void on_durable(void *ctx, lsm_status status, uint64_t ts)
{
    on_ended(ctx, status, ts, IS_DURABLE);
}

static struct crash_commit random_commit(struct actor *a)
{
    static const uint32_t sizes[] = {SMALL, SMALL, SEPARATE, 3000, HUGE_VALUE};
    struct crash_commit c = {
        .count = 1 + (unsigned)random_below(&a->random, 3),
        .generation = a->round->history.generation,
    };
    const unsigned first = (unsigned)random_below(&a->random, CRASH_KEYS);

    for (unsigned i = 0; i < c.count; i++)
        c.writes[i] = (struct crash_write){
            .keyspace =
                a->session.other != NULL && random_one_in(&a->random, 2) ? IN_OTHER : IN_DEFAULT,
            .key = (uint8_t)((first + i) % CRASH_KEYS),
            .is_delete = random_one_in(&a->random, 5),
            .size = sizes[random_below(&a->random, c.count == 1 ? 5 : 3)],
        };
    return c;
}

static lsm_status commit(struct actor *a, struct crash_commit *c)
{
    const bool is_weak = random_one_in(&a->random, 2);
    const lsm_write_options options = {.sync = is_weak ? LSM_SYNC_WRITTEN : LSM_SYNC_FULL};
    const lsm_commit_fn on_end = is_weak ? on_written : on_durable;
    lsm_status status;
    lsm_txn *txn;

    TRY(session_prepare(&a->session, c, &txn));
    if (random_one_in(&a->random, 4)) {
        status = lsm_commit_async(txn, &options, on_end, c);
    } else {
        status = lsm_commit(txn, &options);
        on_end(c, status, lsm_txn_commit_ts(txn));
    }
    lsm_txn_free(txn);
    return status;
}

// The generation of the keyspace is looked up when it is open: were it another one, it would
// have been dropped, and the commit fail.
static void commit_one(struct actor *a)
{
    struct history *h = &a->round->history;
    struct crash_commit *c;
    struct crash_commit what;
    lsm_status status = lsm_keyspace_open(a->session.db, "other", false, NULL, &a->session.other);

    if (status != LSM_NOT_FOUND)
        expect_ok(a->round, status, "opening a keyspace");
    what = random_commit(a);
    c = history_start(h, &what);
    if (c != NULL) {
        status = commit(a, c);
        if (status != LSM_OK)
            c->state = HAS_FAILED;
        // Somebody else was faster, has dropped the keyspace, or has broken the manifest.
        if (status != LSM_CONFLICT && status != LSM_NO_SPACE &&
            (status != LSM_INVALID || a->session.other == NULL))
            expect_ok(a->round, status, "a commit");
    }
    lsm_keyspace_close(a->session.other);
    a->session.other = NULL;
}

static void run_committer(void *ctx)
{
    struct actor *a = ctx;

    for (unsigned i = 0; i < COMMITS_EACH; i++)
        commit_one(a);
}

// --- the others ---

static const struct step flush = {.kind = STEP_FLUSH};

// A manifest that was broken on purpose fails calls for want of space; they work when tried again.
static void take_step(struct actor *a, struct session *s, const struct step *step)
{
    lsm_status status = session_step(s, step);

    for (unsigned i = 0; i < BROKEN_TRIES && status == LSM_NO_SPACE; i++)
        status = session_step(s, step);
    expect_ok(a->round, status, "a step");
}

static void run_creator(void *ctx)
{
    static const struct step create = {.kind = STEP_CREATE};
    static const struct step drop = {.kind = STEP_DROP};
    struct actor *a = ctx;
    struct session *s = &a->round->session; // it is there that the keyspace is kept open

    for (unsigned i = 0; i < LIVES; i++) {
        take_step(a, s, &create);
        commit_one(a);
        commit_one(a);
        take_step(a, s, &drop);
    }
}

static void sync_all(struct actor *a)
{
    struct history *h = &a->round->history;
    const struct history before = *h;

    expect_ok(a->round, lsm_sync(a->session.db), "a sync");
    for (unsigned i = 1; i <= before.started; i++) {
        if (before.commits[i].state == IS_ACKNOWLEDGED)
            h->commits[i].state = IS_DURABLE;
    }
}

// Time goes on when nobody else has anything to do.
static void rest(void)
{
    struct mutex mu;
    struct cond cond;

    mutex_init(&mu, LOCK_LEAF);
    cond_init(&cond);
    mutex_lock(&mu);
    (void)cond_wait_until(&cond, &mu, pct_now_ns() + REST_NS);
    mutex_unlock(&mu);
    cond_release(&cond);
    mutex_release(&mu);
}

static void run_flusher(void *ctx)
{
    struct actor *a = ctx;

    for (unsigned i = 0; i < UPKEEP_STEPS; i++)
        take_step(a, &a->session, &flush);
}

static void run_upkeep(void *ctx)
{
    static const struct step compact = {.kind = STEP_COMPACT};
    struct actor *a = ctx;
    const struct step broken = {.kind = STEP_BREAK_MANIFEST,
                                .size = (uint32_t)random_below(&a->random, 200)};

    for (unsigned i = 0; i < UPKEEP_STEPS; i++) {
        switch (random_below(&a->random, 5)) {
        case 0:
            sync_all(a);
            break;
        case 1:
            take_step(a, &a->session, &compact);
            break;
        case 2:
            rest();
            break;
        case 3:
            take_step(a, &a->session, &broken);
            break;
        default:
            take_step(a, &a->session, &flush);
            break;
        }
    }
}

// --- a round ---

static uint64_t schedule_now_ns(struct env *env)
{
    (void)env;
    return pct_now_ns();
}

static void prepare(struct round *r)
{
    if (sim_new(random_next(&r->random), &r->sim) != LSM_OK)
        abort();
    r->workload = (struct workload){
        .name = "schedule",
        .versions_to_keep = random_one_in(&r->random, 2) ? 1 : 4,
        .memtable_size = random_one_in(&r->random, 2) ? 8 << 10 : 0,
    };
    session_init(&r->session, &r->workload, r->sim, &r->history);
    r->ops = *r->session.options.env->ops;
    r->ops.clock_mono_ns = schedule_now_ns;
    r->session.options.env->ops = &r->ops;
    r->session.options.is_manual = false;
    r->session.options.workers = WORKERS;
    r->choice.state = random_next(&r->random);
    r->moment_share = random_one_in(&r->random, WATCHFUL_SHARE) ? 1 : MOMENT_SHARE;
    sim_set_call_hook(r->sim, keep_moment, r);
}

static void run_threads(struct round *r)
{
    static void (*const runs[])(void *ctx) = {run_committer, run_committer, run_committer,
                                              run_creator,   run_flusher,   run_upkeep};
    struct actor actors[sizeof runs / sizeof runs[0]];
    const size_t count = sizeof runs / sizeof runs[0];

    for (size_t i = 0; i < count; i++) {
        struct actor *a = &actors[i];

        *a = (struct actor){
            .round = r, .session = r->session, .random = {.state = random_next(&r->random)}};
        a->session.other = NULL;
        if (thread_start(&a->thread, "actor", runs[i], a) != LSM_OK)
            abort();
    }
    for (size_t i = 0; i < count; i++)
        thread_join(&actors[i].thread);
}

// The database is closed: every commit has ended, and what was acknowledged is durable.
static void end_commits(struct round *r)
{
    for (unsigned i = 1; i <= r->history.started; i++) {
        struct crash_commit *c = &r->history.commits[i];

        if (c->state == IS_STARTED)
            expect_ok(r, lsm_fail(LSM_BUSY, "commit %u", c->tag), "a commit has not ended");
        if (c->state == IS_ACKNOWLEDGED)
            c->state = IS_DURABLE;
    }
}

static void run_process(struct round *r)
{
    lsm_status status = session_open(&r->session);

    expect_ok(r, status, "the database does not open");
    if (status != LSM_OK)
        return;
    run_threads(r);
    sim_set_fault(r->sim, NULL);
    expect_ok(r, session_close(&r->session), "close");
    end_commits(r);
}

static void run_schedule(struct round *r)
{
    const struct pct_options options = {
        .seed = random_next(&r->random),
        .changes = (unsigned)random_below(&r->random, 5),
        .steps = EXPECTED_STEPS,
        .wander = random_one_in(&r->random, 8) ? 0 : 2 << random_below(&r->random, 7),
        .early_deadline = random_one_in(&r->random, 2) ? 500 : 0,
    };

    pct_begin(&options);
    run_process(r);
    if (random_one_in(&r->random, 3))
        run_process(r);
    steps_in_all += pct_end();
    moments_add(&r->moments, r->sim, SIM_OP_CLOSE, SIM_DIRECTORY);
    if (r->judge->campaign->is_replay)
        history_print(&r->history);
    put_moments_in_order(r);
}

// Returns a hash of the images.
static uint64_t run_round(struct judge *judge, struct random random)
{
    struct round *r = calloc(1, sizeof *r);

    if (r == NULL)
        abort();
    r->judge = judge;
    r->random = random;
    r->moments.history = &r->history;
    judge_begin_round(judge, &r->workload, random_next(&r->random));
    prepare(r);
    run_schedule(r);
    if (!judge->has_failed)
        judge_moments(judge, &r->moments);
    judge_end_round(judge);
    moments_release(&r->moments);
    sim_free(r->sim);
    free(r);
    return judge->hash;
}

int main(int argc, char **argv)
{
    struct campaign campaign;
    struct judge judge = {
        .campaign = &campaign, .deep_share = DEEP_SHARE, .survival_share = SURVIVAL_SHARE};
    struct random random;
    uint64_t hash = 0; // the sum, so that those of single rounds can be compared with it

    pct_fix_addresses(argv);
    campaign = campaign_begin("crash_schedules", 10, argc, argv);
    while (campaign_next(&campaign, &random)) {
        const uint64_t first = run_round(&judge, random);

        hash += first;
        if (campaign.round % RERUN_SHARE == 0 && run_round(&judge, random) != first)
            campaign_violation(&campaign, "the same seed leaves other images");
    }
    judge_print(&judge);
    printf("crash_schedules: %" PRIu64 " steps in %" PRIu64 " rounds, images %016" PRIx64 "\n",
           steps_in_all, campaign.round, hash);
    return campaign_end(&campaign, judge.distinct, "distinct crash images");
}
