// Writes that are a commit each (lsm_put() and the like).

#include "base/coding.h"
#include "base/hash.h"
#include "base/plant.h"
#include "db/commit.h"
#include "db/retry.h"

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

#define CONDITIONAL_TRIES 1000u

struct conditional {
    lsm_keyspace *keyspace;
    lsm_slice key;
    const lsm_slice *expected;
    const lsm_slice *desired;
    int64_t delta;
    int64_t sum;
    lsm_write_options options;
    struct keyspace *target; // what `keyspace` is a handle to
};

// What is there when the write begins.
struct present {
    bool is_there;
    lsm_buf value;
    struct entry_marks marks;
};

static void present_release(struct present *present)
{
    lsm_buf_free(&present->value);
}

static lsm_status present_read(lsm_txn *txn, const struct conditional *c, struct present *out)
{
    lsm_status status = txn_read(txn, c->target, c->key, &out->value, &out->marks);

    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    out->is_there = status == LSM_OK;
    return LSM_OK;
}

// The marks of an entry as the options and the keyspace want it.
static struct entry_marks marks_wanted(const lsm_txn *txn, const struct conditional *c)
{
    return (struct entry_marks){.expiry = commit_expiry(txn->db, c->target, c->options.ttl_seconds,
                                                        c->options.expiry_seconds),
                                .user_byte = c->options.user_byte};
}

static lsm_status put_marked(lsm_txn *txn, const struct conditional *c, lsm_slice value,
                             struct entry_marks marks)
{
    return lsm_txn_put_entry(txn, c->keyspace, c->key, value,
                             marks.expiry == 0 ? LSM_EXPIRY_NONE : marks.expiry, marks.user_byte);
}

// Writes on from what is there, whose marks stay but for what the options say.
static lsm_status put_on(lsm_txn *txn, const struct conditional *c, const struct present *present,
                         lsm_slice value)
{
    const lsm_write_options *options = &c->options;
    struct entry_marks marks = marks_wanted(txn, c);

    if (PLANTED(FORGET_MARKS))
        return put_marked(txn, c, value, marks);
    if (present->is_there && options->ttl_seconds == 0 && options->expiry_seconds == 0)
        marks.expiry = present->marks.expiry;
    if (present->is_there && options->user_byte == 0 && !options->clear_user_byte)
        marks.user_byte = present->marks.user_byte;
    return put_marked(txn, c, value, marks);
}

// Its own LSM_CONFLICT, not that of a lost race.
static lsm_status refuse(lsm_txn *txn, const char *why)
{
    txn->is_refused = true;
    return lsm_fail(LSM_CONFLICT, "%s", why);
}

static lsm_status put_if_absent(lsm_txn *txn, struct conditional *c)
{
    lsm_status status = lsm_txn_exists(txn, c->keyspace, c->key);

    if (status == LSM_OK)
        return refuse(txn, "the key exists");
    if (status != LSM_NOT_FOUND)
        return status;
    return put_marked(txn, c, *c->desired, marks_wanted(txn, c));
}

static lsm_status compare_and_set(lsm_txn *txn, struct conditional *c)
{
    CLEANUP(present_release) struct present present = {0};

    TRY(present_read(txn, c, &present));
    if (present.is_there != (c->expected != NULL))
        return refuse(txn, present.is_there ? "the key exists" : "the key is absent");
    if (present.is_there && !slice_equal(slice_of_buf(&present.value), *c->expected))
        return refuse(txn, "the value is not the expected one");
    if (c->desired == NULL)
        return lsm_txn_delete(txn, c->keyspace, c->key);
    return put_on(txn, c, &present, *c->desired);
}

