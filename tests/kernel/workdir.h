// workdir.h -- a directory of its own for each program, with nothing left behind.

#ifndef LSM_TESTS_KERNEL_WORKDIR_H
#define LSM_TESTS_KERNEL_WORKDIR_H

#include <stdbool.h>
#include <stddef.h>

#define PATH_MAX_HERE 512

// Makes a new directory for `program`: in memory, below /dev/shm, where that can be written to,
// else below TMPDIR or /tmp. Its name tells the program and the process. Exits when there is no
// place for it.
void workdir_make(const char *program, char path[PATH_MAX_HERE]);

// Removes the directory and all that is in it, without leaving its file system.
void workdir_remove(const char *path);

// The name of the directory that process `pid` makes begins so; false when `name` is none.
bool workdir_owner(const char *path, long *pid);

#endif
