#include "isolation/checker.h"

#include <string.h>

#include "isolation/cycle.h"
#include "isolation/linear.h"

static bool has_write_skew(struct history *history, const struct edges *edges)
{
    struct findings findings = {0};

    for (size_t t = 0; t < history->txns.count; t++)
        history->txns.at[t].level = LEVEL_SERIALIZABLE;
    cycle_find(history, edges, &findings);
    return findings.counts[ANOMALY_G2_ITEM] + findings.counts[ANOMALY_G2] > 0;
}

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
    if (verdict->findings.total == 0)
        verdict->has_write_skew = has_write_skew(&history, &edges);
    history_release(&history);
    free(edges.at);
}
