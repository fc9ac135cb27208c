#include "bench_run.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"

#define VALUE_POOL_SIZE  ((size_t)1 << 20)
#define VALUE_PIECE_SIZE 128 // values repeat within such pieces, as much as asked for
#define LIVE_PERIOD_NS   200000000
#define SCAN_SAMPLE      16 // of so many moves one is timed

struct worker;

// Does one operation. LSM_NOT_FOUND, of an iterator at its end, ends the thread's work with
// success.
typedef lsm_status (*operation_fn)(struct worker *worker);

enum workload_kind { WORKLOAD_WRITE, WORKLOAD_READ, WORKLOAD_SCAN, WORKLOAD_UPKEEP };

struct workload {
    const char *name;
    enum workload_kind kind;
    operation_fn operation;
};

struct bench {
    struct session *session;
    struct bench_config config;
    uint8_t *pool; // VALUE_POOL_SIZE and one value
};

struct worker {
    struct bench *bench;
    const struct workload *workload;
    pthread_t thread;
    uint64_t random; // state of the generator
    uint64_t next;   // key of the next sequential write
    uint64_t share;  // operations to do
    bool is_scan_done;

    lsm_batch *batch;
    lsm_iter *it;
    lsm_buf value;
    char key[BENCH_KEY_SIZE_MAX + 1];

    _Atomic uint64_t done; // operations; relaxed, read for the live line
    uint64_t entries;
    uint64_t bytes;
    struct histogram latency;
    uint64_t end_ns;
    struct failure failure;

    _Atomic bool *stop; // set when the time is up, or another worker has failed
    _Atomic uint64_t *running;
};

// --- keys and values ---

// splitmix64: Steele, Lea, Flood, 2014.
static uint64_t random_next(struct worker *w)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t random_index(struct worker *w)
{
    return hash_place(random_next(w), w->bench->config.num);
}

static lsm_slice make_key(struct worker *w, uint64_t index)
{
    size_t size = (size_t)w->bench->config.key_size;

    for (size_t i = size; i-- > 0; index /= 10)
        w->key[i] = (char)('0' + index % 10);
    return slice_make(w->key, size);
}

static lsm_slice make_value(struct worker *w)
{
    return slice_make(w->bench->pool + random_next(w) % VALUE_POOL_SIZE,
                      (size_t)w->bench->config.value_size);
}

// Random bytes, of which the share that does not compress is `ratio`.
static void fill_pool(uint8_t *pool, size_t size, double ratio, uint64_t seed)
{
    struct worker source = {.random = seed};
    size_t fresh = ratio >= 1 ? VALUE_PIECE_SIZE : (size_t)(VALUE_PIECE_SIZE * ratio);

    if (fresh == 0)
        fresh = 1;
    for (size_t i = 0; i < size; i++) {
        size_t within = i % VALUE_PIECE_SIZE;

        pool[i] = within < fresh ? (uint8_t)random_next(&source) : pool[i - fresh];
    }
}

// --- writing ---

static lsm_status write_one(struct worker *w, uint64_t index)
{
    const lsm_write_options options = {.sync = w->bench->config.sync};
    lsm_slice key = make_key(w, index);
    lsm_slice value = make_value(w);

    TRY(lsm_put(w->bench->session->db, w->bench->session->keyspace, key, value, &options));
    w->entries++;
    w->bytes += key.size + value.size;
    return LSM_OK;
}

static lsm_status write_batch(struct worker *w, uint64_t (*index_of)(struct worker *))
{
    const lsm_write_options options = {.sync = w->bench->config.sync};
    const struct session *session = w->bench->session;

    if (w->bench->config.batch == 1)
        return write_one(w, index_of(w));
    lsm_batch_clear(w->batch);
    for (uint64_t i = 0; i < w->bench->config.batch; i++) {
        lsm_slice key = make_key(w, index_of(w));
        lsm_slice value = make_value(w);

        TRY(lsm_batch_put(w->batch, session->keyspace, key, value));
        w->bytes += key.size + value.size;
    }
    w->entries += w->bench->config.batch;
    return lsm_write(session->db, w->batch, &options);
}

static uint64_t next_index(struct worker *w)
{
    return w->next++;
}

static lsm_status op_fill_sequential(struct worker *w)
{
    return write_batch(w, next_index);
}

static lsm_status op_fill_random(struct worker *w)
{
    return write_batch(w, random_index);
}

// --- reading ---

static lsm_status read_one(struct worker *w, lsm_slice key)
{
    lsm_status status = lsm_get(w->bench->session->db, w->bench->session->keyspace, key, &w->value);

    if (status == LSM_NOT_FOUND)
        return LSM_OK;
    TRY(status);
    w->entries++;
    w->bytes += key.size + w->value.size;
    return LSM_OK;
}

static lsm_status op_read_random(struct worker *w)
{
    return read_one(w, make_key(w, random_index(w)));
}

// Keys that lie between those that are there.
static lsm_status op_read_missing(struct worker *w)
{
    lsm_slice key = make_key(w, random_index(w));

    w->key[key.size - 1] = '.';
    return read_one(w, key);
}

