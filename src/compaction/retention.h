// retention.h -- which versions of a key somebody can still see.
//
// A filter over a cursor that yields every entry in order: what it yields is what a
// flush or a merge keeps. The rules, per key, newest version first:
//
//   - All versions above the oldest snapshot stay.
//   - Of those at or below it, the newest `versions_to_keep` of the keyspace stay,
//     but none that is older than a tombstone: deleting ends a key's history.
//   - An entry at or below it that had expired at the snapshots' oldest wall time, and by
//     a time that is not in doubt, is a tombstone.
//   - A tombstone at or below it stays too, unless nothing older of its key can lie
//     further down (`may_vanish`).
//   - Entries of a dropped keyspace go, all of them.

#ifndef LSM_COMPACTION_RETENTION_H
#define LSM_COMPACTION_RETENTION_H

#include "base/iter.h"
#include "compaction/engine.h"

// Whether no version of `entry`'s key older than it can lie below the output. Keys
// are asked about in ascending order.
typedef bool (*retention_vanish_fn)(void *ctx, const struct entry *entry);

struct retention {
    // The entry yielded, as of a cursor; it lives until the next move.
    bool is_valid;
    bool is_new_key; // the first version yielded of its key
    struct entry entry;

    uint64_t entries_in; // read from the source; at its end the sum of the next two
    uint64_t entries_out;
    uint64_t entries_dropped;

    // Private.
    struct engine *engine;
    struct iter *source;
    retention_vanish_fn may_vanish;
    void *ctx;
    void *hold; // what keeps the two below true
    uint64_t oldest_ts;
    uint64_t oldest_wall;

    uint32_t versions_to_keep; // of the keyspace read last
    bool is_dropped;

    // Of the key read last.
    bool has_key;
    uint32_t keyspace;
    lsm_buf key;      // a copy
    uint64_t ts;      // of the version read last
    uint32_t kept;    // versions at or below the oldest snapshot that stay
    bool has_ended;   // a tombstone at or below the oldest snapshot has been read
    bool was_yielded; // one of its versions
};

// Positions at the first entry that stays. `may_vanish` NULL: no tombstone goes. The
// source stays the caller's. Whatever it returns, to be released.
lsm_status retention_first(struct retention *retention, struct engine *engine, struct iter *source,
                           retention_vanish_fn may_vanish, void *ctx);
// From a valid position only. LSM_CORRUPT when the source is out of order.
lsm_status retention_next(struct retention *retention);
// Releases what it holds, after what was kept is in force or given up; a zeroed struct holds
// nothing.
void retention_release(struct retention *retention);

#endif
