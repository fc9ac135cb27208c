// commit_ring.h -- the keys of recent commits, oldest first, in bounded memory.
//
// The writer role adds; any thread reads. Neither waits for the other: the role
// takes memory away from the oldest commits, and where a reader holds on to that, from
// the next ones, or does without.

#ifndef LSM_TXN_COMMIT_RING_H
#define LSM_TXN_COMMIT_RING_H

#include "base/bytes.h"
#include "env/sync.h"

struct commit_ring;

struct ring_write {
    uint64_t ts;
    uint32_t keyspace;
    lsm_slice key; // borrowed during the call that shows it
};

// `bytes` of memory, at least 16 KiB. Commits up to `last_ts` are not known.
lsm_status commit_ring_new(size_t bytes, uint64_t last_ts, struct commit_ring **out);
void commit_ring_free(struct commit_ring *ring);

// [role] Timestamps ascend. What does not fit counts as forgotten.
void commit_ring_add(struct commit_ring *ring, const struct ring_write *write);

// Commits at or below it may have been forgotten, in whole or in part.
uint64_t commit_ring_floor(const struct commit_ring *ring);

// False ends the walk.
typedef bool (*commit_ring_fn)(void *ctx, const struct ring_write *write);

// Shows the writes of commits in (after, up_to], in order, until `fn` ends it. All of
// them have been added before. False when some were forgotten, before or meanwhile.
bool commit_ring_walk(struct commit_ring *ring, uint64_t after, uint64_t up_to, commit_ring_fn fn,
                      void *ctx);

#endif
