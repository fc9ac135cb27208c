#include "inspector.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "env/posix_error.h"
#include "env/posix_lock.h"
#include "manifest/manifest_file.h"
#include "output.h"

#define OPEN_FILES_MAX 64
#define CACHE_BYTES    ((size_t)16 << 20)
#define READ_TRIES     8

// --- opening ---

static lsm_status read_manifest(struct inspector *in)
{
    TRY(manifest_read_uuid(in->dir, &in->tables.db_uuid));
    in->segments.db_uuid = in->tables.db_uuid;
    return manifest_read(&in->tables, &in->segments, &in->state, &in->version);
}

// Whether CURRENT names another manifest than `number` now.
static bool has_moved_on(struct dir *dir, uint64_t number)
{
    struct file_header current;

    return current_read(dir, &current) == LSM_OK && current.number != number;
}

static lsm_status read_manifest_again(struct inspector *in)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct file_header current;
    bool exists;

    TRY(manifest_exists(in->dir, &exists));
    if (!exists)
        return lsm_fail(LSM_NOT_FOUND, "there is no database in %s", in->dir->path);
    for (int i = 0;; i++) {
        struct failure failure;

        TRY(current_read(in->dir, &current));
        failure_capture(&failure, read_manifest(in));
        // The manifest may have been removed since.
        if (failure.status != LSM_CORRUPT || i == READ_TRIES ||
            !has_moved_on(in->dir, current.number))
            return failure_raise(&failure);
        nanosleep(&pause, NULL);
    }
}

lsm_status inspect_dir_open(const char *path, struct dir **out)
{
    struct dir *dir;

    TRY(dir_find(env_posix(), path, &dir));
    if (dir == NULL)
        return lsm_fail(LSM_NOT_FOUND, "%s: there is no such directory", path);
    *out = dir;
    return LSM_OK;
}

lsm_status inspector_open(const char *path, struct inspector **out)
{
    CLEANUP(inspector_closep) struct inspector *in = must_alloc(1, sizeof *in);

    epoch_bin_init(&in->bin);
    poison_init(&in->poison);
    TRY(inspect_dir_open(path, &in->dir));
    TRY(fd_cache_new(&in->bin, OPEN_FILES_MAX, &in->fds));
    fd_cache_serve(in->fds, in->dir);
    TRY(cache_new(CACHE_BYTES, &in->bin, &in->cache));
    TRY(unlinker_new(in->dir, &in->poison, &in->unlinker));
    unlinker_hold(in->unlinker);
    in->tables = (struct table_store){.dir = in->dir,
                                      .fds = in->fds,
                                      .cache = in->cache,
                                      .bin = &in->bin,
                                      .unlinker = in->unlinker};
    in->segments = (struct segment_store){.dir = in->dir,
                                          .fds = in->fds,
                                          .bin = &in->bin,
                                          .unlinker = in->unlinker,
                                          .poison = &in->poison};
    TRY(read_manifest_again(in));
    *out = MOVE(in);
    return LSM_OK;
}

void inspector_close(struct inspector *in)
{
    if (in == NULL)
        return;
    if (in->version != NULL)
        version_unref(in->version);
    manifest_state_release(&in->state);
    epoch_drain(&in->bin);
    if (in->cache != NULL)
        cache_free(in->cache);
    epoch_drain(&in->bin);
    if (in->fds != NULL)
        fd_cache_free(in->fds);
    if (in->unlinker != NULL)
        unlinker_free(in->unlinker);
    epoch_drain(&in->bin);
    epoch_bin_release(&in->bin);
    poison_release(&in->poison);
    dir_close(in->dir);
    free(in);
}

void inspector_closep(struct inspector **inspector)
{
    inspector_close(*inspector);
}

// --- who has it open ---

// The lock file of a copy by hard links is the original's, and tells of that.
static bool is_of_this_directory(const char *path, int fd)
{
    struct stat file, directory;

    if (fstat(fd, &file) != 0 || stat(path, &directory) != 0)
        return true;
    return !posix_lock_is_of_another(fd, (uint64_t)file.st_nlink, (uint64_t)directory.st_ino);
}

uint64_t inspect_holder(const char *path, bool *in_use)
{
    // The byte that the holder keeps.
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    char name[4096];
    char text[24] = "";
    uint64_t pid = 0;
    int fd;

    *in_use = false;
    snprintf(name, sizeof name, "%s/%s", path, filename_of(FILENAME_LOCK, 0).text);
    fd = RETRY(open(name, O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return 0;
    // Asks whether the lock could be taken, and takes none.
    if (fcntl(fd, F_OFD_GETLK, &held) == 0 && held.l_type != F_UNLCK &&
        is_of_this_directory(path, fd)) {
        *in_use = true;
        if (RETRY(pread(fd, text, sizeof text - 1, 0)) > 0)
            pid = strtoull(text, NULL, 10);
    }
    (void)close(fd); // it was only read
    return pid;
}

// --- files ---

bool inspect_is_gone(struct dir *dir, const char *name)
{
    struct failure failure;
    struct file_facts facts;
    bool is_gone;

    failure_capture(&failure, LSM_INVALID);
    is_gone = file_look(dir, name, &facts) == LSM_OK && !facts.is_there;
    (void)failure_raise(&failure);
    return is_gone;
}

static lsm_status sum_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct file_sums *sums = ctx;
    uint64_t number;

    if (!is_regular)
        return LSM_OK;
    switch (filename_parse(name, &number)) {
    case FILENAME_TABLE:
        sums->table_count++;
        sums->table_bytes += size;
        break;
    case FILENAME_SEGMENT:
        sums->segment_count++;
        sums->segment_bytes += size;
        break;
    case FILENAME_MANIFEST:
        sums->manifest_count++;
        sums->manifest_bytes += size;
        break;
    default:
        sums->other_count++;
        sums->other_bytes += size;
    }
    return LSM_OK;
}

lsm_status inspect_file_sums(struct dir *dir, struct file_sums *out)
{
    struct file_sums sums = {0};

    TRY(dir_list(dir, sum_file, &sums));
    *out = sums;
    return LSM_OK;
}

struct numbers {
    enum filename_kind kind;
    uint64_t *items;
    size_t count;
};

static lsm_status collect_number(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct numbers *numbers = ctx;
    uint64_t number;

    (void)size;
    if (!is_regular || filename_parse(name, &number) != numbers->kind)
        return LSM_OK;
    numbers->items = reallocarray(numbers->items, numbers->count + 1, sizeof *numbers->items);
    if (numbers->items == NULL)
        must(LSM_NO_MEMORY);
    numbers->items[numbers->count++] = number;
    return LSM_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

lsm_status inspect_each_file(struct dir *dir, enum filename_kind kind, inspect_file_fn fn,
                             void *ctx)
{
    struct numbers numbers = {.kind = kind};
    lsm_status status = dir_list(dir, collect_number, &numbers);

    if (numbers.count > 1)
        qsort(numbers.items, numbers.count, sizeof *numbers.items, compare_numbers);
    for (size_t i = 0; i < numbers.count && status == LSM_OK; i++) {
        struct filename name = filename_of(kind, numbers.items[i]);

        status = fn(ctx, name.text, numbers.items[i]);
        // A process that is writing may have removed it meanwhile.
        if (status != LSM_OK && inspect_is_gone(dir, name.text))
            status = LSM_OK;
    }
    free(numbers.items);
    return status;
}
