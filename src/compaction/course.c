#include "compaction/course.h"

#define RETRY_NS_MIN UINT64_C(50000000)
#define RETRY_NS_MAX UINT64_C(10000000000)

void course_succeed(struct course *course)
{
    course->last.status = LSM_OK;
    course->retry_ns = 0;
}

uint64_t course_fail(struct course *course, lsm_status status, uint64_t now_ns)
{
    uint64_t delay_ns = course->retry_ns == 0 ? RETRY_NS_MIN : course->retry_ns;

    failure_capture(&course->last, status);
    course->failure_count++;
    course->failed_ns = now_ns;
    course->retry_ns = 2 * delay_ns < RETRY_NS_MAX ? 2 * delay_ns : RETRY_NS_MAX;
    return delay_ns;
}
