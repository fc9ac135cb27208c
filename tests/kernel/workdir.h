// workdir.h -- a directory of its own for each program, with nothing left behind.

#ifndef LSM_TESTS_KERNEL_WORKDIR_H
#define LSM_TESTS_KERNEL_WORKDIR_H

#define PATH_MAX_HERE 512

// Makes a new directory for `program`: in memory, below /dev/shm, where there is room, else below
// TMPDIR or /tmp. Removes those that killed runs of the program have left there. Exits when there
// is no place for it.
void workdir_make(const char *program, char path[PATH_MAX_HERE]);

// Removes the directory and all that is in it, without leaving its file system.
void workdir_remove(const char *path);

// Has later runs leave the directory alone: it shows what went wrong.
void workdir_keep(const char *path);

#endif
