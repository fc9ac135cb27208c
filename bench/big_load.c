// big_load.c -- what loading much data takes of memory and descriptors, and opening of time.
//
//     big_load load DIRECTORY GIB [OPTION=VALUE...]   loads, closes, tells the peaks
//     big_load kill DIRECTORY [OPTION=VALUE...]       writes 64 MiB more and kills itself
//     big_load open DIRECTORY [OPTION=VALUE...]       tells how long opening takes, reads a bit

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lsmkv.h"

#define MIB        (UINT64_C(1) << 20)
#define GIB        (UINT64_C(1) << 30)
#define KEY_SPACE  UINT64_C(1000000000000)
#define VALUE_MIN  100
#define VALUE_MAX  4096
#define KILL_BYTES (64 * MIB)
#define GETS       2000

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != LSM_OK) {                                                                    \
            fprintf(stderr, "big_load: %s\n", lsm_errmsg());                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t random_state = 0x9E3779B97F4A7C15u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// The figure of /proc/self/status called `name`, in KiB.
static uint64_t status_kib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    const size_t size = strlen(name);
    uint64_t kib = 0;
    char line[256];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, size) == 0 && line[size] == ':')
            kib = strtoull(line + size + 1, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return kib;
}

static unsigned descriptor_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count < 3 ? 0 : count - 3; // ".", ".." and the directory itself
}

static lsm_db *open_database(const char *path, char **settings)
{
    lsm_options *options;
    lsm_db *db;

    MUST(lsm_options_new(&options));
    for (; *settings != NULL; settings++) {
        char *value = strchr(*settings, '=');

        if (value == NULL) {
            fprintf(stderr, "big_load: '%s' is not OPTION=VALUE\n", *settings);
            exit(2);
        }
        *value = '\0';
        MUST(lsm_options_set(options, *settings, value + 1));
        *value = '=';
    }
    MUST(lsm_open(path, options, &db));
    lsm_options_free(options);
    return db;
}

// Writes one value; returns its size.
static uint64_t put_one(lsm_db *db)
{
    static const lsm_write_options written = {.sync = LSM_SYNC_WRITTEN};
    static uint64_t bytes[VALUE_MAX / 8 + 1];
    const size_t size = VALUE_MIN + next_random() % (VALUE_MAX - VALUE_MIN + 1);
    char key[24];

    // Half of it compresses.
    for (size_t i = 0; i < size / 16; i++)
        bytes[i] = next_random();
    snprintf(key, sizeof key, "%016" PRIx64, next_random() % KEY_SPACE);
    MUST(lsm_put(db, NULL, lsm_str(key), (lsm_slice){bytes, size}, &written));
    return size;
}

static void write_bytes(lsm_db *db, uint64_t bytes, unsigned *descriptors)
{
    const double start = now();
    uint64_t written = 0;
    uint64_t told = 0;
    uint64_t count = 0;

    while (written < bytes) {
        written += put_one(db);
        if (count++ % 4096 == 0) {
            unsigned open = descriptor_count();

            *descriptors = open > *descriptors ? open : *descriptors;
        }
        if (written - told >= GIB) {
            told = written;
            printf("%5.1f GiB  %7.1f s  %9" PRIu64 " entries  rss %" PRIu64 " MiB\n",
                   (double)written / (double)GIB, now() - start, count, status_kib("VmRSS") / 1024);
            fflush(stdout);
        }
    }
}

static void load(const char *path, const char *gib, char **settings)
{
    lsm_db *db = open_database(path, settings);
    unsigned descriptors = 0;
    double start;

    write_bytes(db, strtoull(gib, NULL, 10) * GIB, &descriptors);
    start = now();
    MUST(lsm_close(db));
    printf("closed in %.3f s; peak rss %" PRIu64 " MiB, peak descriptors %u\n", now() - start,
           status_kib("VmHWM") / 1024, descriptors);
}

static void write_and_die(const char *path, char **settings)
{
    lsm_db *db = open_database(path, settings);
    unsigned descriptors = 0;

    random_state = (uint64_t)time(NULL);
    write_bytes(db, KILL_BYTES, &descriptors);
    raise(SIGKILL);
}

// Reads of random keys, most of them absent, and a short scan from each.
static void read_some(lsm_db *db)
{
    lsm_iter *it;

    MUST(lsm_iter_open(db, NULL, NULL, &it));
    for (unsigned i = 0; i < GETS; i++) {
        lsm_status status;
        char key[24];

        snprintf(key, sizeof key, "%016" PRIx64, next_random() % KEY_SPACE);
        status = lsm_iter_seek(it, lsm_str(key));
        for (unsigned j = 0; j < 10 && status == LSM_OK; j++)
            status = lsm_iter_next(it);
        if (status != LSM_OK && status != LSM_NOT_FOUND)
            MUST(status);
    }
    lsm_iter_close(it);
}

static void open_and_read(const char *path, char **settings)
{
    double start = now();
    lsm_db *db = open_database(path, settings);

    printf("opened in %.3f s; rss %" PRIu64 " MiB, descriptors %u\n", now() - start,
           status_kib("VmRSS") / 1024, descriptor_count());
    start = now();
    read_some(db);
    printf("%u seeks with 10 entries each in %.3f s; rss %" PRIu64 " MiB, descriptors %u\n", GETS,
           now() - start, status_kib("VmRSS") / 1024, descriptor_count());
    MUST(lsm_close(db));
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "load") == 0)
        load(argv[2], argv[3], argv + 4);
    else if (argc >= 3 && strcmp(argv[1], "kill") == 0)
        write_and_die(argv[2], argv + 3);
    else if (argc >= 3 && strcmp(argv[1], "open") == 0)
        open_and_read(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: big_load load|kill|open DIRECTORY ...\n"), 2;
    return 0;
}
