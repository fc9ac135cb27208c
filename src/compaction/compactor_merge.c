// compactor_merge.c -- one merge from its beginning to its end.
//
// A merge is *begun* under the mutex: picked from a view that is current at that moment,
// its tables marked busy. When it ends they are freed, after its edit is installed. So
// what is picked is never part of another merge, and never gone.

#include "compaction/compactor_core.h"

#define NS_PER_SECOND UINT64_C(1000000000)

// --- beginning a merge ---

static bool keyspace_is_dropped(void *ctx, uint32_t keyspace)
{
    const struct engine *engine = ctx;
    struct keyspace_options options;
    bool is_dropped;

    return engine->keyspace_options(engine->ctx, keyspace, &options, &is_dropped) && is_dropped;
}

static uint32_t keyspace_compression(void *ctx, uint32_t keyspace)
{
    return engine_keyspace_compression(ctx, keyspace);
}

static lsm_status pick_locked(struct compactor *c, struct picker_input *input,
                              const struct range_request *request, struct compaction **out)
{
    quarantine_expire(&c->quarantine, &c->busy, clock_mono_ns(c->engine->env));
    input->busy = &c->busy;
    input->level0_is_busy = c->level0_is_busy;
    if (request == NULL && c->pause_count != 0)
        return LSM_OK;
    if (request == NULL)
        return compaction_pick(input, out);
    if (request->is_rewrite)
        return compaction_pick_rewrite(input, &request->range, request->id_end, out);
    return compaction_pick_range(input, &request->range, out);
}

// Marks the tables of a compaction as busy, and makes room for them in quarantine.
static lsm_status occupy_locked(struct compactor *c, const struct compaction *compaction)
{
    const size_t count = compaction_input_total(compaction);

    TRY(table_id_set_reserve(&c->busy, count));
    TRY(quarantine_reserve(&c->quarantine, c->busy.count + count));
    for (size_t i = 0; i < count; i++)
        table_id_set_add(&c->busy, compaction_input_meta(compaction, i)->id);
    c->level0_is_busy = c->level0_is_busy || compaction->level == 0;
    c->running_count++;
    return LSM_OK;
}

// Picks from `view` if it is the current one, which `*is_current` tells. Every merge
// whose edit the view does not show yet is still marked busy.
static lsm_status pick_from(struct compactor *c, struct view *view,
                            const struct range_request *request, bool occupy, bool *is_current,
                            struct compaction **out)
{
    struct engine *engine = c->engine;
    struct picker_input input = {
        .version = view->version,
        .options = engine->options,
        .now_seconds = clock_wall_ns(engine->env) / NS_PER_SECOND,
        .is_dropped = keyspace_is_dropped,
        .compression = keyspace_compression,
        .ctx = engine,
    };
    lsm_status status = LSM_OK;

    *out = NULL;
    engine->oldest_snapshot(engine->ctx, &input.oldest_ts, &input.oldest_wall);
    EPOCH_SECTION();
    mutex_lock(&c->mu);
    *is_current = views_current(engine->views) == view;
    if (*is_current)
        status = pick_locked(c, &input, request, out);
    if (status == LSM_OK && *out != NULL && occupy)
        status = occupy_locked(c, *out);
    mutex_unlock(&c->mu);
    return status;
}

lsm_status compactor_pick(struct compactor *c, const struct range_request *request, bool occupy,
                          struct compaction **out)
{
    struct compaction *picked = NULL;
    lsm_status status;
    bool is_current;

    do {
        struct view *view = views_acquire(c->engine->views);

        status = pick_from(c, view, request, occupy, &is_current, &picked);
        view_unref(view);
    } while (!is_current);
    if (status == LSM_OK)
        *out = picked;
    else
        compaction_free(picked);
    return status;
}

// --- ending a merge ---

// Frees the tables of a compaction, or leaves them busy, in quarantine.
static void vacate_locked(struct compactor *c, const struct compaction *compaction, bool is_damaged)
{
    uint64_t now_ns = clock_mono_ns(c->engine->env);

    for (size_t i = 0; i < compaction_input_total(compaction); i++) {
        uint64_t id = compaction_input_meta(compaction, i)->id;

        if (is_damaged)
            quarantine_add(&c->quarantine, id, now_ns);
        else
            table_id_set_remove(&c->busy, id);
    }
    if (compaction->level == 0)
        c->level0_is_busy = false;
    c->running_count--;
}

static void forget_inputs_locked(struct compactor *c, const struct compaction *compaction)
{
    for (size_t i = 0; i < compaction_input_total(compaction); i++)
        quarantine_forget(&c->quarantine, compaction_input_meta(compaction, i)->id);
}

static bool is_soft(lsm_status status)
{
    return status == LSM_NO_SPACE || status == LSM_NO_MEMORY || status == LSM_BUSY;
}

lsm_status compactor_run_merge(struct compactor *c, struct compaction *compaction,
                               uint64_t *delay_ns)
{
    lsm_status status = merge_job_run(c->engine, compaction, &c->is_stopping);
    bool is_stopped =
        status == LSM_BUSY && atomic_load_explicit(&c->is_stopping, memory_order_relaxed);
    bool is_damaged = status != LSM_OK && !is_soft(status);
    struct failure failure;

    *delay_ns = 0;
    failure_capture(&failure, status);
    mutex_lock(&c->mu);
    vacate_locked(c, compaction, is_damaged);
    if (status == LSM_OK) {
        forget_inputs_locked(c, compaction);
        // A success elsewhere does not heal what is in quarantine.
        if (c->quarantine.count == 0)
            course_succeed(&c->merging);
    } else if (!is_stopped) {
        uint64_t retry_ns = course_fail(&c->merging, status, clock_mono_ns(c->engine->env));

        *delay_ns = is_damaged ? 0 : retry_ns;
    }
    compactor_change_locked(c);
    mutex_unlock(&c->mu);
    compaction_free(compaction);
    if (status == LSM_OK)
        compactor_tell_changed(c);
    else if (!is_stopped)
        compactor_report_failure(c, "merge", &failure);
    return failure_raise(&failure);
}
