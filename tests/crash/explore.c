// explore.c -- crashes a database at every call of the env, and again in its recovery.
//
// A round is one workload, run once under the manual scheduler. Before every call that can
// change the disk the moment is kept: the disk, with all that is not durable, and what the
// application knew. For every moment, and every way in which the unsynced operations may
// survive, the database must open by itself and hold a prefix of the commits that reaches at
// least as far as what was acknowledged as durable, or acknowledged at all when everything
// that was written survives. It is then written to, closed or crashed, and compared again. For
// a share of the images the moments of the recovery itself are kept and treated the same, and
// for a share of those again: up to three crashes in a row after the first.
//
// The first rounds are the scripts, the others seeded. Equal images with equal knowledge are
// checked once.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crash_compare.h"
#include "crash_images.h"
#include "crash_workload.h"
#include "support/campaign.h"
#include "support/publish_check.h"

#define DEPTH_MAX 3

// Of so many images one has its recovery crashed: by how often it was crashed before.
static const uint64_t recovery_share[DEPTH_MAX] = {100, 200, 200};
// Of so many images one is recovered under the eyes of the publish check.
#define PUBLISH_SHARE 16
// Of so many images one has every table and segment verified, and is looked over for orphans.
#define VERIFY_SHARE 4

// Where a crash was, for the words.
struct place {
    uint64_t call;
    enum sim_op op;
    unsigned kind;
    struct survival survival;
};

struct explorer {
    struct campaign campaign;
    struct random random;
    const struct workload *workload;
    struct hash_set seen;
    struct place path[DEPTH_MAX + 1]; // of the image at hand
    struct publish_check publish;     // of the process at hand
    bool has_failed;                  // in this round

    uint64_t images;
    uint64_t distinct;
    uint64_t by_depth[DEPTH_MAX + 1]; // of the distinct ones
    uint64_t by_call[SIM_OPS][SIM_KINDS];
    uint64_t by_survival[SIM_BYTES + 1];
    uint64_t edits; // that the publish check has looked at
    uint64_t unlinks;
};

// --- what went wrong ---

static void fail(struct explorer *e, unsigned depth, const char *what)
{
    char where[400] = "";
    size_t at = 0;

    e->has_failed = true;
    for (unsigned i = 0; i <= depth; i++) {
        const struct place *p = &e->path[i];

        at += (size_t)snprintf(where + at, sizeof where - at,
                               "%s before call %" PRIu64 " (%s of %s), surviving: %s %" PRIu64,
                               i == 0 ? "crash" : "; in recovery", p->call, sim_op_name(p->op),
                               sim_kind_name(p->kind), survival_name(p->survival.kind),
                               p->survival.number);
    }
    campaign_violation(&e->campaign, "%s: %s: %s: %s", e->workload->name, where, what,
                       lsm_errmsg());
}

static lsm_status stop_publish_check(struct explorer *e, struct sim *sim)
{
    const struct publish_check check = e->publish;

    publish_check_stop(sim);
    e->publish = (struct publish_check){.edits = 0};
    e->edits += check.edits;
    e->unlinks += check.unlinks;
    return check.violations == 0 ? LSM_OK : lsm_fail(LSM_CORRUPT, "%s", check.what);
}

// --- a life after the crash ---

static lsm_status check_sound(struct explorer *e, struct session *s)
{
    TRY(session_compare(s));
    if (!random_one_in(&e->random, VERIFY_SHARE))
        return LSM_OK;
    TRY(publish_find_orphan(s->sim, CRASH_DIR));
    return lsm_verify(s->db, NULL, NULL);
}

static lsm_status write_more(struct explorer *e, struct session *s)
{
    static const struct step steps[] = {
        {.kind = STEP_PUT, .key = 0, .count = 1, .size = SMALL},
        {.kind = STEP_BATCH, .key = 1, .count = 3, .size = SEPARATE, .is_weak = true},
        {.kind = STEP_DELETE, .key = 5, .count = 1},
    };
    static const struct step upkeep[] = {
        {.kind = STEP_FLUSH}, {.kind = STEP_COMPACT}, {.kind = STEP_SYNC}, {.kind = STEP_IDLE}};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        TRY(session_step(s, &steps[i]));
    return session_step(s, &upkeep[random_below(&e->random, 4)]);
}

// Ends the process, in the regular way or by a crash.
static lsm_status end(struct explorer *e, struct session *s)
{
    if (random_one_in(&e->random, 2))
        return session_close(s);
    sim_crash_at(s->sim, 1);
    (void)session_close(s); // fails, since the power has gone
    sim_restart(s->sim, SIM_NONE, 0);
    publish_check_restart(&e->publish);
    return LSM_OK;
}

