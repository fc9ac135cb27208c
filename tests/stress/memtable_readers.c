// memtable_readers.c -- readers at published timestamps while one thread inserts.
//
// Timestamp t writes key number t * STRIDE modulo KEYS, so every reader can compute
// which version of a key it has to find at any timestamp that has been published.

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "env/sync.h"
#include "memtable/memtable.h"
#include "support/random.h"

#define KEYS        1024u // a power of two
#define STRIDE      389u  // odd, so that each KEYS timestamps write each key once
#define VERSIONS    60u
#define LAST_TS     (KEYS * VERSIONS)
#define READERS     3
#define HASHES      32 // few, for long chains in the index
#define KEYSPACES   3
#define KEY_SIZE    8
#define WALK_LENGTH 64

static struct memtable *mem;
static _Atomic uint64_t published;

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// Consecutive numbers spread over keyspaces and are in order within each.
static uint32_t keyspace_of(uint32_t number)
{
    return number * KEYSPACES / KEYS;
}

static lsm_slice key_of(uint32_t number, char *to)
{
    snprintf(to, KEY_SIZE + 1, "%08u", number);
    return slice_make(to, KEY_SIZE);
}

static uint64_t hash_of(uint32_t number)
{
    return number % HASHES;
}

// The newest timestamp at or before `ts` that wrote the key; 0 when there is none.
static uint64_t version_at(uint32_t number, uint64_t ts)
{
    while (ts > 0 && (uint32_t)(ts * STRIDE) % KEYS != number)
        ts--;
    return ts;
}

static void insert_all(void)
{
    for (uint64_t ts = 1; ts <= LAST_TS; ts++) {
        const uint32_t number = (uint32_t)(ts * STRIDE) % KEYS;
        char key[KEY_SIZE + 1];
        struct entry entry = {.keyspace = keyspace_of(number),
                              .kind = ENTRY_VALUE,
                              .ts = ts,
                              .key = key_of(number, key)};

        entry.head = slice_head(entry.key);
        entry.value = slice_make(&ts, sizeof ts);
        check(memtable_reserve(mem, 1, KEY_SIZE + sizeof ts, 1) == LSM_OK);
        memtable_insert(mem, &entry, hash_of(number));
        // Release: pairs with the acquire in read_some().
        atomic_store_explicit(&published, ts, memory_order_release);
    }
}

static void check_get(uint32_t number, uint64_t ts)
{
    const uint64_t expected = version_at(number, ts);
    char key[KEY_SIZE + 1];
    const struct ikey place = {
        .keyspace = keyspace_of(number), .key = key_of(number, key), .ts = ts};
    struct entry found;
    uint64_t value;

    check(memtable_get(mem, &place, hash_of(number), &found) == (expected != 0));
    if (expected == 0)
        return;
    check(found.ts == expected && slice_equal(found.key, place.key));
    check(found.value.size == sizeof value);
    memcpy(&value, found.value.data, sizeof value);
    check(value == expected);
}

// From key `number` on, each key in turn shows the version expected at `ts`.
static void check_forward(struct iter *it, uint32_t number, uint64_t ts)
{
    char key[KEY_SIZE + 1];
    struct ikey place = {.keyspace = keyspace_of(number), .key = key_of(number, key), .ts = ts};

    check(iter_seek(it, &place) == LSM_OK);
    for (int i = 0; i < WALK_LENGTH && number < KEYS; i++, number++) {
        const uint64_t expected = version_at(number, ts);

        if (expected == 0)
            continue;
        place.key = key_of(number, key);
        while (it->is_valid && (it->entry.ts > ts || slice_compare(it->entry.key, place.key) < 0))
            check(iter_next(it) == LSM_OK);
        check(it->is_valid && slice_equal(it->entry.key, place.key) && it->entry.ts == expected);
    }
}

// Backwards a key shows its oldest version first.
static void check_backward(struct iter *it, uint32_t number, uint64_t ts)
{
    char key[KEY_SIZE + 1];
    struct ikey place = {.keyspace = keyspace_of(number), .key = key_of(number, key), .ts = 0};

    check(iter_seek_for_prev(it, &place) == LSM_OK);
    for (int i = 0; i < WALK_LENGTH && number > 0; i++, number--) {
        const uint64_t expected = version_at(number, ts);
        uint64_t newest = 0; // at or before `ts`
        uint64_t last = 0;

        place.key = key_of(number, key);
        while (it->is_valid && slice_equal(it->entry.key, place.key)) {
            check(it->entry.ts > last);
            last = it->entry.ts;
            if (last <= ts)
                newest = last;
            check(iter_prev(it) == LSM_OK);
        }
        check(newest == expected);
    }
}

static void read_some(void *ctx)
{
    struct random random = {.state = (uint64_t)(uintptr_t)ctx};
    struct iter *it;
    uint64_t ts;

    check(memtable_iter_new(mem, &it) == LSM_OK);
    do {
        ts = atomic_load_explicit(&published, memory_order_acquire);
        for (int i = 0; i < 20; i++) {
            check_get((uint32_t)random_below(&random, KEYS), ts);
            check_get((uint32_t)random_below(&random, KEYS), random_below(&random, ts + 1));
        }
        check_forward(it, (uint32_t)random_below(&random, KEYS), ts);
        check_backward(it, (uint32_t)random_below(&random, KEYS), ts);
    } while (ts < LAST_TS);
    iter_close(it);
}

int main(void)
{
    struct thread readers[READERS];

    check(memtable_new(1 << 20, &mem) == LSM_OK);
    for (uintptr_t i = 0; i < READERS; i++)
        check(thread_start(&readers[i], "reader", read_some, (void *)(i + 1)) == LSM_OK);
    insert_all();
    for (int i = 0; i < READERS; i++)
        thread_join(&readers[i]);
    check(memtable_count(mem) == LAST_TS);
    memtable_free(mem);
    return 0;
}
