#include "compaction/table_id_set.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

// Where `id` is, or would be.
static size_t id_position(const struct table_id_set *set, uint64_t id)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool table_id_set_contains(const struct table_id_set *set, uint64_t id)
{
    size_t at = id_position(set, id);

    return at < set->count && set->ids[at] == id;
}

lsm_status table_id_set_reserve(struct table_id_set *set, size_t count)
{
    if (!mem_reserve(&set->ids, &set->capacity, set->count, count, sizeof *set->ids))
        return lsm_fail(LSM_NO_MEMORY, "compaction: set of %zu tables", set->count + count);
    return LSM_OK;
}

void table_id_set_add(struct table_id_set *set, uint64_t id)
{
    size_t at = id_position(set, id);

    assert(set->count < set->capacity);
    memmove(set->ids + at + 1, set->ids + at, (set->count - at) * sizeof *set->ids);
    set->ids[at] = id;
    set->count++;
}

void table_id_set_remove(struct table_id_set *set, uint64_t id)
{
    size_t at = id_position(set, id);

    assert(at < set->count && set->ids[at] == id);
    set->count--;
    memmove(set->ids + at, set->ids + at + 1, (set->count - at) * sizeof *set->ids);
}

void table_id_set_release(struct table_id_set *set)
{
    mem_free(set->ids);
    *set = (struct table_id_set){.ids = NULL};
}
