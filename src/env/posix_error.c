#include "env/posix_error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static lsm_status status_of(int error, enum intent intent)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return LSM_NO_SPACE;
    case ENOMEM:
        return LSM_NO_MEMORY;
    case EMFILE:
    case ENFILE:
        return LSM_BUSY;
    case EROFS:
    case EACCES:
    case EPERM:
        return intent == INTENT_WRITE ? LSM_READ_ONLY : LSM_IO;
    default:
        return LSM_IO;
    }
}

lsm_status posix_fail(enum intent intent, const char *what, const char *name)
{
    int error = errno;

    return lsm_fail(status_of(error, intent), "%s: cannot %s: %s", name, what,
                    strerrordesc_np(error));
}

lsm_status posix_fail_at(enum intent intent, const char *what, const char *name, uint64_t offset,
                         uint64_t size)
{
    int error = errno;

    return lsm_fail(status_of(error, intent),
                    "%s: cannot %s %" PRIu64 " bytes at offset %" PRIu64 ": %s", name, what, size,
                    offset, strerrordesc_np(error));
}

lsm_status posix_fail_open(enum intent intent, const char *what, const char *path, const char *name)
{
    int error = errno;

    // What O_NOFOLLOW, O_RDWR and O_NONBLOCK say of links, directories and pipes.
    if (error == ELOOP || error == EISDIR || error == ENXIO)
        return lsm_fail(LSM_INVALID, "%s/%s: is not a regular file", path, name);
    // Of a file that is to be made, which has no other directory above it.
    if (error == ENOENT)
        return lsm_fail(LSM_IO, "%s/%s: cannot %s: the directory has been removed", path, name,
                        what);
    return lsm_fail(status_of(error, intent), "%s/%s: cannot %s: %s", path, name, what,
                    strerrordesc_np(error));
}
