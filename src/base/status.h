// status.h -- how a failure is described, carried and passed on.
//
// The first function to see a failure describes it once with lsm_fail(), which
// keeps the words in the calling thread; those above pass the status on. A
// failure that has to reach another thread travels as a `struct failure`.

#ifndef LSM_BASE_STATUS_H
#define LSM_BASE_STATUS_H

#include "lsmkv.h"

// Longest description of a failure, with its terminating zero.
#define FAILURE_MESSAGE_MAX 512

// Describes a failure in the calling thread and returns `status`, which is not
// LSM_OK. lsm_errmsg() returns the words until the thread's next failure.
lsm_status lsm_fail(lsm_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

// Lets the compiler see that a failure is not LSM_OK: it would otherwise take it for
// a possible success that has set no out-parameter.
static inline lsm_status status_not_ok(lsm_status status)
{
    if (status == LSM_OK)
        __builtin_unreachable();
    return status;
}
#define lsm_fail(...) status_not_ok(lsm_fail(__VA_ARGS__))

// Adds words before the description of the thread's last failure, as in
// "flush: ENOSPC ...", and returns `status`.
lsm_status lsm_fail_in(lsm_status status, const char *context) __attribute__((cold));

// A failure with its words, to be carried to another thread or kept.
struct failure {
    lsm_status status;
    char message[FAILURE_MESSAGE_MAX];
};

// Keeps `status` and, when it is a failure, the calling thread's words for it.
void failure_capture(struct failure *failure, lsm_status status);

// Makes `failure` the calling thread's last failure and returns its status.
lsm_status failure_raise(const struct failure *failure);

// Returns from the calling function when `expression` is a failure. Every owned
// local of that function has a CLEANUP.
#define TRY(expression)                                                                            \
    do {                                                                                           \
        lsm_status try_status_ = (expression);                                                     \
        if (__builtin_expect(try_status_ != LSM_OK, 0))                                            \
            return try_status_;                                                                    \
    } while (0)

// Releases a local by `function(&local)` when it leaves its scope.
#define CLEANUP(function) __attribute__((cleanup(function)))

// Gives the value of a pointer away and leaves NULL behind.
#define MOVE(pointer)                                                                              \
    __extension__({                                                                                \
        __typeof__(pointer) *move_from_ = &(pointer);                                              \
        __typeof__(pointer) move_value_ = *move_from_;                                             \
        *move_from_ = NULL;                                                                        \
        move_value_;                                                                               \
    })

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
