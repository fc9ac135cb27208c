// sstable_table.c -- threads that get and scan tables whose indexes and blocks
// come and go, since the cache is far too small for them.

#include "env/sync.h"
#include "sstable/table_fixture.h"

#define THREADS 4
#define TABLES  6
#define OPS     4000

static struct table_fixture f;
static struct entry_array entries;
static struct table *tables[TABLES];

struct worker {
    struct thread thread;
    uint64_t seed;
};

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void get(struct random *rng)
{
    const struct entry *e = &entries.items[random_below(rng, entries.count)];
    struct table *table = tables[random_below(rng, TABLES)];
    uint64_t hash = key_hash(e->keyspace, e->key);
    struct ikey key = entry_ikey(e);
    struct entry got;
    bool found;

    EPOCH_SECTION();
    table_prefetch_filter(table, hash);
    MUST(table_get(table, &key, hash, &got, &found, NULL));
    if (!found || !entry_equal(&got, e))
        fail("a get found something else");
}

static void scan(struct random *rng)
{
    struct table_iter_options options = {.fill_cache = random_one_in(rng, 2)};
    size_t i = (size_t)random_below(rng, entries.count);
    struct ikey from = entry_ikey(&entries.items[i]);
    struct iter *it;

    MUST(table_iter_new(tables[random_below(rng, TABLES)], &options, &it));
    MUST(iter_seek(it, &from));
    for (size_t n = 0; n < 50 && i < entries.count; n++, i++) {
        if (!it->is_valid || !entry_equal(&it->entry, &entries.items[i]))
            fail("a scan found something else");
        MUST(iter_next(it));
    }
    iter_close(it);
}

static void work(void *ctx)
{
    struct random rng = {.state = ((struct worker *)ctx)->seed};

    for (size_t i = 0; i < OPS; i++) {
        if (random_one_in(&rng, 10))
            scan(&rng);
        else
            get(&rng);
        if (random_one_in(&rng, 300))
            cache_set_budget(f.store.cache, 8192 * (size_t)(1 + random_below(&rng, 8)));
        if (random_one_in(&rng, 100))
            (void)epoch_collect(&f.bin);
    }
}

int main(void)
{
    struct random rng = random_for_test("sstable_table");
    struct table_options options = {.block_size = 1024, .filter_bits = 10};
    struct entry_shape shape = {
        .count = 1000, .keyspaces = 2, .key_max = 16, .ts_max = 9, .value_max = 60};
    struct worker workers[THREADS];

    table_fixture_init(&f, 64 * 1024);
    entries = random_entries(&rng, &shape);
    for (size_t i = 0; i < TABLES; i++) {
        options.compression = (int)(i % 2);
        tables[i] = make_table(&f, i + 1, &options, &entries);
    }
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].seed = random_next(&rng);
        MUST(thread_start(&workers[i].thread, "tables", work, &workers[i]));
    }
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&workers[i].thread);
    for (size_t i = 0; i < TABLES; i++) {
        MUST(table_verify(tables[i]));
        table_unref(tables[i]);
    }
    epoch_drain(&f.bin);
    if (cache_charged(f.store.cache) != 0)
        fail("charges are left");
    entry_array_release(&entries);
    table_fixture_release(&f);
    return 0;
}
