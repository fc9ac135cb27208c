// test_write_set.c -- what a transaction has written, with savepoints.

#include "txn/write_set.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "base/hash.h"
#include "support/alloc_fault.h"
#include "support/random.h"

#define NO_LIMIT UINT64_MAX

static void assert_ok(lsm_status status)
{
    cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
}

static struct write_set *new_set(void)
{
    struct write_set *set;

    assert_ok(write_set_new(&set));
    return set;
}

static struct entry entry_of(uint32_t keyspace, const char *key, const char *value)
{
    return (struct entry){.keyspace = keyspace,
                          .kind = value == NULL ? ENTRY_DELETE : ENTRY_VALUE,
                          .head = slice_head(slice_of(key)),
                          .key = slice_of(key),
                          .value = value == NULL ? slice_make(NULL, 0) : slice_of(value)};
}

// `value` NULL: a tombstone.
static void put(struct write_set *set, const char *key, const char *value)
{
    const struct entry entry = entry_of(1, key, value);

    assert_ok(write_set_add(set, &entry, key_hash(1, entry.key), NO_LIMIT));
}

static void assert_value(struct write_set *set, const char *key, const char *value)
{
    struct entry found;

    cr_assert(write_set_get(set, 1, slice_of(key), key_hash(1, slice_of(key)), &found), "%s", key);
    cr_assert(slice_equal(found.value, slice_of(value)), "%s", key);
    cr_assert(eq(u64, found.ts, TS_MAX));
}

static void assert_absent(struct write_set *set, const char *key)
{
    struct entry found;

    cr_assert(not(write_set_get(set, 1, slice_of(key), key_hash(1, slice_of(key)), &found)));
}

static struct iter *new_iter(struct write_set *set)
{
    struct iter *it;

    assert_ok(write_set_iter_new(set, &it));
    return it;
}

// That a cursor shows `expected`, as "key=value ..." with "-" for a tombstone.
static void assert_shows(struct iter *it, const char *expected)
{
    char shown[256] = "";

    for (assert_ok(iter_first(it)); it->is_valid; iter_next(it)) {
        strncat(shown, it->entry.key.data, it->entry.key.size);
        strcat(shown, "=");
        if (it->entry.kind == ENTRY_DELETE)
            strcat(shown, "-");
        strncat(shown, it->entry.value.data, it->entry.value.size);
        strcat(shown, " ");
        cr_assert(eq(u64, it->entry.ts, TS_MAX));
    }
    cr_assert(eq(str, shown, (char *)expected));
}

Test(write_set, a_new_one_is_empty)
{
    struct write_set *set = new_set();
    struct iter *it = new_iter(set);

    cr_assert(write_set_is_empty(set));
    cr_assert(eq(u64, write_set_bytes(set), 0));
    assert_absent(set, "key");
    assert_shows(it, "");
    assert_ok(iter_last(it));
    cr_assert(not(it->is_valid));
    iter_close(it);
    write_set_free(set);
    write_set_free(NULL);
}

Test(write_set, the_last_write_of_a_key_counts)
{
    struct write_set *set = new_set();
    struct entry found;
    struct iter *it;

    put(set, "b", "one");
    put(set, "a", "two");
    put(set, "b", "three");
    put(set, "c", "four");
    put(set, "c", NULL);
    assert_value(set, "b", "three");
    cr_assert(write_set_get(set, 1, slice_of("c"), key_hash(1, slice_of("c")), &found));
    cr_assert(eq(u8, found.kind, ENTRY_DELETE));
    cr_assert(not(write_set_is_empty(set)));
    cr_assert(eq(u64, write_set_bytes(set), 4 + 6 + 1)); // what would be committed
    it = new_iter(set);
    assert_shows(it, "a=two b=three c=- ");
    iter_close(it);
    write_set_free(set);
}

Test(write_set, what_would_exceed_the_limit_is_refused)
{
    struct write_set *set = new_set();
    const struct entry entry = entry_of(1, "key", "value");
    const struct entry longer = entry_of(1, "key", "longer value");
    const struct entry other = entry_of(1, "yek", "value");
    const uint64_t hash = key_hash(1, entry.key);

    assert_ok(write_set_add(set, &entry, hash, 8));
    assert_ok(write_set_add(set, &entry, hash, 8)); // takes the place of the former
    cr_assert(eq(int, write_set_add(set, &other, key_hash(1, other.key), 15), LSM_INVALID));
    cr_assert(strstr(lsm_errmsg(), "16") != NULL && strstr(lsm_errmsg(), "15") != NULL, "%s",
              lsm_errmsg());
    cr_assert(eq(int, write_set_add(set, &longer, hash, 14), LSM_INVALID));
    cr_assert(eq(u64, write_set_bytes(set), 8));
    assert_value(set, "key", "value");
    assert_absent(set, "yek");
    assert_ok(write_set_add(set, &longer, hash, 15));
    cr_assert(eq(u64, write_set_bytes(set), 15));
    write_set_free(set);
}

