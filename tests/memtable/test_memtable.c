// test_memtable.c -- the newest entries, in memory, in order.

#include "memtable/memtable.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "support/alloc_fault.h"
#include "support/random.h"

#define INDEXED_SIZE ((size_t)1 << 20)

static void assert_ok(lsm_status status)
{
    cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
}

static struct memtable *new_memtable(size_t size)
{
    struct memtable *mem;

    assert_ok(memtable_new(size, &mem));
    return mem;
}

static void insert(struct memtable *mem, const struct entry *entry)
{
    assert_ok(memtable_reserve(mem, 1, entry->key.size + entry->value.size, 1));
    memtable_insert(mem, entry, key_hash(entry->keyspace, entry->key));
}

static void put(struct memtable *mem, uint32_t keyspace, const char *key, uint64_t ts,
                const char *value)
{
    const struct entry entry = {.keyspace = keyspace,
                                .kind = ENTRY_VALUE,
                                .ts = ts,
                                .head = slice_head(slice_of(key)),
                                .key = slice_of(key),
                                .value = slice_of(value)};

    insert(mem, &entry);
}

static bool get(const struct memtable *mem, uint32_t keyspace, lsm_slice key, uint64_t ts,
                struct entry *out)
{
    const struct ikey place = {.keyspace = keyspace, .key = key, .ts = ts};

    return memtable_get(mem, &place, key_hash(keyspace, key), out);
}

static void assert_value(const struct memtable *mem, uint32_t keyspace, const char *key,
                         uint64_t ts, const char *value)
{
    struct entry found;

    cr_assert(get(mem, keyspace, slice_of(key), ts, &found), "%s at %llu", key,
              (unsigned long long)ts);
    cr_assert(slice_equal(found.value, slice_of(value)), "%s at %llu", key, (unsigned long long)ts);
}

static void assert_absent(const struct memtable *mem, uint32_t keyspace, const char *key,
                          uint64_t ts)
{
    struct entry found;

    cr_assert(not(get(mem, keyspace, slice_of(key), ts, &found)));
}

Test(memtable, an_empty_one_holds_nothing)
{
    struct memtable *mem = new_memtable(INDEXED_SIZE);
    struct iter *it;

    assert_absent(mem, 0, "key", TS_MAX);
    cr_assert(memtable_is_empty(mem));
    cr_assert(eq(u64, memtable_count(mem), 0));
    assert_ok(memtable_iter_new(mem, &it));
    assert_ok(iter_first(it));
    cr_assert(not(it->is_valid));
    assert_ok(iter_last(it));
    cr_assert(not(it->is_valid));
    assert_ok(iter_seek(it, &(struct ikey){.key = slice_of("key"), .ts = TS_MAX}));
    cr_assert(not(it->is_valid));
    assert_ok(iter_seek_for_prev(it, &(struct ikey){.key = slice_of("key"), .ts = 0}));
    cr_assert(not(it->is_valid));
    iter_close(it);
    memtable_free(mem);
}

Test(memtable, every_field_of_an_entry_comes_back)
{
    const struct entry entry = {.keyspace = 7,
                                .kind = ENTRY_POINTER,
                                .user_byte = 200,
                                .ts = 1ull << 60,
                                .expiry = 1ull << 40,
                                .head = slice_head(slice_of("a longer key")),
                                .key = slice_of("a longer key"),
                                .value = slice_of("pointer")};
    struct memtable *mem = new_memtable(INDEXED_SIZE);
    struct entry found;

    insert(mem, &entry);
    cr_assert(get(mem, 7, entry.key, TS_MAX, &found));
    cr_assert(eq(u32, found.keyspace, 7));
    cr_assert(eq(u8, found.kind, ENTRY_POINTER));
    cr_assert(eq(u8, found.user_byte, 200));
    cr_assert(eq(u64, found.ts, entry.ts));
    cr_assert(eq(u64, found.expiry, entry.expiry));
    cr_assert(eq(u64, found.head, entry.head));
    cr_assert(slice_equal(found.key, entry.key));
    cr_assert(slice_equal(found.value, entry.value));
    cr_assert(found.key.data != entry.key.data);
    memtable_free(mem);
}

