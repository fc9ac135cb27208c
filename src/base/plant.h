// plant.h -- planted bugs: classic mistakes that the tests must notice.
//
// In a build with LSM_PLANT the environment variable LSM_BUG switches on the one that it
// names; in any other build PLANTED() is false and costs nothing. tests/plant/bugs.txt lists
// them all; `make plant` checks that the tests fail with each.

#ifndef LSM_BASE_PLANT_H
#define LSM_BASE_PLANT_H

#include <stdbool.h>

#ifdef LSM_PLANT
// Whether LSM_BUG, as it was at the first call, is `bug`.
bool plant_is_on(const char *bug);
#define PLANTED(bug) plant_is_on(#bug)
#else
#define PLANTED(bug) false
#endif

#endif
