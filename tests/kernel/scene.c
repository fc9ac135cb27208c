#include "kernel/scene.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/guard.h"
#include "support/campaign.h"

#define THREADS 4

// --- the database ---

static bool open_with(struct scene *scene,
                      lsm_status (*open)(const char *path, const lsm_options *options,
                                         lsm_db **out))
{
    lsm_options *options = busy_options(&scene->random);
    const lsm_status status = open(scene->path, options, &scene->db);

    lsm_options_free(options);
    if (status != LSM_OK)
        scene->db = NULL;
    return status == LSM_OK || ledger_trouble(scene->ledger, "opening: %s", lsm_errmsg());
}

bool scene_open(struct scene *scene)
{
    return open_with(scene, lsm_open);
}

bool scene_open_read_only(struct scene *scene)
{
    return open_with(scene, lsm_open_read_only);
}

bool scene_open_with(struct scene *scene, const struct setting *settings, size_t count)
{
    lsm_options *options;
    lsm_status status = lsm_options_new(&options);

    if (status != LSM_OK)
        return ledger_trouble(scene->ledger, "options: %s", lsm_errmsg());
    for (size_t i = 0; i < count && status == LSM_OK; i++)
        status = lsm_options_set(options, settings[i].name, settings[i].value);
    if (status == LSM_OK)
        status = lsm_open(scene->path, options, &scene->db);
    lsm_options_free(options);
    return status == LSM_OK || ledger_trouble(scene->ledger, "opening: %s", lsm_errmsg());
}

bool scene_close(struct scene *scene)
{
    const lsm_status status = lsm_close(scene->db);

    scene->db = NULL;
    return status == LSM_OK || ledger_trouble(scene->ledger, "closing: %s", lsm_errmsg());
}

bool scene_load(struct scene *scene, uint32_t attempts, enum mood mood, void (*begun)(void))
{
    struct load load = {
        .ledger = scene->ledger,
        .db = scene->db,
        .attempts = attempts,
        .writes_may_fail = mood != MOOD_FINE,
        .reads_may_fail = mood == MOOD_STARVED,
        .begun = begun,
    };

    return load_run(&load);
}

bool scene_check(struct scene *scene, const struct cut *cut)
{
    struct model after;

    if (!ledger_check(scene->ledger, scene->db, cut, &after))
        return false;
    ledger_next_life(scene->ledger, &after);
    return true;
}

bool scene_live(struct scene *scene, uint32_t attempts, enum mood mood)
{
    const struct cut cut = {.is_rough = mood != MOOD_FINE};

    return scene_load(scene, attempts, mood, NULL) && scene_check(scene, &cut);
}

bool scene_live_and_kill(struct scene *scene)
{
    const uint64_t delay_us = 2000 + random_below(&scene->random, 20000);
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        if (scene_open(scene))
            (void)scene_load(scene, ATTEMPTS_MAX, MOOD_FINE, NULL);
        for (;;)
            (void)pause();
    }
    if (child < 0)
        return scene_failed(scene, "fork");
    while (!atomic_load(&scene->ledger->is_loading) &&
           !atomic_load(&scene->ledger->is_in_trouble) && waitpid(child, NULL, WNOHANG) == 0)
        (void)usleep(200);
    (void)usleep((useconds_t)delay_us);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    return !atomic_load(&scene->ledger->is_in_trouble);
}

bool scene_judge_child(struct scene *scene, int how, const char *why)
{
    if (WIFSIGNALED(how))
        return ledger_trouble(scene->ledger, "killed by signal %d", WTERMSIG(how));
    if (WEXITSTATUS(how) == EXIT_SKIPPED)
        return scene_skip(scene, why);
    return how == 0 || ledger_trouble(scene->ledger, "a process failed without a word");
}

bool scene_in_child(struct scene *scene, bool (*body)(struct scene *scene), const char *why)
{
    pid_t child;
    int how;

    fflush(NULL);
    child = fork();
    if (child == 0)
        _exit(body(scene) ? 0 : 1);
    if (child < 0 || waitpid(child, &how, 0) != child)
        return scene_failed(scene, "a process");
    return scene_judge_child(scene, how, why);
}

