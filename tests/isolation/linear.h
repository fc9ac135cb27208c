// linear.h -- whether each register, taken by itself, behaves as one place in real time.
//
// Needs neither the order of versions nor timestamps: with unique values the transactions that
// wrote or read one value form a zone of time, and zones that overlap in the wrong way show
// that no order exists (Gibbons and Korach, "Testing Shared Memories", 1997). Sorting zones
// takes n log n. A transaction counts as an operation from its beginning to its end.

#ifndef LSM_TESTS_ISOLATION_LINEAR_H
#define LSM_TESTS_ISOLATION_LINEAR_H

#include "isolation/history.h"

// Registers that were deleted are left out: absent is no unique value. Outcomes have been
// settled by dependency_infer().
void linear_check_registers(const struct history *history, struct findings *findings);

// No counter was moved on to one value twice, nor back in real time.
void linear_check_counters(const struct history *history, struct findings *findings);

#endif