static lsm_status op_mixed(struct worker *w)
{
    if (random_next(w) % 100 < w->bench->config.read_percent)
        return op_read_random(w);
    return op_fill_random(w);
}

// --- scanning ---

static lsm_status take_entry(struct worker *w)
{
    lsm_slice value;

    TRY(lsm_iter_value(w->it, &value));
    w->entries++;
    w->bytes += lsm_iter_key(w->it).size + value.size;
    return LSM_OK;
}

static lsm_status scan_step(struct worker *w, lsm_status (*start)(lsm_iter *),
                            lsm_status (*move)(lsm_iter *))
{
    const struct session *session = w->bench->session;

    if (w->it != NULL) {
        TRY(move(w->it));
    } else {
        TRY(lsm_iter_open(session->db, session->keyspace, NULL, &w->it));
        TRY(start(w->it));
    }
    return take_entry(w);
}

static lsm_status op_read_forward(struct worker *w)
{
    return scan_step(w, lsm_iter_first, lsm_iter_next);
}

static lsm_status op_read_reverse(struct worker *w)
{
    return scan_step(w, lsm_iter_last, lsm_iter_prev);
}

static lsm_status op_seek_random(struct worker *w)
{
    const struct session *session = w->bench->session;
    lsm_status status;

    if (w->it == NULL)
        TRY(lsm_iter_open(session->db, session->keyspace, NULL, &w->it));
    status = lsm_iter_seek(w->it, make_key(w, random_index(w)));
    for (uint64_t i = 0; status == LSM_OK; i++) {
        TRY(take_entry(w));
        if (i == w->bench->config.seek_nexts)
            break;
        status = lsm_iter_next(w->it);
    }
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

// --- upkeep between workloads ---

static lsm_status op_flush(struct worker *w)
{
    return lsm_flush(w->bench->session->db);
}

static lsm_status op_compact(struct worker *w)
{
    TRY(lsm_flush(w->bench->session->db));
    return lsm_compact_range(w->bench->session->db, NULL, NULL, NULL);
}

static lsm_status op_wait(struct worker *w)
{
    return lsm_wait_idle(w->bench->session->db);
}

static const struct workload workloads[] = {
    {"fillseq", WORKLOAD_WRITE, op_fill_sequential},
    {"fillrandom", WORKLOAD_WRITE, op_fill_random},
    {"overwrite", WORKLOAD_WRITE, op_fill_random},
    {"readrandom", WORKLOAD_READ, op_read_random},
    {"readmissing", WORKLOAD_READ, op_read_missing},
    {"readseq", WORKLOAD_SCAN, op_read_forward},
    {"readreverse", WORKLOAD_SCAN, op_read_reverse},
    {"seekrandom", WORKLOAD_READ, op_seek_random},
    {"mixed", WORKLOAD_READ, op_mixed},
    {"flush", WORKLOAD_UPKEEP, op_flush},
    {"compact", WORKLOAD_UPKEEP, op_compact},
    {"wait", WORKLOAD_UPKEEP, op_wait},
};

#define WORKLOAD_COUNT (sizeof workloads / sizeof workloads[0])

static const struct workload *find_workload(const char *name)
{
    for (size_t i = 0; i < WORKLOAD_COUNT; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}

bool bench_is_workload(const char *name)
{
    return find_workload(name) != NULL;
}

// --- threads ---

// One operation, timed.
static lsm_status worker_time_one(struct worker *w)
{
    uint64_t start = now_ns();

    TRY(w->workload->operation(w));
    histogram_record(&w->latency, now_ns() - start);
    return LSM_OK;
}

static lsm_status worker_loop(struct worker *w)
{
    // Reading the clock takes about as long as a move of a scan.
    const uint64_t sample = w->workload->kind == WORKLOAD_SCAN ? SCAN_SAMPLE : 1;
    lsm_status status = LSM_OK;

    for (uint64_t i = 0; i < w->share; i++) {
        status = i % sample == 0 ? worker_time_one(w) : w->workload->operation(w);
        if (status != LSM_OK)
            break;
        atomic_store_explicit(&w->done, i + 1, memory_order_relaxed);
        if (atomic_load_explicit(w->stop, memory_order_relaxed))
            break;
    }
    return status == LSM_NOT_FOUND ? LSM_OK : status; // the end of a scan
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    lsm_status status = worker_loop(w);

    w->end_ns = now_ns();
    failure_capture(&w->failure, status);
    if (status != LSM_OK)
        atomic_store_explicit(w->stop, true, memory_order_relaxed);
    atomic_fetch_sub_explicit(w->running, 1, memory_order_relaxed);
    return NULL;
}

static uint64_t operations_of(const struct bench *bench, const struct workload *workload)
{
    const struct bench_config *config = &bench->config;

    if (workload->kind == WORKLOAD_UPKEEP)
        return 1;
    if (config->operations != 0)
        return config->operations;
    if (config->duration > 0)
        return UINT64_MAX;
    return workload->kind == WORKLOAD_WRITE ? (config->num + config->batch - 1) / config->batch
                                            : config->num;
}

static lsm_status worker_init(struct worker *w, struct bench *bench,
                              const struct workload *workload, uint64_t index, uint64_t threads)
{
    uint64_t operations = operations_of(bench, workload);
    uint64_t share = operations / threads + (index < operations % threads);

    *w = (struct worker){
        .bench = bench,
        .workload = workload,
        .random = bench->config.seed + index * UINT64_C(0xd1342543de82ef95),
        .next = index * (bench->config.num / threads),
        // Each thread scans everything, up to its share.
        .share =
            workload->kind == WORKLOAD_SCAN && bench->config.operations == 0 ? UINT64_MAX : share,
    };
    return lsm_batch_new(&w->batch);
}

static void worker_release(struct worker *w)
{
    lsm_iter_close(w->it);
    lsm_batch_free(w->batch);
    lsm_buf_free(&w->value);
}

// A run of one workload.
struct run {
    struct worker *workers;
    uint64_t started;
    uint64_t start_ns;
    _Atomic bool stop;
    _Atomic uint64_t running;
};

// Watches over the workers until they are done or the time is up.
static void run_watch(struct run *run, const struct bench *bench, const char *name,
                      bench_live_fn live, void *ctx)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t limit_ns = (uint64_t)(bench->config.duration * 1e9);
    uint64_t shown_ns = run->start_ns;

    while (atomic_load_explicit(&run->running, memory_order_relaxed) > 0) {
        uint64_t now = now_ns();
        uint64_t done = 0;

        if (limit_ns != 0 && now - run->start_ns >= limit_ns)
            atomic_store_explicit(&run->stop, true, memory_order_relaxed);
        if (now - shown_ns >= LIVE_PERIOD_NS) {
            for (uint64_t i = 0; i < run->started; i++)
                done += atomic_load_explicit(&run->workers[i].done, memory_order_relaxed);
            live(ctx, name, done, now - run->start_ns);
            shown_ns = now;
        }
        nanosleep(&pause, NULL);
    }
}

static lsm_status run_collect(struct run *run, struct bench_result *result)
{
    lsm_status status = LSM_OK;

    for (uint64_t i = 0; i < run->started; i++) {
        struct worker *w = &run->workers[i];

        pthread_join(w->thread, NULL);
        result->operations += atomic_load_explicit(&w->done, memory_order_relaxed);
        result->entries += w->entries;
        result->bytes += w->bytes;
        histogram_merge(&result->latency, &w->latency);
        if (w->end_ns - run->start_ns > result->elapsed_ns)
            result->elapsed_ns = w->end_ns - run->start_ns;
        if (status == LSM_OK && w->failure.status != LSM_OK)
            status = failure_raise(&w->failure);
    }
    return status;
}

lsm_status bench_run(struct bench *bench, const char *name, bench_live_fn live, void *ctx,
                     struct bench_result *out)
{
    const struct workload *workload = find_workload(name);
    size_t threads = workload->kind == WORKLOAD_UPKEEP ? 1 : (size_t)bench->config.threads;
    struct run run = {.workers = must_alloc(threads, sizeof *run.workers)};
    lsm_status status = LSM_OK;

    *out = (struct bench_result){.name = workload->name,
                                 .is_upkeep = workload->kind == WORKLOAD_UPKEEP};
    for (uint64_t i = 0; i < threads; i++)
        must(worker_init(&run.workers[i], bench, workload, i, threads));
    run.start_ns = now_ns();
    while (run.started < threads && status == LSM_OK) {
        struct worker *w = &run.workers[run.started];

        w->stop = &run.stop;
        w->running = &run.running;
        atomic_fetch_add_explicit(&run.running, 1, memory_order_relaxed);
        if (pthread_create(&w->thread, NULL, worker_main, w) == 0) {
            run.started++;
        } else {
            atomic_fetch_sub_explicit(&run.running, 1, memory_order_relaxed);
            atomic_store_explicit(&run.stop, true, memory_order_relaxed);
            status = lsm_fail(LSM_BUSY, "bench: cannot start thread %" PRIu64, run.started);
        }
    }
    run_watch(&run, bench, workload->name, live, ctx);
    if (status == LSM_OK)
        status = run_collect(&run, out);
    else
        (void)run_collect(&run, out); // the first failure is the one to tell
    for (uint64_t i = 0; i < threads; i++)
        worker_release(&run.workers[i]);
    free(run.workers);
    return status;
}

// --- the bench ---

lsm_status bench_new(struct session *session, const struct bench_config *config, struct bench **out)
{
    struct bench *bench = must_alloc(1, sizeof *bench);
    size_t size = VALUE_POOL_SIZE + (size_t)config->value_size;

    bench->session = session;
    bench->config = *config;
    bench->pool = must_alloc(1, size);
    fill_pool(bench->pool, size, config->compression_ratio, config->seed);
    *out = bench;
    return LSM_OK;
}

static void bench_free(struct bench *bench)
{
    if (bench == NULL)
        return;
    free(bench->pool);
    free(bench);
}

void bench_freep(struct bench **bench)
{
    bench_free(*bench);
}
