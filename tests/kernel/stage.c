#include "kernel/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool mount_stage(struct scene *scene, struct stage *stage)
{
    const bool is_mounted =
        stage->disk == DISK_THIN
            ? mount_image_by_pages(stage->fs, stage->image, scene->mnt)
            : mount_image(stage->fs, stage->is_served ? stage->served : stage->image, scene->mnt);

    return is_mounted || scene_failed(scene, "mounting the image");
}

static bool unmount_stage(struct scene *scene, struct stage *stage)
{
    const bool is_unmounted = unmount(scene->mnt) || scene_failed(scene, "unmounting");

    if (stage->disk == DISK_THIN)
        requests_restore();
    return is_unmounted;
}

static bool start_device(struct scene *scene, struct stage *stage)
{
    stage->is_served =
        device_start(&stage->device, stage->image, stage->served, &scene->ledger->position);
    return stage->is_served || scene_failed(scene, "the device");
}

static void stop_device(struct stage *stage)
{
    if (!stage->is_served)
        return;
    device_stop(&stage->device, stage->served);
    device_free(&stage->device);
    stage->is_served = false;
}

// --- a thin disk ---

static bool set_room(struct scene *scene, struct stage *stage, uint64_t size)
{
    char options[48];

    (void)snprintf(options, sizeof options, "size=%" PRIu64, size);
    return remount_memory(stage->room, options) || scene_failed(scene, "the size of a tmpfs");
}

// Whatever mkfs left as a hole there.
static bool fill_front(struct scene *scene, struct stage *stage)
{
    const int fd = open(stage->image, O_RDWR | O_CLOEXEC);
    const bool is_filled = fd >= 0 && fallocate(fd, 0, 0, (off_t)THIN_FRONT) == 0;

    if (fd >= 0)
        (void)close(fd);
    return is_filled || scene_failed(scene, "filling the front of the image");
}

static bool give_all_room(struct scene *scene, struct stage *stage)
{
    return set_room(scene, stage, stage->fs->size * 2);
}

bool stage_leave_room(struct scene *scene, struct stage *stage, uint64_t size)
{
    struct statvfs room;

    if (statvfs(stage->room, &room) != 0)
        return scene_failed(scene, stage->room);
    return set_room(scene, stage, (room.f_blocks - room.f_bfree) * room.f_frsize + size);
}

// --- the whole ---

bool stage_repair(struct scene *scene, struct stage *stage)
{
    if (!unmount_stage(scene, stage))
        return false;
    stop_device(stage);
    switch (stage->disk) {
    case DISK_FILE:
        break;
    case DISK_SERVED:
        if (!start_device(scene, stage))
            return false;
        break;
    case DISK_THIN:
        if (!give_all_room(scene, stage))
            return false;
        break;
    }
    return mount_stage(scene, stage);
}

static bool make_room(struct scene *scene, struct stage *stage)
{
    if (mkdir(stage->room, 0700) != 0 && errno != EEXIST)
        return scene_failed(scene, stage->room);
    return stage->disk != DISK_THIN || mount_memory(stage->room, "size=1g") ||
           scene_failed(scene, "tmpfs");
}

static bool stage_begin(struct scene *scene, struct stage *stage)
{
    (void)snprintf(stage->room, sizeof stage->room, "%s/room", scene->dir);
    (void)snprintf(stage->image, sizeof stage->image, "%s/image", stage->room);
    (void)snprintf(stage->served, sizeof stage->served, "%s/disk", scene->dir);
    return make_room(scene, stage) &&
           (make_image(stage->fs, stage->image) || scene_failed(scene, stage->fs->command)) &&
           (stage->disk != DISK_SERVED || start_device(scene, stage)) &&
           (stage->disk != DISK_THIN || fill_front(scene, stage)) && mount_stage(scene, stage);
}

static void stage_end(struct scene *scene, struct stage *stage)
{
    if (scene->db != NULL)
        (void)lsm_close(scene->db);
    scene->db = NULL;
    (void)unmount(scene->mnt); // unless it is already
    requests_restore();
    stop_device(stage);
    if (stage->disk == DISK_THIN)
        (void)unmount(stage->room);
}

bool on_stage(struct scene *scene, const struct file_system *fs, enum disk disk,
              bool (*run)(struct scene *scene, struct stage *stage))
{
    struct stage stage = {.fs = fs, .disk = disk};
    bool is_right;

    if (!is_mountable(fs, scene->dir))
        return scene_skip(scene, "it cannot be made and mounted here");
    is_right = stage_begin(scene, &stage) && run(scene, &stage);
    stage_end(scene, &stage);
    return is_right;
}
