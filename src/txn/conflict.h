// conflict.h -- the recent commits, and whether a transaction's reads still hold.
//
// A table of last commit timestamps by key hash answers for points; a ring of
// recent write sets answers for ranges. Both are bounded: what falls out raises a
// floor, and a reader older than the floor is checked against the tree by the
// caller's functions, never passed. A hash collision may only cause a false
// conflict.

#ifndef LSM_TXN_CONFLICT_H
#define LSM_TXN_CONFLICT_H

#include "env/sync.h"
#include "txn/read_set.h"

struct conflict_history;

// About `bytes_max` bytes of memory (at least 64 KiB). `last_ts`: commits up to it
// are not known, so the floor starts there.
lsm_status conflict_history_new(size_t bytes_max, uint64_t last_ts, struct conflict_history **out);
void conflict_history_free(struct conflict_history *history);

struct conflict_write {
    uint32_t keyspace;
    lsm_slice key; // borrowed during the call
    uint64_t hash;
};

// [role] Notes a commit about to be appended; `ts` ascends. Never fails: what does
// not fit raises the floor. A commit that then fails to be appended stays noted.
void conflict_history_add(struct conflict_history *history, uint64_t ts,
                          const struct conflict_write *writes, size_t count);

// How the tree is asked where the history is too short: sets `*newest` to the
// timestamp of the newest version (tombstones too) of the key, or of any key in the
// range, 0 when there is none.
struct conflict_fallback {
    lsm_status (*newest_of_point)(void *ctx, const struct read_point *point, uint64_t *newest);
    lsm_status (*newest_in_range)(void *ctx, const struct read_range *range, uint64_t *newest);
    void *ctx;
};

// Has the words of conflicts show keys (escaped, at most 64 bytes). Before any other use.
void conflict_history_show_keys(struct conflict_history *history);

// LSM_CONFLICT when a commit
// in (after, up_to] wrote what `set` (sealed) has read. With `fallback` NULL a history
// too short is LSM_CONFLICT too. A key written after `up_to` as well may count, since
// only its last commit is known. Any thread; the role passes NULL.
lsm_status conflict_history_check(struct conflict_history *history, const struct read_set *set,
                                  uint64_t after, uint64_t up_to,
                                  const struct conflict_fallback *fallback);

// First committer wins: the same question for keys about to be written.
lsm_status conflict_history_check_writes(struct conflict_history *history,
                                         const struct conflict_write *writes, size_t count,
                                         uint64_t after, uint64_t up_to,
                                         const struct conflict_fallback *fallback);

// Commits at or below it may have been forgotten.
uint64_t conflict_history_floor(const struct conflict_history *history);

#endif
