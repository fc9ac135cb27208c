// fuzz_file.h -- a directory in memory with the fuzzer's bytes as a file in it.

#ifndef LSM_TESTS_FUZZ_FUZZ_FILE_H
#define LSM_TESTS_FUZZ_FUZZ_FILE_H

#include "env/env.h"

struct fuzz_file {
    struct env *env;
    struct dir *dir;
};

// Aborts when memory is short.
void fuzz_file_init(struct fuzz_file *f, const char *name, const uint8_t *data, size_t size);
void fuzz_file_release(struct fuzz_file *f);

// Aborts unless `status` is one that hostile bytes may lead to.
void fuzz_expect_refusal(lsm_status status);

#endif
