#include "env/env.h"

#include <inttypes.h>

#include "base/plant.h"
#include "env/fd_cache.h"

lsm_status dir_open(struct env *env, const char *path, bool create, struct dir **out)
{
    struct dir *dir;

    TRY(env->ops->dir_open(env, path, create, &dir));
    if (dir == NULL)
        return lsm_fail(LSM_IO, "%s: there is no such directory", path);
    *out = dir;
    return LSM_OK;
}

static lsm_status fail_absent(const struct dir *dir, const char *name)
{
    return lsm_fail(LSM_IO, "%s/%s: there is no such file", dir->path, name);
}

lsm_status file_find(struct dir *dir, const char *name, enum file_mode mode, struct file **out)
{
    lsm_status status = file_find_once(dir, name, mode, out);

    if (LIKELY(status != LSM_BUSY) || dir->spare == NULL)
        return status;
    fd_cache_make_room(dir->spare);
    return file_find_once(dir, name, mode, out);
}

lsm_status file_open(struct dir *dir, const char *name, enum file_mode mode, struct file **out)
{
    struct file *file;

    TRY(file_find(dir, name, mode, &file));
    if (file == NULL)
        return fail_absent(dir, name);
    *out = file;
    return LSM_OK;
}

lsm_status file_stat(struct dir *dir, const char *name, uint64_t *size)
{
    struct file_facts facts;

    TRY(file_look(dir, name, &facts));
    if (!facts.is_there)
        return fail_absent(dir, name);
    *size = facts.size;
    return LSM_OK;
}

lsm_status file_read_exact(struct file *file, uint64_t offset, void *to, size_t size)
{
    size_t got;

    TRY(file_read(file, offset, to, size, &got));
    if (got < size && PLANTED(SHORT_READ_IS_END))
        memset((char *)to + got, 0, size - got);
    else if (got < size)
        return lsm_fail(LSM_CORRUPT, "%s: ends at offset %" PRIu64 ", inside %zu bytes at %" PRIu64,
                        file->name, offset + got, size, offset);
    return LSM_OK;
}

lsm_status file_write_one(struct file *file, uint64_t offset, lsm_slice bytes)
{
    return file_write(file, offset, &bytes, 1);
}

void file_close_quietly(struct file *file)
{
    if (file != NULL)
        (void)file_close(file);
}

void file_closep(struct file **file)
{
    file_close_quietly(*file);
}

void dir_closep(struct dir **dir)
{
    dir_close(*dir);
}
