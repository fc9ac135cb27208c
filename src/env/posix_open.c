#include "env/posix_open.h"

#include <fcntl.h>
#include <unistd.h>

#include "env/posix_error.h"

int posix_open(int dir_fd, const char *name, int flags, mode_t mode)
{
    int fd = RETRY(openat(dir_fd, name, flags | O_CLOEXEC, mode));
    int moved, error;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    error = errno;
    (void)close(fd); // nothing was written through it
    errno = error;
    return moved;
}
