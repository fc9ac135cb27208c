// posix_open.h -- the one door through which files and directories are opened.

#ifndef LSM_ENV_POSIX_OPEN_H
#define LSM_ENV_POSIX_OPEN_H

#include <sys/types.h>

// openat() with O_CLOEXEC, made again when a signal interrupts it. The descriptor is none
// of the standard three: where those are closed, a file of the database would take their
// number, and what the application writes to its standard output would go into it.
int posix_open(int dir_fd, const char *name, int flags, mode_t mode);

#endif
