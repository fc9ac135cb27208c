// failing_disk.c -- a disk that takes no more writes, and file systems that stop taking them.
//
// A file system lies on a device of ours which fails every write from some moment on. Writing
// back fails, fsync tells it once, and afterwards the pages are clean though the disk never got
// them. The database must notice, refuse every later write, go on reading, and after reopening
// hold all that was acknowledged as synced, and a prefix. Other scenes cut the file system off
// altogether, or turn it read-only under the database. (A full tmpfs below the image would seem
// simpler, but the loop device takes short writes to it for good ones.)

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kernel/device.h"
#include "kernel/scene.h"

#define SHUTDOWN      _IOR('X', 125, uint32_t) // ext4's and xfs's, in no public header
#define SHUTDOWN_LOST 2                        // not even the journal is written

struct stage {
    const struct file_system *fs;
    struct device device;
    char image[PATH_MAX_HERE + 16];
    char disk[PATH_MAX_HERE + 16]; // the image, served by the device
    bool is_served;
};

static bool mount_stage(struct scene *scene, struct stage *stage)
{
    return mount_image(stage->fs, stage->is_served ? stage->disk : stage->image, scene->mnt) ||
           scene_failed(scene, "mounting the image");
}

static bool start_device(struct scene *scene, struct stage *stage)
{
    stage->is_served =
        device_start(&stage->device, stage->image, stage->disk, &scene->ledger->position);
    return stage->is_served || scene_failed(scene, "the device");
}

static void stop_device(struct stage *stage)
{
    if (!stage->is_served)
        return;
    device_stop(&stage->device, stage->disk);
    device_free(&stage->device);
    stage->is_served = false;
}

static bool begin_stage(struct scene *scene, struct stage *stage, bool is_served)
{
    (void)snprintf(stage->image, sizeof stage->image, "%s/image", scene->dir);
    (void)snprintf(stage->disk, sizeof stage->disk, "%s/disk", scene->dir);
    return (make_image(stage->fs, stage->image) || scene_failed(scene, stage->fs->command)) &&
           (!is_served || start_device(scene, stage)) && mount_stage(scene, stage);
}

// Takes down what is left of a scene, whatever went wrong in it.
static void end_stage(struct scene *scene, struct stage *stage)
{
    if (scene->db != NULL)
        (void)lsm_close(scene->db);
    scene->db = NULL;
    (void)unmount(scene->mnt);
    stop_device(stage);
}

// --- after the failure ---

// XFS shuts down: then every read that reaches it fails too, with an error.
static bool still_reads(const struct stage *stage)
{
    return stage->fs != &file_systems[XFS];
}

// Refuses writes with the first cause, and reads everything that was acknowledged.
static bool is_poisoned_and_reads(struct scene *scene, const struct stage *stage)
{
    static const struct cut live = {.is_rough = true};
    struct model after;
    lsm_status status;

    if (!scene_expect_health(scene, LSM_SICK))
        return false;
    for (int i = 0; i < 3; i++) {
        status = lsm_put(scene->db, NULL, lsm_str("late"), lsm_str("never"), NULL);
        if (!scene_expect(scene, "a write after the failure", status, LSM_POISONED))
            return false;
    }
    return scene_expect(scene, "lsm_sync after it", lsm_sync(scene->db), LSM_POISONED) &&
           (!still_reads(stage) || ledger_check(scene->ledger, scene->db, &live, &after));
}

// Whatever was acknowledged as synced is there, and a prefix of the rest.
static bool holds_a_prefix(struct scene *scene)
{
    // Every acknowledgement came before the end.
    static const struct cut cut = {
        .is_power = true, .is_rough = true, .durable = UINT64_MAX, .last = UINT64_MAX};

    return scene_open(scene) && scene_check(scene, &cut) && scene_live(scene, 60, MOOD_FINE) &&
           scene_close(scene);
}

// Closing tells that something did not reach the disk.
static bool close_fails(struct scene *scene)
{
    const lsm_status status = lsm_close(scene->db);

    scene->db = NULL;
    return status != LSM_OK ||
           ledger_trouble(scene->ledger, "closing a poisoned database says that all is well");
}

// A life that cannot be lost: the ledger knows what is durable of one life only.
static bool live_durably(struct scene *scene)
{
    return scene_open(scene) && scene_live(scene, 60, MOOD_FINE) &&
           scene_expect(scene, "lsm_sync", lsm_sync(scene->db), LSM_OK);
}

// --- scenes ---

static bool failed_fsync(struct scene *scene, struct stage *stage)
{
    lsm_health_info health;

    if (!live_durably(scene))
        return false;
    device_fail_after(&stage->device, random_below(&scene->random, 400));
    if (!scene_load(scene, 500, still_reads(stage) ? MOOD_ROUGH : MOOD_STARVED, NULL))
        return false;
    scene_tell_ends(scene);
    if (lsm_health(scene->db, &health) != LSM_OK || !is_poisoned_and_reads(scene, stage))
        return ledger_trouble(scene->ledger, "lsm_health: %s", lsm_errmsg());
    scene_tell(scene, "%.100s", health.reason);
    if (!close_fails(scene))
        return false;
    if (!unmount(scene->mnt))
        return scene_failed(scene, "unmounting");
    // The same bytes on a disk that works, with nothing cached.
    stop_device(stage);
    return start_device(scene, stage) && mount_stage(scene, stage) && holds_a_prefix(scene);
}

