// The engine: transactions and iterators.

#include "model/subject.h"

// --- transactions ---

static lsm_status put_in(struct subject *s, lsm_txn *txn, const struct op *op)
{
    lsm_keyspace *keyspace = subject_keyspace(s, op);
    const lsm_slice key = op_key(op->field[F_KEY]);
    uint8_t bytes[OP_VALUE_MAX];
    const lsm_slice value = op_value(op->field[F_STAMP], op->field[F_SIZE], bytes);

    if (op->kind == OP_TXN_DELETE)
        return lsm_txn_delete(txn, keyspace, key);
    if (op->kind == OP_TXN_PUT_IF_ABSENT)
        return lsm_txn_put_if_absent(txn, keyspace, key, value);
    if (op->field[F_UNTIL] == 0 && op->field[F_BYTE] == 0)
        return lsm_txn_put(txn, keyspace, key, value);
    return lsm_txn_put_entry(txn, keyspace, key, value, subject_write_options(op).expiry_seconds,
                             (uint8_t)op->field[F_BYTE]);
}

// Writes a key again and again, or writes it and rolls back. What a transaction may hold would
// not hold all of that.
static lsm_status churn(struct subject *s, lsm_txn *txn, const struct op *op)
{
    struct op one = *op;
    uint64_t id;

    for (uint32_t i = 0; i < op->field[F_N]; i++, one.field[F_STAMP]++) {
        if ((op->field[F_FLAGS] & FLAG_REWRITE) != 0) {
            TRY(put_in(s, txn, &one));
            continue;
        }
        TRY(lsm_txn_savepoint(txn, &id));
        TRY(put_in(s, txn, &one));
        TRY(lsm_txn_rollback_to(txn, id));
        TRY(lsm_txn_release(txn, id));
    }
    return LSM_OK;
}

static void begin(struct subject *s, struct subject_txn *txn, const struct op *op, struct line *out)
{
    const lsm_status status = lsm_begin(s->db, (lsm_txn_mode)(op->field[F_N] % 3), &txn->txn);

    txn->savepoint_count = 0;
    line_status(out, status);
    if (status != LSM_OK)
        return;
    line_text(out, " @");
    line_number(out, subject_read_ordinal(s, lsm_txn_read_ts(txn->txn)));
}

static lsm_status savepoint(struct subject_txn *txn)
{
    uint64_t id;

    TRY(lsm_txn_savepoint(txn->txn, &id));
    txn->savepoints[++txn->savepoint_count] = id;
    return LSM_OK;
}

static lsm_status back_to(struct subject *s, const struct reference *ref, struct subject_txn *txn,
                          const struct op *op)
{
    const uint32_t n = op->field[F_N];
    const uint64_t id = n == 0 || n > txn->savepoint_count ? UINT64_MAX : txn->savepoints[n];

    for (size_t i = 0; i < REF_SLOTS; i++) {
        if (s->iters[i].it != NULL && ref->iters[i].state == ITER_NONE) {
            lsm_iter_close(s->iters[i].it);
            s->iters[i].it = NULL;
        }
    }
    return op->kind == OP_ROLLBACK_TO ? lsm_txn_rollback_to(txn->txn, id)
                                      : lsm_txn_release(txn->txn, id);
}

static void commit(struct subject *s, struct subject_txn *txn, const struct op *op,
                   struct line *out)
{
    const lsm_write_options options = subject_write_options(op);
    const lsm_status status = lsm_commit(txn->txn, &options);
    const uint64_t ts = lsm_txn_commit_ts(txn->txn);

    line_status(out, status);
    if (status != LSM_OK)
        return;
    if (ts != 0)
        subject_note_ts(s, s->ts_count, ts);
    line_text(out, " @");
    line_number(out, ts == 0 ? 0 : s->ts_count - 1);
}

// --- commits that wait for the writer together ---

struct async_result {
    bool is_done;
    lsm_status status;
    uint64_t ts;
};

static void note_commit(void *ctx, lsm_status status, uint64_t commit_ts)
{
    *(struct async_result *)ctx = (struct async_result){true, status, commit_ts};
}

static bool all_done(const struct async_result *results, uint32_t taken)
{
    for (uint32_t i = 0; i < REF_SLOTS; i++) {
        if ((taken & 1u << i) != 0 && !results[i].is_done)
            return false;
    }
    return true;
}

