// db_options.c -- threads that change options of one database, each its own, while others write
// and read: no change is lost, neither in force nor in the file.

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsmkv.h"

#define ROUNDS 100

// Each option takes either value.
static const struct {
    const char *name;
    const char *values[2];
} options[] = {
    {"memtable_size", {"64KiB", "1MiB"}},     {"cache_size", {"1MiB", "2MiB"}},
    {"table_size", {"16KiB", "64KiB"}},       {"value_threshold", {"0", "1KiB"}},
    {"level0_slowdown", {"20", "24"}},        {"idle_flush", {"100ms", "10s"}},
    {"versions_to_keep", {"1", "3"}},         {"sync_interval", {"1ms", "10ms"}},
    {"segment_size_max", {"1MiB", "256MiB"}},
};

enum { OPTION_COUNT = sizeof options / sizeof options[0], WRITER_COUNT = 2 };

static lsm_db *db;
static _Atomic bool is_over;

static void check(bool is_right, const char *what)
{
    if (!is_right) {
        fprintf(stderr, "db_options: %s: %s\n", what, lsm_errmsg());
        exit(1);
    }
}

static void check_value(const char *name, const char *wants)
{
    lsm_buf value = LSM_BUF_INIT;

    check(lsm_get_option(db, name, &value) == LSM_OK, "an option cannot be read");
    check(strcmp(value.data, wants) == 0, "a change is lost");
    lsm_buf_free(&value);
}

static void *change(void *arg)
{
    const size_t i = (size_t)(uintptr_t)arg;

    for (unsigned round = 0; round < ROUNDS; round++) {
        const char *value = options[i].values[round % 2];

        check(lsm_set_option(db, options[i].name, value) == LSM_OK, "an option cannot be set");
        check_value(options[i].name, value);
    }
    return NULL;
}

static void *write_and_read(void *arg)
{
    const lsm_write_options written = {.sync = LSM_SYNC_WRITTEN};
    const unsigned writer = (unsigned)(uintptr_t)arg;
    lsm_buf value = LSM_BUF_INIT;
    char key[32];

    for (unsigned i = 0; !atomic_load_explicit(&is_over, memory_order_relaxed); i++) {
        (void)snprintf(key, sizeof key, "%u-%06u", writer, i % 5000);
        check(lsm_put(db, NULL, lsm_str(key), lsm_str(key), &written) == LSM_OK, "a put");
        check(lsm_get(db, NULL, lsm_str(key), &value) == LSM_OK, "a get");
        check(value.size == strlen(key) && memcmp(value.data, key, value.size) == 0, "a value");
    }
    lsm_buf_free(&value);
    return NULL;
}

static void start(pthread_t *thread, void *(*run)(void *), size_t number)
{
    check(pthread_create(thread, NULL, run, (void *)(uintptr_t)number) == 0,
          "a thread cannot be made");
}

// Whether it is in the file: it is not the process's.
static bool is_kept(const char *name)
{
    lsm_option_info info;

    for (size_t i = 0; lsm_option_at(i, &info); i++) {
        if (strcmp(info.name, name) == 0)
            return info.kept;
    }
    return false;
}

// What the threads set last is in force, and what the file says.
static void check_end(const char *dir)
{
    lsm_options *saved;
    lsm_buf value = LSM_BUF_INIT;

    check(lsm_options_new(&saved) == LSM_OK && lsm_options_load_from_db(saved, dir) == LSM_OK,
          "the options cannot be loaded");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *last = options[i].values[(ROUNDS - 1) % 2];

        check_value(options[i].name, last);
        check(lsm_options_get(saved, options[i].name, &value) == LSM_OK, "a saved option");
        check(!is_kept(options[i].name) || strcmp(value.data, last) == 0,
              "a change is lost in the file");
    }
    lsm_buf_free(&value);
    lsm_options_free(saved);
}

int main(void)
{
    char dir[] = "/tmp/lsm_db_options_XXXXXX";
    pthread_t changers[OPTION_COUNT];
    pthread_t writers[WRITER_COUNT];
    char command[sizeof dir + 16];

    check(mkdtemp(dir) != NULL, "no directory");
    check(lsm_open(dir, NULL, &db) == LSM_OK, "the database cannot be opened");
    for (size_t i = 0; i < WRITER_COUNT; i++)
        start(&writers[i], write_and_read, i);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        start(&changers[i], change, i);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        check(pthread_join(changers[i], NULL) == 0, "a thread cannot be joined");
    atomic_store_explicit(&is_over, true, memory_order_relaxed);
    for (size_t i = 0; i < WRITER_COUNT; i++)
        check(pthread_join(writers[i], NULL) == 0, "a thread cannot be joined");
    check_end(dir);
    check(lsm_close(db) == LSM_OK, "the database cannot be closed");
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : 1;
}
