#include "db/keyspaces.h"

#include <stdio.h>

#include "base/alloc.h"

void keyspaces_init(struct keyspaces *set)
{
    mutex_init(&set->mu, LOCK_LEAF);
    set->items = NULL;
    set->count = 0;
}

void keyspaces_release(struct keyspaces *set)
{
    for (size_t i = 0; i < set->count; i++)
        mem_free(set->items[i]);
    mem_free(set->items);
    mutex_release(&set->mu);
}

void keyspace_set_options(struct keyspace *keyspace, const struct keyspace_options *options)
{
    atomic_store_explicit(&keyspace->value_threshold, options->value_threshold,
                          memory_order_relaxed);
    atomic_store_explicit(&keyspace->versions_to_keep, options->versions_to_keep,
                          memory_order_relaxed);
    atomic_store_explicit(&keyspace->compression, options->compression, memory_order_relaxed);
    atomic_store_explicit(&keyspace->ttl_seconds, options->ttl_seconds, memory_order_relaxed);
}

struct keyspace_options keyspace_get_options(const struct keyspace *keyspace)
{
    return (struct keyspace_options){
        .value_threshold = atomic_load_explicit(&keyspace->value_threshold, memory_order_relaxed),
        .versions_to_keep = atomic_load_explicit(&keyspace->versions_to_keep, memory_order_relaxed),
        .compression = atomic_load_explicit(&keyspace->compression, memory_order_relaxed),
        .ttl_seconds = atomic_load_explicit(&keyspace->ttl_seconds, memory_order_relaxed),
    };
}

static lsm_status reserve_one(struct keyspaces *set)
{
    struct keyspace **items;
    lsm_status status = LSM_OK;

    mutex_lock(&set->mu);
    items = mem_resize_array(set->items, set->count + 1, sizeof *set->items);
    if (items == NULL)
        status = lsm_fail(LSM_NO_MEMORY, "keyspaces: %zu of them", set->count + 1);
    else
        set->items = items;
    mutex_unlock(&set->mu);
    return status;
}

lsm_status keyspaces_prepare(struct keyspaces *set, const struct keyspace_info *info,
                             struct keyspace **out)
{
    CLEANUP(mem_freep) struct keyspace *keyspace = mem_alloc_zeroed(1, sizeof *keyspace);

    if (keyspace == NULL)
        return lsm_fail(LSM_NO_MEMORY, "keyspace %s: %zu bytes", info->name, sizeof *keyspace);
    keyspace->id = info->id;
    (void)snprintf(keyspace->name, sizeof keyspace->name, "%s", info->name);
    keyspace_set_options(keyspace, &info->options);
    atomic_store_explicit(&keyspace->dropped_ts, info->dropped_ts, memory_order_relaxed);
    atomic_store_explicit(&keyspace->is_drop_durable, info->dropped_ts != 0, memory_order_relaxed);
    TRY(reserve_one(set));
    *out = MOVE(keyspace);
    return LSM_OK;
}

void keyspaces_insert(struct keyspaces *set, struct keyspace *keyspace)
{
    size_t at;

    mutex_lock(&set->mu);
    for (at = set->count; at > 0 && set->items[at - 1]->id > keyspace->id; at--)
        set->items[at] = set->items[at - 1];
    set->items[at] = keyspace;
    set->count++;
    mutex_unlock(&set->mu);
}

struct keyspace *keyspaces_find_id(struct keyspaces *set, uint32_t id)
{
    struct keyspace *found = NULL;

    mutex_lock(&set->mu);
    for (size_t low = 0, high = set->count; low < high && found == NULL;) {
        const size_t middle = low + (high - low) / 2;

        if (set->items[middle]->id == id)
            found = set->items[middle];
        else if (set->items[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    mutex_unlock(&set->mu);
    return found;
}

struct keyspace *keyspaces_find_name(struct keyspaces *set, const char *name)
{
    struct keyspace *found = NULL;

    mutex_lock(&set->mu);
    for (size_t i = 0; i < set->count && found == NULL; i++) {
        if (strcmp(set->items[i]->name, name) == 0 &&
            atomic_load_explicit(&set->items[i]->dropped_ts, memory_order_acquire) == 0)
            found = set->items[i];
    }
    mutex_unlock(&set->mu);
    return found;
}

struct keyspace *keyspaces_find_pending(struct keyspaces *set, const char *name)
{
    struct keyspace *found = NULL;

    mutex_lock(&set->mu);
    for (size_t i = 0; i < set->count && found == NULL; i++) {
        if (set->items[i]->is_drop_pending && strcmp(set->items[i]->name, name) == 0)
            found = set->items[i];
    }
    mutex_unlock(&set->mu);
    return found;
}
