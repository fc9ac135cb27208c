// op_round.h -- one list of operations, run on the engine and compared with the reference.

#ifndef LSM_TESTS_MODEL_OP_ROUND_H
#define LSM_TESTS_MODEL_OP_ROUND_H

#include "model/op_coverage.h"
#include "model/reference.h"

struct round_result {
    bool is_equal;
    size_t failed_op;      // index in the list
    uint64_t history_hash; // of the lines of the engine
    uint64_t ops;          // that were run, not left out
    uint64_t crashes;
    uint64_t lost_commits;
    uint64_t busy;
};

// Runs the list. `history` (may be NULL) gets each line; a difference goes to stderr unless
// `is_quiet`. `coverage` may be NULL.
struct round_result round_run(const struct op_list *list, enum ref_mistake mistake, bool is_quiet,
                              FILE *history, struct op_coverage *coverage);

// The same in a child process, so that an abort or a finding of a sanitizer is a failure like
// another. The result is what the child could tell.
struct round_result round_run_apart(const struct op_list *list, enum ref_mistake mistake,
                                    bool is_quiet, struct op_coverage *coverage);

#endif
