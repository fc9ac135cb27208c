// version.c -- looking things up in a version.
//
// A lookup reads the spans of level 0 in a row, and of each deeper level those that
// a binary search meets: heads and keyspaces in one array, so that a table is touched
// only when it may hold the key. The filter lines of all such tables are requested
// before the first is tested.

#include "manifest/version.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/container.h"
#include "manifest/segment_map.h"

#define PROBE_BATCH 16 // tables whose filter lines are requested together

lsm_status version_new(struct epoch_bin *bin, struct version **out)
{
    struct version *v = mem_alloc_zeroed(1, sizeof *v);

    if (v == NULL)
        return lsm_fail(LSM_NO_MEMORY, "version: %zu bytes", sizeof *v);
    v->bin = bin;
    atomic_init(&v->refs, 1);
    *out = v;
    return LSM_OK;
}

void version_ref(struct version *version)
{
    // Relaxed: who takes a reference has one, or is in a section that keeps one.
    atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
}

static void level_release(struct level *level)
{
    for (size_t i = 0; i < level->count; i++)
        table_unref(level->tables[i]);
    mem_free(level->tables);
    mem_free(level->spans);
}

static void version_free(struct epoch_node *node)
{
    struct version *v = CONTAINER_OF(node, struct version, node);

    for (size_t i = 0; i < LEVEL_COUNT; i++)
        level_release(&v->levels[i]);
    for (size_t i = 0; i < v->segment_count; i++)
        segment_unref(v->segments[i].segment);
    mem_free(v->segments);
    mem_free(v);
}

void version_unref(struct version *version)
{
    // Acquire and release: what any holder did happens before the last one retires it.
    if (version != NULL && atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel) == 1)
        epoch_retire(version->bin, &version->node, version_free);
}

// --- searching a level ---

// Orders a place before, at (0) or behind the bound that a span gives by keyspace
// and head; 0 decides nothing about keys longer than a head.
static inline int compare_heads(uint32_t keyspace, uint64_t head, uint32_t bound_keyspace,
                                uint64_t bound_head)
{
    if (keyspace != bound_keyspace)
        return keyspace < bound_keyspace ? -1 : 1;
    return (head > bound_head) - (head < bound_head);
}

size_t level_first_ending_at(const struct level *level, uint32_t keyspace, lsm_slice key)
{
    uint64_t head = slice_head(key);
    size_t count = level->count;
    size_t low = 0;

    while (count > 0) {
        size_t middle = low + count / 2;
        const struct table_span *span = &level->spans[middle];
        int order = compare_heads(keyspace, head, span->largest_keyspace, span->largest_head);

        if (order == 0)
            order = slice_compare(key, table_meta(level->tables[middle])->largest.key);
        if (order > 0) {
            count -= middle + 1 - low;
            low = middle + 1;
        } else {
            count = middle - low;
        }
    }
    return low;
}

size_t level_first_starting_behind(const struct level *level, uint32_t keyspace, lsm_slice key)
{
    uint64_t head = slice_head(key);
    size_t count = level->count;
    size_t low = 0;

    while (count > 0) {
        size_t middle = low + count / 2;
        const struct table_span *span = &level->spans[middle];
        int order = compare_heads(keyspace, head, span->smallest_keyspace, span->smallest_head);

        if (order == 0)
            order = slice_compare(key, table_meta(level->tables[middle])->smallest.key);
        if (order >= 0) {
            count -= middle + 1 - low;
            low = middle + 1;
        } else {
            count = middle - low;
        }
    }
    return low;
}

// Whether a table may hold (keyspace, key), as far as its span tells.
static inline bool span_may_hold(const struct table_span *span, uint32_t keyspace, uint64_t head)
{
    return compare_heads(keyspace, head, span->smallest_keyspace, span->smallest_head) >= 0 &&
           compare_heads(keyspace, head, span->largest_keyspace, span->largest_head) <= 0;
}

struct table *level_find(const struct level *level, uint32_t keyspace, lsm_slice key)
{
    size_t at = level_first_ending_at(level, keyspace, key);

    if (at == level->count || !span_may_hold(&level->spans[at], keyspace, slice_head(key)))
        return NULL;
    return level->tables[at];
}

// --- lookup ---

// A walk over the tables that may hold a key, newest first.
struct probe {
    const struct version *version;
    const struct ikey *key;
    uint64_t head;
    unsigned level;  // to look at next
    size_t position; // in level 0
};

// The next table, or NULL after the last.
static struct table *probe_next(struct probe *p)
{
    const struct level *level0 = &p->version->levels[0];

