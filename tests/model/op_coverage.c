#include "model/op_coverage.h"

#include <inttypes.h>

static const char *const state_names[STATE_COUNT] = {
    [STATE_ANY] = "any",         [STATE_FLUSH] = "flush",       [STATE_LEVEL0] = "level0",
    [STATE_DEEP] = "deep",       [STATE_REPLAYED] = "replayed", [STATE_SNAPSHOT] = "snapshot",
    [STATE_TXN] = "txn",         [STATE_ITER] = "iter",         [STATE_ARMED] = "armed",
    [STATE_CRASHED] = "crashed",
};

static unsigned engine_states(const struct subject *s)
{
    unsigned states = 0;
    EPOCH_SECTION();
    const struct view *view = views_current(&s->db->views);

    if (view->memtable_count > 1)
        states |= 1u << STATE_FLUSH;
    if (view->version->levels[0].count > 0)
        states |= 1u << STATE_LEVEL0;
    for (unsigned i = 1; i < LEVEL_COUNT; i++) {
        if (view->version->levels[i].count > 0)
            states |= 1u << STATE_DEEP;
    }
    return states;
}

static bool is_replayed(const struct subject *s)
{
    return s->is_reopened && atomic_load(&s->db->compaction_stats.flush_count) == 0;
}

static unsigned open_states(const struct subject *s, const struct reference *ref)
{
    unsigned states = 1u << STATE_ANY;

    for (size_t i = 0; i < REF_SLOTS; i++) {
        if (s->snapshots[i] != NULL)
            states |= 1u << STATE_SNAPSHOT;
        if (s->txns[i].txn != NULL && ref->txns[i].state == TXN_ACTIVE)
            states |= 1u << STATE_TXN;
        if (s->iters[i].it != NULL)
            states |= 1u << STATE_ITER;
    }
    if (s->is_armed)
        states |= 1u << STATE_ARMED;
    if (s->crashes > 0)
        states |= 1u << STATE_CRASHED;
    if (is_replayed(s))
        states |= 1u << STATE_REPLAYED;
    return states;
}

unsigned coverage_states(const struct subject *s, const struct reference *ref)
{
    return engine_states(s) | open_states(s, ref);
}

void coverage_note(struct op_coverage *coverage, enum op_kind kind, unsigned states)
{
    for (unsigned i = 0; i < STATE_COUNT; i++)
        coverage->cells[kind][i] += (states >> i) & 1;
}

void coverage_print(const struct op_coverage *coverage, FILE *to)
{
    fprintf(to, "%-20s", "");
    for (unsigned i = 0; i < STATE_COUNT; i++)
        fprintf(to, "%9s", state_names[i]);
    fputc('\n', to);
    for (unsigned kind = OP_OPTION + 1; kind < OP_KIND_COUNT; kind++) {
        fprintf(to, "%-20s", op_name((enum op_kind)kind));
        for (unsigned i = 0; i < STATE_COUNT; i++)
            fprintf(to, "%9" PRIu64, coverage->cells[kind][i]);
        fputc('\n', to);
    }
}

// While the power is about to go nothing is open, and a second crash is not asked for.
static bool can_be_met(enum op_kind kind, enum op_state state)
{
    if (state != STATE_ARMED)
        return true;
    return !(kind >= OP_BATCH_PUT && kind <= OP_TXN_FREE) &&
           !(kind >= OP_PIN && kind <= OP_ITER_CLOSE) && kind != OP_CRASH && kind != OP_READ_ONLY;
}

unsigned coverage_holes(const struct op_coverage *coverage, FILE *to)
{
    unsigned holes = 0;

    for (unsigned kind = OP_OPTION + 1; kind < OP_KIND_COUNT; kind++) {
        for (unsigned i = 0; i < STATE_COUNT; i++) {
            if (coverage->cells[kind][i] != 0 || !can_be_met((enum op_kind)kind, (enum op_state)i))
                continue;
            fprintf(to, "never run: %s in state %s\n", op_name((enum op_kind)kind), state_names[i]);
            holes++;
        }
    }
    return holes;
}
