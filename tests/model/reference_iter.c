// The reference: iterators, and what a serializable transaction has seen through them.

#include "model/reference.h"

#include <stdlib.h>

// Of the transaction that the iterator reads in; NULL: in none, or it is gone.
static struct ref_txn *txn_of_iter(struct reference *ref, const struct ref_iter *it)
{
    if (it->txn < 0 || ref->txns[it->txn].generation != it->txn_generation)
        return NULL;
    return &ref->txns[it->txn];
}

static void set_lower(struct ref_iter *it, lsm_slice bound)
{
    if (it->has_lower && slice_compare(bound, it->lower) <= 0)
        return;
    it->has_lower = true;
    it->lower = bound;
}

static void set_upper(struct ref_iter *it, lsm_slice bound)
{
    if (it->has_upper && slice_compare(bound, it->upper) >= 0)
        return;
    it->has_upper = true;
    it->upper = bound;
}

static void set_prefix(struct reference *ref, struct ref_iter *it, lsm_slice prefix)
{
    CLEANUP(lsm_buf_free) lsm_buf successor = LSM_BUF_INIT;
    bool exists;

    set_lower(it, prefix);
    if (slice_prefix_successor(prefix, &exists, &successor) == LSM_OK && exists)
        set_upper(it, ref_keep(ref, slice_of_buf(&successor)));
}

// `place`, or what lies just behind it.
static lsm_slice bound_at(struct reference *ref, lsm_slice place, bool is_behind)
{
    CLEANUP(lsm_buf_free) lsm_buf behind = LSM_BUF_INIT;

    if (!is_behind)
        return place;
    if (buf_append(&behind, place.data, place.size) != LSM_OK ||
        buf_append_u8(&behind, 0) != LSM_OK)
        abort();
    return ref_keep(ref, slice_of_buf(&behind));
}

static void set_bounds(struct reference *ref, struct ref_iter *it, const struct op *op)
{
    if ((it->flags & FLAG_HAS_LOWER) != 0)
        set_lower(it, bound_at(ref, op_place(op->field[F_KEY]), it->flags & FLAG_LOWER_EXCL));
    if ((it->flags & FLAG_HAS_UPPER) != 0)
        set_upper(it, bound_at(ref, op_place(op->field[F_TO]), it->flags & FLAG_UPPER_INCL));
    if ((it->flags & FLAG_HAS_PREFIX) != 0)
        set_prefix(ref, it, op_place(op->field[F_PREFIX]));
}

static bool open_iter(struct reference *ref, struct ref_iter *it, const struct op *op,
                      struct line *out)
{
    const uint32_t keyspace = ref_handle(ref, op->field[F_KS]);
    const uint32_t from = op->field[F_FROM] % REF_SLOTS;
    struct ref_txn *txn = op->field[F_ON] == ON_TXN ? &ref->txns[from] : NULL;
    const struct ref_snapshot *snapshot =
        op->field[F_ON] == ON_SNAPSHOT ? &ref->snapshots[from] : NULL;
    uint64_t ordinal = ref->ordinal;

    if (it->state != ITER_NONE || keyspace == REF_NO_KEYSPACE || ref->armed > 0 ||
        (snapshot != NULL && !snapshot->is_open) || (txn != NULL && txn->state == TXN_NONE))
        return false;
    if (txn != NULL)
        ordinal = txn->ordinal;
    if (snapshot != NULL)
        ordinal = snapshot->ordinal;
    if ((txn != NULL && txn->state == TXN_FINISHED) || ref_is_dropped(ref, keyspace, ordinal) ||
        ((op->field[F_FLAGS] & FLAG_ALL_VERSIONS) != 0 &&
         op->field[F_N] % (ref->ordinal + 1) != 0)) {
        line_status(out, LSM_INVALID);
        return true;
    }
    *it = (struct ref_iter){.state = ITER_NEW,
                            .keyspace = keyspace,
                            .flags = op->field[F_FLAGS],
                            .oldest = ref_oldest(ref),
                            .now = ref_true_wall(ref),
                            .wall = ref_wall(ref),
                            .txn = txn == NULL ? -1 : (int)from,
                            .txn_generation = txn == NULL ? 0 : txn->generation,
                            .entries = it->entries};
    if (txn != NULL)
        it->wall = txn->wall;
    if (snapshot != NULL)
        it->wall = snapshot->wall;
    set_bounds(ref, it, op);
    ref_picture(ref, txn, ordinal, op->field[F_N] % (ref->ordinal + 1), it);
    line_status(out, LSM_OK);
    return true;
}

// --- what has been seen ---

static void seen_end(struct reference *ref, struct ref_iter *it)
{
    struct ref_txn *txn = txn_of_iter(ref, it);

    if (it->is_seen && it->has_low && txn != NULL)
        ref_note_range(txn, &it->seen);
    it->is_seen = false;
}

// A stretch that grows upward begins at `low`.
static void seen_start_at(struct reference *ref, struct ref_iter *it, lsm_slice low)
{
    seen_end(ref, it);
    it->is_seen = true;
    it->has_low = true;
    it->seen = (struct ref_range){
        .keyspace = it->keyspace, .low = low, .high = low, .excludes_high = true};
}

// One that grows downward begins on `from`, or below the upper bound, whichever is lower.
static void seen_start_down(struct reference *ref, struct ref_iter *it, const lsm_slice *from)
{
    seen_end(ref, it);
    it->is_seen = true;
    it->has_low = false;
    it->seen = (struct ref_range){.keyspace = it->keyspace};
    if (it->has_upper && (from == NULL || slice_compare(*from, it->upper) >= 0)) {
        it->seen.high = it->upper;
        it->seen.excludes_high = true;
    } else if (from != NULL) {
        it->seen.high = *from;
    } else {
        it->seen.is_open = true;
    }
}

