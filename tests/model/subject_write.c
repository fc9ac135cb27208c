// The engine: writes that are a commit each, batches, and reads of single keys.

#include "base/coding.h"
#include "model/subject.h"

// --- one key ---

// A write that would have to wait is tried again once jobs have run.
static lsm_status put(struct subject *s, const struct op *op, lsm_slice value)
{
    lsm_write_options options = subject_write_options(op);
    lsm_status status;

    options.no_wait = (op->field[F_FLAGS] & FLAG_NO_WAIT) != 0;
    status = lsm_put(s->db, subject_keyspace(s, op), op_key(op->field[F_KEY]), value, &options);
    while (status == LSM_BUSY) {
        s->busy++;
        if (!scheduler_run_one(s->db->scheduler))
            options.no_wait = false;
        status = lsm_put(s->db, subject_keyspace(s, op), op_key(op->field[F_KEY]), value, &options);
    }
    return status;
}

static lsm_status cas(struct subject *s, const struct op *op, lsm_slice value)
{
    const lsm_write_options options = subject_write_options(op);
    const lsm_slice key = op_key(op->field[F_KEY]);
    const bool is_there = op->field[F_N] % 3 == 1 &&
                          lsm_get(s->db, subject_keyspace(s, op), key, &s->value) == LSM_OK;
    const lsm_slice expected =
        op->field[F_N] % 3 == 2 ? lsm_str("something that is not there") : slice_of_buf(&s->value);

    return lsm_compare_and_set(
        s->db, subject_keyspace(s, op), key, is_there || op->field[F_N] % 3 == 2 ? &expected : NULL,
        (op->field[F_FLAGS] & FLAG_NO_DESIRED) != 0 ? NULL : &value, &options);
}

static lsm_status add(struct subject *s, const struct op *op, struct line *out)
{
    const lsm_write_options options = subject_write_options(op);
    int64_t sum = 0;
    lsm_status status = lsm_add_i64(s->db, subject_keyspace(s, op), op_key(op->field[F_KEY]),
                                    (int32_t)op->field[F_N], &sum, &options);

    if (status == LSM_OK) {
        line_number(out, (uint64_t)sum);
        line_text(out, " ");
    }
    return status;
}

static lsm_status add_to_batch(struct subject *s, lsm_batch *batch, const struct op *op, uint32_t n)
{
    lsm_keyspace *keyspace = n % 2 == 1 ? NULL : subject_keyspace(s, op);
    const lsm_slice key = op_key(op->field[F_KEY] + 7 * n);
    uint8_t bytes[OP_VALUE_MAX];

    if (n % 3 == 2)
        return lsm_batch_delete(batch, keyspace, key);
    return lsm_batch_put(batch, keyspace, key,
                         op_value(op->field[F_STAMP] + n, op->field[F_SIZE], bytes));
}

static lsm_status batch(struct subject *s, const struct op *op)
{
    const lsm_write_options options = subject_write_options(op);
    lsm_batch *batch;
    lsm_status status = lsm_batch_new(&batch);

    for (uint32_t i = 0; i < op->field[F_N] && status == LSM_OK; i++)
        status = add_to_batch(s, batch, op, i);
    if (status == LSM_OK)
        status = lsm_write(s->db, batch, &options);
    lsm_batch_free(batch);
    return status;
}

// --- lsm_update ---

struct update {
    struct subject *subject;
    const struct op *op;
    unsigned tries;
};

static lsm_status run_update(lsm_txn *txn, void *ctx)
{
    struct update *u = ctx;
    const struct op *op = u->op;
    lsm_keyspace *keyspace = subject_keyspace(u->subject, op);
    uint8_t bytes[OP_VALUE_MAX];
    lsm_status status = lsm_txn_get(txn, keyspace, op_key(op->field[F_KEY]), &u->subject->value);

    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    for (uint32_t i = 0; i < op->field[F_N]; i++)
        TRY(lsm_txn_put_entry(txn, keyspace, op_key(op->field[F_KEY] + 5 * i),
                              op_value(op->field[F_STAMP] + i, op->field[F_SIZE], bytes),
                              subject_write_options(op).expiry_seconds,
                              (uint8_t)op->field[F_BYTE]));
    if (op->field[F_FLAGS] % 3 == 1)
        return LSM_NOT_FOUND;
    return op->field[F_FLAGS] % 3 == 2 && ++u->tries < 4 ? LSM_CONFLICT : LSM_OK;
}

// --- batches that are kept ---

static void apply_batch(struct subject *s, const struct op *op, struct line *out)
{
    const lsm_write_options options = subject_write_options(op);
    lsm_batch *kept = s->batches[op->field[F_SLOT] % REF_BATCHES];
    const lsm_slice key = op_key(op->field[F_KEY]);
    uint8_t bytes[OP_VALUE_MAX];
    lsm_status status = LSM_OK;

    switch (op->kind) {
    case OP_BATCH_PUT:
        status = lsm_batch_put(kept, subject_keyspace(s, op), key,
                               op_value(op->field[F_STAMP], op->field[F_SIZE], bytes));
        break;
    case OP_BATCH_DELETE:
        status = lsm_batch_delete(kept, subject_keyspace(s, op), key);
        break;
    case OP_BATCH_CLEAR:
        lsm_batch_clear(kept);
        break;
    default:
        line_status(out, lsm_write(s->db, kept, &options));
        return;
    }
    if (status != LSM_OK)
        line_status(out, status);
    line_number(out, lsm_batch_count(kept));
}

