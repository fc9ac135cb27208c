// posix_error.h -- how an error of the system becomes a status with its words.

#ifndef LSM_ENV_POSIX_ERROR_H
#define LSM_ENV_POSIX_ERROR_H

#include <errno.h>

#include "base/status.h"

// Makes `call` again as long as a signal interrupts it.
#define RETRY(call)                                                                                \
    __extension__({                                                                                \
        __typeof__(call) retry_result_;                                                            \
        do {                                                                                       \
            retry_result_ = (call);                                                                \
        } while (retry_result_ == -1 && errno == EINTR);                                           \
        retry_result_;                                                                             \
    })

enum intent { INTENT_READ, INTENT_WRITE };

// Describes errno, of a call that was to do `what` to `name`, as env.h says.
lsm_status posix_fail(enum intent intent, const char *what, const char *name) __attribute__((cold));

// The same for a call about `size` bytes at `offset`.
lsm_status posix_fail_at(enum intent intent, const char *what, const char *name, uint64_t offset,
                         uint64_t size) __attribute__((cold));

// The same for the file `name` of the directory at `path`. LSM_INVALID when the
// error says that it is no regular file.
lsm_status posix_fail_open(enum intent intent, const char *what, const char *path, const char *name)
    __attribute__((cold));

#endif
