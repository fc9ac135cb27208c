#include "isolation/stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct stage *stage_new(void)
{
    struct stage *stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (stage == MAP_FAILED) {
        perror("isolation: memory for a history");
        exit(2);
    }
    for (size_t i = 0; i < RECORDERS; i++)
        stage->recorders[i] =
            (struct recorder){.events = stage->events[i], .capacity = EVENTS_PER_RECORDER};
    return stage;
}

void stage_free(struct stage *stage)
{
    (void)munmap(stage, sizeof *stage);
}

void stage_complain(struct stage *stage, const char *format, ...)
{
    va_list args;

    if (!atomic_exchange(&stage->has_complaint, true)) {
        va_start(args, format);
        (void)vsnprintf(stage->complaint, sizeof stage->complaint, format, args);
        va_end(args);
    }
    _exit(1);
}

void stage_must(struct stage *stage, lsm_status status, const char *what)
{
    if (status != LSM_OK)
        stage_complain(stage, "%s: %s", what, lsm_errmsg());
}
