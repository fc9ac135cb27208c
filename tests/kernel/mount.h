// mount.h -- file systems on loop devices, in a mount namespace of our own.
//
// Nothing mounted here is seen by other processes, and all of it goes away with the last
// process of the program, however that ends; so do the loop devices.

#ifndef LSM_TESTS_KERNEL_MOUNT_H
#define LSM_TESTS_KERNEL_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXIT_SKIPPED 77

enum needs {
    NEEDS_NOTHING,
    NEEDS_MOUNTS,
    NEEDS_DEVICES // loop devices and FUSE as well
};

// Moves this process into a mount namespace of its own, if it needs one. Where that is not
// permitted, prints why and exits with EXIT_SKIPPED.
void mounts_begin(enum needs needs);

// Runs a command by the shell, quietly. False when it fails.
bool run_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct file_system {
    const char *type;
    const char *command; // makes it, given more arguments
    const char *arguments;
    const char *options; // of mounting; may be NULL
    uint64_t size;       // of an image, above the least it takes
    // What it expects a disk to write wholly or not at all. Of btrfs a superblock: with a torn
    // one it does not mount, and looks for no copy by itself.
    uint32_t sector_size;
};

enum { EXT4, XFS, BTRFS, FILE_SYSTEM_COUNT };

extern const struct file_system file_systems[FILE_SYSTEM_COUNT];

// Whether it can be made and mounted here: tries with an image of its own in `dir`.
bool is_mountable(const struct file_system *fs, const char *dir);

// Makes the file `image` with an empty file system in it. False with errno.
bool make_image(const struct file_system *fs, const char *image);

// Mounts the file `image` by a loop device that goes away when it is unmounted. False with
// errno.
bool mount_image(const struct file_system *fs, const char *image, const char *dir);

// The same by a loop device that takes requests of one page at most, until requests_restore().
//
// The loop driver may complete a write of which only the front found room in the file below as if
// all of it had been written (seen on Linux 6.18): what is synced then is lost without an error.
// A page finds room wholly or not at all, if the blocks of the file system are pages, too.
bool mount_image_by_pages(const struct file_system *fs, const char *image, const char *dir);
void requests_restore(void);

// Mounts a tmpfs, or changes the size and the number of files of one that is mounted:
// `options` as "size=1m,nr_inodes=100".
bool mount_memory(const char *dir, const char *options);
bool remount_memory(const char *dir, const char *options);

// These wait until nothing holds it, or what is written. False with errno.
bool make_read_only(const char *dir);
bool unmount(const char *dir);

#endif
