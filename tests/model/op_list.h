// op_list.h -- a list of operations on a database, as data.
//
// An operation is a kind and a few numbers; its text is one line, `put ks=1 key=17 size=200`,
// where a field that is zero is left out. So a list can be printed, read back, replayed and
// reduced. Options that the database is opened with stand in it as well.

#ifndef LSM_TESTS_MODEL_OP_LIST_H
#define LSM_TESTS_MODEL_OP_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum op_field {
    F_KS,     // keyspace, by number; 0: default
    F_SLOT,   // which transaction, snapshot, iterator, pin or batch
    F_ON,     // what is read: enum op_on
    F_FROM,   // the slot of what is read
    F_KEY,    // a key by number; of seeks and bounds a place
    F_TO,     // another place
    F_PREFIX, // a place
    F_SIZE,   // of a value
    F_STAMP,  // what a value's bytes are made from
    F_BYTE,   // user byte
    F_TTL,    // seconds
    F_UNTIL,  // absolute expiry, seconds after OP_EPOCH_SECONDS; 0: none given; UNTIL_NEVER
    F_SYNC,   // enum lsm_sync_mode
    F_N,      // a count or a variant
    F_FLAGS,
    F_COUNT
};

// How the system's clock is wrong after `clock` (F_STAMP), by F_N of them.
enum op_clock {
    CLOCK_RIGHT,
    CLOCK_SECONDS_AHEAD,
    CLOCK_HOURS_AHEAD,
    CLOCK_YEARS_AHEAD,
    CLOCK_SECONDS_BEHIND,
    CLOCK_DAYS_BEHIND,
    CLOCK_COUNT
};

enum op_on { ON_DB, ON_SNAPSHOT, ON_TXN, ON_COUNT };

#define OP_EPOCH_SECONDS UINT64_C(1700000000) // where the simulated clock begins
#define UNTIL_NEVER      UINT32_MAX           // LSM_EXPIRY_NONE

// What F_FLAGS says, by kind.
#define FLAG_NO_WAIT      1u // put
#define FLAG_NO_DESIRED   1u // cas
#define FLAG_CLEAR_BYTE   2u // cas, add, append
#define FLAG_REWRITE      1u // txn_churn: the key is written over, not rolled back
#define FLAG_CREATE       1u // keyspace_open
#define FLAG_KEYS_ONLY    1u // iter_open, and what follows
#define FLAG_ALL_VERSIONS 2u
#define FLAG_HAS_LOWER    4u // compact too
#define FLAG_HAS_UPPER    8u
#define FLAG_HAS_PREFIX   16u
#define FLAG_NO_FILL      32u
#define FLAG_LOWER_EXCL   64u // ignored without a lower bound
#define FLAG_UPPER_INCL   128u

// kind, name
#define OP_KINDS(X)                                                                                \
    X(OPTION, option)                                                                              \
    X(PUT, put)                                                                                    \
    X(DELETE, delete)                                                                              \
    X(PUT_IF_ABSENT, put_if_absent)                                                                \
    X(CAS, cas)                                                                                    \
    X(ADD, add)                                                                                    \
    X(APPEND, append)                                                                              \
    X(BATCH, batch)                                                                                \
    X(UPDATE, update)                                                                              \
    X(BATCH_PUT, batch_put)                                                                        \
    X(BATCH_DELETE, batch_delete)                                                                  \
    X(BATCH_CLEAR, batch_clear)                                                                    \
    X(BATCH_WRITE, batch_write)                                                                    \
    X(BEGIN, begin)                                                                                \
    X(TXN_PUT, txn_put)                                                                            \
    X(TXN_DELETE, txn_delete)                                                                      \
    X(TXN_PUT_IF_ABSENT, txn_put_if_absent)                                                        \
    X(TXN_CHURN, txn_churn)                                                                        \
    X(SAVEPOINT, savepoint)                                                                        \
    X(ROLLBACK_TO, rollback_to)                                                                    \
    X(RELEASE, release)                                                                            \
    X(COMMIT, commit)                                                                              \
    X(COMMIT_ASYNC, commit_async)                                                                  \
    X(ROLLBACK, rollback)                                                                          \
    X(TXN_FREE, txn_free)                                                                          \
    X(GET, get)                                                                                    \
    X(EXISTS, exists)                                                                              \
    X(MULTI_GET, multi_get)                                                                        \
    X(PIN, pin)                                                                                    \
    X(UNPIN, unpin)                                                                                \
    X(SNAPSHOT, snapshot)                                                                          \
    X(SNAPSHOT_FREE, snapshot_free)                                                                \
    X(ITER_OPEN, iter_open)                                                                        \
    X(ITER_FIRST, iter_first)                                                                      \
    X(ITER_LAST, iter_last)                                                                        \
    X(ITER_SEEK, iter_seek)                                                                        \
    X(ITER_SEEK_FOR_PREV, iter_seek_for_prev)                                                      \
    X(ITER_NEXT, iter_next)                                                                        \
    X(ITER_PREV, iter_prev)                                                                        \
    X(ITER_CLOSE, iter_close)                                                                      \
    X(KEYSPACE_OPEN, keyspace_open)                                                                \
    X(KEYSPACE_DROP, keyspace_drop)                                                                \
    X(KEYSPACE_ALTER, keyspace_alter)                                                              \
    X(KEYSPACE_LIST, keyspace_list)                                                                \
    X(FLUSH, flush)                                                                                \
    X(SYNC, sync)                                                                                  \
    X(COMPACT, compact)                                                                            \
    X(IDLE, idle)                                                                                  \
    X(JOBS, jobs)                                                                                  \
    X(VERIFY, verify)                                                                              \
    X(RESUME, resume)                                                                              \
    X(SET_OPTION, set_option)                                                                      \
    X(ADVANCE, advance)                                                                            \
    X(SUSPEND, suspend)                                                                            \
    X(CLOCK, clock)                                                                                \
    X(INSPECT, inspect)                                                                            \
    X(MISUSE, misuse)                                                                              \
    X(CHECK, check)                                                                                \
    X(READ_ONLY, read_only)                                                                        \
    X(REOPEN, reopen)                                                                              \
    X(CRASH, crash)

enum op_kind {
#define X(kind, name) OP_##kind,
    OP_KINDS(X)
#undef X
        OP_KIND_COUNT
};

struct op {
    enum op_kind kind;
    uint32_t field[F_COUNT];
};

struct op_list {
    struct op *ops;
    size_t count;
    size_t capacity;
};

const char *op_name(enum op_kind kind);

// The list owns its memory; a zeroed one is empty. Without memory the program ends.
void op_list_add(struct op_list *list, const struct op *op);
void op_list_copy(struct op_list *to, const struct op_list *from);
void op_list_release(struct op_list *list);

#define OP_TEXT_MAX 512
// One line, without its end.
void op_print(const struct op *op, char text[OP_TEXT_MAX]);
void op_list_print(const struct op_list *list, FILE *to);

// Reads one line; false when it is none. Comments (#) and empty lines are the caller's.
bool op_parse(const char *line, struct op *op);
// Reads a file of such lines; false with the line's number printed when one is bad.
bool op_list_read(struct op_list *list, FILE *from);

#endif
