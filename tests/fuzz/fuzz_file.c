#include "fuzz_file.h"

#include <stdlib.h>
#include <string.h>

static struct fuzz_file *of_env(struct env *env)
{
    return (struct fuzz_file *)env;
}

static lsm_status open_file(struct dir *dir, const char *name, enum file_mode mode,
                            struct file **out)
{
    struct fuzz_file *f = of_env(dir->env);

    if (mode != FILE_READ)
        abort();
    if (strcmp(name, f->file.name) != 0) {
        *out = NULL;
        return LSM_OK;
    }
    f->open_count++;
    *out = &f->file;
    return LSM_OK;
}

static lsm_status read_file(struct file *file, uint64_t offset, void *to, size_t size, size_t *got)
{
    const struct fuzz_file *f = of_env(file->env);
    const size_t left = offset < f->size ? f->size - (size_t)offset : 0;

    *got = size < left ? size : left;
    if (*got > 0)
        memcpy(to, f->data + offset, *got);
    return LSM_OK;
}

static lsm_status size_of_file(struct file *file, uint64_t *size)
{
    *size = of_env(file->env)->size;
    return LSM_OK;
}

static void prefetch(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

static lsm_status close_file(struct file *file)
{
    of_env(file->env)->open_count--;
    return LSM_OK;
}

static uint64_t descriptor_limit(struct env *env)
{
    (void)env;
    return 64;
}

void fuzz_file_init(struct fuzz_file *f, const char *name, const uint8_t *data, size_t size)
{
    static const struct env_ops ops = {
        .file_open = open_file,
        .file_read = read_file,
        .file_size = size_of_file,
        .file_prefetch = prefetch,
        .file_close = close_file,
        .descriptor_limit = descriptor_limit,
    };

    *f = (struct fuzz_file){.env = {.ops = &ops}, .data = data, .size = size};
    f->dir = (struct dir){.env = &f->env, .path = "d"};
    f->file = (struct file){.env = &f->env, .name = name};
}

void fuzz_file_release(struct fuzz_file *f)
{
    if (f->open_count != 0)
        abort();
}

void fuzz_expect_refusal(lsm_status status)
{
    if (status != LSM_OK && status != LSM_CORRUPT && status != LSM_UNSUPPORTED)
        abort();
}
