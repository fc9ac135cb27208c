// scene.h -- scenes: a database meets one shortage or failure of the system.
//
// A scene runs lives (see load_plan.h) one after another, mostly on one open database, and changes
// the world between them. After each life all of the database is checked against the ledger.

#ifndef LSM_TESTS_KERNEL_SCENE_H
#define LSM_TESTS_KERNEL_SCENE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel/ledger.h"
#include "kernel/mount.h"
#include "kernel/workdir.h"
#include "kernel/workload.h"
#include "support/random.h"

struct scene {
    struct ledger *ledger;
    struct random random;
    char dir[PATH_MAX_HERE];       // in memory, usually
    char mnt[PATH_MAX_HERE + 16];  // an empty directory in it
    char path[PATH_MAX_HERE + 32]; // of the database: in mnt
    lsm_db *db;                    // closed at the end if it is open
    bool is_skipped;               // the system does not permit it
    char told[256];                // what happened, for the report
};

struct scenario {
    const char *name;
    bool (*run)(struct scene *scene); // false: ledger_trouble() tells
};

// Runs every scenario, or the rounds that the arguments tell. Returns what main() is to return:
// EXIT_SKIPPED when all of them were left out.
int scenes_run(const char *name, enum needs needs, const struct scenario *scenarios, size_t count,
               int argc, char **argv);

bool scene_open(struct scene *scene);
bool scene_open_read_only(struct scene *scene);

struct setting {
    const char *name;
    const char *value;
};

// With these options, and the default for what they do not name.
bool scene_open_with(struct scene *scene, const struct setting *settings, size_t count);
bool scene_close(struct scene *scene);

// How writes of a life may end.
enum mood {
    MOOD_FINE,   // none fails
    MOOD_ROUGH,  // they may; reads do not
    MOOD_STARVED // both may
};

// One life on the open database, and the check behind it.
bool scene_live(struct scene *scene, uint32_t attempts, enum mood mood);
// The parts of it.
bool scene_load(struct scene *scene, uint32_t attempts, enum mood mood, void (*begun)(void));
bool scene_check(struct scene *scene, const struct cut *cut);

// A life in a process that is killed while it runs.
bool scene_live_and_kill(struct scene *scene);

// Runs `body` in a process of its own, as scene_judge_child().
bool scene_in_child(struct scene *scene, bool (*body)(struct scene *scene), const char *why);
// What became of a process that has ended as `how` tells. With EXIT_SKIPPED it says that it may
// not do what it is for: the scene is left out, `why` tells the reason.
bool scene_judge_child(struct scene *scene, int how, const char *why);

// That the open database's health is `state`.
bool scene_expect_health(struct scene *scene, lsm_health_state state);
// That `status` is `expected` and has words.
bool scene_expect(struct scene *scene, const char *what, lsm_status status, lsm_status expected);

// Attempts of the life that ended with `status`.
uint64_t scene_ended(const struct scene *scene, lsm_status status);

// A number of /proc/self/status, as "Threads:"; what is memory is in KiB.
uint64_t process_status(const char *field);

// Leaves the scene out. True: nothing is wrong.
bool scene_skip(struct scene *scene, const char *why);

void scene_tell(struct scene *scene, const char *format, ...) __attribute__((format(printf, 2, 3)));
// How many attempts of the life ended with each status.
void scene_tell_ends(struct scene *scene);
bool scene_failed(struct scene *scene, const char *what); // with errno

#endif
