#include "isolation/worker.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "isolation/single.h"

// A recorder with less room than this takes no further transaction.
#define EVENTS_PER_TXN 2048

#define STEPS_MAX 8

static void must(const struct worker *w, lsm_status status, const char *what)
{
    stage_must(w->model->stage, status, what);
}

// Lets others come between.
static void maybe_yield(struct worker *w)
{
    if (random_one_in(&w->random, 3))
        (void)sched_yield();
}

static uint32_t any_register(struct worker *w)
{
    return (uint32_t)random_below(&w->random, REGISTERS);
}

uint32_t worker_any_list(struct worker *w)
{
    return FIRST_LIST + atomic_load_explicit(&w->model->stage->first_list, memory_order_relaxed) +
           (uint32_t)random_below(&w->random, LISTS_OPEN);
}

// --- reads ---

// NULL when the key is absent; else valid until the next read.
static const lsm_slice *get(struct worker *w, uint32_t key, lsm_slice *value)
{
    struct key_bytes bytes;
    const lsm_status status =
        lsm_txn_get(w->txn, model_keyspace(w->model, key), model_key(key, &bytes), &w->buf);

    if (status == LSM_NOT_FOUND)
        return NULL;
    must(w, status, "a read in a transaction");
    *value = (lsm_slice){w->buf.data, w->buf.size};
    return value;
}

static void read_at(struct worker *w, uint32_t key)
{
    lsm_slice value;
    const bool is_there = get(w, key, &value) != NULL;

    record(w->recorder, EVENT_READ, key, is_there ? model_value_number(w->model, value) : 0);
}

static void read_register(struct worker *w)
{
    read_at(w, any_register(w));
}

static void read_place(struct worker *w)
{
    read_at(w, FIRST_PLACE + (uint32_t)random_below(&w->random, PLACES));
}

static void read_many(struct worker *w)
{
    enum { COUNT = 4 };
    struct key_bytes bytes[COUNT];
    lsm_slice keys[COUNT];
    lsm_buf values[COUNT] = {LSM_BUF_INIT, LSM_BUF_INIT, LSM_BUF_INIT, LSM_BUF_INIT};
    lsm_status statuses[COUNT];
    uint32_t numbers[COUNT];

    for (int i = 0; i < COUNT; i++) {
        numbers[i] = any_register(w);
        keys[i] = model_key(numbers[i], &bytes[i]);
    }
    must(w, lsm_txn_multi_get(w->txn, NULL, keys, COUNT, values, statuses), "a read of many");
    for (int i = 0; i < COUNT; i++) {
        const lsm_slice value = {values[i].data, values[i].size};

        record(w->recorder, EVENT_READ, numbers[i],
               statuses[i] == LSM_OK ? model_value_number(w->model, value) : 0);
        lsm_buf_free(&values[i]);
    }
}

void worker_record_list(struct worker *w, uint32_t key, const lsm_slice *list)
{
    const size_t size = list == NULL ? 0 : list->size / sizeof(uint64_t);

    if (size >= LIST_SIZE_FULL) {
        uint32_t first = atomic_load_explicit(&w->model->stage->first_list, memory_order_relaxed);

        // Of several that find it full one moves on.
        if (key - FIRST_LIST >= first)
            (void)atomic_compare_exchange_strong_explicit(&w->model->stage->first_list, &first,
                                                          first + 1, memory_order_relaxed,
                                                          memory_order_relaxed);
    }
    for (size_t i = 0; i < size; i++) {
        uint64_t element;

        memcpy(&element, (const uint8_t *)list->data + i * sizeof element, sizeof element);
        record(w->recorder, EVENT_ITEM, key, element);
    }
    record(w->recorder, EVENT_READ_LIST, key, 0);
}

static void read_list(struct worker *w)
{
    const uint32_t key = worker_any_list(w);
    lsm_slice list;

    worker_record_list(w, key, get(w, key, &list));
}

// --- scans ---

void worker_scan(struct worker *w, lsm_iter *it, uint32_t low, uint32_t high, unsigned count_max,
                 bool is_backward)
{
    lsm_status status = is_backward ? lsm_iter_last(it) : lsm_iter_first(it);
    uint32_t key = low;
    lsm_slice value;

    for (; status == LSM_OK && count_max > 0; count_max--) {
        key = model_key_number(w->model, lsm_iter_key(it));
        must(w, lsm_iter_value(it, &value), "a value of a scan");
        record(w->recorder, EVENT_ITEM, key, model_value_number(w->model, value));
        if (count_max > 1)
            status = is_backward ? lsm_iter_prev(it) : lsm_iter_next(it);
    }
    if (status == LSM_OK && is_backward) // it stands on the last one seen
        low = key;
    else if (status == LSM_OK)
        high = key + 1;
    else if (status != LSM_NOT_FOUND)
        must(w, status, "a scan");
    lsm_iter_close(it);
    record(w->recorder, EVENT_SCAN, low, high);
}

