// test_conflict.c -- whether a transaction's reads still hold.

#include "txn/conflict.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "support/alloc_fault.h"
#include "support/random.h"

#define LARGE ((size_t)16 << 20) // forgets nothing of what these tests commit

static void assert_ok(lsm_status status)
{
    cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
}

static void assert_conflict(lsm_status status)
{
    cr_assert(eq(int, status, LSM_CONFLICT));
}

static struct conflict_history *new_history(size_t bytes_max, uint64_t last_ts)
{
    struct conflict_history *history;

    assert_ok(conflict_history_new(bytes_max, last_ts, &history));
    return history;
}

static struct conflict_write write_of(uint32_t keyspace, const char *key)
{
    return (struct conflict_write){
        .keyspace = keyspace, .key = slice_of(key), .hash = key_hash(keyspace, slice_of(key))};
}

static void commit(struct conflict_history *history, uint64_t ts, uint32_t keyspace,
                   const char *key)
{
    const struct conflict_write write = write_of(keyspace, key);

    conflict_history_add(history, ts, &write, 1);
}

static struct read_set *new_set(void)
{
    struct read_set *set;

    assert_ok(read_set_new(&set));
    return set;
}

static struct read_set *set_of_point(uint32_t keyspace, const char *key)
{
    struct read_set *set = new_set();

    assert_ok(read_set_add_point(set, keyspace, slice_of(key), key_hash(keyspace, slice_of(key))));
    assert_ok(read_set_seal(set));
    return set;
}

static struct read_set *set_of_range(uint32_t keyspace, const char *low, const char *high)
{
    struct read_set *set = new_set();
    const struct read_range range = {.keyspace = keyspace,
                                     .low = slice_of(low),
                                     .high = slice_of(high == NULL ? "" : high),
                                     .is_open = high == NULL};

    assert_ok(read_set_add_range(set, &range));
    assert_ok(read_set_seal(set));
    return set;
}

static struct read_set *set_of_range_before(uint32_t keyspace, const char *low, const char *high)
{
    struct read_set *set = new_set();
    const struct read_range range = {
        .keyspace = keyspace, .low = slice_of(low), .high = slice_of(high), .excludes_high = true};

    assert_ok(read_set_add_range(set, &range));
    assert_ok(read_set_seal(set));
    return set;
}

Test(conflict, an_empty_read_set_never_conflicts)
{
    struct conflict_history *history = new_history(LARGE, 0);
    struct read_set *set = new_set();

    commit(history, 1, 1, "key");
    assert_ok(read_set_seal(set));
    assert_ok(conflict_history_check(history, set, 0, 1, NULL));
    read_set_free(set);
    conflict_history_free(history);
    conflict_history_free(NULL);
}

Test(conflict, a_point_written_after_it_was_read_conflicts)
{
    struct conflict_history *history = new_history(LARGE, 0);
    struct read_set *set = set_of_point(1, "key");

    commit(history, 5, 1, "other");
    commit(history, 6, 2, "key"); // of another keyspace
    assert_ok(conflict_history_check(history, set, 0, 6, NULL));
    commit(history, 7, 1, "key");
    assert_conflict(conflict_history_check(history, set, 6, 7, NULL));
    assert_ok(conflict_history_check(history, set, 7, 7, NULL));
    commit(history, 9, 1, "other");
    assert_ok(conflict_history_check(history, set, 7, 9, NULL));
    assert_conflict(conflict_history_check(history, set, 6, 9, NULL));
    read_set_free(set);
    conflict_history_free(history);
}

// XXH3 with the keyspace as its seed gives both keys the same hash.
Test(conflict, keys_of_other_keyspaces_with_the_same_hash_do_not_conflict)
{
    struct conflict_history *history = new_history(LARGE, 0);
    struct read_set *set = set_of_point(2, "a01");

    cr_assert(eq(u64, key_hash(1, slice_of("a00")), key_hash(2, slice_of("a01"))));
    commit(history, 1, 1, "a00");
    assert_ok(conflict_history_check(history, set, 0, 1, NULL));
    read_set_free(set);
    conflict_history_free(history);
}

