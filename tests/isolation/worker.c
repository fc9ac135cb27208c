#include "isolation/worker.h"

#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "isolation/single.h"
#include "isolation/steps.h"

// A recorder with less room than this takes no further transaction.
#define EVENTS_PER_TXN 2048

#define STEPS_MAX 8

static void must(const struct worker *w, lsm_status status, const char *what)
{
    stage_must(w->model->stage, status, what);
}

// --- whole transactions ---

static const lsm_txn_mode modes[] = {
    [LEVEL_SERIALIZABLE] = LSM_TXN_SERIALIZABLE,
    [LEVEL_SNAPSHOT] = LSM_TXN_SNAPSHOT,
    [LEVEL_READ_ONLY] = LSM_TXN_READ_ONLY,
};

static void begin(struct worker *w, enum level level)
{
    w->level = level;
    w->savepoint_count = 0;
    record_begin(w->recorder, level);
    must(w, lsm_begin(w->model->db, modes[level], &w->txn), "a transaction cannot begin");
    record(w->recorder, EVENT_READ_TS, 0, lsm_txn_read_ts(w->txn));
}

// The number of transactions says when the process is to be killed, in this very place.
void worker_finish(struct worker *w, enum event_kind outcome, uint64_t ts)
{
    struct stage *stage = w->model->stage;
    const uint64_t finished =
        atomic_fetch_add_explicit(&stage->finished, 1, memory_order_relaxed) + 1;

    if (finished == stage->kill_at && stage->is_killed_before_ack)
        (void)kill(getpid(), SIGKILL);
    record_end(w->recorder, outcome, ts);
    if (finished == stage->kill_at)
        (void)kill(getpid(), SIGKILL);
}

// The outcome of an asynchronous commit, told by a thread of the library.
struct outcome {
    sem_t is_told;
    lsm_status status;
    uint64_t ts;
};

static void tell_outcome(void *ctx, lsm_status status, uint64_t ts)
{
    struct outcome *outcome = ctx;

    outcome->status = status;
    outcome->ts = ts;
    (void)sem_post(&outcome->is_told);
}

// As lsm_commit(), by another thread; the transaction is freed before that is done.
static lsm_status commit_async(struct worker *w, const lsm_write_options *options, uint64_t *ts)
{
    struct outcome outcome = {0};
    lsm_status status;

    (void)sem_init(&outcome.is_told, 0, 0);
    status = lsm_commit_async(w->txn, options, tell_outcome, &outcome);
    lsm_txn_free(w->txn);
    if (status == LSM_OK) {
        while (sem_wait(&outcome.is_told) != 0) {
        }
        status = outcome.status;
        *ts = outcome.ts;
    }
    (void)sem_destroy(&outcome.is_told);
    stage_count(w->model->stage, COUNT_ASYNC, 1);
    return status;
}

static lsm_status commit_and_wait(struct worker *w, const lsm_write_options *options, uint64_t *ts)
{
    const lsm_status status = lsm_commit(w->txn, options);

    *ts = lsm_txn_commit_ts(w->txn);
    lsm_txn_free(w->txn);
    return status;
}

static void commit(struct worker *w)
{
    const lsm_write_options options = {.sync = random_one_in(&w->random, 64) ? LSM_SYNC_FULL
                                                                             : LSM_SYNC_WRITTEN};
    lsm_status status;
    uint64_t ts = 0;

    record(w->recorder, EVENT_COMMITTING, 0, 0);
    status = random_one_in(&w->random, 8) ? commit_async(w, &options, &ts)
                                          : commit_and_wait(w, &options, &ts);
    if (status == LSM_CONFLICT)
        stage_count(w->model->stage, COUNT_CONFLICTS, 1);
    else
        must(w, status, "a commit");
    worker_finish(w, status == LSM_OK ? EVENT_COMMITTED : EVENT_ABORTED, ts);
}

static void roll_back(struct worker *w)
{
    stage_count(w->model->stage, COUNT_ROLLBACKS, 1);
    must(w, lsm_rollback(w->txn), "a rollback");
    worker_finish(w, EVENT_ABORTED, 0);
    lsm_txn_free(w->txn);
}

static enum level any_level(struct worker *w)
{
    if (random_one_in(&w->random, 8))
        return LEVEL_READ_ONLY;
    if (random_one_in(&w->random, w->prefers_serializable ? 4 : 2))
        return LEVEL_SNAPSHOT;
    return LEVEL_SERIALIZABLE;
}

