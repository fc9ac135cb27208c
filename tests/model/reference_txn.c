// The reference: transactions.

#include "model/reference.h"

static struct ref_txn *txn_of(struct reference *ref, const struct op *op)
{
    return &ref->txns[op->field[F_SLOT] % REF_SLOTS];
}

static bool has_iters(const struct reference *ref, const struct ref_txn *txn)
{
    for (size_t i = 0; i < REF_SLOTS; i++) {
        const struct ref_iter *it = &ref->iters[i];

        if (it->state != ITER_NONE && it->txn >= 0 && it->txn_generation == txn->generation)
            return true;
    }
    return false;
}

static bool begin(struct reference *ref, struct ref_txn *txn, const struct op *op, struct line *out)
{
    if (txn->state != TXN_NONE || ref->armed > 0)
        return false;
    txn->state = TXN_ACTIVE;
    txn->mode = op->field[F_N] % 3;
    txn->ordinal = ref->ordinal;
    txn->wall = ref_wall(ref);
    txn->generation = ++ref->generations;
    txn->savepoints_made = 0;
    line_status(out, LSM_OK);
    line_text(out, " @");
    line_number(out, txn->ordinal);
    return true;
}

static void add_write(struct reference *ref, struct ref_txn *txn, uint32_t keyspace,
                      const struct op *op)
{
    uint8_t bytes[OP_VALUE_MAX];
    struct op timed = *op;
    struct ref_write write = {.ordinal = REF_OWN,
                              .keyspace = keyspace,
                              .key = op->field[F_KEY] % OP_KEYS,
                              .is_delete = op->kind == OP_TXN_DELETE};

    timed.field[F_TTL] = 0; // transactions know absolute expiry only
    if (op->kind != OP_TXN_PUT && op->kind != OP_TXN_CHURN) {
        timed.field[F_UNTIL] = 0;
        timed.field[F_BYTE] = 0;
    }
    if (!write.is_delete) {
        write.user_byte = (uint8_t)timed.field[F_BYTE];
        write.expiry = ref_expiry(ref, keyspace, &timed);
        write.value = ref_keep(ref, op_value(op->field[F_STAMP], op->field[F_SIZE], bytes));
    }
    ref_writes_add(&txn->writes, &write);
}

// Of all the writes the last one counts, or none.
static void churn(struct reference *ref, struct ref_txn *txn, uint32_t keyspace,
                  const struct op *op)
{
    struct op last = *op;

    last.field[F_STAMP] += op->field[F_N] - 1;
    if ((op->field[F_FLAGS] & FLAG_REWRITE) != 0)
        add_write(ref, txn, keyspace, &last);
}

// LSM_OK when the key is absent for the transaction.
static lsm_status check_absent(struct reference *ref, struct ref_txn *txn, struct ref_point point)
{
    const struct ref_write *own = ref_own(txn, point.keyspace, point.key);
    const struct ref_write *found = own;

    if (own == NULL) {
        ref_note_point(txn, point);
        if (ref_is_dropped(ref, point.keyspace, txn->ordinal))
            return LSM_INVALID;
        found = ref_newest(ref, point.keyspace, point.key, txn->ordinal);
    }
    return ref_is_absent(ref, found, txn->wall) ? LSM_OK : LSM_CONFLICT;
}

static bool write_in(struct reference *ref, struct ref_txn *txn, const struct op *op,
                     struct line *out)
{
    const uint32_t keyspace = ref_handle(ref, op->field[F_KS]);
    lsm_status status = LSM_OK;

    if (txn->state == TXN_NONE || keyspace == REF_NO_KEYSPACE)
        return false;
    if (txn->state == TXN_FINISHED || txn->mode == LSM_TXN_READ_ONLY)
        status = LSM_INVALID;
    if (status == LSM_OK && op->kind == OP_TXN_PUT_IF_ABSENT)
        status = check_absent(ref, txn, (struct ref_point){keyspace, op->field[F_KEY] % OP_KEYS});
    if (status == LSM_OK && ref_is_dropped(ref, keyspace, REF_NOW))
        status = LSM_INVALID;
    if (status == LSM_OK && op->kind == OP_TXN_CHURN)
        churn(ref, txn, keyspace, op);
    else if (status == LSM_OK)
        add_write(ref, txn, keyspace, op);
    line_status(out, status);
    return true;
}

// --- savepoints ---

static bool is_writing(const struct ref_txn *txn)
{
    return txn->state == TXN_ACTIVE && txn->mode != LSM_TXN_READ_ONLY;
}

static lsm_status savepoint(struct ref_txn *txn)
{
    if (!is_writing(txn))
        return LSM_INVALID;
    txn->savepoints[txn->savepoint_count].id = ++txn->savepoints_made;
    txn->savepoints[txn->savepoint_count++].mark = txn->writes.count;
    return LSM_OK;
}

// What an iterator of the transaction shows after its writes have been undone is not said,
// so its iterators are closed first.
static void close_iters(struct reference *ref, const struct ref_txn *txn)
{
    for (size_t i = 0; i < REF_SLOTS; i++) {
        struct ref_iter *it = &ref->iters[i];

        if (it->state != ITER_NONE && it->txn >= 0 && it->txn_generation == txn->generation) {
            if (it->is_seen && it->has_low)
                ref_note_range(&ref->txns[it->txn], &it->seen);
            it->state = ITER_NONE;
        }
    }
}

