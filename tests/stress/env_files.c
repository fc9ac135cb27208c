// env_files.c -- readers share descriptors while others append, collect, replace.

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "env/fd_cache.h"
#include "support/random.h"
#include "support/sim.h"

enum { FILES = 40, READERS = 3, STEPS = 20000, OPEN_MAX = 8, RECORD = 64 };

// The record at offset n * RECORD of file i is all bytes i + n. Records below
// `count` are there and never change.
struct shared {
    struct env *env;
    struct dir *dir;
    struct epoch_bin bin;
    struct cached_file files[FILES];
    _Atomic unsigned count[FILES];
    _Atomic bool is_over;
};

struct reader {
    struct thread thread;
    struct shared *shared;
    uint64_t seed;
};

static void check(lsm_status status, const char *what)
{
    if (status == LSM_OK)
        return;
    fprintf(stderr, "failed: %s: %s\n", what, lsm_errmsg());
    exit(1);
}

static void fill(uint8_t *record, unsigned file, unsigned index)
{
    memset(record, (int)((file + index) & 0xFF), RECORD);
}

static void read_one(struct shared *shared, unsigned i, struct random *random)
{
    EPOCH_SECTION();
    unsigned count = atomic_load(&shared->count[i]);
    unsigned index = (unsigned)random_below(random, count);
    struct file *file = NULL;
    uint8_t found[RECORD];
    uint8_t expected[RECORD];

    check(cached_file_get(&shared->files[i], &file), "get");
    check(file_read_exact(file, (uint64_t)index * RECORD, found, RECORD), "read");
    fill(expected, i, index);
    if (memcmp(found, expected, RECORD) != 0)
        check(lsm_fail(LSM_CORRUPT, "file %u, record %u", i, index), "compare");
}

static void run_reader(void *ctx)
{
    struct reader *reader = ctx;
    struct random random = {.state = reader->seed};

    for (int step = 0; step < STEPS; step++)
        read_one(reader->shared, (unsigned)random_below(&random, FILES), &random);
}

static void append_one(struct shared *shared, struct file *file, unsigned i)
{
    unsigned count = atomic_load(&shared->count[i]);
    uint8_t record[RECORD];

    fill(record, i, count);
    check(file_write_one(file, (uint64_t)count * RECORD, slice_make(record, RECORD)), "write");
    atomic_store(&shared->count[i], count + 1);
}

static void run_appender(void *ctx)
{
    struct shared *shared = ctx;
    struct random random = {.state = 1};

    while (!atomic_load(&shared->is_over)) {
        unsigned i = (unsigned)random_below(&random, FILES);
        struct file *file = NULL;

        check(file_open(shared->dir, shared->files[i].name, FILE_WRITE, &file), "open");
        if (atomic_load(&shared->count[i]) < 1000)
            append_one(shared, file, i);
        check(file_sync(file), "sync");
        check(file_close(file), "close");
        (void)epoch_collect(&shared->bin);
    }
}

static void make_files(struct shared *shared, struct fd_cache *cache)
{
    for (unsigned i = 0; i < FILES; i++) {
        struct file *file = NULL;
        char name[16];

        (void)snprintf(name, sizeof name, "%02u", i);
        check(file_open(shared->dir, name, FILE_CREATE, &file), "create");
        cached_file_init(&shared->files[i], cache, shared->dir, name);
        append_one(shared, file, i);
        check(file_close(file), "close");
    }
}

static void run(struct env *env, uint64_t seed)
{
    static struct shared shared;
    struct reader readers[READERS];
    struct thread appender;
    struct random random = {.state = seed};
    struct fd_cache *cache = NULL;

    memset(&shared, 0, sizeof shared);
    shared.env = env;
    epoch_bin_init(&shared.bin);
    check(dir_open(env, "/db", true, &shared.dir), "dir");
    check(fd_cache_new(&shared.bin, OPEN_MAX, &cache), "cache");
    make_files(&shared, cache);
    check(thread_start(&appender, "appender", run_appender, &shared), "thread");
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.shared = &shared, .seed = random_next(&random)};
        check(thread_start(&readers[i].thread, "reader", run_reader, &readers[i]), "thread");
    }
    for (int i = 0; i < READERS; i++)
        thread_join(&readers[i].thread);
    atomic_store(&shared.is_over, true);
    thread_join(&appender);
    for (int i = 0; i < FILES; i++)
        cached_file_release(&shared.files[i]);
    fd_cache_free(cache);
    epoch_drain(&shared.bin);
    epoch_bin_release(&shared.bin);
    dir_close(shared.dir);
}

int main(void)
{
    struct random random = random_for_test("env_files");
    struct env *memory = NULL;
    struct sim *sim = NULL;

    check(env_memory_new(&memory), "memory");
    run(memory, random_next(&random));
    env_memory_free(memory);
    check(sim_new(1, &sim), "sim");
    run(sim_env(sim), random_next(&random));
    sim_free(sim);
    return 0;
}