// --- size and memory ---

#define LARGE_SIZE 100000

static void put_large(struct write_set *set, const char *key)
{
    static char bytes[LARGE_SIZE];
    struct entry entry = entry_of(1, key, "");

    entry.value = slice_make(bytes, sizeof bytes);
    assert_ok(write_set_add(set, &entry, key_hash(1, entry.key), 20 * LARGE_SIZE));
}

Test(write_set, what_is_rolled_back_counts_for_nothing)
{
    struct write_set *set = new_set();

    put(set, "a", "1");
    for (int i = 0; i < 500; i++) {
        assert_ok(write_set_savepoint(set));
        put_large(set, "a");
        put_large(set, "b");
        assert_ok(write_set_rollback(set, 0));
        write_set_release(set, 0);
        cr_assert(eq(u64, write_set_bytes(set), 2));
        cr_assert(lt(sz, write_set_used(set), 8 * LARGE_SIZE));
    }
    assert_value(set, "a", "1");
    assert_absent(set, "b");
    write_set_free(set);
}

Test(write_set, rewriting_a_key_takes_the_place_of_one)
{
    struct write_set *set = new_set();
    struct iter *it = NULL;

    for (int i = 0; i < 500; i++) {
        put_large(set, "a");
        cr_assert(eq(u64, write_set_bytes(set), 1 + LARGE_SIZE));
        cr_assert(lt(sz, write_set_used(set), 8 * LARGE_SIZE));
        if (i == 250)
            it = new_iter(set); // that one is open is no reason to keep what comes later
    }
    assert_ok(iter_first(it));
    cr_assert(it->is_valid && it->entry.value.size == LARGE_SIZE);
    iter_close(it);
    write_set_free(set);
}

// An outer savepoint brings one version back, however often inner ones come and go.
Test(write_set, savepoints_keep_what_they_bring_back_and_no_more)
{
    struct write_set *set = new_set();

    put_large(set, "a");
    put(set, "b", "old");
    assert_ok(write_set_savepoint(set));
    for (int i = 0; i < 500; i++) {
        assert_ok(write_set_savepoint(set));
        put_large(set, "a");
        put(set, "b", "new");
        write_set_release(set, 1);
        cr_assert(eq(u64, write_set_bytes(set), 1 + LARGE_SIZE + 4));
        cr_assert(lt(sz, write_set_used(set), 12 * LARGE_SIZE));
    }
    assert_ok(write_set_rollback(set, 0));
    assert_value(set, "b", "old");
    cr_assert(eq(u64, write_set_bytes(set), 1 + LARGE_SIZE + 4));
    write_set_free(set);
}

Test(write_set, savepoints_that_keep_more_than_the_limit_are_to_be_released)
{
    struct write_set *set = new_set();
    const struct entry entry = entry_of(1, "b", "value");
    const uint64_t hash = key_hash(1, entry.key);

    put_large(set, "a");
    for (int i = 0; i < 5; i++) {
        assert_ok(write_set_savepoint(set));
        put_large(set, "a");
    }
    cr_assert(eq(int, write_set_add(set, &entry, hash, 4 * LARGE_SIZE), LSM_INVALID));
    cr_assert(strstr(lsm_errmsg(), "savepoints") != NULL, "%s", lsm_errmsg());
    assert_absent(set, "b");
    write_set_release(set, 2);
    assert_ok(write_set_add(set, &entry, hash, 4 * LARGE_SIZE));
    assert_ok(write_set_rollback(set, 1));
    assert_absent(set, "b");
    cr_assert(eq(u64, write_set_bytes(set), 1 + LARGE_SIZE));
    write_set_free(set);
}

