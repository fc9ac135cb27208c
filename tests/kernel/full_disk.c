// full_disk.c -- a file system that has no room, or no inode, left.
//
// What fails fails softly: the call gets LSM_NO_SPACE, nothing is lost, reads go on, and once
// there is room again everything works without reopening. A database whose process died opens
// on a full disk or says that there is no space; it opens once there is.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernel/scene.h"

#define INODES "1000" // far more than the database uses

// --- ballast ---

static void ballast_path(const struct scene *scene, unsigned number, char path[])
{
    (void)snprintf(path, PATH_MAX_HERE + 64, "%s/ballast-%u", scene->mnt, number);
}

// Leaves `left` bytes free, up to a page.
static bool take_all_room(struct scene *scene, uint64_t left)
{
    static const char zeros[4096];
    char path[PATH_MAX_HERE + 64];
    off_t size = 0;
    ssize_t written;
    int fd;

    ballast_path(scene, 0, path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return scene_failed(scene, path);
    while ((written = write(fd, zeros, sizeof zeros)) > 0)
        size += written;
    if (left > 0 && size > (off_t)left && ftruncate(fd, size - (off_t)left) != 0)
        return scene_failed(scene, "cutting the ballast");
    (void)close(fd);
    return true;
}

static bool take_all_inodes(struct scene *scene, uint64_t left)
{
    char path[PATH_MAX_HERE + 64];
    unsigned made = 0;
    int fd;

    do {
        ballast_path(scene, made++, path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            (void)close(fd);
    } while (fd >= 0);
    if (errno != ENOSPC)
        return scene_failed(scene, path);
    for (uint64_t i = 0; i < left && made-- > 0; i++) {
        ballast_path(scene, made, path);
        (void)unlink(path);
    }
    return true;
}

static void give_back(struct scene *scene)
{
    char path[PATH_MAX_HERE + 64];

    for (unsigned number = 0; number < 1000; number++) {
        ballast_path(scene, number, path);
        (void)unlink(path);
    }
}

// --- scenes ---

static bool works_again(struct scene *scene)
{
    give_back(scene);
    return scene_expect(scene, "lsm_resume", lsm_resume(scene->db), LSM_OK) &&
           scene_expect(scene, "lsm_flush with room again", lsm_flush(scene->db), LSM_OK) &&
           scene_live(scene, 100, MOOD_FINE) && scene_expect_health(scene, LSM_HEALTHY);
}

// Runs out of room under load, several times, without reopening.
static bool run_out(struct scene *scene, bool (*take_all)(struct scene *scene, uint64_t left),
                    uint64_t left_max)
{
    static const struct cut same = {.is_power = false};
    lsm_health_info health;

    if (!scene_open(scene) || !scene_live(scene, 100, MOOD_FINE))
        return false;
    for (int i = 0; i < 3; i++) {
        const uint64_t left = i == 0 ? 0 : random_below(&scene->random, left_max);

        if (!take_all(scene, left) || !scene_load(scene, 150, MOOD_ROUGH, NULL))
            return false;
        if (lsm_health(scene->db, &health) != LSM_OK || health.state == LSM_SICK)
            return ledger_trouble(scene->ledger, "poisoned by a full disk: %s", health.reason);
        scene_tell(scene, "%" PRIu64 " attempts went through, %" PRIu64 " found no space; ",
                   scene_ended(scene, LSM_OK), scene_ended(scene, LSM_NO_SPACE));
        if (!scene_check(scene, &(struct cut){.is_rough = true}) || !works_again(scene))
            return false;
    }
    // An empty life: everything again, from what is on the disk.
    return scene_close(scene) && scene_open(scene) && scene_check(scene, &same);
}

static bool no_room(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=96m") || scene_failed(scene, "tmpfs")) &&
           run_out(scene, take_all_room, UINT64_C(2) << 20);
}

static bool no_inodes(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=128m,nr_inodes=" INODES) ||
            scene_failed(scene, "tmpfs")) &&
           run_out(scene, take_all_inodes, 4);
}

// The process dies, and its disk is full when the next one comes.
static bool recover_without(struct scene *scene,
                            bool (*take_all)(struct scene *scene, uint64_t left))
{
    static const struct cut killed = {.is_power = false};
    lsm_status status;

    for (int i = 0; i < 5; i++) {
        if (!scene_live_and_kill(scene) || !take_all(scene, 0))
            return false;
        status = lsm_open(scene->path, NULL, &scene->db);
        if (status == LSM_OK) {
            if (!scene_close(scene))
                return false;
        } else {
            scene->db = NULL;
            if (!scene_expect(scene, "opening on a full disk", status, LSM_NO_SPACE))
                return false;
        }
        scene_tell(scene, "%s, ", lsm_status_name(status));
        // Reading needs no room. Then recovery is the whole way again.
        if (!scene_open_read_only(scene) || !scene_check(scene, &killed) || !scene_close(scene))
            return false;
        give_back(scene);
    }
    return scene_open(scene) && scene_live(scene, 50, MOOD_FINE) && scene_close(scene);
}

static bool recover_without_room(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=128m") || scene_failed(scene, "tmpfs")) &&
           recover_without(scene, take_all_room);
}

static bool recover_without_inodes(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=128m,nr_inodes=" INODES) ||
            scene_failed(scene, "tmpfs")) &&
           recover_without(scene, take_all_inodes);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"no room", no_room},
        {"no inodes", no_inodes},
        {"recovery without room", recover_without_room},
        {"recovery without inodes", recover_without_inodes},
    };

    return scenes_run("full_disk", NEEDS_MOUNTS, scenarios, sizeof scenarios / sizeof scenarios[0],
                      argc, argv);
}
