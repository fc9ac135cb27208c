// watcher.h -- one thread that holds snapshots for long and reads them again and again.

#ifndef LSM_TESTS_ISOLATION_WATCHER_H
#define LSM_TESTS_ISOLATION_WATCHER_H

#include "isolation/worker.h"

// Runs until the stage's epoch is over. The argument is a worker without a transaction. What a
// snapshot shows is recorded as one read-only transaction, which must agree with itself.
void *watcher_run(void *arg);

#endif
