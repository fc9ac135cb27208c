// schedule.h -- points at which a test may run another thread.
//
// Mutexes and conditions are such points by themselves, as a test links its own env/sync.h;
// these mark where threads meet without one: around what is published by an atomic. They are
// nothing at all unless LSM_SCHEDULE is defined. No mutex but those of env/sync.h may be held
// at one.

#ifndef LSM_BASE_SCHEDULE_H
#define LSM_BASE_SCHEDULE_H

#ifdef LSM_SCHEDULE
#include <stdbool.h>

// NULL: threads run as the system has it. `gives_way` says that the thread spins until
// another one has done something. Set while there is one thread.
extern void (*schedule_hook)(bool gives_way);

#define SCHEDULE_POINT()     (schedule_hook != NULL ? schedule_hook(false) : (void)0)
#define SCHEDULE_GIVES_WAY() (schedule_hook != NULL ? schedule_hook(true) : (void)0)
#else
#define SCHEDULE_POINT()     ((void)0)
#define SCHEDULE_GIVES_WAY() ((void)0)
#endif

#endif
