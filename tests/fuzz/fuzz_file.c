#include "fuzz_file.h"

#include <stdlib.h>

void fuzz_file_init(struct fuzz_file *f, const char *name, const uint8_t *data, size_t size)
{
    struct file *file;

    if (env_memory_new(&f->env) != LSM_OK || dir_open(f->env, "d", true, &f->dir) != LSM_OK ||
        file_open(f->dir, name, FILE_CREATE, &file) != LSM_OK ||
        file_write_one(file, 0, slice_make(data, size)) != LSM_OK)
        abort();
    file_close_quietly(file);
}

void fuzz_file_release(struct fuzz_file *f)
{
    dir_close(f->dir);
    env_memory_free(f->env);
}

void fuzz_expect_refusal(lsm_status status)
{
    if (status != LSM_OK && status != LSM_CORRUPT && status != LSM_UNSUPPORTED &&
        status != LSM_NOT_FOUND)
        abort();
}
