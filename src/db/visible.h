// visible.h -- of all versions, those that a reader sees.

#ifndef LSM_DB_VISIBLE_H
#define LSM_DB_VISIBLE_H

#include "base/iter.h"
#include "db/db.h"

struct visibility {
    uint32_t keyspace;
    uint64_t ts;       // entries above are not seen, but a transaction's own (TS_MAX) are
    uint64_t wall;     // second at which expiry is judged
    uint64_t since_ts; // entries at or below are not seen; 0: all. Not with all versions
    bool all_versions; // deletions, too
};

// A cursor over the newest version of each key that a reader sees; or over all versions.
//
// It is driven like the public iterator, on a merge of all stores: forward it skips what is
// too new and what is hidden, backward it collects the versions of a key, which come oldest
// first, and keeps the newest one visible.
//
// Forward, the merge stands on the current entry. Backward, it stands before all versions of
// the current key. With all versions, it stands on the current entry in both directions.
struct visible_iter {
    // The current entry, or NULL; borrowed until the next move.
    const struct entry *entry;

    // Its own.
    struct lsm_db *db;
    struct iter *merged;
    struct visibility visibility;
    bool is_backward;
    lsm_buf key;       // the key whose versions are being passed, or that is current backward
    uint64_t key_head; // of `key`
    lsm_buf value;     // of the current entry, backward
    struct entry kept; // the current entry, backward: borrows from `key` and `value`
    struct tally skipped;
};

// Takes over `merged`.
void visible_iter_init(struct visible_iter *vi, struct iter *merged,
                       const struct visibility *visibility, struct lsm_db *db);
void visible_iter_release(struct visible_iter *vi);

// Each sets whether there is an entry; a failure leaves none. Keys are user keys.
lsm_status visible_iter_seek(struct visible_iter *vi, lsm_slice key); // the first at or after
// The last before `key`; NULL: the last of all.
lsm_status visible_iter_seek_before(struct visible_iter *vi, const lsm_slice *key);
lsm_status visible_iter_next(struct visible_iter *vi);
lsm_status visible_iter_prev(struct visible_iter *vi);

#endif
