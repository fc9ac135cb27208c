// access.c -- who may open a database, and by which name.
//
// A directory has one writer, whatever names lead to it. What may not be read or written is
// refused with a word about which file and why; nothing is changed by that, and nothing is taken
// for damage or for a new database.

#include <glob.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/scene.h"

#define NOBODY   65534
#define NO_RIGHT "only root can give its rights away"

static const struct cut same = {.is_power = false};

static bool opening_gives(struct scene *scene, const char *path, lsm_status expected)
{
    lsm_db *db;
    const lsm_status status = lsm_open(path, NULL, &db);

    if (status == LSM_OK)
        (void)lsm_close(db);
    return scene_expect(scene, path, status, expected);
}

static bool reading_gives(struct scene *scene, const char *path, lsm_status expected)
{
    lsm_db *db;
    const lsm_status status = lsm_open_read_only(path, NULL, &db);

    if (status == LSM_OK)
        (void)lsm_close(db);
    return scene_expect(scene, path, status, expected);
}

// A life, closed.
static bool make_database(struct scene *scene)
{
    return scene_open(scene) && scene_live(scene, 60, MOOD_FINE) && scene_close(scene);
}

static bool is_as_before(struct scene *scene)
{
    return scene_open(scene) && scene_check(scene, &same) && scene_live(scene, 30, MOOD_FINE) &&
           scene_close(scene);
}

// --- two names of one directory ---

static struct {
    char link[PATH_MAX_HERE + 32];
    char bound[PATH_MAX_HERE + 32];  // the same directory, mounted once more
    char barred[PATH_MAX_HERE + 32]; // and read-only
} names;

static bool make_names(struct scene *scene)
{
    (void)snprintf(names.link, sizeof names.link, "%s/link", scene->mnt);
    (void)snprintf(names.bound, sizeof names.bound, "%s/bound", scene->mnt);
    (void)snprintf(names.barred, sizeof names.barred, "%s/barred", scene->mnt);
    if (symlink("db", names.link) != 0 || mkdir(names.bound, 0700) != 0 ||
        mkdir(names.barred, 0700) != 0 ||
        mount(scene->path, names.bound, NULL, MS_BIND, NULL) != 0 ||
        mount(scene->path, names.barred, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, names.barred, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
        return scene_failed(scene, "a second name");
    return true;
}

static bool is_kept_out(struct scene *scene)
{
    return opening_gives(scene, scene->path, LSM_LOCKED) &&
           opening_gives(scene, names.link, LSM_LOCKED) &&
           opening_gives(scene, names.bound, LSM_LOCKED);
}

static bool reads_by(struct scene *scene, const char *name)
{
    lsm_db *db;
    struct model after;
    bool is_right;

    if (!scene_expect(scene, name, lsm_open_read_only(name, NULL, &db), LSM_OK))
        return false;
    is_right = ledger_check(scene->ledger, db, &same, &after);
    return lsm_close(db) == LSM_OK && is_right;
}

// Opened by one name, by each in turn, no other one leads in, nor into another process.
static bool has_one_writer(struct scene *scene)
{
    const char *const all[] = {scene->path, names.link, names.bound};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!scene_expect(scene, all[i], lsm_open(all[i], NULL, &scene->db), LSM_OK) ||
            !is_kept_out(scene) || !scene_in_child(scene, is_kept_out, "") ||
            !scene_live(scene, 20, MOOD_FINE) || !scene_close(scene))
            return false;
    }
    return true;
}

static bool dies_and_leaves_no_lock(struct scene *scene)
{
    return scene_live_and_kill(scene) && opening_gives(scene, names.bound, LSM_OK) &&
           scene_open(scene) && scene_check(scene, &same) && scene_close(scene);
}

static bool two_names(struct scene *scene)
{
    bool is_right;

    if (!mount_memory(scene->mnt, "size=128m"))
        return scene_failed(scene, "tmpfs");
    if (!make_database(scene) || !make_names(scene))
        return false;
    is_right = has_one_writer(scene) && dies_and_leaves_no_lock(scene) &&
               reads_by(scene, names.link) && reads_by(scene, names.barred) &&
               opening_gives(scene, names.barred, LSM_READ_ONLY) && is_as_before(scene);
    (void)umount2(names.bound, MNT_DETACH);
    (void)umount2(names.barred, MNT_DETACH);
    return is_right;
}

// --- somebody without rights ---

static void become_nobody(void)
{
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0)
        _exit(EXIT_SKIPPED);
}

