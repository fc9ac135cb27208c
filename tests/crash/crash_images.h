// crash_images.h -- the disk before every call of a run, and what a crash there may leave.

#ifndef LSM_TESTS_CRASH_CRASH_IMAGES_H
#define LSM_TESTS_CRASH_CRASH_IMAGES_H

#include "crash_history.h"
#include "support/random.h"
#include "support/sim.h"

// The moment before a call: what is on the disk, and what the application knew.
struct moment {
    struct sim *disk;
    struct history history;
    uint64_t call; // from 1
    enum sim_op op;
    unsigned kind;
};

// All moments of a run.
struct moments {
    struct moment *items;
    size_t count;
    size_t capacity;
    const struct history *history; // borrowed; of the run
};

// Notes every call of `sim` that changes the disk from now on.
void moments_watch(struct moments *moments, struct sim *sim, const struct history *history);
// Ends that.
void moments_unwatch(struct sim *sim);
// One more, before a call of that kind.
void moments_add(struct moments *moments, struct sim *sim, enum sim_op op, unsigned kind);
// The moment after the last call.
void moments_add_end(struct moments *moments, struct sim *sim);
void moments_release(struct moments *moments);

// One way to survive.
struct survival {
    enum sim_survival kind;
    uint64_t number;
};
#define SURVIVALS_MAX 96

// The ways to survive a crash at `moment`: none, all, names only, each prefix, each single one
// kept, each single one lost, the last write torn, and random ones. Where many operations are
// pending, a sample of each. Returns how many.
size_t moment_survivals(const struct moment *moment, struct random *random,
                        struct survival out[SURVIVALS_MAX]);
// Of the moments of a recovery, in which the application learns nothing: those ways at moment
// `index` that leave what none left at a moment before. All moments together have none, all,
// each prefix and, where most is pending, a random one.
size_t moments_new_survivals(const struct moments *moments, size_t index, struct random *random,
                             struct survival out[SURVIVALS_MAX]);
const char *survival_name(enum sim_survival kind);

// A set of hashes.
struct hash_set {
    uint64_t *items;
    size_t count;
    size_t room; // a power of two, or 0
};

// False when it is there already.
bool hash_set_add(struct hash_set *set, uint64_t hash);
void hash_set_clear(struct hash_set *set);

#endif
