// test_table.c -- tables as built and as read, compared with sorted arrays.

#include "sstable/table.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/table_fixture.h"
#include "support/alloc_fault.h"

static struct table_fixture f;

static const struct table_options plain = {.block_size = 512, .filter_bits = 10};
static const struct table_options packed = {
    .block_size = 2048, .compression = 1, .filter_bits = 10};

static const struct entry_shape shapes[] = {
    {.count = 800, .keyspaces = 1, .key_max = 16, .ts_max = 1000, .value_max = 60},
    {.count = 800,
     .keyspaces = 5,
     .prefix_size = 20,
     .key_max = 12,
     .alphabet = 2,
     .ts_max = 9,
     .value_max = 100,
     .has_pointers = true},
    // Few keys with many versions, and keys that are prefixes of others.
    {.count = 900,
     .keyspaces = 2,
     .key_max = 3,
     .alphabet = 2,
     .ts_max = 1u << 20,
     .value_max = 30,
     .has_pointers = true},
    // Zero bytes, which look like the padding of a head.
    {.count = 900,
     .keyspaces = 3,
     .key_max = 20,
     .alphabet = 1,
     .ts_max = UINT64_MAX - 1,
     .value_max = 10},
    {.count = 60,
     .keyspaces = 1,
     .prefix_size = 300,
     .key_max = 200,
     .ts_max = 2,
     .value_max = 4000},
    {.count = 1, .keyspaces = 1, .key_max = 1, .ts_max = 5},
};

#define SHAPES (sizeof shapes / sizeof shapes[0])

static void setup(void)
{
    table_fixture_init(&f, 1024 * 1024);
}

static void teardown(void)
{
    table_fixture_release(&f);
}

TestSuite(table, .init = setup, .fini = teardown);

// A place that may or may not be in the array: an entry's, slightly changed.
static struct ikey random_target(struct random *rng, const struct entry_array *a, uint8_t *room)
{
    struct entry *e = &a->items[random_below(rng, a->count)];
    struct ikey target = entry_ikey(e);

    memcpy(room, e->key.data, e->key.size);
    target.key.data = room;
    switch (random_below(rng, 6)) {
    case 0:
        target.ts = random_one_in(rng, 2) ? TS_MAX : 0;
        break;
    case 1:
        target.ts = target.ts + random_below(rng, 3) - 1;
        break;
    case 2:
        room[target.key.size++] = (uint8_t)random_below(rng, 2);
        break;
    case 3:
        target.key.size -= target.key.size > 0;
        break;
    case 4:
        if (target.key.size == 0)
            break;
        room[random_below(rng, target.key.size)] ^= (uint8_t)(1 << random_below(rng, 8));
        target.keyspace += (uint32_t)random_below(rng, 2);
        break;
    default:
        break;
    }
    return target;
}

static void check_get(struct table *table, const struct entry_array *a, const struct ikey *target)
{
    size_t i = entry_array_seek(a, target);
    bool expected = i < a->count && a->items[i].keyspace == target->keyspace &&
                    slice_equal(a->items[i].key, target->key);
    uint64_t hash = key_hash(target->keyspace, target->key);
    struct block *block = NULL;
    struct entry got;
    bool maybe = false;
    bool found = false;

    epoch_enter();
    MUST(table_may_contain(table, hash, &maybe));
    table_prefetch_filter(table, hash);
    MUST(table_get(table, target, hash, &got, &found, &block));
    cr_assert(eq(int, found, expected));
    if (found) {
        cr_assert(maybe);
        cr_assert(entry_equal(&got, &a->items[i]));
        cr_assert(block != NULL);
    }
    epoch_exit();
}

static void check_position(const struct iter *it, const struct entry_array *a, size_t i)
{
    cr_assert(eq(int, it->is_valid, i < a->count), "at %zu of %zu", i, a->count);
    if (it->is_valid)
        cr_assert(entry_equal(&it->entry, &a->items[i]), "at %zu of %zu", i, a->count);
}

