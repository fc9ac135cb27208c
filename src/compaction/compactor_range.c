// compactor_range.c -- compaction by hand, in the calling thread beside the jobs.

#include "compaction/compactor_core.h"

// LSM_BUSY is worth waiting for as long as a merge is running that will free tables;
// tables in quarantine stay where they are.
static lsm_status wait_for_tables(struct compactor *c, uint64_t seen)
{
    struct failure failure;
    unsigned running_count;

    mutex_lock(&c->mu);
    running_count = c->running_count;
    failure = c->merging.last;
    mutex_unlock(&c->mu);
    if (running_count != 0 || compactor_change_count(c) != seen)
        return compactor_wait_for_change(c, seen);
    return failure.status == LSM_OK ? LSM_BUSY : failure_raise(&failure);
}

static lsm_status carry_out(struct compactor *c, const struct range_request *request)
{
    for (;;) {
        struct compaction *compaction = NULL;
        uint64_t seen = compactor_change_count(c);
        uint64_t delay_ns;
        lsm_status status;

        TRY(compactor_check_running(c));
        status = compactor_pick(c, request, true, &compaction);
        if (status == LSM_BUSY)
            TRY(wait_for_tables(c, seen));
        else if (status != LSM_OK || compaction == NULL)
            return status;
        else
            TRY(compactor_run_merge(c, compaction, &delay_ns));
    }
}

lsm_status compactor_compact_range(struct compactor *c, uint32_t keyspace, const lsm_slice *from,
                                   const lsm_slice *to)
{
    struct range_request request = {.range = {.keyspace = keyspace, .from = from, .to = to}};

    TRY(compactor_wait_flushed(c));
    TRY(carry_out(c, &request));
    request.is_rewrite = true;
    request.id_end = manifest_next_file_id(c->engine->manifest); // merges to come are above it
    TRY(carry_out(c, &request));
    compactor_submit_mergers(c, NULL);
    return LSM_OK;
}
