// Transactions: beginning, reading, writing, savepoints. Their end is in txn_commit.c.

#include "db/txn.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/plant.h"
#include "db/commit.h"
#include "db/txn_commit.h"

lsm_status txn_check(const struct lsm_txn *txn, const char *function)
{
    if (UNLIKELY(txn == NULL))
        return lsm_fail(LSM_INVALID, "%s: the transaction is NULL", function);
    if (UNLIKELY(txn->db == NULL || txn->is_freed))
        return lsm_fail(LSM_INVALID, "%s: the transaction has finished", function);
    return db_check(txn->db, function);
}

static lsm_status check_writable(const struct lsm_txn *txn, const char *function)
{
    TRY(txn_check(txn, function));
    if (txn->mode == LSM_TXN_READ_ONLY)
        return lsm_fail(LSM_INVALID, "%s: the transaction is read-only", function);
    return db_check_writable(txn->db, function);
}

static void txn_free(lsm_txn *txn)
{
    write_set_free(txn->writes);
    read_set_free(txn->reads);
    mem_free(txn->savepoints);
    mem_free(txn);
}

static void txn_freep(lsm_txn **txn)
{
    if (*txn != NULL)
        txn_free(*txn);
}

lsm_status lsm_begin_tagged(lsm_db *db, lsm_txn_mode mode, const char *tag, lsm_txn **out)
{
    CLEANUP(txn_freep) lsm_txn *txn = NULL;

    TRY(db_check(db, "lsm_begin"));
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_begin: out is NULL");
    if ((unsigned)mode > LSM_TXN_READ_ONLY)
        return lsm_fail(LSM_INVALID, "lsm_begin: there is no mode %d", (int)mode);
    if (mode != LSM_TXN_READ_ONLY)
        TRY(db_check_writable(db, "lsm_begin"));
    txn = mem_alloc_zeroed(1, sizeof *txn);
    if (txn == NULL)
        return lsm_fail(LSM_NO_MEMORY, "transaction: %zu bytes", sizeof *txn);
    txn->mode = mode;
    if (mode != LSM_TXN_READ_ONLY)
        TRY(write_set_new(&txn->writes));
    if (mode == LSM_TXN_SERIALIZABLE)
        TRY(read_set_new(&txn->reads));
    TRY(oracle_register(db->oracle, tag, &txn->slot));
    txn->db = db;
    txn->read_ts = snapshot_slot_ts(txn->slot);
    children_add(&db->children, &txn->child, CHILD_TXN, tag, clock_mono_ns(db->env));
    *out = MOVE(txn);
    return LSM_OK;
}

lsm_status lsm_begin(lsm_db *db, lsm_txn_mode mode, lsm_txn **out)
{
    return lsm_begin_tagged(db, mode, NULL, out);
}

void txn_finish(struct lsm_txn *txn)
{
    oracle_unregister(txn->db->oracle, txn->slot);
    children_remove(&txn->db->children, &txn->child);
    txn->slot = NULL;
    txn->db = NULL;
}

lsm_status lsm_rollback(lsm_txn *txn)
{
    TRY(txn_check(txn, "lsm_rollback"));
    if (txn->iter_count > 0)
        return lsm_fail(LSM_INVALID, "lsm_rollback: %zu iterators of the transaction are open",
                        txn->iter_count);
    txn_finish(txn);
    return LSM_OK;
}

void lsm_txn_free(lsm_txn *txn)
{
    if (txn == NULL || txn->is_freed)
        return;
    txn->is_freed = true;
    if (txn->iter_count > 0)
        return; // txn_drop_iter() does the rest
    if (txn->db != NULL)
        txn_finish(txn);
    txn_free(txn);
}

void txn_drop_iter(struct lsm_txn *txn)
{
    txn->iter_count--;
    if (txn->iter_count > 0 || !txn->is_freed)
        return;
    if (txn->db != NULL)
        txn_finish(txn);
    txn_free(txn);
}

