// keyspaces.h -- the keyspaces of an open database, by id and by name.

#ifndef LSM_DB_KEYSPACES_H
#define LSM_DB_KEYSPACES_H

#include "env/sync.h"
#include "manifest/manifest.h"

// One keyspace. Lives until the database is closed, dropped or not.
struct keyspace {
    uint32_t id;                           // immutable
    char name[KEYSPACE_NAME_SIZE_MAX + 1]; // immutable
    // Changed under the mutex of the set, read by any thread (relaxed).
    _Atomic uint32_t value_threshold;
    _Atomic uint32_t versions_to_keep;
    _Atomic uint32_t compression;
    _Atomic uint64_t ttl_seconds;
    // 0, or the timestamp of its drop: reads at or above it are refused. Set by the
    // writer role (release), read by any thread (acquire).
    _Atomic uint64_t dropped_ts;
    bool is_drop_pending; // stamped, but not durable; under the database's ddl_mu
    // Only now may background work leave its entries out: a crash before would bring back the
    // keyspace, but not them. Set under ddl_mu (release), read by any thread (acquire).
    _Atomic bool is_drop_durable;
};

struct keyspaces {
    struct mutex mu;         // rank LOCK_LEAF; guards the fields below
    struct keyspace **items; // by increasing id
    size_t count;
};

void keyspaces_init(struct keyspaces *set);
void keyspaces_release(struct keyspaces *set);

// Makes one, and room for it in the set; keyspaces_insert() then cannot fail. One thread at
// a time prepares and inserts. It is released with mem_free() if it is not inserted.
lsm_status keyspaces_prepare(struct keyspaces *set, const struct keyspace_info *info,
                             struct keyspace **out);
void keyspaces_insert(struct keyspaces *set, struct keyspace *keyspace);

// NULL when there is none; by name only one that is not dropped.
struct keyspace *keyspaces_find_id(struct keyspaces *set, uint32_t id);
struct keyspace *keyspaces_find_name(struct keyspaces *set, const char *name);
// One of that name whose drop has not been made durable.
struct keyspace *keyspaces_find_pending(struct keyspaces *set, const char *name);

void keyspace_set_options(struct keyspace *keyspace, const struct keyspace_options *options);
struct keyspace_options keyspace_get_options(const struct keyspace *keyspace);

static inline bool keyspace_is_dropped_at(const struct keyspace *keyspace, uint64_t ts)
{
    uint64_t dropped = atomic_load_explicit(&keyspace->dropped_ts, memory_order_acquire);

    return dropped != 0 && ts >= dropped;
}

#endif
