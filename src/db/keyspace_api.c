// Opening, creating, altering and dropping keyspaces (lsm_keyspace_*).

#include <assert.h>
#include <stdio.h>

#include "base/alloc.h"
#include "db/db.h"

static lsm_status check_name(const char *name, const char *function)
{
    if (name == NULL || name[0] == '\0')
        return lsm_fail(LSM_INVALID, "%s: the name of the keyspace is %s", function,
                        name == NULL ? "NULL" : "empty");
    if (strlen(name) > KEYSPACE_NAME_SIZE_MAX)
        return lsm_fail(LSM_INVALID, "%s: the name has %zu bytes, at most %d are allowed", function,
                        strlen(name), KEYSPACE_NAME_SIZE_MAX);
    return LSM_OK;
}

static lsm_status check_options(const lsm_keyspace_options *options)
{
    if (options->value_threshold != LSM_INHERIT && options->value_threshold > 65536)
        return lsm_fail(LSM_INVALID,
                        "keyspace option value_threshold cannot be %u: it takes at most 65536",
                        options->value_threshold);
    if (options->versions_to_keep == 0)
        return lsm_fail(LSM_INVALID,
                        "keyspace option versions_to_keep cannot be 0: it takes at least 1");
    if (options->compression != LSM_INHERIT && options->compression > KEYSPACE_COMPRESSION_MAX)
        return lsm_fail(LSM_INVALID,
                        "keyspace option compression cannot be %u: it takes 0 (none) to %d",
                        options->compression, KEYSPACE_COMPRESSION_MAX);
    if (options->ttl_seconds > UINT32_MAX)
        return lsm_fail(LSM_INVALID, "keyspace option ttl_seconds cannot be %llu: at most %u",
                        (unsigned long long)options->ttl_seconds, UINT32_MAX);
    return LSM_OK;
}

static struct keyspace_options options_from(const lsm_keyspace_options *options)
{
    static const lsm_keyspace_options inherit = LSM_KEYSPACE_OPTIONS_INIT;

    static_assert(LSM_INHERIT == KEYSPACE_INHERIT, "both stand for the database's option");
    if (options == NULL)
        options = &inherit;
    return (struct keyspace_options){
        .value_threshold = options->value_threshold,
        .versions_to_keep = options->versions_to_keep,
        .compression = options->compression,
        .ttl_seconds = options->ttl_seconds,
    };
}

// Publishes one change of keyspaces: an edit that touches nothing else.
static lsm_status publish_change(struct lsm_db *db, const struct keyspace_change *change)
{
    struct edit edit;
    struct view_slot *slot = NULL;
    struct version *version = NULL;
    struct view *view;
    lsm_status status;

    edit_init(&edit);
    edit.last_ts = oracle_published(db->oracle);
    edit.last_wall_ns = oracle_clock(db->oracle).line_ns;
    manifest_lock(db->manifest);
    view = views_acquire(&db->views);
    status = edit_change_keyspace(&edit, change);
    if (status == LSM_OK)
        status = views_prepare(&db->views, &slot);
    if (status == LSM_OK)
        status = manifest_apply(db->manifest, &edit, view->version, &version);
    if (status == LSM_OK) {
        views_install(&db->views, MOVE(slot), version, 0);
        version_unref(version);
    }
    manifest_unlock(db->manifest);
    view_slot_free(slot);
    view_unref(view);
    edit_release(&edit);
    return status;
}

// Makes a drop durable that has been stamped.
static lsm_status publish_drop(struct lsm_db *db, struct keyspace *keyspace)
{
    const struct keyspace_change change = {
        .kind = KEYSPACE_DROP,
        .id = keyspace->id,
        .ts = atomic_load_explicit(&keyspace->dropped_ts, memory_order_acquire)};

    keyspace->is_drop_pending = true;
    TRY(publish_change(db, &change));
    keyspace->is_drop_pending = false;
    atomic_store_explicit(&keyspace->is_drop_durable, true, memory_order_release);
    eventlog_write(db->events, "keyspace_drop", "id=%u name=%s", keyspace->id, keyspace->name);
    return LSM_OK;
}