// Each is hidden from those who look for the key; between them stands what stays.
Test(write_set, versions_rolled_back_one_by_one_do_not_add_up_for_who_reads_their_key)
{
    const struct ikey front = {.keyspace = 1, .key = slice_of("k"), .ts = TS_MAX};
    struct write_set *set = new_set();
    struct iter *it;
    char key[24];

    for (int i = 0; i < 20000; i++) {
        assert_ok(write_set_savepoint(set));
        put(set, "k", "undone");
        assert_ok(write_set_rollback(set, 0));
        write_set_release(set, 0);
        snprintf(key, sizeof key, "other %d", i);
        put(set, key, "stays");
        if (i % 16 == 0)
            assert_absent(set, "k"); // the square of their number, were they passed each time
    }
    it = new_iter(set);
    assert_ok(iter_seek(it, &front));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("other 0")));
    iter_close(it);
    write_set_free(set);
}

Test(write_set, rolling_back_brings_the_former_values_back)
{
    struct write_set *set = new_set();
    struct iter *it;

    put(set, "a", "old");
    assert_ok(write_set_savepoint(set));
    put(set, "a", "new");
    put(set, "b", "new");
    assert_ok(write_set_rollback(set, 0));
    assert_value(set, "a", "old");
    assert_absent(set, "b");
    put(set, "b", "newer");
    assert_value(set, "b", "newer");
    it = new_iter(set);
    assert_shows(it, "a=old b=newer ");
    iter_close(it);
    write_set_free(set);
}

Test(write_set, rolling_back_to_the_begin_leaves_nothing)
{
    struct write_set *set = new_set();

    assert_ok(write_set_savepoint(set));
    put(set, "a", "1");
    assert_ok(write_set_rollback(set, 0));
    cr_assert(write_set_is_empty(set));
    put(set, "a", "2");
    cr_assert(not(write_set_is_empty(set)));
    assert_ok(write_set_rollback(set, 0));
    cr_assert(write_set_is_empty(set));
    assert_absent(set, "a");
    write_set_free(set);
}

Test(write_set, stretches_that_were_rolled_back_apart_stay_hidden)
{
    struct write_set *set = new_set();

    put(set, "a", "1");
    assert_ok(write_set_savepoint(set));
    put(set, "a", "2");
    assert_ok(write_set_rollback(set, 0));
    put(set, "a", "3");
    assert_ok(write_set_savepoint(set));
    put(set, "a", "4");
    assert_ok(write_set_rollback(set, 1));
    assert_value(set, "a", "3");
    assert_ok(write_set_rollback(set, 1)); // nothing to do
    assert_value(set, "a", "3");
    assert_ok(write_set_rollback(set, 0));
    assert_value(set, "a", "1");
    write_set_free(set);
}

Test(write_set, a_cursor_does_not_see_later_writes)
{
    struct write_set *set = new_set();
    struct iter *it;

    put(set, "b", "old");
    it = new_iter(set);
    put(set, "a", "new");
    put(set, "b", "new");
    put(set, "c", "new");
    assert_shows(it, "b=old ");
    assert_ok(iter_last(it));
    cr_assert(slice_equal(it->entry.value, slice_of("old")));
    iter_close(it);
    write_set_free(set);
}

Test(write_set, a_cursor_loses_sight_of_what_is_rolled_back)
{
    struct write_set *set = new_set();
    struct iter *it;

    put(set, "a", "1");
    assert_ok(write_set_savepoint(set));
    put(set, "b", "2");
    put(set, "a", "3");
    it = new_iter(set);
    assert_shows(it, "a=3 b=2 ");
    assert_ok(write_set_rollback(set, 0));
    assert_shows(it, "a=1 ");
    iter_close(it);
    write_set_free(set);
}

// Entries lie at TS_MAX: newer than all that is committed, so a target at a
// timestamp below lies behind the entry of its key.
Test(write_set, a_seek_orders_its_target_behind_the_newest)
{
    struct write_set *set = new_set();
    struct iter *it;

    put(set, "a", "1");
    put(set, "b", "2");
    it = new_iter(set);
    assert_ok(iter_seek(it, &(struct ikey){.keyspace = 1, .key = slice_of("a"), .ts = TS_MAX}));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("a")));
    assert_ok(iter_seek(it, &(struct ikey){.keyspace = 1, .key = slice_of("a"), .ts = 9}));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("b")));
    assert_ok(
        iter_seek_for_prev(it, &(struct ikey){.keyspace = 1, .key = slice_of("b"), .ts = TS_MAX}));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("b")));
    assert_ok(iter_seek_for_prev(it, &(struct ikey){.keyspace = 1, .key = slice_of("b"), .ts = 0}));
    cr_assert(it->is_valid && slice_equal(it->entry.key, slice_of("b")));
    iter_close(it);
    write_set_free(set);
}

