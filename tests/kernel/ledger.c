#include "kernel/ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct ledger *ledger_new(uint64_t seed, uint32_t threads)
{
    struct ledger *ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (ledger == MAP_FAILED) {
        perror("a ledger in shared memory");
        exit(1);
    }
    ledger->seed = seed;
    ledger->threads = threads;
    return ledger;
}

void ledger_free(struct ledger *ledger)
{
    (void)munmap(ledger, sizeof *ledger);
}

bool ledger_trouble(struct ledger *ledger, const char *format, ...)
{
    va_list args;

    if (atomic_exchange(&ledger->is_in_trouble, true))
        return false;
    va_start(args, format);
    (void)vsnprintf(ledger->trouble, sizeof ledger->trouble, format, args);
    va_end(args);
    return false;
}

void ledger_start(struct ledger *ledger, struct attempt_id id)
{
    struct attempt *attempt = &ledger->attempts[id.thread][id.number];

    atomic_store(&attempt->started_at, atomic_load(&ledger->position));
    atomic_store(&attempt->outcome, OUTCOME_STARTED);
}

void ledger_settle(struct ledger *ledger, struct attempt_id id, lsm_status status, uint64_t ts)
{
    struct attempt *attempt = &ledger->attempts[id.thread][id.number];

    atomic_store(&attempt->ts, ts);
    atomic_store(&attempt->acked_at, atomic_load(&ledger->position));
    if (status == LSM_OK)
        atomic_store(&attempt->outcome, OUTCOME_OK);
    else if (status != LSM_OUTCOME_UNKNOWN)
        atomic_store(&attempt->outcome, OUTCOME_FAILED);
    atomic_fetch_add(&ledger->ended[status], 1);
    atomic_fetch_add(&ledger->acked, 1);
}

void ledger_next_life(struct ledger *ledger, const struct model *model)
{
    ledger->model = *model;
    ledger->life++;
    ledger->is_loading = false;
    ledger->acked = 0;
    for (size_t i = 0; i < sizeof ledger->ended / sizeof ledger->ended[0]; i++)
        ledger->ended[i] = 0;
    for (uint32_t t = 0; t < ledger->threads; t++) {
        for (uint32_t n = 0; n < ATTEMPTS_MAX && ledger->attempts[t][n].outcome != OUTCOME_NONE;
             n++)
            memset(&ledger->attempts[t][n], 0, sizeof ledger->attempts[t][n]);
    }
}