// Before a name is used again: an earlier drop of it that failed softly must be durable. Under
// `ddl_mu`.
static lsm_status finish_pending_drop(struct lsm_db *db, const char *name)
{
    struct keyspace *keyspace = keyspaces_find_pending(&db->keyspaces, name);

    return keyspace == NULL ? LSM_OK : publish_drop(db, keyspace);
}

// Makes the keyspace, durably, before any commit can use it. Under `ddl_mu`.
static lsm_status create(struct lsm_db *db, const char *name,
                         const struct keyspace_options *options, struct keyspace **out)
{
    struct keyspace_info info = {.options = *options};
    struct keyspace_change change = {.kind = KEYSPACE_CREATE, .options = *options};
    CLEANUP(mem_freep) struct keyspace *keyspace = NULL;

    manifest_lock(db->manifest);
    info.id = manifest_state_locked(db->manifest)->next_keyspace_id;
    manifest_unlock(db->manifest);
    if (info.id == UINT32_MAX) // none is used twice
        return lsm_fail(LSM_UNSUPPORTED, "lsm_keyspace_open: no id is left for a keyspace");
    (void)snprintf(info.name, sizeof info.name, "%s", name);
    change.id = info.id;
    change.name = lsm_str(name);
    TRY(keyspaces_prepare(&db->keyspaces, &info, &keyspace));
    TRY(publish_change(db, &change));
    eventlog_write(db->events, "keyspace_create", "id=%u name=%s", info.id, name);
    *out = keyspace;
    keyspaces_insert(&db->keyspaces, MOVE(keyspace));
    return LSM_OK;
}

static lsm_status find_or_create(struct lsm_db *db, const char *name, bool is_created,
                                 const lsm_keyspace_options *options, struct keyspace **out)
{
    const struct keyspace_options wanted = options_from(options);
    lsm_status status = LSM_OK;

    *out = keyspaces_find_name(&db->keyspaces, name);
    if (*out != NULL)
        return LSM_OK;
    if (!is_created)
        return lsm_fail(LSM_NOT_FOUND, "there is no keyspace '%s'", name);
    TRY(db_check_writable(db, "lsm_keyspace_open"));
    mutex_lock(&db->ddl_mu);
    *out = keyspaces_find_name(&db->keyspaces, name); // another thread may have been faster
    if (*out == NULL)
        status = finish_pending_drop(db, name);
    if (*out == NULL && status == LSM_OK)
        status = create(db, name, &wanted, out);
    mutex_unlock(&db->ddl_mu);
    return status;
}

lsm_status lsm_keyspace_open(lsm_db *db, const char *name, bool create_if_missing,
                             const lsm_keyspace_options *options, lsm_keyspace **out)
{
    CLEANUP(mem_freep) lsm_keyspace *handle = NULL;

    TRY(db_check(db, "lsm_keyspace_open"));
    TRY(check_name(name, "lsm_keyspace_open"));
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_keyspace_open: out is NULL");
    if (options != NULL)
        TRY(check_options(options));
    handle = mem_alloc_zeroed(1, sizeof *handle);
    if (handle == NULL)
        return lsm_fail(LSM_NO_MEMORY, "keyspace: %zu bytes", sizeof *handle);
    handle->db = db;
    TRY(find_or_create(db, name, create_if_missing, options, &handle->keyspace));
    *out = MOVE(handle);
    return LSM_OK;
}

void lsm_keyspace_close(lsm_keyspace *handle)
{
    mem_free(handle);
}

const char *lsm_keyspace_name(const lsm_keyspace *handle)
{
    return handle == NULL ? "default" : handle->keyspace->name;
}

