// status.c -- the words of the last failure, one set per thread.

#include "base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_message[FAILURE_MESSAGE_MAX];

static const struct status_info {
    const char *name;
    lsm_class class;
} statuses[] = {
    [LSM_OK] = {"LSM_OK", LSM_CLASS_OK},
    [LSM_NOT_FOUND] = {"LSM_NOT_FOUND", LSM_CLASS_MISUSE},
    [LSM_CONFLICT] = {"LSM_CONFLICT", LSM_CLASS_CONFLICT},
    [LSM_BUSY] = {"LSM_BUSY", LSM_CLASS_TRANSIENT},
    [LSM_LOCKED] = {"LSM_LOCKED", LSM_CLASS_TRANSIENT},
    [LSM_INVALID] = {"LSM_INVALID", LSM_CLASS_MISUSE},
    [LSM_READ_ONLY] = {"LSM_READ_ONLY", LSM_CLASS_MISUSE},
    [LSM_NO_SPACE] = {"LSM_NO_SPACE", LSM_CLASS_TRANSIENT},
    [LSM_NO_MEMORY] = {"LSM_NO_MEMORY", LSM_CLASS_TRANSIENT},
    [LSM_IO] = {"LSM_IO", LSM_CLASS_IO},
    [LSM_CORRUPT] = {"LSM_CORRUPT", LSM_CLASS_CORRUPTION},
    [LSM_OUTCOME_UNKNOWN] = {"LSM_OUTCOME_UNKNOWN", LSM_CLASS_UNKNOWN},
    [LSM_POISONED] = {"LSM_POISONED", LSM_CLASS_IO},
    [LSM_UNSUPPORTED] = {"LSM_UNSUPPORTED", LSM_CLASS_MISUSE},
};

// The application may ask about any number.
static struct status_info status_info(lsm_status status)
{
    const size_t index = (size_t)status;

    if (index < sizeof statuses / sizeof statuses[0])
        return statuses[index];
    return (struct status_info){"LSM_UNKNOWN_STATUS", LSM_CLASS_UNKNOWN};
}

const char *lsm_status_name(lsm_status status)
{
    return status_info(status).name;
}

lsm_class lsm_status_class(lsm_status status)
{
    return status_info(status).class;
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
