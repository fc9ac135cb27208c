// schedules.c -- one small database, a handful of threads, and very many orders of their steps.
//
// Each round opens a database on a simulated disk, runs tellers, an auditor, a writer of large
// values, a committer that does not wait, and a flusher against the real worker threads, in an
// order that the seed decides (schedule/pct.h), closes it while background work is left, and
// opens it again. Whatever the order: money stays, what was acknowledged is there, snapshots
// do not change, nobody waits for ever, and nothing is used after it was freed.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/db.h"
#include "schedule/pct.h"
#include "support/campaign.h"
#include "support/sim.h"

#define ACCOUNTS   4
#define BALANCE    100
#define TRANSFERS  5
#define LARGE_PUTS 4
#define LARGE_SIZE (300u << 10)
#define WORKERS    2

static struct campaign campaign;
static uint64_t steps_in_all;

struct round {
    struct random random;
    struct sim *sim;
    struct env env; // the sim's, with the clock of the schedule
    struct env_ops ops;
    struct lsm_options options;
    lsm_db *db;
    unsigned failures;
    unsigned detached; // commits that did not wait and have succeeded
    unsigned large_puts;
};

static void expect(struct round *r, bool is_right, const char *what)
{
    if (is_right)
        return;
    r->failures++;
    campaign_violation(&campaign, "%s: %s", what, lsm_errmsg());
}

static lsm_slice account(unsigned number, char text[16])
{
    (void)snprintf(text, 16, "account-%u", number);
    return lsm_str(text);
}

// --- money ---

static lsm_status add_to(lsm_txn *txn, unsigned number, int64_t amount)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    int64_t balance;
    char text[16];

    TRY(lsm_txn_get(txn, NULL, account(number, text), &value));
    memcpy(&balance, value.data, sizeof balance);
    balance += amount;
    return lsm_txn_put(txn, NULL, account(number, text), (lsm_slice){&balance, sizeof balance});
}

static lsm_status transfer(struct round *r, unsigned from, unsigned to)
{
    const lsm_write_options options = {.sync = from % 2 == 0 ? LSM_SYNC_FULL : LSM_SYNC_WRITTEN};
    lsm_txn *txn;
    lsm_status status;

    TRY(lsm_begin(r->db, LSM_TXN_SERIALIZABLE, &txn));
    status = add_to(txn, from, -1);
    if (status == LSM_OK)
        status = add_to(txn, to, 1);
    if (status == LSM_OK)
        status = lsm_commit(txn, &options);
    lsm_txn_free(txn);
    return status;
}

static void run_teller(void *ctx)
{
    struct round *r = ctx;

    for (unsigned i = 0; i < TRANSFERS; i++) {
        lsm_status status = transfer(r, i % ACCOUNTS, (i + 1) % ACCOUNTS);

        expect(r, status == LSM_OK || status == LSM_CONFLICT, "a transfer fails");
    }
}

static int64_t sum_of(struct round *r, lsm_snapshot *snapshot, bool is_forward)
{
    const lsm_slice prefix = lsm_str("account-");
    const lsm_iter_options options = {.prefix = &prefix};
    lsm_status status;
    int64_t sum = 0;
    lsm_iter *it;

    if (lsm_snapshot_iter_open(snapshot, NULL, &options, &it) != LSM_OK)
        return 0;
    status = is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    for (; status == LSM_OK; status = is_forward ? lsm_iter_next(it) : lsm_iter_prev(it)) {
        lsm_slice value;
        int64_t balance = 0;

        expect(r, lsm_iter_value(it, &value) == LSM_OK, "a value of an iterator");
        memcpy(&balance, value.data, value.size == sizeof balance ? sizeof balance : 0);
        sum += balance;
    }
    expect(r, status == LSM_NOT_FOUND, "an iterator fails");
    lsm_iter_close(it);
    return sum;
}

static void run_auditor(void *ctx)
{
    struct round *r = ctx;

    for (unsigned i = 0; i < 2; i++) {
        lsm_snapshot *snapshot;
        int64_t first, second;

        expect(r, lsm_snapshot_new(r->db, "audit", &snapshot) == LSM_OK, "a snapshot");
        first = sum_of(r, snapshot, true);
        second = sum_of(r, snapshot, false);
        expect(r, first == ACCOUNTS * BALANCE && second == first, "money is lost or made");
        lsm_snapshot_free(snapshot);
    }
}

// --- the others ---

static void run_writer(void *ctx)
{
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
    struct round *r = ctx;
    uint8_t *value = malloc(LARGE_SIZE);

    if (value == NULL)
        abort();
    for (unsigned i = 0; i < LARGE_PUTS; i++) {
        memset(value, (int)i + 1, LARGE_SIZE);
        expect(r,
               lsm_put(r->db, NULL, lsm_str("large"), (lsm_slice){value, LARGE_SIZE}, &options) ==
                   LSM_OK,
               "a large put");
        r->large_puts = i + 1;
    }
    free(value);
}

static void on_committed(void *ctx, lsm_status status, uint64_t commit_ts)
{
    struct round *r = ctx;

    (void)commit_ts;
    if (status == LSM_OK)
        r->detached++;
}

