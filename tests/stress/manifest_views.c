// manifest_views.c -- readers of the current view while it changes all the time.
//
// A writer pushes memtables, each holding one entry with its own number, and adds
// segments to the active one; an installer puts versions in force and drops the oldest
// memtables. Readers look into what they see, inside sections or with a reference. A
// sanitizer that sees freed memory or a race, or a memtable without its entry, has
// found a view that did not hold what it should.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "manifest/view.h"

#define READERS       3
#define ROUNDS        5000
#define MEMTABLES_MAX 6

static struct epoch_bin bin;
static struct poison poison;
static struct unlinker *unlinker;
static struct fd_cache *fds;
static struct segment_store segments;
static struct views views;
static _Atomic bool is_over;
static _Atomic uint64_t reads;

static void must(lsm_status status)
{
    if (status != LSM_OK) {
        fprintf(stderr, "manifest_views: %s\n", lsm_errmsg());
        exit(1);
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "manifest_views: %s\n", what);
    exit(1);
}

// A memtable whose start offset is the value of its only entry.
static struct logged_memtable *new_memtable(uint64_t number)
{
    struct log_position start = {.segment = 1, .offset = number};
    struct entry entry = {.keyspace = 1,
                          .kind = ENTRY_VALUE,
                          .ts = number + 1,
                          .key = slice_of("key"),
                          .value = slice_make(&number, sizeof number)};
    struct logged_memtable *lm;

    entry.head = slice_head(entry.key);
    must(logged_memtable_new(&bin, 0, start, &lm));
    must(memtable_reserve(lm->mem, 1, 64, 1));
    memtable_insert(lm->mem, &entry, key_hash(1, entry.key));
    return lm;
}

static void add_segment(struct logged_memtable *lm, uint32_t id)
{
    struct uuid uuid = {.bytes = {(uint8_t)id}};
    struct segment *segment;

    must(segment_new(&segments, id, &uuid, 0, &segment));
    must(logged_memtable_add_segment(lm, segment));
    segment_unref(segment);
}

static void check_view(const struct view *view)
{
    struct ikey target = {1, slice_of("key"), TS_MAX};
    uint64_t last = UINT64_MAX;

    if (view->memtable_count == 0 || view->memtable_count > MEMTABLES_MAX + 1)
        fail("a view of too few or too many memtables");
    for (size_t i = 0; i < view->memtable_count; i++) {
        const struct logged_memtable *lm = view->memtables[i];
        struct segment *segment;
        struct entry entry;
        uint64_t number;

        if (!memtable_get(lm->mem, &target, key_hash(1, target.key), &entry))
            fail("a memtable without its entry");
        memcpy(&number, entry.value.data, sizeof number);
        if (number != lm->start.offset || number >= last)
            fail("memtables are not newest first");
        last = number;
        segment = logged_memtable_find_segment(lm, 2);
        if (segment != NULL && segment_id(segment) != 2)
            fail("a wrong segment");
    }
    if (view->version->levels[0].count != 0)
        fail("a version with tables");
}

static void read_loop(void *ctx)
{
    bool acquires = ctx != NULL;
    uint64_t last_version = 0;

    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        struct view *held = acquires ? views_acquire(&views) : NULL;

        epoch_enter();
        const struct view *view = acquires ? held : views_current(&views);
        check_view(view);
        if (view->version->edit_number < last_version)
            fail("the version went back");
        last_version = view->version->edit_number;
        epoch_exit();
        view_unref(held);
        atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
    }
}

static size_t memtable_total(void)
{
    EPOCH_SECTION();

    return views_current(&views)->memtable_count;
}

static void write_loop(void *ctx)
{
    (void)ctx;
    for (uint64_t number = 1; number <= ROUNDS; number++) {
        struct logged_memtable *lm = new_memtable(number);

        mutex_lock(&views.mu);
        while (memtable_total() >= MEMTABLES_MAX)
            cond_wait(&views.changed, &views.mu);
        mutex_unlock(&views.mu);
        must(views_push_memtable(&views, lm));
        for (uint32_t id = 1; id <= 3; id++)
            add_segment(lm, id);
        logged_memtable_unref(lm);
    }
}

// Flushes until only the last memtable is left.
static void install_loop(void *ctx)
{
    uint64_t flushed = 0;

    (void)ctx;
    for (uint64_t edit = 1; flushed < ROUNDS; edit++) {
        struct view_slot *slot;
        struct version *version;
        size_t drop = memtable_total() > 1 && edit % 3 != 0;

        must(version_new(&bin, &version));
        version->edit_number = edit;
        must(views_prepare(&views, &slot));
        if (edit % 7 == 0) {
            view_slot_free(slot); // as if the edit had failed
            drop = 0;
        } else {
            views_install(&views, slot, version, drop);
        }
        version_unref(version);
        flushed += drop;
        if (edit % 64 == 0)
            (void)epoch_collect(&bin);
    }
}

int main(void)
{
    struct thread readers[READERS], writer, installer;
    struct logged_memtable *active;
    struct version *version;
    struct dir *dir;
    struct env *env;

    must(env_memory_new(&env));
    must(dir_open(env, "/db", true, &dir));
    epoch_bin_init(&bin);
    poison_init(&poison);
    must(unlinker_new(dir, &poison, &unlinker));
    must(fd_cache_new(&bin, 8, &fds));
    segments = (struct segment_store){
        .dir = dir, .fds = fds, .bin = &bin, .unlinker = unlinker, .poison = &poison};
    must(version_new(&bin, &version));
    active = new_memtable(0);
    must(views_init(&views, &bin, active, version));
    logged_memtable_unref(active);
    version_unref(version);

    for (size_t i = 0; i < READERS; i++)
        must(thread_start(&readers[i], "reader", read_loop, i == 0 ? &views : NULL));
    must(thread_start(&writer, "writer", write_loop, NULL));
    must(thread_start(&installer, "installer", install_loop, NULL));
    thread_join(&writer);
    thread_join(&installer);
    atomic_store_explicit(&is_over, true, memory_order_relaxed);
    for (size_t i = 0; i < READERS; i++)
        thread_join(&readers[i]);

    views_release(&views);
    epoch_drain(&bin);
    fd_cache_free(fds);
    unlinker_free(unlinker);
    epoch_bin_release(&bin);
    poison_release(&poison);
    dir_close(dir);
    env_memory_free(env);
    printf("%" PRIu64 " reads\n", atomic_load(&reads));
    return 0;
}