static void scan_range(struct worker *w, uint32_t low, uint32_t high)
{
    struct key_bytes low_bytes;
    struct key_bytes high_bytes;
    const lsm_slice lower = model_key(low, &low_bytes);
    const lsm_slice upper = model_key(high, &high_bytes);
    const lsm_iter_options options = {.lower = &lower, .upper = &upper};
    const unsigned count_max =
        random_one_in(&w->random, 3) ? 1 + (unsigned)random_below(&w->random, 6) : UINT32_MAX;
    lsm_iter *it;

    must(w, lsm_txn_iter_open(w->txn, NULL, &options, &it), "a scan cannot begin");
    maybe_yield(w);
    worker_scan(w, it, low, high, count_max, random_one_in(&w->random, 2));
}

static void scan(struct worker *w)
{
    const uint32_t low = any_register(w);
    const uint32_t width = 1 + (uint32_t)random_below(&w->random, 24);

    scan_range(w, low, low + width < REGISTERS ? low + width : REGISTERS);
}

// --- writes ---

static uint64_t new_value(struct worker *w)
{
    return w->next_value++;
}

static void put(struct worker *w, uint32_t key, lsm_slice value)
{
    struct key_bytes bytes;

    must(w, lsm_txn_put(w->txn, model_keyspace(w->model, key), model_key(key, &bytes), value),
         "a write in a transaction");
}

static void write_register(struct worker *w)
{
    const uint32_t key = any_register(w);
    const uint64_t value = new_value(w);
    struct value_bytes bytes;

    put(w, key, model_value(value, &bytes));
    record(w->recorder, EVENT_WRITE, key, value);
}

static void delete_register(struct worker *w)
{
    const uint32_t key = any_register(w);
    struct key_bytes bytes;

    must(w, lsm_txn_delete(w->txn, NULL, model_key(key, &bytes)), "a deletion in a transaction");
    record(w->recorder, EVENT_WRITE, key, 0);
}

static void change_register(struct worker *w)
{
    const uint32_t key = any_register(w);
    const uint64_t value = new_value(w);
    struct value_bytes bytes;

    read_at(w, key);
    maybe_yield(w);
    put(w, key, model_value(value, &bytes));
    record(w->recorder, EVENT_WRITE, key, value);
}

static void insert_register(struct worker *w)
{
    const uint32_t key = any_register(w);
    const uint64_t value = new_value(w);
    struct value_bytes value_bytes;
    struct key_bytes bytes;
    const lsm_status status = lsm_txn_put_if_absent(w->txn, NULL, model_key(key, &bytes),
                                                    model_value(value, &value_bytes));

    if (status == LSM_CONFLICT)
        return; // it is there, with a value not told
    must(w, status, "an insertion in a transaction");
    record(w->recorder, EVENT_READ, key, 0);
    record(w->recorder, EVENT_WRITE, key, value);
}

static void append_to_list(struct worker *w)
{
    const uint32_t key = worker_any_list(w);
    const uint64_t element = new_value(w);
    uint64_t longer[VALUE_BYTES_MAX / sizeof element];
    lsm_slice list = {NULL, 0};

    worker_record_list(w, key, get(w, key, &list));
    if (list.size > sizeof longer - sizeof element)
        return; // full, and no longer in use
    if (list.size > 0)
        memcpy(longer, list.data, list.size);
    longer[list.size / sizeof element] = element;
    maybe_yield(w);
    put(w, key, (lsm_slice){longer, list.size + sizeof element});
    record(w->recorder, EVENT_APPEND, key, element);
}

static void count_up(struct worker *w)
{
    const uint32_t key = FIRST_COUNTER + (uint32_t)random_below(&w->random, COUNTERS);
    lsm_slice old;
    int64_t counter = get(w, key, &old) == NULL ? 0 : model_integer(w->model, old);

    counter++;
    put(w, key, (lsm_slice){&counter, sizeof counter});
    record(w->recorder, EVENT_COUNTED, key, (uint64_t)counter);
}

// --- savepoints ---

static void set_savepoint(struct worker *w)
{
    if (w->savepoint_count == sizeof w->savepoints / sizeof w->savepoints[0])
        return;
    must(w, lsm_txn_savepoint(w->txn, &w->savepoints[w->savepoint_count]), "a savepoint");
    record(w->recorder, EVENT_SAVEPOINT, 0, w->savepoint_count);
    w->savepoint_count++;
}

