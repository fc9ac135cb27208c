// manifest_fixture.h -- the stores that a manifest stands on, over a simulated disk,
// and tables that exist on paper only.

#ifndef LSM_TESTS_MANIFEST_MANIFEST_FIXTURE_H
#define LSM_TESTS_MANIFEST_MANIFEST_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "manifest/manifest.h"
#include "support/sim.h"

#define DB_DIR "/db"

#define assert_ok(expression)                                                                      \
    do {                                                                                           \
        lsm_status got_ = (expression);                                                            \
        cr_assert(got_ == LSM_OK, "%s: %s: %s", #expression, lsm_status_name(got_), lsm_errmsg()); \
    } while (0)

#define assert_status(expression, wanted)                                                          \
    do {                                                                                           \
        lsm_status got_ = (expression);                                                            \
        cr_assert(got_ == (wanted), "%s: %s: %s", #expression, lsm_status_name(got_),              \
                  lsm_errmsg());                                                                   \
    } while (0)

// --- stores ---

struct stores {
    struct dir *dir;
    struct epoch_bin bin;
    struct poison poison;
    struct unlinker *unlinker;
    struct fd_cache *fds;
    struct cache *cache;
    struct table_store tables;
    struct segment_store segments;
};

static const struct uuid fixture_db_uuid = {.bytes = "a test database"};

// Makes the directory, which is not of interest to what fails later.
static inline struct sim *sim_with_dir(uint64_t seed)
{
    struct sim *sim;
    struct dir *dir;

    assert_ok(sim_new(seed, &sim));
    assert_ok(dir_open(sim_env(sim), DB_DIR, true, &dir));
    dir_close(dir);
    return sim;
}

static inline void stores_open(struct stores *s, struct sim *sim)
{
    assert_ok(dir_open(sim_env(sim), DB_DIR, false, &s->dir));
    epoch_bin_init(&s->bin);
    poison_init(&s->poison);
    assert_ok(unlinker_new(s->dir, &s->poison, &s->unlinker));
    assert_ok(fd_cache_new(&s->bin, 16, &s->fds));
    assert_ok(cache_new(1 << 20, &s->bin, &s->cache));
    s->tables = (struct table_store){.dir = s->dir,
                                     .db_uuid = fixture_db_uuid,
                                     .fds = s->fds,
                                     .cache = s->cache,
                                     .bin = &s->bin,
                                     .unlinker = s->unlinker};
    s->segments = (struct segment_store){.dir = s->dir,
                                         .db_uuid = fixture_db_uuid,
                                         .fds = s->fds,
                                         .bin = &s->bin,
                                         .unlinker = s->unlinker,
                                         .poison = &s->poison};
}

static inline void stores_close(struct stores *s)
{
    epoch_drain(&s->bin);
    cache_free(s->cache);
    epoch_drain(&s->bin);
    fd_cache_free(s->fds);
    unlinker_free(s->unlinker);
    epoch_drain(&s->bin);
    epoch_bin_release(&s->bin);
    poison_release(&s->poison);
    dir_close(s->dir);
}

// --- tables on paper ---

struct table_spec {
    uint64_t id;
    unsigned level;
    const char *from;
    const char *to;
    uint64_t ts_min;
    uint64_t ts_max;
    uint32_t segment;      // pointed to; 0: none
    uint64_t pointers;     // into it
    uint64_t bytes;        // of their records
    uint32_t keyspace;     // 0: default
    uint32_t keyspace_max; // 0: the same
};

static inline struct table_meta *spec_meta(const struct table_spec *spec)
{
    struct segment_reference reference = {
        .segment = spec->segment, .count = spec->pointers, .bytes = spec->bytes};
    uint32_t keyspace = spec->keyspace == 0 ? KEYSPACE_DEFAULT_ID : spec->keyspace;
    struct table_meta meta = {
        .id = spec->id,
        .size = 1000 + spec->id,
        .smallest = {.keyspace = keyspace, .key = slice_of(spec->from), .ts = spec->ts_max},
        .largest = {.keyspace = spec->keyspace_max == 0 ? keyspace : spec->keyspace_max,
                    .key = slice_of(spec->to),
                    .ts = spec->ts_min},
        .smallest_head = slice_head(slice_of(spec->from)),
        .largest_head = slice_head(slice_of(spec->to)),
        .entry_count = 10 + spec->pointers,
        .tombstone_count = 2,
        .raw_bytes = 500,
        .ts_min = spec->ts_min,
        .ts_max = spec->ts_max,
        .created_wall = 77,
        .references = &reference,
        .reference_count = spec->segment != 0,
    };
    struct table_meta *copy;

    put_u64(meta.uuid.bytes, spec->id);
    assert_ok(table_meta_copy(&meta, &copy));
    return copy;
}

static inline void edit_add_spec(struct edit *edit, const struct table_spec *spec)
{
    assert_ok(edit_add_table(edit, spec->level, spec_meta(spec)));
}

static inline struct log_link link_of(uint32_t id, uint64_t final_size)
{
    struct log_link link = {.id = id, .final_size = final_size};

    put_u32(link.uuid.bytes, id);
    return link;
}

// The log as of an edit: segments `first` to `last`, replay from the start of the first.
static inline void edit_set_log(struct edit *edit, uint32_t first, uint32_t last)
{
    edit->has_log = true;
    edit->replay = (struct log_position){.segment = first, .offset = 128};
    for (uint32_t id = first; id <= last; id++) {
        struct log_link link = link_of(id, id < last ? 4096 + id : 0);

        assert_ok(edit_add_chain(edit, &link));
    }
}

static inline void edit_leave(struct edit *edit, uint32_t id)
{
    struct log_link link = link_of(id, 4096 + id);

    assert_ok(edit_add_left(edit, &link));
}

#endif
