// Writes that are a commit each (lsm_put() and the like).

#include "base/coding.h"
#include "base/hash.h"
#include "db/commit.h"

// Commits one value or tombstone.
static lsm_status write_one(struct lsm_db *db, struct keyspace *keyspace, struct entry *entry,
                            const lsm_write_options *options)
{
    struct write_request request;
    lsm_status status;

    write_request_init(&request, REQUEST_COMMIT);
    status = commit_add(db, &request, keyspace, entry, key_hash(entry->keyspace, entry->key));
    if (status == LSM_OK)
        status = commit_finish(db, &request, options);
    if (status == LSM_OK)
        status = commit_run(db, &request, options);
    write_request_release(&request);
    return status;
}

lsm_status lsm_put(lsm_db *db, lsm_keyspace *handle, lsm_slice key, lsm_slice value,
                   const lsm_write_options *options)
{
    struct keyspace *keyspace;
    struct entry entry = {.kind = ENTRY_VALUE, .key = key, .value = value};

    TRY(db_check_writable(db, "lsm_put"));
    TRY(db_keyspace(db, handle, &keyspace));
    TRY(check_key(key));
    TRY(check_value(value));
    TRY(commit_check_options(options));
    TRY(commit_check_keyspace(keyspace, TS_MAX));
    entry.keyspace = keyspace->id;
    entry.user_byte = options == NULL ? 0 : options->user_byte;
    entry.expiry = commit_expiry(db, keyspace, options == NULL ? 0 : options->ttl_seconds,
                                 options == NULL ? 0 : options->expiry_seconds);
    return write_one(db, keyspace, &entry, options);
}

lsm_status lsm_delete(lsm_db *db, lsm_keyspace *handle, lsm_slice key,
                      const lsm_write_options *options)
{
    struct keyspace *keyspace;
    struct entry entry = {.kind = ENTRY_DELETE, .key = key};

    TRY(db_check_writable(db, "lsm_delete"));
    TRY(db_keyspace(db, handle, &keyspace));
    TRY(check_key(key));
    TRY(commit_check_options(options));
    TRY(commit_check_keyspace(keyspace, TS_MAX));
    entry.keyspace = keyspace->id;
    return write_one(db, keyspace, &entry, options);
}

// --- writes that depend on what is there: small transactions ---

#define CONDITIONAL_TRIES 1000

struct conditional {
    lsm_keyspace *keyspace;
    lsm_slice key;
    const lsm_slice *expected;
    const lsm_slice *desired;
    int64_t delta;
    int64_t sum;
    const lsm_write_options *options;
    uint64_t expiry; // as the options say; 0: the keyspace's default
    bool is_refused; // its own LSM_CONFLICT, not that of a lost race
};

// Writes `value` as the one-shot's options want it.
static lsm_status put_with_options(lsm_txn *txn, const struct conditional *c, lsm_slice value)
{
    return lsm_txn_put_entry(txn, c->keyspace, c->key, value, c->expiry,
                             c->options == NULL ? 0 : c->options->user_byte);
}

static lsm_status refuse(struct conditional *c, const char *why)
{
    c->is_refused = true;
    return lsm_fail(LSM_CONFLICT, "%s", why);
}

static lsm_status put_if_absent(lsm_txn *txn, struct conditional *c)
{
    lsm_status status = lsm_txn_exists(txn, c->keyspace, c->key);

    if (status == LSM_OK)
        return refuse(c, "the key exists");
    if (status != LSM_NOT_FOUND)
        return status;
    return put_with_options(txn, c, *c->desired);
}

static lsm_status compare_and_set(lsm_txn *txn, struct conditional *c)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_status status = lsm_txn_get(txn, c->keyspace, c->key, &value);

    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    if ((status == LSM_OK) != (c->expected != NULL))
        return refuse(c, status == LSM_OK ? "the key exists" : "the key is absent");
    if (status == LSM_OK && !slice_equal(slice_of_buf(&value), *c->expected))
        return refuse(c, "the value is not the expected one");
    if (c->desired == NULL)
        return lsm_txn_delete(txn, c->keyspace, c->key);
    return put_with_options(txn, c, *c->desired);
}

