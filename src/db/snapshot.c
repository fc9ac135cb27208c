#include "db/snapshot.h"

#include "base/alloc.h"

lsm_status lsm_snapshot_new(lsm_db *db, const char *tag, lsm_snapshot **out)
{
    CLEANUP(mem_freep) lsm_snapshot *snapshot = NULL;

    TRY(db_check(db, "lsm_snapshot_new"));
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_snapshot_new: out is NULL");
    snapshot = mem_alloc_zeroed(1, sizeof *snapshot);
    if (snapshot == NULL)
        return lsm_fail(LSM_NO_MEMORY, "snapshot: %zu bytes", sizeof *snapshot);
    snapshot->db = db;
    TRY(oracle_register(db->oracle, tag, &snapshot->slot));
    children_add(&db->children, &snapshot->child, CHILD_SNAPSHOT, tag, clock_mono_ns(db->env));
    *out = MOVE(snapshot);
    return LSM_OK;
}

void lsm_snapshot_free(lsm_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    oracle_unregister(snapshot->db->oracle, snapshot->slot);
    children_remove(&snapshot->db->children, &snapshot->child);
    mem_free(snapshot);
}

uint64_t lsm_snapshot_ts(const lsm_snapshot *snapshot)
{
    return snapshot == NULL ? 0 : snapshot_slot_ts(snapshot->slot);
}

lsm_status lsm_snapshot_get(lsm_snapshot *snapshot, lsm_keyspace *handle, lsm_slice key,
                            lsm_buf *value)
{
    struct keyspace *keyspace;

    if (snapshot == NULL || value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_snapshot_get: %s is NULL",
                        snapshot == NULL ? "snapshot" : "value");
    TRY(db_check(snapshot->db, "lsm_snapshot_get"));
    TRY(db_keyspace(snapshot->db, handle, &keyspace));
    TRY(check_key(key));
    return read_get(snapshot->db, keyspace, key, snapshot_time(snapshot->slot), value);
}
