// vlog_log.c -- one appender, with syncers, upkeep, flushes and readers beside it.
//
// The appender holds the writer role. Syncers make durable what it has published, and
// check that the mark then covers it; upkeep prepares and seals; a flusher takes the
// chain and releases its older part; readers verify the values of recent commits. A
// sanitizer that sees a race, or a value or a mark that is wrong, has found a fault.
//
// With the argument `locks` there are fewer commits and no readers: descriptors reach those by
// atomics, all others here meet by locks alone.

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file_header.h"
#include "env/sync.h"
#include "vlog/log.h"

#define COMMITS      6000
#define COMMITS_FEW  1000
#define SYNCERS      2
#define READERS      2
#define RECENT       64
#define VALUE_SIZE   900
#define SEGMENT_SIZE (64u << 10)

// A commit that readers may look at.
struct recent {
    struct segment *segment; // a reference
    struct value_pointer pointer;
    uint64_t ts; // 0: none yet
};

static struct segment_store store;
static struct epoch_bin bin;
static struct poison poison;
static struct log *log_under_test;
static bool has_readers = true;
static uint64_t commits = COMMITS;

static struct mutex recent_mu; // rank LOCK_LEAF; guards the two below
static struct recent recent[RECENT];
static bool is_over;

static _Atomic uint64_t syncs;
static _Atomic uint64_t reads;

static void must(lsm_status status)
{
    if (status != LSM_OK) {
        fprintf(stderr, "vlog_log: %s: %s\n", lsm_status_name(status), lsm_errmsg());
        exit(1);
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "vlog_log: %s\n", what);
    exit(1);
}

static bool is_running(void)
{
    bool over;

    mutex_lock(&recent_mu);
    over = is_over;
    mutex_unlock(&recent_mu);
    return !over;
}

static lsm_slice key_of(uint64_t ts, char *text, size_t size)
{
    int length = snprintf(text, size, "key-%" PRIu64, ts);

    return slice_make(text, (size_t)length);
}

static void fill_value(uint64_t ts, uint8_t *value)
{
    for (size_t i = 0; i < VALUE_SIZE; i++)
        value[i] = (uint8_t)(ts * 31 + i);
}

// --- the appender ---

static void publish(const struct commit_frame *frame)
{
    struct recent *slot = &recent[frame->ts % RECENT];
    struct segment *before;
    struct frame_reader r;
    struct entry entry;

    frame_reader_over_commit(&r, frame);
    if (frame_reader_next(&r, &entry) != FRAME_ENTRY)
        abort();
    segment_ref(log_active(log_under_test));
    mutex_lock(&recent_mu);
    before = slot->segment;
    slot->segment = log_active(log_under_test);
    must(pointer_decode(entry.value, &slot->pointer));
    slot->ts = frame->ts;
    mutex_unlock(&recent_mu);
    segment_unref(before);
}

static void append(struct commit_frame *frame, uint64_t ts)
{
    uint8_t value[VALUE_SIZE];
    char text[32];
    struct entry entry = {
        .keyspace = 1,
        .kind = ENTRY_VALUE,
        .key = key_of(ts, text, sizeof text),
        .value = slice_make(value, sizeof value),
    };

    fill_value(ts, value);
    commit_frame_release(frame);
    must(commit_frame_add(frame, &entry, true));
    must(commit_frame_finish(frame));
    frame->ts = ts;
    must(log_reserve(log_under_test, frame->size, ts));
    must(log_append(log_under_test, &frame, 1, ts));
    log_writeback(log_under_test);
    publish(frame);
}

static void run_appender(void)
{
    struct commit_frame frame;

    commit_frame_init(&frame);
    for (uint64_t ts = 1; ts <= commits; ts++) {
        append(&frame, ts);
        if (ts % 64 == 0)
            must(log_sync(log_under_test, log_end(log_under_test)));
        if (ts % 512 == 0)
            (void)epoch_collect(&bin);
    }
    commit_frame_release(&frame);
}

// --- the others ---

static void run_syncer(void *ctx)
{
    (void)ctx;
    while (is_running()) {
        struct log_position to = log_end(log_under_test);

        must(log_sync(log_under_test, to));
        if (log_position_compare(log_mark(log_under_test), to) < 0)
            fail("the mark is below what has been synced");
        atomic_fetch_add_explicit(&syncs, 1, memory_order_relaxed);
    }
}