Test(conflict, a_write_into_a_range_that_was_read_conflicts)
{
    struct conflict_history *history = new_history(LARGE, 0);
    struct read_set *set = set_of_range(2, "c", "f");

    commit(history, 1, 2, "b");
    commit(history, 2, 2, "ff");
    commit(history, 3, 1, "d");
    commit(history, 4, 3, "d");
    assert_ok(conflict_history_check(history, set, 0, 4, NULL));
    commit(history, 5, 2, "c");
    commit(history, 6, 2, "z");
    commit(history, 7, 2, "f");
    assert_conflict(conflict_history_check(history, set, 4, 5, NULL));
    assert_ok(conflict_history_check(history, set, 5, 6, NULL));
    assert_conflict(conflict_history_check(history, set, 5, 7, NULL));
    assert_ok(conflict_history_check(history, set, 7, 7, NULL));
    read_set_free(set);
    conflict_history_free(history);
}

Test(conflict, a_write_at_an_end_that_was_not_read_does_not_conflict)
{
    struct conflict_history *history = new_history(LARGE, 0);
    struct read_set *set = set_of_range_before(1, "c", "f");

    commit(history, 1, 1, "f");
    commit(history, 2, 1, "bz");
    assert_ok(conflict_history_check(history, set, 0, 2, NULL));
    commit(history, 3, 1, "ezzz");
    assert_conflict(conflict_history_check(history, set, 2, 3, NULL));
    commit(history, 4, 1, "c");
    assert_conflict(conflict_history_check(history, set, 3, 4, NULL));
    read_set_free(set);
    conflict_history_free(history);
}

Test(conflict, an_open_range_reaches_to_the_end_of_its_keyspace)
{
    struct conflict_history *history = new_history(LARGE, 0);
    struct read_set *set = set_of_range(2, "c", NULL);

    commit(history, 1, 3, "zzz");
    assert_ok(conflict_history_check(history, set, 0, 1, NULL));
    commit(history, 2, 2, "zzz");
    assert_conflict(conflict_history_check(history, set, 0, 2, NULL));
    read_set_free(set);
    conflict_history_free(history);
}

// The role has noted commits that are not published yet; a check up to a published
// one does not see them in ranges.
Test(conflict, a_commit_after_the_last_one_asked_about_is_no_conflict_of_a_range)
{
    struct conflict_history *history = new_history(LARGE, 0);
    struct read_set *set = set_of_range(1, "a", "z");

    commit(history, 4, 1, "m");
    assert_ok(conflict_history_check(history, set, 0, 3, NULL));
    assert_conflict(conflict_history_check(history, set, 0, 4, NULL));
    read_set_free(set);
    conflict_history_free(history);
}

Test(conflict, the_first_committer_of_a_key_wins)
{
    struct conflict_history *history = new_history(LARGE, 0);
    const struct conflict_write mine[] = {write_of(1, "a"), write_of(1, "b")};

    commit(history, 1, 1, "c");
    assert_ok(conflict_history_check_writes(history, mine, 2, 0, 1, NULL));
    commit(history, 2, 1, "b");
    assert_conflict(conflict_history_check_writes(history, mine, 2, 1, 2, NULL));
    assert_ok(conflict_history_check_writes(history, mine, 2, 2, 2, NULL));
    assert_ok(conflict_history_check_writes(history, mine, 1, 1, 2, NULL));
    conflict_history_free(history);
}