static lsm_status live_on(struct explorer *e, struct session *s)
{
    TRY(write_more(e, s));
    TRY(end(e, s));
    TRY(session_open(s));
    TRY(session_compare(s));
    return session_close(s);
}

// --- images ---

static void explore_moments(struct explorer *e, const struct moments *moments, unsigned depth);

// The database opens by itself, holds what it should, and is usable. The calls of opening it
// go to `recovery`, unless that is NULL.
static void check_recovery(struct explorer *e, struct sim *sim, struct history *history,
                           struct moments *recovery, unsigned depth)
{
    struct session s;
    lsm_status status;

    session_init(&s, e->workload, sim, history);
    if (recovery != NULL)
        moments_watch(recovery, sim, history);
    if (random_one_in(&e->random, PUBLISH_SHARE))
        publish_check_start(&e->publish, sim);
    status = session_open(&s);
    moments_unwatch(sim);
    if (status != LSM_OK)
        fail(e, depth, "does not open");
    if (status == LSM_OK && (status = check_sound(e, &s)) != LSM_OK)
        fail(e, depth, "is not what it should be");
    if (status == LSM_OK && (status = live_on(e, &s)) != LSM_OK)
        fail(e, depth, "cannot go on");
    (void)session_close(&s);
    if (stop_publish_check(e, sim) != LSM_OK && status == LSM_OK)
        fail(e, depth, "publishes in the wrong order");
}

static uint64_t hash_of(const struct sim *sim, const struct history *h)
{
    struct random mixed = {.state = sim_hash(sim)};

    mixed.state = random_next(&mixed) ^ ((uint64_t)h->started << 32) ^
                  ((uint64_t)h->durable << 16) ^ ((uint64_t)h->generation << 4) ^
                  (uint64_t)h->other;
    return random_next(&mixed);
}

static void explore_image(struct explorer *e, const struct moment *moment, struct survival survival,
                          unsigned depth)
{
    struct moments recovery = {0};
    struct history history;
    struct sim *sim;

    if (sim_clone(moment->disk, &sim) != LSM_OK)
        abort();
    sim_restart(sim, survival.kind, survival.number);
    e->path[depth] = (struct place){moment->call, moment->op, moment->kind, survival};
    e->images++;
    e->by_call[__builtin_ctz((unsigned)moment->op)][moment->kind]++;
    e->by_survival[survival.kind]++;
    history = moment->history;
    if (depth == 0 && survival.kind == SIM_ALL) // as when only the process is killed
        history.durable = history.acknowledged;
    if (hash_set_add(&e->seen, hash_of(sim, &history))) {
        const bool has_recovery =
            depth < DEPTH_MAX && random_one_in(&e->random, recovery_share[depth]);

        e->distinct++;
        e->by_depth[depth]++;
        check_recovery(e, sim, &history, has_recovery ? &recovery : NULL, depth);
        if (!e->has_failed)
            explore_moments(e, &recovery, depth + 1);
        moments_release(&recovery);
    }
    sim_free(sim);
}

// All ways to survive a crash of a workload; of a crash in recovery a few.
static void explore_moments(struct explorer *e, const struct moments *moments, unsigned depth)
{
    for (size_t i = 0; i < moments->count && !e->has_failed; i++) {
        struct survival survivals[SURVIVALS_MAX];
        const size_t count = moment_survivals(&moments->items[i], &e->random, survivals);

        for (size_t j = 0; j < count && !e->has_failed; j++) {
            if (depth == 0 || j < 2 || random_one_in(&e->random, 4))
                explore_image(e, &moments->items[i], survivals[j], depth);
        }
    }
}

// --- workloads ---

static lsm_status run(struct session *s)
{
    lsm_status status;

    TRY(session_open(s));
    for (size_t i = 0; i < s->workload->count; i++)
        TRY(session_step(s, &s->workload->steps[i]));
    status = session_close(s);
    return status == LSM_NO_SPACE && sim_fault_hits(s->sim) > 0 ? LSM_OK : status; // asked for
}

// Runs the workload without a crash, and keeps every moment.
static void run_watched(struct explorer *e, struct moments *moments)
{
    struct history *history = calloc(1, sizeof *history);
    struct session s;
    struct sim *sim;

    if (history == NULL || sim_new(random_next(&e->random), &sim) != LSM_OK)
        abort();
    session_init(&s, e->workload, sim, history);
    moments_watch(moments, sim, history);
    publish_check_start(&e->publish, sim);
    if (run(&s) != LSM_OK || stop_publish_check(e, sim) != LSM_OK) {
        e->has_failed = true;
        campaign_violation(&e->campaign, "%s: without a crash: %s", e->workload->name,
                           lsm_errmsg());
    }
    (void)session_close(&s);
    moments_unwatch(sim);
    moments_add_end(moments, sim);
    sim_free(sim);
    free(history);
}