void subject_apply_write(struct subject *s, const struct reference *ref, const struct op *op,
                         struct line *out)
{
    const lsm_write_options options = subject_write_options(op);
    lsm_keyspace *keyspace = subject_keyspace(s, op);
    const lsm_slice key = op_key(op->field[F_KEY]);
    uint8_t bytes[OP_VALUE_MAX];
    const lsm_slice value = op_value(op->field[F_STAMP], op->field[F_SIZE], bytes);
    struct update update = {.subject = s, .op = op};

    (void)ref;
    switch (op->kind) {
    case OP_PUT:
        line_status(out, put(s, op, value));
        break;
    case OP_DELETE:
        line_status(out, lsm_delete(s->db, keyspace, key, &options));
        break;
    case OP_PUT_IF_ABSENT:
        line_status(out, lsm_put_if_absent(s->db, keyspace, key, value, &options));
        break;
    case OP_CAS:
        line_status(out, cas(s, op, value));
        break;
    case OP_ADD:
        line_status(out, add(s, op, out));
        break;
    case OP_APPEND:
        line_status(out, lsm_append(s->db, keyspace, key, value, &options));
        break;
    case OP_BATCH:
        line_status(out, batch(s, op));
        break;
    case OP_UPDATE:
        line_status(out, lsm_update(s->db, run_update, &update));
        break;
    default:
        apply_batch(s, op, out);
    }
}

// --- reads ---

static lsm_status get(struct subject *s, const struct op *op, lsm_slice key)
{
    const uint32_t slot = op->field[F_SLOT] % REF_SLOTS;
    lsm_keyspace *keyspace = subject_keyspace(s, op);
    const bool is_value_wanted = op->kind == OP_GET;

    switch (op->field[F_ON]) {
    case ON_SNAPSHOT:
        return lsm_snapshot_get(s->snapshots[slot], keyspace, key, &s->value);
    case ON_TXN:
        return is_value_wanted ? lsm_txn_get(s->txns[slot].txn, keyspace, key, &s->value)
                               : lsm_txn_exists(s->txns[slot].txn, keyspace, key);
    default:
        return is_value_wanted ? lsm_get(s->db, keyspace, key, &s->value)
                               : lsm_exists(s->db, keyspace, key);
    }
}

static void tell(struct line *out, lsm_status status, lsm_slice value)
{
    line_status(out, status);
    if (status != LSM_OK)
        return;
    line_text(out, " ");
    line_value(out, value);
}

static void multi_get(struct subject *s, const struct op *op, struct line *out)
{
    enum { KEYS_MAX = 64 };
    const uint32_t count = op->field[F_N] < KEYS_MAX ? op->field[F_N] : KEYS_MAX;
    lsm_txn *txn = s->txns[op->field[F_SLOT] % REF_SLOTS].txn;
    lsm_slice keys[KEYS_MAX];
    lsm_buf values[KEYS_MAX] = {{0}};
    lsm_status statuses[KEYS_MAX];
    lsm_status status;

    for (uint32_t i = 0; i < count; i++)
        keys[i] = op_key(op->field[F_KEY] + i * op->field[F_STAMP]);
    status = op->field[F_ON] == ON_TXN
                 ? lsm_txn_multi_get(txn, subject_keyspace(s, op), keys, count, values, statuses)
                 : lsm_multi_get(s->db, subject_keyspace(s, op), keys, count, values, statuses);
    line_status(out, status);
    for (uint32_t i = 0; i < count; i++) {
        if (status == LSM_OK) {
            line_text(out, " ");
            tell(out, statuses[i], slice_of_buf(&values[i]));
        }
        lsm_buf_free(&values[i]);
    }
}

static void turn_snapshot(struct subject *s, const struct op *op, struct line *out)
{
    lsm_snapshot **snapshot = &s->snapshots[op->field[F_SLOT] % REF_SLOTS];
    lsm_status status = LSM_OK;

    if (op->kind == OP_SNAPSHOT) {
        status = lsm_snapshot_new(s->db, "model", snapshot);
    } else {
        lsm_snapshot_free(*snapshot);
        *snapshot = NULL;
    }
    line_status(out, status);
    if (op->kind == OP_SNAPSHOT && status == LSM_OK) {
        line_text(out, " @");
        line_number(out, subject_read_ordinal(s, lsm_snapshot_ts(*snapshot)));
    }
}

void subject_apply_read(struct subject *s, const struct op *op, struct line *out)
{
    lsm_pin *pin = &s->pins[op->field[F_SLOT] % REF_SLOTS];
    const lsm_slice key = op_key(op->field[F_KEY]);
    lsm_status status;

    switch (op->kind) {
    case OP_GET:
        status = get(s, op, key);
        tell(out, status, slice_of_buf(&s->value));
        break;
    case OP_EXISTS:
        line_status(out, get(s, op, key));
        break;
    case OP_MULTI_GET:
        multi_get(s, op, out);
        break;
    case OP_PIN:
        status = lsm_get_pinned(s->db, subject_keyspace(s, op), key, pin);
        tell(out, status, pin->value);
        break;
    case OP_UNPIN:
        line_value(out, pin->value);
        lsm_pin_release(pin);
        break;
    default:
        turn_snapshot(s, op, out);
    }
}
