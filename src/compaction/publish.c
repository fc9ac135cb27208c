#include "compaction/publish.h"

#include "base/plant.h"

lsm_status publish_sync_names(struct engine *engine)
{
    lsm_status status = PLANTED(SKIP_TABLE_DIR_SYNC) ? LSM_OK : dir_sync(engine->dir);

    return status == LSM_OK ? LSM_OK : poison_set(engine->poison, status);
}

static lsm_status apply_locked(struct engine *engine, struct edit *edit, struct view_slot **slot,
                               size_t flushed)
{
    struct view *view = views_acquire(engine->views);
    struct version *version;
    lsm_status status = manifest_apply(engine->manifest, edit, view->version, &version);

    view_unref(view);
    if (status != LSM_OK)
        return status;
    views_install(engine->views, MOVE(*slot), version, flushed);
    version_unref(version);
    return LSM_OK;
}

lsm_status publish_edit(struct engine *engine, struct edit *edit, size_t flushed)
{
    struct view_slot *slot = NULL;
    lsm_status status;

    engine->clock(engine->ctx, &edit->last_ts, &edit->last_wall_ns);
    edit->mark = log_mark(engine->log);
    manifest_lock(engine->manifest);
    // Reserved before the edit is durable: from then on installing cannot fail.
    status = views_prepare(engine->views, &slot);
    if (status == LSM_OK)
        status = apply_locked(engine, edit, &slot, flushed);
    manifest_unlock(engine->manifest);
    view_slot_free(slot);
    return status;
}

void publish_discard(struct engine *engine, const struct edit *edit)
{
    for (size_t i = 0; i < edit->added_count; i++)
        unlinker_add(engine->tables->unlinker, FILENAME_TABLE, edit->added[i].id);
}
