// subject.h -- lsmkv on a simulated disk, driven by the operations that drive the reference.

#ifndef LSM_TESTS_MODEL_SUBJECT_H
#define LSM_TESTS_MODEL_SUBJECT_H

#include "db/db.h"
#include "model/reference.h"
#include "support/sim.h"

struct subject_txn {
    lsm_txn *txn;
    uint64_t savepoints[REF_MADE_MAX + 1]; // by number, from 1
    uint32_t savepoint_count;
};

struct subject_iter {
    lsm_iter *it;
    uint32_t flags;
    uint64_t oldest; // as in struct ref_iter
    uint64_t now;
};

struct subject {
    struct sim *sim;
    struct lsm_options options;
    uint64_t schedule; // seed of the scheduler
    lsm_db *db;
    lsm_keyspace *handles[OP_KEYSPACES];
    struct subject_txn txns[REF_SLOTS];
    lsm_snapshot *snapshots[REF_SLOTS];
    struct subject_iter iters[REF_SLOTS];
    lsm_pin pins[REF_SLOTS];
    lsm_batch *batches[REF_BATCHES];
    lsm_buf value; // reused by reads

    // The timestamp of each ordinal, ascending; [0] is 0.
    uint64_t *ts;
    size_t ts_count;
    size_t ts_capacity;
    uint64_t recovered_ts; // what was published after the last crash
    uint64_t durable;      // commits up to this ordinal are acknowledged as durable

    // Of a crash to come.
    bool is_armed;
    uint64_t crash_calls;
    uint64_t crash_again; // crash in the n-th call of the recovery too; 0: do not
    enum sim_survival survival;
    uint64_t crash_seed;

    bool is_reopened; // the database was there before
    unsigned ends;    // of processes so far

    // What has been met.
    uint64_t crashes;
    uint64_t lost_commits;
    uint64_t busy;
};

// Opens a database with the options that the list begins with. False, with words on stderr,
// when that fails.
bool subject_init(struct subject *subject, const struct op_list *list);
void subject_release(struct subject *subject);

// Does what `op` says; `ref` has done so already. `actual` gets the engine's answer.
void subject_apply(struct subject *subject, const struct reference *ref, const struct op *op,
                   struct line *actual);

// --- its parts ---

void subject_apply_write(struct subject *s, const struct reference *ref, const struct op *op,
                         struct line *out);
void subject_apply_txn(struct subject *s, const struct reference *ref, const struct op *op,
                       struct line *out);
void subject_apply_read(struct subject *s, const struct op *op, struct line *out);
void subject_apply_iter(struct subject *s, const struct reference *ref, const struct op *op,
                        struct line *out);
void subject_apply_upkeep(struct subject *s, const struct reference *ref, const struct op *op,
                          struct line *out);
void subject_check(struct subject *s, lsm_db *db, const struct reference *ref, struct line *out);

// The keyspace that `op` names; NULL: the default one.
static inline lsm_keyspace *subject_keyspace(const struct subject *s, const struct op *op)
{
    return s->handles[op->field[F_KS] % OP_KEYSPACES];
}

lsm_write_options subject_write_options(const struct op *op);
// Frees transactions, snapshots, iterators, pins and batches.
void subject_close_children(struct subject *s);
void subject_close_handles(struct subject *s);
// Opens the handles that the reference has open; those of keyspaces that are not there stay
// closed.
void subject_open_handles(struct subject *s, const struct reference *ref);
bool subject_open(struct subject *s);
// Every third time: somebody copies the closed database by hard links, writes in the copy and
// closes it. The original is none the wiser. False, with words, when that fails.
bool subject_live_in_copy(struct subject *s);

void subject_note_ts(struct subject *s, uint64_t ordinal, uint64_t ts);
// The ordinal of an entry, and that of the state which a reader at `ts` sees.
uint64_t subject_ordinal(const struct subject *s, uint64_t ts);
uint64_t subject_read_ordinal(const struct subject *s, uint64_t ts);

// After each operation, left out or not: whether the power has gone, or goes now.
bool subject_is_down(struct subject *s, const struct reference *ref);
// Brings power and database back, checks that a prefix of the commits has survived, and makes
// the lost ones again, so that subject and reference are equal. `op` was under way. False,
// with words in `why`, when what is there is no legal state.
bool subject_recover(struct subject *s, const struct reference *ref, const struct op *op,
                     struct line *why);

#endif
