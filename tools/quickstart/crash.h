// crash.h -- a load that is killed in the middle, and the proof of what is left.

#ifndef LSM_QUICKSTART_CRASH_H
#define LSM_QUICKSTART_CRASH_H

#include "dpkg.h"

// Loads the packages a second time, in a child process that is killed by SIGKILL at
// a random moment; then opens the database and checks that it holds every commit
// that was acknowledged, in order, whole, and nothing but whole commits. Ends the
// program when it does not. The database is not open in this process.
void crash_and_check(const char *path, const struct packages *packages);

#endif
