// model.h -- the keys and values that the isolation campaign works with.
//
// Keys are numbers, in ranges by what they are; their bytes order as the numbers do, from the
// empty key for 0 on.

#ifndef LSM_TESTS_ISOLATION_MODEL_H
#define LSM_TESTS_ISOLATION_MODEL_H

#include "isolation/stage.h"
#include "support/random.h"

#define REGISTERS      96u // written, deleted, scanned
#define FIRST_PLACE    100u
#define PLACES         16u // registers that single operations put and get, never deleted
#define FIRST_QUIET    150u
#define QUIET          12u // registers that only patient transactions read and write
#define FIRST_COUNTER  200u
#define COUNTERS       4u
#define FIRST_ACCOUNT  300u
#define ACCOUNTS       24u
#define BALANCE        1000
#define FIRST_LIST     1000u
#define LISTS_OPEN     6u  // appended to at one time
#define LIST_SIZE_FULL 24u // then another one is begun

// Keys that are only written, so many that recent commits fall out of the engine's memory.
#define FIRST_NOISE 1000000u
#define NOISE       65536u

#define KEY_BYTES_MAX   16
#define VALUE_BYTES_MAX 2048

// Where the campaign's keys lie. One per process.
struct model {
    lsm_db *db;
    lsm_keyspace *lists; // the others are in the default keyspace
    struct stage *stage;
};

// Makes or opens the keyspace, and the accounts when they are not there.
void model_open(struct model *model, lsm_db *db, struct stage *stage);
void model_close(struct model *model);

static inline lsm_keyspace *model_keyspace(const struct model *model, uint32_t key)
{
    return key >= FIRST_LIST && key < FIRST_NOISE ? model->lists : NULL;
}

struct key_bytes {
    char text[KEY_BYTES_MAX];
};

// The slice borrows from `bytes`.
lsm_slice model_key(uint32_t key, struct key_bytes *bytes);
uint32_t model_key_number(const struct model *model, lsm_slice key);

// A register's value is its number and, behind it, bytes that follow from that, up to a size
// that some round's values are separated from.
struct value_bytes {
    uint8_t bytes[VALUE_BYTES_MAX];
};

lsm_slice model_value(uint64_t value, struct value_bytes *bytes);
// Complains when the bytes are not such a value.
uint64_t model_value_number(const struct model *model, lsm_slice bytes);

int64_t model_integer(const struct model *model, lsm_slice bytes);

#endif