static void seen_lower(struct ref_iter *it, lsm_slice to)
{
    const int order = it->seen.is_open ? -1 : slice_compare(to, it->seen.high);

    if (it->has_low ? slice_compare(to, it->seen.low) >= 0 : order > 0)
        return;
    it->has_low = true;
    it->seen.low = to;
}

static void seen_raise(struct ref_iter *it, lsm_slice to, bool excludes_it)
{
    const int order = slice_compare(to, it->seen.high);

    if (order < 0 || (order == 0 && excludes_it))
        return;
    it->seen.excludes_high = excludes_it;
    it->seen.high = to;
}

// The stretch goes as far as the iterator has come.
static void seen_extend(struct ref_iter *it, int direction)
{
    const bool is_at_end = it->state == ITER_AT_END;
    const lsm_slice end = it->has_lower ? it->lower : slice_make("", 0);

    if (direction < 0)
        seen_lower(it, is_at_end ? end : op_key(it->entries.items[it->at].key));
    else if (!is_at_end)
        seen_raise(it, op_key(it->entries.items[it->at].key), false);
    else if (it->has_upper)
        seen_raise(it, it->upper, true);
    else
        it->seen.is_open = true;
}

// --- moves ---

// The first entry at or behind `place`; the count of entries: none.
static size_t first_from(const struct ref_iter *it, lsm_slice place)
{
    size_t at = 0;

    while (at < it->entries.count && slice_compare(op_key(it->entries.items[at].key), place) < 0)
        at++;
    return at;
}

// The last entry at or before `place`; SIZE_MAX: none.
static size_t last_until(const struct ref_iter *it, lsm_slice place)
{
    size_t at = it->entries.count;

    while (at > 0 && slice_compare(op_key(it->entries.items[at - 1].key), place) > 0)
        at--;
    return at - 1;
}

static void tell(const struct ref_iter *it, struct line *out)
{
    const struct ref_write *write = &it->entries.items[it->at];
    const struct entry_words words = {.key = write->key,
                                      .ordinal = write->ordinal,
                                      .is_delete = write->is_delete,
                                      .user_byte = write->user_byte,
                                      .expiry = write->expiry,
                                      .size = write->value.size,
                                      .value =
                                          (it->flags & FLAG_KEYS_ONLY) != 0 ? NULL : &write->value};

    line_entry(out, &words);
}

// Settles on entry `at`, outside the entries at an end.
static lsm_status arrive(struct ref_iter *it, size_t at, int direction, struct line *out)
{
    it->at = at;
    it->state = at < it->entries.count ? ITER_ON_ENTRY : ITER_AT_END;
    if (it->is_seen)
        seen_extend(it, direction);
    line_text(out, " ");
    line_status(out, it->state == ITER_ON_ENTRY ? LSM_OK : LSM_NOT_FOUND);
    if (it->state != ITER_ON_ENTRY)
        return LSM_NOT_FOUND;
    tell(it, out);
    return LSM_OK;
}

static void step(struct ref_iter *it, uint32_t count, int direction, struct line *out)
{
    lsm_status status = LSM_OK;

    for (uint32_t i = 0; i < count && status == LSM_OK; i++) {
        if (it->state != ITER_ON_ENTRY) {
            line_text(out, " ");
            line_status(out, LSM_INVALID);
            return;
        }
        status = arrive(it, direction > 0 ? it->at + 1 : it->at - 1, direction, out);
    }
}

static void seek(struct reference *ref, struct ref_iter *it, const struct op *op, struct line *out)
{
    lsm_slice place = op_place(op->field[F_KEY]);

    if (op->kind == OP_ITER_SEEK) {
        if (it->has_lower && slice_compare(place, it->lower) < 0)
            place = it->lower;
        seen_start_at(ref, it, place);
        (void)arrive(it, first_from(it, place), 1, out);
    } else {
        seen_start_down(ref, it, &place);
        (void)arrive(it, last_until(it, place), -1, out);
    }
}

static void move(struct reference *ref, struct ref_iter *it, const struct op *op, struct line *out)
{
    switch (op->kind) {
    case OP_ITER_FIRST:
        seen_start_at(ref, it, it->has_lower ? it->lower : slice_make("", 0));
        (void)arrive(it, 0, 1, out);
        break;
    case OP_ITER_LAST:
        seen_start_down(ref, it, NULL);
        (void)arrive(it, it->entries.count - 1, -1, out);
        break;
    case OP_ITER_NEXT:
        step(it, op->field[F_N], 1, out);
        break;
    case OP_ITER_PREV:
        step(it, op->field[F_N], -1, out);
        break;
    default:
        seek(ref, it, op, out);
    }
}

bool reference_apply_iter(struct reference *ref, const struct op *op, struct line *out)
{
    struct ref_iter *it = &ref->iters[op->field[F_SLOT] % REF_SLOTS];

    if (op->kind == OP_ITER_OPEN)
        return open_iter(ref, it, op, out);
    if (it->state == ITER_NONE)
        return false;
    if (op->kind == OP_ITER_CLOSE) {
        seen_end(ref, it);
        it->state = ITER_NONE;
        line_status(out, LSM_OK);
    } else if (it->txn >= 0 && txn_of_iter(ref, it) == NULL) {
        line_text(out, " ");
        line_status(out, LSM_INVALID); // its transaction is gone
    } else {
        move(ref, it, op, out);
    }
    return true;
}
