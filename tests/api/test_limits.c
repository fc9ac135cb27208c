// test_limits.c -- what the header promises of sizes: at the limit, beside it, and of many.
//
// The tables are made from the limits of the header. (What lies beyond them is refused
// everywhere: test_misuse.c.)

#include <endian.h>

#include "support/db_fixture.h"

static struct db_fixture f;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(limits, .init = setup, .fini = teardown, .timeout = 600);

// Writes it out, merges it, opens it again: `check` must hold each time.
static void check_everywhere(void (*check)(void))
{
    check();
    assert_ok(lsm_flush(f.db));
    check();
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    check();
    db_fixture_reopen(&f);
    check();
    assert_ok(lsm_verify(f.db, NULL, NULL));
}

// --- keys ---

static const size_t key_sizes[] = {
    1, 2, 7, 8, 9, 16, 255, 256, 257, LSM_KEY_SIZE_MAX / 2, LSM_KEY_SIZE_MAX - 1, LSM_KEY_SIZE_MAX};
static const uint8_t fills[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};

#define KEY_SIZES (sizeof key_sizes / sizeof key_sizes[0])
#define FILLS     (sizeof fills / sizeof fills[0])
#define KEYS      (2 * KEY_SIZES * FILLS)

static lsm_slice keys[KEYS]; // in order

static int compare_keys(const void *left, const void *right)
{
    return slice_compare(*(const lsm_slice *)left, *(const lsm_slice *)right);
}

// Of each size and fill one key of that byte alone, and one whose last byte is another.
static void make_keys(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        const size_t size = key_sizes[i / 2 % KEY_SIZES];
        uint8_t *bytes = malloc(size);

        memset(bytes, fills[i / 2 / KEY_SIZES], size);
        bytes[size - 1] ^= i % 2 == 0 ? 0 : 0x55;
        keys[i] = slice_make(bytes, size);
    }
    qsort(keys, KEYS, sizeof keys[0], compare_keys);
}

static void free_keys(void)
{
    for (size_t i = 0; i < KEYS; i++)
        free((void *)(uintptr_t)keys[i].data);
}

static void check_get(size_t i)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    assert_ok(lsm_get(f.db, NULL, keys[i], &value));
    cr_assert(eq(sz, value.size, sizeof i));
    cr_assert(memcmp(value.data, &i, sizeof i) == 0, "the value of key %zu", i);
}

static void check_position(lsm_iter *it, lsm_status status, size_t i)
{
    assert_ok(status);
    cr_assert(slice_equal(lsm_iter_key(it), keys[i]), "key %zu", i);
}

static void check_keys(void)
{
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (size_t i = 0; i < KEYS; i++) {
        check_get(i);
        check_position(it, i == 0 ? lsm_iter_first(it) : lsm_iter_next(it), i);
    }
    assert_status(lsm_iter_next(it), LSM_NOT_FOUND);
    for (size_t i = KEYS; i-- > 0;)
        check_position(it, i == KEYS - 1 ? lsm_iter_last(it) : lsm_iter_prev(it), i);
    assert_status(lsm_iter_prev(it), LSM_NOT_FOUND);
    for (size_t i = 0; i < KEYS; i++) {
        check_position(it, lsm_iter_seek(it, keys[i]), i);
        check_position(it, lsm_iter_seek_for_prev(it, keys[i]), i);
    }
    lsm_iter_close(it);
}

Test(limits, keys_of_every_edge_are_kept_in_order)
{
    make_keys();
    for (size_t i = 0; i < KEYS; i++) {
        const size_t at = i * 7919 % KEYS; // 7919 is prime, and KEYS is not a multiple of it

        assert_ok(lsm_put(f.db, NULL, keys[at], slice_make(&at, sizeof at), NULL));
    }
    check_everywhere(check_keys);
    free_keys();
}

// --- values ---

#define SEGMENT_SIZE (1u << 20) // of the fixture

static const size_t value_sizes[] = {0,
                                     1,
                                     1023,
                                     1024,
                                     1025,
                                     65535,
                                     65536,
                                     65537,
                                     SEGMENT_SIZE - 1,
                                     SEGMENT_SIZE,
                                     SEGMENT_SIZE + 1,
                                     3 * SEGMENT_SIZE + 1};

#define VALUES (sizeof value_sizes / sizeof value_sizes[0])

static lsm_slice value_of(size_t i, uint8_t *to)
{
    for (size_t at = 0; at < value_sizes[i]; at++)
        to[at] = (uint8_t)(at * 31 + (at >> 11) + i);
    return slice_make(to, value_sizes[i]);
}

static void check_values(void)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    uint8_t *wanted = malloc(3 * SEGMENT_SIZE + 1);

    for (size_t i = 0; i < VALUES; i++) {
        assert_ok(lsm_get(f.db, NULL, slice_make(&i, sizeof i), &value));
        cr_assert(slice_equal(slice_of_buf(&value), value_of(i, wanted)), "%zu bytes",
                  value_sizes[i]);
    }
    free(wanted);
}

static void put_values(void)
{
    uint8_t *bytes = malloc(3 * SEGMENT_SIZE + 1);

    for (size_t i = 0; i < VALUES; i++)
        assert_ok(lsm_put(f.db, NULL, slice_make(&i, sizeof i), value_of(i, bytes), NULL));
    free(bytes);
}

