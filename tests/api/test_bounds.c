// test_bounds.c -- what a database takes of memory, descriptors and reads when it is opened,
// however much it holds.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/db.h"
#include "env/scheduler.h"
#include "support/random.h"

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

// Under a sanitizer a part of the load has to do.
#if defined(__SANITIZE_ADDRESS__)
#define LOAD (25 * MIB)
#else
#define LOAD (100 * MIB)
#endif

// --- counting bytes, through the hook ---

struct counted {
    size_t size;
    size_t apart; // keeps what follows aligned
};

static struct {
    atomic_size_t live;
    atomic_size_t peak;
} memory;

static void count_change(size_t released, size_t taken)
{
    size_t live = atomic_fetch_add(&memory.live, taken - released) + taken - released;
    size_t peak = atomic_load(&memory.peak);

    while (live > peak && !atomic_compare_exchange_weak(&memory.peak, &peak, live))
        continue;
}

static void *counting_resize(void *ctx, void *block, size_t size)
{
    struct counted *counted = block == NULL ? NULL : (struct counted *)block - 1;
    const size_t before = counted == NULL ? 0 : counted->size;

    (void)ctx;
    counted = realloc(counted, sizeof *counted + size);
    if (counted == NULL)
        return NULL;
    counted->size = size;
    count_change(before, size);
    return counted + 1;
}

static void counting_release(void *ctx, void *block)
{
    struct counted *counted = (struct counted *)block - 1;

    (void)ctx;
    count_change(counted->size, 0);
    free(counted);
}

// What docs/tuning.md states.
static uint64_t stated_bound(const lsm_options *o, uint64_t workers)
{
    return 2 * o->memtable_size + o->cache_size + o->conflict_history_size +
           workers * (o->table_size / 2 + 4 * MIB) + 4 * MIB;
}

// --- counting open files and reads, over the machine's own env ---

static struct {
    struct env env;
    struct env_ops ops;
    atomic_size_t open;
    atomic_size_t peak;
    atomic_size_t opens;
    atomic_size_t reads;
} files;

static lsm_status counting_open(struct dir *dir, const char *name, enum file_mode mode,
                                struct file **out)
{
    size_t open;

    TRY(env_posix()->ops->file_open(dir, name, mode, out));
    if (*out == NULL) // there is none
        return LSM_OK;
    atomic_fetch_add(&files.opens, 1);
    open = atomic_fetch_add(&files.open, 1) + 1;
    if (open > atomic_load(&files.peak)) // one thread: the scheduler is manual
        atomic_store(&files.peak, open);
    return LSM_OK;
}

static lsm_status counting_close(struct file *file)
{
    atomic_fetch_sub(&files.open, 1);
    return env_posix()->ops->file_close(file);
}

static lsm_status counting_read(struct file *file, uint64_t offset, void *to, size_t size,
                                size_t *got)
{
    atomic_fetch_add(&files.reads, 1);
    return env_posix()->ops->file_read(file, offset, to, size, got);
}

static struct env *counting_env(void)
{
    files.ops = *env_posix()->ops;
    files.ops.file_open = counting_open;
    files.ops.file_close = counting_close;
    files.ops.file_read = counting_read;
    files.env.ops = &files.ops;
    return &files.env;
}

// --- a database in a directory of its own ---

static struct {
    char path[64];
    lsm_options options;
    lsm_db *db;
    struct random random;
} f;

static void setup(void)
{
    const lsm_allocator allocator = {.resize = counting_resize, .release = counting_release};

    assert_ok(lsm_set_allocator(&allocator));
    snprintf(f.path, sizeof f.path, "/tmp/lsmkv-bounds-XXXXXX");
    cr_assert(mkdtemp(f.path) != NULL);
    f.random.state = 7;
    options_init(&f.options);
    f.options.memtable_size = 4 * MIB;
    f.options.cache_size = 2 * MIB;
    f.options.conflict_history_size = 256 * KIB;
    f.options.table_size = 4 * MIB;
    f.options.level_base_size = 8 * MIB;
    f.options.segment_size_max = 8 * MIB;
    f.options.sync = LSM_SYNC_WRITTEN;
    f.options.workers = 2;
}

static void teardown(void)
{
    char command[96];

    assert_ok(lsm_close(f.db));
    snprintf(command, sizeof command, "rm -rf '%s'", f.path);
    cr_assert(eq(int, system(command), 0));
    cr_assert(eq(sz, atomic_load(&memory.live), 0)); // not a byte is left
}

static lsm_slice make_key(uint64_t i, char text[24])
{
    return slice_make(text, (size_t)snprintf(text, 24, "key-%012llu", (unsigned long long)i));
}

// Mostly small values that do not compress, every sixteenth separated.
static size_t put_random(uint64_t key_count)
{
    static uint8_t bytes[4096];
    const size_t size = random_below(&f.random, 16) == 0 ? sizeof bytes : 100;
    char text[24];

    random_fill(&f.random, bytes, size);
    assert_ok(lsm_put(f.db, NULL, make_key(random_below(&f.random, key_count), text),
                      slice_make(bytes, size), NULL));
    return size;
}

