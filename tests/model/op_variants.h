// op_variants.h -- what stands behind the numbers of options and keyspace options.

#ifndef LSM_TESTS_MODEL_OP_VARIANTS_H
#define LSM_TESTS_MODEL_OP_VARIANTS_H

#include "lsmkv.h"
#include "model/op_list.h"

// Options that a list can open the database with: `option n=... size=...`.
struct option_choice {
    const char *name;
    size_t offset; // in struct lsm_options
    uint64_t min;
    uint64_t max;
};

#define OPTION_SCHEDULE 0 // not of the engine: the seed by which jobs are chosen

extern const struct option_choice option_choices[];
extern const uint32_t option_choice_count;
// The number of an option; the program ends when there is none of that name.
uint32_t option_choice_number(const char *name);

// Changes at run time: `set_option n=...`.
struct option_change {
    const char *name;
    const char *value;
    lsm_status status;
};

extern const struct option_change option_changes[];
extern const uint32_t option_change_count;

// The options of a keyspace that `n` and `ttl` of an operation stand for.
lsm_keyspace_options keyspace_variant(const struct op *op);

#endif
