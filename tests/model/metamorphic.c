// metamorphic.c -- random operations over the whole API, under many options, one history.
//
// Each round draws a list of operations and runs it with several sets of options, on a
// simulated disk that loses power, each time beside the reference. Every answer must be the
// reference's, and so every history the same. A list that fails is reduced, printed, and
// written to a file:
//
//     metamorphic --replay FILE
//
// runs it and prints its history. `--break-model N` makes the reference wrong on purpose.

#include <inttypes.h>
#include <stdlib.h>

#include "model/op_failure.h"
#include "model/op_generator.h"
#include "support/campaign.h"

#define SETS_PER_ROUND 4
#define OPS_MIN        200
#define OPS_MAX        1200
#define OPS_TO_COVER   1000000 // from so many on, every operation must have met every state

static struct {
    enum ref_mistake mistake;
    const char *replay;
    struct op_coverage coverage;
    uint64_t ops;
    uint64_t crashes;
    uint64_t lost_commits;
    uint64_t busy;
} m;

// Takes our options out of `argv`, and leaves those of campaigns.
static int take_options(int argc, char **argv)
{
    int kept = 1;

    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--replay") == 0 && i + 1 < argc) {
            m.replay = argv[i + 1];
        } else if (strcmp(argv[i], "--break-model") == 0 && i + 1 < argc) {
            m.mistake = (enum ref_mistake)(atoi(argv[i + 1]) % REF_MISTAKES);
        } else {
            argv[kept++] = argv[i];
            if (i + 1 < argc)
                argv[kept++] = argv[i + 1];
        }
    }
    argv[kept] = NULL;
    return kept;
}

static int replay(void)
{
    struct op_list list = {0};
    FILE *file = fopen(m.replay, "r");
    struct round_result result;

    if (file == NULL || !op_list_read(&list, file)) {
        fprintf(stderr, "metamorphic: %s cannot be read\n", m.replay);
        return 2;
    }
    (void)fclose(file);
    result = round_run(&list, m.mistake, false, stdout, NULL);
    op_list_release(&list);
    return result.is_equal ? 0 : 1;
}

static void report(struct campaign *campaign, struct op_list *list, uint32_t set)
{
    campaign_violation(campaign, "the history with options '%s' is another", option_set_name(set));
    failure_reduce(list, m.mistake);
    (void)round_run_apart(list, m.mistake, false, NULL);
    failure_report(list, m.mistake);
}

// Runs `ops` with one set of options; returns the hash of the history.
static uint64_t run_set(struct campaign *campaign, const struct op_list *ops, uint32_t set,
                        struct random *random)
{
    struct op_list list = {0};
    struct round_result result;

    option_set_add(&list, set, random);
    for (size_t i = 0; i < ops->count; i++)
        op_list_add(&list, &ops->ops[i]);
    result = round_run_apart(&list, m.mistake, false, &m.coverage);
    m.ops += result.ops;
    m.crashes += result.crashes;
    m.lost_commits += result.lost_commits;
    m.busy += result.busy;
    if (!result.is_equal)
        report(campaign, &list, set);
    op_list_release(&list);
    return result.is_equal ? result.history_hash : 0;
}

static void run_round(struct campaign *campaign, struct random *random)
{
    const size_t count = (size_t)(OPS_MIN + random_below(random, OPS_MAX - OPS_MIN));
    struct op_list ops = {0};
    uint64_t first = 0;

    op_generate(&ops, random, count);
    for (uint32_t i = 0; i < SETS_PER_ROUND && campaign->violations == 0; i++) {
        const uint32_t set =
            (uint32_t)(campaign->round * SETS_PER_ROUND + i) % (OPTION_SETS_NAMED + 2);
        const uint64_t history = run_set(campaign, &ops, set, random);

        if (i == 0)
            first = history;
        if (history != first && campaign->violations == 0)
            campaign_violation(campaign, "two option sets, two histories");
    }
    op_list_release(&ops);
}

int main(int argc, char **argv)
{
    struct campaign campaign;
    struct random random;

    argc = take_options(argc, argv);
    if (m.replay != NULL)
        return replay();
    campaign = campaign_begin("metamorphic", 100, argc, argv);
    while (campaign.violations == 0 && campaign_next(&campaign, &random))
        run_round(&campaign, &random);
    coverage_print(&m.coverage, stdout);
    printf("%" PRIu64 " crashes, %" PRIu64 " lost commits made again, %" PRIu64
           " writes that had to wait\n",
           m.crashes, m.lost_commits, m.busy);
    if (campaign.violations == 0 && m.ops >= OPS_TO_COVER &&
        coverage_holes(&m.coverage, stderr) > 0)
        campaign_violation(&campaign, "operations were never run in some state");
    return campaign_end(&campaign, m.ops, "operations");
}
