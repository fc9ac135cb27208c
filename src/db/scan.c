#include "db/scan.h"

#include "base/alloc.h"
#include "base/merge.h"

static void close_all(struct iter **iters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        iter_close(iters[i]);
}

// Opens the parts into `iters`; `*count` is how many, on failure too.
static lsm_status open_parts(struct view *view, struct write_set *writes,
                             const struct scan_bounds *bounds, bool fill_cache, struct iter **iters,
                             size_t *count)
{
    const struct table_iter_options options = {.fill_cache = fill_cache};

    if (writes != NULL && !write_set_is_empty(writes)) {
        TRY(write_set_iter_new(writes, &iters[*count]));
        ++*count;
    }
    for (size_t i = 0; i < view->memtable_count; i++) {
        if (memtable_is_empty(view->memtables[i]->mem))
            continue; // what comes later is too new for the reader
        TRY(memtable_iter_new(view->memtables[i]->mem, &iters[*count]));
        ++*count;
    }
    return version_add_iters(view->version, &options, bounds->keyspace, bounds->low, bounds->high,
                             iters, count);
}

lsm_status scan_open(struct view *view, struct write_set *writes, const struct scan_bounds *bounds,
                     bool fill_cache, struct iter **out)
{
    const size_t capacity = 1 + view->memtable_count + version_iter_count(view->version);
    CLEANUP(mem_freep) struct iter **iters = mem_alloc_zeroed(capacity, sizeof *iters);
    size_t count = 0;
    lsm_status status;

    if (iters == NULL)
        return lsm_fail(LSM_NO_MEMORY, "a scan over %zu parts", capacity);
    status = open_parts(view, writes, bounds, fill_cache, iters, &count);
    if (status == LSM_OK)
        status = merge_new(iters, count, out);
    if (status != LSM_OK)
        close_all(iters, count);
    return status;
}
