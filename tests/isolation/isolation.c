// isolation.c -- random transactions of many threads, recorded and judged.
//
// A round is a database of its own: several epochs, each a process that opens it and works on
// it with 4 to 16 threads (serializable and snapshot transactions over lists, registers, ranges
// and counters, with savepoints and rollbacks; single operations; transfers and audits), while
// one thread holds long snapshots and one flushes and merges tiny memtables. An epoch ends with
// a close, or with SIGKILL in the middle. What all threads saw is one history, which checker.h
// judges: an acknowledged transaction must be there after a kill, one in flight may be.
//
// A round's seed settles what the threads do, not how they meet.

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolation/checker.h"
#include "isolation/session.h"
#include "support/campaign.h"

#define EPOCHS         4
#define TXNS_PER_EPOCH 4000
#define PATH_BYTES     256

struct totals {
    uint64_t txns;
    uint64_t committed;
    uint64_t reads;
    uint64_t edges;
    uint64_t kills;
    uint64_t rounds;
    uint64_t skewed; // rounds whose snapshot transactions show write skew
    uint64_t counts[COUNT_KINDS];
};

static const char *const threshold_choices[] = {"0", "128", "1KiB", "64KiB"};
static const char *const history_choices[] = {"64KiB", "64KiB", "8MiB"};

static void make_directory(char path[PATH_BYTES])
{
    const char *parent = getenv("TMPDIR");

    (void)snprintf(path, PATH_BYTES, "%s/lsmkv-isolation-XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(path) == NULL) {
        perror(path);
        exit(2);
    }
}

static void remove_directory(const char *path)
{
    char command[PATH_BYTES + 16];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0)
        perror(path);
}

// --- an epoch ---

static void plan_epoch(struct stage *stage, struct random *random, bool is_last)
{
    const uint64_t start = atomic_load(&stage->finished);

    atomic_store(&stage->is_over, false);
    stage->finished_max = start + TXNS_PER_EPOCH;
    stage->kill_at = 0;
    stage->is_killed_before_ack = random_one_in(random, 2);
    if (!is_last && !random_one_in(random, 3))
        stage->kill_at = start + 1 + random_below(random, TXNS_PER_EPOCH);
}

// Whether the epoch ended as it should.
static bool judge_end(struct campaign *campaign, const struct stage *stage, int status)
{
    const bool is_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

    if (is_killed && stage->kill_at != 0)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !stage->has_complaint)
        return true;
    if (stage->has_complaint)
        campaign_violation(campaign, "%s", stage->complaint);
    else if (WIFSIGNALED(status))
        campaign_violation(campaign, "the process died of signal %d", WTERMSIG(status));
    else
        campaign_violation(campaign, "the process ended with %d", WEXITSTATUS(status));
    return false;
}

static bool run_epoch(struct campaign *campaign, const struct round_plan *plan, struct stage *stage,
                      unsigned epoch, struct random *random)
{
    const uint64_t seed = random_next(random);
    int status = 0;
    pid_t child;

    plan_epoch(stage, random, epoch == EPOCHS - 1);
    (void)fflush(NULL);
    child = fork();
    if (child == 0)
        session_run(plan, stage, epoch, seed);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("isolation: a process");
        exit(2);
    }
    return judge_end(campaign, stage, status);
}

// --- a round ---

static void judge_history(struct campaign *campaign, struct stage *stage, struct totals *totals)
{
    static struct verdict verdict; // large
    const struct findings *findings = &verdict.findings;

    checker_judge(stage->recorders, RECORDERS, &verdict);
    totals->txns += verdict.txns;
    totals->committed += verdict.committed;
    totals->reads += verdict.reads;
    totals->edges += verdict.edges;
    totals->rounds++;
    totals->skewed += verdict.has_write_skew;
    for (unsigned i = 0; i < COUNT_KINDS; i++)
        totals->counts[i] += atomic_load(&stage->counts[i]);
    if (findings->total == 0)
        return;
    for (int i = 0; i < ANOMALY_KINDS; i++) {
        if (findings->counts[i] != 0)
            fprintf(stderr, "isolation: %" PRIu64 " of %s\n", findings->counts[i],
                    anomaly_name((enum anomaly)i));
    }
    for (uint64_t i = 1; i < findings->total && i < FINDINGS_TOLD_MAX; i++)
        fprintf(stderr, "isolation: %s\n", findings->told[i]);
    campaign_violation(campaign, "%s", findings->told[0]);
}

static void run_round(struct campaign *campaign, struct random *random, struct totals *totals)
{
    char path[PATH_BYTES];
    const struct round_plan plan = {
        .path = path,
        .workers = 4 + (unsigned)random_below(random, WORKERS_MAX - 3),
        .history_size = history_choices[random_below(random, 3)],
        .value_threshold = threshold_choices[random_below(random, 4)],
        .prefers_serializable = random_one_in(random, 2),
    };
    struct stage *stage = stage_new();
    bool is_well = true;

    make_directory(path);
    for (unsigned epoch = 0; epoch < EPOCHS && is_well; epoch++) {
        is_well = run_epoch(campaign, &plan, stage, epoch, random);
        totals->kills += stage->kill_at != 0;
    }
    judge_history(campaign, stage, totals);
    remove_directory(path);
    stage_free(stage);
}

static void tell_totals(const struct totals *t)
{
    printf("isolation: %" PRIu64 " committed, %" PRIu64 " conflicts, %" PRIu64
           " rolled back, %" PRIu64 " asynchronous, %" PRIu64 " versions read, %" PRIu64
           " dependencies, %" PRIu64 " kills\n",
           t->committed, t->counts[COUNT_CONFLICTS], t->counts[COUNT_ROLLBACKS],
           t->counts[COUNT_ASYNC], t->reads, t->edges, t->kills);
    printf("isolation: %" PRIu64 " transfers, %" PRIu64 " audits, %" PRIu64
           " long snapshots read %" PRIu64 " times while %" PRIu64 " transactions ran\n",
           t->counts[COUNT_TRANSFERS], t->counts[COUNT_AUDITS], t->counts[COUNT_SNAPSHOTS],
           t->counts[COUNT_REPEATS], t->counts[COUNT_OVERWRITES]);
    printf("isolation: snapshot transactions show write skew in %" PRIu64 " of %" PRIu64
           " rounds\n",
           t->skewed, t->rounds);
}

int main(int argc, char **argv)
{
    struct campaign campaign = campaign_begin("isolation", 3, argc, argv);
    struct totals totals = {0};
    struct random random;

    while (campaign_next(&campaign, &random))
        run_round(&campaign, &random, &totals);
    tell_totals(&totals);
    return campaign_end(&campaign, totals.txns, "transactions");
}
