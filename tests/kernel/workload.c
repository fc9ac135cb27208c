#include "kernel/workload.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// --- options ---

static void set_one_of(lsm_options *options, struct random *random, const char *name,
                       const char *const *values, size_t count)
{
    if (lsm_options_set(options, name, values[random_below(random, count)]) != LSM_OK) {
        fprintf(stderr, "%s\n", lsm_errmsg());
        exit(1);
    }
}

#define SET_ONE_OF(options, random, name, ...)                                                     \
    set_one_of((options), (random), (name), (const char *const[]){__VA_ARGS__},                    \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

lsm_options *busy_options(struct random *random)
{
    lsm_options *options;

    if (lsm_options_new(&options) != LSM_OK) {
        fprintf(stderr, "%s\n", lsm_errmsg());
        exit(1);
    }
    SET_ONE_OF(options, random, "memtable_size", "64KiB", "128KiB", "512KiB");
    SET_ONE_OF(options, random, "cache_size", "1MiB", "8MiB");
    SET_ONE_OF(options, random, "segment_size_max", "1MiB", "4MiB");
    SET_ONE_OF(options, random, "table_size", "16KiB", "64KiB");
    SET_ONE_OF(options, random, "level_base_size", "64KiB", "256KiB");
    SET_ONE_OF(options, random, "level_multiplier", "2", "4");
    SET_ONE_OF(options, random, "level0_trigger", "1", "2", "4");
    SET_ONE_OF(options, random, "block_size", "256", "1KiB", "4KiB");
    SET_ONE_OF(options, random, "value_threshold", "0", "64", "1KiB", "64KiB");
    SET_ONE_OF(options, random, "compression", "0", "1");
    SET_ONE_OF(options, random, "workers", "1", "2", "3");
    SET_ONE_OF(options, random, "sync_interval", "1ms", "5ms", "1s");
    SET_ONE_OF(options, random, "idle_flush", "100ms", "1s");
    SET_ONE_OF(options, random, "versions_to_keep", "1", "1", "3");
    SET_ONE_OF(options, random, "open_files_max", "0", "8");
    return options;
}

void take_all_descriptors(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

// --- one thread ---

struct worker {
    struct load *load;
    lsm_keyspace *twin;
    lsm_keyspace *journal;
    lsm_keyspace *temp; // the housekeeper's
    uint32_t thread;
    lsm_batch *batch;
    uint8_t *value; // VALUE_SIZE_MAX bytes
    pthread_t handle;
};

static bool is_in_trouble(const struct worker *worker)
{
    return atomic_load(&worker->load->ledger->is_in_trouble);
}

// Whether a call may end so. What fails for lack of something still never looks like damage.
static bool is_tolerable(bool may_fail, lsm_status status)
{
    return status == LSM_OK || (may_fail && status != LSM_CORRUPT && status != LSM_UNSUPPORTED);
}

static bool is_tolerable_write(const struct load *load, lsm_status status)
{
    return status == LSM_CONFLICT || is_tolerable(load->writes_may_fail, status);
}

static lsm_keyspace *keyspace_of(const struct worker *worker, enum store store)
{
    switch (store) {
    case STORE_TWIN:
        return worker->twin;
    case STORE_TEMP:
        return worker->temp;
    default:
        return NULL;
    }
}

// Where an attempt's writes go: a transaction, or, without one, the worker's batch.
static lsm_status write_one(struct worker *worker, lsm_txn *txn, lsm_keyspace *keyspace,
                            lsm_slice key, const struct stamp *stamp)
{
    lsm_slice value;

    if (stamp->size == 0)
        return txn != NULL ? lsm_txn_delete(txn, keyspace, key)
                           : lsm_batch_delete(worker->batch, keyspace, key);
    value = value_make(*stamp, worker->value);
    return txn != NULL ? lsm_txn_put(txn, keyspace, key, value)
                       : lsm_batch_put(worker->batch, keyspace, key, value);
}

static lsm_status write_changes(struct worker *worker, lsm_txn *txn, struct attempt_id id,
                                const struct plan *plan)
{
    const struct stamp record = {id, STORE_COUNT, SLOT_NONE, plan->record_size};
    char text[KEY_TEXT_MAX];

    for (uint32_t i = 0; i < plan->change_count; i++) {
        const struct change *change = &plan->changes[i];
        const struct stamp stamp = {id, change->store, change->slot, change->size};
        const lsm_status status = write_one(worker, txn, keyspace_of(worker, change->store),
                                            slot_key(change->slot, text), &stamp);

        if (status != LSM_OK)
            return status;
    }
    return write_one(worker, txn, worker->journal, journal_key(id, text), &record);
}

static lsm_write_options options_of(const struct plan *plan)
{
    return (lsm_write_options){.sync = plan->is_sync ? LSM_SYNC_FULL : LSM_SYNC_WRITTEN};
}

static lsm_status run_batch(struct worker *worker, struct attempt_id id, const struct plan *plan)
{
    const lsm_write_options options = options_of(plan);
    lsm_status status;

    lsm_batch_clear(worker->batch);
    status = write_changes(worker, NULL, id, plan);
    return status != LSM_OK ? status : lsm_write(worker->load->db, worker->batch, &options);
}

static lsm_status run_put(struct worker *worker, struct attempt_id id, const struct plan *plan)
{
    const lsm_write_options options = options_of(plan);
    const struct stamp record = {id, STORE_COUNT, SLOT_NONE, plan->record_size};
    const lsm_slice value = value_make(record, worker->value);
    char text[KEY_TEXT_MAX];
    const lsm_slice key = journal_key(id, text);

    return plan->is_conditional
               ? lsm_put_if_absent(worker->load->db, worker->journal, key, value, &options)
               : lsm_put(worker->load->db, worker->journal, key, value, &options);
}

// --- transactions ---

static lsm_status add_to_counters(lsm_txn *txn, const struct plan *plan)
{
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status = LSM_OK;

    for (uint32_t i = 0; i < plan->counter_count && status == LSM_OK; i++) {
        char text[KEY_TEXT_MAX];
        const lsm_slice key = counter_key((plan->counter + i) % COUNTERS, text);
        uint64_t count = 0;

        status = lsm_txn_get(txn, NULL, key, &value);
        if (status == LSM_OK && value.size == sizeof count)
            memcpy(&count, value.data, sizeof count);
        count++;
        if (status == LSM_OK || status == LSM_NOT_FOUND)
            status = lsm_txn_put(txn, NULL, key, (lsm_slice){&count, sizeof count});
    }
    lsm_buf_free(&value);
    return status;
}

// An attempt on its way, for whoever learns of its end.
struct pending {
    struct load *load;
    struct attempt_id id;
};

static void commit_ended(void *ctx, lsm_status status, uint64_t commit_ts)
{
    struct pending *pending = ctx;

    if (!is_tolerable_write(pending->load, status))
        (void)ledger_trouble(pending->load->ledger, "an asynchronous commit: %s",
                             lsm_status_name(status));
    ledger_settle(pending->load->ledger, pending->id, status, commit_ts);
    atomic_fetch_sub(&pending->load->pending, 1); // from here the load may be gone
    free(pending);
}

// `*is_pending` when commit_ended() is going to be told, or has been.
static lsm_status commit(struct worker *worker, lsm_txn *txn, struct attempt_id id,
                         const struct plan *plan, bool *is_pending, uint64_t *ts)
{
    const lsm_write_options options = options_of(plan);
    struct pending *pending;
    lsm_status status;

    if (!plan->is_async) {
        status = lsm_commit(txn, &options);
        *ts = lsm_txn_commit_ts(txn);
        return status;
    }
    pending = malloc(sizeof *pending);
    if (pending == NULL)
        return LSM_NO_MEMORY;
    *pending = (struct pending){worker->load, id};
    atomic_fetch_add(&worker->load->pending, 1);
    status = lsm_commit_async(txn, &options, commit_ended, pending);
    *is_pending = status == LSM_OK;
    if (status != LSM_OK) {
        atomic_fetch_sub(&worker->load->pending, 1);
        free(pending);
    }
    return status;
}

static lsm_status run_txn(struct worker *worker, struct attempt_id id, const struct plan *plan,
                          bool *is_pending, uint64_t *ts)
{
    lsm_txn *txn;
    lsm_status status = lsm_begin(
        worker->load->db, plan->is_serializable ? LSM_TXN_SERIALIZABLE : LSM_TXN_SNAPSHOT, &txn);

    if (status != LSM_OK)
        return status;
    status = add_to_counters(txn, plan);
    if (status == LSM_OK)
        status = write_changes(worker, txn, id, plan);
    if (status == LSM_OK)
        status = commit(worker, txn, id, plan, is_pending, ts);
    lsm_txn_free(txn);
    return status;
}

// --- keeping house ---

static lsm_status run_create(struct worker *worker, struct attempt_id id)
{
    char text[KEY_TEXT_MAX];

    (void)temp_name(id.life, temp_generation(id.number), text);
    lsm_keyspace_close(worker->temp);
    worker->temp = NULL;
    return lsm_keyspace_open(worker->load->db, text, true, NULL, &worker->temp);
}

static lsm_status run_drop(struct worker *worker, struct attempt_id id)
{
    char text[KEY_TEXT_MAX];

    (void)temp_name(id.life, temp_generation(id.number), text);
    return lsm_keyspace_drop(worker->load->db, text);
}

// Deletes the records of earlier lives, all at once.
static lsm_status run_trim(struct worker *worker, struct attempt_id id, const struct plan *plan)
{
    const lsm_iter_options options = {.keys_only = true};
    const lsm_write_options write_options = options_of(plan);
    lsm_iter *it;
    lsm_status status = lsm_iter_open(worker->load->db, worker->journal, &options, &it);

    if (status != LSM_OK)
        return status;
    lsm_batch_clear(worker->batch);
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        status = lsm_batch_delete(worker->batch, worker->journal, lsm_iter_key(it));
        if (status != LSM_OK)
            break;
    }
    lsm_iter_close(it);
    if (status == LSM_NOT_FOUND)
        status = write_changes(worker, NULL, id, plan);
    return status != LSM_OK ? status : lsm_write(worker->load->db, worker->batch, &write_options);
}

static lsm_status run_compact(struct worker *worker, struct attempt_id id)
{
    char from_text[KEY_TEXT_MAX], to_text[KEY_TEXT_MAX];
    const lsm_slice from = slot_key(id.number % SLOTS, from_text);
    const lsm_slice to = slot_key((id.number + SLOTS / 2) % SLOTS, to_text);

    if (id.number % 3 == 0)
        return lsm_compact_range(worker->load->db, NULL, NULL, NULL);
    if (memcmp(from.data, to.data, from.size < to.size ? from.size : to.size) > 0)
        return lsm_compact_range(worker->load->db, worker->twin, &to, &from);
    return lsm_compact_range(worker->load->db, worker->twin, &from, &to);
}

// --- attempts ---

static lsm_status run_plan(struct worker *worker, struct attempt_id id, const struct plan *plan,
                           bool *is_pending, uint64_t *ts)
{
    switch (plan->kind) {
    case PLAN_PUT:
        return run_put(worker, id, plan);
    case PLAN_BATCH:
        return run_batch(worker, id, plan);
    case PLAN_TXN:
        return run_txn(worker, id, plan, is_pending, ts);
    case PLAN_TRIM:
        return run_trim(worker, id, plan);
    case PLAN_CREATE:
        return run_create(worker, id);
    case PLAN_DROP:
        return run_drop(worker, id);
    case PLAN_FLUSH:
        return lsm_flush(worker->load->db);
    case PLAN_COMPACT:
        return run_compact(worker, id);
    case PLAN_SYNC:
        return lsm_sync(worker->load->db);
    }
    return LSM_INVALID;
}

static void attempt(struct worker *worker, uint32_t number)
{
    struct ledger *ledger = worker->load->ledger;
    const struct attempt_id id = {ledger->life, worker->thread, number};
    const struct plan plan = plan_of(ledger->seed, id, ledger->threads);
    bool is_pending = false;
    uint64_t ts = 0;
    lsm_status status;

    ledger_start(ledger, id);
    // A create that failed leaves no keyspace to write to.
    if (plan.change_count > 0 && plan.changes[0].store == STORE_TEMP && worker->temp == NULL)
        status = LSM_INVALID;
    else
        status = run_plan(worker, id, &plan, &is_pending, &ts);
    if (is_pending)
        return;
    if (!is_tolerable_write(worker->load, status))
        (void)ledger_trouble(ledger, "attempt %u/%u (kind %d): %s: %s", id.thread, id.number,
                             plan.kind, lsm_status_name(status), lsm_errmsg());
    ledger_settle(ledger, id, status, status == LSM_OK ? ts : 0);
}

static void *run_worker(void *ctx)
{
    struct worker *worker = ctx;
    const uint32_t first = worker->thread == 0; // behind the trim

    for (uint32_t n = first; n < worker->load->attempts && !is_in_trouble(worker); n++)
        attempt(worker, n);
    return NULL;
}

// --- the reader ---

struct reader {
    struct load *load;
    lsm_keyspace *twin;
    struct random random;
    _Atomic bool is_over;
    pthread_t handle;
};

static lsm_status get_stamp(lsm_snapshot *snapshot, lsm_keyspace *keyspace, uint32_t slot,
                            struct stamp *stamp)
{
    lsm_buf value = LSM_BUF_INIT;
    char text[KEY_TEXT_MAX];
    lsm_status status = lsm_snapshot_get(snapshot, keyspace, slot_key(slot, text), &value);

    if (status == LSM_OK && !value_is_whole((lsm_slice){value.data, value.size}, stamp))
        status = LSM_CORRUPT;
    lsm_buf_free(&value);
    return status;
}

// A snapshot sees both halves of a pair or neither.
static void check_pair(struct reader *reader, lsm_snapshot *snapshot, uint32_t slot)
{
    struct stamp main_stamp = {0}, twin_stamp = {0};
    const lsm_status main_status = get_stamp(snapshot, NULL, slot, &main_stamp);
    const lsm_status twin_status = get_stamp(snapshot, reader->twin, slot, &twin_stamp);

    if (reader->load->reads_may_fail && (main_status != LSM_OK || twin_status != LSM_OK) &&
        is_tolerable(true, main_status) && is_tolerable(true, twin_status))
        return;
    if ((main_status != LSM_OK && main_status != LSM_NOT_FOUND) || main_status != twin_status)
        (void)ledger_trouble(reader->load->ledger, "pair %u: %s and %s: %s", slot,
                             lsm_status_name(main_status), lsm_status_name(twin_status),
                             lsm_errmsg());
    else if (memcmp(&main_stamp.id, &twin_stamp.id, sizeof main_stamp.id) != 0)
        (void)ledger_trouble(reader->load->ledger, "pair %u: halves of two commits in a snapshot",
                             slot);
}

static void check_scan(struct reader *reader, lsm_snapshot *snapshot)
{
    lsm_iter *it;
    lsm_status status = lsm_snapshot_iter_open(snapshot, reader->twin, NULL, &it);
    lsm_slice value;
    struct stamp stamp;

    if (status == LSM_OK) {
        for (status = lsm_iter_last(it); status == LSM_OK; status = lsm_iter_prev(it)) {
            status = lsm_iter_value(it, &value);
            if (status == LSM_OK && !value_is_whole(value, &stamp))
                status = LSM_CORRUPT;
            if (status != LSM_OK)
                break;
        }
        lsm_iter_close(it);
    }
    if (status != LSM_NOT_FOUND && !is_tolerable(reader->load->reads_may_fail, status))
        (void)ledger_trouble(reader->load->ledger, "a scan of a snapshot: %s: %s",
                             lsm_status_name(status), lsm_errmsg());
}

static void *run_reader(void *ctx)
{
    struct reader *reader = ctx;

    while (!atomic_load(&reader->is_over)) {
        lsm_snapshot *snapshot;

        if (lsm_snapshot_new(reader->load->db, "reader", &snapshot) != LSM_OK)
            continue;
        for (uint32_t i = 0; i < 8; i++)
            check_pair(reader, snapshot, (uint32_t)random_below(&reader->random, PAIRS));
        check_scan(reader, snapshot);
        lsm_snapshot_free(snapshot);
    }
    return NULL;
}

// --- a life ---

// Drops the keyspaces that came and went in earlier lives.
static lsm_status drop_leftovers(lsm_db *db)
{
    lsm_keyspace_info *infos;
    size_t count;
    lsm_status status = lsm_keyspace_list(db, &infos, &count);

    if (status != LSM_OK)
        return status;
    for (size_t i = 0; i < count && status == LSM_OK; i++) {
        uint32_t life, generation;

        if (temp_parse(infos[i].name, &life, &generation))
            status = lsm_keyspace_drop(db, infos[i].name);
    }
    lsm_free(infos);
    return status;
}

static lsm_status worker_init(struct worker *worker, struct load *load, uint32_t thread)
{
    lsm_status status;

    *worker = (struct worker){.load = load, .thread = thread, .value = malloc(VALUE_SIZE_MAX)};
    if (worker->value == NULL)
        return LSM_NO_MEMORY;
    status = lsm_keyspace_open(load->db, "twin", true, NULL, &worker->twin);
    if (status == LSM_OK)
        status = lsm_keyspace_open(load->db, "journal", true, NULL, &worker->journal);
    if (status == LSM_OK)
        status = lsm_batch_new(&worker->batch);
    return status;
}

static void worker_release(struct worker *worker)
{
    lsm_keyspace_close(worker->twin);
    lsm_keyspace_close(worker->journal);
    lsm_keyspace_close(worker->temp);
    lsm_batch_free(worker->batch);
    free(worker->value);
}

static void run_threads(struct load *load, struct worker *workers)
{
    struct reader reader = {.load = load, .twin = workers[0].twin};

    reader.random.state = load->ledger->seed ^ load->ledger->life;
    atomic_store(&load->ledger->is_loading, true);
    if (pthread_create(&reader.handle, NULL, run_reader, &reader) != 0)
        abort();
    for (uint32_t t = 0; t < load->ledger->threads; t++) {
        if (pthread_create(&workers[t].handle, NULL, run_worker, &workers[t]) != 0)
            abort();
    }
    if (load->begun != NULL)
        load->begun();
    for (uint32_t t = 0; t < load->ledger->threads; t++)
        (void)pthread_join(workers[t].handle, NULL);
    atomic_store(&reader.is_over, true);
    (void)pthread_join(reader.handle, NULL);
}

bool load_run(struct load *load)
{
    struct worker workers[THREADS_MAX] = {0};
    struct ledger *ledger = load->ledger;
    lsm_status status = drop_leftovers(load->db);

    if (is_tolerable(load->writes_may_fail, status))
        status = LSM_OK; // a later life drops them
    for (uint32_t t = 0; t < ledger->threads && status == LSM_OK; t++)
        status = worker_init(&workers[t], load, t);
    if (status == LSM_OK) {
        attempt(&workers[0], 0);
        run_threads(load, workers);
    } else if (!is_tolerable_write(load, status)) {
        (void)ledger_trouble(ledger, "a life cannot begin: %s", lsm_errmsg());
    }
    // An asynchronous commit settles its attempt from another thread; lsm_wait_idle() does not wait
    // for it once the poison is set.
    while (atomic_load(&load->pending) > 0)
        (void)usleep(200);
    if (status == LSM_OK && lsm_wait_idle(load->db) != LSM_OK && !load->writes_may_fail)
        (void)ledger_trouble(ledger, "lsm_wait_idle: %s", lsm_errmsg());
    for (uint32_t t = 0; t < ledger->threads; t++)
        worker_release(&workers[t]);
    return !atomic_load(&ledger->is_in_trouble);
}