// Stamps the drop, after which no commit enters, then makes it durable. A drop that cannot be
// made durable stays in force in this process, and dropping again tries again.
static lsm_status drop(struct lsm_db *db, struct keyspace *keyspace)
{
    struct write_request request;
    lsm_status status;

    write_request_init(&request, REQUEST_DROP);
    request.keyspace = keyspace;
    status = writer_run(&db->writer, &request);
    write_request_release(&request);
    return status == LSM_OK ? publish_drop(db, keyspace) : status;
}

static lsm_status drop_by_name(struct lsm_db *db, const char *name)
{
    struct keyspace *keyspace = keyspaces_find_name(&db->keyspaces, name);

    if (keyspace == db->default_keyspace)
        return lsm_fail(LSM_INVALID, "keyspace 'default' cannot be dropped");
    if (keyspace != NULL)
        return drop(db, keyspace);
    if (keyspaces_find_pending(&db->keyspaces, name) != NULL)
        return finish_pending_drop(db, name);
    return lsm_fail(LSM_NOT_FOUND, "there is no keyspace '%s'", name);
}

lsm_status lsm_keyspace_drop(lsm_db *db, const char *name)
{
    lsm_status status;

    TRY(db_check_writable(db, "lsm_keyspace_drop"));
    TRY(check_name(name, "lsm_keyspace_drop"));
    mutex_lock(&db->ddl_mu);
    status = drop_by_name(db, name);
    mutex_unlock(&db->ddl_mu);
    return status;
}

lsm_status lsm_keyspace_alter(lsm_db *db, const char *name, const lsm_keyspace_options *options)
{
    struct keyspace *keyspace;
    lsm_status status;
    struct keyspace_change change = {.kind = KEYSPACE_ALTER};

    TRY(db_check_writable(db, "lsm_keyspace_alter"));
    TRY(check_name(name, "lsm_keyspace_alter"));
    if (options == NULL)
        return lsm_fail(LSM_INVALID, "lsm_keyspace_alter: options is NULL");
    TRY(check_options(options));
    mutex_lock(&db->ddl_mu);
    keyspace = keyspaces_find_name(&db->keyspaces, name);
    if (keyspace == NULL) {
        status = lsm_fail(LSM_NOT_FOUND, "there is no keyspace '%s'", name);
    } else {
        change.id = keyspace->id;
        change.options = options_from(options);
        status = publish_change(db, &change);
        if (status == LSM_OK)
            keyspace_set_options(keyspace, &change.options);
    }
    mutex_unlock(&db->ddl_mu);
    return status;
}

lsm_status lsm_keyspace_list(lsm_db *db, lsm_keyspace_info **out, size_t *count)
{
    struct keyspaces *set;
    lsm_keyspace_info *infos;
    size_t n = 0;

    TRY(db_check(db, "lsm_keyspace_list"));
    if (out == NULL || count == NULL)
        return lsm_fail(LSM_INVALID, "lsm_keyspace_list: %s is NULL",
                        out == NULL ? "out" : "count");
    set = &db->keyspaces;
    mutex_lock(&set->mu);
    infos = mem_alloc_zeroed(set->count, sizeof *infos);
    for (size_t i = 0; infos != NULL && i < set->count; i++) {
        const struct keyspace *keyspace = set->items[i];
        const struct keyspace_options options = keyspace_get_options(keyspace);

        if (keyspace_is_dropped_at(keyspace, TS_MAX))
            continue;
        infos[n].id = keyspace->id;
        (void)snprintf(infos[n].name, sizeof infos[n].name, "%s", keyspace->name);
        infos[n].options = (lsm_keyspace_options){.value_threshold = options.value_threshold,
                                                  .versions_to_keep = options.versions_to_keep,
                                                  .compression = options.compression,
                                                  .ttl_seconds = options.ttl_seconds};
        n++;
    }
    mutex_unlock(&set->mu);
    if (infos == NULL)
        return lsm_fail(LSM_NO_MEMORY, "a list of keyspaces");
    *out = infos;
    *count = n;
    return LSM_OK;
}
