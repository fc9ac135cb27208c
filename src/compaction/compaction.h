// compaction.h -- one merge: which tables, from where, to where, and why.

#ifndef LSM_COMPACTION_COMPACTION_H
#define LSM_COMPACTION_COMPACTION_H

#include "compaction/engine.h"

// Tables' worth of bytes two levels down that a table may overlap: more would burden the
// merge that takes it further.
#define GRANDPARENT_TABLES 10

enum compaction_reason {
    COMPACTION_LEVEL0,       // too many tables in level 0
    COMPACTION_INTRA_LEVEL0, // level 0 piles up while the level below is busy
    COMPACTION_SIZE,         // a level is above its target
    COMPACTION_GARBAGE,      // tables that hide much garbage in the value log
    COMPACTION_TOMBSTONES,   // many or old tombstones, expired entries, a dropped keyspace
    COMPACTION_MANUAL,
};

const char *compaction_reason_name(enum compaction_reason reason);

// A merge of `inputs[0]` of level `level` with the overlapping `inputs[1]` of level
// `output_level`; where the two levels are the same, `inputs[0]` are rewritten in their
// place. References to the tables are held.
struct compaction {
    enum compaction_reason reason;
    struct version *version; // that it was picked from, a reference
    unsigned level;
    unsigned output_level;
    struct table **inputs[2];
    size_t input_count[2];
    struct table **grandparents; // overlapping tables of output_level + 1: where to cut
    size_t grandparent_count;
    bool is_move;       // by metadata alone
    bool is_bottommost; // no table outside the inputs that may hold older entries of
                        // their keys overlaps them
    double score;
};

// The inputs, counted through both levels.
static inline size_t compaction_input_total(const struct compaction *c)
{
    return c->input_count[0] + c->input_count[1];
}

static inline const struct table_meta *compaction_input_meta(const struct compaction *c, size_t i)
{
    return table_meta(i < c->input_count[0] ? c->inputs[0][i]
                                            : c->inputs[1][i - c->input_count[0]]);
}

void compaction_free(struct compaction *compaction);
void compaction_freep(struct compaction **compaction);

#endif
