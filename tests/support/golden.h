// golden.h -- the files of tests/golden, which say for ever what the formats are.

#ifndef LSM_TESTS_SUPPORT_GOLDEN_H
#define LSM_TESTS_SUPPORT_GOLDEN_H

#include <stddef.h>

// The path of tests/golden/`name`, zero-terminated, into `path` of `size` bytes. Any thread.
void golden_path(const char *name, char *path, size_t size);

#endif
