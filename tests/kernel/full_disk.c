// full_disk.c -- a file system that has no room, no inode or no quota left.
//
// What fails fails softly: the call gets LSM_NO_SPACE, nothing is lost, reads go on, and once
// there is room again everything works without reopening. (Beyond a quota of btrfs a file cannot
// even be made shorter, nor renamed: what is half done then stops writing until the database is
// reopened.) A database whose process died opens on a full disk or says that there is no space; it
// opens once there is.

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/scene.h"
#include "kernel/stage.h"

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

static bool give_back(struct scene *scene)
{
    char path[PATH_MAX_HERE + 64];

    for (unsigned number = 0; number < 1000; number++) {
        ballast_path(scene, number, path);
        (void)unlink(path);
    }
    return true;
}

// --- quotas ---

// Of the first subvolume of a btrfs: UINT64_MAX takes the limit away.
static bool set_quota(struct scene *scene, uint64_t size)
{
    struct btrfs_ioctl_qgroup_limit_args limit = {
        .qgroupid = BTRFS_FIRST_FREE_OBJECTID,
        .lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = size},
    };
    const int fd = open(scene->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is_set = fd >= 0 && ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &limit) == 0;

    if (fd >= 0)
        (void)close(fd);
    return is_set || scene_failed(scene, "setting a quota");
}

static uint64_t size_in_use;

static int add_size(const char *path, const struct stat *what, int type, struct FTW *where)
{
    (void)path;
    (void)type;
    (void)where;
    size_in_use += (uint64_t)what->st_blocks * 512;
    return 0;
}

// Leaves about `left` bytes of it: what the file system needs for itself counts, too.
static bool take_all_quota(struct scene *scene, uint64_t left)
{
    size_in_use = 0;
    (void)nftw(scene->path, add_size, 16, FTW_PHYS); // a file may go meanwhile
    return set_quota(scene, size_in_use + left);
}

static bool give_back_quota(struct scene *scene)
{
    return set_quota(scene, UINT64_MAX);
}

// What a file system runs out of.
struct shortage {
    bool (*take_all)(struct scene *scene, uint64_t left);
    bool (*give_back)(struct scene *scene);
    uint64_t left_max;      // of it, when some is left
    bool meets_all_changes; // even a cut or a rename takes some
};

static const struct shortage of_room = {take_all_room, give_back, UINT64_C(2) << 20, false};
static const struct shortage of_inodes = {take_all_inodes, give_back, 4, false};
static const struct shortage of_quota = {take_all_quota, give_back_quota, UINT64_C(2) << 20, true};

// --- scenes ---

static bool works_again(struct scene *scene, const struct shortage *shortage)
{
    return shortage->give_back(scene) &&
           scene_expect(scene, "lsm_resume", lsm_resume(scene->db), LSM_OK) &&
           scene_expect(scene, "lsm_flush with room again", lsm_flush(scene->db), LSM_OK) &&
           scene_live(scene, 100, MOOD_FINE) && scene_expect_health(scene, LSM_HEALTHY);
}

// What could not be undone stops all writing; nothing is lost, and reopening helps.
static bool reopen_poisoned(struct scene *scene, const struct shortage *shortage,
                            const char *reason)
{
    const lsm_status status = lsm_put(scene->db, NULL, lsm_str("late"), lsm_str("never"), NULL);

    if (!shortage->meets_all_changes || strstr(reason, strerrordesc_np(EDQUOT)) == NULL)
        return ledger_trouble(scene->ledger, "poisoned by a shortage: %s", reason);
    scene_tell(scene, "stopped, ");
    if (!scene_expect(scene, "a write", status, LSM_POISONED))
        return false;
    (void)lsm_close(scene->db); // it cannot either
    scene->db = NULL;
    return shortage->give_back(scene) && scene_open(scene);
}

