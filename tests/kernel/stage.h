// stage.h -- where scenes about disks take place: a file system on a disk of ours.

#ifndef LSM_TESTS_KERNEL_STAGE_H
#define LSM_TESTS_KERNEL_STAGE_H

#include <stdbool.h>

#include "kernel/device.h"
#include "kernel/mount.h"
#include "kernel/scene.h"

enum disk {
    DISK_FILE,   // a file in memory
    DISK_SERVED, // the same, behind a device of ours
    // A file in a tmpfs of its own which may have less room than the disk seems to, for what lies
    // behind the first THIN_FRONT bytes.
    DISK_THIN
};

#define THIN_FRONT (UINT64_C(16) << 20)

struct stage {
    const struct file_system *fs;
    enum disk disk;
    struct device device; // of DISK_SERVED, while it is served
    bool is_served;
    char room[PATH_MAX_HERE + 16]; // a directory of its own for the image
    char image[PATH_MAX_HERE + 32];
    char served[PATH_MAX_HERE + 16]; // the image, through the device
};

// Makes a new file system, mounts it at scene->mnt, runs `run`, and takes everything down again,
// whatever went wrong. The scene is skipped where that file system cannot be had.
bool on_stage(struct scene *scene, const struct file_system *fs, enum disk disk,
              bool (*run)(struct scene *scene, struct stage *stage));

// From now on the disk is the same bytes behind a device that works, with nothing cached; or, of a
// thin one, with as much room as it seems to have. Unmounts and mounts.
bool stage_repair(struct scene *scene, struct stage *stage);

// Leaves a thin disk room for `size` bytes, up to a page, that were never written before.
bool stage_leave_room(struct scene *scene, struct stage *stage, uint64_t size);

#endif
