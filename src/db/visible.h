// visible.h -- of all versions, those that a reader sees.

#ifndef LSM_DB_VISIBLE_H
#define LSM_DB_VISIBLE_H

#include "base/iter.h"
#include "db/stats.h"

// A cursor over the newest version of each key that a reader sees; or over all versions.
//
// It is driven like the public iterator, on a merge of all stores: forward it skips what is
// too new and what is hidden, backward it collects the versions of a key, which come oldest
// first, and keeps the newest one visible.
struct visible_iter;

struct visibility {
    uint32_t keyspace;
    uint64_t ts;       // entries above are not seen, but a transaction's own (TS_MAX) are
    uint64_t wall;     // second at which expiry is judged
    uint64_t since_ts; // entries at or below are not seen; 0: all
    bool all_versions; // deletions, too
};

// Takes over `merged` on success.
lsm_status visible_iter_new(struct iter *merged, const struct visibility *visibility,
                            struct stats *stats, struct visible_iter **out);
void visible_iter_close(struct visible_iter *vi);

// Each sets whether there is an entry; a failure leaves none. Keys are user keys.
lsm_status visible_iter_seek(struct visible_iter *vi, lsm_slice key); // the first at or after
// The last before `key`; NULL: the last of all.
lsm_status visible_iter_seek_before(struct visible_iter *vi, const lsm_slice *key);
lsm_status visible_iter_next(struct visible_iter *vi);
lsm_status visible_iter_prev(struct visible_iter *vi);
bool visible_iter_is_valid(const struct visible_iter *vi);
// Borrowed until the next move.
const struct entry *visible_iter_entry(const struct visible_iter *vi);

#endif