// --- expectations ---

bool scene_expect_health(struct scene *scene, lsm_health_state state)
{
    lsm_health_info health;

    if (lsm_health(scene->db, &health) != LSM_OK)
        return ledger_trouble(scene->ledger, "lsm_health: %s", lsm_errmsg());
    return health.state == state || ledger_trouble(scene->ledger, "health is %d, not %d: %s",
                                                   health.state, state, health.reason);
}

bool scene_expect(struct scene *scene, const char *what, lsm_status status, lsm_status expected)
{
    if (status != expected)
        return ledger_trouble(scene->ledger, "%s gives %s, not %s: %s", what,
                              lsm_status_name(status), lsm_status_name(expected), lsm_errmsg());
    return status == LSM_OK || lsm_errmsg()[0] != '\0' ||
           ledger_trouble(scene->ledger, "%s fails without a word", what);
}

uint64_t process_status(const char *field)
{
    char line[256];
    uint64_t number = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0)
            number = strtoull(line + strlen(field), NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return number;
}

uint64_t scene_ended(const struct scene *scene, lsm_status status)
{
    return atomic_load(&scene->ledger->ended[status]);
}

void scene_tell(struct scene *scene, const char *format, ...)
{
    const size_t used = strlen(scene->told);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(scene->told + used, sizeof scene->told - used, format, args);
    va_end(args);
}

bool scene_skip(struct scene *scene, const char *why)
{
    scene->is_skipped = true;
    scene_tell(scene, "SKIPPED: %s", why);
    return true;
}

void scene_tell_ends(struct scene *scene)
{
    for (lsm_status status = LSM_OK; status <= LSM_UNSUPPORTED; status++) {
        if (scene_ended(scene, status) > 0)
            scene_tell(scene, "%" PRIu64 " %s, ", scene_ended(scene, status),
                       lsm_status_name(status));
    }
}

bool scene_failed(struct scene *scene, const char *what)
{
    return ledger_trouble(scene->ledger, "%s: %s", what, strerror(errno));
}

// --- running ---

static void run_scene(struct campaign *campaign, struct scene *scene,
                      const struct scenario *scenario)
{
    bool is_right;

    (void)snprintf(scene->mnt, sizeof scene->mnt, "%s/mnt-%" PRIu64, scene->dir, campaign->round);
    (void)snprintf(scene->path, sizeof scene->path, "%s/db", scene->mnt);
    scene->ledger = ledger_new(random_next(&scene->random), THREADS);
    scene->told[0] = '\0';
    scene->is_skipped = false;
    is_right =
        mkdir(scene->mnt, 0700) == 0 ? scenario->run(scene) : scene_failed(scene, scene->mnt);
    if (scene->db != NULL)
        (void)lsm_close(scene->db);
    scene->db = NULL;
    if (is_right)
        printf("%s: %s: %s\n", campaign->name, scenario->name, scene->told);
    else
        campaign_violation(campaign, "%s: life %u: %s\n    so far: %s", scenario->name,
                           scene->ledger->life, scene->ledger->trouble, scene->told);
    (void)umount2(scene->mnt, MNT_DETACH); // where something is mounted
    workdir_remove(scene->mnt);
    ledger_free(scene->ledger);
}

int scenes_run(const char *name, enum needs needs, const struct scenario *scenarios, size_t count,
               int argc, char **argv)
{
    struct campaign campaign = campaign_begin(name, count, argc, argv);
    struct scene scene = {0};
    uint64_t skipped = 0;
    int code;

    setvbuf(stdout, NULL, _IOLBF, 0);
    guard_begin();
    mounts_begin(needs);
    take_all_descriptors();
    workdir_make(name, scene.dir);
    while (campaign_next(&campaign, &scene.random)) {
        run_scene(&campaign, &scene, &scenarios[campaign.round % count]);
        skipped += scene.is_skipped;
    }
    workdir_remove(scene.dir);
    code = campaign_end(&campaign, campaign.round - skipped, "scenes");
    return code == 0 && skipped == campaign.round ? EXIT_SKIPPED : code;
}