static lsm_status back_to(struct reference *ref, struct ref_txn *txn, const struct op *op)
{
    if (!is_writing(txn))
        return LSM_INVALID;
    close_iters(ref, txn);
    for (uint32_t i = txn->savepoint_count; i-- > 0;) {
        if (txn->savepoints[i].id != op->field[F_N])
            continue;
        txn->savepoint_count = i;
        if (op->kind == OP_ROLLBACK_TO) {
            txn->savepoint_count++;
            if (ref->mistake != REF_ROLLBACK_KEEPS)
                txn->writes.count = txn->savepoints[i].mark;
        }
        return LSM_OK;
    }
    return LSM_INVALID;
}

// --- the end ---

static bool conflicts(const struct reference *ref, const struct ref_txn *txn)
{
    if (txn->mode == LSM_TXN_SNAPSHOT) {
        for (size_t i = 0; i < txn->writes.count; i++) {
            const struct ref_write *write = &txn->writes.items[i];

            if (ref_point_changed(ref, (struct ref_point){write->keyspace, write->key},
                                  txn->ordinal))
                return true;
        }
        return false;
    }
    for (size_t i = 0; i < txn->point_count; i++) {
        if (ref_point_changed(ref, txn->points[i], txn->ordinal))
            return true;
    }
    for (size_t i = 0; i < txn->range_count; i++) {
        if (ref_range_changed(ref, &txn->ranges[i], txn->ordinal))
            return true;
    }
    return false;
}

static bool writes_to_dropped(const struct reference *ref, const struct ref_txn *txn)
{
    for (size_t i = 0; i < txn->writes.count; i++) {
        if (ref_is_dropped(ref, txn->writes.items[i].keyspace, REF_NOW))
            return true;
    }
    return false;
}

static bool commit(struct reference *ref, struct ref_txn *txn, struct line *out)
{
    const bool is_empty = txn->writes.count == 0;

    if (txn->state == TXN_NONE)
        return false;
    if (txn->state == TXN_FINISHED || has_iters(ref, txn)) {
        line_status(out, LSM_INVALID);
        return true;
    }
    if (!is_empty && conflicts(ref, txn)) {
        line_status(out, LSM_CONFLICT);
    } else if (writes_to_dropped(ref, txn)) {
        line_status(out, LSM_INVALID);
    } else {
        ref_commit(ref, &txn->writes);
        line_status(out, LSM_OK);
        line_text(out, " @");
        line_number(out, is_empty ? 0 : ref->ordinal);
    }
    ref_txn_end(txn, TXN_FINISHED);
    return true;
}

// Several commits that wait for the writer together: which of two reasons refuses one depends
// on when the writer gets to it.
static bool commit_async(struct reference *ref, const struct op *op, struct line *out)
{
    bool has_any = false;

    ref->taken = 0;
    for (uint32_t i = 0; i <= op->field[F_N] % REF_SLOTS; i++) {
        struct ref_txn *txn = &ref->txns[(op->field[F_SLOT] + i) % REF_SLOTS];

        if (txn->state != TXN_ACTIVE || has_iters(ref, txn))
            continue;
        has_any = true;
        ref->taken |= 1u << (txn - ref->txns);
        if (txn->writes.count > 0 && (conflicts(ref, txn) || writes_to_dropped(ref, txn))) {
            line_text(out, " refused");
        } else {
            ref_commit(ref, &txn->writes);
            line_text(out, " OK");
        }
        ref_txn_end(txn, TXN_FINISHED);
    }
    return has_any;
}

static bool end(struct reference *ref, struct ref_txn *txn, const struct op *op, struct line *out)
{
    lsm_status status = LSM_OK;

    if (txn->state == TXN_NONE)
        return false;
    if (op->kind == OP_TXN_FREE) {
        ref_txn_end(txn, TXN_NONE);
        txn->generation = ++ref->generations; // its iterators have lost it
    } else if (txn->state == TXN_FINISHED || has_iters(ref, txn)) {
        status = LSM_INVALID;
    } else {
        ref_txn_end(txn, TXN_FINISHED);
    }
    line_status(out, status);
    return true;
}

bool reference_apply_txn(struct reference *ref, const struct op *op, struct line *out)
{
    struct ref_txn *txn = txn_of(ref, op);

    switch (op->kind) {
    case OP_BEGIN:
        return begin(ref, txn, op, out);
    case OP_TXN_PUT:
    case OP_TXN_DELETE:
    case OP_TXN_PUT_IF_ABSENT:
    case OP_TXN_CHURN:
        return write_in(ref, txn, op, out);
    case OP_SAVEPOINT:
        if (txn->state == TXN_NONE || txn->savepoint_count == REF_SAVEPOINTS ||
            txn->savepoints_made == REF_MADE_MAX)
            return false;
        line_status(out, savepoint(txn));
        return true;
    case OP_ROLLBACK_TO:
    case OP_RELEASE:
        if (txn->state == TXN_NONE)
            return false;
        line_status(out, back_to(ref, txn, op));
        return true;
    case OP_COMMIT:
        return commit(ref, txn, out);
    case OP_COMMIT_ASYNC:
        return commit_async(ref, op, out);
    default:
        return end(ref, txn, op, out);
    }
}
