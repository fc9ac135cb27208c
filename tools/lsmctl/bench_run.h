// bench_run.h -- the workloads of `lsmctl bench`, and the threads that run them.
//
// A workload is one operation, repeated by every thread until its share of the
// count is done or the time is up. Keys are decimal numbers with leading zeroes, in
// [0, num); values are cut from a buffer of bytes that compress to about the ratio
// asked for.

#ifndef LSM_TOOLS_BENCH_RUN_H
#define LSM_TOOLS_BENCH_RUN_H

#include "base/histogram.h"
#include "lsmctl.h"

#define BENCH_KEY_SIZE_MIN 8
#define BENCH_KEY_SIZE_MAX 1024

struct bench_config {
    uint64_t num;        // keys, and operations of all threads together
    uint64_t operations; // 0: `num`
    uint64_t key_size;
    uint64_t value_size;
    uint64_t threads;
    uint64_t batch;           // entries per write
    double duration;          // seconds; 0: by count
    double compression_ratio; // compressed by uncompressed size of values
    uint64_t read_percent;    // of `mixed`
    uint64_t seek_nexts;      // moves behind each seek
    uint64_t seed;
    lsm_sync_mode sync;
};

// What one workload came to.
struct bench_result {
    const char *name;
    uint64_t operations;
    uint64_t entries; // written, or read and found
    uint64_t bytes;   // of their keys and values
    uint64_t elapsed_ns;
    bool is_upkeep;           // one call, not a repeated operation
    struct histogram latency; // of one operation, in nanoseconds
};

// Shows how far the running workload is; called now and then.
typedef void (*bench_live_fn)(void *ctx, const char *name, uint64_t operations,
                              uint64_t elapsed_ns);

struct bench;

lsm_status bench_new(struct session *session, const struct bench_config *config,
                     struct bench **out);
void bench_freep(struct bench **bench);

// Whether there is a workload of that name.
bool bench_is_workload(const char *name);

lsm_status bench_run(struct bench *bench, const char *name, bench_live_fn live, void *ctx,
                     struct bench_result *out);

#endif
