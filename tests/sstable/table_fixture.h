// table_fixture.h -- a directory on a simulated disk with all that tables share,
// and sorted arrays of random entries to compare tables with.

#ifndef LSM_TESTS_SSTABLE_TABLE_FIXTURE_H
#define LSM_TESTS_SSTABLE_TABLE_FIXTURE_H

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/pointer.h"
#include "env/filename.h"
#include "sstable/table.h"
#include "sstable/table_builder.h"
#include "support/random.h"
#include "support/sim.h"

#define MUST(expression)                                                                           \
    do {                                                                                           \
        lsm_status must_ = (expression);                                                           \
        if (must_ != LSM_OK) {                                                                     \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #expression,                \
                    lsm_status_name(must_), lsm_errmsg());                                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct table_fixture {
    struct sim *sim;
    struct dir *dir;
    struct poison poison;
    struct epoch_bin bin;
    struct table_store store;
};

static inline void table_fixture_init(struct table_fixture *f, size_t cache_budget)
{
    *f = (struct table_fixture){.sim = NULL};
    MUST(sim_new(1, &f->sim));
    MUST(dir_open(sim_env(f->sim), "/db", true, &f->dir));
    poison_init(&f->poison);
    epoch_bin_init(&f->bin);
    f->store.dir = f->dir;
    f->store.bin = &f->bin;
    memset(f->store.db_uuid.bytes, 0xdb, UUID_SIZE);
    MUST(fd_cache_new(&f->bin, 8, &f->store.fds));
    MUST(cache_new(cache_budget, &f->bin, &f->store.cache));
    MUST(unlinker_new(f->dir, &f->poison, &f->store.unlinker));
}

static inline void table_fixture_release(struct table_fixture *f)
{
    epoch_drain(&f->bin);
    unlinker_free(f->store.unlinker);
    cache_free(f->store.cache);
    fd_cache_free(f->store.fds);
    epoch_drain(&f->bin);
    epoch_bin_release(&f->bin);
    poison_release(&f->poison);
    dir_close(f->dir);
    sim_free(f->sim);
}

// --- entries ---

struct entry_array {
    struct entry *items; // each owns the bytes of its key and value
    size_t count;
};

static inline lsm_slice bytes_copy(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    assert(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return slice_make(copy, size);
}

static inline void entry_array_release(struct entry_array *a)
{
    for (size_t i = 0; i < a->count; i++) {
        free((void *)a->items[i].key.data);
        free((void *)a->items[i].value.data);
    }
    free(a->items);
    *a = (struct entry_array){.items = NULL};
}

static inline int by_entry_order(const void *a, const void *b)
{
    return entry_compare(a, b);
}

// Sorts, and drops all but one of entries at the same place.
static inline void entry_array_sort(struct entry_array *a)
{
    size_t n = 0;

    qsort(a->items, a->count, sizeof *a->items, by_entry_order);
    for (size_t i = 0; i < a->count; i++) {
        if (n > 0 && entry_compare(&a->items[n - 1], &a->items[i]) == 0) {
            free((void *)a->items[i].key.data);
            free((void *)a->items[i].value.data);
        } else {
            a->items[n++] = a->items[i];
        }
    }
    a->count = n;
}

// What random entries look like.
struct entry_shape {
    size_t count;
    uint32_t keyspaces;
    size_t prefix_size; // of all keys
    size_t key_max;     // bytes behind the prefix, at least 1
    uint8_t alphabet;   // distinct bytes in keys; 0: all
    uint64_t ts_max;
    size_t value_max;
    bool has_pointers;
};

static inline void random_value(struct random *rng, const struct entry_shape *shape,
                                struct entry *e)
{
    uint8_t bytes[4096];

    e->kind = random_one_in(rng, 8) ? ENTRY_DELETE : ENTRY_VALUE;
    if (shape->has_pointers && random_one_in(rng, 3)) {
        struct value_pointer p = {.segment = (uint32_t)random_below(rng, 3) + 1,
                                  .offset = random_below(rng, 1u << 30),
                                  .record_size = (uint32_t)random_below(rng, 5000) + 32,
                                  .value_size = 17};

        e->kind = ENTRY_POINTER;
        e->value = bytes_copy(bytes, pointer_encode(&p, bytes));
        return;
    }
    if (e->kind == ENTRY_DELETE) {
        e->value = bytes_copy("", 0);
        return;
    }
    memset(bytes, 'v', sizeof bytes);
    random_fill(rng, bytes, 4);
    e->value = bytes_copy(bytes, (size_t)random_below(rng, shape->value_max + 1));
}

static inline struct entry random_entry(struct random *rng, const struct entry_shape *shape)
{
    struct entry e = {.keyspace = (uint32_t)random_below(rng, shape->keyspaces) * 0x10203};
    uint8_t key[512];
    size_t size = shape->prefix_size + (size_t)random_below(rng, shape->key_max + 1);

    assert(size <= sizeof key && shape->value_max <= 4096);
    memset(key, 'p', shape->prefix_size);
    for (size_t i = shape->prefix_size; i < size; i++)
        key[i] =
            (uint8_t)(shape->alphabet == 0 ? random_next(rng) : random_below(rng, shape->alphabet));
    e.key = bytes_copy(key, size);
    e.head = slice_head(e.key);
    e.ts = random_below(rng, shape->ts_max) + 1;
    if (random_one_in(rng, 5))
        e.user_byte = (uint8_t)random_next(rng);
    if (random_one_in(rng, 6))
        e.expiry = 1700000000 + random_below(rng, 1000);
    random_value(rng, shape, &e);
    return e;
}

static inline struct entry_array random_entries(struct random *rng, const struct entry_shape *shape)
{
    struct entry_array a = {.items = calloc(shape->count, sizeof *a.items), .count = shape->count};

    assert(a.items != NULL);
    for (size_t i = 0; i < a.count; i++)
        a.items[i] = random_entry(rng, shape);
    entry_array_sort(&a);
    return a;
}

// Index of the first entry at or after `target`.
static inline size_t entry_array_seek(const struct entry_array *a, const struct ikey *target)
{
    size_t i = 0;
    size_t end = a->count;

    while (i < end) {
        size_t middle = (i + end) / 2;
        struct ikey at = entry_ikey(&a->items[middle]);

        if (ikey_compare(&at, target) < 0)
            i = middle + 1;
        else
            end = middle;
    }
    return i;
}

// --- tables ---

static inline lsm_status build_table(struct table_fixture *f, uint64_t id,
                                     const struct table_options *options,
                                     const struct entry_array *entries, struct table_meta **out)
{
    CLEANUP(table_builder_freep) struct table_builder *b = NULL;

    TRY(table_builder_new(f->dir, id, &f->store.db_uuid, &f->poison, options, &b));
    for (size_t i = 0; i < entries->count; i++)
        TRY(table_builder_add(b, &entries->items[i]));
    return table_builder_finish(b, out);
}

static inline struct table *make_table(struct table_fixture *f, uint64_t id,
                                       const struct table_options *options,
                                       const struct entry_array *entries)
{
    struct table_meta *meta;
    struct table *table;

    MUST(build_table(f, id, options, entries, &meta));
    MUST(table_new(&f->store, meta, &table));
    return table;
}

static inline bool entry_equal(const struct entry *a, const struct entry *b)
{
    return entry_compare(a, b) == 0 && a->kind == b->kind && a->user_byte == b->user_byte &&
           a->expiry == b->expiry && a->head == b->head && slice_equal(a->value, b->value);
}

#endif
