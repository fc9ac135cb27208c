#include "base/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

struct utc_text utc_text(uint64_t seconds_since_1970)
{
    const time_t seconds = (time_t)seconds_since_1970;
    struct utc_text out;
    struct tm utc;

    if (seconds < 0 || (uint64_t)seconds != seconds_since_1970 ||
        gmtime_r(&seconds, &utc) == NULL ||
        strftime(out.text, sizeof out.text, "%Y-%m-%d %H:%M:%S UTC", &utc) == 0)
        (void)snprintf(out.text, sizeof out.text, "%" PRIu64 " s since 1970", seconds_since_1970);
    return out;
}
