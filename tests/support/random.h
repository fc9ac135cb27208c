// random.h -- repeatable random numbers for tests (splitmix64).

#ifndef LSM_TESTS_SUPPORT_RANDOM_H
#define LSM_TESTS_SUPPORT_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t mixed = random->state += 0x9E3779B97F4A7C15u;

    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
}

// A number from 0 to `limit` - 1.
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
    return random_next(random) % limit;
}

// True in one of `n` cases.
static inline bool random_one_in(struct random *random, uint64_t n)
{
    return random_below(random, n) == 0;
}

static inline void random_fill(struct random *random, void *to, size_t size)
{
    uint8_t *at = to;

    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)random_next(random);
}

// Seeded from the environment's LSM_SEED, or else from the clock. The seed is
// printed, so that a failure can be repeated.
static inline struct random random_for_test(const char *test)
{
    const char *given = getenv("LSM_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given != NULL ? strtoull(given, NULL, 0)
                         : (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    fprintf(stderr, "%s: LSM_SEED=%llu\n", test, (unsigned long long)seed);
    return (struct random){.state = seed};
}

#endif
