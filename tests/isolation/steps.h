// steps.h -- what a worker does within its open transaction, and records.

#ifndef LSM_TESTS_ISOLATION_STEPS_H
#define LSM_TESTS_ISOLATION_STEPS_H

#include "isolation/worker.h"

// A random one that the transaction's level allows.
void step_run(struct worker *worker);

// Lets others come between, now and then.
void step_yield(struct worker *worker);

uint32_t step_any_register(struct worker *worker);
// A list that is not full yet.
uint32_t step_any_list(struct worker *worker);
uint64_t step_new_value(struct worker *worker);

// NULL when the key is absent; else valid until the next read. Not recorded.
const lsm_slice *step_get(struct worker *worker, uint32_t key, lsm_slice *value);
// Not recorded.
void step_put(struct worker *worker, uint32_t key, lsm_slice value);

// Reads one register.
void step_read(struct worker *worker, uint32_t key);
// Scans registers from `low` up to, without, `high`, or some of them.
void step_scan(struct worker *worker, uint32_t low, uint32_t high);
void step_append(struct worker *worker);

// Records a read of a list (NULL: absent), and has others used when it is full.
void step_record_list(struct worker *worker, uint32_t key, const lsm_slice *list);
// Reads registers through an iterator, which it closes, and records what it saw: all of
// [low, high), or up to `count_max` entries of it.
void step_record_scan(struct worker *worker, lsm_iter *it, uint32_t low, uint32_t high,
                      unsigned count_max, bool is_backward);

#endif
