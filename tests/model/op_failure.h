// op_failure.h -- a list that failed, made small and written where it can be replayed from.

#ifndef LSM_TESTS_MODEL_OP_FAILURE_H
#define LSM_TESTS_MODEL_OP_FAILURE_H

#include "model/op_round.h"

// Reduces the failing list to a small one. Each try runs in a process of its own.
void failure_reduce(struct op_list *list, enum ref_mistake mistake);

// Writes the list to a new file below TMPDIR and tells on stderr what it is and how it is
// replayed.
void failure_report(const struct op_list *list, enum ref_mistake mistake);

#endif
