// op_reducer.h -- makes a failing list small: delta debugging, then smaller numbers.

#ifndef LSM_TESTS_MODEL_OP_REDUCER_H
#define LSM_TESTS_MODEL_OP_REDUCER_H

#include "model/op_list.h"

// Whether the list still fails.
typedef bool (*op_fails_fn)(void *ctx, const struct op_list *list);

// Takes operations and then numbers away from `list`, which fails, for as long as it goes on
// failing, with at most `tries_max` calls of `fails`. Without a bound met, no single operation
// can be left out of the result, and no field be made zero or halved. Returns the calls made.
size_t op_reduce(struct op_list *list, op_fails_fn fails, void *ctx, size_t tries_max);

#endif