    while (p->level == 0) {
        if (p->position == level0->count)
            p->level = 1;
        else if (span_may_hold(&level0->spans[p->position++], p->key->keyspace, p->head))
            return level0->tables[p->position - 1];
    }
    while (p->level < LEVEL_COUNT) {
        const struct level *level = &p->version->levels[p->level++];
        struct table *table = NULL;

        if (level->count != 0) // few levels are in use
            table = level_find(level, p->key->keyspace, p->key->key);
        if (table != NULL)
            return table;
    }
    return NULL;
}

// The next few tables, their filter lines on the way.
static size_t probe_batch(struct probe *p, uint64_t hash, struct table **tables)
{
    size_t count = 0;

    while (count < PROBE_BATCH && (tables[count] = probe_next(p)) != NULL)
        table_prefetch_filter(tables[count++], hash);
    return count;
}

lsm_status version_get(struct version *version, const struct ikey *key, uint64_t hash,
                       struct entry *out, bool *found, struct block **block)
{
    struct probe probe = {.version = version, .key = key, .head = slice_head(key->key)};
    struct table *tables[PROBE_BATCH];
    size_t count;

    do {
        count = probe_batch(&probe, hash, tables);
        for (size_t i = 0; i < count; i++) {
            bool here;

            TRY(table_get(tables[i], key, hash, out, &here, block));
            if (here) {
                *found = true;
                return LSM_OK;
            }
        }
    } while (count == PROBE_BATCH);
    *found = false;
    return LSM_OK;
}

struct segment *version_find_segment(const struct version *version, uint32_t id)
{
    const struct segment_use *use = segment_use_find(version->segments, version->segment_count, id);

    return use == NULL ? NULL : use->segment;
}

// --- cursors ---

size_t version_iter_count(const struct version *version)
{
    size_t count = version->levels[0].count;

    for (size_t i = 1; i < LEVEL_COUNT; i++)
        count += version->levels[i].count > 0;
    return count;
}

// A bound on cursors: [from, to] of `keyspace`, as version_add_iters() takes it.
struct range {
    uint32_t keyspace;
    const lsm_slice *from;
    const lsm_slice *to;
};

static bool is_in_range(const struct table *table, const struct range *range)
{
    return range->keyspace == 0 ||
           table_meta_overlaps(table_meta(table), range->keyspace, range->from, range->to);
}

static lsm_status add_level0(const struct level *level, const struct table_iter_options *options,
                             const struct range *range, struct iter **iters, size_t *count)
{
    for (size_t i = 0; i < level->count; i++) {
        if (!is_in_range(level->tables[i], range))
            continue;
        TRY(table_iter_new(level->tables[i], options, &iters[*count]));
        ++*count;
    }
    return LSM_OK;
}

static lsm_status add_level(const struct level *level, const struct table_iter_options *options,
                            const struct range *range, struct iter **iters, size_t *count)
{
    size_t first = 0;
    size_t end = level->count;

    if (range->keyspace != 0) {
        lsm_slice from = range->from == NULL ? slice_make("", 0) : *range->from;

        first = level_first_ending_at(level, range->keyspace, from);
        if (range->to != NULL)
            end = level_first_starting_behind(level, range->keyspace, *range->to);
        else if (range->keyspace != UINT32_MAX)
            end = level_first_starting_behind(level, range->keyspace + 1, slice_make("", 0));
    }
    if (first >= end)
        return LSM_OK;
    TRY(level_iter_new(level->tables + first, end - first, options, &iters[*count]));
    ++*count;
    return LSM_OK;
}

lsm_status version_add_iters(struct version *version, const struct table_iter_options *options,
                             uint32_t keyspace, const lsm_slice *from, const lsm_slice *to,
                             struct iter **iters, size_t *count)
{
    struct range range = {.keyspace = keyspace, .from = from, .to = to};
    size_t end = *count;
    lsm_status status = add_level0(&version->levels[0], options, &range, iters, &end);

    for (size_t i = 1; i < LEVEL_COUNT && status == LSM_OK; i++)
        status = add_level(&version->levels[i], options, &range, iters, &end);
    if (status == LSM_OK) {
        *count = end;
        return LSM_OK;
    }
    while (end > *count)
        iter_close(iters[--end]);
    return status;
}

// --- sums ---

uint64_t version_table_bytes(const struct version *version)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < LEVEL_COUNT; i++)
        bytes += version->levels[i].bytes;
    return bytes;
}

uint64_t version_table_count(const struct version *version)
{
    uint64_t count = 0;

    for (size_t i = 0; i < LEVEL_COUNT; i++)
        count += version->levels[i].count;
    return count;
}

uint64_t version_referenced_bytes(const struct version *version)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < version->segment_count; i++)
        bytes += version->segments[i].referenced_bytes;
    return bytes;
}
