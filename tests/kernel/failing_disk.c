// failing_disk.c -- a disk that takes no more writes, and file systems that stop taking them.
//
// A file system lies on a device of ours which fails every write from some moment on. Writing
// back fails, fsync tells it once, and afterwards the pages are clean though the disk never got
// them. The database must notice, refuse every later write, go on reading, and after reopening
// hold all that was acknowledged as synced, and a prefix. Or the image lies on a tmpfs that is too
// small for it: fsync finds no room for what was written long ago. Other scenes cut the file
// system off altogether, or turn it read-only under the database.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kernel/device.h"
#include "kernel/scene.h"
#include "kernel/stage.h"

#define SHUTDOWN      _IOR('X', 125, uint32_t) // ext4's and xfs's, in no public header
#define SHUTDOWN_LOST 2                        // not even the journal is written

// --- after the failure ---

// XFS shuts down: then every read that reaches it fails too, with an error. And ext4 drops pages
// that it finds no place for: what was acknowledged, but not as synced, may then be read as damage.
static bool still_reads(const struct stage *stage)
{
    return stage->fs != &file_systems[XFS] && stage->disk != DISK_THIN;
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

// Writers were kept waiting for tables that could not be written, before the log met the failure:
// nothing is in doubt.
static bool is_degraded_and_reads(struct scene *scene, const struct stage *stage)
{
    static const struct cut live = {.is_rough = true};
    struct model after;
    const bool is_right =
        !still_reads(stage) || ledger_check(scene->ledger, scene->db, &live, &after);

    (void)lsm_close(scene->db); // may or may not find what it needs
    scene->db = NULL;
    return is_right;
}

// A life on a disk that is failing, or is going to.
static bool meet_failure(struct scene *scene, struct stage *stage)
{
    lsm_health_info health;

    if (!scene_load(scene, 500, still_reads(stage) ? MOOD_ROUGH : MOOD_STARVED, NULL))
        return false;
    scene_tell_ends(scene);
    if (lsm_health(scene->db, &health) != LSM_OK || health.state == LSM_HEALTHY)
        return ledger_trouble(scene->ledger, "a disk that fails is not noticed");
    scene_tell(scene, "%.100s", health.reason);
    if (health.state == LSM_DEGRADED)
        return is_degraded_and_reads(scene, stage);
    return is_poisoned_and_reads(scene, stage) && close_fails(scene);
}

static bool failed_fsync(struct scene *scene, struct stage *stage)
{
    if (!live_durably(scene))
        return false;
    device_fail_after(&stage->device, random_below(&scene->random, 400));
    return meet_failure(scene, stage) && stage_repair(scene, stage) && holds_a_prefix(scene);
}

// fsync itself finds no room, though the file system had promised it.
static bool no_room_below(struct scene *scene, struct stage *stage)
{
    return live_durably(scene) &&
           stage_leave_room(scene, stage, random_below(&scene->random, 512u << 10)) &&
           meet_failure(scene, stage) && stage_repair(scene, stage) && holds_a_prefix(scene);
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
    return scene_expect_health(scene, LSM_SICK) && close_fails(scene) &&
           stage_repair(scene, stage) && holds_a_prefix(scene);
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
    return scene_expect(scene, "opening on a read-only file system", status, LSM_READ_ONLY) &&
           stage_repair(scene, stage) && holds_a_prefix(scene);
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

static bool failed_fsync_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], DISK_SERVED, failed_fsync);
}

static bool failed_fsync_xfs(struct scene *scene)
{
    return on_stage(scene, &file_systems[XFS], DISK_SERVED, failed_fsync);
}

static bool failed_fsync_btrfs(struct scene *scene)
{
    return on_stage(scene, &file_systems[BTRFS], DISK_SERVED, failed_fsync);
}

// Its blocks are pages, see mount_image_by_pages(). All that it writes for itself lies in front.
static const struct file_system paged_ext4 = {
    "ext4", "mkfs.ext4",        "-q -F -b 4096 -J size=4 -E nodiscard,packed_meta_blocks=1",
    NULL,   UINT64_C(96) << 20, 4096};

static bool no_room_below_ext4(struct scene *scene)
{
    return on_stage(scene, &paged_ext4, DISK_THIN, no_room_below);
}

static bool cut_off_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], DISK_FILE, cut_off);
}

static bool turned_read_only_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], DISK_FILE, turned_read_only);
}

static bool mounted_read_only_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], DISK_FILE, mounted_read_only);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"fsync fails on ext4", failed_fsync_ext4},
        {"fsync fails on xfs", failed_fsync_xfs},
        {"fsync fails on btrfs", failed_fsync_btrfs},
        {"no room below ext4", no_room_below_ext4},
        {"ext4 is cut off", cut_off_ext4},
        {"ext4 turns read-only", turned_read_only_ext4},
        {"ext4 is read-only", mounted_read_only_ext4},
    };

    return scenes_run("failing_disk", NEEDS_DEVICES, scenarios,
                      sizeof scenarios / sizeof scenarios[0], argc, argv);
}