// Moves a cursor at random; `count` and SIZE_MAX stand for behind the last entry
// and before the first.
static void check_random_moves(struct random *rng, struct iter *it, const struct entry_array *a,
                               size_t moves)
{
    uint8_t room[1024];
    size_t at = a->count;

    for (size_t i = 0; i < moves; i++) {
        struct ikey target = random_target(rng, a, room);
        uint64_t move = random_below(rng, 12);

        if (move == 0) {
            MUST(iter_first(it));
            at = 0;
        } else if (move == 1) {
            MUST(iter_last(it));
            at = a->count - 1;
        } else if (move == 2 || at >= a->count) {
            MUST(iter_seek(it, &target));
            at = entry_array_seek(a, &target);
        } else if (move == 3) {
            MUST(iter_seek_for_prev(it, &target));
            at = entry_array_seek(a, &target);
            if (at == a->count ||
                ikey_compare(&target, &(struct ikey){a->items[at].keyspace, a->items[at].key,
                                                     a->items[at].ts}) != 0)
                at--;
        } else if (move < 8) {
            MUST(iter_next(it));
            at++;
        } else {
            MUST(iter_prev(it));
            at--;
        }
        check_position(it, a, at);
    }
}

static void check_scans(struct table *table, const struct entry_array *a,
                        const struct table_iter_options *options)
{
    CLEANUP(iter_closep) struct iter *it = NULL;
    size_t i = 0;

    MUST(table_iter_new(table, options, &it));
    MUST(iter_first(it));
    for (; it->is_valid; i++) {
        check_position(it, a, i);
        MUST(iter_next(it));
    }
    cr_assert(eq(sz, i, a->count));
    MUST(iter_last(it));
    for (; it->is_valid; i--) {
        check_position(it, a, i - 1);
        MUST(iter_prev(it));
    }
    cr_assert(eq(sz, i, 0));
}

static void check_table(struct random *rng, struct table *table, const struct entry_array *a)
{
    CLEANUP(iter_closep) struct iter *it = NULL;
    uint8_t room[1024];

    MUST(table_verify(table));
    check_scans(table, a, &(struct table_iter_options){.sequential = true});
    check_scans(table, a, &(struct table_iter_options){.fill_cache = true});
    for (size_t i = 0; i < a->count; i++) {
        struct ikey at = entry_ikey(&a->items[i]);

        check_get(table, a, &at);
    }
    for (size_t i = 0; i < 2000; i++) {
        struct ikey target = random_target(rng, a, room);

        check_get(table, a, &target);
    }
    MUST(table_iter_new(table, &(struct table_iter_options){.fill_cache = true}, &it));
    check_random_moves(rng, it, a, 4000);
}

Test(table, what_was_built_is_read_back_in_every_shape)
{
    struct random rng = random_for_test("what_was_built_is_read_back");

    for (size_t i = 0; i < 2 * SHAPES; i++) {
        struct entry_array a = random_entries(&rng, &shapes[i / 2]);
        struct table *table = make_table(&f, i + 1, i % 2 == 0 ? &plain : &packed, &a);

        check_table(&rng, table, &a);
        table_unref(table);
        entry_array_release(&a);
    }
}

static struct entry_array some_entries(uint64_t seed, size_t count)
{
    struct random rng = {.state = seed};
    struct entry_shape shape = {.count = count,
                                .keyspaces = 2,
                                .key_max = 12,
                                .ts_max = 100,
                                .value_max = 60,
                                .has_pointers = true};

    return random_entries(&rng, &shape);
}

Test(table, keys_and_values_of_the_largest_size_are_read_back)
{
    static uint8_t bytes[65536];
    struct entry_array a = {.items = calloc(6, sizeof *a.items), .count = 6};
    struct table *table;

    for (size_t i = 0; i < a.count; i++) {
        bytes[65534] = (uint8_t)(i / 2);
        a.items[i] = (struct entry){.kind = ENTRY_VALUE, .ts = 10 - i};
        a.items[i].key = bytes_copy(bytes, 65535);
        a.items[i].value = bytes_copy(bytes, i % 2 == 0 ? 65536 : 0);
        a.items[i].head = slice_head(a.items[i].key);
    }
    table = make_table(&f, 1, &packed, &a);
    MUST(table_verify(table));
    check_scans(table, &a, &(struct table_iter_options){.fill_cache = false});
    for (size_t i = 0; i < a.count; i++) {
        struct ikey at = entry_ikey(&a.items[i]);

        check_get(table, &a, &at);
    }
    table_unref(table);
    entry_array_release(&a);
}

