// manifest_life.h -- the fixture of suites that look at one life: a new database on a
// simulated disk.

#ifndef LSM_TESTS_MANIFEST_MANIFEST_LIFE_H
#define LSM_TESTS_MANIFEST_MANIFEST_LIFE_H

#include "manifest_script.h"

static struct sim *sim;
static struct life life;

static void setup(void)
{
    sim = sim_with_dir(1);
    assert_ok(life_create(&life, sim));
}

static void teardown(void)
{
    life_close(&life);
    sim_free(sim);
}

static inline void reopen(void)
{
    life_close(&life);
    assert_ok(life_open(&life, sim));
}

// Applies the first edits of the script.
static inline void play(size_t count)
{
    for (size_t n = 0; n < count; n++)
        assert_ok(life_apply_script(&life, n));
}

// What is stated; no other thread changes it.
static inline const struct manifest_state *state(void)
{
    const struct manifest_state *s;

    manifest_lock(life.manifest);
    s = manifest_state_locked(life.manifest);
    manifest_unlock(life.manifest);
    return s;
}

static inline bool is_there(const char *name)
{
    return life_has_file(&life, name);
}

#endif