// Runs out of it under load, several times, without reopening if that can be.
static bool run_out(struct scene *scene, const struct shortage *shortage)
{
    static const struct cut same = {.is_power = false};
    lsm_health_info health;

    if (!scene_open(scene) || !scene_live(scene, 100, MOOD_FINE))
        return false;
    for (int i = 0; i < 3; i++) {
        const uint64_t left = i == 0 ? 0 : random_below(&scene->random, shortage->left_max);

        if (!shortage->take_all(scene, left) || !scene_load(scene, 150, MOOD_ROUGH, NULL))
            return false;
        if (lsm_health(scene->db, &health) != LSM_OK ||
            (health.state == LSM_SICK && !reopen_poisoned(scene, shortage, health.reason)))
            return ledger_trouble(scene->ledger, "health: %s", lsm_errmsg());
        scene_tell(scene, "%" PRIu64 " attempts went through, %" PRIu64 " found no space; ",
                   scene_ended(scene, LSM_OK), scene_ended(scene, LSM_NO_SPACE));
        if (!scene_check(scene, &(struct cut){.is_rough = true}) || !works_again(scene, shortage))
            return false;
    }
    // An empty life: everything again, from what is on the disk.
    return scene_close(scene) && scene_open(scene) && scene_check(scene, &same);
}

static bool no_room(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=96m") || scene_failed(scene, "tmpfs")) &&
           run_out(scene, &of_room);
}

static bool no_inodes(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=128m,nr_inodes=" INODES) ||
            scene_failed(scene, "tmpfs")) &&
           run_out(scene, &of_inodes);
}

// The process dies, and its disk is full when the next one comes.
static bool recover_without(struct scene *scene, const struct shortage *shortage)
{
    static const struct cut killed = {.is_power = false};
    lsm_status status;

    for (int i = 0; i < 5; i++) {
        if (!scene_live_and_kill(scene) || !shortage->take_all(scene, 0))
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
        if (!scene_open_read_only(scene) || !scene_check(scene, &killed) || !scene_close(scene) ||
            !shortage->give_back(scene))
            return false;
    }
    return scene_open(scene) && scene_live(scene, 50, MOOD_FINE) && scene_close(scene);
}

static bool recover_without_room(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=128m") || scene_failed(scene, "tmpfs")) &&
           recover_without(scene, &of_room);
}

static bool recover_without_inodes(struct scene *scene)
{
    return (mount_memory(scene->mnt, "size=128m,nr_inodes=" INODES) ||
            scene_failed(scene, "tmpfs")) &&
           recover_without(scene, &of_inodes);
}

// The database gets a subvolume of its own: beyond its quota, nothing works on a volume, not even
// setting another quota.
static bool enable_quota(struct scene *scene)
{
    struct btrfs_ioctl_quota_ctl_args enable = {.cmd = BTRFS_QUOTA_CTL_ENABLE};
    struct btrfs_ioctl_vol_args volume = {.name = "db"};
    const int fd = open(scene->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is_enabled = fd >= 0 && ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &volume) == 0 &&
                            ioctl(fd, BTRFS_IOC_QUOTA_CTL, &enable) == 0 &&
                            ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT) == 0;

    if (fd >= 0)
        (void)close(fd);
    return is_enabled || scene_failed(scene, "enabling quotas");
}

static bool run_out_of_quota(struct scene *scene, struct stage *stage)
{
    (void)stage;
    return enable_quota(scene) && run_out(scene, &of_quota);
}

static bool no_quota(struct scene *scene)
{
    return on_stage(scene, &file_systems[BTRFS], DISK_FILE, run_out_of_quota);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"no room", no_room},
        {"no inodes", no_inodes},
        {"recovery without room", recover_without_room},
        {"recovery without inodes", recover_without_inodes},
        {"no quota left", no_quota},
    };

    return scenes_run("full_disk", NEEDS_MOUNTS, scenarios, sizeof scenarios / sizeof scenarios[0],
                      argc, argv);
}