Test(memtable, a_lookup_finds_the_newest_version_at_or_before_its_timestamp)
{
    const size_t sizes[] = {0, INDEXED_SIZE};

    for (size_t i = 0; i < 2; i++) {
        struct memtable *mem = new_memtable(sizes[i]);

        put(mem, 1, "key", 10, "ten");
        put(mem, 1, "key", 20, "twenty");
        put(mem, 1, "key2", 15, "other");
        assert_absent(mem, 1, "key", 9);
        assert_value(mem, 1, "key", 10, "ten");
        assert_value(mem, 1, "key", 19, "ten");
        assert_value(mem, 1, "key", 20, "twenty");
        assert_value(mem, 1, "key", TS_MAX, "twenty");
        assert_absent(mem, 1, "ke", TS_MAX);
        assert_absent(mem, 1, "key1", TS_MAX);
        memtable_free(mem);
    }
}

// More than the few versions that a lookup steps over.
Test(memtable, an_old_version_of_a_key_written_often_is_found)
{
    struct memtable *mem = new_memtable(INDEXED_SIZE);
    char value[16];

    for (unsigned ts = 1; ts <= 1000; ts++) {
        snprintf(value, sizeof value, "%u", ts * 10);
        put(mem, 0, "hot", ts * 10, value);
    }
    put(mem, 0, "hotter", 1, "neighbour");
    for (unsigned ts = 1; ts <= 1000; ts++) {
        snprintf(value, sizeof value, "%u", ts * 10);
        assert_value(mem, 0, "hot", ts * 10, value);
        assert_value(mem, 0, "hot", ts * 10 + 9, value);
    }
    assert_absent(mem, 0, "hot", 9);
    memtable_free(mem);
}

Test(memtable, the_same_key_in_two_keyspaces_is_two_keys)
{
    struct memtable *mem = new_memtable(INDEXED_SIZE);

    put(mem, 3, "key", 1, "in three");
    put(mem, 4, "key", 2, "in four");
    assert_value(mem, 3, "key", TS_MAX, "in three");
    assert_value(mem, 4, "key", TS_MAX, "in four");
    assert_absent(mem, 5, "key", TS_MAX);
    memtable_free(mem);
}

// Keys that share their hash share everything the index looks at but the key.
Test(memtable, keys_with_equal_hashes_are_told_apart)
{
    struct memtable *mem = new_memtable(INDEXED_SIZE);
    const char *keys[] = {"one", "two", "three", "four", "five"};
    struct entry found;

    for (uint64_t ts = 1; ts <= 20; ts++) {
        const struct entry entry = {.kind = ENTRY_VALUE,
                                    .ts = ts,
                                    .head = slice_head(slice_of(keys[ts % 5])),
                                    .key = slice_of(keys[ts % 5])};

        assert_ok(memtable_reserve(mem, 1, entry.key.size, 1));
        memtable_insert(mem, &entry, 42);
    }
    for (uint64_t ts = 1; ts <= 20; ts++) {
        const struct ikey place = {.key = slice_of(keys[ts % 5]), .ts = ts};

        cr_assert(memtable_get(mem, &place, 42, &found));
        cr_assert(eq(u64, found.ts, ts));
        cr_assert(slice_equal(found.key, place.key));
    }
    memtable_free(mem);
}

// Walking over all of them for each would take 20,000,000,000 steps.
Test(memtable, keys_chosen_to_collide_do_not_slow_it_down)
{
    const uint32_t count = 200000;
    struct memtable *mem = new_memtable(INDEXED_SIZE);
    struct entry found;

    for (uint64_t ts = 1; ts <= 2 * count; ts++) {
        const uint32_t number = __builtin_bswap32((uint32_t)(ts % count));
        const lsm_slice key = slice_make(&number, sizeof number);
        const struct entry entry = {.keyspace = 1,
                                    .kind = ENTRY_VALUE,
                                    .ts = ts,
                                    .head = slice_head(key),
                                    .key = key,
                                    .value = slice_of("v")};

        assert_ok(memtable_reserve(mem, 1, key.size + 1, 1));
        memtable_insert(mem, &entry, 77);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = __builtin_bswap32(i);
        const uint64_t first = i == 0 ? count : i;
        const struct ikey old = {
            .keyspace = 1, .key = slice_make(&number, sizeof number), .ts = first + count - 1};
        const struct ikey new = {.keyspace = 1, .key = old.key, .ts = TS_MAX};

        cr_assert(memtable_get(mem, &old, 77, &found));
        cr_assert(eq(u64, found.ts, first));
        cr_assert(memtable_get(mem, &new, 77, &found));
        cr_assert(eq(u64, found.ts, first + count));
    }
    memtable_free(mem);
}

