// cycle.h -- cycles among transactions that their levels forbid.
//
// A serializable (or read-only) transaction has one place in the order of commits; of a
// snapshot transaction the reads have an earlier place than the writes. So a cycle is allowed
// only if some snapshot transaction in it is entered and left by reads of what was overwritten:
// that is write skew, and nothing else (Fekete et al., "Making Snapshot Isolation
// Serializable", 2005). To find the others, a snapshot transaction has two nodes: entered by
// EDGE_RW one stands on the second, which is not left by EDGE_RW.
//
// The order of real time counts as well: what had ended stands before what then began.

#ifndef LSM_TESTS_ISOLATION_CYCLE_H
#define LSM_TESTS_ISOLATION_CYCLE_H

#include "isolation/dependency.h"

// Adds a finding for each of a few forbidden cycles, the gravest kind there is, in its shortest
// form. The time is that of sorting transactions and edges, while there are none.
void cycle_find(const struct history *history, const struct edges *edges,
                struct findings *findings);

#endif
