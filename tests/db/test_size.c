// test_size.c -- lsm_approximate_size() against scans, for mixes of sizes.

#include "support/db_fixture.h"
#include "support/random.h"

#define KEYSPACES 4
// What an entry takes beside key and value, at most, and a table beside its entries.
#define ENTRY_BYTES 40
#define TABLE_BYTES 1024

static struct db_fixture f;
static lsm_keyspace *keyspaces[KEYSPACES];

static void setup(void)
{
    db_fixture_prepare(&f, 1);
    f.options.compression = 0;
    f.options.memtable_size = 1 << 20;
    f.options.table_size = 64 << 10;
    db_fixture_open(&f);
    for (int i = 0; i < KEYSPACES; i++) {
        char name[] = {(char)('a' + i), '\0'};

        assert_ok(lsm_keyspace_open(f.db, name, true, NULL, &keyspaces[i]));
    }
}

static void teardown(void)
{
    for (int i = 0; i < KEYSPACES; i++)
        lsm_keyspace_close(keyspaces[i]);
    db_fixture_end(&f);
}

TestSuite(size, .init = setup, .fini = teardown);

struct sum {
    uint64_t bytes; // of keys and values
    uint64_t entries;
};

static struct sum scan(lsm_keyspace *keyspace, const lsm_slice *from, const lsm_slice *to)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    struct sum sum = {0};
    lsm_iter *it;
    lsm_status status;

    options.lower = from;
    options.upper = to;
    options.all_versions = true;
    assert_ok(lsm_iter_open(f.db, keyspace, &options, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        sum.bytes += lsm_iter_key(it).size + lsm_iter_value_size(it);
        sum.entries++;
    }
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    return sum;
}

static uint64_t table_count(void)
{
    lsm_table_info *tables;
    size_t count;

    assert_ok(lsm_tables(f.db, &tables, &count));
    lsm_free(tables);
    return count;
}

static void assert_true(lsm_keyspace *keyspace, const lsm_slice *from, const lsm_slice *to)
{
    const struct sum sum = scan(keyspace, from, to);
    uint64_t size = 0;

    assert_ok(lsm_approximate_size(f.db, keyspace, from, to, &size));
    cr_assert(ge(u64, size, sum.bytes - sum.bytes / 10), "%llu entries",
              (unsigned long long)sum.entries);
    cr_assert(
        le(u64, size,
           sum.bytes + sum.bytes / 10 + sum.entries * ENTRY_BYTES + table_count() * TABLE_BYTES),
        "%llu entries", (unsigned long long)sum.entries);
}

static lsm_slice numbered(uint64_t number, char key[32])
{
    (void)snprintf(key, 32, "%08llu", (unsigned long long)number);
    return lsm_str(key);
}

static void assert_all_true(struct random *rng)
{
    char text[2][32];

    for (int i = 0; i < KEYSPACES; i++) {
        assert_true(keyspaces[i], NULL, NULL);
        for (int j = 0; j < 8; j++) {
            const lsm_slice from = numbered(random_below(rng, 1000), text[0]);
            const lsm_slice to = numbered(random_below(rng, 1000), text[1]);

            assert_true(keyspaces[i], &from, &to);
            assert_true(keyspaces[i], &from, NULL);
            assert_true(keyspaces[i], NULL, &to);
        }
    }
}

static void settle(void)
{
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_ok(lsm_wait_idle(f.db));
}

// Most values of a keyspace are about as large as one another, a few are not.
static size_t random_size(struct random *rng, int keyspace)
{
    static const size_t sizes[KEYSPACES] = {8, 300, 2000, 30000};
    const size_t size =
        random_one_in(rng, 50) ? sizes[random_below(rng, KEYSPACES)] * 5 : sizes[keyspace];

    return size / 2 + random_below(rng, size);
}

static void put_some(struct random *rng, uint64_t from, uint64_t to)
{
    uint8_t *value = malloc(1 << 20);
    char key[32];

    cr_assert(value != NULL);
    random_fill(rng, value, 1 << 20);
    for (uint64_t i = from; i < to; i++)
        for (int j = 0; j < KEYSPACES; j++)
            if (!random_one_in(rng, 4))
                assert_ok(lsm_put(
                    f.db, keyspaces[j], numbered(i * 7 % 1000, key),
                    slice_make(value + random_below(rng, 1 << 19), random_size(rng, j)), NULL));
    free(value);
}

static void delete_some(struct random *rng)
{
    char key[32];

    for (uint64_t i = 0; i < 1000; i++)
        for (int j = 0; j < KEYSPACES; j++)
            if (random_one_in(rng, 2))
                assert_ok(lsm_delete(f.db, keyspaces[j], numbered(i, key), NULL));
}

// In the log, in tables of every level, in both, and after deletions.
Test(size, is_what_a_scan_adds_up_to)
{
    struct random rng = random_for_test("size");

    put_some(&rng, 0, 100);
    assert_all_true(&rng);
    assert_ok(lsm_flush(f.db));
    assert_all_true(&rng);
    put_some(&rng, 100, 200);
    settle();
    put_some(&rng, 200, 300);
    assert_ok(lsm_flush(f.db));
    put_some(&rng, 300, 330);
    assert_all_true(&rng);
    settle();
    delete_some(&rng);
    settle();
    assert_all_true(&rng);
}

// Small values beside large ones, in one table, were told as the bulk of it, and one large value
// beside many small ones as nothing.
Test(size, of_a_keyspace_is_not_shared_out_by_entries)
{
    static const uint8_t value[1000000];
    uint64_t size;
    char key[32];

    for (uint64_t i = 0; i < 119; i++) {
        assert_ok(lsm_put(f.db, keyspaces[0], numbered(i, key), slice_make(value, 8), NULL));
        if (i % 10 == 0)
            assert_ok(
                lsm_put(f.db, keyspaces[1], numbered(i, key), slice_make(value, 1000000), NULL));
    }
    assert_ok(lsm_put(f.db, keyspaces[2], lsm_str("one"), slice_make(value, 30000), NULL));
    settle();
    cr_assert(eq(u64, table_count(), 1));
    assert_ok(lsm_approximate_size(f.db, keyspaces[0], NULL, NULL, &size));
    cr_assert(lt(u64, size, 8000));
    assert_ok(lsm_approximate_size(f.db, keyspaces[2], NULL, NULL, &size));
    cr_assert(ge(u64, size, 30000));
    cr_assert(lt(u64, size, 31000));
}
