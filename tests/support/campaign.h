// campaign.h -- a campaign: one check repeated over many seeded rounds.
//
// A campaign is a plain program. Each round takes its random numbers from the seed and its
// own number alone, so that a failing round is replayed by itself:
//
//     NAME [--seed N] [--seconds N | --rounds N] [--thin N] [--round N]
//
// With --thin it does what it has that is costly one time in N, for where time is short.
//
// Its last line is `campaign NAME: COUNT UNIT, N violations, seed N`, which the soak run
// collects; it exits with 1 if there was a violation.

#ifndef LSM_TESTS_SUPPORT_CAMPAIGN_H
#define LSM_TESTS_SUPPORT_CAMPAIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "support/random.h"

struct campaign {
    const char *name;
    uint64_t seed;
    uint64_t round;       // the one that runs now
    uint64_t rounds_max;  // 0: until the time is up
    uint64_t deadline_ns; // monotonic; 0: none
    uint64_t thin;        // from 1
    uint64_t violations;
    bool is_replay; // of one round: be talkative
    bool has_begun;
};

// Reads the options; without any, `rounds` rounds. The seed is the option's, the environment's
// LSM_SEED, or the clock's, and is printed. Exits with 2 on an option it does not know.
struct campaign campaign_begin(const char *name, uint64_t rounds, int argc, char **argv);

// Moves on to the next round, if there is one, and sets its random numbers.
bool campaign_next(struct campaign *campaign, struct random *random);

// Counts a violation and prints it with the command that replays the round. Any thread may
// call it, one at a time.
void campaign_violation(struct campaign *campaign, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Prints the last line. Returns what main() is to return.
int campaign_end(const struct campaign *campaign, uint64_t count, const char *unit);

#endif