static void commit_async(struct subject *s, const struct reference *ref, const struct op *op,
                         struct line *out)
{
    const lsm_write_options options = subject_write_options(op);
    struct async_result results[REF_SLOTS] = {{0}};
    const uint32_t count = op->field[F_N] % REF_SLOTS + 1;

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t slot = (op->field[F_SLOT] + i) % REF_SLOTS;
        lsm_status status;

        if ((ref->taken & 1u << slot) == 0)
            continue;
        status = lsm_commit_async(s->txns[slot].txn, &options, note_commit, &results[slot]);
        if (status != LSM_OK)
            results[slot] = (struct async_result){true, status, 0};
    }
    while (!all_done(results, ref->taken)) {
        if (!scheduler_run_one(s->db->scheduler)) {
            line_text(out, " nobody finishes the commits");
            return;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t slot = (op->field[F_SLOT] + i) % REF_SLOTS;

        if ((ref->taken & 1u << slot) == 0)
            continue;
        if (results[slot].ts != 0)
            subject_note_ts(s, s->ts_count, results[slot].ts);
        line_text(out, results[slot].status == LSM_CONFLICT || results[slot].status == LSM_INVALID
                           ? " refused"
                           : " ");
        if (results[slot].status != LSM_CONFLICT && results[slot].status != LSM_INVALID)
            line_status(out, results[slot].status);
    }
}

void subject_apply_txn(struct subject *s, const struct reference *ref, const struct op *op,
                       struct line *out)
{
    struct subject_txn *txn = &s->txns[op->field[F_SLOT] % REF_SLOTS];

    switch (op->kind) {
    case OP_BEGIN:
        begin(s, txn, op, out);
        break;
    case OP_TXN_PUT:
    case OP_TXN_DELETE:
    case OP_TXN_PUT_IF_ABSENT:
        line_status(out, put_in(s, txn->txn, op));
        break;
    case OP_TXN_CHURN:
        line_status(out, churn(s, txn->txn, op));
        break;
    case OP_SAVEPOINT:
        line_status(out, savepoint(txn));
        break;
    case OP_ROLLBACK_TO:
    case OP_RELEASE:
        line_status(out, back_to(s, ref, txn, op));
        break;
    case OP_COMMIT:
        commit(s, txn, op, out);
        break;
    case OP_COMMIT_ASYNC:
        commit_async(s, ref, op, out);
        break;
    case OP_ROLLBACK:
        line_status(out, lsm_rollback(txn->txn));
        break;
    default:
        lsm_txn_free(txn->txn);
        txn->txn = NULL;
        line_status(out, LSM_OK);
    }
}

// --- iterators ---

static void open_iter(struct subject *s, const struct reference *ref, struct subject_iter *it,
                      const struct op *op, struct line *out)
{
    const uint32_t flags = op->field[F_FLAGS];
    const uint32_t from = op->field[F_FROM] % REF_SLOTS;
    const lsm_slice lower = op_place(op->field[F_KEY]);
    const lsm_slice upper = op_place(op->field[F_TO]);
    const lsm_slice prefix = op_place(op->field[F_PREFIX]);
    const lsm_iter_options options = {
        .lower = (flags & FLAG_HAS_LOWER) != 0 ? &lower : NULL,
        .upper = (flags & FLAG_HAS_UPPER) != 0 ? &upper : NULL,
        .prefix = (flags & FLAG_HAS_PREFIX) != 0 ? &prefix : NULL,
        .keys_only = (flags & FLAG_KEYS_ONLY) != 0,
        .all_versions = (flags & FLAG_ALL_VERSIONS) != 0,
        .since_ts = s->ts[op->field[F_N] % (ref->ordinal + 1)],
        .prefetch = op->field[F_SIZE] % 8,
        .no_fill_cache = (flags & FLAG_NO_FILL) != 0,
        .lower_exclusive = (flags & FLAG_HAS_LOWER) != 0 && (flags & FLAG_LOWER_EXCL) != 0,
        .upper_inclusive = (flags & FLAG_HAS_UPPER) != 0 && (flags & FLAG_UPPER_INCL) != 0,
    };
    lsm_keyspace *keyspace = subject_keyspace(s, op);
    lsm_status status;

    if (op->field[F_ON] == ON_TXN)
        status = lsm_txn_iter_open(s->txns[from].txn, keyspace, &options, &it->it);
    else if (op->field[F_ON] == ON_SNAPSHOT)
        status = lsm_snapshot_iter_open(s->snapshots[from], keyspace, &options, &it->it);
    else
        status = lsm_iter_open(s->db, keyspace, &options, &it->it);
    it->flags = flags;
    line_status(out, status);
}

