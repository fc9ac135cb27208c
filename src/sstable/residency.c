#include "sstable/residency.h"

#include <assert.h>

#include "sstable/cache.h"

void residency_init(struct residency *residency, struct cache *cache)
{
    residency->cache = cache;
    residency->hand = NULL;
    residency->count = 0;
    mutex_init(&residency->mu, LOCK_TABLES);
}

void residency_release(struct residency *residency)
{
    assert(residency->hand == NULL);
    mutex_release(&residency->mu);
}

// A new resident goes in behind the hand, so that it is passed last.
static void ring_insert_locked(struct residency *residency, struct resident *resident)
{
    struct resident *hand = residency->hand;

    residency->count++;
    if (hand == NULL) {
        resident->next = resident;
        resident->previous = resident;
        residency->hand = resident;
        return;
    }
    resident->next = hand;
    resident->previous = hand->previous;
    hand->previous->next = resident;
    hand->previous = resident;
}

static void evict_locked(struct residency *residency, struct resident *resident)
{
    residency->count--;
    if (resident->next == resident) {
        residency->hand = NULL;
    } else {
        if (residency->hand == resident)
            residency->hand = resident->next;
        resident->previous->next = resident->next;
        resident->next->previous = resident->previous;
    }
    // Relaxed: nothing is published; sections that loaded the pointer before keep
    // what it points to until they end.
    atomic_store_explicit(resident->slot, NULL, memory_order_relaxed);
    cache_charge(residency->cache, -(int64_t)resident->size);
    cache_retire(residency->cache, &resident->node, resident->release, resident->size);
}

static bool is_over_limit(const struct residency *residency)
{
    return cache_charged(residency->cache) > cache_budget(residency->cache) / 4 * 3;
}

// Turns the hand until the charges fit or only `keep`, which may be NULL, is left.
// Two rounds take whatever nobody uses meanwhile.
static void sweep_locked(struct residency *residency, const struct resident *keep)
{
    size_t steps_left = 2 * residency->count;

    for (; steps_left > 0 && residency->hand != NULL && is_over_limit(residency); steps_left--) {
        struct resident *at = residency->hand;

        residency->hand = at->next;
        if (at == keep || atomic_exchange_explicit(&at->is_used, false, memory_order_relaxed))
            continue;
        evict_locked(residency, at);
    }
}

struct resident *residency_admit(struct residency *residency, struct resident *candidate,
                                 struct resident *_Atomic *slot)
{
    struct resident *winner;

    mutex_lock(&residency->mu);
    winner = atomic_load_explicit(slot, memory_order_relaxed); // written under the mutex
    if (winner == NULL) {
        winner = candidate;
        candidate->slot = slot;
        ring_insert_locked(residency, candidate);
        cache_charge(residency->cache, (int64_t)candidate->size);
        // Release: pairs with the acquire of the readers, who then see all that
        // the candidate holds.
        atomic_store_explicit(slot, candidate, memory_order_release);
        sweep_locked(residency, candidate);
    }
    mutex_unlock(&residency->mu);
    return winner;
}

void residency_evict(struct residency *residency, struct resident *_Atomic *slot)
{
    struct resident *resident;

    mutex_lock(&residency->mu);
    resident = atomic_load_explicit(slot, memory_order_relaxed);
    if (resident != NULL)
        evict_locked(residency, resident);
    mutex_unlock(&residency->mu);
}

void residency_trim(struct residency *residency)
{
    mutex_lock(&residency->mu);
    sweep_locked(residency, NULL);
    mutex_unlock(&residency->mu);
}
