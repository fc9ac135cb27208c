// world.h -- a database over the sim and what it must hold.
//
// Every write is one commit with a number from 1, and every value tells the number of the
// commit that wrote it. Of a commit is known how it ended: one that failed is never there, one
// whose outcome is unknown may be, and the others are there up to some commit, which lies at
// or behind the last one known to be durable.

#ifndef LSM_TESTS_FAULTS_WORLD_H
#define LSM_TESTS_FAULTS_WORLD_H

#include "db/db.h"
#include "support/sim.h"

#define WORLD_DIR  "/db"
#define WORLD_KEYS 40
#define COMMIT_MAX 400

enum world_keyspace { IN_DEFAULT, IN_OTHER, KEYSPACES };

enum outcome {
    OUTCOME_WRITTEN, // acknowledged
    OUTCOME_FAILED,  // it must not be there
    OUTCOME_OPEN,    // it may or may not
};

struct commit {
    enum world_keyspace keyspace;
    unsigned generation; // of the other keyspace, when it writes there
    bool is_delete;
    unsigned key; // the first
    unsigned count;
    size_t size;
    enum outcome outcome;
};

enum existence { IS_ABSENT, IS_PRESENT, IS_EITHER };

struct history {
    struct commit commits[COMMIT_MAX + 1];
    unsigned started;
    unsigned durable;     // known to be so up to here
    unsigned generation;  // how often the other keyspace was made
    enum existence other; // whether it is there
};

// Per keyspace and key the number of the commit whose value it has, or 0.
struct content {
    unsigned numbers[KEYSPACES][WORLD_KEYS];
};

struct world {
    struct sim *sim;
    struct lsm_options options;
    lsm_db *db; // NULL: closed
    lsm_keyspace *other;
    struct history history;
    uint32_t damaged_sum; // of the copy that is salvaged
    bool is_rescued;      // that succeeded
    uint64_t rescued_count;
    bool is_file_hidden; // a file may seem not to be there, and is then damage
    char problem[1024];  // the first thing that was wrong; "" when nothing was
};

// A world on `sim`, which it takes over, with nothing open.
void world_init(struct world *w, struct sim *sim);
void world_release(struct world *w);
// A copy of the closed world on a clone of its disk.
void world_copy(const struct world *from, struct world *to);

// Notes what is wrong, unless something was wrong before.
void world_wrong(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool world_is_wrong(const struct world *w);

lsm_status world_open(struct world *w);
lsm_status world_close(struct world *w);

lsm_keyspace *world_keyspace(struct world *w, enum world_keyspace keyspace);
lsm_slice world_key(unsigned key, char text[16]); // 0 is the empty key
// Fills the value that commit `number` gives to `key`.
void world_value(unsigned number, unsigned key, uint8_t *to, size_t size);

// Begins a commit; its number is `history.started`.
struct commit *world_begin(struct world *w, const struct commit *commit);
// Notes how it ended.
lsm_status world_end(struct world *w, struct commit *commit, bool is_sync, lsm_status status);
// Everything so far is durable.
void world_all_durable(struct world *w);

// What must be seen now, in this process.
void world_expect(const struct world *w, struct content *out);
// Compares a value with the one expected; `number` 0: there should be none.
void world_check_value(struct world *w, unsigned number, unsigned key, lsm_slice value);

// Reads both keyspaces by single gets and by iterators both ways and compares: a failure of
// reading is returned, a wrong answer noted.
lsm_status world_read(struct world *w, const struct content *expected);

// After opening: finds which commits are there, and notes what is wrong with that; they are the
// whole truth from then on.
void world_check_reopened(struct world *w);

#endif