static void explore(struct explorer *e, const struct workload *workload)
{
    struct moments moments = {0};

    e->workload = workload;
    e->has_failed = false;
    if (e->campaign.is_replay)
        workload_print(workload);
    run_watched(e, &moments);
    explore_moments(e, &moments, 0);
    moments_release(&moments);
    hash_set_clear(&e->seen);
}

// --- figures ---

// Calls that every campaign over all scripts must have crashed at.
static const struct {
    enum sim_op op;
    unsigned kinds;
} reached[] = {
    {SIM_OP_OPEN, SIM_KIND(FILENAME_SEGMENT) | SIM_KIND(FILENAME_TABLE) |
                      SIM_KIND(FILENAME_MANIFEST) | SIM_KIND(FILENAME_CURRENT_NEW) |
                      SIM_KIND(FILENAME_LOCK) | SIM_KIND(SIM_DIRECTORY)},
    {SIM_OP_WRITE, SIM_KIND(FILENAME_SEGMENT) | SIM_KIND(FILENAME_TABLE) |
                       SIM_KIND(FILENAME_MANIFEST) | SIM_KIND(FILENAME_CURRENT_NEW)},
    {SIM_OP_SYNC, SIM_KIND(FILENAME_SEGMENT) | SIM_KIND(FILENAME_TABLE) |
                      SIM_KIND(FILENAME_MANIFEST) | SIM_KIND(FILENAME_CURRENT_NEW)},
    {SIM_OP_ALLOCATE, SIM_KIND(FILENAME_SEGMENT)},
    {SIM_OP_TRUNCATE, SIM_KIND(FILENAME_SEGMENT)},
    {SIM_OP_RENAME, SIM_KIND(FILENAME_CURRENT)},
    {SIM_OP_UNLINK,
     SIM_KIND(FILENAME_SEGMENT) | SIM_KIND(FILENAME_TABLE) | SIM_KIND(FILENAME_MANIFEST)},
    {SIM_OP_DIR_SYNC, SIM_KIND(SIM_DIRECTORY)},
    {SIM_OP_CLOSE,
     SIM_KIND(FILENAME_TABLE) | SIM_KIND(FILENAME_MANIFEST) | SIM_KIND(FILENAME_CURRENT_NEW)},
};

static void print_coverage(const struct explorer *e)
{
    for (unsigned op = 0; op < SIM_OPS; op++) {
        bool is_empty = true;

        for (unsigned kind = 0; kind < SIM_KINDS; kind++) {
            if (e->by_call[op][kind] == 0)
                continue;
            printf("%s%s %s %" PRIu64, is_empty ? "explore: at " : ", ",
                   is_empty ? sim_op_name((enum sim_op)(1u << op)) : "", sim_kind_name(kind),
                   e->by_call[op][kind]);
            is_empty = false;
        }
        if (!is_empty)
            printf("\n");
    }
}

static void check_coverage(struct explorer *e)
{
    for (size_t i = 0; i < sizeof reached / sizeof reached[0]; i++) {
        for (unsigned kind = 0; kind < SIM_KINDS; kind++) {
            if ((reached[i].kinds & SIM_KIND(kind)) != 0 &&
                e->by_call[__builtin_ctz((unsigned)reached[i].op)][kind] == 0)
                campaign_violation(&e->campaign, "no crash at a call to %s a file of kind %s",
                                   sim_op_name(reached[i].op), sim_kind_name(kind));
        }
    }
}

static void print_figures(const struct explorer *e)
{
    printf("explore: %" PRIu64 " images, %" PRIu64
           " distinct; crashes in recovery: depth 1 %" PRIu64 ", depth 2 %" PRIu64
           ", depth 3 %" PRIu64 "\n",
           e->images, e->distinct, e->by_depth[1], e->by_depth[2], e->by_depth[3]);
    printf("explore: publish protocol: %" PRIu64 " edits, %" PRIu64 " unlinks\n", e->edits,
           e->unlinks);
    printf("explore: surviving");
    for (unsigned i = 0; i <= SIM_BYTES; i++)
        printf("%s %s %" PRIu64, i == 0 ? ":" : ",", survival_name((enum sim_survival)i),
               e->by_survival[i]);
    printf("\n");
    print_coverage(e);
}

int main(int argc, char **argv)
{
    struct explorer e = {.campaign = campaign_begin("explore", script_count, argc, argv)};

    while (campaign_next(&e.campaign, &e.random)) {
        if (e.campaign.round < script_count) {
            explore(&e, &scripts[e.campaign.round]);
        } else {
            const struct workload workload = workload_random(&e.random);

            explore(&e, &workload);
        }
    }
    print_figures(&e);
    if (!e.campaign.is_replay && e.campaign.round >= script_count)
        check_coverage(&e);
    return campaign_end(&e.campaign, e.distinct, "distinct crash images");
}
