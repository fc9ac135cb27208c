#include "compaction/compaction.h"

#include "base/alloc.h"

const char *compaction_reason_name(enum compaction_reason reason)
{
    switch (reason) {
    case COMPACTION_LEVEL0:
        return "level0";
    case COMPACTION_INTRA_LEVEL0:
        return "intra_level0";
    case COMPACTION_SIZE:
        return "size";
    case COMPACTION_GARBAGE:
        return "garbage";
    case COMPACTION_TOMBSTONES:
        return "tombstones";
    case COMPACTION_MANUAL:
        return "manual";
    }
    return "unknown";
}

static void release_tables(struct table **tables, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_unref(tables[i]);
    mem_free(tables);
}

void compaction_free(struct compaction *c)
{
    if (c == NULL)
        return;
    release_tables(c->inputs[0], c->input_count[0]);
    release_tables(c->inputs[1], c->input_count[1]);
    release_tables(c->grandparents, c->grandparent_count);
    if (c->version != NULL)
        version_unref(c->version);
    mem_free(c);
}

void compaction_freep(struct compaction **compaction)
{
    compaction_free(*compaction);
}
