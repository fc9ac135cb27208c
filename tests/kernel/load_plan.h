// load_plan.h -- what each attempt of a load does, computed from its numbers alone.
//
// A *life* is what one process does to a database between opening it and its end. Each of its
// threads makes attempts 0, 1, 2, ...; the plan of an attempt follows from the seed, the life,
// the thread and the attempt's number, so that whoever knows which attempts are in a database,
// and in which order, knows every byte of it.
//
// Keys live in slots of three stores: keyspaces "default" and "twin", and a keyspace that is
// made and dropped again and again. The first slots of "default" and "twin" are pairs, always
// changed together. Each commit also puts a record under its own numbers into keyspace
// "journal": that is how a check learns which commits are there, and, by the records'
// timestamps, in which order they came.

#ifndef LSM_TESTS_KERNEL_LOAD_PLAN_H
#define LSM_TESTS_KERNEL_LOAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "lsmkv.h"

#define THREADS_MAX    8
#define SLOTS          256 // per store
#define PAIRS          32  // the first slots of main and twin
#define COUNTERS       6
#define CHANGES_MAX    24
#define VALUE_SIZE_MAX (400u << 10)
#define KEY_TEXT_MAX   64

enum store {
    STORE_MAIN,
    STORE_TWIN,
    STORE_TEMP, // its keyspace is named by temp_name()
    STORE_COUNT
};

enum plan_kind {
    PLAN_PUT,   // the journal's record alone, by a one-shot call, with a long value
    PLAN_BATCH, // changes and record in a batch
    PLAN_TXN,   // in a transaction, which adds to counters as well
    PLAN_TRIM,  // deletes the journal of earlier lives
    PLAN_CREATE,
    PLAN_DROP,
    PLAN_FLUSH,
    PLAN_COMPACT,
    PLAN_SYNC,
};

struct attempt_id {
    uint32_t life;
    uint32_t thread;
    uint32_t number;
};

struct change {
    enum store store;
    uint32_t slot;
    uint32_t size; // of the value; 0: the key is deleted
};

struct plan {
    enum plan_kind kind;
    bool is_sync;  // waits for the device
    bool is_async; // lsm_commit_async()
    bool is_serializable;
    bool is_conditional;    // PLAN_PUT: only if absent
    uint32_t record_size;   // of the journal's value
    uint32_t counter_count; // the counters to add 1 to are `counter`, `counter` + 1, ...
    uint32_t counter;
    uint32_t change_count;
    struct change changes[CHANGES_MAX];
};

// The last of `threads` threads keeps house: it makes and drops keyspaces, flushes, compacts.
struct plan plan_of(uint64_t seed, struct attempt_id id, uint32_t threads);

// Whether the attempt leaves a record in the journal.
bool plan_commits(const struct plan *plan);

// Which of the thread's keyspaces, from 0, the attempt of the housekeeper works on.
uint32_t temp_generation(uint32_t number);
lsm_slice temp_name(uint32_t life, uint32_t generation, char text[KEY_TEXT_MAX]);
bool temp_parse(const char *name, uint32_t *life, uint32_t *generation);

lsm_slice slot_key(uint32_t slot, char text[KEY_TEXT_MAX]);
// False when `key` is none of slot_key()'s.
bool slot_parse(lsm_slice key, uint32_t *slot);
lsm_slice counter_key(uint32_t counter, char text[KEY_TEXT_MAX]);
bool counter_parse(lsm_slice key, uint32_t *counter);
lsm_slice journal_key(struct attempt_id id, char text[KEY_TEXT_MAX]);
bool journal_parse(lsm_slice key, struct attempt_id *id);

// Which attempt put a value, and where: its first bytes. The rest follows from them.
#define STAMP_SIZE 24u
#define SLOT_NONE  UINT32_MAX // a record of the journal

struct stamp {
    struct attempt_id id;
    uint32_t store;
    uint32_t slot;
    uint32_t size;
};

// Writes the value of `stamp`, stamp.size bytes (at least STAMP_SIZE), to `bytes`.
lsm_slice value_make(struct stamp stamp, uint8_t *bytes);
// Whether `value` is what value_make() makes of the stamp in front of it.
bool value_is_whole(lsm_slice value, struct stamp *stamp);
bool stamps_equal(struct stamp a, struct stamp b);

#endif
