// op_coverage.h -- which kind of operation has met which state of the database.

#ifndef LSM_TESTS_MODEL_OP_COVERAGE_H
#define LSM_TESTS_MODEL_OP_COVERAGE_H

#include "model/subject.h"

enum op_state {
    STATE_ANY,
    STATE_FLUSH,    // a memtable waits for its flush
    STATE_LEVEL0,   // tables in level 0
    STATE_DEEP,     // tables below it
    STATE_REPLAYED, // opened again, nothing flushed since
    STATE_SNAPSHOT, // a snapshot is open
    STATE_TXN,      // a transaction is
    STATE_ITER,     // an iterator is
    STATE_ARMED,    // the power will go
    STATE_CRASHED,  // it has gone at least once
    STATE_COUNT
};

struct op_coverage {
    uint64_t cells[OP_KIND_COUNT][STATE_COUNT];
};

// The states before an operation, a bit each.
unsigned coverage_states(const struct subject *subject, const struct reference *ref);
// Counts an operation that was run.
void coverage_note(struct op_coverage *coverage, enum op_kind kind, unsigned states);
void coverage_print(const struct op_coverage *coverage, FILE *to);
// How many cells that can be met have not been; names them on `to`.
unsigned coverage_holes(const struct op_coverage *coverage, FILE *to);

#endif