// The last key shares nothing with the thousands before it: in their block it
// would make each of them as long as their prefix.
Test(table, a_key_that_shares_no_prefix_does_not_blow_up_its_block)
{
    struct entry_array a = {.items = calloc(3001, sizeof *a.items), .count = 3001};
    struct table_options options = {.block_size = 256 * 1024, .filter_bits = 10};
    uint8_t key[3000];
    struct table *table;

    memset(key, 'p', sizeof key);
    for (size_t i = 0; i < a.count; i++) {
        bool is_last = i + 1 == a.count;

        key[sizeof key - 2] = (uint8_t)(i / 256);
        key[sizeof key - 1] = (uint8_t)i;
        a.items[i] = (struct entry){.kind = ENTRY_VALUE, .ts = i, .expiry = UINT64_MAX};
        a.items[i].key = is_last ? bytes_copy("z", 1) : bytes_copy(key, sizeof key);
        a.items[i].value = bytes_copy("", 0);
        a.items[i].head = slice_head(a.items[i].key);
    }
    table = make_table(&f, 1, &options, &a);
    cr_assert(lt(u64, table_meta(table)->size, 256 * 1024));
    MUST(table_verify(table));
    check_scans(table, &a, &(struct table_iter_options){.fill_cache = true});
    table_unref(table);
    entry_array_release(&a);
}

Test(table, the_meta_tells_what_was_added)
{
    struct entry_array a = some_entries(1, 500);
    struct table *table = make_table(&f, 3, &plain, &a);
    const struct table_meta *m = table_meta(table);
    struct table_meta tally = {.id = 3};
    uint64_t size;

    for (size_t i = 0; i < a.count; i++)
        table_meta_count(&tally, &a.items[i]);
    MUST(file_stat(f.dir, "000003.sst", &size));
    cr_assert(eq(u64, m->size, size));
    cr_assert(eq(u64, m->entry_count, a.count));
    cr_assert(eq(u64, m->tombstone_count, tally.tombstone_count));
    cr_assert(eq(u64, m->ts_min, tally.ts_min));
    cr_assert(eq(u64, m->ts_max, tally.ts_max));
    cr_assert(eq(u64, m->expiry_min, tally.expiry_min));
    cr_assert(slice_equal(m->smallest.key, a.items[0].key));
    cr_assert(slice_equal(m->largest.key, a.items[a.count - 1].key));
    cr_assert(eq(u64, m->smallest_head, a.items[0].head));
    cr_assert(eq(sz, m->reference_count, 3));
    table_unref(table);
    entry_array_release(&a);
}

struct reference_tally {
    const struct entry_array *entries;
    uint64_t counts[4];
    uint64_t last_offset;
    uint32_t last_segment;
};

static lsm_status tally_reference(void *ctx, uint32_t segment, uint64_t offset)
{
    struct reference_tally *t = ctx;
    bool is_known = false;

    cr_assert(segment > t->last_segment ||
              (segment == t->last_segment && offset >= t->last_offset));
    for (size_t i = 0; i < t->entries->count && !is_known; i++) {
        struct value_pointer p;

        if (t->entries->items[i].kind != ENTRY_POINTER)
            continue;
        MUST(pointer_decode(t->entries->items[i].value, &p));
        is_known = p.segment == segment && p.offset == offset;
    }
    cr_assert(is_known);
    t->counts[segment]++;
    t->last_segment = segment;
    t->last_offset = offset;
    return LSM_OK;
}

static lsm_status stop_walking(void *ctx, uint32_t segment, uint64_t offset)
{
    (void)segment, (void)offset;
    ++*(int *)ctx;
    return LSM_BUSY;
}

Test(table, references_are_walked_by_segment_and_offset)
{
    struct entry_array a = some_entries(2, 400);
    struct table *table = make_table(&f, 1, &packed, &a);
    const struct table_meta *m = table_meta(table);
    struct reference_tally t = {.entries = &a};
    int calls = 0;

    MUST(table_references(table, tally_reference, &t));
    for (size_t i = 0; i < m->reference_count; i++)
        cr_assert(eq(u64, m->references[i].count, t.counts[m->references[i].segment]));
    cr_assert(eq(int, table_references(table, stop_walking, &calls), LSM_BUSY));
    cr_assert(eq(int, calls, 1));
    table_unref(table);
    entry_array_release(&a);
}

