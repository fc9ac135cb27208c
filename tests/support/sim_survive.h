// sim_survive.h -- what of the disk is there after the power has gone and come back.

#ifndef LSM_TESTS_SUPPORT_SIM_SURVIVE_H
#define LSM_TESTS_SUPPORT_SIM_SURVIVE_H

#include "support/sim_disk.h"

// What survives is all that is there, and durable.
void disk_survive(struct disk *disk, enum sim_survival survival, uint64_t number);

#endif
