#include "env/posix_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "env/posix_error.h"

#define LOCK_FILE_MODE 0600

struct dir_lock {
    dev_t device;  // of the directory
    ino_t inode;   // of the directory
    int fd;        // of the lock file; -1 in a forked child
    bool is_known; // in `holders`
    struct dir_lock *next;
};

// Every lock this process holds. The mutex has no rank: fork() takes it whatever
// the forking thread holds. It is held across the I/O of taking a lock, so that a
// child never inherits a descriptor that the table does not know yet.
static pthread_mutex_t holders_mu = PTHREAD_MUTEX_INITIALIZER;
static struct dir_lock *holders;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void lock_holders(void)
{
    (void)pthread_mutex_lock(&holders_mu); // a default mutex, never taken twice
}

static void unlock_holders(void)
{
    (void)pthread_mutex_unlock(&holders_mu);
}

// The lock belongs to the open file, which the child shares: unless it closes its
// descriptor, the lock outlives the parent.
static void forget_holders_in_child(void)
{
    for (struct dir_lock *lock = holders; lock != NULL; lock = lock->next) {
        (void)close(lock->fd);
        lock->fd = -1;
        lock->is_known = false;
    }
    holders = NULL;
    unlock_holders();
}

static int fork_error;

static void watch_forks(void)
{
    fork_error = pthread_atfork(lock_holders, unlock_holders, forget_holders_in_child);
}

static lsm_status fail_lock(struct dir *dir, const char *name)
{
    return posix_fail_open(INTENT_WRITE, "lock", dir->path, name);
}

// Names the holder by what it wrote into the file, which may be anything.
static lsm_status fail_held(struct dir *dir, int fd)
{
    char text[24] = "";
    const ssize_t size = RETRY(pread(fd, text, sizeof text - 1, 0));
    unsigned long long pid = size > 0 ? strtoull(text, NULL, 10) : 0;

    if (pid == 0)
        return lsm_fail(LSM_LOCKED, "%s: another process has it open", dir->path);
    return lsm_fail(LSM_LOCKED, "%s: process %llu has it open", dir->path, pid);
}

static lsm_status check_this_process(struct dir *dir, const struct dir_lock *lock)
{
    for (const struct dir_lock *held = holders; held != NULL; held = held->next) {
        if (held->device == lock->device && held->inode == lock->inode)
            return lsm_fail(LSM_LOCKED, "%s: this process (%ld) has it open already", dir->path,
                            (long)getpid());
    }
    return LSM_OK;
}

// Writes who holds the lock, for the message of those it keeps out.
static bool write_holder(int fd)
{
    char text[24];
    const int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    int done = 0;

    if (RETRY(ftruncate(fd, 0)) != 0)
        return false;
    while (done < size) {
        const ssize_t n = RETRY(pwrite(fd, text + done, (size_t)(size - done), done));

        if (n <= 0)
            return false;
        done += (int)n;
    }
    return true;
}

static lsm_status take_file(struct dir *dir, int dir_fd, const char *name, struct dir_lock *lock)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;

    lock->fd = RETRY(openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                            LOCK_FILE_MODE));
    if (lock->fd < 0 || fstat(lock->fd, &st) != 0)
        return fail_lock(dir, name);
    if (!S_ISREG(st.st_mode))
        return lsm_fail(LSM_INVALID, "%s/%s: is not a regular file", dir->path, name);
    if (fcntl(lock->fd, F_OFD_SETLK, &whole) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            return fail_held(dir, lock->fd);
        return fail_lock(dir, name);
    }
    errno = EIO; // should fewer bytes be taken than given
    if (!write_holder(lock->fd))
        return fail_lock(dir, name);
    return LSM_OK;
}

static lsm_status take_locked(struct dir *dir, int dir_fd, const char *name, struct dir_lock *lock)
{
    struct stat st;

    if (fork_error != 0)
        return lsm_fail(LSM_NO_MEMORY, "%s: cannot watch forks", dir->path);
    if (fstat(dir_fd, &st) != 0)
        return fail_lock(dir, name);
    lock->device = st.st_dev;
    lock->inode = st.st_ino;
    TRY(check_this_process(dir, lock));
    TRY(take_file(dir, dir_fd, name, lock));
    lock->is_known = true;
    lock->next = holders;
    holders = lock;
    return LSM_OK;
}

// Releases the lock; what was written into the file is a hint. Closing alone would not do:
// a child that has not run its handler yet, or that was made without handlers, still has
// the open file, and with it the lock. Under the mutex, so that no other child gets one.
static void close_lock_file(struct dir_lock *lock)
{
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    if (lock->fd < 0)
        return;
    (void)fcntl(lock->fd, F_OFD_SETLK, &whole);
    (void)close(lock->fd);
    lock->fd = -1;
}

lsm_status posix_lock_take(struct dir *dir, int dir_fd, const char *name, struct dir_lock **out)
{
    CLEANUP(mem_freep) struct dir_lock *lock = mem_alloc_zeroed(1, sizeof *lock);
    lsm_status status;

    if (lock == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", dir->path, sizeof *lock);
    lock->fd = -1;
    (void)pthread_once(&fork_once, watch_forks);
    lock_holders();
    status = take_locked(dir, dir_fd, name, lock);
    if (status != LSM_OK)
        close_lock_file(lock);
    unlock_holders();
    TRY(status);
    *out = MOVE(lock);
    return LSM_OK;
}

void posix_lock_drop(struct dir_lock *lock)
{
    lock_holders();
    if (lock->is_known) {
        struct dir_lock **at = &holders;

        while (*at != lock)
            at = &(*at)->next;
        *at = lock->next;
    }
    close_lock_file(lock);
    unlock_holders();
    mem_free(lock);
}