Test(table, approximate_offsets_grow_with_the_key)
{
    struct entry_array a = some_entries(3, 900);
    struct table *table = make_table(&f, 1, &plain, &a);
    uint64_t last = 0;
    uint64_t offset = 0;
    struct ikey behind = {.keyspace = UINT32_MAX, .key = slice_of("z")};

    for (size_t i = 0; i < a.count; i++) {
        struct ikey at = entry_ikey(&a.items[i]);

        MUST(table_approximate_offset(table, &at, &offset));
        cr_assert(ge(u64, offset, last));
        last = offset;
    }
    MUST(table_approximate_offset(table, &behind, &offset));
    cr_assert(gt(u64, offset, last));
    cr_assert(lt(u64, offset, table_meta(table)->size));
    table_unref(table);
    entry_array_release(&a);
}

Test(table, only_an_obsolete_table_gives_its_file_away)
{
    struct entry_array a = some_entries(4, 20);
    struct table *kept = make_table(&f, 1, &plain, &a);
    struct table *gone = make_table(&f, 2, &plain, &a);
    uint64_t size;

    table_mark_obsolete(gone);
    table_ref(gone);
    table_unref(gone);
    epoch_drain(&f.bin);
    cr_assert(eq(sz, unlinker_drain(f.store.unlinker, 10), 0));
    MUST(file_stat(f.dir, "000002.sst", &size)); // a reference is left
    table_unref(kept);
    table_unref(gone);
    epoch_drain(&f.bin);
    cr_assert(eq(sz, unlinker_drain(f.store.unlinker, 10), 0));
    MUST(file_stat(f.dir, "000001.sst", &size));
    cr_assert(eq(int, file_stat(f.dir, "000002.sst", &size), LSM_IO));
    entry_array_release(&a);
}

Test(table, a_cursor_without_fill_cache_adds_nothing_to_it)
{
    struct entry_array a = some_entries(5, 400);
    struct table *table = make_table(&f, 1, &packed, &a);
    struct cache_stats stats;

    check_scans(table, &a, &(struct table_iter_options){.sequential = true});
    cache_read_stats(f.store.cache, &stats);
    cr_assert(eq(u64, stats.insertions, 0));
    check_scans(table, &a, &(struct table_iter_options){.fill_cache = true});
    cache_read_stats(f.store.cache, &stats);
    cr_assert(gt(u64, stats.insertions, 0));
    table_unref(table);
    entry_array_release(&a);
}

static uint64_t prefetched_end;
static size_t prefetches;

static void count_prefetch(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    cr_assert(ge(u64, offset, prefetched_end), "the same bytes are asked for twice");
    cr_assert(le(u64, size, 1024 * 1024));
    prefetched_end = offset + size;
    prefetches++;
}

// Reads that follow one another are announced, in few large windows that never
// overlap nor reach behind the data blocks; single ones are not.
Test(table, reading_in_order_reads_ahead)
{
    struct random rng = {.state = 9};
    struct entry_shape shape = {
        .count = 5000, .keyspaces = 1, .key_max = 16, .ts_max = 9, .value_max = 400};
    static struct env_ops counting;
    struct entry_array a = random_entries(&rng, &shape);
    struct table *table = make_table(&f, 1, &plain, &a);
    struct iter *it;

    counting = *sim_env(f.sim)->ops;
    counting.file_prefetch = count_prefetch;
    sim_env(f.sim)->ops = &counting;
    MUST(table_iter_new(table, &(struct table_iter_options){.sequential = false}, &it));
    for (size_t i = 0; i < 50; i++) {
        struct ikey at = entry_ikey(&a.items[random_below(&rng, a.count)]);

        MUST(iter_seek(it, &at));
    }
    cr_assert(eq(sz, prefetches, 0));
    iter_close(it);
    for (int sequential = 0; sequential < 2; sequential++) {
        prefetches = 0;
        prefetched_end = 0;
        check_scans(table, &a, &(struct table_iter_options){.sequential = sequential});
        cr_assert(ge(sz, prefetches, 2));
        cr_assert(le(sz, prefetches, 12));
        cr_assert(lt(u64, prefetched_end, table_meta(table)->size));
        cr_assert(gt(u64, prefetched_end, table_meta(table)->size / 10 * 9));
    }
    table_unref(table);
    epoch_drain(&f.bin);
    entry_array_release(&a);
}

