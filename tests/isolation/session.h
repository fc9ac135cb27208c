// session.h -- one process's life with the database of a round: an epoch of its history.

#ifndef LSM_TESTS_ISOLATION_SESSION_H
#define LSM_TESTS_ISOLATION_SESSION_H

#include "isolation/model.h"

// What a round is made of.
struct round_plan {
    const char *path;
    unsigned workers;
    const char *history_size; // options of the engine
    const char *value_threshold;
    bool prefers_serializable;
};

// Runs an epoch as the stage says, in the calling process, and ends that: with 0 when the
// database was closed in order, with 1 and a complaint, or by SIGKILL.
_Noreturn void session_run(const struct round_plan *plan, struct stage *stage, unsigned epoch,
                           uint64_t seed);

#endif
