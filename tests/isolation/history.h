// history.h -- recorded events as transactions: what each read of others and left behind.
//
// Reads of a transaction's own writes, and repeated reads, are compared here and dropped; what
// stays are the versions of other transactions that it saw.

#ifndef LSM_TESTS_ISOLATION_HISTORY_H
#define LSM_TESTS_ISOLATION_HISTORY_H

#include "isolation/findings.h"
#include "isolation/recorder.h"
#include "isolation/vector.h"

#define NONE SIZE_MAX

enum outcome {
    OUTCOME_ABORTED,
    OUTCOME_COMMITTED,
    OUTCOME_UNKNOWN,
};

struct txn {
    uint32_t thread;
    uint32_t number; // in its thread
    enum level level;
    enum outcome outcome;
    uint64_t begin_ns;
    uint64_t end_ns;    // UINT64_MAX: not known to have ended
    uint64_t read_ts;   // 0: not known
    uint64_t commit_ts; // 0: not known
    size_t first_read;
    size_t read_count;
    size_t first_write;
    size_t write_count;
};

struct txn_read {
    uint32_t key;
    bool is_list;
    bool is_predicate; // seen by a scan
    uint64_t value;    // of a register; 0: absent
    size_t first;      // of a list: index among the history's elements
    size_t size;
};

enum fate {
    FATE_FINAL,
    FATE_INTERMEDIATE, // overwritten, or appended to, by the same transaction
    FATE_UNDONE,       // by rolling back to a savepoint
};

struct txn_write {
    uint32_t key;
    bool is_append;
    enum fate fate;
    uint64_t value; // 0: a deletion
    size_t txn;
};

struct counted {
    uint32_t key;
    uint64_t value;
    size_t txn;
};

// The timestamp of a version, as an iterator told it.
struct seen_ts {
    uint32_t key;
    uint64_t value;
    uint64_t ts;
};

struct history {
    struct {
        VECTOR(struct txn);
    } txns;
    struct {
        VECTOR(struct txn_read);
    } reads;
    struct {
        VECTOR(struct txn_write);
    } writes;
    struct {
        VECTOR(uint64_t);
    } elements;
    struct {
        VECTOR(struct counted);
    } counted;
    struct {
        VECTOR(struct seen_ts);
    } seen;
    uint32_t key_limit; // above every key

    size_t *write_slots; // hash table of indexes of writes; by history_index()
    size_t write_slot_mask;
};

// Adds what `recorder` holds, as of thread `thread`.
void history_read(struct history *history, const struct recorder *recorder, uint32_t thread,
                  struct findings *findings);
void history_release(struct history *history);

// After the last history_read(). Two writes of one value are a finding.
void history_index(struct history *history, struct findings *findings);
// The write of `value` (not 0) to `key`, or NONE.
size_t history_find_write(const struct history *history, uint32_t key, uint64_t value);

// "T12 (thread 3, number 7, snapshot)"
struct txn_words {
    char text[80];
};

struct txn_words txn_in_words(const struct history *history, size_t txn);

#endif