static lsm_status add_i64(lsm_txn *txn, struct conditional *c)
{
    CLEANUP(present_release) struct present present = {0};
    uint8_t encoded[sizeof(int64_t)];
    int64_t old = 0;

    TRY(present_read(txn, c, &present));
    if (present.is_there && present.value.size != sizeof encoded)
        return lsm_fail(LSM_INVALID, "the value has %zu bytes, a counter has 8",
                        present.value.size);
    if (present.is_there)
        old = (int64_t)get_u64(present.value.data);
    if (__builtin_add_overflow(old, c->delta, &c->sum))
        return lsm_fail(LSM_INVALID, "%lld and %lld overflow a counter", (long long)old,
                        (long long)c->delta);
    put_u64(encoded, (uint64_t)c->sum);
    return put_on(txn, c, &present, slice_make(encoded, sizeof encoded));
}

static lsm_status append(lsm_txn *txn, struct conditional *c)
{
    CLEANUP(present_release) struct present present = {0};

    TRY(present_read(txn, c, &present));
    TRY(buf_append(&present.value, c->desired->data, c->desired->size));
    TRY(check_value(slice_of_buf(&present.value)));
    return put_on(txn, c, &present, slice_of_buf(&present.value));
}

static lsm_status prepare_conditional(lsm_db *db, struct conditional *c,
                                      const lsm_write_options *options, const char *function)
{
    static const lsm_write_options defaults = LSM_WRITE_OPTIONS_INIT;

    TRY(db_check_writable(db, function));
    TRY(db_keyspace(db, c->keyspace, &c->target));
    TRY(check_key(c->key));
    if (c->expected != NULL)
        TRY(check_value(*c->expected));
    if (c->desired != NULL)
        TRY(check_value(*c->desired));
    TRY(commit_check_options(options));
    c->options = options == NULL ? defaults : *options;
    return LSM_OK;
}

// One attempt: reads and writes in `txn`.
typedef lsm_status (*conditional_fn)(lsm_txn *txn, struct conditional *c);

struct attempt {
    struct conditional *c;
    conditional_fn fn;
};

static lsm_status run_attempt(lsm_txn *txn, void *ctx)
{
    const struct attempt *attempt = ctx;

    return attempt->fn(txn, attempt->c);
}

// Runs `fn` in a transaction until no other commit comes between. LSM_CONFLICT is the word for a
// condition that does not hold, so that losing every race is LSM_BUSY.
static lsm_status run_conditional(lsm_db *db, struct conditional *c,
                                  const lsm_write_options *options, conditional_fn fn,
                                  const char *function)
{
    struct attempt attempt = {.c = c, .fn = fn};
    const struct retry retry = {.run = run_attempt,
                                .ctx = &attempt,
                                .options = &c->options,
                                .tries_max = CONDITIONAL_TRIES};
    bool is_exhausted;
    lsm_status status;

    TRY(prepare_conditional(db, c, options, function));
    status = retry_run(db, &retry, &is_exhausted);
    if (is_exhausted)
        return lsm_fail(LSM_BUSY, "%s: another commit came between %u times", function,
                        CONDITIONAL_TRIES);
    return status;
}

lsm_status lsm_put_if_absent(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key, lsm_slice value,
                             const lsm_write_options *options)
{
    struct conditional c = {.keyspace = keyspace, .key = key, .desired = &value};

    return run_conditional(db, &c, options, put_if_absent, "lsm_put_if_absent");
}

lsm_status lsm_compare_and_set(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                               const lsm_slice *expected, const lsm_slice *desired,
                               const lsm_write_options *options)
{
    struct conditional c = {
        .keyspace = keyspace, .key = key, .expected = expected, .desired = desired};

    return run_conditional(db, &c, options, compare_and_set, "lsm_compare_and_set");
}

lsm_status lsm_add_i64(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key, int64_t delta,
                       int64_t *result, const lsm_write_options *options)
{
    struct conditional c = {.keyspace = keyspace, .key = key, .delta = delta};

    TRY(run_conditional(db, &c, options, add_i64, "lsm_add_i64"));
    if (result != NULL)
        *result = c.sum;
    return LSM_OK;
}

lsm_status lsm_append(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key, lsm_slice suffix,
                      const lsm_write_options *options)
{
    struct conditional c = {.keyspace = keyspace, .key = key, .desired = &suffix};

    return run_conditional(db, &c, options, append, "lsm_append");
}