static lsm_status add_i64(lsm_txn *txn, struct conditional *c)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_status status = lsm_txn_get(txn, c->keyspace, c->key, &value);
    uint8_t encoded[sizeof(int64_t)];
    int64_t old = 0;

    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    if (status == LSM_OK && value.size != sizeof encoded)
        return lsm_fail(LSM_INVALID, "the value has %zu bytes, a counter has 8", value.size);
    if (status == LSM_OK)
        old = (int64_t)get_u64(value.data);
    if (__builtin_add_overflow(old, c->delta, &c->sum))
        return lsm_fail(LSM_INVALID, "%lld and %lld overflow a counter", (long long)old,
                        (long long)c->delta);
    put_u64(encoded, (uint64_t)c->sum);
    return put_with_options(txn, c, slice_make(encoded, sizeof encoded));
}

static lsm_status append(lsm_txn *txn, struct conditional *c)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_status status = lsm_txn_get(txn, c->keyspace, c->key, &value);

    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    TRY(buf_append(&value, c->desired->data, c->desired->size));
    TRY(check_value(slice_of_buf(&value)));
    return put_with_options(txn, c, slice_of_buf(&value));
}

// Checks the arguments, and settles when what is written expires.
static lsm_status prepare_conditional(lsm_db *db, struct conditional *c, const char *function)
{
    struct keyspace *keyspace;

    TRY(db_check_writable(db, function));
    TRY(db_keyspace(db, c->keyspace, &keyspace));
    TRY(check_key(c->key));
    if (c->expected != NULL)
        TRY(check_value(*c->expected));
    if (c->desired != NULL)
        TRY(check_value(*c->desired));
    TRY(commit_check_options(c->options));
    if (c->options != NULL)
        c->expiry =
            commit_expiry(db, keyspace, c->options->ttl_seconds, c->options->expiry_seconds);
    return LSM_OK;
}

// One attempt: reads and writes in `txn`.
typedef lsm_status (*conditional_fn)(lsm_txn *txn, struct conditional *c);

// Runs `fn` in a transaction until no other commit comes between.
static lsm_status run_conditional(lsm_db *db, struct conditional *c, conditional_fn fn,
                                  const char *function)
{
    lsm_status status = LSM_CONFLICT;

    TRY(prepare_conditional(db, c, function));
    for (int tries = 0; tries < CONDITIONAL_TRIES && status == LSM_CONFLICT; tries++) {
        lsm_txn *txn;

        TRY(lsm_begin(db, LSM_TXN_SERIALIZABLE, &txn));
        status = fn(txn, c);
        if (status == LSM_OK)
            status = lsm_commit(txn, c->options);
        lsm_txn_free(txn);
        if (c->is_refused)
            return status;
    }
    return status;
}

lsm_status lsm_put_if_absent(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key, lsm_slice value,
                             const lsm_write_options *options)
{
    struct conditional c = {
        .keyspace = keyspace, .key = key, .desired = &value, .options = options};

    return run_conditional(db, &c, put_if_absent, "lsm_put_if_absent");
}

lsm_status lsm_compare_and_set(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                               const lsm_slice *expected, const lsm_slice *desired,
                               const lsm_write_options *options)
{
    struct conditional c = {.keyspace = keyspace,
                            .key = key,
                            .expected = expected,
                            .desired = desired,
                            .options = options};

    return run_conditional(db, &c, compare_and_set, "lsm_compare_and_set");
}

lsm_status lsm_add_i64(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key, int64_t delta,
                       int64_t *result, const lsm_write_options *options)
{
    struct conditional c = {.keyspace = keyspace, .key = key, .delta = delta, .options = options};

    TRY(run_conditional(db, &c, add_i64, "lsm_add_i64"));
    if (result != NULL)
        *result = c.sum;
    return LSM_OK;
}

lsm_status lsm_append(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key, lsm_slice suffix,
                      const lsm_write_options *options)
{
    struct conditional c = {
        .keyspace = keyspace, .key = key, .desired = &suffix, .options = options};

    return run_conditional(db, &c, append, "lsm_append");
}
