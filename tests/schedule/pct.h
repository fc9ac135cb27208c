// pct.h -- runs the threads of a program one at a time, in an order that a seed decides.
//
// pct.c is an implementation of env/sync.h: a program that links it has it in place of the
// library's. Every lock, wait, signal, start and end of a thread, and every SCHEDULE_POINT(),
// is a step, at which another thread may be run. Threads have random priorities and the
// highest that can run does, but for a few random steps, at which the running one falls behind
// all others: an ordering bug that needs d such constraints is found with a probability of at
// least 1 / (n * k^(d-1)) for n threads and k steps (Burckhardt et al., "A Randomized
// Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010).
//
// Time stands still while a thread can run; when none can, the earliest deadline comes. Where
// no deadline is left either, the program is stuck: it prints what each thread waits for and
// aborts.

#ifndef LSM_TESTS_SCHEDULE_PCT_H
#define LSM_TESTS_SCHEDULE_PCT_H

#include <stdbool.h>
#include <stdint.h>

struct pct_options {
    uint64_t seed;
    unsigned changes; // of priority during the run: d - 1
    uint64_t steps;   // expected, k: the changes are spread over so many
    // One step in so many is a change as well, which makes a random walk of it; 0: none.
    unsigned wander;
    // One waiting thread in so many steps finds its deadline passed early; 0: none.
    unsigned early_deadline;
};

// From here to pct_end() only the calling thread and those that it starts run, in turn. It is
// the only thread then, and at pct_end() again.
void pct_begin(const struct pct_options *options);
// Returns the number of steps.
uint64_t pct_end(void);

// From here on the running thread keeps its turn at every step, or may lose it again. It holds no
// mutex meanwhile that another could wait for, and waits for nothing.
void pct_keep_turn(bool is_kept);

// Begins the program anew with addresses that are the same in each run, where the system lets
// it: where a thread looks for a free slot depends on them. To be called first in main().
void pct_fix_addresses(char **argv);

// The clock that deadlines are of: for the env of the program.
uint64_t pct_now_ns(void);

#endif