Test(memtable, keys_of_any_bytes_and_sizes_are_ordered_by_memcmp)
{
    static const uint8_t zeroes[16];
    struct memtable *mem = new_memtable(0);
    struct iter *it;
    size_t size = 1;

    // Heads of short keys are padded with zeroes: these keys all have one head.
    for (size_t i = sizeof zeroes; i >= 1; i--) {
        const struct entry entry = {
            .kind = ENTRY_VALUE, .ts = 1, .key = slice_make(zeroes, i), .head = 0};

        insert(mem, &entry);
    }
    assert_ok(memtable_iter_new(mem, &it));
    for (assert_ok(iter_first(it)); it->is_valid; assert_ok(iter_next(it)))
        cr_assert(eq(sz, it->entry.key.size, size++));
    cr_assert(eq(sz, size, sizeof zeroes + 1));
    iter_close(it);
    memtable_free(mem);
}

Test(memtable, the_largest_key_is_kept_whole)
{
    static uint8_t bytes[65535];
    struct memtable *mem = new_memtable(0);
    struct entry entry = {.kind = ENTRY_VALUE, .ts = 1, .key = slice_make(bytes, sizeof bytes)};
    struct entry found;

    memset(bytes, 0xFF, sizeof bytes);
    entry.head = slice_head(entry.key);
    entry.value = entry.key;
    insert(mem, &entry);
    cr_assert(get(mem, 0, entry.key, 1, &found));
    cr_assert(slice_equal(found.key, entry.key));
    cr_assert(slice_equal(found.value, entry.key));
    memtable_free(mem);
}

Test(memtable, a_cursor_sees_what_is_inserted_between_its_moves)
{
    struct memtable *mem = new_memtable(INDEXED_SIZE);
    struct iter *it;

    put(mem, 1, "a", 1, "");
    assert_ok(memtable_iter_new(mem, &it));
    assert_ok(iter_first(it));
    put(mem, 1, "b", 2, "");
    assert_ok(iter_next(it));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("b")));
    put(mem, 0, "z", 3, "");
    put(mem, 2, "c", 4, "");
    assert_ok(iter_next(it));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("c")));
    assert_ok(iter_first(it));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("z")));
    iter_close(it);
    memtable_free(mem);
}

Test(memtable, freeing_one_leaves_no_memory)
{
    struct memtable *mem;

    cr_assert(alloc_fault_install());
    mem = new_memtable(0);
    put(mem, 1, "key", 1, "value");
    memtable_free(mem);
    cr_assert(eq(sz, alloc_fault_live(), 0));
    memtable_free(NULL);
}

Test(memtable, memory_used_grows_with_what_it_holds)
{
    struct memtable *mem = new_memtable(INDEXED_SIZE);
    const size_t empty = memtable_used(mem);
    char key[16];

    cr_assert(ge(sz, empty, INDEXED_SIZE / 128 * sizeof(void *)));
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "%08u", i);
        put(mem, 1, key, i + 1, "0123456789");
    }
    cr_assert(eq(u64, memtable_count(mem), 10000));
    cr_assert(not(memtable_is_empty(mem)));
    cr_assert(ge(sz, memtable_used(mem), empty + 10000 * 18));
    cr_assert(le(sz, memtable_used(mem), empty + 10000 * 128));
    memtable_free(mem);
}

