// histogram.c -- recording, joining and reading log-linear buckets.

#include "base/histogram.h"

#include <math.h>

#define BITS_EXACT 4 // values below 16 have a bucket each
#define PER_OCTAVE (1u << BITS_EXACT)

// Bucket of a value: how far its highest bit lies above the exact ones picks the
// group of 16, the four bits behind the highest one the bucket within.
static unsigned bucket_of(uint64_t value)
{
    unsigned octave;

    if (value < PER_OCTAVE)
        return (unsigned)value;
    octave = 63 - BITS_EXACT - (unsigned)__builtin_clzll(value);
    return (octave + 1) * PER_OCTAVE + (unsigned)(value >> octave) % PER_OCTAVE;
}

static uint64_t bucket_middle(unsigned bucket)
{
    unsigned octave;

    if (bucket < 2 * PER_OCTAVE)
        return bucket;
    octave = bucket / PER_OCTAVE - 1;
    return ((uint64_t)(PER_OCTAVE + bucket % PER_OCTAVE) << octave) + ((uint64_t)1 << octave) / 2;
}

static uint64_t load(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void add(_Atomic uint64_t *to, uint64_t value)
{
    atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *max, uint64_t value)
{
    uint64_t seen = load(max);

    while (value > seen && !atomic_compare_exchange_weak_explicit(
                               max, &seen, value, memory_order_relaxed, memory_order_relaxed))
        ;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    add(&h->buckets[bucket_of(value)], 1);
    add(&h->count, 1);
    add(&h->sum, value);
    raise_to(&h->max, value);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = load(&from->buckets[i]);

        if (count != 0)
            add(&into->buckets[i], count);
    }
    add(&into->count, load(&from->count));
    add(&into->sum, load(&from->sum));
    raise_to(&into->max, load(&from->max));
}

uint64_t histogram_percentile(const struct histogram *h, double fraction)
{
    uint64_t count = load(&h->count);
    uint64_t max = load(&h->max);
    uint64_t rank = (uint64_t)ceil(fraction * (double)count);
    uint64_t passed = 0;

    if (count == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        passed += load(&h->buckets[i]);
        if (passed >= rank)
            return bucket_middle(i) < max ? bucket_middle(i) : max;
    }
    return max; // a record is being added: it is counted, but not yet in a bucket
}

double histogram_mean(const struct histogram *h)
{
    uint64_t count = load(&h->count);

    return count == 0 ? 0 : (double)load(&h->sum) / (double)count;
}
