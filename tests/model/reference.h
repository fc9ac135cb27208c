// reference.h -- a database as an ordered array of versions: what lsmkv must be equal to.
//
// Time is counted in *ordinals*: each commit and each drop of a keyspace takes the next one.
// The engine's timestamps order the same way, but skip numbers.

#ifndef LSM_TESTS_MODEL_REFERENCE_H
#define LSM_TESTS_MODEL_REFERENCE_H

#include "model/op_bytes.h"
#include "model/op_list.h"

#define REF_SLOTS       4
#define REF_BATCHES     2
#define REF_KEYSPACES   64 // made in one list
#define REF_SAVEPOINTS  16 // open at once
#define REF_MADE_MAX    64 // savepoints of one transaction
#define REF_NO_KEYSPACE UINT32_MAX
#define REF_OWN         UINT64_MAX // as an ordinal: a transaction's own write
#define REF_NOW         (UINT64_MAX - 1)

// Ways to be wrong on purpose, so that the comparison is seen to find something.
enum ref_mistake {
    REF_RIGHT,
    REF_ROLLBACK_KEEPS, // rolling back to a savepoint undoes nothing
    REF_EXPIRY_STAYS,   // expired entries are read
    REF_UPPER_INCLUDED, // an upper bound belongs to the range
    REF_DROP_KEEPS,     // a keyspace made again holds what the dropped one held
    REF_PHANTOMS,       // ranges are not validated
    REF_MISTAKES
};

struct ref_write {
    uint64_t ordinal;
    uint32_t keyspace; // index of the reference's keyspaces
    uint32_t key;
    bool is_delete;
    uint8_t user_byte;
    uint64_t expiry;
    lsm_slice value; // the reference's memory
};

struct ref_writes {
    struct ref_write *items;
    size_t count;
    size_t capacity;
};

// The versions of one key: indices of `writes`, oldest first.
struct ref_versions {
    uint32_t *items;
    uint32_t count;
    uint32_t capacity;
};

struct ref_keyspace {
    uint32_t name;
    uint64_t dropped; // ordinal; 0: it lives
    uint64_t ttl;
    uint32_t threshold;
    uint32_t versions_to_keep;
    struct ref_versions keys[OP_KEYS];
};

struct ref_point {
    uint32_t keyspace;
    uint32_t key;
};

struct ref_range {
    uint32_t keyspace;
    lsm_slice low;
    lsm_slice high;
    bool excludes_high;
    bool is_open; // above
};

enum ref_txn_state { TXN_NONE, TXN_ACTIVE, TXN_FINISHED };

struct ref_txn {
    enum ref_txn_state state;
    uint32_t mode; // enum lsm_txn_mode
    uint64_t ordinal;
    uint64_t wall;
    uint64_t generation; // tells it from others of its slot
    struct ref_writes writes;
    uint32_t savepoints_made;
    struct {
        uint32_t id;
        size_t mark;
    } savepoints[REF_SAVEPOINTS];
    uint32_t savepoint_count;
    struct ref_point *points;
    size_t point_count;
    size_t point_capacity;
    struct ref_range *ranges;
    size_t range_count;
    size_t range_capacity;
};

struct ref_snapshot {
    bool is_open;
    uint64_t ordinal;
    uint64_t wall;
};

enum ref_iter_state { ITER_NONE, ITER_NEW, ITER_ON_ENTRY, ITER_AT_END };

struct ref_iter {
    enum ref_iter_state state;
    uint32_t keyspace;
    uint32_t flags;
    uint64_t oldest; // ordinal that anything open read at when it was opened
    uint64_t now;    // second at that moment, in truth
    uint64_t wall;   // second by which it judges expiry
    int txn;         // slot, or -1
    uint64_t txn_generation;
    struct ref_writes entries;
    size_t at;
    bool has_lower;
    bool has_upper;
    lsm_slice lower;
    lsm_slice upper;
    bool is_seen; // the range below counts, if it has an end below
    bool has_low;
    struct ref_range seen;
};

struct ref_pin {
    bool is_open;
    lsm_slice value;
};

struct ref_batch {
    struct ref_writes writes; // in the order added
    size_t added;
};

struct reference {
    enum ref_mistake mistake;
    uint64_t ordinal;         // of the last commit or drop
    uint64_t now_ns;          // since OP_EPOCH_SECONDS, in truth
    int64_t clock_ns;         // what the system's clock is ahead of that
    uint64_t wrong_for_ns;    // how long it has been, in truth
    struct ref_writes writes; // by ordinal
    struct ref_keyspace *keyspaces[REF_KEYSPACES];
    uint32_t keyspace_count;
    uint32_t handles[OP_KEYSPACES]; // by name: what the open handle is of
    struct ref_txn txns[REF_SLOTS];
    struct ref_snapshot snapshots[REF_SLOTS];
    struct ref_iter iters[REF_SLOTS];
    struct ref_pin pins[REF_SLOTS];
    struct ref_batch batches[REF_BATCHES];
    uint64_t generations;
    uint32_t taken; // slots of the transactions that the last commit_async took, a bit each
    uint32_t armed; // operations until the power goes; 0: it stays