// The file system stops between two calls and loses what its journal had not written.
static bool cut_off(struct scene *scene, struct stage *stage)
{
    const uint32_t how = SHUTDOWN_LOST;
    int fd;

    if (!live_durably(scene) || !scene_load(scene, 60, MOOD_FINE, NULL))
        return false;
    fd = open(scene->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, SHUTDOWN, &how) != 0)
        return scene_failed(scene, "shutting the file system down");
    (void)close(fd);
    scene_tell(scene, "a write then gives %s; ",
               lsm_status_name(lsm_put(scene->db, NULL, lsm_str("late"), lsm_str("never"), NULL)));
    if (!scene_expect_health(scene, LSM_SICK) || !close_fails(scene))
        return false;
    if (!unmount(scene->mnt))
        return scene_failed(scene, "unmounting");
    return mount_stage(scene, stage) && holds_a_prefix(scene);
}

static bool refuses_new_files(const char *mnt)
{
    char path[PATH_MAX_HERE + 32];
    int fd;

    (void)snprintf(path, sizeof path, "%s/new", mnt);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd < 0 && errno == EROFS;
}

// As an error of the file system does: it turns read-only under open files.
static bool turned_read_only(struct scene *scene, struct stage *stage)
{
    lsm_db *other;
    lsm_status status;

    if (!live_durably(scene))
        return false;
    if (mount(NULL, scene->mnt, NULL, MS_REMOUNT, "abort") != 0)
        return scene_failed(scene, "remounting");
    if (!refuses_new_files(scene->mnt))
        return scene_skip(scene, "this kernel does something else then");
    if (!scene_load(scene, 60, MOOD_ROUGH, NULL))
        return false;
    scene_tell_ends(scene);
    if (!is_poisoned_and_reads(scene, stage) || !close_fails(scene))
        return false;
    status = lsm_open(scene->path, NULL, &other);
    if (!scene_expect(scene, "opening on a read-only file system", status, LSM_READ_ONLY))
        return false;
    if (!unmount(scene->mnt))
        return scene_failed(scene, "unmounting");
    return mount_stage(scene, stage) && holds_a_prefix(scene);
}

// A database on a file system that is mounted read-only: it can be read, and is not changed.
static bool mounted_read_only(struct scene *scene, struct stage *stage)
{
    static const struct cut killed = {.is_power = false};
    lsm_db *other;

    (void)stage;
    if (!scene_live_and_kill(scene))
        return false;
    if (!make_read_only(scene->mnt))
        return scene_failed(scene, "remounting read-only");
    if (!scene_expect(scene, "opening for writing", lsm_open(scene->path, NULL, &other),
                      LSM_READ_ONLY))
        return false;
    scene_tell(scene, "refused: %.100s", lsm_errmsg());
    if (!scene_open_read_only(scene) || !scene_check(scene, &killed) ||
        !scene_expect(scene, "writing", lsm_put(scene->db, NULL, lsm_str("a"), lsm_str("b"), NULL),
                      LSM_READ_ONLY) ||
        !scene_close(scene))
        return false;
    if (mount(NULL, scene->mnt, NULL, MS_REMOUNT, NULL) != 0)
        return scene_failed(scene, "remounting");
    return scene_open(scene) && scene_live(scene, 60, MOOD_FINE) && scene_close(scene);
}

static bool on_stage(struct scene *scene, const struct file_system *fs, bool is_served,
                     bool (*run)(struct scene *scene, struct stage *stage))
{
    struct stage stage = {.fs = fs};
    bool is_right;

    if (!is_mountable(fs, scene->dir))
        return scene_skip(scene, "it cannot be made and mounted here");
    is_right = begin_stage(scene, &stage, is_served) && run(scene, &stage);
    end_stage(scene, &stage);
    return is_right;
}

static bool failed_fsync_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], true, failed_fsync);
}

static bool failed_fsync_xfs(struct scene *scene)
{
    return on_stage(scene, &file_systems[XFS], true, failed_fsync);
}

static bool failed_fsync_btrfs(struct scene *scene)
{
    return on_stage(scene, &file_systems[BTRFS], true, failed_fsync);
}

static bool cut_off_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], false, cut_off);
}

static bool turned_read_only_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], false, turned_read_only);
}

static bool mounted_read_only_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], false, mounted_read_only);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"fsync fails on ext4", failed_fsync_ext4},
        {"fsync fails on xfs", failed_fsync_xfs},
        {"fsync fails on btrfs", failed_fsync_btrfs},
        {"ext4 is cut off", cut_off_ext4},
        {"ext4 turns read-only", turned_read_only_ext4},
        {"ext4 is read-only", mounted_read_only_ext4},
    };

    return scenes_run("failing_disk", NEEDS_DEVICES, scenarios,
                      sizeof scenarios / sizeof scenarios[0], argc, argv);
}
