// test_version_read.c -- lookups and cursors over real tables, compared with a sorted
// array of all entries.

#include "base/hash.h"
#include "base/merge.h"
#include "manifest/version.h"
#include "manifest_fixture.h"
#include "sstable/table_builder.h"
#include "support/alloc_fault.h"
#include "support/random.h"

#define KEYS        120
#define GENERATIONS 24 // more tables in level 0 than are probed at a time
#define ENTRIES_MAX (GENERATIONS * KEYS)

struct item {
    uint32_t keyspace;
    char key[24];
    uint64_t ts;
    char value[24];
};

static struct sim *sim;
static struct stores stores;
static struct version *version;
static struct item items[ENTRIES_MAX];
static size_t item_count;
static uint64_t next_id = 1;

static int compare_items(const void *left, const void *right)
{
    const struct item *a = left;
    const struct item *b = right;
    struct ikey x = {a->keyspace, slice_of(a->key), a->ts};
    struct ikey y = {b->keyspace, slice_of(b->key), b->ts};

    return ikey_compare(&x, &y);
}

// Writes `count` sorted items into a table of `level`.
static void write_table(struct edit *edit, unsigned level, const struct item *from, size_t count)
{
    struct table_options options = {.block_size = 512, .filter_bits = 10};
    struct table_builder *builder;
    struct table_meta *meta;

    assert_ok(table_builder_new(stores.dir, next_id++, &fixture_db_uuid, &stores.poison, &options,
                                &builder));
    for (size_t i = 0; i < count; i++) {
        struct entry entry = {.keyspace = from[i].keyspace,
                              .kind = ENTRY_VALUE,
                              .ts = from[i].ts,
                              .head = slice_head(slice_of(from[i].key)),
                              .key = slice_of(from[i].key),
                              .value = slice_of(from[i].value)};

        assert_ok(table_builder_add(builder, &entry));
    }
    assert_ok(table_builder_finish(builder, &meta));
    table_builder_free(builder);
    assert_ok(edit_add_table(edit, level, meta));
}

// One generation of writes: each key with some chance, timestamps of its own.
static size_t make_generation(struct random *random, uint64_t generation, struct item *to)
{
    size_t count = 0;

    for (uint64_t k = 0; k < KEYS; k++) {
        struct item *item = &to[count];

        if (generation > 1 && !random_one_in(random, 3))
            continue;
        item->keyspace = k < KEYS / 2 ? 1 : 3;
        (void)snprintf(item->key, sizeof item->key, k % 4 == 0 ? "%04u" : "longprefix%04u",
                       (unsigned)(k * 2));
        item->ts = 1 + generation * KEYS + random_below(random, KEYS);
        (void)snprintf(item->value, sizeof item->value, "%llu", (unsigned long long)item->ts);
        count++;
    }
    qsort(to, count, sizeof *to, compare_items);
    return count;
}

// Oldest generations in level 6 and level 3, cut into tables; all others in level 0.
static void setup(void)
{
    struct random random = random_for_test("version_read");
    struct version *empty;
    struct edit edit;

    sim = sim_with_dir(1);
    stores_open(&stores, sim);
    edit_init(&edit);
    for (uint64_t generation = 0; generation < GENERATIONS; generation++) {
        unsigned level = generation == 0 ? 6 : generation == 1 ? 3 : 0;
        struct item *from = &items[item_count];
        size_t count = make_generation(&random, generation, from);
        size_t step = level == 0 ? count : 17;

        item_count += count;
        for (size_t i = 0; i < count; i += step)
            write_table(&edit, level, from + i, i + step < count ? step : count - i);
    }
    assert_ok(version_new(&stores.bin, &empty));
    assert_ok(version_apply(empty, &edit, &stores.tables, &stores.segments, &version, NULL));
    version_unref(empty);
    edit_release(&edit);
    qsort(items, item_count, sizeof *items, compare_items);
}

static void teardown(void)
{
    version_unref(version);
    stores_close(&stores);
    sim_free(sim);
}

TestSuite(version_read, .init = setup, .fini = teardown);

// Index of the first item at or behind `target`.
static size_t model_seek(const struct ikey *target)
{
    size_t i = 0;

    while (i < item_count) {
        struct ikey at = {items[i].keyspace, slice_of(items[i].key), items[i].ts};

        if (ikey_compare(&at, target) >= 0)
            break;
        i++;
    }
    return i;
}