Test(conflict, the_words_name_the_key_only_when_asked_to)
{
    struct conflict_history *history = new_history(LARGE, 0);
    char key[101] = {0};
    struct read_set *set;

    memset(key, 'k', 100);
    memcpy(key, "a\"\\\x01\xff", 5);
    set = set_of_point(1, key);
    commit(history, 1, 1, key);
    assert_conflict(conflict_history_check(history, set, 0, 1, NULL));
    cr_assert(strstr(lsm_errmsg(), "a key of keyspace 1 ") != NULL, "%s", lsm_errmsg());
    cr_assert(strstr(lsm_errmsg(), "kkk") == NULL, "%s", lsm_errmsg());
    conflict_history_show_keys(history);
    assert_conflict(conflict_history_check(history, set, 0, 1, NULL));
    cr_assert(strstr(lsm_errmsg(), "key \"a\\x22\\x5c\\x01\\xffkkk") != NULL, "%s", lsm_errmsg());
    cr_assert(strstr(lsm_errmsg(), "kkk...\"") != NULL, "%s", lsm_errmsg());
    cr_assert(strstr(lsm_errmsg(), "keyspace 1 ") != NULL, "%s", lsm_errmsg());
    read_set_free(set);
    conflict_history_free(history);
}

// --- a history too short ---

// What a tree would say: one answer for every question, which are counted.
struct tree {
    uint64_t newest;
    lsm_status status;
    unsigned points_asked;
    unsigned ranges_asked;
};

static lsm_status newest_of_point(void *ctx, const struct read_point *point, uint64_t *newest)
{
    struct tree *tree = ctx;

    (void)point;
    tree->points_asked++;
    if (tree->status != LSM_OK)
        return lsm_fail(tree->status, "tree");
    *newest = tree->newest;
    return LSM_OK;
}

static lsm_status newest_in_range(void *ctx, const struct read_range *range, uint64_t *newest)
{
    struct tree *tree = ctx;

    (void)range;
    tree->ranges_asked++;
    if (tree->status != LSM_OK)
        return lsm_fail(tree->status, "tree");
    *newest = tree->newest;
    return LSM_OK;
}

static struct conflict_fallback fallback_to(struct tree *tree)
{
    return (struct conflict_fallback){
        .newest_of_point = newest_of_point, .newest_in_range = newest_in_range, .ctx = tree};
}

static void check_too_short(struct conflict_history *history, const struct read_set *set,
                            uint64_t after, uint64_t up_to)
{
    struct tree tree = {.newest = after};
    const struct conflict_fallback fallback = fallback_to(&tree);

    assert_conflict(conflict_history_check(history, set, after, up_to, NULL));
    assert_ok(conflict_history_check(history, set, after, up_to, &fallback));
    cr_assert(eq(uint, tree.points_asked + tree.ranges_asked, 1));
    tree.newest = after + 1;
    assert_conflict(conflict_history_check(history, set, after, up_to, &fallback));
    tree.status = LSM_IO;
    cr_assert(eq(int, conflict_history_check(history, set, after, up_to, &fallback), LSM_IO));
    cr_assert(eq(str, (char *)lsm_errmsg(), "tree"));
}

Test(conflict, readers_older_than_the_history_are_checked_against_the_tree)
{
    struct conflict_history *history = new_history(LARGE, 100);
    struct read_set *point = set_of_point(1, "key");
    struct read_set *range = set_of_range(1, "key", "l");
    const struct conflict_write write = write_of(1, "key");
    struct tree tree = {.newest = 99};
    const struct conflict_fallback fallback = fallback_to(&tree);

    cr_assert(eq(u64, conflict_history_floor(history), 100));
    commit(history, 101, 1, "other");
    check_too_short(history, point, 99, 101);
    check_too_short(history, range, 99, 101);
    assert_conflict(conflict_history_check_writes(history, &write, 1, 99, 101, NULL));
    assert_ok(conflict_history_check_writes(history, &write, 1, 99, 101, &fallback));
    assert_ok(conflict_history_check(history, point, 100, 101, NULL));
    assert_ok(conflict_history_check(history, range, 100, 101, NULL));
    read_set_free(point);
    read_set_free(range);
    conflict_history_free(history);
}