    // What values and bounds lie in.
    uint8_t **chunks;
    size_t chunk_count;
    size_t chunk_used;
};

void reference_init(struct reference *ref, enum ref_mistake mistake);
void reference_release(struct reference *ref);

// Does what `op` says and writes what the engine must answer into `expected`. False when the
// operation makes no sense in this state (a slot is empty): it is then left out.
bool reference_apply(struct reference *ref, const struct op *op, struct line *expected);

// --- its parts, for those who compare ---

// What the system's clock says, by which readers judge expiry.
static inline uint64_t ref_clock_ns(const struct reference *ref)
{
    return OP_EPOCH_SECONDS * 1000000000u + ref->now_ns + (uint64_t)ref->clock_ns;
}

static inline uint64_t ref_wall(const struct reference *ref)
{
    return ref_clock_ns(ref) / 1000000000u;
}

// What is past in truth: what has not expired by then must stay, whatever the clock says.
static inline uint64_t ref_true_wall(const struct reference *ref)
{
    return OP_EPOCH_SECONDS + ref->now_ns / 1000000000u;
}

lsm_slice ref_keep(struct reference *ref, lsm_slice bytes);
void ref_writes_add(struct ref_writes *writes, const struct ref_write *write);

// The keyspace of the open handle to name `ks`; REF_NO_KEYSPACE: none is open.
uint32_t ref_handle(const struct reference *ref, uint32_t ks);
uint32_t ref_keyspace_by_name(const struct reference *ref, uint32_t name); // a living one
uint32_t ref_create(struct reference *ref, uint32_t name);
bool ref_is_dropped(const struct reference *ref, uint32_t keyspace, uint64_t ordinal);

// The newest version of a key at or below `ordinal`; NULL: none. Tombstones count.
const struct ref_write *ref_newest(const struct reference *ref, uint32_t keyspace, uint32_t key,
                                   uint64_t ordinal);
// The one after it; NULL: none.
const struct ref_write *ref_successor(const struct reference *ref, const struct ref_write *write);
bool ref_is_absent(const struct reference *ref, const struct ref_write *write, uint64_t wall);
// Whether a version must still be found, and not only may: no snapshot older than the one
// after it has been closed.
bool ref_must_stay(const struct reference *ref, const struct ref_write *write, uint64_t oldest,
                   uint64_t wall);
// The oldest ordinal that something open reads at.
uint64_t ref_oldest(const struct reference *ref);
bool ref_has_children(const struct reference *ref);

// Commits writes: of those of one key, the last. Nothing for none.
void ref_commit(struct reference *ref, const struct ref_writes *writes);
// Whether a commit after `ordinal` has written the key, or into the range.
bool ref_point_changed(const struct reference *ref, struct ref_point point, uint64_t ordinal);
bool ref_range_changed(const struct reference *ref, const struct ref_range *range,
                       uint64_t ordinal);

// The own write of a transaction that counts; NULL: none.
const struct ref_write *ref_own(const struct ref_txn *txn, uint32_t keyspace, uint32_t key);
void ref_txn_end(struct ref_txn *txn, enum ref_txn_state state);
void ref_note_point(struct ref_txn *txn, struct ref_point point);
void ref_note_range(struct ref_txn *txn, const struct ref_range *range);

// Closes what is open but keyspaces, as before the database is closed.
void ref_close_children(struct reference *ref);
// Handles of dropped keyspaces are closed, the others opened.
void ref_reopen_handles(struct reference *ref);

// Fills what an iterator sees into `entries`, in its order.
void ref_picture(const struct reference *ref, const struct ref_txn *txn, uint64_t ordinal,
                 uint64_t since, struct ref_iter *it);

// The groups of operations, each in a file of its own.
bool reference_apply_write(struct reference *ref, const struct op *op, struct line *out);
bool reference_apply_txn(struct reference *ref, const struct op *op, struct line *out);
bool reference_apply_read(struct reference *ref, const struct op *op, struct line *out);
bool reference_apply_iter(struct reference *ref, const struct op *op, struct line *out);
bool reference_apply_upkeep(struct reference *ref, const struct op *op, struct line *out);

// The second at which an entry written now into `keyspace` expires.
uint64_t ref_expiry(const struct reference *ref, uint32_t keyspace, const struct op *op);

// How an entry of an iterator is told, on both sides.
struct entry_words {
    uint32_t key;
    uint64_t ordinal;
    bool is_delete;
    uint8_t user_byte;
    uint64_t expiry;
    uint64_t size;
    const lsm_slice *value; // NULL: not read
};
void line_entry(struct line *line, const struct entry_words *words);

// How `check` tells what a keyspace holds.
struct content {
    uint64_t count;
    uint64_t hash;
};
void content_add(struct content *content, uint32_t key, uint64_t ordinal, lsm_slice value);
void line_content(struct line *line, const char *name, const struct content *content);

#endif
