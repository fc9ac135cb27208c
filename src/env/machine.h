// machine.h -- what the machine offers.

#ifndef LSM_ENV_MACHINE_H
#define LSM_ENV_MACHINE_H

// Processors this process may run on, at least 1.
unsigned machine_processor_count(void);

#endif
