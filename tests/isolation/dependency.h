// dependency.h -- which transaction of a history must come before which, and why.
//
// The order of a key's versions comes from lists, where any read tells all that came before;
// from transactions that read the version they overwrite; and for other writes of registers
// from commit timestamps. A timestamp that lies leads to a cycle too, since what was read, and
// the order of real time, do not depend on it.

#ifndef LSM_TESTS_ISOLATION_DEPENDENCY_H
#define LSM_TESTS_ISOLATION_DEPENDENCY_H

#include "isolation/history.h"

enum edge_kind {
    EDGE_WW, // overwrote, or appended behind
    EDGE_WR, // read what the other wrote
    EDGE_RW, // read what the other then overwrote
    EDGE_RT, // had ended before the other began
};

struct edge {
    uint32_t from; // transactions
    uint32_t to;
    uint32_t key;
    enum edge_kind kind;
    bool is_predicate; // of EDGE_RW: the read was part of a scan
};

struct edges {
    VECTOR(struct edge);
};

// Infers all but EDGE_RT, and finds what shows without a cycle. Settles outcomes: who was read
// by another has committed; any other of unknown outcome counts as aborted.
void dependency_infer(struct history *history, struct edges *edges, struct findings *findings);

#endif