// Beside the threshold at which a value is separated, and the size of a segment.
Test(limits, values_of_every_edge_are_kept)
{
    static const char *const thresholds[] = {"0", "1", "1KiB", "64KiB"};

    for (size_t i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++) {
        assert_ok(lsm_set_option(f.db, "value_threshold", thresholds[i]));
        put_values();
        check_everywhere(check_values);
    }
}

// It takes 6 GiB of memory: with LSM_TEST_LARGEST in the environment only.
Test(limits, a_value_of_the_largest_size_is_kept)
{
    lsm_options *options;
    lsm_buf value = LSM_BUF_INIT;
    uint64_t *words;
    lsm_db *db;

    if (getenv("LSM_TEST_LARGEST") == NULL)
        cr_skip_test("SKIPPED: LSM_TEST_LARGEST is not set");
    words = malloc(LSM_VALUE_SIZE_MAX);
    for (size_t i = 0; i < LSM_VALUE_SIZE_MAX / sizeof *words; i++)
        words[i] = i * UINT64_C(0x9e3779b97f4a7c15);
    assert_ok(lsm_options_new(&options));
    assert_ok(lsm_options_set_in_memory(options, true));
    assert_ok(lsm_open("largest", options, &db));
    assert_ok(lsm_put(db, NULL, lsm_str("k"), slice_make(words, LSM_VALUE_SIZE_MAX), NULL));
    assert_ok(lsm_flush(db));
    assert_ok(lsm_get(db, NULL, lsm_str("k"), &value));
    cr_assert(slice_equal(slice_of_buf(&value), slice_make(words, LSM_VALUE_SIZE_MAX)));
    assert_ok(lsm_close(db));
    lsm_options_free(options);
    lsm_buf_free(&value);
    free(words);
}

// --- many ---

#ifdef __SANITIZE_ADDRESS__
#define MANY 100000u
#else
#define MANY 1000000u
#endif

static lsm_slice number_key(uint32_t number, uint32_t *to)
{
    *to = htobe32(number);
    return slice_make(to, sizeof *to);
}

static void check_numbers(lsm_db *db, uint32_t factor)
{
    uint32_t count = 0;
    lsm_status status;
    lsm_slice value;
    lsm_iter *it;

    assert_ok(lsm_iter_open(db, NULL, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        const uint32_t wanted = count * factor;
        uint32_t key;

        cr_assert(slice_equal(lsm_iter_key(it), number_key(count, &key)));
        assert_ok(lsm_iter_value(it, &value));
        cr_assert(slice_equal(value, slice_make(&wanted, sizeof wanted)));
        count++;
    }
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    cr_assert(eq(u32, count, MANY));
}

// The k-th number of all in another order: 7919 has no divisor in common with MANY.
static uint32_t shuffled(uint32_t k)
{
    return (uint32_t)((uint64_t)k * 7919 % MANY);
}

static void write_batch(lsm_db *db)
{
    lsm_batch *batch;
    uint32_t key;

    assert_ok(lsm_batch_new(&batch));
    for (uint32_t k = 0; k < MANY; k++) {
        const uint32_t number = shuffled(k);
        const uint32_t value = number * 3;

        assert_ok(
            lsm_batch_put(batch, NULL, number_key(number, &key), slice_make(&value, sizeof value)));
    }
    assert_ok(lsm_write(db, batch, NULL));
    lsm_batch_free(batch);
}

static void write_txn(lsm_db *db)
{
    uint32_t key;
    lsm_txn *txn;

    assert_ok(lsm_begin(db, LSM_TXN_SERIALIZABLE, &txn));
    for (uint32_t k = 0; k < MANY; k++) {
        const uint32_t number = shuffled(k);
        const uint32_t value = number * 5;

        assert_ok(
            lsm_txn_put(txn, NULL, number_key(number, &key), slice_make(&value, sizeof value)));
    }
    assert_ok(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
}

// All of it is one commit: one frame of the log, which lies wholly in one memtable.
Test(limits, a_million_writes_are_one_commit)
{
    db_fixture_end(&f);
    db_fixture_prepare(&f, 1);
    options_init(&f.options);
    f.options.env = sim_env(f.sim);
    f.options.is_manual = true;
    db_fixture_open(&f);
    write_batch(f.db);
    check_numbers(f.db, 3);
    db_fixture_reopen(&f);
    check_numbers(f.db, 3);
    write_txn(f.db);
    check_numbers(f.db, 5);
    assert_ok(lsm_flush(f.db));
    check_numbers(f.db, 5);
}

// --- names ---

Test(limits, names_of_the_largest_size_are_kept)
{
    char name[257];
    lsm_keyspace *keyspace;
    lsm_snapshot *snapshot;

    memset(name, 'n', sizeof name);
    name[256] = '\0';
    assert_status(lsm_keyspace_open(f.db, name, true, NULL, &keyspace), LSM_INVALID);
    name[255] = '\0';
    assert_ok(lsm_keyspace_open(f.db, name, true, NULL, &keyspace));
    assert_ok(lsm_put(f.db, keyspace, lsm_str("a"), lsm_str("1"), NULL));
    lsm_keyspace_close(keyspace);
    name[63] = '\0';
    assert_ok(lsm_snapshot_new(f.db, name, &snapshot));
    lsm_snapshot_free(snapshot);
    db_fixture_reopen(&f);
    name[63] = 'n';
    assert_ok(lsm_keyspace_open(f.db, name, false, NULL, &keyspace));
    cr_assert(eq(str, (char *)lsm_keyspace_name(keyspace), name));
    assert_holds(&f, keyspace, "a", "1");
    lsm_keyspace_close(keyspace);
}
