#include "isolation/checker.h"

#include <string.h>

#include "isolation/cycle.h"
#include "isolation/linear.h"

void checker_judge(const struct recorder *recorders, size_t count, struct verdict *verdict)
{
    struct history history = {0};
    struct edges edges = {0};

    memset(verdict, 0, sizeof *verdict);
    for (size_t i = 0; i < count; i++)
        history_read(&history, &recorders[i], (uint32_t)i, &verdict->findings);
    history_index(&history, &verdict->findings);
    dependency_infer(&history, &edges, &verdict->findings);
    cycle_find(&history, &edges, &verdict->findings);
    linear_check_registers(&history, &verdict->findings);
    linear_check_counters(&history, &verdict->findings);
    verdict->txns = history.txns.count;
    verdict->reads = history.reads.count;
    verdict->edges = edges.count;
    for (size_t t = 0; t < history.txns.count; t++)
        verdict->committed += history.txns.at[t].outcome == OUTCOME_COMMITTED;
    history_release(&history);
    free(edges.at);
}
