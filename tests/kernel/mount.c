#include "kernel/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/guard.h"
#include "kernel/workdir.h"

#define TRIES    12000 // a minute of them
#define PAUSE_US 5000

const struct file_system file_systems[FILE_SYSTEM_COUNT] = {
    [EXT4] = {"ext4", "mkfs.ext4", "-q -F -E nodiscard", NULL, UINT64_C(96) << 20, 512},
    [XFS] = {"xfs", "mkfs.xfs", "-q -f -K", "nouuid", UINT64_C(300) << 20, 512},
    [BTRFS] = {"btrfs", "mkfs.btrfs", "-q -f -K", "nodiscard", UINT64_C(256) << 20, 4096},
};

static _Noreturn void skip(const char *why)
{
    printf("SKIPPED: %s: %s\n", why, strerror(errno));
    exit(EXIT_SKIPPED);
}

// A device may be there, and yet not for us.
static void need_device(const char *path)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        skip(path);
    (void)close(fd);
}

void mounts_begin(enum needs needs)
{
    if (needs == NEEDS_NOTHING)
        return;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        skip("file systems cannot be mounted");
    if (needs == NEEDS_MOUNTS)
        return;
    need_device("/dev/fuse");
    need_device("/dev/loop-control");
}

bool run_command(const char *format, ...)
{
    char command[1024];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(command, sizeof command - 32, format, args);
    va_end(args);
    (void)snprintf(command + length, sizeof command - (size_t)length, " >/dev/null 2>&1");
    return system(command) == 0;
}

static bool has_command(const char *command)
{
    return run_command("command -v %s", command);
}

// A loop device over `image`; its path, and the descriptor that holds it, or -1. It goes away
// when the last descriptor and mount have gone.
static int loop_attach(const char *image, char path[64])
{
    struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR};
    const int backing = open(image, O_RDWR | O_CLOEXEC);
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    bool is_taken;
    int loop = -1;

    config.fd = (uint32_t)backing;
    // Another process may take the free device before us.
    for (int i = 0; i < TRIES && loop < 0 && backing >= 0 && control >= 0; i++) {
        const int number = ioctl(control, LOOP_CTL_GET_FREE);

        (void)snprintf(path, 64, "/dev/loop%d", number);
        loop = open(path, O_RDWR | O_CLOEXEC);
        if (loop < 0 || ioctl(loop, LOOP_CONFIGURE, &config) == 0)
            break;
        is_taken = errno == EBUSY;
        (void)close(loop);
        loop = -1;
        if (!is_taken)
            break;
        (void)usleep(PAUSE_US);
    }
    if (backing >= 0)
        (void)close(backing);
    if (control >= 0)
        (void)close(control);
    return loop;
}

bool make_image(const struct file_system *fs, const char *image)
{
    const int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool is_made = fd >= 0 && ftruncate(fd, (off_t)fs->size) == 0;

    if (fd >= 0)
        (void)close(fd);
    return is_made && run_command("%s %s %s", fs->command, fs->arguments, image);
}

// Older kernels remember an image that is no longer mounted, and refuse an earlier state of it on
// another device.
static void forget_unmounted_btrfs(void)
{
    struct btrfs_ioctl_vol_args all = {0};
    const int control = open("/dev/btrfs-control", O_RDWR | O_CLOEXEC);

    if (control < 0)
        return;
    (void)ioctl(control, BTRFS_IOC_FORGET_DEV, &all);
    (void)close(control);
}

static bool mount_loop(const struct file_system *fs, const char *loop, const char *dir)
{
    int result = mount(loop, dir, fs->type, MS_NOATIME, fs->options);

    if (result != 0 && errno == EEXIST) {
        forget_unmounted_btrfs();
        result = mount(loop, dir, fs->type, MS_NOATIME, fs->options);
    }
    return result == 0;
}

bool mount_image(const struct file_system *fs, const char *image, const char *dir)
{
    char path[64];
    const int loop = loop_attach(image, path);
    const bool is_mounted = loop >= 0 && mount_loop(fs, path, dir);

    if (loop >= 0)
        (void)close(loop);
    return is_mounted;
}

// `setting` is "file=value".
static void write_setting(const char *setting)
{
    const char *value = strchr(setting, '=') + 1;
    char path[128];
    int fd;

    (void)snprintf(path, sizeof path, "%.*s", (int)(value - 1 - setting), setting);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, value, strlen(value)); // read back where it matters
    (void)close(fd);
}

static bool read_number(const char *path, unsigned *number)
{
    FILE *file = fopen(path, "re");
    const bool is_read = file != NULL && fscanf(file, "%u", number) == 1;

    if (file != NULL)
        (void)fclose(file);
    return is_read;
}

// The setting outlives the use of the loop device.
static bool limit_requests(const char *loop)
{
    const unsigned page_kib = (unsigned)(sysconf(_SC_PAGESIZE) >> 10);
    char path[64], setting[128];
    unsigned kib;

    (void)snprintf(path, sizeof path, "/sys/block/%s/queue/max_sectors_kb", strrchr(loop, '/') + 1);
    if (!read_number(path, &kib))
        return false;
    (void)snprintf(setting, sizeof setting, "%s=%u", path, kib);
    guard_note(write_setting, setting);
    (void)snprintf(setting, sizeof setting, "%s=%u", path, page_kib);
    write_setting(setting);
    return read_number(path, &kib) && kib == page_kib;
}

bool mount_image_by_pages(const struct file_system *fs, const char *image, const char *dir)
{
    char path[64];
    const int loop = loop_attach(image, path);
    const bool is_mounted = loop >= 0 && limit_requests(path) && mount_loop(fs, path, dir);

    if (loop >= 0)
        (void)close(loop);
    return is_mounted;
}

void requests_restore(void)
{
    guard_undo(write_setting);
}

bool is_mountable(const struct file_system *fs, const char *dir)
{
    char image[PATH_MAX_HERE + 32], mnt[PATH_MAX_HERE + 32];
    bool is_mounted;

    (void)snprintf(image, sizeof image, "%s/probe-image", dir);
    (void)snprintf(mnt, sizeof mnt, "%s/probe", dir);
    is_mounted = has_command(fs->command) && mkdir(mnt, 0700) == 0 && make_image(fs, image) &&
                 mount_image(fs, image, mnt) && unmount(mnt);
    (void)rmdir(mnt);
    (void)unlink(image);
    return is_mounted;
}

bool mount_memory(const char *dir, const char *options)
{
    return mount("lsmkv-kernel", dir, "tmpfs", 0, options) == 0;
}

bool remount_memory(const char *dir, const char *options)
{
    return mount("lsmkv-kernel", dir, "tmpfs", MS_REMOUNT, options) == 0;
}

// Whether to try again what has failed: a thread of the kernel may still hold a file.
static bool is_busy(unsigned *tries)
{
    if (errno != EBUSY || ++*tries > TRIES)
        return false;
    (void)usleep(PAUSE_US);
    return true;
}

bool make_read_only(const char *dir)
{
    unsigned tries = 0;
    int result;

    do
        result = mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    while (result != 0 && is_busy(&tries));
    return result == 0;
}

bool unmount(const char *dir)
{
    unsigned tries = 0;
    int result;

    do
        result = umount(dir);
    while (result != 0 && is_busy(&tries));
    return result == 0;
}
