// test_env_posix_errors.c -- each call to the system fails, for each reason, wherever it is made.
//
// The functions of the C library are replaced here; the one that is meant fails once. Where
// pointers have 32 bits the library has several of each, and nothing is tested.

#include <stdint.h>

#if UINTPTR_MAX > UINT32_MAX

#include "env/env.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

// --- what fails ---

static const char *failing; // NULL: nothing
static unsigned failing_at; // which of its calls from now on, from 1
static int failing_error;

static bool fails(const char *function)
{
    if (failing == NULL || strcmp(function, failing) != 0 || failing_at == 0 || --failing_at != 0)
        return false;
    errno = failing_error;
    return true;
}

int openat(int dir, const char *path, int flags, ...)
{
    return fails("openat") ? -1 : (int)syscall(SYS_openat, dir, path, flags, 0600);
}

int mkdir(const char *path, mode_t mode)
{
    return fails("mkdir") ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

// Not made: nothing here is to outlive the power, and a disk takes its time.
int fsync(int fd)
{
    (void)fd;
    return fails("fsync") ? -1 : 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return fails("fdatasync") ? -1 : 0;
}

int fstatat(int dir, const char *path, struct stat *st, int flags)
{
    return fails("fstatat") ? -1 : (int)syscall(SYS_newfstatat, dir, path, st, flags);
}

int fstat(int fd, struct stat *st)
{
    return fails("fstat") ? -1 : (int)syscall(SYS_fstat, fd, st);
}

DIR *fdopendir(int fd)
{
    static DIR *(*original)(int fd);

    if (original == NULL)
        *(void **)&original = dlsym(RTLD_NEXT, "fdopendir");
    return fails("fdopendir") ? NULL : original(fd);
}

struct dirent *readdir(DIR *stream)
{
    static struct dirent *(*original)(DIR * stream);

    if (original == NULL)
        *(void **)&original = dlsym(RTLD_NEXT, "readdir");
    return fails("readdir") ? NULL : original(stream);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails("renameat") ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
    return fails("unlinkat") ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    return fails("pread") ? -1 : syscall(SYS_pread64, fd, to, size, offset);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
    return fails("pwrite") ? -1 : syscall(SYS_pwrite64, fd, from, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return fails("pwritev") ? -1 : syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

int ftruncate(int fd, off_t size)
{
    return fails("ftruncate") ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fails("fallocate") ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

// Closed it is in any case, as by the system.
int close(int fd)
{
    const bool is_failing = fails("close");
    const int result = (int)syscall(SYS_close, fd);

    if (is_failing)
        errno = failing_error;
    return is_failing ? -1 : result;
}

int fcntl(int fd, int command, ...)
{
    va_list list;
    void *argument;

    va_start(list, command);
    argument = va_arg(list, void *);
    va_end(list);
    return fails("fcntl") ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

ssize_t getrandom(void *to, size_t size, unsigned flags)
{
    return fails("getrandom") ? -1 : syscall(SYS_getrandom, to, size, flags);
}

// --- all that an env does ---

static char root[] = "/tmp/lsmkv-errors-XXXXXX";

static lsm_status see(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    (void)name;
    (void)size;
    (void)is_regular;
    ++*(int *)ctx;
    return LSM_OK;
}

static lsm_status use_file(struct file *file)
{
    uint8_t bytes[100];
    uint64_t size;
    size_t got;

    TRY(file_allocate(file, 0, 4096));
    TRY(file_write_one(file, 0, slice_of("some bytes")));
    TRY(file_sync(file));
    TRY(file_read(file, 0, bytes, sizeof bytes, &got));
    TRY(file_truncate(file, 10));
    TRY(file_size(file, &size));
    cr_assert(eq(u64, size, 10));
    return LSM_OK;
}

// Whether the call that was to fail has been made, and has found nothing.
static bool is_answered_absent(void)
{
    return failing != NULL && failing_at == 0 && failing_error == ENOENT;
}

static lsm_status use_dir(struct dir *dir)
{
    struct dir_lock *lock;
    struct file *file;
    uint8_t bytes[16];
    uint64_t size;
    lsm_status status;
    int count = 0;

    TRY(dir_lock(dir, "LOCK", &lock));
    dir_unlock(env_posix(), lock);
    TRY(file_open(dir, "new", FILE_CREATE, &file));
    status = use_file(file);
    if (status != LSM_OK) {
        (void)file_close(file);
        return status;
    }
    TRY(file_close(file));
    TRY(file_open(dir, "new", FILE_READ, &file));
    file_close_quietly(file);
    TRY(file_stat(dir, "new", &size));
    TRY(file_rename(dir, "new", "old"));
    TRY(dir_list(dir, see, &count));
    cr_assert(count == 2 || (count == 1 && is_answered_absent()));
    TRY(file_unlink(dir, "old"));
    TRY(dir_sync(dir));
    return env_random(env_posix(), bytes, sizeof bytes);
}

static lsm_status use_everything(void)
{
    char path[64];
    struct dir *dir;
    lsm_status status;

    (void)snprintf(path, sizeof path, "%s/a/b", root);
    TRY(dir_open(env_posix(), path, true, &dir));
    status = use_dir(dir);
    dir_close(dir);
    return status;
}

// Whatever has been left by a use that failed.
static void clean_up(void)
{
    static const char *const names[] = {"a/b/LOCK", "a/b/new", "a/b/old", "a/b", "a"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "%s/%s", root, names[i]);
        (void)remove(path);
    }
}

// --- what becomes of it ---

// What env.h promises for an error, of calls that change something and of those that look.
struct cause {
    int error;
    lsm_status writing, reading;
};

static const struct cause causes[] = {
    {EIO, LSM_IO, LSM_IO},
    {ENOSPC, LSM_NO_SPACE, LSM_NO_SPACE},
    {EDQUOT, LSM_NO_SPACE, LSM_NO_SPACE},
    {EMFILE, LSM_BUSY, LSM_BUSY},
    {ENFILE, LSM_BUSY, LSM_BUSY},
    {ENOMEM, LSM_NO_MEMORY, LSM_NO_MEMORY},
    {EROFS, LSM_READ_ONLY, LSM_IO},
    {EPERM, LSM_READ_ONLY, LSM_IO},
    {ENOENT, LSM_IO, LSM_IO}, // of what is being used: it has gone
};

// What was to be removed, and what was listed, may be gone.
static bool may_be_absent(const char *function, const struct cause *cause)
{
    return cause->error == ENOENT &&
           (strcmp(function, "unlinkat") == 0 || strcmp(function, "fstatat") == 0);
}

// Each call of `function` fails, one after the other. Returns how many there are.
static unsigned fail_each(const char *function, const struct cause *cause)
{
    for (unsigned at = 1;; at++) {
        lsm_status status;

        failing = function;
        failing_at = at;
        failing_error = cause->error;
        status = use_everything();
        failing = NULL;
        clean_up();
        if (failing_at > 0) {
            assert_ok(status);
            return at - 1;
        }
        cr_assert(status == cause->writing || status == cause->reading ||
                      (status == LSM_OK && may_be_absent(function, cause)),
                  "%s, call %u, %s: %s", function, at, strerrorname_np(cause->error), lsm_errmsg());
        assert_ok(use_everything()); // nothing is held, and no lock
        clean_up();
    }
}

Test(posix_errors, a_failed_call_is_told_as_what_it_is_and_holds_nothing)
{
    static const char *const functions[] = {"openat",    "mkdir",     "fsync",     "fdatasync",
                                            "fstatat",   "fstat",     "fdopendir", "readdir",
                                            "renameat",  "pread",     "pwritev",   "ftruncate",
                                            "fallocate", "getrandom", "unlinkat",  "pwrite"};

    cr_assert(mkdtemp(root) != NULL);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        for (size_t c = 0; c < sizeof causes / sizeof *causes; c++)
            cr_assert(lt(uint, 0, fail_each(functions[f], &causes[c])), "%s", functions[f]);
    }
    cr_assert(eq(int, rmdir(root), 0));
}

// Fails each call of `function`; returns how many of them a caller hears of.
static unsigned count_told(const char *function)
{
    unsigned told = 0;

    for (unsigned at = 1;; at++) {
        lsm_status status;

        failing = function;
        failing_at = at;
        failing_error = EIO;
        status = use_everything();
        failing = NULL;
        clean_up();
        if (failing_at > 0)
            return told;
        cr_assert(status == LSM_OK || status == LSM_IO, "%s", lsm_errmsg());
        told += status == LSM_IO;
    }
}

// Only the close of a file that was written tells of lost bytes; a lock goes with its file, also
// when it is not released.
Test(posix_errors, a_failed_close_counts_where_bytes_were_written)
{
    cr_assert(mkdtemp(root) != NULL);
    cr_assert(eq(uint, count_told("close"), 1));
    cr_assert(eq(uint, count_told("fcntl"), 3)); // the door, the lock, and leaving the door
    cr_assert(eq(int, rmdir(root), 0));
}

#endif
