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
        target.key.size -= target.key.size > 1;
        break;
    case 4:
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
