// scenarios.h -- what the fault loops run: a state of the database, and calls to fail within.

#ifndef LSM_TESTS_FAULTS_SCENARIOS_H
#define LSM_TESTS_FAULTS_SCENARIOS_H

#include "faults/steps.h"

#define STEPS_MAX 12

struct scenario {
    const char *name;
    struct step image[STEPS_MAX];  // from an empty disk to the disk that each trial starts with
    bool is_crashed;               // the image ends with a power cut, not with a close
    bool is_closed;                // the trial begins with the database closed
    struct step before[STEPS_MAX]; // then, without a fault
    struct step act[STEPS_MAX];    // then, with the fault
    struct step after[STEPS_MAX];  // then, without it again; all of it must succeed
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

#endif
