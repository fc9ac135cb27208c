// residency.h -- what tables keep in memory beside blocks, and for how long.
//
// A resident (the index and filter of a table) is published in a slot of its
// owner, found there with one acquire load inside an epoch section, and charged
// to the cache. When the charges exceed three quarters of the cache's budget, a
// clock with second chance takes those out that were not used since its hand
// passed; they are retired, and loaded again when next read.

#ifndef LSM_SSTABLE_RESIDENCY_H
#define LSM_SSTABLE_RESIDENCY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/epoch.h"
#include "env/sync.h"

struct cache;

// Embedded at the start of what is kept. All but `is_used` is set before it is
// admitted and then the residency's, under its mutex.
struct resident {
    struct epoch_node node;
    void (*release)(struct epoch_node *node); // ends the slot's hold, after retirement
    size_t size;                              // in bytes, charged
    _Atomic bool is_used;                     // since the hand passed; relaxed, any thread
    struct resident *_Atomic *slot;
    struct resident *next; // the ring
    struct resident *previous;
};

struct residency {
    struct cache *cache; // immutable

    struct mutex mu;       // rank LOCK_TABLES; guards the ring, and writes to all slots
    struct resident *hand; // NULL: the ring is empty
    size_t count;
};

void residency_init(struct residency *residency, struct cache *cache);
// Every slot has been emptied.
void residency_release(struct residency *residency);

// Publishes `candidate` in `slot`, unless another thread was faster; the one now
// in the slot is returned, and may be used until the caller's epoch section ends.
// A candidate that lost remains the caller's.
struct resident *residency_admit(struct residency *residency, struct resident *candidate,
                                 struct resident *_Atomic *slot);

// Empties `slot`; what was in it is retired.
void residency_evict(struct residency *residency, struct resident *_Atomic *slot);

// Makes what is kept fit a budget that has become smaller.
void residency_trim(struct residency *residency);

static inline void resident_touch(struct resident *resident)
{
    // Only a clock's hint. Storing when it is set already would bounce the line.
    if (!atomic_load_explicit(&resident->is_used, memory_order_relaxed))
        atomic_store_explicit(&resident->is_used, true, memory_order_relaxed);
}

#endif
