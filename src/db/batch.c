// Batches: writes collected outside any transaction (lsm_batch_*, lsm_write()).

#include "base/alloc.h"
#include "base/hash.h"
#include "db/commit.h"
#include "txn/write_set.h"

struct lsm_batch {
    struct write_set *writes; // NULL while empty
    struct lsm_db *db;        // of the keyspaces named so far; NULL: only the default one
    size_t count;
};

lsm_status lsm_batch_new(lsm_batch **out)
{
    lsm_batch *batch;

    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_batch_new: out is NULL");
    batch = mem_alloc_zeroed(1, sizeof *batch);
    if (batch == NULL)
        return lsm_fail(LSM_NO_MEMORY, "batch: %zu bytes", sizeof *batch);
    *out = batch;
    return LSM_OK;
}

void lsm_batch_free(lsm_batch *batch)
{
    if (batch == NULL)
        return;
    write_set_free(batch->writes);
    mem_free(batch);
}

static lsm_status add(lsm_batch *batch, const lsm_keyspace *handle, struct entry *entry)
{
    if (batch == NULL)
        return lsm_fail(LSM_INVALID, "the batch is NULL");
    TRY(check_key(entry->key));
    TRY(check_value(entry->value));
    if (handle != NULL && batch->db != NULL && handle->db != batch->db)
        return lsm_fail(LSM_INVALID, "the batch holds writes to another database");
    if (batch->writes == NULL)
        TRY(write_set_new(&batch->writes));
    entry->keyspace = handle == NULL ? KEYSPACE_DEFAULT_ID : handle->keyspace->id;
    TRY(write_set_add(batch->writes, entry, key_hash(entry->keyspace, entry->key), UINT64_MAX));
    if (handle != NULL)
        batch->db = handle->db;
    batch->count++;
    return LSM_OK;
}

lsm_status lsm_batch_put(lsm_batch *batch, lsm_keyspace *keyspace, lsm_slice key, lsm_slice value)
{
    struct entry entry = {.kind = ENTRY_VALUE, .key = key, .value = value};

    return add(batch, keyspace, &entry);
}

lsm_status lsm_batch_delete(lsm_batch *batch, lsm_keyspace *keyspace, lsm_slice key)
{
    struct entry entry = {.kind = ENTRY_DELETE, .key = key};

    return add(batch, keyspace, &entry);
}

void lsm_batch_clear(lsm_batch *batch)
{
    if (batch == NULL)
        return;
    write_set_free(batch->writes);
    batch->writes = NULL;
    batch->db = NULL;
    batch->count = 0;
}

size_t lsm_batch_count(const lsm_batch *batch)
{
    return batch == NULL ? 0 : batch->count;
}

// Commits the entries of the batch, with the expiry and user byte of the write.
static lsm_status write_batch(struct lsm_db *db, const lsm_batch *batch,
                              const lsm_write_options *options, struct write_request *request)
{
    CLEANUP(iter_closep) struct iter *it = NULL;
    struct keyspace *keyspace = db->default_keyspace;

    TRY(write_set_iter_new(batch->writes, &it));
    TRY(iter_first(it));
    while (it->is_valid) {
        struct entry entry = it->entry;

        if (entry.keyspace != keyspace->id)
            keyspace = keyspaces_find_id(&db->keyspaces, entry.keyspace);
        TRY(commit_check_keyspace(keyspace, TS_MAX));
        if (entry.kind == ENTRY_VALUE) {
            entry.user_byte = options == NULL ? 0 : options->user_byte;
            entry.expiry = commit_expiry(db, keyspace, options == NULL ? 0 : options->ttl_seconds,
                                         options == NULL ? 0 : options->expiry_seconds);
        }
        TRY(commit_add(db, request, keyspace, &entry, key_hash(entry.keyspace, entry.key)));
        TRY(iter_next(it));
    }
    TRY(commit_finish(db, request, options));
    return commit_run(db, request, options);
}

lsm_status lsm_write(lsm_db *db, lsm_batch *batch, const lsm_write_options *options)
{
    struct write_request request;
    lsm_status status;
    uint64_t bytes_max;

    TRY(db_check_writable(db, "lsm_write"));
    TRY(commit_check_options(options));
    if (batch == NULL)
        return lsm_fail(LSM_INVALID, "lsm_write: the batch is NULL");
    if (batch->db != NULL && batch->db != db)
        return lsm_fail(LSM_INVALID, "the batch holds writes to another database");
    if (batch->count == 0)
        return LSM_OK;
    bytes_max = atomic_load_explicit(&db->txn_bytes_max, memory_order_relaxed);
    if (write_set_bytes(batch->writes) > bytes_max)
        return lsm_fail(LSM_INVALID, "the batch has %llu bytes, option txn_bytes_max allows %llu",
                        (unsigned long long)write_set_bytes(batch->writes),
                        (unsigned long long)bytes_max);
    write_request_init(&request, REQUEST_COMMIT);
    status = write_batch(db, batch, options, &request);
    write_request_release(&request);
    return status;
}