static void random_target(struct random *random, char key[24], struct ikey *out)
{
    (void)snprintf(key, 24, random_one_in(random, 3) ? "%04u" : "longprefix%04u",
                   (unsigned)random_below(random, 2 * KEYS + 2));
    out->keyspace = (uint32_t)random_below(random, 5);
    out->key = slice_of(key);
    out->ts = random_below(random, (GENERATIONS + 1) * KEYS);
}

Test(version_read, a_lookup_finds_the_newest_entry_it_may_see)
{
    struct random random = random_for_test("version_read");
    size_t hits = 0;

    for (int round = 0; round < 20000; round++) {
        EPOCH_SECTION();
        struct entry entry;
        struct ikey target;
        bool found = false;
        char key[24];
        size_t i;
        bool expected;

        random_target(&random, key, &target);
        i = model_seek(&target);
        expected = i < item_count && items[i].keyspace == target.keyspace &&
                   slice_equal(slice_of(items[i].key), target.key);
        assert_ok(version_get(version, &target, key_hash(target.keyspace, target.key), &entry,
                              &found, NULL));
        cr_assert(eq(int, found, expected));
        if (!expected)
            continue;
        hits++;
        cr_assert(eq(u64, entry.ts, items[i].ts));
        cr_assert(slice_equal(entry.value, slice_of(items[i].value)));
    }
    cr_assert(lt(sz, 1000, hits));
}

static struct iter *open_cursor(uint32_t keyspace, const lsm_slice *from, const lsm_slice *to)
{
    static const struct table_iter_options options = {.fill_cache = true};
    struct iter *iters[64];
    struct iter *joined;
    size_t count = 0;

    cr_assert(le(sz, version_iter_count(version), 64));
    assert_ok(version_add_iters(version, &options, keyspace, from, to, iters, &count));
    cr_assert(le(sz, count, version_iter_count(version)));
    assert_ok(merge_new(iters, count, &joined));
    return joined;
}

static void assert_at(const struct iter *it, size_t i)
{
    if (i >= item_count) { // also one before the first
        cr_assert(not(it->is_valid));
        return;
    }
    cr_assert(it->is_valid);
    cr_assert(eq(u32, it->entry.keyspace, items[i].keyspace));
    cr_assert(slice_equal(it->entry.key, slice_of(items[i].key)));
    cr_assert(eq(u64, it->entry.ts, items[i].ts));
}

Test(version_read, cursors_yield_every_entry_in_both_directions)
{
    struct iter *it = open_cursor(0, NULL, NULL);
    size_t i = 0;

    assert_ok(iter_first(it));
    for (; it->is_valid; i++) {
        assert_at(it, i);
        assert_ok(iter_next(it));
    }
    cr_assert(eq(sz, i, item_count));
    assert_ok(iter_last(it));
    for (; it->is_valid; i--) {
        assert_at(it, i - 1);
        assert_ok(iter_prev(it));
    }
    cr_assert(eq(sz, i, 0));
    iter_close(it);
}

// Walks `it` at random, beside an index into what it holds, which are the items from
// `first` to before `end`.
static void walk(struct random *random, struct iter *it, size_t first, size_t end)
{
    size_t at = end; // not valid

    for (int round = 0; round < 3000; round++) {
        uint64_t move = random_below(random, 10);
        struct ikey target;
        char key[24];

        random_target(random, key, &target);
        if (at != end && move < 4) {
            assert_ok(iter_next(it));
            at++;
        } else if (at != end && move < 8) {
            assert_ok(iter_prev(it));
            at = at == first ? end : at - 1;
        } else if (move % 2 == 0) {
            assert_ok(iter_seek(it, &target));
            at = model_seek(&target);
            at = at < first ? first : at > end ? end : at;
        } else {
            assert_ok(iter_seek_for_prev(it, &target));
            at = model_seek(&target);
            if (at < item_count && items[at].keyspace == target.keyspace &&
                items[at].ts == target.ts && slice_equal(slice_of(items[at].key), target.key))
                at++;
            at = at <= first ? end : (at > end ? end : at) - 1;
        }
        assert_at(it, at == end ? item_count : at);
    }
}

