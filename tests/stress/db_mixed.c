// db_mixed.c -- sixteen threads on one database, and what must hold all the time.
//
// Tellers move money between accounts in transactions: the sum stays. Auditors add it up in
// snapshots and with iterators. Writers put values that tell their key, readers check them,
// and one thread flushes. Small memtables keep the background busy. The seconds to run are
// the first argument.

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "env/sync.h"
#include "lsmkv.h"
#include "support/random.h"

#define TELLERS  5
#define AUDITORS 3
#define WRITERS  4
#define READERS  3
#define FLUSHERS 1
#define THREADS  (TELLERS + AUDITORS + WRITERS + READERS + FLUSHERS)

#define ACCOUNTS 64
#define BALANCE  1000
#define KEYS     2000
#define LARGE    2000

static lsm_db *db;
static _Atomic bool is_over;
static _Atomic uint64_t transfers, conflicts, audits, writes, reads, flushes;

static void check(bool is_right, const char *what)
{
    if (!is_right) {
        fprintf(stderr, "db_mixed: %s: %s\n", what, lsm_errmsg());
        exit(1);
    }
}

static void must(lsm_status status, const char *what)
{
    check(status == LSM_OK, what);
}

static bool is_running(void)
{
    return !atomic_load_explicit(&is_over, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static lsm_slice key_of(const char *kind, unsigned number, char text[32])
{
    (void)snprintf(text, 32, "%s-%05u", kind, number);
    return lsm_str(text);
}

// --- money ---

static int64_t balance_of(lsm_slice value)
{
    int64_t balance = 0;

    check(value.size == sizeof balance, "a balance has another size");
    memcpy(&balance, value.data, sizeof balance);
    return balance;
}

static lsm_status add_to(lsm_txn *txn, unsigned account, int64_t amount)
{
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status;
    int64_t balance;
    char text[32];

    status = lsm_txn_get(txn, NULL, key_of("account", account, text), &value);
    must(status, "a balance cannot be read");
    balance = balance_of((lsm_slice){value.data, value.size}) + amount;
    lsm_buf_free(&value);
    return lsm_txn_put(txn, NULL, key_of("account", account, text),
                       (lsm_slice){&balance, sizeof balance});
}

static void transfer(struct random *random)
{
    unsigned from = (unsigned)random_below(random, ACCOUNTS);
    unsigned to = (from + 1 + (unsigned)random_below(random, ACCOUNTS - 1)) % ACCOUNTS;
    int64_t amount = (int64_t)random_below(random, 100);
    const lsm_write_options options = {.sync = random_one_in(random, 8) ? LSM_SYNC_FULL
                                                                        : LSM_SYNC_WRITTEN};
    lsm_status status;
    lsm_txn *txn;

    must(lsm_begin(db, LSM_TXN_SERIALIZABLE, &txn), "a transaction cannot begin");
    must(add_to(txn, from, -amount), "a transfer");
    must(add_to(txn, to, amount), "a transfer");
    status = lsm_commit(txn, &options);
    lsm_txn_free(txn);
    check(status == LSM_OK || status == LSM_CONFLICT, "a transfer cannot commit");
    count(status == LSM_OK ? &transfers : &conflicts);
}

static void audit(struct random *random)
{
    const lsm_slice prefix = lsm_str("account-");
    const lsm_iter_options options = {.prefix = &prefix};
    bool is_forward = random_one_in(random, 2);
    lsm_snapshot *snapshot;
    lsm_status status;
    unsigned accounts = 0;
    int64_t sum = 0;
    lsm_slice value;
    lsm_iter *it;

    must(lsm_snapshot_new(db, "audit", &snapshot), "a snapshot");
    must(lsm_snapshot_iter_open(snapshot, NULL, &options, &it), "an iterator");
    status = is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    for (; status == LSM_OK; status = is_forward ? lsm_iter_next(it) : lsm_iter_prev(it)) {
        must(lsm_iter_value(it, &value), "a value of an iterator");
        sum += balance_of(value);
        accounts++;
    }
    check(status == LSM_NOT_FOUND, "an iterator fails");
    check(accounts == ACCOUNTS && sum == (int64_t)ACCOUNTS * BALANCE, "money is lost or made");
    lsm_iter_close(it);
    lsm_snapshot_free(snapshot);
    count(&audits);
}

// --- values that tell their key ---

static void put_or_delete(struct random *random)
{
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
    unsigned number = (unsigned)random_below(random, KEYS);
    size_t size = random_one_in(random, 4) ? LARGE : 16 + (size_t)random_below(random, 64);
    uint8_t value[LARGE];
    char text[32];

    memset(value, (int)(number % 251), size);
    if (random_one_in(random, 8))
        must(lsm_delete(db, NULL, key_of("key", number, text), &options), "a deletion");
    else
        must(lsm_put(db, NULL, key_of("key", number, text), (lsm_slice){value, size}, &options),
             "a put");
    count(&writes);
}

// Walks over memtables and tables while they are written and replaced.
static void measure(struct random *random)
{
    const unsigned number = (unsigned)random_below(random, KEYS);
    uint64_t bytes;
    char text[32];
    const lsm_slice from = key_of("key", number, text);

    must(lsm_approximate_size(db, NULL, &from, NULL, &bytes), "a size");
}

static void read_one(struct random *random)
{
    unsigned number = (unsigned)random_below(random, KEYS);
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status;
    char text[32];

    status = lsm_get(db, NULL, key_of("key", number, text), &value);
    check(status == LSM_OK || status == LSM_NOT_FOUND, "a value cannot be read");
    for (size_t i = 0; i < value.size; i++)
        check(((const uint8_t *)value.data)[i] == number % 251, "a value is of another key");
    lsm_buf_free(&value);
    count(&reads);
    if (random_one_in(random, 100))
        measure(random);
}

static void flush(struct random *random)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    must(lsm_flush(db), "a flush");
    measure(random);
    if (random_one_in(random, 4))
        must(lsm_compact_range(db, NULL, NULL, NULL), "a compaction");
    count(&flushes);
    (void)nanosleep(&pause, NULL);
}

// --- threads ---

struct worker {
    struct random random;
    void (*work)(struct random *random);
};

static void *run_worker(void *arg)
{
    struct worker *worker = arg;

    while (is_running())
        worker->work(&worker->random);
    return NULL;
}

static void run_threads(unsigned seconds)
{
    static const struct {
        unsigned count;
        void (*work)(struct random *random);
    } kinds[] = {
        {TELLERS, transfer}, {AUDITORS, audit}, {WRITERS, put_or_delete},
        {READERS, read_one}, {FLUSHERS, flush},
    };
    struct random random = random_for_test("db_mixed");
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    unsigned started = 0;

    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (unsigned i = 0; i < kinds[kind].count; i++, started++) {
            workers[started] = (struct worker){{random_next(&random)}, kinds[kind].work};
            check(pthread_create(&threads[started], NULL, run_worker, &workers[started]) == 0,
                  "a thread cannot be made");
        }
    }
    (void)sleep(seconds);
    atomic_store_explicit(&is_over, true, memory_order_relaxed);
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
}

