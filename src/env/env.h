// env.h -- the only door to the operating system.
//
// No file outside src/env makes a system call. An env is a table of functions;
// `posix` and `memory` are the implementations, tests add `sim`, which knows what
// has been synced and can crash or fail at any call. All functions may be called
// from any thread unless said otherwise; failures are described with the name of
// the file and the error of the system.
//
// How errors of the system become statuses: ENOSPC, EDQUOT and EFBIG are
// LSM_NO_SPACE; ENOMEM is LSM_NO_MEMORY; EMFILE and ENFILE are LSM_BUSY; EROFS,
// EACCES and EPERM are LSM_READ_ONLY when writing; everything else is LSM_IO.
//
// That something is not there is no failure where it is asked (dir_find(), file_find(),
// file_look()): then it is an answer. Everywhere else ENOENT is an error of the system like
// any other, LSM_IO. No function here returns LSM_NOT_FOUND, which is the status of what an
// application looks for: a file that has gone never looks like a key that is not there.

#ifndef LSM_ENV_ENV_H
#define LSM_ENV_ENV_H

#include "base/bytes.h"
#include "base/uuid.h"

struct env;
struct fd_cache;

// A directory held by a descriptor: names are looked up in it whatever becomes
// of its path. `path` is for messages.
struct dir {
    struct env *env;
    const char *path;
    struct fd_cache *spare; // closes what it can when descriptors run out: fd_cache_serve()
};

// An open regular file. `name` is its name in its directory, for messages.
struct file {
    struct env *env;
    const char *name;
};

// Held from dir_lock() to dir_unlock().
struct dir_lock;

enum file_mode {
    FILE_READ,   // must exist; opened for reading only
    FILE_CREATE, // must not exist; opened for reading and writing
    FILE_WRITE,  // must exist; opened for reading and writing
};

// What is under a name of a directory.
struct file_facts {
    bool is_there;
    uint64_t size; // in bytes; 0 when it is not there
};

// Called by dir_list() once per name; a failure ends the listing.
typedef lsm_status (*dir_list_fn)(void *ctx, const char *name, uint64_t size, bool is_regular);

struct env_ops {
    // Opens the directory at `path`; with `create`, makes it (mode 0700) and its
    // missing parents first, and syncs the parents. `*out` is NULL when there is
    // none, which `create` excludes; LSM_INVALID when the path names something else.
    lsm_status (*dir_open)(struct env *env, const char *path, bool create, struct dir **out);
    void (*dir_close)(struct dir *dir);
    // Makes names created, renamed and removed in the directory durable.
    lsm_status (*dir_sync)(struct dir *dir);
    lsm_status (*dir_list)(struct dir *dir, dir_list_fn fn, void *ctx);
    // Takes the directory for this handle alone, by file `name` in it. LSM_LOCKED
    // naming the holder's process when another handle, of this process or of
    // another one, has it. A lock file left by a dead process does not block.
    lsm_status (*dir_lock)(struct dir *dir, const char *name, struct dir_lock **out);
    void (*dir_unlock)(struct dir_lock *lock);

    // Descriptors are opened with O_CLOEXEC and O_NOFOLLOW; anything but a
    // regular file is refused with LSM_INVALID. New files have mode 0600. `*out` is NULL
    // when there is no file of that name, which FILE_CREATE excludes.
    lsm_status (*file_open)(struct dir *dir, const char *name, enum file_mode mode,
                            struct file **out);
    lsm_status (*file_rename)(struct dir *dir, const char *from, const char *to);
    // Afterwards nothing has the name: LSM_OK, too, when nothing had it before.
    lsm_status (*file_unlink)(struct dir *dir, const char *name);
    // Looks at a file without opening it; that there is none is an answer. LSM_INVALID for
    // anything but a regular file.
    lsm_status (*file_look)(struct dir *dir, const char *name, struct file_facts *out);

    // Reads until `size` bytes or the end of the file: `*got` is less than `size`
    // only there.
    lsm_status (*file_read)(struct file *file, uint64_t offset, void *to, size_t size, size_t *got);
    // Writes all of `parts` one behind the other at `offset`. After a failure any
    // part of them may have been written.
    lsm_status (*file_write)(struct file *file, uint64_t offset, const lsm_slice *parts,
                             size_t count);
    // Makes the content and size of the file durable (fdatasync), not its name.
    lsm_status (*file_sync)(struct file *file);
    // Starts writing a range back to the device without waiting for it and
    // without consuming an error.
    void (*file_writeback)(struct file *file, uint64_t offset, uint64_t size);
    // Makes room on the device for the range, extending the file with zeroes:
    // writing there cannot run out of space afterwards.
    lsm_status (*file_allocate)(struct file *file, uint64_t offset, uint64_t size);
    lsm_status (*file_truncate)(struct file *file, uint64_t size);
    lsm_status (*file_size)(struct file *file, uint64_t *size);
    // How many names the file has, in whatever directories: more than one when somebody has
    // made a hard link, as a copy by `cp -al` is; 0 once it has been removed.
    lsm_status (*file_name_count)(struct file *file, uint64_t *count);
    // A hint that the range will be read soon.
    void (*file_prefetch)(struct file *file, uint64_t offset, uint64_t size);
    // Releases the file in any case; the failure is of bytes written before.
    lsm_status (*file_close)(struct file *file);