Test(version_read, cursors_move_as_a_sorted_array_does)
{
    struct random random = random_for_test("version_read");
    struct iter *it = open_cursor(0, NULL, NULL);

    walk(&random, it, 0, item_count);
    iter_close(it);
}

// The items of the tables of one level are what its cursor holds.
Test(version_read, the_cursor_of_a_level_moves_as_a_sorted_array_does)
{
    static const struct table_iter_options options = {.fill_cache = true};
    struct random random = random_for_test("version_read");
    struct iter *it;
    size_t kept = 0;

    for (size_t i = 0; i < item_count; i++) {
        if (items[i].ts <= KEYS)
            items[kept++] = items[i]; // generation 0: level 6
    }
    item_count = kept;
    assert_ok(level_iter_new(version->levels[6].tables, version->levels[6].count, &options, &it));
    walk(&random, it, 0, item_count);
    iter_close(it);
    assert_ok(level_iter_new(NULL, 0, &options, &it));
    assert_ok(iter_first(it));
    cr_assert(not(it->is_valid));
    assert_ok(iter_last(it));
    cr_assert(not(it->is_valid));
    iter_close(it);
}

// What lies in the bounds is all there; outside of them tables may be left out.
Test(version_read, bounded_cursors_hold_all_entries_within_the_bounds)
{
    struct random random = random_for_test("version_read");

    for (int round = 0; round < 300; round++) {
        struct ikey a, b;
        char key_a[24], key_b[24];
        struct iter *it;
        bool has_from = !random_one_in(&random, 4);
        bool has_to = !random_one_in(&random, 4);
        struct ikey start;

        random_target(&random, key_a, &a);
        random_target(&random, key_b, &b);
        if (a.keyspace == 0)
            continue;
        if (has_from && has_to && slice_compare(a.key, b.key) > 0)
            continue;
        it = open_cursor(a.keyspace, has_from ? &a.key : NULL, has_to ? &b.key : NULL);
        start = (struct ikey){a.keyspace, has_from ? a.key : slice_make("", 0), TS_MAX};
        assert_ok(iter_seek(it, &start));
        for (size_t i = model_seek(&start); i < item_count; i++) {
            if (items[i].keyspace != a.keyspace ||
                (has_to && slice_compare(slice_of(items[i].key), b.key) > 0))
                break;
            assert_at(it, i);
            assert_ok(iter_next(it));
        }
        iter_close(it);
    }
}

Test(version_read, a_cursor_of_a_keyspace_without_entries_has_no_children)
{
    static const struct table_iter_options options = {.fill_cache = true};
    struct iter *iters[64];
    size_t count = 7; // as if others were there

    assert_ok(version_add_iters(version, &options, 4, NULL, NULL, iters, &count));
    cr_assert(eq(sz, count, 7));
}

Test(version_read, cursors_outlive_the_version)
{
    struct iter *it = open_cursor(0, NULL, NULL);
    struct version *empty;

    version_unref(version);
    assert_ok(version_new(&stores.bin, &empty));
    version = empty;
    epoch_drain(&stores.bin);
    assert_ok(iter_first(it));
    assert_at(it, 0);
    iter_close(it);
}

Test(version_read, the_last_possible_keyspace_has_no_neighbour_to_end_at)
{
    static const struct table_iter_options options = {.fill_cache = true};
    struct iter *iters[64];
    size_t count = 0;

    assert_ok(version_add_iters(version, &options, UINT32_MAX, NULL, NULL, iters, &count));
    cr_assert(eq(sz, count, 0));
}

// --- failing ---

enum move { FIRST, LAST, SEEK, SEEK_FOR_PREV, NEXT, PREV, MOVES };

// Where a relative move begins.
static lsm_status place(struct iter *it, enum move move)
{
    size_t tables = version->levels[6].count;

    if (move == NEXT)
        return iter_seek(it, &table_meta(version->levels[6].tables[0])->smallest);
    if (move == PREV)
        return iter_seek(it, &table_meta(version->levels[6].tables[tables - 1])->largest);
    return LSM_OK;
}

// Through the blocks of a table, and into the next one.
static lsm_status go_on(struct iter *it, lsm_status (*step)(struct iter *it))
{
    for (int i = 0; i < 30; i++)
        TRY(step(it));
    return LSM_OK;
}