static void open_database(const char *path)
{
    lsm_options *options;

    must(lsm_options_new(&options), "options");
    must(lsm_options_set(options, "memtable_size", "256KiB"), "memtable_size");
    must(lsm_options_set(options, "segment_size_max", "1MiB"), "segment_size_max");
    must(lsm_options_set(options, "table_size", "64KiB"), "table_size");
    must(lsm_options_set(options, "level_base_size", "256KiB"), "level_base_size");
    must(lsm_options_set(options, "cache_size", "1MiB"), "cache_size");
    must(lsm_open(path, options, &db), "the database cannot be opened");
    lsm_options_free(options);
}

static void open_accounts(void)
{
    const int64_t balance = BALANCE;
    char text[32];

    for (unsigned i = 0; i < ACCOUNTS; i++)
        must(lsm_put(db, NULL, key_of("account", i, text), (lsm_slice){&balance, sizeof balance},
                     NULL),
             "an account");
}

static void remove_directory(const char *path)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -r '%s'", path);
    check(system(command) == 0, "the directory cannot be removed");
}

int main(int argc, char **argv)
{
    char path[] = "/tmp/lsmkv-db_mixed-XXXXXX";
    struct random random = {.state = 1};
    unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10;

    check(mkdtemp(path) != NULL, "no directory");
    open_database(path);
    open_accounts();
    run_threads(seconds);
    must(lsm_verify(db, NULL, NULL), "a file is damaged");
    must(lsm_close(db), "close");
    open_database(path);
    audit(&random);
    must(lsm_verify(db, NULL, NULL), "a file is damaged after reopening");
    must(lsm_close(db), "close");
    remove_directory(path);
    printf("%" PRIu64 " transfers, %" PRIu64 " conflicts, %" PRIu64 " audits, %" PRIu64
           " puts, %" PRIu64 " gets, %" PRIu64 " flushes\n",
           atomic_load(&transfers), atomic_load(&conflicts), atomic_load(&audits),
           atomic_load(&writes), atomic_load(&reads), atomic_load(&flushes));
    return 0;
}
