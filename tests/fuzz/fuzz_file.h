// fuzz_file.h -- a directory with the fuzzer's bytes as the one file in it, to be read.
//
// Making one costs nothing: there is no allocation but those of the code under test. What the
// env is not asked for when reading ends the program.

#ifndef LSM_TESTS_FUZZ_FUZZ_FILE_H
#define LSM_TESTS_FUZZ_FUZZ_FILE_H

#include "env/env.h"

// Borrowed by all that is opened through it; the bytes too.
struct fuzz_file {
    struct env env;
    struct dir dir;
    struct file file;
    const uint8_t *data;
    size_t size;
    unsigned open_count; // 0 when the run ends
};

void fuzz_file_init(struct fuzz_file *f, const char *name, const uint8_t *data, size_t size);

// Aborts when something is still open.
void fuzz_file_release(struct fuzz_file *f);

// Aborts unless `status` is one that hostile bytes may lead to.
void fuzz_expect_refusal(lsm_status status);

#endif
