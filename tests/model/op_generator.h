// op_generator.h -- random lists of operations, and the option sets they are run with.

#ifndef LSM_TESTS_MODEL_OP_GENERATOR_H
#define LSM_TESTS_MODEL_OP_GENERATOR_H

#include "model/op_list.h"
#include "support/random.h"

// Appends `count` operations. What they need is mostly there: slots are filled before they
// are used.
void op_generate(struct op_list *list, struct random *random, size_t count);

// The option sets, by number: named ones, then OPTION_SETS_RANDOM drawn from `random`.
#define OPTION_SETS_NAMED 11u
const char *option_set_name(uint32_t set);
// Appends the `option` operations of a set.
void option_set_add(struct op_list *list, uint32_t set, struct random *random);

#endif