static void go_back(struct worker *w)
{
    unsigned to;

    if (w->savepoint_count == 0)
        return;
    to = (unsigned)random_below(&w->random, w->savepoint_count);
    must(w, lsm_txn_rollback_to(w->txn, w->savepoints[to]), "rolling back to a savepoint");
    record(w->recorder, EVENT_ROLLBACK_TO, 0, to);
    w->savepoint_count = to + 1;
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

static void commit(struct worker *w)
{
    const lsm_write_options options = {.sync = random_one_in(&w->random, 64) ? LSM_SYNC_FULL
                                                                             : LSM_SYNC_WRITTEN};
    lsm_status status;

    record(w->recorder, EVENT_COMMITTING, 0, 0);
    status = lsm_commit(w->txn, &options);
    if (status == LSM_CONFLICT)
        stage_count(w->model->stage, COUNT_CONFLICTS, 1);
    else
        must(w, status, "a commit");
    worker_finish(w, status == LSM_OK ? EVENT_COMMITTED : EVENT_ABORTED, lsm_txn_commit_ts(w->txn));
    lsm_txn_free(w->txn);
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

static void step(struct worker *w)
{
    static void (*const reads[])(struct worker *) = {
        read_register, read_register, read_many, read_place, read_list, scan, scan};
    static void (*const writes[])(struct worker *) = {
        write_register, change_register, change_register, delete_register, insert_register,
        append_to_list, append_to_list,  count_up,        set_savepoint,   go_back};

    if (w->level == LEVEL_READ_ONLY || random_one_in(&w->random, 2))
        reads[random_below(&w->random, sizeof reads / sizeof reads[0])](w);
    else
        writes[random_below(&w->random, sizeof writes / sizeof writes[0])](w);
}

static void run_mixed(struct worker *w)
{
    unsigned steps = 1 + (unsigned)random_below(&w->random, STEPS_MAX);

    begin(w, any_level(w));
    while (steps-- > 0) {
        step(w);
        maybe_yield(w);
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
        put(w, FIRST_NOISE + (uint32_t)random_below(&w->random, NOISE), lsm_str("noise"));
}

// Writes many neighbours at once: a commit that takes its time, half of which nobody may see.
static void run_sweep(struct worker *w)
{
    const uint32_t first = any_register(w);
    const uint32_t width = 1 + (uint32_t)random_below(&w->random, REGISTERS);

    begin(w, any_level(w) == LEVEL_SNAPSHOT ? LEVEL_SNAPSHOT : LEVEL_SERIALIZABLE);
    for (uint32_t i = 0; i < width && i < REGISTERS; i++) {
        const uint32_t key = (first + i) % REGISTERS;
        const uint64_t value = new_value(w);
        struct value_bytes bytes;

        put(w, key, model_value(value, &bytes));
        record(w->recorder, EVENT_WRITE, key, value);
    }
    put_noise(w, (unsigned)random_below(&w->random, 300));
    append_to_list(w);
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
    const uint64_t value = new_value(w);
    struct value_bytes bytes;

    begin(w, any_level(w) == LEVEL_SNAPSHOT ? LEVEL_SNAPSHOT : LEVEL_SERIALIZABLE);
    if (random_one_in(&w->random, 2))
        read_at(w, read);
    else
        scan_range(w, read, read + 2);
    wait_for_others(w, 500);
    put(w, written, model_value(value, &bytes));
    record(w->recorder, EVENT_WRITE, written, value);
    commit(w);
}

// --- the bank ---

static int64_t add_to_account(struct worker *w, uint32_t account, int64_t amount)
{
    lsm_slice value;
    int64_t balance;

    if (get(w, account, &value) == NULL)
        stage_complain(w->model->stage, "account %u is gone", account);
    balance = model_integer(w->model, value) + amount;
    put(w, account, (lsm_slice){&balance, sizeof balance});
    return balance;
}

static void transfer(struct worker *w)
{
    const uint32_t from = (uint32_t)random_below(&w->random, ACCOUNTS);
    const uint32_t to = (from + 1 + (uint32_t)random_below(&w->random, ACCOUNTS - 1)) % ACCOUNTS;
    const int64_t amount = (int64_t)random_below(&w->random, 100);

    begin(w, random_one_in(&w->random, 2) ? LEVEL_SNAPSHOT : LEVEL_SERIALIZABLE);
    (void)add_to_account(w, FIRST_ACCOUNT + from, -amount);
    maybe_yield(w);
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
            worker_record_list(w, next, NULL);
        must(w, lsm_iter_value(it, &list), "a list");
        worker_record_list(w, key, &list);
        next = key + 1;
    }
    if (status != LSM_NOT_FOUND)
        must(w, status, "an iterator over lists");
    lsm_iter_close(it);
    for (; next < FIRST_LIST + atomic_load(&w->model->stage->first_list) + LISTS_OPEN; next++)
        worker_record_list(w, next, NULL);
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
    worker_scan(w, open_txn_range(w, 0, REGISTERS), 0, REGISTERS, UINT32_MAX, false);
    worker_scan(w, open_txn_range(w, FIRST_PLACE, FIRST_PLACE + PLACES), FIRST_PLACE,
                FIRST_PLACE + PLACES, UINT32_MAX, false);
    worker_scan(w, open_txn_range(w, FIRST_QUIET, FIRST_QUIET + QUIET), FIRST_QUIET,
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
