// checker.h -- judges a recorded history: is it what the levels of its transactions promise?
//
// The engine is not part of it: it knows events (recorder.h) and finds anomalies by name
// (findings.h). Serializable means strictly so, in the order of commits: real time counts.

#ifndef LSM_TESTS_ISOLATION_CHECKER_H
#define LSM_TESTS_ISOLATION_CHECKER_H

#include "isolation/findings.h"
#include "isolation/recorder.h"

struct verdict {
    struct findings findings;
    uint64_t txns;      // judged
    uint64_t committed; // of them
    uint64_t reads;     // of other transactions' versions
    uint64_t edges;     // inferred
    // Whether the history would be rejected if its snapshot transactions were serializable: if
    // it never would, the history tries nothing that only validation prevents.
    bool has_write_skew;
};

// `recorders`: one per thread; none is written any more.
void checker_judge(const struct recorder *recorders, size_t count, struct verdict *verdict);

#endif