static void run_upkeep(void *ctx)
{
    (void)ctx;
    while (is_running()) {
        if (log_needs_upkeep(log_under_test))
            must(log_upkeep(log_under_test));
    }
}

static void run_flusher(void *ctx)
{
    (void)ctx;
    while (is_running()) {
        struct log_position replay = log_end(log_under_test);
        struct segment **segments;
        struct log_link *links;
        size_t count;

        must(log_chain_all(log_under_test, &links, &segments, &count));
        for (size_t i = 0; i + 1 < count; i++) {
            if (links[i].final_size == 0 || links[i].id >= links[i + 1].id)
                fail("a chain out of order");
        }
        if (log_bytes_since(log_under_test, replay) > (64u << 20))
            fail("more bytes than were written");
        log_release(log_under_test, replay);
        mem_free(links);
        mem_free(segments);
    }
}

static void check_value(const struct recent *commit, lsm_buf *value)
{
    uint8_t wanted[VALUE_SIZE];
    char text[32];

    must(segment_read_value(commit->segment, &commit->pointer, 1,
                            key_of(commit->ts, text, sizeof text), value));
    fill_value(commit->ts, wanted);
    if (!slice_equal(slice_of_buf(value), slice_make(wanted, sizeof wanted)))
        fail("a value that nobody wrote");
}

static void run_reader(void *ctx)
{
    lsm_buf value = {0};
    size_t at = 0;

    (void)ctx;
    while (is_running()) {
        struct recent commit;

        mutex_lock(&recent_mu);
        commit = recent[at++ % RECENT];
        if (commit.segment != NULL)
            segment_ref(commit.segment);
        mutex_unlock(&recent_mu);
        if (commit.segment == NULL)
            continue;
        check_value(&commit, &value);
        segment_unref(commit.segment);
        atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
    }
    lsm_buf_free(&value);
}

static void open_log(void)
{
    struct log_start start = {.end = FILE_HEADER_SIZE, .next_sequence = 1, .next_segment_id = 2};

    must(segment_create(&store, 1, SEGMENT_SIZE, &start.active));
    must(dir_sync(store.dir));
    must(log_new(&store, NULL, &start, &log_under_test));
    log_set_segment_size(log_under_test, SEGMENT_SIZE);
}

static void run_all(void)
{
    struct thread threads[SYNCERS + READERS + 2];
    size_t count = 0;

    for (size_t i = 0; i < SYNCERS; i++)
        must(thread_start(&threads[count++], "syncer", run_syncer, NULL));
    for (size_t i = 0; i < READERS && has_readers; i++)
        must(thread_start(&threads[count++], "reader", run_reader, NULL));
    must(thread_start(&threads[count++], "upkeep", run_upkeep, NULL));
    must(thread_start(&threads[count++], "flusher", run_flusher, NULL));
    run_appender();
    mutex_lock(&recent_mu);
    is_over = true;
    mutex_unlock(&recent_mu);
    for (size_t i = 0; i < count; i++)
        thread_join(&threads[i]);
}

int main(int argc, char **argv)
{
    struct env *env;

    if (argc > 1 && strcmp(argv[1], "locks") == 0) {
        has_readers = false;
        commits = COMMITS_FEW;
    }
    must(env_memory_new(&env));
    epoch_bin_init(&bin);
    poison_init(&poison);
    mutex_init(&recent_mu, LOCK_LEAF);
    store = (struct segment_store){.bin = &bin, .poison = &poison};
    must(dir_open(env, "/db", true, &store.dir));
    must(fd_cache_new(&bin, 16, &store.fds));
    must(unlinker_new(store.dir, &poison, &store.unlinker));
    open_log();
    run_all();
    must(log_finish(log_under_test));
    if (log_position_compare(log_mark(log_under_test), log_end(log_under_test)) != 0)
        fail("a finished log is not durable to its end");
    for (size_t i = 0; i < RECENT; i++)
        segment_unref(recent[i].segment);
    log_free(log_under_test);
    epoch_drain(&bin);
    unlinker_free(store.unlinker);
    fd_cache_free(store.fds);
    poison_release(&poison);
    mutex_release(&recent_mu);
    epoch_bin_release(&bin);
    dir_close(store.dir);
    env_memory_free(env);
    printf("%" PRIu64 " commits, %" PRIu64 " syncs, %" PRIu64 " reads\n", commits,
           atomic_load(&syncs), atomic_load(&reads));
    return 0;
}
