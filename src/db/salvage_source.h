// salvage_source.h -- a damaged database: whose it is, what its manifest still says.

#ifndef LSM_DB_SALVAGE_SOURCE_H
#define LSM_DB_SALVAGE_SOURCE_H

#include "db/salvage_merge.h"

struct salvage_name {
    uint32_t id;
    bool is_dropped;
    char name[KEYSPACE_NAME_SIZE_MAX + 1];
    struct keyspace_options options;
};

struct salvage_source {
    struct dir *dir;
    struct uuid db_uuid;
    struct salvage_losses *losses;

    bool has_manifest;
    uint64_t manifest_number; // of the one that counts, readable or not; 0: there is none
    struct manifest_state state;
    struct version *version;
    struct salvage_name *names; // of keyspaces, as far as they are known
    size_t name_count;

    // What reading a manifest needs; nothing is removed.
    struct epoch_bin bin;
    struct poison poison;
    struct fd_cache *fds;
    struct cache *cache;
    struct unlinker *unlinker;
    struct table_store table_store;
    struct segment_store segment_store;
};

// Looks at the directory and reads what there is of a manifest. LSM_INVALID when there is
// nothing of a database, or of several and none is named. On failure, too, the caller releases
// it.
lsm_status salvage_source_open(const struct salvage_request *request, struct salvage_losses *losses,
                               struct salvage_source *source);
void salvage_source_release(struct salvage_source *source);

// Adds the tables that count to `merge`. `*flushed_ts` is their newest timestamp, as far as it
// is known.
lsm_status salvage_source_tables(struct salvage_source *source, struct salvage_merge *merge,
                                 uint64_t *flushed_ts);

#endif
