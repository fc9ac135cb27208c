// stats.h -- counters and latencies of one database.
//
// Counters are striped by thread, so that readers on different processors write
// different cache lines; all accesses are relaxed, and reading adds the stripes up.

#ifndef LSM_DB_STATS_H
#define LSM_DB_STATS_H

#include "base/histogram.h"
#include "base/status.h"

enum counter {
    COUNTER_GETS,
    COUNTER_GETS_FOUND,
    COUNTER_GETS_MEMTABLE,
    COUNTER_VALUE_READS,
    COUNTER_VALUE_READ_BYTES,
    COUNTER_ITERATORS,
    COUNTER_ITERATOR_MOVES,
    COUNTER_VERSIONS_SKIPPED,
    COUNTER_COMMITS,
    COUNTER_COMMIT_ENTRIES,
    COUNTER_COMMIT_BYTES,
    COUNTER_COMMIT_GROUPS,
    COUNTER_CONFLICTS,
    COUNTER_SYNCS,
    COUNTER_LOG_BYTES,
    COUNTER_MEMTABLE_SWITCHES,
    COUNTER_FLUSHES_FOR_READERS,
    COUNTER_COUNT,
};

enum latency {
    LATENCY_GET, // one in LATENCY_SAMPLE of a thread's reads
    LATENCY_COMMIT,
    LATENCY_SYNC,
    LATENCY_COUNT,
};

#define LATENCY_SAMPLE  64
#define STATS_STRIPES   16
#define CACHE_LINE_SIZE 64

struct stats_stripe {
    _Alignas(CACHE_LINE_SIZE) _Atomic uint64_t counters[COUNTER_COUNT];
};

struct stats {
    struct stats_stripe stripes[STATS_STRIPES];
    struct histogram latencies[LATENCY_COUNT];
};

lsm_status stats_new(struct stats **out);
void stats_free(struct stats *stats);

// The calling thread's stripe.
unsigned stats_stripe_index(void);

static inline void stats_add(struct stats *stats, enum counter counter, uint64_t value)
{
    atomic_fetch_add_explicit(&stats->stripes[stats_stripe_index()].counters[counter], value,
                              memory_order_relaxed);
}

// Counts of one thread at a time, which reach the shared counter every TALLY_MAX, and when
// the owner flushes: for what is counted too often for an atomic addition each.
#define TALLY_MAX 1024

struct tally {
    struct stats *stats;
    enum counter counter;
    unsigned count; // not yet shared
};

static inline void tally_flush(struct tally *tally)
{
    stats_add(tally->stats, tally->counter, tally->count);
    tally->count = 0;
}

static inline void tally_add_one(struct tally *tally)
{
    if (UNLIKELY(++tally->count == TALLY_MAX))
        tally_flush(tally);
}

uint64_t stats_read(const struct stats *stats, enum counter counter);

// Whether the calling thread's next read is one that is timed.
bool stats_is_sampled(void);

#endif