Test(conflict, what_falls_out_raises_the_floor)
{
    struct conflict_history *history = new_history(0, 0);
    struct read_set *point = set_of_point(1, "key");
    struct read_set *range = set_of_range(1, "key", "l");
    const uint64_t last = 100000;
    char key[32];

    for (uint64_t ts = 1; ts <= last; ts++) {
        snprintf(key, sizeof key, "%llu", (unsigned long long)ts);
        commit(history, ts, 1, key);
    }
    cr_assert(gt(u64, conflict_history_floor(history), 0));
    cr_assert(lt(u64, conflict_history_floor(history), last));
    check_too_short(history, point, 1, last);
    check_too_short(history, range, 1, last);
    // What is above the floor is remembered.
    assert_ok(conflict_history_check(history, point, conflict_history_floor(history), last, NULL));
    assert_ok(conflict_history_check(history, range, conflict_history_floor(history), last, NULL));
    read_set_free(point);
    read_set_free(range);
    conflict_history_free(history);
}

Test(conflict, a_key_too_large_for_the_history_raises_the_floor)
{
    static char key[60001];
    struct conflict_history *history = new_history(0, 0);
    struct read_set *range = set_of_range(1, "a", "b");

    memset(key, 'k', sizeof key - 1);
    commit(history, 1, 1, key);
    cr_assert(eq(u64, conflict_history_floor(history), 1));
    check_too_short(history, range, 0, 1);
    commit(history, 2, 1, "a");
    assert_conflict(conflict_history_check(history, range, 1, 2, NULL));
    read_set_free(range);
    conflict_history_free(history);
}

// A commit that is larger than all the memory there is.
Test(conflict, a_commit_too_large_for_the_history_is_never_passed)
{
    enum { WRITES = 20000 };
    static struct conflict_write writes[WRITES];
    static char keys[WRITES][16];
    struct conflict_history *history = new_history(0, 0);
    struct read_set *range = set_of_range(1, "key 00000", "key 00001");
    struct read_set *point = set_of_point(1, "key 00000");

    for (int i = 0; i < WRITES; i++) {
        snprintf(keys[i], sizeof keys[i], "key %05d", i);
        writes[i] = write_of(1, keys[i]);
    }
    conflict_history_add(history, 1, writes, WRITES);
    assert_conflict(conflict_history_check(history, range, 0, 1, NULL));
    assert_conflict(conflict_history_check(history, point, 0, 1, NULL));
    assert_ok(conflict_history_check(history, range, 1, 2, NULL));
    read_set_free(range);
    read_set_free(point);
    conflict_history_free(history);
}

