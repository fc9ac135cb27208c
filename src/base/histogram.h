// histogram.h -- latencies in log-linear buckets: 16 per power of two, so that a
// percentile is within 6.25 % of the truth. Values are nanoseconds or bytes.

#ifndef LSM_BASE_HISTOGRAM_H
#define LSM_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 976 // (64 - 4 + 1) * 16

// Any thread records and reads; all accesses are relaxed.
struct histogram {
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

// The value below or at which `fraction` (0 to 1) of the records lie, taken at
// the middle of its bucket and at most the maximum; 0 when there are none.
uint64_t histogram_percentile(const struct histogram *h, double fraction);
double histogram_mean(const struct histogram *h);

#endif
