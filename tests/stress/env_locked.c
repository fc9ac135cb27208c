// env_locked.c -- what many threads do to the modules of this floor that have locks alone.
//
// Each thread makes files and gives them to the unlinker, which is held and drained meanwhile;
// writes events to a log that rotates; and tries for the lock of one of two directories, of
// which one holder at a time counts. At the end no file is left, each line of the log is whole,
// and no count is lost.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "env/eventlog.h"
#include "env/unlinker.h"
#include "support/random.h"

enum { THREADS = 4, STEPS = 300, HOUSES = 2, EVENTS_SIZE = 4096 };

struct house {
    struct dir *dir;
    unsigned count; // of whoever holds the directory's lock
};

static struct env *env;
static struct dir *dir;
static struct poison poison;
static struct unlinker *unlinker;
static struct eventlog *events;
static struct house houses[HOUSES];

struct worker {
    struct thread thread;
    unsigned index;
    uint64_t seed;
    unsigned holds[HOUSES]; // how often it had the lock
};

static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static void must(lsm_status status)
{
    check(status == LSM_OK, lsm_errmsg());
}

static void leave_file(uint64_t number)
{
    struct file *file;

    must(file_open(dir, filename_of(FILENAME_TABLE, number).text, FILE_CREATE, &file));
    must(file_close(file));
    unlinker_add(unlinker, FILENAME_TABLE, number);
}

static void hold_house(struct worker *w, size_t index)
{
    struct house *house = &houses[index];
    struct dir_lock *lock;
    lsm_status status = dir_lock(house->dir, "LOCK", &lock);

    check(status == LSM_OK || status == LSM_LOCKED, lsm_errmsg());
    if (status != LSM_OK)
        return;
    house->count++;
    w->holds[index]++;
    dir_unlock(env, lock);
}

static void work(void *ctx)
{
    struct worker *w = ctx;
    struct random random = {.state = w->seed};

    for (uint64_t step = 0; step < STEPS; step++) {
        leave_file(step * THREADS + w->index + 1);
        eventlog_write(events, "step", "of=%u number=%u end=1", w->index, (unsigned)step);
        hold_house(w, (size_t)random_below(&random, HOUSES));
        if (random_one_in(&random, 8)) {
            unlinker_hold(unlinker);
            eventlog_write(events, "hold", "of=%u end=1", w->index);
            unlinker_allow(unlinker);
        }
        if (random_one_in(&random, 4))
            (void)unlinker_drain(unlinker, 5);
    }
}

static lsm_status no_table(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    (void)ctx, (void)size, (void)is_regular;
    check(strstr(name, ".sst") == NULL, "a file is left that was to be removed");
    return LSM_OK;
}

static void check_events(const char *path)
{
    char name[64], line[256];
    FILE *file;
    size_t count = 0;

    snprintf(name, sizeof name, "%s/EVENTS.log", path);
    file = fopen(name, "r");
    check(file != NULL, "there is no event log");
    while (fgets(line, sizeof line, file) != NULL) {
        check(strstr(line, "Z ") != NULL && strstr(line, " of=") != NULL, "a line begins wrongly");
        check(strstr(line, " end=1\n") != NULL, "a line is not whole");
        count++;
    }
    fclose(file);
    check(count > 0 && count * 20 <= EVENTS_SIZE, "the event log did not rotate");
    check(eventlog_lost_count(events) == 0, "an event is lost");
}

static void run_all(void)
{
    static struct worker workers[THREADS];
    unsigned holds[HOUSES] = {0};

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].index = i;
        workers[i].seed = i + 1;
        must(thread_start(&workers[i].thread, "worker", work, &workers[i]));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&workers[i].thread);
        for (size_t j = 0; j < HOUSES; j++)
            holds[j] += workers[i].holds[j];
    }
    for (size_t j = 0; j < HOUSES; j++)
        check(holds[j] > 0 && holds[j] == houses[j].count, "two had the lock of a directory");
    check(unlinker_drain(unlinker, SIZE_MAX) == 0, "a file could not be removed");
    must(dir_list(dir, no_table, NULL));
}

static void remove_all(const char *path)
{
    static const char *const names[] = {
        "EVENTS.log", "EVENTS.log.1", "house0/LOCK", "house1/LOCK", "house0", "house1", ""};
    char name[64];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", path, names[i]);
        check(remove(name) == 0, name);
    }
}

int main(void)
{
    char path[] = "/tmp/lsmkv-locked-XXXXXX";
    char name[64];

    check(mkdtemp(path) != NULL, "no directory");
    env = env_posix();
    must(dir_open(env, path, false, &dir));
    for (unsigned i = 0; i < HOUSES; i++) {
        snprintf(name, sizeof name, "%s/house%u", path, i);
        must(dir_open(env, name, true, &houses[i].dir));
    }
    poison_init(&poison);
    must(unlinker_new(dir, &poison, &unlinker));
    must(eventlog_open(dir, EVENTS_SIZE, &events));
    run_all();
    check_events(path);
    eventlog_close(events);
    unlinker_free(unlinker);
    poison_release(&poison);
    for (size_t i = 0; i < HOUSES; i++)
        dir_close(houses[i].dir);
    dir_close(dir);
    remove_all(path);
    printf("env_locked: %u files, %u events\n", THREADS * STEPS, THREADS * STEPS);
    return 0;
}