uint64_t lsm_txn_read_ts(const lsm_txn *txn)
{
    return txn == NULL ? 0 : txn->read_ts;
}

uint64_t lsm_txn_commit_ts(const lsm_txn *txn)
{
    return txn == NULL ? 0 : txn->commit_ts;
}

// --- reading ---

void txn_note_range(struct lsm_txn *txn, const struct read_range *range)
{
    lsm_status status;

    if (txn->reads == NULL)
        return;
    status = read_set_add_range(txn->reads, range);
    if (status != LSM_OK && txn->lost_read.status == LSM_OK)
        failure_capture(&txn->lost_read, status);
}

lsm_status txn_read(struct lsm_txn *txn, const struct keyspace *keyspace, lsm_slice key,
                    lsm_buf *value, struct entry_marks *marks)
{
    const uint64_t hash = key_hash(keyspace->id, key);
    const struct read_time time = {.ts = PLANTED(READ_AT_WRONG_TS) ? TS_MAX : txn->read_ts,
                                   .wall = snapshot_slot_wall(txn->slot)};
    struct entry own;

    if (txn->writes != NULL && write_set_get(txn->writes, keyspace->id, key, hash, &own)) {
        if (entry_is_absent(&own, own.expiry == 0 ? 0 : time.wall))
            return lsm_fail(LSM_NOT_FOUND, "no such key");
        if (marks != NULL)
            *marks = (struct entry_marks){.expiry = own.expiry, .user_byte = own.user_byte};
        return value == NULL ? LSM_OK : buf_assign(value, own.value);
    }
    if (txn->reads != NULL && !(PLANTED(SKIP_ABSENT_VALIDATION) &&
                                read_get(txn->db, keyspace, key, time, NULL) == LSM_NOT_FOUND))
        TRY(read_set_add_point(txn->reads, keyspace->id, key, hash));
    return read_get_marked(txn->db, keyspace, key, time, value, marks);
}

