// compaction_jobs.c -- a writer, readers, compaction by hand and the jobs, all at once.
//
// A value follows from its key and timestamp, so a reader can tell whether what it was
// given is whole; and the newest version of a key never goes back. At the end all reads
// as in the writer's model.

#include <stdio.h>
#include <stdlib.h>

#include "support/engine_fixture.h"

#define KEYS                 200
#define COMMITS              6000
#define COMMITS_PER_MEMTABLE 60
#define MEMTABLES_MAX        4
#define READERS              2
#define MERGERS              2

static struct engine_fixture f;
static atomic_bool is_over;
static _Atomic uint64_t reads;
static _Atomic uint64_t bad_reads;

static bool is_whole(const struct view *view, int memtable, const struct entry *entry, unsigned key)
{
    struct model_version v = {.key = key, .ts = entry->ts, .size = entry->value.size};
    struct segment *segment = NULL;
    struct value_pointer pointer;

    if (entry->kind == ENTRY_POINTER) {
        MUST(pointer_decode(entry->value, &pointer));
        segment = view_find_segment(view, memtable, pointer.segment);
        v.size = pointer.value_size;
    }
    return same_value(entry, segment, &v);
}

// Reads the newest version of a key. It is not older than the one read before, unless
// that was a deletion, which leaves nothing behind.
static bool read_key(unsigned key, uint64_t *seen_ts)
{
    char text[32];
    struct ikey at = {1, slice_make(text, fixture_key(key, text)), TS_MAX};
    struct entry entry;
    int memtable;
    bool found;

    EPOCH_SECTION();
    struct view *view = views_current(&f.views);

    MUST(view_get(view, &at, &entry, &found, &memtable));
    if (!found)
        return true;
    if (entry.ts < *seen_ts)
        return false;
    *seen_ts = entry.ts;
    return entry.kind == ENTRY_DELETE || is_whole(view, memtable, &entry, key);
}

static void run_reader(void *ctx)
{
    struct random random = {.state = (uint64_t)(uintptr_t)ctx};
    uint64_t seen_ts[KEYS] = {0};

    while (!atomic_load(&is_over)) {
        unsigned key = (unsigned)random_below(&random, KEYS);

        if (!read_key(key, &seen_ts[key]))
            atomic_fetch_add(&bad_reads, 1);
        atomic_fetch_add(&reads, 1);
    }
}

// Plays the operator and the reclaim job.
static void run_upkeep(void *ctx)
{
    struct random random = {.state = 77};

    (void)ctx;
    while (!atomic_load(&is_over)) {
        if (random_one_in(&random, 8))
            MUST(compactor_compact_range(f.compactor, 0, NULL, NULL));
        else
            MUST(compactor_wait_flushed(f.compactor));
        epoch_collect(&f.bin);
        (void)unlinker_drain(f.tables.unlinker, 64);
    }
}

static void write_all(void)
{
    struct random random = {.state = 1};

    for (unsigned i = 1; i <= COMMITS; i++) {
        unsigned key = (unsigned)random_below(&random, KEYS);

        if (random_one_in(&random, 4))
            engine_delete(&f, key);
        else
            engine_put(&f, key, (size_t)random_below(&random, 300));
        if (i % COMMITS_PER_MEMTABLE != 0)
            continue;
        engine_rotate(&f);
        compactor_wake(f.compactor);
        if (i % (COMMITS_PER_MEMTABLE * MEMTABLES_MAX) == 0)
            MUST(compactor_wait_flushed(f.compactor));
    }
}

int main(void)
{
    struct thread readers[READERS], upkeep;
    bool is_same;

    engine_fixture_init(&f, 1);
    scheduler_free(f.scheduler);
    MUST(scheduler_new_threaded(f.engine.env, 3, &f.scheduler));
    engine_fixture_start_jobs(&f, MERGERS);
    for (uintptr_t i = 0; i < READERS; i++)
        MUST(thread_start(&readers[i], "reader", run_reader, (void *)(i + 1)));
    MUST(thread_start(&upkeep, "upkeep", run_upkeep, NULL));

    write_all();
    MUST(compactor_wait_idle(f.compactor));
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < READERS; i++)
        thread_join(&readers[i]);
    thread_join(&upkeep);
    is_same = engine_agrees(&f, KEYS, 0);
    printf("%llu reads, %llu bad; %llu flushes, %llu merges, %llu moves\n",
           (unsigned long long)reads, (unsigned long long)bad_reads,
           (unsigned long long)f.stats.flush_count, (unsigned long long)f.stats.merge_count,
           (unsigned long long)f.stats.move_count);
    engine_fixture_release(&f);
    return bad_reads == 0 && is_same ? 0 : 1;
}
