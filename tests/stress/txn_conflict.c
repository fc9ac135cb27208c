// txn_conflict.c -- checks of points and ranges while the role notes commits.
//
// Timestamp t writes key number t * STRIDE modulo KEYS. A check of commits that had
// been published finds each conflict, though entries and segments are taken from
// under it all the time. (It may find false ones: no tree stands behind it.)

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "support/random.h"
#include "txn/conflict.h"

#define KEYS     16384u // a power of two, more than the table holds
#define STRIDE   7919u
#define LAST_TS  200000u
#define READERS  3
#define KEY_SIZE 8
#define AGE_MAX  3000 // of a check, in commits

static struct conflict_history *history;
static _Atomic uint64_t published;
static _Atomic uint64_t passed; // checks

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static lsm_slice key_of(uint32_t number, char *to)
{
    snprintf(to, KEY_SIZE + 1, "%08u", number);
    return slice_make(to, KEY_SIZE);
}

static void commit_all(void)
{
    for (uint64_t ts = 1; ts <= LAST_TS; ts++) {
        char key[KEY_SIZE + 1];
        struct conflict_write write = {.key = key_of((uint32_t)(ts * STRIDE) % KEYS, key)};

        write.hash = key_hash(0, write.key);
        conflict_history_add(history, ts, &write, 1);
        // Release: pairs with the acquire in check_some().
        atomic_store_explicit(&published, ts, memory_order_release);
    }
}

// Whether a commit in (after, up_to] wrote a key from `low` to `high`.
static bool was_written(uint32_t low, uint32_t high, uint64_t after, uint64_t up_to)
{
    for (uint64_t ts = after + 1; ts <= up_to; ts++) {
        const uint32_t number = (uint32_t)(ts * STRIDE) % KEYS;

        if (number >= low && number <= high)
            return true;
    }
    return false;
}

static void check_one(uint32_t low, uint32_t high, bool is_point, uint64_t after, uint64_t up_to)
{
    char low_key[KEY_SIZE + 1];
    char high_key[KEY_SIZE + 1];
    const lsm_slice first = key_of(low, low_key);
    const struct read_range range = {.low = first, .high = key_of(high, high_key)};
    struct read_set *set;
    lsm_status status;

    check(read_set_new(&set) == LSM_OK);
    if (is_point)
        check(read_set_add_point(set, 0, first, key_hash(0, first)) == LSM_OK);
    else
        check(read_set_add_range(set, &range) == LSM_OK);
    check(read_set_seal(set) == LSM_OK);
    status = conflict_history_check(history, set, after, up_to, NULL);
    if (was_written(low, high, after, up_to))
        check(status == LSM_CONFLICT);
    else if (status == LSM_OK)
        atomic_fetch_add(&passed, 1);
    else
        check(status == LSM_CONFLICT);
    read_set_free(set);
}

static void check_some(void *ctx)
{
    struct random random = {.state = (uint64_t)(uintptr_t)ctx};
    uint64_t up_to;

    do {
        const uint32_t low = (uint32_t)random_below(&random, KEYS);
        uint64_t after;

        up_to = atomic_load_explicit(&published, memory_order_acquire);
        after = up_to - random_below(&random, up_to < AGE_MAX ? up_to + 1 : AGE_MAX);
        check_one(low, low, true, after, up_to);
        check_one(low, low + (uint32_t)random_below(&random, 8), false, after, up_to);
    } while (up_to < LAST_TS);
}

int main(void)
{
    struct thread readers[READERS];

    check(conflict_history_new(0, 0, &history) == LSM_OK);
    for (uintptr_t i = 0; i < READERS; i++)
        check(thread_start(&readers[i], "reader", check_some, (void *)(i + 1)) == LSM_OK);
    commit_all();
    for (int i = 0; i < READERS; i++)
        thread_join(&readers[i]);
    check(atomic_load(&passed) > 0);
    conflict_history_free(history);
    return 0;
}
