// engine_fixture.h -- log, memtables, tables and manifest on a simulated disk, with the
// jobs that keep them in shape and a model of what was written.
//
// What stands between the application and the stores is played by the fixture: it
// commits one entry per frame, and its `oldest_ts`, `oldest_wall` and `dropped` are
// what oracle and keyspaces would answer.

#ifndef LSM_TESTS_SUPPORT_ENGINE_FIXTURE_H
#define LSM_TESTS_SUPPORT_ENGINE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file_header.h"
#include "base/hash.h"
#include "compaction/compactor.h"
#include "support/random.h"
#include "support/sim.h"

#define ENGINE_DIR          "/db"
#define ENGINE_VERSIONS_MAX 8192
#define ENGINE_MARKS_MAX    256
#define ENGINE_VALUE_MAX    512
#define ENGINE_SEGMENT_SIZE 16384
#define ENGINE_SEPARATE_MIN 100 // bytes from which the fixture separates a value

#define MUST(expression)                                                                           \
    do {                                                                                           \
        lsm_status must_ = (expression);                                                           \
        if (must_ != LSM_OK) {                                                                     \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #expression,                \
                    lsm_status_name(must_), lsm_errmsg());                                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// One version of one key, as written.
struct model_version {
    uint32_t keyspace;
    unsigned key;
    uint64_t ts;
    bool is_delete;
    size_t size; // of the value
    uint64_t expiry;
};

// All a replay from `start` need not read has a timestamp of at most `ts`.
struct model_mark {
    struct log_position start;
    uint64_t ts;
};

struct model {
    struct model_version versions[ENGINE_VERSIONS_MAX]; // by ts
    size_t count;
    struct model_mark marks[ENGINE_MARKS_MAX];
    size_t mark_count;
    _Atomic uint64_t last_ts; // written by who commits, read by jobs
};

struct engine_fixture {
    struct sim *sim;
    struct dir *dir;
    struct epoch_bin bin;
    struct poison poison;
    struct table_store tables;
    struct segment_store segments;
    struct views views;
    struct engine_options options;
    struct compaction_stats stats;
    struct scheduler *scheduler;
    struct engine engine;
    struct compactor *compactor; // NULL until engine_fixture_start_jobs()
    uint64_t oldest_ts;          // TS_MAX: the newest
    uint64_t oldest_wall;
    uint32_t dropped;     // keyspace, or 0
    _Atomic int dropping; // jobs that have begun to and not ended
    struct model *model;
};

static inline uint64_t model_oldest_ts(const struct engine_fixture *f)
{
    return f->oldest_ts < f->model->last_ts ? f->oldest_ts : f->model->last_ts;
}

// --- what the engine asks ---

static inline void fixture_oldest_snapshot(void *ctx, uint64_t *ts, uint64_t *wall)
{
    struct engine_fixture *f = ctx;

    *ts = model_oldest_ts(f);
    *wall = f->oldest_wall;
}

static inline lsm_status fixture_begin_dropping(void *ctx, uint64_t *ts, uint64_t *wall,
                                                void **hold)
{
    struct engine_fixture *f = ctx;

    fixture_oldest_snapshot(ctx, ts, wall);
    atomic_fetch_add(&f->dropping, 1);
    *hold = f;
    return LSM_OK;
}

static inline void fixture_end_dropping(void *ctx, void *hold)
{
    struct engine_fixture *f = hold;

    (void)ctx;
    atomic_fetch_sub(&f->dropping, 1);
}

static inline bool fixture_keyspace_options(void *ctx, uint32_t id, struct keyspace_options *out,
                                            bool *is_dropped)
{
    struct engine_fixture *f = ctx;

    *out = (struct keyspace_options){.versions_to_keep = KEYSPACE_INHERIT};
    *is_dropped = id == f->dropped;
    return id == 1 || id == 2;
}

static inline void fixture_clock(void *ctx, uint64_t *last_ts, uint64_t *last_wall_ns)
{
    struct engine_fixture *f = ctx;

    *last_ts = f->model->last_ts;
    *last_wall_ns = clock_wall_ns(f->engine.env);
}

// --- opening and closing ---

static inline void fixture_open_stores(struct engine_fixture *f, struct sim *sim)
{
    static const struct uuid uuid = {{0xDB, 7}};

    f->sim = sim;
    MUST(dir_open(sim_env(sim), ENGINE_DIR, true, &f->dir));
    epoch_bin_init(&f->bin);
    poison_init(&f->poison);
    f->tables = (struct table_store){.dir = f->dir, .db_uuid = uuid, .bin = &f->bin};
    MUST(fd_cache_new(&f->bin, 16, &f->tables.fds));
    MUST(cache_new(256 * 1024, &f->bin, &f->tables.cache));
    MUST(unlinker_new(f->dir, &f->poison, &f->tables.unlinker));
    f->segments = (struct segment_store){
        .dir = f->dir,
        .db_uuid = uuid,
        .fds = f->tables.fds,
        .bin = &f->bin,
        .unlinker = f->tables.unlinker,
        .poison = &f->poison,
    };
}

static inline void fixture_close_stores(struct engine_fixture *f)
{
    epoch_drain(&f->bin);
    unlinker_free(f->tables.unlinker);
    cache_free(f->tables.cache);
    fd_cache_free(f->tables.fds);
    epoch_drain(&f->bin);
    epoch_bin_release(&f->bin);
    poison_release(&f->poison);
    dir_close(f->dir);
}

static inline void fixture_add_mark(struct engine_fixture *f, struct log_position start)
{
    struct model *model = f->model;

    if (model->mark_count == ENGINE_MARKS_MAX)
        abort();
    model->marks[model->mark_count++] = (struct model_mark){.start = start, .ts = model->last_ts};
}

static inline void fixture_create_log(struct engine_fixture *f)
{
    struct log_start start = {.end = FILE_HEADER_SIZE, .next_sequence = 1, .next_segment_id = 2};

    MUST(segment_create(&f->segments, 1, ENGINE_SEGMENT_SIZE, &start.active));
    MUST(dir_sync(f->dir));
    MUST(log_new(&f->segments, NULL, &start, &f->engine.log));
    log_set_segment_size(f->engine.log, ENGINE_SEGMENT_SIZE);
}

static inline void fixture_create_manifest(struct engine_fixture *f, struct version *version)
{
    struct log_link link = {.id = 1, .uuid = *segment_uuid(log_active(f->engine.log))};
    struct manifest_state state = {
        .db_uuid = f->tables.db_uuid,
        .replay = {1, FILE_HEADER_SIZE},
        .mark = {1, FILE_HEADER_SIZE},
        .chain = &link,
        .chain_count = 1,
        .next_keyspace_id = 3,
    };

    MUST(manifest_start(&f->tables, &f->segments, &f->poison, NULL, &state, version,
                        &f->engine.manifest));
}

// Small tables and levels, so that a few hundred entries fill several.
static inline void fixture_set_options(struct engine_options *o)
{
    atomic_init(&o->table_size, 4096);
    atomic_init(&o->block_size, 512);
    atomic_init(&o->compressed_block_size, 1024);
    atomic_init(&o->level0_trigger, 3);
    atomic_init(&o->level_multiplier, 3);
    atomic_init(&o->level_base_size, 12 * 1024);
    atomic_init(&o->compression, 1);
    atomic_init(&o->compression_upper, 0);
    atomic_init(&o->filter_bits, 8.0);
    atomic_init(&o->versions_to_keep, 1);
    atomic_init(&o->memtable_size, 64 * 1024);
}

// A new database over a new disk.
static inline void engine_fixture_init(struct engine_fixture *f, uint64_t seed)
{
    struct logged_memtable *active;
    struct version *version;
    struct sim *sim;

    *f = (struct engine_fixture){.oldest_ts = TS_MAX, .model = calloc(1, sizeof *f->model)};
    MUST(sim_new(seed, &sim));
    fixture_open_stores(f, sim);
    fixture_set_options(&f->options);
    MUST(scheduler_new_manual(sim_env(sim), &f->scheduler));
    f->engine = (struct engine){
        .env = sim_env(sim),
        .dir = f->dir,
        .tables = &f->tables,
        .segments = &f->segments,
        .views = &f->views,
        .poison = &f->poison,
        .options = &f->options,
        .stats = &f->stats,
        .oldest_snapshot = fixture_oldest_snapshot,
        .begin_dropping = fixture_begin_dropping,
        .end_dropping = fixture_end_dropping,
        .keyspace_options = fixture_keyspace_options,
        .clock = fixture_clock,
        .ctx = f,
    };
    fixture_create_log(f);
    MUST(version_new(&f->bin, &version));
    fixture_create_manifest(f, version);
    MUST(logged_memtable_new(&f->bin, 0, log_end(f->engine.log), &active));
    fixture_add_mark(f, active->start);
    MUST(views_init(&f->views, &f->bin, active, version));
    logged_memtable_unref(active);
    version_unref(version);
}

static inline void engine_fixture_start_jobs(struct engine_fixture *f, unsigned merge_count)
{
    MUST(compactor_new(&f->engine, f->scheduler, merge_count, &f->compactor));
}

static inline void engine_fixture_release(struct engine_fixture *f)
{
    compactor_free(f->compactor);
    if (atomic_load(&f->dropping) != 0)
        abort(); // a job has not said that it ended
    scheduler_free(f->scheduler);
    views_release(&f->views);
    log_free(f->engine.log);
    manifest_free(f->engine.manifest);
    fixture_close_stores(f);
    sim_free(f->sim);
    free(f->model);
}

// --- writing ---

static inline size_t fixture_key(unsigned key, char *to)
{
    return (size_t)sprintf(to, "key-%05u", key);
}

static inline lsm_slice fixture_value(const struct model_version *v, uint8_t *to)
{
    struct random random = {.state = v->ts * 7919 + v->key};

    random_fill(&random, to, v->size);
    return slice_make(to, v->size);
}

static inline void fixture_insert(struct engine_fixture *f, const struct commit_frame *frame)
{
    struct logged_memtable *active;
    struct frame_reader reader;
    struct entry entry;

    EPOCH_SECTION();
    active = views_current(&f->views)->memtables[0];
    MUST(logged_memtable_add_segment(active, log_active(f->engine.log)));
    frame_reader_over_commit(&reader, frame);
    if (frame_reader_next(&reader, &entry) != FRAME_ENTRY)
        abort();
    MUST(memtable_reserve(active->mem, 1, entry.key.size + entry.value.size, 1));
    memtable_insert(active->mem, &entry, key_hash(entry.keyspace, entry.key));
    if (active->first_ts == 0)
        active->first_ts = entry.ts;
    active->last_ts = entry.ts;
}

// Commits one version: log, memtable, model. `size` is ignored for a deletion.
static inline void fixture_commit(struct engine_fixture *f, struct model_version v)
{
    struct commit_frame frame, *group = &frame;
    uint64_t edit_number = manifest_edit_number(f->engine.manifest);
    uint8_t value[ENGINE_VALUE_MAX];
    char key[32];
    struct entry entry = {.keyspace = v.keyspace, .expiry = v.expiry};

    if (f->model->count == ENGINE_VERSIONS_MAX)
        abort();
    v.ts = ++f->model->last_ts;
    f->model->versions[f->model->count++] = v;
    entry.kind = v.is_delete ? ENTRY_DELETE : ENTRY_VALUE;
    entry.key = slice_make(key, fixture_key(v.key, key));
    entry.value = v.is_delete ? slice_make(NULL, 0) : fixture_value(&v, value);

    commit_frame_init(&frame);
    MUST(commit_frame_add(&frame, &entry, entry.value.size >= ENGINE_SEPARATE_MIN));
    MUST(commit_frame_finish(&frame));
    frame.ts = v.ts;
    MUST(log_reserve(f->engine.log, frame.size, edit_number));
    MUST(log_append(f->engine.log, &group, 1, edit_number));
    fixture_insert(f, &frame);
    commit_frame_release(&frame);
}

static inline void engine_put(struct engine_fixture *f, unsigned key, size_t size)
{
    fixture_commit(f, (struct model_version){.keyspace = 1, .key = key, .size = size});
}

static inline void engine_delete(struct engine_fixture *f, unsigned key)
{
    fixture_commit(f, (struct model_version){.keyspace = 1, .key = key, .is_delete = true});
}

// The active memtable becomes immutable.
static inline void engine_rotate(struct engine_fixture *f)
{
    struct logged_memtable *active;

    MUST(logged_memtable_new(&f->bin, 0, log_end(f->engine.log), &active));
    fixture_add_mark(f, active->start);
    MUST(views_push_memtable(&f->views, active));
    logged_memtable_unref(active);
}

static inline void engine_flush(struct engine_fixture *f)
{
    engine_rotate(f);
    MUST(flush_run(&f->engine, &(bool){false}));
}

// What the reclaim job does.
static inline void engine_reclaim(struct engine_fixture *f)
{
    epoch_drain(&f->bin);
    (void)unlinker_drain(f->tables.unlinker, 64);
}

// --- reading, and comparing with the model ---

static inline const struct model_version *model_find(const struct model *model, uint32_t keyspace,
                                                     unsigned key, uint64_t ts)
{
    for (size_t i = model->count; i > 0; i--) {
        const struct model_version *v = &model->versions[i - 1];

        if (v->ts <= ts && v->key == key && v->keyspace == keyspace)
            return v;
    }
    return NULL;
}

// The newest entry in memtables, then tables; the index of its memtable, or -1. Inside
// an epoch section.
static inline lsm_status view_get(struct view *view, const struct ikey *key, struct entry *out,
                                  bool *found, int *memtable)
{
    uint64_t hash = key_hash(key->keyspace, key->key);

    *found = true;
    for (*memtable = 0; *memtable < (int)view->memtable_count; (*memtable)++) {
        if (memtable_get(view->memtables[*memtable]->mem, key, hash, out))
            return LSM_OK;
    }
    *memtable = -1;
    *found = false;
    return version_get(view->version, key, hash, out, found, NULL);
}

static inline bool same_value(const struct entry *entry, struct segment *segment,
                              const struct model_version *v)
{
    uint8_t bytes[ENGINE_VALUE_MAX];
    lsm_slice wanted = fixture_value(v, bytes);
    struct value_pointer pointer;
    lsm_buf value = {0};
    bool is_same;

    if (entry->kind == ENTRY_VALUE)
        return slice_equal(entry->value, wanted);
    MUST(pointer_decode(entry->value, &pointer));
    if (segment == NULL)
        return false;
    MUST(segment_read_value(segment, &pointer, entry->keyspace, entry->key, &value));
    is_same = slice_equal(slice_of_buf(&value), wanted);
    lsm_buf_free(&value);
    return is_same;
}

static inline uint32_t pointer_segment(const struct entry *entry)
{
    struct value_pointer pointer;

    MUST(pointer_decode(entry->value, &pointer));
    return pointer.segment;
}

// Whether `view` answers for one key at `ts` as the model does.
static inline bool view_agrees(struct view *view, const struct model *model, uint32_t keyspace,
                               unsigned key, uint64_t ts, uint64_t wall)
{
    const struct model_version *v = model_find(model, keyspace, key, ts);
    bool is_absent = v == NULL || v->is_delete || (v->expiry != 0 && v->expiry <= wall);
    char text[32];
    struct ikey at = {keyspace, slice_make(text, fixture_key(key, text)), ts};
    struct segment *segment = NULL;
    struct entry entry;
    int memtable;
    bool found;

    EPOCH_SECTION();
    MUST(view_get(view, &at, &entry, &found, &memtable));
    if (!found || entry_is_absent(&entry, wall))
        return is_absent;
    if (is_absent || entry.ts != v->ts)
        return false;
    if (entry.kind == ENTRY_POINTER)
        segment = view_find_segment(view, memtable, pointer_segment(&entry));
    return same_value(&entry, segment, v);
}

// Whether every key below `key_end`, at every timestamp from the oldest snapshot to
// the newest (in `steps` steps), reads as in the model.
static inline bool engine_agrees(struct engine_fixture *f, unsigned key_end, unsigned steps)
{
    struct view *view = views_acquire(&f->views);
    uint64_t oldest = model_oldest_ts(f), span = f->model->last_ts - oldest;
    bool is_same = true;

    for (unsigned step = 0; is_same && step <= steps; step++) {
        uint64_t ts = oldest + span * step / (steps == 0 ? 1 : steps);

        for (unsigned key = 0; is_same && key < 2 * key_end; key++) {
            uint32_t keyspace = 1 + key % 2;

            is_same = keyspace == f->dropped ||
                      view_agrees(view, f->model, keyspace, key / 2, ts, f->oldest_wall);
            if (!is_same)
                fprintf(stderr, "keyspace %u, key %u differs at %llu\n", keyspace, key / 2,
                        (unsigned long long)ts);
        }
    }
    view_unref(view);
    return is_same;
}

// --- what a version holds ---

static inline size_t engine_table_count(struct engine_fixture *f, unsigned level)
{
    EPOCH_SECTION();

    return views_current(&f->views)->version->levels[level].count;
}

static inline uint64_t engine_entry_count(struct engine_fixture *f)
{
    uint64_t count = 0;

    EPOCH_SECTION();
    for (unsigned i = 0; i < LEVEL_COUNT; i++)
        count += views_current(&f->views)->version->levels[i].entries;
    return count;
}

static inline uint64_t engine_tombstone_count(struct engine_fixture *f)
{
    uint64_t count = 0;

    EPOCH_SECTION();
    for (unsigned i = 0; i < LEVEL_COUNT; i++)
        count += views_current(&f->views)->version->levels[i].tombstones;
    return count;
}

// --- what a crash leaves ---

// Whether every table of `version` verifies.
static inline bool version_verifies(struct version *version)
{
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        for (size_t j = 0; j < version->levels[i].count; j++) {
            if (table_verify(version->levels[i].tables[j]) == LSM_OK)
                continue;
            fprintf(stderr, "%s\n", lsm_errmsg());
            return false;
        }
    }
    return true;
}

