// activity.h -- what the process that writes, or did last, has been doing, by its event log.

#ifndef LSM_TOOLS_ACTIVITY_H
#define LSM_TOOLS_ACTIVITY_H

#include "compaction/throttle.h"
#include "lsmctl.h"

struct job_sums {
    uint64_t count;
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t ns; // of all
    uint64_t ns_max;
    uint64_t last_ns; // when the last one ended, since 1970
};

struct stall_sums {
    uint64_t count;
    uint64_t ns; // for so long writers have been slowed or stopped
};

// Times are nanoseconds since 1970, 0 when there is none.
struct activity {
    bool is_known;      // there is an event log
    bool is_since_open; // it reaches back to the open for writing; else `since_ns` is its start
    bool is_closed;
    uint64_t since_ns;
    uint64_t last_ns;
    struct job_sums flushes;
    struct job_sums merges;
    struct job_sums moves;
    uint64_t merge_entries_dropped;

    uint64_t error_count; // of background jobs
    uint64_t last_error_ns;
    char last_error[512];

    struct stall_sums stalls[STALL_CAUSE_COUNT];
    bool is_stall_known;    // the log tells whether there is one now
    enum stall_cause stall; // now
    bool is_stopped;
    uint64_t stall_ns_per_kib;
    uint64_t stall_since_ns;
};

// The stall of now in words, "" when it is not known: "slowed by level0 since ..., 64 us per KiB".
struct stall_text {
    char text[128];
};

struct stall_text activity_stall(const struct activity *activity);

// `is_running`: a stall without an end goes on until now.
lsm_status activity_read(const char *database, bool is_running, struct activity *out);

#endif