static void run_committer(void *ctx)
{
    struct round *r = ctx;
    char text[16];

    for (unsigned i = 0; i < 3; i++) {
        lsm_txn *txn;

        (void)snprintf(text, sizeof text, "detached-%u", i);
        expect(r, lsm_begin(r->db, LSM_TXN_SNAPSHOT, &txn) == LSM_OK, "a transaction");
        expect(r, lsm_txn_put(txn, NULL, lsm_str(text), lsm_str("x")) == LSM_OK, "a put");
        expect(r, lsm_commit_async(txn, NULL, on_committed, r) == LSM_OK, "a commit");
        lsm_txn_free(txn);
    }
}

static void run_flusher(void *ctx)
{
    struct round *r = ctx;

    for (unsigned i = 0; i < 2; i++)
        expect(r, lsm_flush(r->db) == LSM_OK, "a flush");
    expect(r, lsm_compact_range(r->db, NULL, NULL, NULL) == LSM_OK, "a compaction");
}

// --- a round ---

static uint64_t schedule_now_ns(struct env *env)
{
    (void)env;
    return pct_now_ns();
}

static void prepare(struct round *r)
{
    struct env *sim_own;

    if (sim_new(random_next(&r->random), &r->sim) != LSM_OK)
        abort();
    sim_own = sim_env(r->sim);
    r->ops = *sim_own->ops;
    r->ops.clock_mono_ns = schedule_now_ns;
    sim_own->ops = &r->ops;
    options_init(&r->options);
    r->options.env = sim_own;
    r->options.workers = WORKERS;
    r->options.memtable_size = 64 << 10;
    r->options.cache_size = 1 << 20;
    r->options.table_size = 16 << 10;
    r->options.block_size = 512;
    r->options.segment_size_max = 1 << 20;
}

static void open_accounts(struct round *r)
{
    const int64_t balance = BALANCE;
    char text[16];

    expect(r, lsm_open("/db", &r->options, &r->db) == LSM_OK, "the database does not open");
    for (unsigned i = 0; i < ACCOUNTS; i++)
        expect(r,
               lsm_put(r->db, NULL, account(i, text), (lsm_slice){&balance, sizeof balance},
                       NULL) == LSM_OK,
               "an account");
}

static void run_threads(struct round *r)
{
    static void (*const runs[])(void *ctx) = {run_teller, run_teller,    run_auditor,
                                              run_writer, run_committer, run_flusher};
    struct thread threads[sizeof runs / sizeof runs[0]];
    const size_t count = sizeof runs / sizeof runs[0];

    for (size_t i = 0; i < count; i++) {
        if (thread_start(&threads[i], "actor", runs[i], r) != LSM_OK)
            abort();
    }
    for (size_t i = 0; i < count; i++)
        thread_join(&threads[i]);
}

// What must be there however it went.
static void check_content(struct round *r)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_snapshot *snapshot;
    unsigned detached = 0;
    char text[16];

    expect(r, lsm_snapshot_new(r->db, NULL, &snapshot) == LSM_OK, "a snapshot");
    expect(r, sum_of(r, snapshot, true) == ACCOUNTS * BALANCE, "money is lost after reopening");
    lsm_snapshot_free(snapshot);
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof text, "detached-%u", i);
        detached += lsm_exists(r->db, NULL, lsm_str(text)) == LSM_OK;
    }
    expect(r, detached == r->detached, "commits that did not wait");
    expect(r,
           lsm_get(r->db, NULL, lsm_str("large"), &value) == LSM_OK && value.size == LARGE_SIZE &&
               ((uint8_t *)value.data)[LARGE_SIZE - 1] == r->large_puts,
           "the large value");
    expect(r, lsm_verify(r->db, NULL, NULL) == LSM_OK, "a file is damaged");
}

static void run_round(struct random *random)
{
    struct round r = {.random = *random};
    const struct pct_options options = {
        .seed = random_next(&r.random),
        .changes = (unsigned)random_below(&r.random, 5),
        .steps = 2500, // as a round has them
        .wander = random_one_in(&r.random, 2) ? 2 + (unsigned)random_below(&r.random, 40) : 0,
        .early_deadline = random_one_in(&r.random, 2) ? 500 : 0,
    };

    prepare(&r);
    pct_begin(&options);
    open_accounts(&r);
    run_threads(&r);
    expect(&r, lsm_close(r.db) == LSM_OK, "close");
    expect(&r, lsm_open("/db", &r.options, &r.db) == LSM_OK, "the database does not open again");
    check_content(&r);
    expect(&r, lsm_close(r.db) == LSM_OK, "close");
    steps_in_all += pct_end();
    sim_free(r.sim);
}

int main(int argc, char **argv)
{
    struct random random;

    pct_fix_addresses(argv);
    campaign = campaign_begin("schedules", 50, argc, argv);
    while (campaign_next(&campaign, &random))
        run_round(&random);
    printf("schedules: %" PRIu64 " steps in %" PRIu64 " rounds\n", steps_in_all, campaign.round);
    return campaign_end(&campaign, campaign.round, "schedules");
}
