// The machine's own files, directories, clocks and randomness.
//
// Every name is looked up in a directory's descriptor, never through a link. A
// call that a signal interrupts is made again; one that does less than asked is
// continued.

#include "env/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "env/posix_error.h"
#include "env/posix_lock.h"
#include "env/posix_open.h"

#define DIRECTORY_MODE 0700
#define FILE_MODE      0600

struct posix_dir {
    struct dir base;
    int fd;
    char path[];
};

struct posix_file {
    struct file base;
    int fd;
    char name[];
};

static struct posix_dir *posix_dir(struct dir *dir)
{
    return (struct posix_dir *)dir;
}

static struct posix_file *posix_file(struct file *file)
{
    return (struct posix_file *)file;
}

// --- directories ---

static int open_directory(const char *path)
{
    return posix_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); // of a directory or of a file only read
}

// The length of the path of the directory that holds `path`, 0 for a path of one
// name: the working directory holds it.
static size_t parent_size(const char *path)
{
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    return size;
}

static lsm_status parent_of(const char *path, char **out)
{
    size_t size = parent_size(path);
    char *parent = mem_alloc(size + 2);

    if (parent == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", path, size + 2);
    memcpy(parent, size == 0 ? "." : path, size == 0 ? 1 : size);
    parent[size == 0 ? 1 : size] = '\0';
    *out = parent;
    return LSM_OK;
}

static lsm_status fail_directory(enum intent intent, const char *what, const char *path)
{
    if (errno == ENOTDIR)
        return lsm_fail(LSM_INVALID, "%s: is not a directory", path);
    return posix_fail(intent, what, path);
}

static lsm_status sync_directory(const char *path)
{
    CLEANUP(close_fd) int fd = open_directory(path);

    if (fd < 0 || RETRY(fsync(fd)) != 0)
        return fail_directory(INTENT_WRITE, "sync directory", path);
    return LSM_OK;
}

// Makes the directory at `path` and what is missing above it, each durable in its
// parent before the next. The deepest one that exists is synced too: a process
// may have died between making and syncing it.
static lsm_status make_directory(const char *path)
{
    CLEANUP(mem_freep) char *parent = NULL;
    bool existed = access(path, F_OK) == 0;

    TRY(parent_of(path, &parent));
    if (!existed) {
        if (strcmp(path, parent) == 0)
            return fail_directory(INTENT_WRITE, "make directory", path);
        TRY(make_directory(parent));
        if (mkdir(path, DIRECTORY_MODE) != 0 && errno != EEXIST)
            return fail_directory(INTENT_WRITE, "make directory", path);
    }
    // A parent that may not be read belongs to somebody else, who made this one.
    if (existed && access(parent, R_OK) != 0)
        return LSM_OK;
    return sync_directory(parent);
}

static void free_dir(struct posix_dir **d)
{
    if (*d != NULL && (*d)->fd >= 0)
        (void)close((*d)->fd); // nothing was written through it
    mem_free(*d);
}

static lsm_status posix_dir_open(struct env *env, const char *path, bool create, struct dir **out)
{
    size_t path_size = strlen(path) + 1;
    CLEANUP(free_dir) struct posix_dir *d = mem_alloc(sizeof *d + path_size);

    if (d == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", path, sizeof *d + path_size);
    memcpy(d->path, path, path_size);
    d->base = (struct dir){.env = env, .path = d->path};
    d->fd = -1;
    if (create)
        TRY(make_directory(path));
    d->fd = open_directory(path);
    if (d->fd < 0 && errno == ENOENT && !create) {
        *out = NULL;
        return LSM_OK;
    }
    if (d->fd < 0)
        return fail_directory(INTENT_READ, "open directory", path);
    *out = &MOVE(d)->base;
    return LSM_OK;
}

static void posix_dir_close(struct dir *dir)
{
    struct posix_dir *d = posix_dir(dir);

    free_dir(&d);
}

static lsm_status posix_dir_sync(struct dir *dir)
{
    if (RETRY(fsync(posix_dir(dir)->fd)) != 0)
        return posix_fail(INTENT_WRITE, "sync directory", dir->path);
    return LSM_OK;
}

static void close_stream(DIR **stream)
{
    if (*stream != NULL)
        (void)closedir(*stream); // nothing was written through it
}

static lsm_status list_entry(struct dir *dir, const char *name, dir_list_fn fn, void *ctx)
{
    struct stat st;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return LSM_OK;
    if (fstatat(posix_dir(dir)->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return LSM_OK; // removed since it was listed
        return posix_fail(INTENT_READ, "examine", name);
    }
    return fn(ctx, name, (uint64_t)st.st_size, S_ISREG(st.st_mode));
}

static lsm_status posix_dir_list(struct dir *dir, dir_list_fn fn, void *ctx)
{
    CLEANUP(close_stream) DIR *stream = NULL;
    struct dirent *entry;
    // An open of its own, for the position belongs to the open directory.
    int fd = posix_open(posix_dir(dir)->fd, ".", O_RDONLY | O_DIRECTORY, 0);

    if (fd >= 0)
        stream = fdopendir(fd);
    if (stream == NULL) {
        lsm_status status = posix_fail(INTENT_READ, "list directory", dir->path);

        close_fd(&fd);
        return status;
    }
    for (;;) {
        errno = 0;
        entry = readdir(stream);
        if (entry == NULL)
            break;
        TRY(list_entry(dir, entry->d_name, fn, ctx));
    }
    if (errno != 0)
        return posix_fail(INTENT_READ, "list directory", dir->path);
    return LSM_OK;
}

static lsm_status posix_dir_lock(struct dir *dir, const char *name, struct dir_lock **out)
{
    return posix_lock_take(dir, posix_dir(dir)->fd, name, out);
}

// --- names ---

static int open_flags(enum file_mode mode)
{
    switch (mode) {
    case FILE_READ:
        return O_RDONLY;
    case FILE_CREATE:
        return O_RDWR | O_CREAT | O_EXCL;
    case FILE_WRITE:
        break;
    }
    return O_RDWR;
}

static void free_file(struct posix_file **f)
{
    if (*f != NULL && (*f)->fd >= 0)
        (void)close((*f)->fd); // nothing was written through it
    mem_free(*f);
}

static lsm_status posix_file_open(struct dir *dir, const char *name, enum file_mode mode,
                                  struct file **out)
{
    size_t name_size = strlen(name) + 1;
    CLEANUP(free_file) struct posix_file *f = mem_alloc(sizeof *f + name_size);
    struct stat st;

    if (f == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", name, sizeof *f + name_size);
    memcpy(f->name, name, name_size);
    f->base = (struct file){.env = dir->env, .name = f->name};
    // Without O_NONBLOCK, opening a pipe would wait for its other end.
    f->fd =
        posix_open(posix_dir(dir)->fd, name, open_flags(mode) | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
    if (f->fd < 0 && errno == ENOENT && mode != FILE_CREATE) {
        *out = NULL;
        return LSM_OK;
    }
    if (f->fd < 0)
        return posix_fail_open(mode == FILE_READ ? INTENT_READ : INTENT_WRITE,
                               mode == FILE_CREATE ? "create" : "open", dir->path, name);
    // A created file is a regular one, and exists from here: nothing may fail.
    if (mode != FILE_CREATE) {
        if (fstat(f->fd, &st) != 0)
            return posix_fail(INTENT_READ, "examine", name);
        if (!S_ISREG(st.st_mode))
            return lsm_fail(LSM_INVALID, "%s/%s: is not a regular file", dir->path, name);
    }
    *out = &MOVE(f)->base;
    return LSM_OK;
}

static lsm_status posix_file_rename(struct dir *dir, const char *from, const char *to)
{
    int fd = posix_dir(dir)->fd;

    if (RETRY(renameat(fd, from, fd, to)) != 0)
        return posix_fail(INTENT_WRITE, "rename", from);
    return LSM_OK;
}

static lsm_status posix_file_unlink(struct dir *dir, const char *name)
{
    if (RETRY(unlinkat(posix_dir(dir)->fd, name, 0)) != 0 && errno != ENOENT)
        return posix_fail(INTENT_WRITE, "remove", name);
    return LSM_OK;
}

static lsm_status posix_file_look(struct dir *dir, const char *name, struct file_facts *out)
{
    struct stat st;

    if (RETRY(fstatat(posix_dir(dir)->fd, name, &st, AT_SYMLINK_NOFOLLOW)) != 0) {
        if (errno != ENOENT)
            return posix_fail(INTENT_READ, "examine", name);
        *out = (struct file_facts){.is_there = false};
        return LSM_OK;
    }
    if (!S_ISREG(st.st_mode))
        return lsm_fail(LSM_INVALID, "%s/%s: is not a regular file", dir->path, name);
    *out = (struct file_facts){.is_there = true, .size = (uint64_t)st.st_size};
    return LSM_OK;
}

// --- content ---

// Whether the range ends beyond every offset the system can express, where no
// file has a byte: an offset taken from a damaged file may lie there.
static bool is_beyond_files(uint64_t offset, uint64_t size)
{
    return size > (uint64_t)INT64_MAX || offset > (uint64_t)INT64_MAX - size;
}

static lsm_status posix_file_read(struct file *file, uint64_t offset, void *to, size_t size,
                                  size_t *got)
{
    size_t done = 0;

    if (is_beyond_files(offset, size))
        size = 0;
    while (done < size) {
        ssize_t n = RETRY(
            pread(posix_file(file)->fd, (uint8_t *)to + done, size - done, (off_t)(offset + done)));

        if (n < 0)
            return posix_fail_at(INTENT_READ, "read", file->name, offset + done, size - done);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return LSM_OK;
}

// What of a list of parts is still to be written.
struct parts_left {
    const lsm_slice *parts;
    size_t count;
    size_t skip; // bytes of the first part that are written
};

// Fills `io` with as much as one call takes, leaving empty parts out.
static int parts_gather(const struct parts_left *left, struct iovec *io)
{
    size_t skip = left->skip;
    int n = 0;

    for (size_t i = 0; i < left->count && n < IOV_MAX; i++) {
        lsm_slice part = slice_from(left->parts[i], skip);

        skip = 0;
        if (part.size > 0)
            io[n++] = (struct iovec){.iov_base = (void *)part.data, .iov_len = part.size};
    }
    return n;
}

static void parts_advance(struct parts_left *left, size_t written)
{
    while (left->count > 0 && written >= left->parts->size - left->skip) {
        written -= left->parts->size - left->skip;
        left->skip = 0;
        left->parts++;
        left->count--;
    }
    left->skip += written;
}

static lsm_status posix_file_write(struct file *file, uint64_t offset, const lsm_slice *parts,
                                   size_t count)
{
    struct parts_left left = {.parts = parts, .count = count};
    struct iovec io[IOV_MAX];

    for (;;) {
        int n = parts_gather(&left, io);
        ssize_t written;

        if (n == 0)
            return LSM_OK;
        if (offset > INT64_MAX)
            return lsm_fail(LSM_NO_SPACE, "%s: no file reaches offset %" PRIu64, file->name,
                            offset);
        errno = EIO; // should the system take nothing and give no reason
        written = RETRY(pwritev(posix_file(file)->fd, io, n, (off_t)offset));
        if (written <= 0)
            return posix_fail_at(INTENT_WRITE, "write", file->name, offset, io[0].iov_len);
        parts_advance(&left, (size_t)written);
        offset += (uint64_t)written;
    }
}

static lsm_status posix_file_sync(struct file *file)
{
    if (RETRY(fdatasync(posix_file(file)->fd)) != 0)
        return posix_fail(INTENT_WRITE, "sync", file->name);
    return LSM_OK;
}

static void posix_file_writeback(struct file *file, uint64_t offset, uint64_t size)
{
    // A hint: what it meets, the next sync reports.
    (void)sync_file_range(posix_file(file)->fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static lsm_status posix_file_size(struct file *file, uint64_t *size)
{
    struct stat st;

    if (fstat(posix_file(file)->fd, &st) != 0)
        return posix_fail(INTENT_READ, "examine", file->name);
    *size = (uint64_t)st.st_size;
    return LSM_OK;
}

static lsm_status posix_file_name_count(struct file *file, uint64_t *count)
{
    struct stat st;

    if (fstat(posix_file(file)->fd, &st) != 0)
        return posix_fail(INTENT_READ, "examine", file->name);
    *count = (uint64_t)st.st_nlink;
    return LSM_OK;
}

// For file systems that cannot allocate: zeroes from the end of the file on, for
// what lies before it is written already.
static lsm_status write_zeroes(struct file *file, uint64_t offset, uint64_t end)
{
    static const uint8_t zeroes[64 * 1024];
    uint64_t size;

    TRY(posix_file_size(file, &size));
    if (offset < size)
        offset = size;
    while (offset < end) {
        uint64_t left = end - offset;
        lsm_slice part = slice_make(zeroes, left < sizeof zeroes ? (size_t)left : sizeof zeroes);

        TRY(posix_file_write(file, offset, &part, 1));
        offset += part.size;
    }
    return LSM_OK;
}

static lsm_status posix_file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    if (size == 0)
        return LSM_OK;
    if (is_beyond_files(offset, size))
        return lsm_fail(LSM_NO_SPACE, "%s: no file has %" PRIu64 " bytes at offset %" PRIu64,
                        file->name, size, offset);
    if (RETRY(fallocate(posix_file(file)->fd, 0, (off_t)offset, (off_t)size)) == 0)
        return LSM_OK;
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        return write_zeroes(file, offset, offset + size);
    return posix_fail_at(INTENT_WRITE, "allocate", file->name, offset, size);
}

static lsm_status posix_file_truncate(struct file *file, uint64_t size)
{
    if (is_beyond_files(0, size))
        return lsm_fail(LSM_NO_SPACE, "%s: no file has %" PRIu64 " bytes", file->name, size);
    if (RETRY(ftruncate(posix_file(file)->fd, (off_t)size)) != 0)
        return posix_fail_at(INTENT_WRITE, "cut behind", file->name, 0, size);
    return LSM_OK;
}

static void posix_file_prefetch(struct file *file, uint64_t offset, uint64_t size)
{
    (void)posix_fadvise(posix_file(file)->fd, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}

static lsm_status posix_file_close(struct file *file)
{
    CLEANUP(free_file) struct posix_file *f = posix_file(file);
    int fd = f->fd;

    f->fd = -1;
    // The descriptor is gone even if a signal interrupted, so never again.
    if (close(fd) != 0 && errno != EINTR)
        return posix_fail(INTENT_WRITE, "close", file->name);
    return LSM_OK;
}

// --- the rest of the machine ---

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now); // these clocks always exist
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t posix_clock_mono_ns(struct env *env)
{
    (void)env;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t posix_clock_boot_ns(struct env *env)
{
    (void)env;
    return read_clock(CLOCK_BOOTTIME);
}

static uint64_t posix_clock_wall_ns(struct env *env)
{
    (void)env;
    return read_clock(CLOCK_REALTIME);
}

static lsm_status posix_random_bytes(struct env *env, void *to, size_t size)
{
    size_t done = 0;

    (void)env;
    while (done < size) {
        ssize_t n = RETRY(getrandom((uint8_t *)to + done, size - done, 0));

        if (n < 0)
            return posix_fail(INTENT_READ, "read", "random numbers");
        done += (size_t)n;
    }
    return LSM_OK;
}

static uint64_t posix_process_id(struct env *env)
{
    (void)env;
    return (uint64_t)getpid();
}

static uint64_t posix_descriptor_limit(struct env *env)
{
    struct rlimit limit;

    (void)env;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return _POSIX_OPEN_MAX;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

struct env *env_posix(void)
{
    static const struct env_ops ops = {
        .dir_open = posix_dir_open,
        .dir_close = posix_dir_close,
        .dir_sync = posix_dir_sync,
        .dir_list = posix_dir_list,
        .dir_lock = posix_dir_lock,
        .dir_unlock = posix_lock_drop,
        .file_open = posix_file_open,
        .file_rename = posix_file_rename,
        .file_unlink = posix_file_unlink,
        .file_look = posix_file_look,
        .file_read = posix_file_read,
        .file_write = posix_file_write,
        .file_sync = posix_file_sync,
        .file_writeback = posix_file_writeback,
        .file_allocate = posix_file_allocate,
        .file_truncate = posix_file_truncate,
        .file_size = posix_file_size,
        .file_name_count = posix_file_name_count,
        .file_prefetch = posix_file_prefetch,
        .file_close = posix_file_close,
        .clock_mono_ns = posix_clock_mono_ns,
        .clock_boot_ns = posix_clock_boot_ns,
        .clock_wall_ns = posix_clock_wall_ns,
        .random_bytes = posix_random_bytes,
        .process_id = posix_process_id,
        .descriptor_limit = posix_descriptor_limit,
    };
    static struct env env = {.ops = &ops};

    return &env;
}
