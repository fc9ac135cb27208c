// stutter.c -- a library to be preloaded: the system interrupts calls and cuts transfers short.
//
// Of every three calls one is interrupted (EINTR) and one, if it transfers, moves a part of the
// bytes only. A program that handles both does what it does without. Only calls made by a
// program below the directory LSM_STUTTER are meant, not those of its libraries.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>
#include <unistd.h>

enum fate { WHOLE, INTERRUPTED, SHORT };

static const void *program; // where it is loaded, or NULL: not meant

static __attribute__((constructor)) void look_who_runs(void)
{
    const char *below = getenv("LSM_STUTTER");
    char path[PATH_MAX], dir[PATH_MAX];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
    Dl_info info;
    size_t length;

    // The directory may be named by way of a symbolic link; a program is not.
    if (below == NULL || size < 0 || realpath(below, dir) == NULL)
        return;
    length = strlen(dir);
    if ((size_t)size <= length || memcmp(path, dir, length) != 0 || path[length] != '/')
        return;
    if (dladdr((const void *)getauxval(AT_ENTRY), &info) != 0)
        program = info.dli_fbase;
}

static enum fate fate_of_call_from(const void *caller)
{
    static _Atomic unsigned count;
    Dl_info info;

    if (program == NULL || dladdr(caller, &info) == 0 || info.dli_fbase != program)
        return WHOLE;
    return (enum fate)(atomic_fetch_add(&count, 1) * 7 / 2 % 3);
}

#define NEXT_FATE() fate_of_call_from(__builtin_return_address(0))

// The function of the C library behind ours.
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define EXPORT __attribute__((visibility("default")))

static int interrupt(void)
{
    errno = EINTR;
    return -1;
}

EXPORT ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    const enum fate fate = NEXT_FATE();

    if (fate == INTERRUPTED)
        return interrupt();
    return REAL(pread)(fd, to, fate == SHORT && size > 1 ? 1 + size / 3 : size, offset);
}

EXPORT ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
    const enum fate fate = NEXT_FATE();

    if (fate == INTERRUPTED)
        return interrupt();
    return REAL(pwrite)(fd, from, fate == SHORT && size > 1 ? 1 + size / 3 : size, offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    const enum fate fate = NEXT_FATE();
    struct iovec first = parts[0];

    if (fate == INTERRUPTED)
        return interrupt();
    if (fate == WHOLE || first.iov_len < 2)
        return REAL(pwritev)(fd, parts, count, offset);
    first.iov_len = 1 + first.iov_len / 3;
    return REAL(pwritev)(fd, &first, 1, offset);
}

EXPORT int fsync(int fd)
{
    return NEXT_FATE() == INTERRUPTED ? interrupt() : REAL(fsync)(fd);
}

EXPORT int fdatasync(int fd)
{
    return NEXT_FATE() == INTERRUPTED ? interrupt() : REAL(fdatasync)(fd);
}

EXPORT int ftruncate(int fd, off_t size)
{
    return NEXT_FATE() == INTERRUPTED ? interrupt() : REAL(ftruncate)(fd, size);
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return NEXT_FATE() == INTERRUPTED ? interrupt() : REAL(fallocate)(fd, mode, offset, size);
}

EXPORT int openat(int fd, const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    return NEXT_FATE() == INTERRUPTED ? interrupt() : REAL(openat)(fd, path, flags, mode);
}

EXPORT int close(int fd)
{
    const int result = REAL(close)(fd); // Linux closes, interrupted or not

    return result == 0 && NEXT_FATE() == INTERRUPTED ? interrupt() : result;
}
