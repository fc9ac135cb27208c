// kill_loop.c -- a process under load, killed at a random moment, again and again.
//
// Each round makes a database and has it live through KILLS processes. Every one of them opens
// it, which recovers what the one before left, and loads it with all its threads until SIGKILL
// comes: while it opens, in the middle of the load, or while it closes. What the dead process
// had acknowledged is known from shared memory; the database is then opened and compared,
// read-only (so that the next process recovers the same files again) or for writing, sometimes
// after further processes died while they recovered.

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/guard.h"
#include "kernel/ledger.h"
#include "kernel/workdir.h"
#include "kernel/workload.h"
#include "support/campaign.h"

#define THREADS 5
#define KILLS   25 // per round

struct lineage {
    struct campaign *campaign;
    struct ledger *ledger;
    char path[PATH_MAX_HERE + 8];
    struct random random;
    uint64_t kills, kills_opening, kills_closing, commits, verified;
};

static void pause_us(uint64_t us)
{
    (void)usleep((useconds_t)us);
}

// --- the process that dies ---

static _Noreturn void live(struct lineage *lineage, uint32_t attempts)
{
    struct ledger *ledger = lineage->ledger;
    lsm_options *options = busy_options(&lineage->random);
    struct load load = {.ledger = ledger, .attempts = attempts};

    if (lsm_open(lineage->path, options, &load.db) != LSM_OK)
        (void)ledger_trouble(ledger, "opening after a kill: %s", lsm_errmsg());
    else if (attempts > 0 && load_run(&load) && lsm_close(load.db) != LSM_OK)
        (void)ledger_trouble(ledger, "closing: %s", lsm_errmsg());
    for (;;)
        (void)pause();
}

// Waits until the threads run, or something is wrong.
static void wait_for_load(struct lineage *lineage, pid_t child)
{
    while (!atomic_load(&lineage->ledger->is_loading) &&
           !atomic_load(&lineage->ledger->is_in_trouble) && waitpid(child, NULL, WNOHANG) == 0)
        pause_us(200);
}

// Runs a process and kills it. With `attempts` 0 it only opens the database.
static void run_and_kill(struct lineage *lineage, uint32_t attempts, bool is_killed_early)
{
    const uint64_t span_us = random_one_in(&lineage->random, 2) ? 6000 : 30000;
    const uint64_t delay_us = random_below(&lineage->random, is_killed_early ? 3000 : span_us);
    pid_t child;
    int how;

    fflush(NULL);
    (void)random_next(&lineage->random);
    child = fork();
    if (child == 0)
        live(lineage, attempts);
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    if (!is_killed_early)
        wait_for_load(lineage, child);
    pause_us(delay_us);
    if (kill(child, SIGKILL) != 0 || waitpid(child, &how, 0) != child || !WIFSIGNALED(how) ||
        WTERMSIG(how) != SIGKILL)
        (void)ledger_trouble(lineage->ledger, "the process ended by itself");
    lineage->kills++;
    lineage->kills_opening += is_killed_early;
}

// --- the process that checks ---

static bool open_to_check(struct lineage *lineage, bool is_read_only, lsm_db **db)
{
    lsm_options *options = busy_options(&lineage->random);
    const lsm_status status = is_read_only ? lsm_open_read_only(lineage->path, options, db)
                                           : lsm_open(lineage->path, options, db);

    lsm_options_free(options);
    // A process that died while it made the database leaves none to read.
    if (is_read_only && status != LSM_OK && lineage->ledger->acked == 0 &&
        lineage->ledger->life == 0)
        return open_to_check(lineage, false, db);
    return status == LSM_OK ||
           ledger_trouble(lineage->ledger, "opening to check (%s): %s",
                          is_read_only ? "read-only" : "for writing", lsm_errmsg());
}

static bool check(struct lineage *lineage)
{
    static const struct cut cut = {.is_power = false};
    struct ledger *ledger = lineage->ledger;
    const bool is_read_only = random_one_in(&lineage->random, 2);
    struct model after;
    lsm_db *db;
    bool is_right;

    if (atomic_load(&ledger->is_in_trouble) || !open_to_check(lineage, is_read_only, &db))
        return false;
    is_right = ledger_check(ledger, db, &cut, &after);
    if (is_right && random_one_in(&lineage->random, 8)) {
        lineage->verified++;
        is_right = lsm_verify(db, NULL, NULL) == LSM_OK ||
                   ledger_trouble(ledger, "lsm_verify: %s", lsm_errmsg());
    }
    if (lsm_close(db) != LSM_OK && is_right)
        is_right = ledger_trouble(ledger, "closing behind the check: %s", lsm_errmsg());
    if (!is_right)
        return false;
    lineage->commits += after.journal_count;
    ledger_next_life(ledger, &after);
    return true;
}

static bool kill_once(struct lineage *lineage)
{
    const bool is_killed_early = random_one_in(&lineage->random, 5);
    const bool is_short = random_one_in(&lineage->random, 5);
    uint64_t further = random_one_in(&lineage->random, 4) ? random_below(&lineage->random, 3) : 0;

    lineage->kills_closing += is_short;
    run_and_kill(lineage, is_short ? 10 : ATTEMPTS_MAX, is_killed_early);
    while (further-- > 0)
        run_and_kill(lineage, 0, true);
    return check(lineage);
}

static void run_round(struct lineage *lineage, const char *dir)
{
    const uint64_t kills_until = lineage->kills + KILLS;
    uint64_t done = 0;

    (void)snprintf(lineage->path, sizeof lineage->path, "%s/db", dir);
    lineage->ledger = ledger_new(random_next(&lineage->random), THREADS);
    while (lineage->kills < kills_until && kill_once(lineage))
        done++;
    if (atomic_load(&lineage->ledger->is_in_trouble))
        campaign_violation(lineage->campaign, "life %" PRIu64 ": %s\n    the files: %s", done,
                           lineage->ledger->trouble, lineage->path);
    else
        workdir_remove(lineage->path);
    ledger_free(lineage->ledger);
}

int main(int argc, char **argv)
{
    struct campaign campaign = campaign_begin("kill_loop", 400, argc, argv);
    struct lineage lineage = {.campaign = &campaign};
    char dir[PATH_MAX_HERE];

    guard_begin();
    take_all_descriptors();
    workdir_make("kill_loop", dir);
    while (campaign.violations == 0 && campaign_next(&campaign, &lineage.random))
        run_round(&lineage, dir);
    if (campaign.violations == 0)
        workdir_remove(dir);
    else
        workdir_keep(dir);
    printf("kill_loop: %" PRIu64 " kills (%" PRIu64 " while opening, %" PRIu64
           " about closing), %" PRIu64 " commits checked, %" PRIu64 " verified whole\n",
           lineage.kills, lineage.kills_opening, lineage.kills_closing, lineage.commits,
           lineage.verified);
    return campaign_end(&campaign, lineage.kills, "kills");
}
