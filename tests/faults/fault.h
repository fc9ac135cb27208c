// fault.h -- lets one call, or every call from one on, fail: of the env or of the allocator.
//
// The calls of a sim's env are counted by op and kind of file, and so are those made to fail.
// For one thread.

#ifndef LSM_TESTS_FAULTS_FAULT_H
#define LSM_TESTS_FAULTS_FAULT_H

#include "support/sim.h"

enum fault_error {
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_ALLOCATION, // of memory by the engine itself
    FAULT_EMFILE,
    FAULT_ENOMEM, // of the system
    FAULT_EROFS,
    FAULT_TORN_EIO, // a write fails after a part of its bytes
    FAULT_TORN_ENOSPC,
    FAULT_ENOENT, // what is there seems not to be
    FAULT_ERRORS,
};

struct fault {
    enum fault_error error;
    bool for_ever;
    uint64_t at; // among the calls that can fail so, from 1
};

struct fault_report {
    uint64_t hits; // calls made to fail
    unsigned ops;  // mask of enum sim_op: of which kinds they were
};

const char *fault_name(enum fault_error error);
// What a failed call returns.
lsm_status fault_status(enum fault_error error);

// Takes the allocator; before anything else is allocated.
bool fault_init(void);
// Watches the calls of the sim's env.
void fault_watch(struct sim *sim);

// From now on the fault happens, to calls of `sim`.
void fault_arm(struct sim *sim, const struct fault *fault);
struct fault_report fault_disarm(void);

// Files, directories and locks that are open.
size_t fault_open_handles(void);

// Prints how often each op was called on each kind of file and made to fail, by error. Returns
// how many errors that an op can give never were given where it was called.
size_t fault_print_matrix(void);

#endif
