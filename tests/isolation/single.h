// single.h -- operations of the database that are a transaction each, recorded.

#ifndef LSM_TESTS_ISOLATION_SINGLE_H
#define LSM_TESTS_ISOLATION_SINGLE_H

#include "isolation/worker.h"

// Runs a random one.
void single_run(struct worker *worker);

// What single.c and worker.c share: a list in use, recording a read of one (NULL: absent), and
// the end of a transaction.
uint32_t worker_any_list(struct worker *worker);
void worker_record_list(struct worker *worker, uint32_t key, const lsm_slice *list);
void worker_finish(struct worker *worker, enum event_kind outcome, uint64_t ts);

#endif
