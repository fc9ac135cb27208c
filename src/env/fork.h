// fork.h -- telling a forked child from the process that opened a database.

#ifndef LSM_ENV_FORK_H
#define LSM_ENV_FORK_H

#include <stdatomic.h>

// How often this process image has come out of fork() since the first call of
// fork_watch(). Written in the child before fork() returns there.
extern _Atomic unsigned fork_generation_count;

// Starts counting. Any thread; once is enough.
void fork_watch(void);

static inline unsigned fork_generation(void)
{
    return atomic_load_explicit(&fork_generation_count, memory_order_relaxed);
}

#endif
