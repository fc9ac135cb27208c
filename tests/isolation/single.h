// single.h -- operations of the database that are a transaction each, recorded.

#ifndef LSM_TESTS_ISOLATION_SINGLE_H
#define LSM_TESTS_ISOLATION_SINGLE_H

#include "isolation/worker.h"

// Runs a random one.
void single_run(struct worker *worker);

#endif