Test(write_set, without_memory_nothing_changes)
{
    struct write_set *set = NULL;
    struct iter *it = NULL;
    lsm_status status;

    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH({
        status = write_set_new(&set);
        if (alloc_fault_was_hit())
            cr_assert(eq(int, status, LSM_NO_MEMORY));
    });
    for (uint64_t i = 0; i < 2000; i++) {
        const struct entry entry = entry_of((uint32_t)i % 5, "a key", "and a value to go with it");
        const uint64_t bytes = write_set_bytes(set);

        alloc_fault_at(1, true);
        status = write_set_add(set, &entry, key_hash(entry.keyspace, entry.key), NO_LIMIT);
        alloc_fault_at(0, false);
        if (status != LSM_OK) {
            cr_assert(eq(int, status, LSM_NO_MEMORY));
            cr_assert(eq(u64, write_set_bytes(set), bytes));
            assert_ok(write_set_add(set, &entry, key_hash(entry.keyspace, entry.key), NO_LIMIT));
        }
    }
    alloc_fault_at(1, true);
    cr_assert(eq(int, write_set_savepoint(set), LSM_NO_MEMORY));
    alloc_fault_at(0, false);
    assert_ok(write_set_savepoint(set));
    put(set, "undone", "not yet");
    alloc_fault_at(1, true);
    cr_assert(eq(int, write_set_rollback(set, 0), LSM_NO_MEMORY));
    alloc_fault_at(0, false);
    assert_value(set, "undone", "not yet");
    ALLOC_FAULT_EACH({
        status = write_set_iter_new(set, &it);
        if (alloc_fault_was_hit())
            cr_assert(eq(int, status, LSM_NO_MEMORY));
    });
    iter_close(it);
    write_set_free(set);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

// --- against a model ---

#define MODEL_KEYS       12
#define MODEL_OPERATIONS 20000
#define MODEL_SAVEPOINTS 6
#define MODEL_VALUE_MAX  3000

// Every operation with whether it has been rolled back. Keys are one letter in one
// of two keyspaces, in the order of their numbers.
struct model {
    uint8_t keys[MODEL_OPERATIONS + 1];
    bool is_hidden[MODEL_OPERATIONS + 1];
    uint64_t last;
    uint64_t marks[MODEL_SAVEPOINTS];
    size_t mark_count;
};

// A value begins with the number of its operation and has a length that follows from it.
static lsm_slice model_value(uint64_t operation, uint8_t bytes[MODEL_VALUE_MAX])
{
    memset(bytes, (int)operation, MODEL_VALUE_MAX);
    memcpy(bytes, &operation, sizeof operation);
    return slice_make(bytes,
                      sizeof operation + operation * 977 % (MODEL_VALUE_MAX - sizeof operation));
}

static uint32_t model_keyspace(unsigned key)
{
    return key < MODEL_KEYS / 2 ? 3 : 4;
}

static lsm_slice model_key(unsigned key)
{
    static const char letters[] = "abcdef";

    return slice_make(&letters[key % (MODEL_KEYS / 2)], 1);
}

// The operation that `key` shows to a cursor made at `until`; 0 for none.
static uint64_t model_get(const struct model *model, unsigned key, uint64_t until)
{
    for (uint64_t i = until; i > 0; i--) {
        if (model->keys[i] == key && !model->is_hidden[i])
            return i;
    }
    return 0;
}

static void model_put(struct model *model, struct write_set *set, unsigned key)
{
    const uint64_t operation = ++model->last;
    uint8_t bytes[MODEL_VALUE_MAX];
    struct entry entry = {.keyspace = model_keyspace(key),
                          .kind = ENTRY_VALUE,
                          .key = model_key(key),
                          .value = model_value(operation, bytes)};

    entry.head = slice_head(entry.key);
    model->keys[operation] = (uint8_t)key;
    model->is_hidden[operation] = false;
    assert_ok(write_set_add(set, &entry, key_hash(entry.keyspace, entry.key), NO_LIMIT));
}

static void model_rollback(struct model *model, struct write_set *set, size_t savepoint)
{
    for (uint64_t i = model->marks[savepoint] + 1; i <= model->last; i++)
        model->is_hidden[i] = true;
    model->mark_count = savepoint + 1;
    assert_ok(write_set_rollback(set, savepoint));
}

// Makes a savepoint, rolls back to one, or releases one.
static void model_turn(struct model *model, struct write_set *set, struct random *random)
{
    const bool is_full = model->mark_count == MODEL_SAVEPOINTS;

    if (model->mark_count == 0 || (!is_full && random_one_in(random, 2))) {
        model->marks[model->mark_count++] = model->last;
        assert_ok(write_set_savepoint(set));
    } else if (random_one_in(random, 3)) {
        model->mark_count = random_below(random, model->mark_count);
        write_set_release(set, model->mark_count);
    } else {
        model_rollback(model, set, random_below(random, model->mark_count));
    }
    cr_assert(eq(sz, write_set_savepoint_count(set), model->mark_count));
}

static void assert_is_of(lsm_slice value, uint64_t operation)
{
    uint8_t bytes[MODEL_VALUE_MAX];

    cr_assert(slice_equal(value, model_value(operation, bytes)));
}

static void assert_shows_operation(const struct iter *it, unsigned key, uint64_t operation)
{
    cr_assert(it->is_valid);
    cr_assert(eq(u32, it->entry.keyspace, model_keyspace(key)));
    cr_assert(slice_equal(it->entry.key, model_key(key)));
    assert_is_of(it->entry.value, operation);
}

// The nearest key from `key` on, in steps of `step`, that shows something. Keys
// outside the model end the search.
static unsigned model_settle(const struct model *model, unsigned key, unsigned step, uint64_t until)
{
    while (key < MODEL_KEYS && model_get(model, key, until) == 0)
        key += step;
    return key;
}

static void check_at(const struct model *model, const struct iter *it, unsigned key, uint64_t until)
{
    if (key < MODEL_KEYS)
        assert_shows_operation(it, key, model_get(model, key, until));
    else
        cr_assert(not(it->is_valid));
}

static void check_cursor(const struct model *model, struct random *random, struct iter *it,
                         uint64_t until)
{
    unsigned key = (unsigned)random_below(random, MODEL_KEYS);
    struct ikey place = {.keyspace = model_keyspace(key), .key = model_key(key), .ts = TS_MAX};

    if (random_one_in(random, 2)) {
        assert_ok(iter_seek(it, &place));
        key = model_settle(model, key, 1, until);
    } else {
        assert_ok(iter_seek_for_prev(it, &place));
        key = model_settle(model, key, -1u, until);
    }
    check_at(model, it, key, until);
    for (int i = 0; i < 6 && it->is_valid; i++) {
        const unsigned step = random_one_in(random, 2) ? 1 : -1u;

        assert_ok(step == 1 ? iter_next(it) : iter_prev(it));
        key = model_settle(model, key + step, step, until);
        check_at(model, it, key, until);
    }
}

static void check_get(const struct model *model, struct write_set *set, unsigned key)
{
    const uint64_t operation = model_get(model, key, model->last);
    const lsm_slice bytes = model_key(key);
    const uint32_t keyspace = model_keyspace(key);
    struct entry found;

    cr_assert(eq(int, write_set_get(set, keyspace, bytes, key_hash(keyspace, bytes), &found),
                 operation != 0));
    if (operation != 0)
        assert_is_of(found.value, operation);
}

// That the set is as large as what it would commit, and its memory in proportion to that and to
// what savepoints could bring back.
static void check_size(const struct model *model, const struct write_set *set)
{
    uint8_t bytes[MODEL_VALUE_MAX];
    uint64_t live = 0;

    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        const uint64_t operation = model_get(model, key, model->last);

        if (operation != 0)
            live += 1 + model_value(operation, bytes).size;
    }
    cr_assert(eq(u64, write_set_bytes(set), live));
    cr_assert(eq(int, write_set_is_empty(set), live == 0));
    cr_assert(
        le(sz, write_set_used(set), 4 * (MODEL_SAVEPOINTS + 1) * MODEL_KEYS * MODEL_VALUE_MAX));
}

Test(write_set, random_writes_and_rollbacks_match_a_list_of_operations)
{
    static struct model model;
    struct random random = random_for_test(__func__);
    struct write_set *set = new_set();
    struct iter *it = new_iter(set);
    uint64_t made_at = 0;

    while (model.last < MODEL_OPERATIONS) {
        if (random_one_in(&random, 8))
            model_turn(&model, set, &random);
        else
            model_put(&model, set, (unsigned)random_below(&random, MODEL_KEYS));
        check_get(&model, set, (unsigned)random_below(&random, MODEL_KEYS));
        check_size(&model, set);
        if (random_one_in(&random, 40)) {
            iter_close(it);
            it = new_iter(set);
            made_at = model.last;
        }
        check_cursor(&model, &random, it, made_at);
    }
    iter_close(it);
    write_set_free(set);
}