Test(conflict, making_one_fails_cleanly_without_memory)
{
    struct conflict_history *history = NULL;
    lsm_status status;

    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH({
        status = conflict_history_new(0, 0, &history);
        if (alloc_fault_was_hit()) {
            cr_assert(eq(int, status, LSM_NO_MEMORY));
            cr_assert(history == NULL);
        }
    });
    assert_ok(status);
    // Noting and checking need no memory.
    alloc_fault_at(1, true);
    commit(history, 1, 1, "key");
    cr_assert(not(alloc_fault_was_hit()));
    alloc_fault_at(0, false);
    conflict_history_free(history);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

// --- against a model that forgets nothing ---

#define MODEL_KEYS    300
#define MODEL_COMMITS 3000
#define MODEL_WRITES  4 // of a commit, at most

static uint64_t model_last; // timestamp, one per commit
static uint16_t model_keys[MODEL_COMMITS + 1][MODEL_WRITES];

static lsm_slice model_key(unsigned number, char *to)
{
    return slice_make(to, (size_t)snprintf(to, 32, "a rather longish key %03u", number));
}

// The newest commit that wrote a key from `low` to `high`; 0 for none.
static uint64_t model_newest(unsigned low, unsigned high)
{
    for (uint64_t ts = model_last; ts > 0; ts--) {
        for (int i = 0; i < MODEL_WRITES; i++) {
            if (model_keys[ts][i] >= low && model_keys[ts][i] <= high)
                return ts;
        }
    }
    return 0;
}

static unsigned number_of(lsm_slice key)
{
    char digits[4] = {0};

    memcpy(digits, (const char *)key.data + key.size - 3, 3);
    return (unsigned)atoi(digits);
}

static lsm_status model_newest_of_point(void *ctx, const struct read_point *point, uint64_t *newest)
{
    (void)ctx;
    *newest = model_newest(number_of(point->key), number_of(point->key));
    return LSM_OK;
}

static lsm_status model_newest_in_range(void *ctx, const struct read_range *range, uint64_t *newest)
{
    (void)ctx;
    *newest =
        model_newest(number_of(range->low), range->is_open ? MODEL_KEYS : number_of(range->high));
    return LSM_OK;
}

static void model_commit(struct conflict_history *history, struct random *random)
{
    struct conflict_write writes[MODEL_WRITES];
    char keys[MODEL_WRITES][32];

    model_last++;
    for (int i = 0; i < MODEL_WRITES; i++) {
        const unsigned number = (unsigned)random_below(random, MODEL_KEYS);

        model_keys[model_last][i] = (uint16_t)number;
        writes[i].keyspace = 1;
        writes[i].key = model_key(number, keys[i]);
        writes[i].hash = key_hash(1, writes[i].key);
    }
    conflict_history_add(history, model_last, writes, MODEL_WRITES);
}

// Adds a few random reads to `set` and returns the newest commit into any of them.
static uint64_t model_read(struct read_set *set, struct random *random)
{
    const size_t count = 1 + random_below(random, 3);
    uint64_t newest = 0;

    for (size_t i = 0; i < count; i++) {
        const unsigned low = (unsigned)random_below(random, MODEL_KEYS);
        const unsigned high = low + (unsigned)random_below(random, 3);
        const bool is_point = random_one_in(random, 2);
        const uint64_t into = model_newest(low, is_point ? low : high);
        char low_key[32];
        char high_key[32];
        const lsm_slice from = model_key(low, low_key);
        const lsm_slice to = model_key(high, high_key);
        const struct read_range range = {.keyspace = 1, .low = from, .high = to};

        if (is_point)
            assert_ok(read_set_add_point(set, 1, from, key_hash(1, from)));
        else
            assert_ok(read_set_add_range(set, &range));
        if (into > newest)
            newest = into;
    }
    assert_ok(read_set_seal(set));
    return newest;
}

// With the tree behind it the history answers exactly. Without, it never passes a
// conflict, and finds a false one only for readers older than the floor.
static void run_against_model(struct random *random, size_t bytes_max)
{
    const struct conflict_fallback fallback = {.newest_of_point = model_newest_of_point,
                                               .newest_in_range = model_newest_in_range};
    struct conflict_history *history = new_history(bytes_max, 0);

    for (model_last = 0; model_last < MODEL_COMMITS;) {
        struct read_set *set = new_set();
        uint64_t newest;
        uint64_t after;
        lsm_status expected;

        model_commit(history, random);
        newest = model_read(set, random);
        after = model_last - random_below(random, model_last < 200 ? model_last + 1 : 200);
        if (random_one_in(random, 10))
            after = random_below(random, model_last + 1);
        expected = newest > after ? LSM_CONFLICT : LSM_OK;
        cr_assert(
            eq(int, conflict_history_check(history, set, after, model_last, &fallback), expected));
        if (expected == LSM_CONFLICT || after >= conflict_history_floor(history))
            cr_assert(
                eq(int, conflict_history_check(history, set, after, model_last, NULL), expected));
        read_set_free(set);
    }
    conflict_history_free(history);
}

Test(conflict, random_histories_match_one_that_forgets_nothing)
{
    struct random random = random_for_test(__func__);

    run_against_model(&random, 0);
    run_against_model(&random, LARGE);
}