// Lets nobody find the place for a database, and make one there.
static bool make_place(struct scene *scene)
{
    return (chmod(scene->dir, 0711) == 0 && chown(scene->mnt, NOBODY, NOBODY) == 0) ||
           scene_failed(scene, "giving a directory away");
}

static bool meet_closed_door(struct scene *scene)
{
    become_nobody();
    return opening_gives(scene, scene->path, LSM_IO) && reading_gives(scene, scene->path, LSM_IO);
}

// A database of somebody else.
static bool owned_by_root(struct scene *scene)
{
    return make_place(scene) && make_database(scene) &&
           scene_in_child(scene, meet_closed_door, NO_RIGHT) && is_as_before(scene);
}

// The first file that the pattern finds, of which there must be one.
static bool find_file(struct scene *scene, const char *pattern, char path[PATH_MAX_HERE * 2])
{
    glob_t found = {0};
    bool is_found;

    (void)snprintf(path, PATH_MAX_HERE * 2, "%s/%s", scene->path, pattern);
    is_found = glob(path, 0, NULL, &found) == 0 && found.gl_pathc > 0;
    if (is_found)
        (void)snprintf(path, PATH_MAX_HERE * 2, "%s", found.gl_pathv[0]);
    globfree(&found);
    return is_found || ledger_trouble(scene->ledger, "there is no %s", pattern);
}

// Names the file, in words.
static bool names_file(struct scene *scene, const char *path)
{
    const char *name = strrchr(path, '/') + 1;

    return strstr(lsm_errmsg(), name) != NULL ||
           ledger_trouble(scene->ledger, "%s is not named: %s", name, lsm_errmsg());
}

// What opening gives without the right to `path`. With it, all is as before.
static bool needs_right_to(struct scene *scene, const char *path, mode_t mode, lsm_status writing,
                           lsm_status reading)
{
    struct stat what;

    if (stat(path, &what) != 0 || chmod(path, mode) != 0)
        return scene_failed(scene, path);
    if (!opening_gives(scene, scene->path, writing) || !names_file(scene, path))
        return false;
    if (!reading_gives(scene, scene->path, reading) ||
        (reading != LSM_OK && !names_file(scene, path)))
        return false;
    if (chmod(path, what.st_mode & 0777) != 0)
        return scene_failed(scene, path);
    return is_as_before(scene);
}

// A table or segment may be opened only when it is read.
static bool verify_fails(struct scene *scene, const char *path)
{
    lsm_db *db;
    lsm_status status = lsm_open_read_only(scene->path, NULL, &db);
    bool is_right = status != LSM_OK;

    if (status == LSM_OK) {
        status = lsm_verify(db, NULL, NULL);
        is_right = lsm_close(db) == LSM_OK; // leaves the words of the failure
    }
    return is_right && scene_expect(scene, "reading", status, LSM_IO) && names_file(scene, path);
}

static bool is_not_read_without_right(struct scene *scene, const char *pattern)
{
    char path[PATH_MAX_HERE * 2];

    if (!find_file(scene, pattern, path))
        return false;
    if (chmod(path, 0) != 0)
        return scene_failed(scene, path);
    if (!verify_fails(scene, path))
        return false;
    if (chmod(path, 0600) != 0)
        return scene_failed(scene, path);
    return is_as_before(scene);
}

static bool live_without_rights(struct scene *scene)
{
    char path[PATH_MAX_HERE * 2];

    become_nobody();
    // All that root could do, too.
    if (!make_database(scene) || !is_as_before(scene))
        return false;
    if (!find_file(scene, "LOCK", path) ||
        !needs_right_to(scene, path, 0400, LSM_READ_ONLY, LSM_OK))
        return false;
    if (!find_file(scene, "CURRENT", path) || !needs_right_to(scene, path, 0, LSM_IO, LSM_IO))
        return false;
    if (!find_file(scene, "MANIFEST-*", path) || !needs_right_to(scene, path, 0, LSM_IO, LSM_IO))
        return false;
    return is_not_read_without_right(scene, "*.sst") &&
           is_not_read_without_right(scene, "*.vlog") &&
           needs_right_to(scene, scene->path, 0500, LSM_READ_ONLY, LSM_OK);
}

static bool without_rights(struct scene *scene)
{
    return make_place(scene) && scene_in_child(scene, live_without_rights, NO_RIGHT);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"two names of one directory", two_names},
        {"a database of somebody else", owned_by_root},
        {"files without permission", without_rights},
    };

    return scenes_run("access", NEEDS_MOUNTS, scenarios, sizeof scenarios / sizeof scenarios[0],
                      argc, argv);
}
