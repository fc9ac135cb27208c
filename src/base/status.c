// status.c -- the words of the last failure, one set per thread.

#include "base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_message[FAILURE_MESSAGE_MAX];

const char *lsm_status_name(lsm_status status)
{
    switch (status) {
    case LSM_OK:
        return "LSM_OK";
    case LSM_NOT_FOUND:
        return "LSM_NOT_FOUND";
    case LSM_CONFLICT:
        return "LSM_CONFLICT";
    case LSM_BUSY:
        return "LSM_BUSY";
    case LSM_LOCKED:
        return "LSM_LOCKED";
    case LSM_INVALID:
        return "LSM_INVALID";
    case LSM_READ_ONLY:
        return "LSM_READ_ONLY";
    case LSM_NO_SPACE:
        return "LSM_NO_SPACE";
    case LSM_NO_MEMORY:
        return "LSM_NO_MEMORY";
    case LSM_IO:
        return "LSM_IO";
    case LSM_CORRUPT:
        return "LSM_CORRUPT";
    case LSM_OUTCOME_UNKNOWN:
        return "LSM_OUTCOME_UNKNOWN";
    case LSM_POISONED:
        return "LSM_POISONED";
    case LSM_UNSUPPORTED:
        return "LSM_UNSUPPORTED";
    }
    return "unknown lsm_status"; // the application may ask about any number
}

const char *lsm_errmsg(void)
{
    return last_message;
}

lsm_status(lsm_fail)(lsm_status status, const char *format, ...)
{
    char message[FAILURE_MESSAGE_MAX]; // an argument may be the last message itself
    va_list arguments;

    assert(status != LSM_OK);
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments); // too long: cut
    va_end(arguments);
    memcpy(last_message, message, sizeof message);
    return status;
}

lsm_status lsm_fail_in(lsm_status status, const char *context)
{
    return lsm_fail(status, "%s: %s", context, last_message);
}

void failure_capture(struct failure *failure, lsm_status status)
{
    failure->status = status;
    if (status == LSM_OK)
        failure->message[0] = '\0';
    else
        memcpy(failure->message, last_message, sizeof last_message);
}

lsm_status failure_raise(const struct failure *failure)
{
    if (failure->status != LSM_OK)
        memcpy(last_message, failure->message, sizeof last_message);
    return failure->status;
}