static void get_random(uint64_t key_count, lsm_buf *value)
{
    char text[24];
    lsm_status status =
        lsm_get(f.db, NULL, make_key(random_below(&f.random, key_count), text), value);

    cr_assert(status == LSM_OK || status == LSM_NOT_FOUND, "%s", lsm_errmsg());
}

static void load(uint64_t bytes, uint64_t key_count)
{
    lsm_buf value = LSM_BUF_INIT;

    for (uint64_t i = 0, written = 0; written < bytes; i++) {
        written += put_random(key_count);
        if (i % 16 == 0)
            get_random(key_count, &value);
    }
    lsm_buf_free(&value);
}

Test(bounds, a_load_stays_within_what_the_options_say, .init = setup, .fini = teardown)
{
    f.options.is_manual = true; // jobs run when a writer waits for them
    assert_ok(lsm_open(f.path, &f.options, &f.db));
    load(LOAD, 1000000);
    cr_assert(le(u64, atomic_load(&memory.peak), stated_bound(&f.options, 1)));
    cr_assert(ge(u64, atomic_load(&memory.peak), f.options.memtable_size));
}

Test(bounds, a_load_with_workers_stays_within_what_the_options_say, .init = setup, .fini = teardown)
{
    assert_ok(lsm_open(f.path, &f.options, &f.db));
    load(LOAD / 2, 1000000);
    cr_assert(le(u64, atomic_load(&memory.peak), stated_bound(&f.options, f.options.workers)));
}

// Memory to make a table follows its entries, not its bytes.
Test(bounds, tiny_entries_that_compress_well_stay_within_it, .init = setup, .fini = teardown)
{
    lsm_batch *batch;

    f.options.is_manual = true;
    assert_ok(lsm_open(f.path, &f.options, &f.db));
    assert_ok(lsm_batch_new(&batch));
    for (uint64_t i = 0; i < 1000000; i++) {
        char text[24];

        assert_ok(lsm_batch_put(batch, NULL, make_key(i * 7919 % 1000000, text), lsm_str("")));
        if (i % 100 != 99)
            continue;
        assert_ok(lsm_write(f.db, batch, NULL));
        lsm_batch_clear(batch);
    }
    lsm_batch_free(batch);
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    cr_assert(le(u64, atomic_load(&memory.peak), stated_bound(&f.options, 1)));
}

// --- descriptors and reads ---

#define OPEN_MAX      16
#define OPEN_RESERVED 32 // manifest, lock, event log, files being written

static void run_jobs(void)
{
    while (scheduler_run_one(f.db->scheduler))
        continue;
}

static size_t file_count(void)
{
    EPOCH_SECTION();
    const struct version *version = views_current(&f.db->views)->version;
    size_t count = version->segment_count;

    for (unsigned i = 0; i < LEVEL_COUNT; i++)
        count += version->levels[i].count;
    return count;
}

// Fills a database with many small tables and segments.
static void open_and_fill(void)
{
    f.options.env = counting_env();
    f.options.is_manual = true;
    f.options.open_files_max = OPEN_MAX;
    f.options.memtable_size = 256 * KIB;
    f.options.table_size = 16 * KIB;
    f.options.level_base_size = 64 * KIB;
    f.options.segment_size_max = MIB;
    assert_ok(lsm_open(f.path, &f.options, &f.db));
    for (unsigned i = 0; i < 30000; i++) {
        (void)put_random(1000000);
        if (i % 64 == 0)
            run_jobs();
    }
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_wait_idle(f.db));
    cr_assert(gt(sz, file_count(), 4 * (OPEN_MAX + OPEN_RESERVED)));
}

static void read_all(void)
{
    lsm_slice value;
    lsm_iter *it;
    lsm_status status;
    size_t count = 0;

    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it), count++)
        assert_ok(lsm_iter_value(it, &value));
    cr_assert(eq(int, status, LSM_NOT_FOUND), "%s", lsm_errmsg());
    cr_assert(gt(sz, count, 20000));
    lsm_iter_close(it);
}

Test(bounds, open_files_stay_within_the_option, .init = setup, .fini = teardown)
{
    lsm_buf value = LSM_BUF_INIT;

    open_and_fill();
    read_all();
    for (unsigned i = 0; i < 10000; i++)
        get_random(1000000, &value);
    lsm_buf_free(&value);
    cr_assert(le(sz, atomic_load(&files.peak), OPEN_MAX + OPEN_RESERVED));
}

Test(bounds, opening_reads_no_tables, .init = setup, .fini = teardown)
{
    size_t count;

    open_and_fill();
    count = file_count();
    assert_ok(lsm_close(f.db));
    cr_assert(eq(sz, atomic_load(&files.open), 0));
    atomic_store(&files.opens, 0);
    atomic_store(&files.reads, 0);
    assert_ok(lsm_open(f.path, &f.options, &f.db));
    cr_assert(ge(sz, file_count(), count));
    cr_assert(lt(sz, atomic_load(&files.opens), 16));
    cr_assert(lt(sz, atomic_load(&files.reads), 32));
    read_all();
}
