// crash_history.h -- what an application has asked of the database, and what it may find.
//
// Every write call is one commit, with a number from 1 in the order of commits; a value tells
// the tag of the commit that wrote it. After a crash the commits there are a prefix of those
// started, and reach at least as far as those acknowledged as durable.
//
// A single thread numbers its commits as it starts them. Where several threads commit at once
// the order is that of their timestamps, and known in the end only: until then commits are
// numbered by their starts, and history_put_in_order() tells what was known at any moment.

#ifndef LSM_TESTS_CRASH_CRASH_HISTORY_H
#define LSM_TESTS_CRASH_CRASH_HISTORY_H

#include "lsmkv.h"

#include <stdbool.h>

#define CRASH_KEYS     10
#define COMMITS_MAX    120
#define WRITES_MAX     6
#define VERSIONS_MAX   48
#define VALUE_SIZE_MIN 8

enum crash_keyspace { IN_DEFAULT, IN_OTHER, CRASH_KEYSPACES };

struct crash_write {
    uint8_t keyspace;
    uint8_t key;
    bool is_delete;
    uint32_t size; // of the value
};

enum commit_state { IS_STARTED, HAS_FAILED, IS_ACKNOWLEDGED, IS_DURABLE };

struct crash_commit {
    struct crash_write writes[WRITES_MAX];
    unsigned count;
    unsigned generation; // of the other keyspace
    unsigned tag;        // in its values; no other commit of the history ever had it
    // Only of commits that are not in order yet.
    enum commit_state state;
    uint64_t ts; // once it has succeeded
};

enum existence { IS_ABSENT, IS_PRESENT, IS_EITHER };

struct history {
    struct crash_commit commits[COMMITS_MAX + 1];
    unsigned tags; // given away
    unsigned started;
    unsigned acknowledged;
    unsigned durable;     // acknowledged as durable up to here
    unsigned generation;  // how often the other keyspace was made
    enum existence other; // whether it is there
};

// Takes the commit up, with a tag of its own; NULL when there are enough. It stays where it is.
struct crash_commit *history_start(struct history *h, const struct crash_commit *commit);

// Turns `h`, a copy of a history whose commits are numbered by their starts, into what was known
// then in the order of commits; `last` is the same history after all of them have ended. False
// when a commit that had been acknowledged comes after one that had not been started.
bool history_put_in_order(struct history *h, const struct history *last);

// The commits in words, on stderr.
void history_print(const struct history *h);

// The number of the commit with the tag; 0 when it is not one of those started.
unsigned history_number(const struct history *h, unsigned tag);

// The value that the commit with `tag` gives to `key`, valid until the thread's next call; and
// whether a value is that, byte for byte.
lsm_slice crash_value(unsigned tag, unsigned key, size_t size);
bool crash_value_is(lsm_slice value, unsigned tag, unsigned key);
// The tag in a value, unchecked; 0 when it is too short.
unsigned crash_value_tag(lsm_slice value);

// One version of a key as the database tells it.
struct found_version {
    uint64_t ts;
    unsigned number; // of the commit; 0: a deletion
};

// Everything that the database tells, by keyspace and key, newest version first.
struct found {
    struct found_version versions[CRASH_KEYSPACES][CRASH_KEYS][VERSIONS_MAX];
    unsigned counts[CRASH_KEYSPACES][CRASH_KEYS];
    bool has_other;
};

// The largest number of commits whose prefix is exactly what was found, from `durable` to
// `started`; false when there is none. `versions_kept`: how many of a key must be there.
bool history_find_prefix(const struct history *h, const struct found *found, unsigned versions_kept,
                         unsigned *prefix);

// Whether later commits have later timestamps, and all writes of one the same.
bool found_is_ordered(const struct found *found, unsigned started);

// What was found is from now on the whole truth, and durable.
void history_settle(struct history *h, unsigned prefix, bool has_other);

#endif