// The empty key is where a keyspace starts, whether an entry has it or not.
Test(table, seeking_the_empty_key_finds_the_start_of_a_keyspace)
{
    struct entry_array a = some_entries(10, 300);
    struct table *table = make_table(&f, 1, &plain, &a);
    struct iter *it;

    MUST(table_iter_new(table, &(struct table_iter_options){.fill_cache = true}, &it));
    for (size_t i = 0; i < a.count; i++) {
        struct ikey start = {.keyspace = a.items[i].keyspace, .ts = TS_MAX};

        if (i > 0 && a.items[i - 1].keyspace == a.items[i].keyspace)
            continue;
        MUST(iter_seek(it, &start));
        check_position(it, &a, i);
        MUST(iter_seek_for_prev(it, &start));
        check_position(it, &a, i - 1);
    }
    iter_close(it);
    table_unref(table);
    entry_array_release(&a);
}

#define MANY 12

// More indexes and filters than three quarters of the budget: they come and go,
// under cursors that stay open, and the charges stay below.
Test(table, indexes_are_unloaded_when_the_budget_is_short)
{
    struct random rng = random_for_test("indexes_are_unloaded");
    struct entry_array a = some_entries(6, 900);
    struct table *tables[MANY];
    struct iter *cursors[MANY];
    uint8_t room[1024];

    for (size_t i = 0; i < MANY; i++) {
        tables[i] = make_table(&f, i + 1, &plain, &a);
        MUST(table_iter_new(tables[i], &(struct table_iter_options){.fill_cache = true},
                            &cursors[i]));
    }
    cr_assert(gt(sz, cache_charged(f.store.cache), 20000));
    cache_set_budget(f.store.cache, 20000);
    for (size_t i = 0; i < 3000; i++) {
        struct ikey target = random_target(&rng, &a, room);

        check_get(tables[random_below(&rng, MANY)], &a, &target);
        cr_assert(i < MANY || cache_charged(f.store.cache) <= 20000);
        if (i % 64 == 0)
            (void)epoch_collect(&f.bin);
    }
    for (size_t i = 0; i < MANY; i++) {
        check_random_moves(&rng, cursors[i], &a, 200);
        iter_close(cursors[i]);
        table_unref(tables[i]);
    }
    epoch_drain(&f.bin);
    cr_assert(eq(sz, cache_charged(f.store.cache), 0));
    entry_array_release(&a);
}

Test(table_memory, a_get_from_the_cache_allocates_nothing)
{
    struct entry_array a;
    struct table *table;

    cr_assert(alloc_fault_install());
    setup();
    a = some_entries(7, 300);
    table = make_table(&f, 1, &plain, &a);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < a.count; i++) {
            struct ikey at = entry_ikey(&a.items[i]);

            check_get(table, &a, &at);
        }
        alloc_fault_at(1, true); // the second time all is there
    }
    cr_assert(not(alloc_fault_was_hit()));
    alloc_fault_at(0, false);
    table_unref(table);
    entry_array_release(&a);
    teardown();
}

static void expect_refused(const struct table_options *options, const struct entry *entries,
                           size_t count)
{
    struct entry_array a = {.items = (struct entry *)entries, .count = count};
    struct table_meta *meta;

    cr_assert(eq(int, build_table(&f, 1, options, &a, &meta), LSM_INVALID));
}

Test(table, the_builder_refuses_what_a_table_cannot_hold)
{
    static uint8_t big[70000];
    struct entry good = {
        .kind = ENTRY_VALUE, .key = slice_of("b"), .value = slice_of("v"), .ts = 5};
    struct entry bad = good;

    bad.key = slice_of("a");
    expect_refused(&plain, (struct entry[]){good, bad}, 2);
    expect_refused(&plain, (struct entry[]){good, good}, 2);
    bad = good;
    bad.ts = 6; // newer versions come first
    expect_refused(&plain, (struct entry[]){good, bad}, 2);
    bad = good;
    bad.key = slice_make(big, 65536);
    expect_refused(&plain, &bad, 1);
    bad = good;
    bad.value = slice_make(big, 65537);
    expect_refused(&plain, &bad, 1);
    bad = good;
    bad.kind = ENTRY_DELETE; // with a value
    expect_refused(&plain, &bad, 1);
    bad.kind = ENTRY_MERGE;
    expect_refused(&plain, &bad, 1);
    expect_refused(&(struct table_options){.block_size = 0}, &good, 1);
    expect_refused(&(struct table_options){.block_size = 100, .compression = 23}, &good, 1);
    expect_refused(&(struct table_options){.block_size = 100, .filter_bits = -1}, &good, 1);
}

