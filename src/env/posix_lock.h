// posix_lock.h -- one handle per directory, within a process and between them.
//
// A lock of the open file description keeps other processes out and dies with the
// process that holds it. Within the process a table, keyed by device and inode so
// that a second path to the directory changes nothing, refuses the second handle.
// A forked child inherits neither.
//
// A copy of the directory by hard links has the lock file itself, and with it the lock. So the
// file says whose it is: who opens a directory whose lock file has another name, and is free or
// held for another directory, takes it out of the directory and makes a new one.

#ifndef LSM_ENV_POSIX_LOCK_H
#define LSM_ENV_POSIX_LOCK_H

#include "env/env.h"

// As env_ops.dir_lock and .dir_unlock; `dir_fd` is the directory's descriptor.
lsm_status posix_lock_take(struct dir *dir, int dir_fd, const char *name, struct dir_lock **out);
void posix_lock_drop(struct dir_lock *lock);

// Whether a lock file that is held, and has so many names, is held for another directory than the
// one with the inode `directory`: that is not locked then.
bool posix_lock_is_of_another(int fd, uint64_t names, uint64_t directory);

#endif
