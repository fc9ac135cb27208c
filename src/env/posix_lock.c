#include "env/posix_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "env/posix_error.h"
#include "env/posix_open.h"

#define LOCK_FILE_MODE 0600

// The bytes of the lock file that are locked. Whoever is at the door decides alone whether the
// directory may be taken, and leaves the door in any case; whoever has taken it keeps the other.
enum { HELD_AT = 0, DOOR_AT = 1 };

#define DOOR_TRIES 1000 // nobody stays at the door for long
// How often the lock file may turn out to be the one of a copy, or to have been replaced
// meanwhile by who has found that out.
#define FILE_TRIES  16
#define HOLDER_SIZE 64 // of what is written into the file, at most

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

// What the holder wrote into the file, which may be anything.
struct holder {
    unsigned long long pid;       // 0: not told
    unsigned long long directory; // its inode; 0: not told
};

static struct holder read_holder(int fd)
{
    char text[HOLDER_SIZE] = "";
    struct holder holder = {.pid = 0};
    char *end;

    if (RETRY(pread(fd, text, sizeof text - 1, 0)) > 0) {
        holder.pid = strtoull(text, &end, 10);
        holder.directory = strtoull(end, NULL, 10);
    }
    return holder;
}

static lsm_status fail_held(struct dir *dir, int fd)
{
    const struct holder holder = read_holder(fd);

    if (holder.pid == 0)
        return lsm_fail(LSM_LOCKED, "%s: another process has it open", dir->path);
    return lsm_fail(LSM_LOCKED, "%s: process %llu has it open", dir->path, holder.pid);
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

// Writes who holds the lock on which directory: for the message of those it keeps out, and for
// those who hold another directory with this very file in it.
static bool write_holder(const struct dir_lock *lock)
{
    char text[HOLDER_SIZE];
    const int size =
        snprintf(text, sizeof text, "%ld %llu\n", (long)getpid(), (unsigned long long)lock->inode);
    int done = 0;

    if (RETRY(ftruncate(lock->fd, 0)) != 0)
        return false;
    while (done < size) {
        const ssize_t n = RETRY(pwrite(lock->fd, text + done, (size_t)(size - done), done));

        if (n <= 0)
            return false;
        done += (int)n;
    }
    return true;
}

// Locks or unlocks one byte. False with errno, which is EAGAIN or EACCES when somebody else has
// locked it.
static bool lock_byte(int fd, short type, off_t at)
{
    struct flock byte = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &byte) == 0;
}

static bool is_locked_out(void)
{
    return errno == EAGAIN || errno == EACCES;
}

static lsm_status enter(struct dir *dir, const char *name, int fd)
{
    for (int i = 0; !lock_byte(fd, F_WRLCK, DOOR_AT); i++) {
        if (!is_locked_out())
            return fail_lock(dir, name);
        if (i == DOOR_TRIES)
            return lsm_fail(LSM_LOCKED, "%s: another process is about to open it", dir->path);
        (void)sched_yield();
    }
    return LSM_OK;
}

// Whether `name` is still the file that is open: whoever was at the door before may have
// replaced it. Sets how many names that file has.
static lsm_status is_named(struct dir *dir, int dir_fd, const char *name, int fd, bool *out,
                           uint64_t *names)
{
    struct stat named, opened;

    if (fstat(fd, &opened) != 0)
        return fail_lock(dir, name);
    *names = (uint64_t)opened.st_nlink;
    *out = false;
    if (fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? LSM_OK : fail_lock(dir, name);
    *out = named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
    return LSM_OK;
}

bool posix_lock_is_of_another(int fd, uint64_t names, uint64_t directory)
{
    const unsigned long long held = read_holder(fd).directory;

    return names > 1 && held != 0 && held != directory;
}

// At the door: takes the file that is open. `*is_taken` is false when it was another one's and
// has been removed, or was replaced: then it is to be opened again.
static lsm_status take_at_door(struct dir *dir, int dir_fd, const char *name, struct dir_lock *lock,
                               bool *is_taken)
{
    bool is_current = false;
    bool is_free = lock_byte(lock->fd, F_WRLCK, HELD_AT);
    uint64_t names = 0;

    *is_taken = false;
    if (!is_free && !is_locked_out())
        return fail_lock(dir, name);
    TRY(is_named(dir, dir_fd, name, lock->fd, &is_current, &names));
    if (!is_current)
        return LSM_OK;
    if (names > 1 && (is_free || posix_lock_is_of_another(lock->fd, names, lock->inode))) {
        if (unlinkat(dir_fd, name, 0) != 0)
            return fail_lock(dir, name);
        return LSM_OK;
    }
    if (!is_free)
        return fail_held(dir, lock->fd);
    errno = EIO; // should fewer bytes be taken than given
    if (!write_holder(lock) || !lock_byte(lock->fd, F_UNLCK, DOOR_AT))
        return fail_lock(dir, name);
    *is_taken = true;
    return LSM_OK;
}

static lsm_status open_lock_file(struct dir *dir, int dir_fd, const char *name,
                                 struct dir_lock *lock)
{
    struct stat st;

    lock->fd = posix_open(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, LOCK_FILE_MODE);
    if (lock->fd < 0 || fstat(lock->fd, &st) != 0)
        return fail_lock(dir, name);
    if (!S_ISREG(st.st_mode))
        return lsm_fail(LSM_INVALID, "%s/%s: is not a regular file", dir->path, name);
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

static lsm_status take_file(struct dir *dir, int dir_fd, const char *name, struct dir_lock *lock)
{
    for (int i = 0; i < FILE_TRIES; i++) {
        bool is_taken;

        TRY(open_lock_file(dir, dir_fd, name, lock));
        TRY(enter(dir, name, lock->fd));
        TRY(take_at_door(dir, dir_fd, name, lock, &is_taken));
        if (is_taken)
            return LSM_OK;
        close_lock_file(lock);
    }
    return lsm_fail(LSM_LOCKED, "%s: %s is replaced again and again", dir->path, name);
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