static void run_mixed(struct worker *w)
{
    unsigned steps = 1 + (unsigned)random_below(&w->random, STEPS_MAX);

    begin(w, any_level(w));
    while (steps-- > 0) {
        step_run(w);
        step_yield(w);
    }
    if (random_one_in(&w->random, 16))
        roll_back(w);
    else
        commit(w);
}

// Makes the commit larger, between what it writes to registers and what to lists.
static void put_noise(struct worker *w, unsigned count)
{
    while (count-- > 0)
        step_put(w, FIRST_NOISE + (uint32_t)random_below(&w->random, NOISE), lsm_str("noise"));
}

// Writes many neighbours at once: a commit that takes its time, half of which nobody may see.
static void run_sweep(struct worker *w)
{
    const uint32_t first = step_any_register(w);
    const uint32_t width = 1 + (uint32_t)random_below(&w->random, REGISTERS);

    begin(w, any_level(w) == LEVEL_SNAPSHOT ? LEVEL_SNAPSHOT : LEVEL_SERIALIZABLE);
    for (uint32_t i = 0; i < width && i < REGISTERS; i++) {
        const uint32_t key = (first + i) % REGISTERS;
        const uint64_t value = step_new_value(w);
        struct value_bytes bytes;

        step_put(w, key, model_value(value, &bytes));
        record(w->recorder, EVENT_WRITE, key, value);
    }
    put_noise(w, (unsigned)random_below(&w->random, 300));
    step_append(w);
    commit(w);
}

static void wait_for_others(struct worker *w, uint64_t count)
{
    const struct timespec pause = {.tv_nsec = 200000};
    struct stage *stage = w->model->stage;
    const uint64_t start = atomic_load_explicit(&stage->finished, memory_order_relaxed);

    // Not for ever: all others may be waiting too.
    for (int i = 0; i < 300 && !stage_is_over(stage); i++) {
        if (atomic_load_explicit(&stage->finished, memory_order_relaxed) - start >= count)
            return;
        (void)nanosleep(&pause, NULL);
    }
}

// Reads, waits while others commit so much that the engine forgets who did, and then writes.
static void run_patient(struct worker *w)
{
    const uint32_t read = FIRST_QUIET + (uint32_t)random_below(&w->random, QUIET);
    const uint32_t written = random_one_in(&w->random, 2)
                                 ? read
                                 : FIRST_QUIET + (uint32_t)random_below(&w->random, QUIET);
    const uint64_t value = step_new_value(w);
    struct value_bytes bytes;

    begin(w, any_level(w) == LEVEL_SNAPSHOT ? LEVEL_SNAPSHOT : LEVEL_SERIALIZABLE);
    if (random_one_in(&w->random, 2))
        step_read(w, read);
    else
        step_scan(w, read, read + 2);
    wait_for_others(w, 500);
    step_put(w, written, model_value(value, &bytes));
    record(w->recorder, EVENT_WRITE, written, value);
    commit(w);
}

// --- the bank ---

static int64_t add_to_account(struct worker *w, uint32_t account, int64_t amount)
{
    lsm_slice value;
    int64_t balance;

    if (step_get(w, account, &value) == NULL)
        stage_complain(w->model->stage, "account %u is gone", account);
    balance = model_integer(w->model, value) + amount;
    step_put(w, account, (lsm_slice){&balance, sizeof balance});
    return balance;
}

static void transfer(struct worker *w)
{
    const uint32_t from = (uint32_t)random_below(&w->random, ACCOUNTS);
    const uint32_t to = (from + 1 + (uint32_t)random_below(&w->random, ACCOUNTS - 1)) % ACCOUNTS;
    const int64_t amount = (int64_t)random_below(&w->random, 100);

    begin(w, random_one_in(&w->random, 2) ? LEVEL_SNAPSHOT : LEVEL_SERIALIZABLE);
    (void)add_to_account(w, FIRST_ACCOUNT + from, -amount);
    step_yield(w);
    (void)add_to_account(w, FIRST_ACCOUNT + to, amount);
    stage_count(w->model->stage, COUNT_TRANSFERS, 1);
    commit(w);
}