static inline uint64_t model_flushed_ts(const struct model *model, struct log_position replay)
{
    for (size_t i = model->mark_count; i > 0; i--) {
        if (log_position_compare(model->marks[i - 1].start, replay) <= 0)
            return model->marks[i - 1].ts;
    }
    return 0;
}

// Whether the disk of `sim`, which holds what has survived, has a manifest whose tables
// verify and answer for everything before its replay position as the model does.
// `f` is the fixture that wrote it. Leaves `sim` as it is, but for its files being read.
static inline bool disk_agrees(const struct engine_fixture *f, struct sim *sim, unsigned key_end)
{
    struct engine_fixture found = {.oldest_ts = f->oldest_ts, .model = f->model};
    struct logged_memtable *nothing;
    struct manifest_state state;
    struct version *version;
    struct view *view;
    uint64_t ts;
    bool is_same;

    fixture_open_stores(&found, sim);
    MUST(manifest_read(&found.tables, &found.segments, &state, &version));
    MUST(logged_memtable_new(&found.bin, 0, state.replay, &nothing));
    MUST(views_init(&found.views, &found.bin, nothing, version));
    logged_memtable_unref(nothing);
    is_same = version_verifies(version);
    ts = model_flushed_ts(f->model, state.replay);
    view = views_acquire(&found.views);
    for (unsigned key = 0; is_same && key < 2 * key_end && ts >= model_oldest_ts(f); key++)
        is_same = view_agrees(view, f->model, 1 + key % 2, key / 2, ts, f->oldest_wall);
    view_unref(view);
    version_unref(version);
    manifest_state_release(&state);
    views_release(&found.views);
    fixture_close_stores(&found);
    return is_same;
}

#endif
