// ledger.h -- what a load may have left behind, kept outside the process that ran it.
//
// A ledger lives in memory shared by the process under load and the one that checks. For each
// attempt the load notes that it has begun, and how it ended, around the call of the library:
// so that, wherever the process or the machine dies, what was acknowledged is known. A check
// reads a database and holds it against that:
//
//   - every attempt that was acknowledged, and had to survive, is there;
//   - none is there that had not begun, or was reported as failed;
//   - no commit is missing below one that is there: timestamps have no gap;
//   - every key, value and timestamp is that of exactly these commits, in their order.

#ifndef LSM_TESTS_KERNEL_LEDGER_H
#define LSM_TESTS_KERNEL_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/load_plan.h"
#include "lsmkv.h"

#define ATTEMPTS_MAX 8192 // per thread and life
#define TROUBLE_MAX  1024

enum outcome {
    OUTCOME_NONE,
    OUTCOME_STARTED, // may or may not be there
    OUTCOME_OK,
    OUTCOME_FAILED, // must not be there
};

// Written by the thread of the load; a checker reads it when that thread has ended, or between
// any two of its steps.
struct attempt {
    _Atomic uint32_t outcome;
    _Atomic uint64_t ts;         // of a transaction that was acknowledged; else 0
    _Atomic uint64_t started_at; // position of the device's write log before the call
    _Atomic uint64_t acked_at;   // and behind it
};

// What a slot holds: the stamp of its value, size 0 when nothing.
struct slot {
    struct stamp stamp;
    uint64_t ts;
};

struct model {
    struct slot slots[STORE_COUNT][SLOTS];
    uint64_t counters[COUNTERS];
    uint32_t temp_generation; // that the temp slots are of
    uint64_t journal_count;   // records of lives before the one that runs
    uint64_t journal_hash;
};

struct ledger {
    uint64_t seed;
    uint32_t life;
    uint32_t threads;          // writers, then the housekeeper
    _Atomic uint64_t position; // of the device's write log; stays 0 where there is none
    _Atomic bool is_loading;   // the database is open, threads run
    _Atomic uint64_t acked;    // in this life, to see that something happens
    _Atomic uint64_t ended[LSM_UNSUPPORTED + 1]; // attempts of this life by status
    _Atomic bool is_in_trouble;                  // guards `trouble`
    char trouble[TROUBLE_MAX];                   // "" or the first thing found wrong
    struct model model;                          // before this life
    struct attempt attempts[THREADS_MAX][ATTEMPTS_MAX];
};

// How the load was cut short.
struct cut {
    bool is_power;    // else the process died, and all that was acknowledged is there
    bool is_rough;    // writes failed: commits took timestamps with them, drops are undecided
    uint64_t durable; // records of the write log that the image has all of
    uint64_t last;    // and behind the last record that it can have anything of
};

// In shared anonymous memory. Exits when there is none.
struct ledger *ledger_new(uint64_t seed, uint32_t threads);
void ledger_free(struct ledger *ledger);

// Notes the first trouble; later ones are dropped. Returns false. Any thread and process.
bool ledger_trouble(struct ledger *ledger, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void ledger_start(struct ledger *ledger, struct attempt_id id);
// `ts` 0: not known.
void ledger_settle(struct ledger *ledger, struct attempt_id id, lsm_status status, uint64_t ts);

// Checks all of `db` against the life that was cut. True: right, and `*after` is the state that
// was found. False: ledger->trouble tells.
bool ledger_check(struct ledger *ledger, lsm_db *db, const struct cut *cut, struct model *after);

// The next life begins from `model`.
void ledger_next_life(struct ledger *ledger, const struct model *model);

#endif
