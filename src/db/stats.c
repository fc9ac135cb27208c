#include "db/stats.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

lsm_status stats_new(struct stats **out)
{
    struct stats *stats = mem_alloc_aligned(CACHE_LINE_SIZE, sizeof *stats);

    if (stats == NULL)
        return lsm_fail(LSM_NO_MEMORY, "statistics: %zu bytes", sizeof *stats);
    memset((void *)stats, 0, sizeof *stats);
    *out = stats;
    return LSM_OK;
}

void stats_free(struct stats *stats)
{
    mem_free_aligned(stats);
}

unsigned stats_stripe_index(void)
{
    static _Atomic unsigned next;
    static _Thread_local unsigned mine; // one more than the index; 0: none yet

    if (UNLIKELY(mine == 0))
        mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % STATS_STRIPES + 1;
    return mine - 1;
}

uint64_t stats_read(const struct stats *stats, enum counter counter)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < STATS_STRIPES; i++)
        sum += atomic_load_explicit(&stats->stripes[i].counters[counter], memory_order_relaxed);
    return sum;
}

bool stats_is_sampled(void)
{
    static _Thread_local unsigned count;

    return count++ % LATENCY_SAMPLE == 0;
}
