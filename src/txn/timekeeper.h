// timekeeper.h -- what time it is at least, whatever the system's clock says.
//
// The system's clock may be wrong by seconds or years, and right again later. Readers are told
// what it says. What is dropped for good is judged by the *undoubted* time instead, which
//
//   - goes on from where the database had got to, by the clock that counts seconds and takes
//     part in no step (CLOCK_BOOTTIME, suspended or not);
//   - is never above the system's clock: when that steps back, so does the undoubted time, at
//     once, for one of the two was wrong and only the later one can drop too much;
//   - rises to a system's clock that is ahead once nobody has corrected it for long enough: for
//     an hour when it is ahead by a day at most (closed for a night; a hardware clock that runs
//     in local time, until the first answer of a time server), for a day when by more;
//   - rises at once to the last reading of the process before, if that lies within a month of
//     what was known and the clock now says a day to a month more. So databases that are opened
//     for moments get on as well. A clock wrong by up to a day cannot deceive it: what it said a
//     day ago by its own account is past by now.
//
// Where nothing is known, in a new database, the first reading is believed. Whoever writes an
// entry that has expired already, as when a dump is loaded, puts that in doubt. A clock before
// TIMEKEEPER_BIRTH_NS has not been set: it holds expiry back and teaches nothing.
//
// Not locked: the caller lets one thread in at a time.

#ifndef LSM_TXN_TIMEKEEPER_H
#define LSM_TXN_TIMEKEEPER_H

#include "env/env.h"

#define TIMEKEEPER_BIRTH_NS UINT64_C(1577836800000000000) // 2020-01-01: older than any database

// What is known of the time before this process, in nanoseconds since 1970.
struct clock_history {
    uint64_t undoubted_ns; // when it last wrote down what it knew; 0: never
    uint64_t reading_ns;   // the clock's last reading that is on disk; 0: none
};

struct timekeeper {
    struct env *env;
    // Times as what they are ahead of the clock of elapsed time.
    int64_t undoubted;
    int64_t latest; // the highest that has been undoubted, until corrected for long enough
    bool is_known;  // the two above say something
    int64_t offset; // of the system's clock, at the last reading
    uint64_t steady_since_ns;
    uint64_t read_at_ns;
    uint64_t read_width_ns; // how long that reading took: `offset` may be that much too low
    uint64_t reading_ns;    // as in clock_history
};

// One reading. All of it in nanoseconds since 1970 but the last.
struct clock_state {
    uint64_t system_ns;
    uint64_t undoubted_ns; // at most system_ns
    uint64_t line_ns;      // the undoubted time as it is to be written down
    uint64_t latest_ns;    // above system_ns: the clock is behind
    uint64_t doubted_ns;   // until system_ns is believed, if the clock goes on; 0: it is
};

// How far the system's clock is ahead of the time that is past without doubt; negative when it
// is behind what has been; 0 when it is believed.
int64_t clock_state_ahead_ns(const struct clock_state *state);

void timekeeper_init(struct timekeeper *keeper, struct env *env,
                     const struct clock_history *history);
// Reads the clocks and draws conclusions.
struct clock_state timekeeper_read(struct timekeeper *keeper);
// Somebody takes it to be before `wall_ns`, which so is in doubt, unless the clock has gone on
// for long enough.
void timekeeper_doubt(struct timekeeper *keeper, uint64_t wall_ns);

#endif
