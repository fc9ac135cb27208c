#include "env/fork.h"

#include <pthread.h>

_Atomic unsigned fork_generation_count;

static void count_fork(void)
{
    atomic_fetch_add_explicit(&fork_generation_count, 1, memory_order_relaxed);
}

static void register_handler(void)
{
    (void)pthread_atfork(NULL, NULL, count_fork);
}

void fork_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, register_handler);
}