// Entries of keyspaces 1 to 3, a hundred each, whose values compress well.
static struct entry_array compressible_entries(void)
{
    static uint8_t value[200];
    struct entry_array a = {.items = calloc(300, sizeof *a.items), .count = 300};
    char key[32];

    cr_assert(a.items != NULL);
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < a.count; i++) {
        (void)snprintf(key, sizeof key, "key-%04zu", i);
        a.items[i] = (struct entry){.keyspace = (uint32_t)(1 + i / 100),
                                    .kind = ENTRY_VALUE,
                                    .ts = 1,
                                    .key = bytes_copy(key, strlen(key)),
                                    .value = bytes_copy(value, sizeof value)};
        a.items[i].head = slice_head(a.items[i].key);
    }
    return a;
}

// A table whose keyspaces are written as `options` say, one for each.
static struct table *make_mixed_table(uint64_t id, const struct entry_array *entries,
                                      const struct table_options *const options[3])
{
    CLEANUP(table_builder_freep) struct table_builder *b = NULL;
    struct table_meta *meta;
    struct table *table;

    MUST(table_builder_new(f.dir, id, &f.store.db_uuid, &f.poison, &plain, &b));
    for (size_t i = 0; i < entries->count; i++) {
        if (i % 100 == 0)
            MUST(table_builder_set_blocks(b, options[i / 100]));
        MUST(table_builder_add(b, &entries->items[i]));
    }
    MUST(table_builder_finish(b, &meta));
    MUST(table_new(&f.store, meta, &table));
    return table;
}

Test(table, keyspaces_of_one_table_may_be_written_in_different_ways)
{
    const struct table_options *const all_plain[] = {&plain, &plain, &plain};
    const struct table_options *const one_packed[] = {&plain, &packed, &plain};
    const struct table_options *const two_packed[] = {&packed, &plain, &packed};
    const struct table_iter_options iter_options = {.fill_cache = true};
    struct entry_array entries = compressible_entries();
    struct table *none = make_mixed_table(1, &entries, all_plain);
    struct table *one = make_mixed_table(2, &entries, one_packed);
    struct table *two = make_mixed_table(3, &entries, two_packed);
    struct iter *it;

    // Each keyspace has 20 kB of values.
    cr_assert(lt(u64, table_meta(one)->size + 15000, table_meta(none)->size));
    cr_assert(lt(u64, table_meta(two)->size + 15000, table_meta(one)->size));
    MUST(table_iter_new(two, &iter_options, &it));
    MUST(iter_first(it));
    for (size_t i = 0; i < entries.count; i++) {
        cr_assert(it->is_valid);
        cr_assert(entry_equal(&it->entry, &entries.items[i]));
        MUST(iter_next(it));
    }
    cr_assert(not(it->is_valid));
    iter_close(it);
    table_unref(none);
    table_unref(one);
    table_unref(two);
    entry_array_release(&entries);
}

struct lines {
    size_t count;
    size_t blocks;
    bool has_uuid;
};

static void count_line(void *ctx, const char *line)
{
    struct lines *lines = ctx;

    lines->count++;
    lines->blocks += strncmp(line, "block at ", 9) == 0;
    lines->has_uuid |= strncmp(line, "uuid: ", 6) == 0;
    cr_assert(strchr(line, '\n') == NULL);
}

Test(table, inspecting_describes_every_block)
{
    struct entry_array a = some_entries(8, 300);
    struct table *table = make_table(&f, 1, &packed, &a);
    struct lines lines = {0};

    MUST(table_inspect(f.dir, "000001.sst", count_line, &lines));
    cr_assert(lines.has_uuid);
    cr_assert(ge(sz, lines.blocks, 4));
    cr_assert(gt(sz, lines.count, lines.blocks + 8));
    cr_assert(eq(int, table_inspect(f.dir, "000002.sst", count_line, &lines), LSM_IO));
    table_unref(table);
    entry_array_release(&a);
}
