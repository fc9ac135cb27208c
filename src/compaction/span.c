#include "compaction/span.h"

#include "base/alloc.h"

static int compare_keys(const struct ikey *a, const struct ikey *b)
{
    if (a->keyspace != b->keyspace)
        return a->keyspace < b->keyspace ? -1 : 1;
    return slice_compare(a->key, b->key);
}

static struct key_range range_of_table(const struct table *table)
{
    const struct table_meta *meta = table_meta(table);

    return (struct key_range){.smallest = meta->smallest, .largest = meta->largest};
}

static void extend_range(struct key_range *range, const struct table *table)
{
    const struct table_meta *meta = table_meta(table);

    if (compare_keys(&meta->smallest, &range->smallest) < 0)
        range->smallest = meta->smallest;
    if (compare_keys(&meta->largest, &range->largest) > 0)
        range->largest = meta->largest;
}

static bool range_touches(const struct key_range *range, const struct table *table)
{
    const struct table_meta *meta = table_meta(table);

    return compare_keys(&meta->smallest, &range->largest) <= 0 &&
           compare_keys(&meta->largest, &range->smallest) >= 0;
}

struct key_range span_range(const struct level *level, struct span span)
{
    struct key_range range = range_of_table(level->tables[span.first]);

    span_extend_range(level, span, &range);
    return range;
}

void span_extend_range(const struct level *level, struct span span, struct key_range *range)
{
    for (size_t i = 0; i < span.count; i++)
        extend_range(range, level->tables[span.first + i]);
}

struct span span_of_range(const struct level *level, const struct key_range *range)
{
    struct span span = {.first = 0, .count = 0};
    size_t high = level->count;

    while (span.first < high) {
        size_t middle = span.first + (high - span.first) / 2;

        if (compare_keys(&table_meta(level->tables[middle])->largest, &range->smallest) < 0)
            span.first = middle + 1;
        else
            high = middle;
    }
    while (span.first + span.count < level->count &&
           range_touches(range, level->tables[span.first + span.count]))
        span.count++;
    return span;
}

uint64_t span_bytes(const struct level *level, struct span span)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < span.count; i++)
        bytes += table_meta(level->tables[span.first + i])->size;
    return bytes;
}

bool span_is_busy(const struct level *level, struct span span, const struct table_id_set *busy)
{
    for (size_t i = 0; i < span.count; i++) {
        if (table_id_set_contains(busy, table_meta(level->tables[span.first + i])->id))
            return true;
    }
    return false;
}

lsm_status span_take(const struct level *level, struct span span, struct table ***tables,
                     size_t *count)
{
    struct table **taken = mem_alloc(span.count * sizeof *taken);

    if (taken == NULL)
        return lsm_fail(LSM_NO_MEMORY, "compaction: %zu tables", span.count);
    for (size_t i = 0; i < span.count; i++) {
        taken[i] = level->tables[span.first + i];
        table_ref(taken[i]);
    }
    *tables = taken;
    *count = span.count;
    return LSM_OK;
}
