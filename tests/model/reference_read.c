// The reference: reads of single keys, pins and snapshots; and which operation is whose.

#include "model/reference.h"

// Who reads, and when.
struct ref_reader {
    struct ref_txn *txn; // NULL: none
    uint64_t ordinal;
    uint64_t wall;
};

// False when there is no such reader.
static bool find_reader(struct reference *ref, const struct op *op, struct ref_reader *reader)
{
    const uint32_t slot = op->field[F_SLOT] % REF_SLOTS;

    *reader = (struct ref_reader){.ordinal = ref->ordinal, .wall = ref_wall(ref)};
    if (op->field[F_ON] == ON_SNAPSHOT) {
        reader->ordinal = ref->snapshots[slot].ordinal;
        reader->wall = ref->snapshots[slot].wall;
        return ref->snapshots[slot].is_open;
    }
    if (op->field[F_ON] == ON_TXN) {
        reader->txn = &ref->txns[slot];
        reader->ordinal = reader->txn->ordinal;
        reader->wall = reader->txn->wall;
        return reader->txn->state != TXN_NONE;
    }
    return true;
}

static lsm_status read(struct reference *ref, const struct ref_reader *reader, uint32_t keyspace,
                       uint32_t key, const struct ref_write **out)
{
    const struct ref_write *found = NULL;

    key %= OP_KEYS;
    if (reader->txn != NULL && reader->txn->state == TXN_FINISHED)
        return LSM_INVALID;
    if (reader->txn != NULL)
        found = ref_own(reader->txn, keyspace, key);
    if (found == NULL) {
        if (reader->txn != NULL)
            ref_note_point(reader->txn, (struct ref_point){keyspace, key});
        if (ref_is_dropped(ref, keyspace, reader->ordinal))
            return LSM_INVALID;
        found = ref_newest(ref, keyspace, key, reader->ordinal);
    }
    if (ref_is_absent(ref, found, reader->wall))
        return LSM_NOT_FOUND;
    *out = found;
    return LSM_OK;
}

static void tell(struct line *out, lsm_status status, const struct ref_write *found)
{
    line_status(out, status);
    if (status != LSM_OK || found == NULL)
        return;
    line_text(out, " ");
    line_value(out, found->value);
}

static void multi_get(struct reference *ref, const struct ref_reader *reader, uint32_t keyspace,
                      const struct op *op, struct line *out)
{
    struct line each = {0};
    lsm_status worst = LSM_OK;

    for (uint32_t i = 0; i < op->field[F_N]; i++) {
        const struct ref_write *found = NULL;
        lsm_status status =
            read(ref, reader, keyspace, op->field[F_KEY] + i * op->field[F_STAMP], &found);

        if (status != LSM_OK && status != LSM_NOT_FOUND)
            worst = status;
        line_text(&each, " ");
        tell(&each, status, found);
    }
    if (op->field[F_N] == 0 && reader->txn == NULL && ref_is_dropped(ref, keyspace, REF_NOW))
        worst = LSM_INVALID;
    if (reader->txn != NULL && reader->txn->state == TXN_FINISHED)
        worst = LSM_INVALID;
    line_status(out, worst);
    if (worst == LSM_OK)
        line_append(out, &each);
    line_release(&each);
}

static bool pin(struct reference *ref, const struct op *op, uint32_t keyspace, struct line *out)
{
    struct ref_pin *slot = &ref->pins[op->field[F_SLOT] % REF_SLOTS];
    const struct ref_reader now = {.ordinal = ref->ordinal, .wall = ref_wall(ref)};
    const struct ref_write *found = NULL;
    lsm_status status;

    if (slot->is_open || ref->armed > 0)
        return false;
    status = read(ref, &now, keyspace, op->field[F_KEY], &found);
    if (status == LSM_OK)
        *slot = (struct ref_pin){.is_open = true, .value = found->value};
    tell(out, status, found);
    return true;
}

static bool unpin(struct reference *ref, const struct op *op, struct line *out)
{
    struct ref_pin *slot = &ref->pins[op->field[F_SLOT] % REF_SLOTS];

    if (!slot->is_open)
        return false;
    line_value(out, slot->value);
    slot->is_open = false;
    return true;
}

static bool turn_snapshot(struct reference *ref, const struct op *op, struct line *out)
{
    struct ref_snapshot *snapshot = &ref->snapshots[op->field[F_SLOT] % REF_SLOTS];
    const bool is_opened = op->kind == OP_SNAPSHOT;

    if (snapshot->is_open == is_opened || (is_opened && ref->armed > 0))
        return false;
    *snapshot =
        (struct ref_snapshot){.is_open = is_opened, .ordinal = ref->ordinal, .wall = ref_wall(ref)};
    line_status(out, LSM_OK);
    if (is_opened) {
        line_text(out, " @");
        line_number(out, ref->ordinal);
    }
    return true;
}

bool reference_apply_read(struct reference *ref, const struct op *op, struct line *out)
{
    const uint32_t keyspace = ref_handle(ref, op->field[F_KS]);
    const struct ref_write *found = NULL;
    struct ref_reader reader;
    lsm_status status;

    if (op->kind == OP_SNAPSHOT || op->kind == OP_SNAPSHOT_FREE)
        return turn_snapshot(ref, op, out);
    if (op->kind == OP_UNPIN)
        return unpin(ref, op, out);
    if (keyspace == REF_NO_KEYSPACE)
        return false;
    if (op->kind == OP_PIN)
        return pin(ref, op, keyspace, out);
    if (!find_reader(ref, op, &reader))
        return false;
    if (op->kind == OP_MULTI_GET) {
        if (op->field[F_ON] == ON_SNAPSHOT)
            return false; // there is no such function
        multi_get(ref, &reader, keyspace, op, out);
        return true;
    }
    status = read(ref, &reader, keyspace, op->field[F_KEY], &found);
    tell(out, status, op->kind == OP_EXISTS ? NULL : found);
    return true;
}

// --- every operation ---

bool reference_apply(struct reference *ref, const struct op *op, struct line *expected)
{
    const bool was_armed = ref->armed > 0;
    bool is_applied;

    if (op->kind == OP_OPTION)
        return false;
    if (op->kind <= OP_BATCH_WRITE)
        is_applied = reference_apply_write(ref, op, expected);
    else if (op->kind <= OP_TXN_FREE)
        is_applied = reference_apply_txn(ref, op, expected);
    else if (op->kind <= OP_SNAPSHOT_FREE)
        is_applied = reference_apply_read(ref, op, expected);
    else if (op->kind <= OP_ITER_CLOSE)
        is_applied = reference_apply_iter(ref, op, expected);
    else
        is_applied = reference_apply_upkeep(ref, op, expected);
    if (was_armed)
        ref->armed--;
    return is_applied;
}
