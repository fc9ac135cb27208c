// steps.h -- the calls of the API that the fault loops make, each with what it must give.

#ifndef LSM_TESTS_FAULTS_STEPS_H
#define LSM_TESTS_FAULTS_STEPS_H

#include "faults/world.h"

struct step;

// Makes the call. Returns its failure; what is wrong with a success is noted in the world.
typedef lsm_status (*step_fn)(struct world *w, const struct step *step);

struct step {
    step_fn run; // NULL ends a list
    unsigned key;
    unsigned count;
    size_t size;
    enum world_keyspace keyspace;
    bool is_weak;
};

// Runs the steps until one fails.
lsm_status steps_run(struct world *w, const struct step *steps);

// --- writing ---

lsm_status step_put(struct world *w, const struct step *step); // `count` single puts
lsm_status step_delete(struct world *w, const struct step *step);
lsm_status step_batch(struct world *w, const struct step *step);
lsm_status step_batch_delete(struct world *w, const struct step *step);
lsm_status step_txn(struct world *w, const struct step *step); // reads, scans, then puts
lsm_status step_async(struct world *w, const struct step *step);
lsm_status step_async_many(struct world *w, const struct step *step); // one group
lsm_status step_update(struct world *w, const struct step *step);     // meets a conflict
lsm_status step_swap(struct world *w, const struct step *step);       // compare and set
lsm_status step_put_if_absent(struct world *w, const struct step *step);
lsm_status step_rollback(struct world *w, const struct step *step); // savepoints, then nothing

// --- reading ---

lsm_status step_read(struct world *w, const struct step *step); // everything, in every way
lsm_status step_multi_get(struct world *w, const struct step *step);
lsm_status step_pin(struct world *w, const struct step *step);
lsm_status step_snapshot(struct world *w, const struct step *step);
lsm_status step_iterate(struct world *w, const struct step *step); // with bounds, seeks, prefetch

// --- the rest ---

lsm_status step_create(struct world *w, const struct step *step); // the other keyspace
lsm_status step_drop(struct world *w, const struct step *step);
lsm_status step_alter(struct world *w, const struct step *step);
lsm_status step_flush(struct world *w, const struct step *step);
lsm_status step_sync(struct world *w, const struct step *step);
lsm_status step_compact(struct world *w, const struct step *step);
lsm_status step_wait_idle(struct world *w, const struct step *step);
lsm_status step_resume(struct world *w, const struct step *step);
lsm_status step_jobs(struct world *w, const struct step *step);    // at most `count`
lsm_status step_advance(struct world *w, const struct step *step); // `size` ms, and jobs
lsm_status step_verify(struct world *w, const struct step *step);
lsm_status step_look(struct world *w, const struct step *step); // statistics and listings
lsm_status step_set_option(struct world *w, const struct step *step);
lsm_status step_open(struct world *w, const struct step *step);
lsm_status step_close(struct world *w, const struct step *step);
lsm_status step_unborn(struct world *w, const struct step *step); // made up to call `count`
lsm_status step_options_file(struct world *w, const struct step *step);
lsm_status step_inspect(struct world *w, const struct step *step);   // every table, as lsmctl does
lsm_status step_read_only(struct world *w, const struct step *step); // opens, reads, closes

// --- salvage ---

enum damage {
    WITHOUT_CURRENT = 1,
    WITHOUT_MANIFEST = 2,
    BAD_MANIFEST = 4,
    BAD_TABLES = 8,
    BAD_SEGMENTS = 16,
};

lsm_status step_damage(struct world *w, const struct step *step);  // in a copy, as `count` says
lsm_status step_salvage(struct world *w, const struct step *step); // the copy, into a new one
lsm_status step_look_at_damage(struct world *w, const struct step *step); // into none
// The new database is whole or does not open, and the copy is as it was.
lsm_status step_judge_salvage(struct world *w, const struct step *step);

#endif