void worker_audit(struct worker *w, lsm_iter *it)
{
    int64_t sum = 0;
    unsigned count = 0;
    lsm_status status;
    lsm_slice value;

    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        must(w, lsm_iter_value(it, &value), "a balance");
        sum += model_integer(w->model, value);
        count++;
    }
    if (status != LSM_NOT_FOUND)
        must(w, status, "an audit");
    lsm_iter_close(it);
    if (count != ACCOUNTS || sum != (int64_t)ACCOUNTS * BALANCE)
        stage_complain(w->model->stage, "money is lost or made: %u accounts hold %" PRId64, count,
                       sum);
    stage_count(w->model->stage, COUNT_AUDITS, 1);
}

static lsm_iter *open_txn_range(struct worker *w, uint32_t low, uint32_t high)
{
    struct key_bytes low_bytes;
    struct key_bytes high_bytes;
    const lsm_slice lower = model_key(low, &low_bytes);
    const lsm_slice upper = model_key(high, &high_bytes);
    const lsm_iter_options options = {.lower = &lower, .upper = &upper};
    lsm_iter *it;

    must(w, lsm_txn_iter_open(w->txn, NULL, &options, &it), "an iterator");
    return it;
}

static void audit(struct worker *w)
{
    begin(w, LEVEL_READ_ONLY);
    worker_audit(w, open_txn_range(w, FIRST_ACCOUNT, FIRST_ACCOUNT + ACCOUNTS));
    commit(w);
}

// --- the thread ---

void *worker_run(void *arg)
{
    struct worker *w = arg;

    while (!stage_is_over(w->model->stage) && recorder_has_room(w->recorder, EVENTS_PER_TXN)) {
        const uint64_t what = random_below(&w->random, 64);

        if (what < 44)
            run_mixed(w);
        else if (what < 56)
            single_run(w);
        else if (what < 59)
            transfer(w);
        else if (what < 62)
            audit(w);
        else if (what < 63)
            run_sweep(w);
        else
            run_patient(w);
    }
    lsm_buf_free(&w->buf);
    return NULL;
}

// --- everything ---

static void read_all_lists(struct worker *w)
{
    lsm_status status;
    lsm_slice list;
    lsm_iter *it;
    uint32_t next = FIRST_LIST;

    must(w, lsm_txn_iter_open(w->txn, w->model->lists, NULL, &it), "an iterator over lists");
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        const uint32_t key = model_key_number(w->model, lsm_iter_key(it));

        for (; next < key; next++)
            step_record_list(w, next, NULL);
        must(w, lsm_iter_value(it, &list), "a list");
        step_record_list(w, key, &list);
        next = key + 1;
    }
    if (status != LSM_NOT_FOUND)
        must(w, status, "an iterator over lists");
    lsm_iter_close(it);
    for (; next < FIRST_LIST + atomic_load(&w->model->stage->first_list) + LISTS_OPEN; next++)
        step_record_list(w, next, NULL);
}

static void record_timestamps(struct worker *w, lsm_iter *it)
{
    lsm_status status;
    lsm_slice value;

    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        const uint32_t key = model_key_number(w->model, lsm_iter_key(it));

        must(w, lsm_iter_value(it, &value), "a value");
        record(w->recorder, EVENT_SEEN_TS, key, model_value_number(w->model, value));
        record(w->recorder, EVENT_SEEN_TS, key, lsm_iter_ts(it));
    }
    if (status != LSM_NOT_FOUND)
        must(w, status, "an iterator");
    lsm_iter_close(it);
}

void worker_read_all(struct worker *w)
{
    lsm_txn *txn;

    begin(w, LEVEL_READ_ONLY);
    step_record_scan(w, open_txn_range(w, 0, REGISTERS), 0, REGISTERS, UINT32_MAX, false);
    step_record_scan(w, open_txn_range(w, FIRST_PLACE, FIRST_PLACE + PLACES), FIRST_PLACE,
                     FIRST_PLACE + PLACES, UINT32_MAX, false);
    step_record_scan(w, open_txn_range(w, FIRST_QUIET, FIRST_QUIET + QUIET), FIRST_QUIET,
                     FIRST_QUIET + QUIET, UINT32_MAX, false);
    read_all_lists(w);
    worker_audit(w, open_txn_range(w, FIRST_ACCOUNT, FIRST_ACCOUNT + ACCOUNTS));
    txn = w->txn;
    record_end(w->recorder, EVENT_COMMITTED, 0);
    record_timestamps(w, open_txn_range(w, 0, REGISTERS));
    must(w, lsm_commit(txn, NULL), "a commit");
    lsm_txn_free(txn);
    lsm_buf_free(&w->buf);
}
