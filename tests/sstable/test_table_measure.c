// test_table_measure.c -- what ranges of a table take, against a walk over its entries.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/table_fixture.h"

static const struct table_options options = {.block_size = 512, .filter_bits = 10};
static const struct ikey beginning = {.keyspace = 0, .ts = TS_MAX};
static const struct ikey ending = {.keyspace = UINT32_MAX, .ts = TS_MAX};

static struct table_fixture f;

static void setup(void)
{
    table_fixture_init(&f, 1 << 20);
}

static void teardown(void)
{
    table_fixture_release(&f);
}

TestSuite(table_measure, .init = setup, .fini = teardown);

static struct entry_array some_entries(struct random *rng)
{
    const struct entry_shape shape = {.count = 1500,
                                      .keyspaces = 4,
                                      .key_max = 6,
                                      .alphabet = 4,
                                      .ts_max = 50,
                                      .value_max = 200,
                                      .has_pointers = true};

    return random_entries(rng, &shape);
}

// Records that the entries in [low, high) point to.
static uint64_t walk(const struct entry_array *a, const struct ikey *low, const struct ikey *high)
{
    struct value_pointer pointer;
    uint64_t bytes = 0;

    for (size_t i = 0; i < a->count; i++) {
        struct ikey at = entry_ikey(&a->items[i]);

        if (a->items[i].kind != ENTRY_POINTER || ikey_compare(&at, low) < 0 ||
            ikey_compare(&at, high) >= 0)
            continue;
        MUST(pointer_decode(a->items[i].value, &pointer));
        bytes += pointer.record_size;
    }
    return bytes;
}

static struct table_share measure(struct table *table, const struct ikey *low,
                                  const struct ikey *high)
{
    struct table_share share = {UINT64_MAX, UINT64_MAX};

    MUST(table_measure(table, low, high, &share));
    return share;
}

// At an entry, just before or behind it, or at a keyspace's start.
static struct ikey random_bound(struct random *rng, const struct entry_array *a)
{
    struct ikey at = entry_ikey(&a->items[random_below(rng, a->count)]);

    switch (random_below(rng, 4)) {
    case 0:
        at.ts++;
        break;
    case 1:
        at.ts--;
        break;
    case 2:
        at = (struct ikey){.keyspace = at.keyspace, .ts = TS_MAX};
        break;
    default:
        break;
    }
    return at;
}

Test(table_measure, what_is_pointed_to_is_exact_in_every_range)
{
    struct random rng = random_for_test("table_measure");

    for (int round = 0; round < 4; round++) {
        struct entry_array a = some_entries(&rng);
        struct table *table = make_table(&f, (uint64_t)round + 1, &options, &a);

        for (int i = 0; i < 300; i++) {
            const struct ikey low = random_bound(&rng, &a);
            const struct ikey high = random_bound(&rng, &a);

            cr_assert(eq(u64, measure(table, &low, &high).referenced_bytes, walk(&a, &low, &high)));
        }
        table_unref(table);
        entry_array_release(&a);
    }
}

Test(table_measure, parts_of_the_file_add_up_to_the_whole)
{
    struct random rng = random_for_test("table_measure");
    struct entry_array a = some_entries(&rng);
    struct table *table = make_table(&f, 1, &options, &a);
    const struct table_share whole = measure(table, &beginning, &ending);

    cr_assert(eq(u64, whole.file_bytes, table_meta(table)->size));
    for (int i = 0; i < 200; i++) {
        const struct ikey at = random_bound(&rng, &a);
        const struct table_share left = measure(table, &beginning, &at);
        const struct table_share right = measure(table, &at, &ending);

        // Each part is rounded down.
        cr_assert(le(u64, left.file_bytes + right.file_bytes, whole.file_bytes));
        cr_assert(ge(u64, left.file_bytes + right.file_bytes + 3, whole.file_bytes));
        cr_assert(eq(u64, left.referenced_bytes + right.referenced_bytes, whole.referenced_bytes));
    }
    table_unref(table);
    entry_array_release(&a);
}

// Not even of a range within one block everything or nothing is told.
Test(table_measure, a_block_is_cut_between_its_entries)
{
    struct random rng = random_for_test("table_measure");
    struct entry_array a = some_entries(&rng);
    struct table *table = make_table(&f, 1, &options, &a);
    uint64_t last = 0;

    for (size_t i = 1; i < a.count; i++) {
        const struct ikey at = entry_ikey(&a.items[i]);
        const uint64_t bytes = measure(table, &beginning, &at).file_bytes;

        cr_assert(gt(u64, bytes, last));
        last = bytes;
    }
    table_unref(table);
    entry_array_release(&a);
}

Test(table_measure, a_range_that_covers_or_misses_the_table_reads_nothing)
{
    struct random rng = random_for_test("table_measure");
    struct entry_array a = some_entries(&rng);
    struct table *table = make_table(&f, 1, &options, &a);
    const struct ikey first = entry_ikey(&a.items[0]);
    const struct ikey second = entry_ikey(&a.items[1]);
    struct table_share share;

    MUST(file_unlink(f.dir, filename_of(FILENAME_TABLE, 1).text));
    cr_assert(eq(u64, measure(table, &beginning, &ending).file_bytes, table_meta(table)->size));
    cr_assert(eq(u64, measure(table, &beginning, &first).file_bytes, 0));
    cr_assert(eq(u64, measure(table, &ending, &beginning).file_bytes, 0));
    cr_assert(ne(int, table_measure(table, &first, &second, &share), LSM_OK));
    table_unref(table);
    entry_array_release(&a);
}