// Whether the entry is a version that need not be there any more, or one that a crash has left
// although its commit was made again.
static bool may_be_gone(const struct subject *s, const struct reference *ref,
                        const struct ref_iter *expected, lsm_iter *it)
{
    const uint64_t ts = lsm_iter_ts(it);
    const uint64_t ordinal = subject_ordinal(s, ts);
    const uint32_t key = op_key_number(lsm_iter_key(it));
    const struct ref_write *write;

    if ((expected->flags & FLAG_ALL_VERSIONS) == 0 || ordinal == REF_OWN || key == OP_KEYS)
        return false;
    write = ref_newest(ref, expected->keyspace, key, ordinal);
    if (write == NULL || write->ordinal != ordinal || s->ts[ordinal] != ts)
        return ts <= s->recovered_ts;
    return !ref_must_stay(ref, write, expected->oldest, expected->now);
}

static void tell(const struct subject *s, const struct subject_iter *it, struct line *out)
{
    lsm_slice value = slice_make("", 0);
    const bool is_deleted = lsm_iter_is_deleted(it->it);
    const bool is_keys_only = (it->flags & FLAG_KEYS_ONLY) != 0;
    const struct entry_words words = {
        .key = op_key_number(lsm_iter_key(it->it)),
        .ordinal = subject_ordinal(s, lsm_iter_ts(it->it)),
        .is_delete = is_deleted,
        .user_byte = lsm_iter_user_byte(it->it),
        .expiry = lsm_iter_expiry(it->it),
        .size = lsm_iter_value_size(it->it),
        .value = is_keys_only ? NULL : &value,
    };

    if (!is_deleted && (lsm_iter_value(it->it, &value) == LSM_OK) == is_keys_only)
        line_text(out, is_keys_only ? " a value without being asked" : lsm_errmsg());
    else if (!is_keys_only && !is_deleted && value.size != words.size)
        line_text(out, " another size than told");
    line_entry(out, &words);
}

// One move, past versions that need not be there.
static lsm_status move(struct subject *s, const struct reference *ref, const struct op *op,
                       struct subject_iter *it, struct line *out)
{
    const struct ref_iter *expected = &ref->iters[it - s->iters];
    const lsm_slice place = op_place(op->field[F_KEY]);
    bool is_forward = false;
    lsm_status status;

    switch (op->kind) {
    case OP_ITER_FIRST:
        status = lsm_iter_first(it->it);
        is_forward = true;
        break;
    case OP_ITER_LAST:
        status = lsm_iter_last(it->it);
        break;
    case OP_ITER_SEEK:
        status = lsm_iter_seek(it->it, place);
        is_forward = true;
        break;
    case OP_ITER_SEEK_FOR_PREV:
        status = lsm_iter_seek_for_prev(it->it, place);
        break;
    default:
        is_forward = op->kind == OP_ITER_NEXT;
        status = is_forward ? lsm_iter_next(it->it) : lsm_iter_prev(it->it);
    }
    while (status == LSM_OK && may_be_gone(s, ref, expected, it->it))
        status = is_forward ? lsm_iter_next(it->it) : lsm_iter_prev(it->it);
    line_text(out, " ");
    line_status(out, status);
    if (status == LSM_OK)
        tell(s, it, out);
    else if (lsm_iter_key(it->it).size != 0 && status == LSM_NOT_FOUND)
        line_text(out, " a key behind the end");
    return status;
}

void subject_apply_iter(struct subject *s, const struct reference *ref, const struct op *op,
                        struct line *out)
{
    struct subject_iter *it = &s->iters[op->field[F_SLOT] % REF_SLOTS];
    const bool is_stepping = op->kind == OP_ITER_NEXT || op->kind == OP_ITER_PREV;
    lsm_status status = LSM_OK;

    switch (op->kind) {
    case OP_ITER_OPEN:
        open_iter(s, ref, it, op, out);
        break;
    case OP_ITER_CLOSE:
        lsm_iter_close(it->it);
        it->it = NULL;
        line_status(out, LSM_OK);
        break;
    default:
        for (uint32_t i = 0; i < (is_stepping ? op->field[F_N] : 1) && status == LSM_OK; i++)
            status = move(s, ref, op, it, out);
    }
}
