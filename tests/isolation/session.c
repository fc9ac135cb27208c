#include "isolation/session.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "isolation/watcher.h"

struct session {
    const struct round_plan *plan;
    struct stage *stage;
    struct model model;
    struct random random;
    struct worker workers[RECORDERS];
};

static lsm_db *open_database(const struct session *s)
{
    const struct {
        const char *name;
        const char *value;
    } settings[] = {
        {"memtable_size", "64KiB"},   {"table_size", "16KiB"},
        {"level_base_size", "64KiB"}, {"segment_size_max", "1MiB"},
        {"cache_size", "1MiB"},       {"block_size", "512"},
        {"level0_trigger", "2"},      {"conflict_history_size", s->plan->history_size},
        {"level_multiplier", "3"},    {"value_threshold", s->plan->value_threshold},
    };
    lsm_options *options;
    lsm_db *db;

    stage_must(s->stage, lsm_options_new(&options), "options");
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        stage_must(s->stage, lsm_options_set(options, settings[i].name, settings[i].value),
                   "an option");
    stage_must(s->stage, lsm_open(s->plan->path, options, &db), "the database does not open");
    lsm_options_free(options);
    return db;
}

// Values go up from a number of the epoch and the thread.
static void make_worker(struct session *s, unsigned epoch, unsigned thread)
{
    s->workers[thread] = (struct worker){
        .model = &s->model,
        .recorder = &s->stage->recorders[thread],
        .random = {random_next(&s->random)},
        .next_value = ((uint64_t)(epoch * RECORDERS + thread + 1) << 32) + 1,
        .prefers_serializable = s->plan->prefers_serializable,
        .buf = LSM_BUF_INIT,
    };
}

// Moves what is in memory to tables, and merges, all the time.
static void *upkeep_run(void *arg)
{
    struct session *s = arg;
    const struct timespec pause = {.tv_nsec = 3000000};

    while (!stage_is_over(s->stage)) {
        const uint64_t what = random_below(&s->random, 8);

        if (what < 3)
            stage_must(s->stage, lsm_flush(s->model.db), "a flush");
        else if (what == 3)
            stage_must(s->stage, lsm_compact_range(s->model.db, NULL, NULL, NULL), "a compaction");
        else if (what == 4)
            stage_must(s->stage, lsm_sync(s->model.db), "a sync");
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static void start(struct session *s, pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg) != 0)
        stage_complain(s->stage, "a thread cannot be made");
}

static void work(struct session *s)
{
    pthread_t threads[WORKERS_MAX];
    pthread_t watcher;
    pthread_t upkeep;

    start(s, &upkeep, upkeep_run, s);
    start(s, &watcher, watcher_run, &s->workers[RECORDER_WATCHER]);
    for (unsigned i = 0; i < s->plan->workers; i++)
        start(s, &threads[i], worker_run, &s->workers[i]);
    for (unsigned i = 0; i < s->plan->workers; i++)
        (void)pthread_join(threads[i], NULL);
    atomic_store_explicit(&s->stage->is_over, true, memory_order_relaxed);
    (void)pthread_join(watcher, NULL);
    (void)pthread_join(upkeep, NULL);
}

_Noreturn void session_run(const struct round_plan *plan, struct stage *stage, unsigned epoch,
                           uint64_t seed)
{
    static struct session s; // too large for a stack; one per process

    s = (struct session){.plan = plan, .stage = stage, .random = {seed}};
    for (unsigned i = 0; i < RECORDERS; i++)
        make_worker(&s, epoch, i);
    model_open(&s.model, open_database(&s), stage);
    worker_read_all(&s.workers[RECORDER_MAIN]);
    work(&s);
    worker_read_all(&s.workers[RECORDER_MAIN]);
    stage_must(stage, lsm_verify(s.model.db, NULL, NULL), "a file is damaged");
    model_close(&s.model);
    stage_must(stage, lsm_close(s.model.db), "the database does not close");
    exit(0);
}