Test(memtable, making_one_fails_cleanly_without_memory)
{
    struct memtable *mem = NULL;
    lsm_status status;

    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH({
        status = memtable_new(INDEXED_SIZE, &mem);
        if (alloc_fault_was_hit()) {
            cr_assert(eq(int, status, LSM_NO_MEMORY));
            cr_assert(mem == NULL);
        }
    });
    assert_ok(status);
    memtable_free(mem);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

Test(memtable, a_reservation_fails_cleanly_and_when_granted_is_enough)
{
    enum { ENTRIES = 5000, KEYSPACES = 50 };
    struct memtable *mem;
    struct entry found;
    char key[16];

    cr_assert(alloc_fault_install());
    mem = new_memtable(0);
    put(mem, 0, "first", 1, "value");
    alloc_fault_at(1, true);
    cr_assert(eq(int, memtable_reserve(mem, ENTRIES, ENTRIES * 8, KEYSPACES), LSM_NO_MEMORY));
    assert_value(mem, 0, "first", 1, "value");
    cr_assert(eq(int, memtable_reserve(mem, SIZE_MAX / 2, 1, 1), LSM_NO_MEMORY));
    cr_assert(eq(int, memtable_reserve(mem, 1, SIZE_MAX, 1), LSM_NO_MEMORY));
    cr_assert(eq(int, memtable_reserve(mem, 1, 1, SIZE_MAX / 2), LSM_NO_MEMORY));

    alloc_fault_at(0, false);
    assert_ok(memtable_reserve(mem, ENTRIES, ENTRIES * 8, KEYSPACES));
    alloc_fault_at(1, true);
    for (unsigned i = 0; i < ENTRIES; i++) {
        const struct entry entry = {.keyspace = 1 + i % KEYSPACES,
                                    .kind = ENTRY_DELETE,
                                    .ts = i + 2,
                                    .expiry = i,
                                    .key = slice_make(key, 8),
                                    .head = (snprintf(key, sizeof key, "%08u", i * 7919 % 99991),
                                             slice_head(slice_make(key, 8)))};

        memtable_insert(mem, &entry, key_hash(entry.keyspace, entry.key));
    }
    cr_assert(not(alloc_fault_was_hit()));
    cr_assert(get(mem, 1, slice_of("00000000"), TS_MAX, &found));
    alloc_fault_at(0, false);
    memtable_free(mem);
}

Test(memtable, a_cursor_fails_cleanly_without_memory)
{
    struct memtable *mem;
    struct iter *it = NULL;

    cr_assert(alloc_fault_install());
    mem = new_memtable(0);
    alloc_fault_at(1, false);
    cr_assert(eq(int, memtable_iter_new(mem, &it), LSM_NO_MEMORY));
    cr_assert(it == NULL);
    memtable_free(mem);
}

// --- against a model ---

#define MODEL_ENTRIES   3000
#define MODEL_KEYSPACES 4
#define MODEL_KEY_MAX   12

// All entries ever inserted, sorted as a memtable orders them.
struct model {
    struct entry entries[MODEL_ENTRIES];
    uint8_t keys[MODEL_ENTRIES][MODEL_KEY_MAX];
    size_t count;
};

// How many entries of the model come before `place`.
static size_t model_rank(const struct model *model, const struct ikey *place)
{
    size_t rank = 0;

    while (rank < model->count) {
        const struct ikey here = entry_ikey(&model->entries[rank]);

        if (ikey_compare(&here, place) >= 0)
            break;
        rank++;
    }
    return rank;
}

static void model_insert(struct model *model, const struct entry *entry)
{
    const struct ikey place = entry_ikey(entry);
    const size_t rank = model_rank(model, &place);
    uint8_t *key = model->keys[model->count];

    memcpy(key, entry->key.data, entry->key.size);
    memmove(&model->entries[rank + 1], &model->entries[rank],
            (model->count - rank) * sizeof *entry);
    model->entries[rank] = *entry;
    model->entries[rank].key.data = key;
    model->count++;
}

// Few different keys, of a few different bytes, so that versions and prefixes meet.
static lsm_slice random_key(struct random *random, uint8_t *to)
{
    const size_t size = random_below(random, MODEL_KEY_MAX + 1);

    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(random_one_in(random, 4) ? 0xFF * random_below(random, 2) : 'a');
    return slice_make(to, size);
}

static struct ikey random_place(struct random *random, uint8_t *key, uint64_t ts_max)
{
    return (struct ikey){.keyspace = (uint32_t)random_below(random, MODEL_KEYSPACES + 1) * 3,
                         .key = random_key(random, key),
                         .ts = random_below(random, ts_max + 2)};
}

static void assert_at(const struct iter *it, const struct model *model, size_t rank)
{
    cr_assert(eq(int, it->is_valid, rank < model->count));
    if (it->is_valid) {
        const struct entry *expected = &model->entries[rank];

        cr_assert(eq(u64, it->entry.ts, expected->ts));
        cr_assert(eq(u64, it->entry.expiry, expected->expiry));
        cr_assert(eq(u32, it->entry.keyspace, expected->keyspace));
        cr_assert(slice_equal(it->entry.key, expected->key));
    }
}

static void check_get(const struct memtable *mem, const struct model *model, struct random *random,
                      uint64_t ts_max)
{
    uint8_t key[MODEL_KEY_MAX];
    const struct ikey place = random_place(random, key, ts_max);
    const size_t rank = model_rank(model, &place);
    const bool is_there = rank < model->count && model->entries[rank].keyspace == place.keyspace &&
                          slice_equal(model->entries[rank].key, place.key);
    struct entry found;

    cr_assert(eq(int, get(mem, place.keyspace, place.key, place.ts, &found), is_there));
    if (is_there)
        cr_assert(eq(u64, found.ts, model->entries[rank].ts));
}

// A few moves from a random place. SIZE_MAX as a rank is before the first.
static void check_moves(struct iter *it, const struct model *model, struct random *random,
                        uint64_t ts_max)
{
    uint8_t key[MODEL_KEY_MAX];
    const struct ikey place = random_place(random, key, ts_max);
    size_t rank = model_rank(model, &place);

    if (random_one_in(random, 2)) {
        assert_ok(iter_seek(it, &place));
    } else {
        const struct ikey here = rank < model->count ? entry_ikey(&model->entries[rank]) : place;

        assert_ok(iter_seek_for_prev(it, &place));
        if (rank == model->count || ikey_compare(&here, &place) != 0)
            rank--;
    }
    assert_at(it, model, rank);
    for (int i = 0; i < 10 && it->is_valid; i++) {
        if (random_one_in(random, 2)) {
            assert_ok(iter_next(it));
            rank++;
        } else {
            assert_ok(iter_prev(it));
            rank--;
        }
        assert_at(it, model, rank);
    }
}

static void check_scans(struct iter *it, const struct model *model)
{
    size_t rank = 0;

    for (assert_ok(iter_first(it)); it->is_valid; assert_ok(iter_next(it)))
        assert_at(it, model, rank++);
    cr_assert(eq(sz, rank, model->count));
    for (assert_ok(iter_last(it)); it->is_valid; assert_ok(iter_prev(it)))
        assert_at(it, model, --rank);
    cr_assert(eq(sz, rank, 0));
}

static void run_against_model(struct random *random, size_t size)
{
    static struct model model;
    struct memtable *mem = new_memtable(size);
    struct iter *it;

    model.count = 0;
    assert_ok(memtable_iter_new(mem, &it));
    for (uint64_t ts = 1; model.count < MODEL_ENTRIES; ts++) {
        uint8_t key[MODEL_KEY_MAX];
        struct entry entry = {.keyspace = (uint32_t)random_below(random, MODEL_KEYSPACES) * 3,
                              .kind = ENTRY_VALUE,
                              .ts = ts,
                              .expiry = random_below(random, 2) * ts,
                              .key = random_key(random, key)};

        entry.head = slice_head(entry.key);
        insert(mem, &entry);
        model_insert(&model, &entry);
        check_get(mem, &model, random, ts);
        if (random_one_in(random, 4))
            check_moves(it, &model, random, ts);
    }
    check_scans(it, &model);
    iter_close(it);
    memtable_free(mem);
}

Test(memtable, random_operations_match_a_sorted_array)
{
    struct random random = random_for_test(__func__);

    run_against_model(&random, INDEXED_SIZE);
    run_against_model(&random, 0);
}
