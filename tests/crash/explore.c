// explore.c -- crashes a database at every call of the env, and again in its recovery.
//
// A round is one workload, run once under the manual scheduler. Before every call that can
// change the disk the moment is kept: the disk, with all that is not durable, and what the
// application knew. What a crash then may leave is judged (crash_judge.h). Background jobs run
// between the calls of the API only; for threads see schedule/crash_schedules.c.
//
// The first rounds are the scripts, the others seeded.

#include <inttypes.h>
#include <stdlib.h>

#include "crash_judge.h"

#define SCRIPT_FAVOUR 16

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
static void run_watched(struct judge *judge, struct random *random, struct moments *moments)
{
    struct history *history = calloc(1, sizeof *history);
    struct session s;
    struct sim *sim;

    if (history == NULL || sim_new(random_next(random), &sim) != LSM_OK)
        abort();
    session_init(&s, judge->workload, sim, history);
    moments_watch(moments, sim, history);
    publish_check_start(&judge->publish, sim);
    if (run(&s) != LSM_OK || judge_stop_publish_check(judge, sim) != LSM_OK) {
        judge->has_failed = true;
        campaign_violation(judge->campaign, "%s: without a crash: %s", judge->workload->name,
                           lsm_errmsg());
    }
    (void)session_close(&s);
    moments_unwatch(sim);
    moments_add_end(moments, sim);
    sim_free(sim);
    free(history);
}

static void explore(struct judge *judge, const struct workload *workload, struct random *random)
{
    struct moments moments = {0};

    if (judge->campaign->is_replay)
        workload_print(workload);
    judge_begin_round(judge, workload, random_next(random));
    run_watched(judge, random, &moments);
    judge_moments(judge, &moments);
    judge_end_round(judge);
    moments_release(&moments);
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

static void check_coverage(const struct judge *judge)
{
    for (size_t i = 0; i < sizeof reached / sizeof reached[0]; i++) {
        for (unsigned kind = 0; kind < SIM_KINDS; kind++) {
            if ((reached[i].kinds & SIM_KIND(kind)) != 0 &&
                judge->by_call[__builtin_ctz((unsigned)reached[i].op)][kind] == 0)
                campaign_violation(judge->campaign, "no crash at a call to %s a file of kind %s",
                                   sim_op_name(reached[i].op), sim_kind_name(kind));
        }
    }
}

// How many images have their recovery crashed: all, unless told to be thin, and even then those
// of the scripts SCRIPT_FAVOUR times as often as the others.
static uint64_t deep_share(const struct campaign *campaign)
{
    if (campaign->is_replay)
        return 1;
    if (campaign->round >= script_count)
        return campaign->thin;
    return 1 + (campaign->thin - 1) / SCRIPT_FAVOUR;
}

int main(int argc, char **argv)
{
    struct campaign campaign = campaign_begin("explore", script_count, argc, argv);
    struct judge judge = {.campaign = &campaign, .survival_share = 1};
    struct random random;

    while (campaign_next(&campaign, &random)) {
        judge.deep_share = deep_share(&campaign);
        if (campaign.round < script_count) {
            explore(&judge, &scripts[campaign.round], &random);
        } else {
            const struct workload workload = workload_random(&random);

            explore(&judge, &workload, &random);
        }
    }
    judge_print(&judge);
    if (!campaign.is_replay && campaign.round >= script_count)
        check_coverage(&judge);
    return campaign_end(&campaign, judge.distinct, "distinct crash images");
}