    uint64_t (*clock_mono_ns)(struct env *env); // never steps back
    uint64_t (*clock_boot_ns)(struct env *env); // the same, and goes on while suspended
    uint64_t (*clock_wall_ns)(struct env *env); // since 1970, may step
    lsm_status (*random_bytes)(struct env *env, void *to, size_t size);
    uint64_t (*process_id)(struct env *env);
    // How many descriptors the process may have open (its soft limit).
    uint64_t (*descriptor_limit)(struct env *env);
};

struct env {
    const struct env_ops *ops;
};

// The machine's own. Static: never released.
struct env *env_posix(void);

// Directories and files of this process's memory, gone with the env. The caller
// releases it after everything opened through it.
lsm_status env_memory_new(struct env **out);
void env_memory_free(struct env *env);

// LSM_IO when there is no such directory.
lsm_status dir_open(struct env *env, const char *path, bool create, struct dir **out);
// Opens it if it is there: else `*out` is NULL.
static inline lsm_status dir_find(struct env *env, const char *path, struct dir **out)
{
    return env->ops->dir_open(env, path, false, out);
}

static inline void dir_close(struct dir *dir)
{
    if (dir != NULL)
        dir->env->ops->dir_close(dir);
}

static inline lsm_status dir_sync(struct dir *dir)
{
    return dir->env->ops->dir_sync(dir);
}

static inline lsm_status dir_list(struct dir *dir, dir_list_fn fn, void *ctx)
{
    return dir->env->ops->dir_list(dir, fn, ctx);
}

static inline lsm_status dir_lock(struct dir *dir, const char *name, struct dir_lock **out)
{
    return dir->env->ops->dir_lock(dir, name, out);
}

static inline void dir_unlock(struct env *env, struct dir_lock *lock)
{
    if (lock != NULL)
        env->ops->dir_unlock(lock);
}

// LSM_IO when there is no such file. When the system has no descriptor left, the directory's
// descriptor cache makes room and it is tried once more. The caller holds no lock of a rank
// from LOCK_TABLES on.
lsm_status file_open(struct dir *dir, const char *name, enum file_mode mode, struct file **out);
// The same for a file that need not be there: then `*out` is NULL. `mode` is not FILE_CREATE.
lsm_status file_find(struct dir *dir, const char *name, enum file_mode mode, struct file **out);
// For who holds such a lock: does not try again. `*out` is NULL when there is no such file,
// which FILE_CREATE excludes.
static inline lsm_status file_find_once(struct dir *dir, const char *name, enum file_mode mode,
                                        struct file **out)
{
    return dir->env->ops->file_open(dir, name, mode, out);
}

static inline lsm_status file_rename(struct dir *dir, const char *from, const char *to)
{
    return dir->env->ops->file_rename(dir, from, to);
}

static inline lsm_status file_unlink(struct dir *dir, const char *name)
{
    return dir->env->ops->file_unlink(dir, name);
}

static inline lsm_status file_look(struct dir *dir, const char *name, struct file_facts *out)
{
    return dir->env->ops->file_look(dir, name, out);
}
// The size of a file that is there: LSM_IO when it is not.
lsm_status file_stat(struct dir *dir, const char *name, uint64_t *size);

static inline lsm_status file_read(struct file *file, uint64_t offset, void *to, size_t size,
                                   size_t *got)
{
    return file->env->ops->file_read(file, offset, to, size, got);
}

static inline lsm_status file_write(struct file *file, uint64_t offset, const lsm_slice *parts,
                                    size_t count)
{
    return file->env->ops->file_write(file, offset, parts, count);
}

static inline lsm_status file_sync(struct file *file)
{
    return file->env->ops->file_sync(file);
}

static inline void file_writeback(struct file *file, uint64_t offset, uint64_t size)
{
    file->env->ops->file_writeback(file, offset, size);
}

static inline lsm_status file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    return file->env->ops->file_allocate(file, offset, size);
}

static inline lsm_status file_truncate(struct file *file, uint64_t size)
{
    return file->env->ops->file_truncate(file, size);
}

static inline lsm_status file_size(struct file *file, uint64_t *size)
{
    return file->env->ops->file_size(file, size);
}

static inline lsm_status file_name_count(struct file *file, uint64_t *count)
{
    return file->env->ops->file_name_count(file, count);
}

static inline void file_prefetch(struct file *file, uint64_t offset, uint64_t size)
{
    file->env->ops->file_prefetch(file, offset, size);
}

static inline lsm_status file_close(struct file *file)
{
    return file->env->ops->file_close(file);
}

static inline uint64_t clock_mono_ns(struct env *env)
{
    return env->ops->clock_mono_ns(env);
}

static inline uint64_t clock_boot_ns(struct env *env)
{
    return env->ops->clock_boot_ns(env);
}

static inline uint64_t clock_wall_ns(struct env *env)
{
    return env->ops->clock_wall_ns(env);
}

static inline lsm_status env_random(struct env *env, void *to, size_t size)
{
    return env->ops->random_bytes(env, to, size);
}

static inline uint64_t env_process_id(struct env *env)
{
    return env->ops->process_id(env);
}

static inline uint64_t env_descriptor_limit(struct env *env)
{
    return env->ops->descriptor_limit(env);
}

// Reads exactly `size` bytes; LSM_CORRUPT, naming file and offset, when the file
// ends before.
lsm_status file_read_exact(struct file *file, uint64_t offset, void *to, size_t size);

// Writes one slice.
lsm_status file_write_one(struct file *file, uint64_t offset, lsm_slice bytes);

// Closes a file that was only read, whose close cannot tell anything: the result
// is ignored on purpose. NULL is nothing.
void file_close_quietly(struct file *file);
void file_closep(struct file **file);
void dir_closep(struct dir **dir);

#endif