lsm_status lsm_txn_get(lsm_txn *txn, lsm_keyspace *handle, lsm_slice key, lsm_buf *value)
{
    struct keyspace *keyspace;

    TRY(txn_check(txn, "lsm_txn_get"));
    TRY(db_keyspace(txn->db, handle, &keyspace));
    TRY(check_key(key));
    if (value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_txn_get: value is NULL");
    return txn_read(txn, keyspace, key, value, NULL);
}

lsm_status lsm_txn_exists(lsm_txn *txn, lsm_keyspace *handle, lsm_slice key)
{
    struct keyspace *keyspace;

    TRY(txn_check(txn, "lsm_txn_exists"));
    TRY(db_keyspace(txn->db, handle, &keyspace));
    TRY(check_key(key));
    return txn_read(txn, keyspace, key, NULL, NULL);
}

lsm_status lsm_txn_multi_get(lsm_txn *txn, lsm_keyspace *handle, const lsm_slice *keys,
                             size_t count, lsm_buf *values, lsm_status *statuses)
{
    struct keyspace *keyspace;
    struct failure first_failure = {.status = LSM_OK};

    TRY(txn_check(txn, "lsm_txn_multi_get"));
    TRY(db_keyspace(txn->db, handle, &keyspace));
    if (count > 0 && (keys == NULL || values == NULL || statuses == NULL))
        return lsm_fail(LSM_INVALID, "lsm_txn_multi_get: an array is NULL");
    for (size_t i = 0; i < count; i++) {
        lsm_status status = check_key(keys[i]);

        if (status == LSM_OK)
            status = txn_read(txn, keyspace, keys[i], &values[i], NULL);
        statuses[i] = status;
        if (status != LSM_OK && status != LSM_NOT_FOUND && first_failure.status == LSM_OK)
            failure_capture(&first_failure, status);
    }
    return first_failure.status == LSM_OK ? LSM_OK : failure_raise(&first_failure);
}

// --- writing ---

static lsm_status add_write(struct lsm_txn *txn, const lsm_keyspace *handle, struct entry *entry)
{
    struct keyspace *keyspace;

    TRY(db_keyspace(txn->db, handle, &keyspace));
    TRY(check_key(entry->key));
    TRY(check_value(entry->value));
    TRY(commit_check_keyspace(keyspace, TS_MAX));
    entry->keyspace = keyspace->id;
    if (entry->kind == ENTRY_VALUE)
        entry->expiry = commit_expiry(txn->db, keyspace, 0, entry->expiry);
    return write_set_add(txn->writes, entry, key_hash(entry->keyspace, entry->key),
                         atomic_load_explicit(&txn->db->txn_bytes_max, memory_order_relaxed));
}

lsm_status lsm_txn_put(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key, lsm_slice value)
{
    struct entry entry = {.kind = ENTRY_VALUE, .key = key, .value = value};

    TRY(check_writable(txn, "lsm_txn_put"));
    return add_write(txn, keyspace, &entry);
}

lsm_status lsm_txn_put_entry(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key, lsm_slice value,
                             uint64_t expiry_seconds, uint8_t user_byte)
{
    struct entry entry = {.kind = ENTRY_VALUE,
                          .key = key,
                          .value = value,
                          .expiry = expiry_seconds,
                          .user_byte = user_byte};

    TRY(check_writable(txn, "lsm_txn_put_entry"));
    return add_write(txn, keyspace, &entry);
}

lsm_status lsm_txn_delete(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key)
{
    struct entry entry = {.kind = ENTRY_DELETE, .key = key};

    TRY(check_writable(txn, "lsm_txn_delete"));
    return add_write(txn, keyspace, &entry);
}

lsm_status lsm_txn_put_if_absent(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key,
                                 lsm_slice value)
{
    lsm_status status;

    TRY(check_writable(txn, "lsm_txn_put_if_absent"));
    TRY(check_value(value));
    status = lsm_txn_exists(txn, keyspace, key);
    if (status == LSM_OK) {
        txn->is_refused = true;
        return lsm_fail(LSM_CONFLICT, "the key exists");
    }
    if (status != LSM_NOT_FOUND)
        return status;
    return lsm_txn_put(txn, keyspace, key, value);
}

// --- savepoints ---

lsm_status lsm_txn_savepoint(lsm_txn *txn, uint64_t *savepoint)
{
    uint64_t *savepoints;
    size_t count;

    TRY(check_writable(txn, "lsm_txn_savepoint"));
    if (savepoint == NULL)
        return lsm_fail(LSM_INVALID, "lsm_txn_savepoint: savepoint is NULL");
    count = write_set_savepoint_count(txn->writes);
    savepoints = mem_resize_array(txn->savepoints, count + 1, sizeof *savepoints);
    if (savepoints == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%zu savepoints", count + 1);
    txn->savepoints = savepoints;
    TRY(write_set_savepoint(txn->writes));
    savepoints[count] = ++txn->last_savepoint;
    *savepoint = txn->last_savepoint;
    return LSM_OK;
}

static lsm_status find_savepoint(const struct lsm_txn *txn, uint64_t id, size_t *index)
{
    for (size_t i = write_set_savepoint_count(txn->writes); i-- > 0;) {
        if (txn->savepoints[i] == id) {
            *index = i;
            return LSM_OK;
        }
    }
    return lsm_fail(LSM_INVALID, "the transaction has no savepoint %llu (any more)",
                    (unsigned long long)id);
}

lsm_status lsm_txn_rollback_to(lsm_txn *txn, uint64_t savepoint)
{
    size_t index;

    TRY(check_writable(txn, "lsm_txn_rollback_to"));
    TRY(find_savepoint(txn, savepoint, &index));
    return write_set_rollback(txn->writes, index);
}

lsm_status lsm_txn_release(lsm_txn *txn, uint64_t savepoint)
{
    size_t index;

    TRY(check_writable(txn, "lsm_txn_release"));
    TRY(find_savepoint(txn, savepoint, &index));
    write_set_release(txn->writes, index);
    return LSM_OK;
}