static lsm_status make_move(struct iter *it, enum move move)
{
    const struct ikey target = {1, slice_of("0040"), TS_MAX};

    switch (move) {
    case FIRST:
        return iter_first(it);
    case LAST:
        return iter_last(it);
    case SEEK:
        return iter_seek(it, &target);
    case SEEK_FOR_PREV:
        return iter_seek_for_prev(it, &target);
    case NEXT:
        return go_on(it, iter_next);
    default:
        return go_on(it, iter_prev);
    }
}

// Each read that a move makes fails once; made again, it goes where it should.
static void assert_move_survives_read_errors(enum move move)
{
    static const struct table_iter_options options = {.fill_cache = false};
    const struct level *level = &version->levels[6];
    bool is_hit = true;

    for (uint64_t at = 1; is_hit; at++) {
        struct sim_fault fault = {
            .ops = SIM_OP_READ, .name_part = ".sst", .at = at, .status = LSM_IO};
        struct iter *it;
        lsm_status status;

        assert_ok(level_iter_new(level->tables, level->count, &options, &it));
        assert_ok(place(it, move));
        sim_set_fault(sim, &fault);
        status = make_move(it, move);
        is_hit = sim_fault_hits(sim) > 0;
        sim_set_fault(sim, NULL);
        assert_status(status, is_hit ? LSM_IO : LSM_OK);
        cr_assert(ne(int, it->is_valid, is_hit));
        assert_ok(place(it, move));
        assert_ok(make_move(it, move));
        cr_assert(it->is_valid);
        iter_close(it);
        cr_assert(lt(u64, at, 20));
    }
}

Test(version_read, a_cursor_whose_read_failed_can_be_positioned_again)
{
    for (enum move move = FIRST; move < MOVES; move++)
        assert_move_survives_read_errors(move);
}

static void assert_move_survives_short_memory(enum move move)
{
    static const struct table_iter_options options = {.fill_cache = false};
    const struct level *level = &version->levels[6];
    size_t live = alloc_fault_live();

    ALLOC_FAULT_EACH({
        struct iter *it = NULL;
        lsm_status status = level_iter_new(level->tables, level->count, &options, &it);

        if (status == LSM_OK)
            status = place(it, move);
        if (status == LSM_OK)
            status = make_move(it, move);
        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        cr_assert(it == NULL || it->is_valid == (status == LSM_OK));
        if (it != NULL)
            iter_close(it);
        cr_assert(le(sz, alloc_fault_live(), live + 20)); // resident parts of tables
    });
}

Test(version_read_memory, out_of_memory_ends_a_move_and_nothing_more)
{
    static const struct table_iter_options options = {.fill_cache = false};

    cr_assert(alloc_fault_install());
    setup();
    for (enum move move = FIRST; move < MOVES; move++)
        assert_move_survives_short_memory(move);
    ALLOC_FAULT_EACH({
        struct iter *iters[64];
        size_t count = 0;
        lsm_status status = version_add_iters(version, &options, 0, NULL, NULL, iters, &count);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        cr_assert(eq(int, count > 0, status == LSM_OK));
        while (count > 0)
            iter_close(iters[--count]);
    });
    teardown();
}

// A read error reaches the caller, and the cursor can be positioned again.
Test(version_read, a_read_error_is_passed_on)
{
    struct sim_fault fault = {
        .ops = SIM_OP_READ, .name_part = ".sst", .at = 1, .for_ever = true, .status = LSM_IO};
    struct ikey target = {1, slice_of("0000"), TS_MAX};
    static const struct table_iter_options options = {.fill_cache = false};
    struct entry entry;
    bool found;
    struct iter *it;

    sim_set_fault(sim, &fault);
    {
        EPOCH_SECTION();
        assert_status(version_get(version, &target, key_hash(1, target.key), &entry, &found, NULL),
                      LSM_IO);
    }
    assert_ok(level_iter_new(version->levels[6].tables, version->levels[6].count, &options, &it));
    assert_status(iter_first(it), LSM_IO);
    cr_assert(not(it->is_valid));
    sim_set_fault(sim, NULL);
    assert_ok(iter_first(it));
    cr_assert(it->is_valid);
    iter_close(it);
}
