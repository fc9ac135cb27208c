// course.h -- how work of one kind fares: its last failure, and when to try again.

#ifndef LSM_COMPACTION_COURSE_H
#define LSM_COMPACTION_COURSE_H

#include "base/status.h"

// Guarded by its owner. Zeroed, nothing has failed.
struct course {
    struct failure last;    // LSM_OK when the last attempt succeeded
    uint64_t failure_count; // ever
    uint64_t failed_ns;     // when it last did, by the monotonic clock
    uint64_t retry_ns;      // delay of the next retry; 0 when the last attempt succeeded
};

void course_succeed(struct course *course);
// Keeps the calling thread's failure; returns after what time to try again: it doubles with
// each failure in a row, from 50 ms to 10 s.
uint64_t course_fail(struct course *course, lsm_status status, uint64_t now_ns);

#endif
