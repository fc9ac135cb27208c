// crash_compare.h -- reads everything in a database in every way, and compares.

#ifndef LSM_TESTS_CRASH_CRASH_COMPARE_H
#define LSM_TESTS_CRASH_CRASH_COMPARE_H

#include "crash_workload.h"

// Reads all versions and the newest ones, forwards, backwards and one by one, and finds out
// which prefix of the commits that is, which is then settled. LSM_CORRUPT, in words, when
// two ways differ, a byte is wrong, or there is no prefix.
lsm_status session_compare(struct session *s);

#endif
