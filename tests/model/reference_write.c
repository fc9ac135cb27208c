// The reference: writes that are a commit each, and batches.

#include <stdlib.h>

#include "base/coding.h"
#include "model/reference.h"

#define APPENDED_MAX (OP_VALUE_MAX * 16) // what appending again and again may come to

// A put as `op` describes it.
static struct ref_write new_put(struct reference *ref, uint32_t keyspace, const struct op *op)
{
    uint8_t bytes[OP_VALUE_MAX];

    return (struct ref_write){
        .keyspace = keyspace,
        .key = op->field[F_KEY] % OP_KEYS,
        .user_byte = (uint8_t)op->field[F_BYTE],
        .expiry = ref_expiry(ref, keyspace, op),
        .value = ref_keep(ref, op_value(op->field[F_STAMP], op->field[F_SIZE], bytes))};
}

// A write that goes on from `old`, whose expiry and user byte stay but for what `op` says.
static struct ref_write new_put_on(struct reference *ref, uint32_t keyspace, const struct op *op,
                                   const struct ref_write *old)
{
    struct ref_write write = new_put(ref, keyspace, op);

    if (ref_is_absent(ref, old, ref_wall(ref)))
        return write;
    if (op->field[F_TTL] == 0 && op->field[F_UNTIL] == 0)
        write.expiry = old->expiry;
    if (op->field[F_BYTE] == 0 && (op->field[F_FLAGS] & FLAG_CLEAR_BYTE) == 0)
        write.user_byte = old->user_byte;
    return write;
}

static struct ref_write new_delete(uint32_t keyspace, uint32_t key)
{
    return (struct ref_write){.keyspace = keyspace, .key = key % OP_KEYS, .is_delete = true};
}

static void commit_one(struct reference *ref, struct ref_write write)
{
    const struct ref_writes writes = {.items = &write, .count = 1};

    ref_commit(ref, &writes);
}

static lsm_status cas(struct reference *ref, struct ref_write write, const struct op *op,
                      bool is_there)
{
    if ((op->field[F_N] % 3 == 0 && is_there) || op->field[F_N] % 3 == 2)
        return LSM_CONFLICT;
    if ((op->field[F_FLAGS] & FLAG_NO_DESIRED) != 0)
        commit_one(ref, new_delete(write.keyspace, write.key));
    else
        commit_one(ref, write);
    return LSM_OK;
}

static lsm_status add(struct reference *ref, struct ref_write write, lsm_slice old,
                      const struct op *op, struct line *out)
{
    uint8_t bytes[sizeof(int64_t)];
    int64_t sum = old.size == 0 ? 0 : (int64_t)get_u64(old.data);

    if (__builtin_add_overflow(sum, (int64_t)(int32_t)op->field[F_N], &sum))
        return LSM_INVALID;
    put_u64(bytes, (uint64_t)sum);
    write.value = ref_keep(ref, slice_make(bytes, sizeof bytes));
    commit_one(ref, write);
    line_number(out, (uint64_t)sum);
    line_text(out, " ");
    return LSM_OK;
}

static void append(struct reference *ref, struct ref_write write, lsm_slice old)
{
    uint8_t bytes[APPENDED_MAX];

    if (old.size + write.value.size > sizeof bytes)
        abort();
    memcpy(bytes, old.data, old.size);
    memcpy(bytes + old.size, write.value.data, write.value.size);
    write.value = ref_keep(ref, slice_make(bytes, old.size + write.value.size));
    commit_one(ref, write);
}

// Writes that depend on what is there, or not.
static lsm_status write_one(struct reference *ref, uint32_t keyspace, const struct op *op,
                            struct line *out)
{
    const struct ref_write *old = ref_newest(ref, keyspace, op->field[F_KEY] % OP_KEYS, REF_NOW);
    const bool is_there = !ref_is_absent(ref, old, ref_wall(ref));
    const lsm_slice value = is_there ? old->value : slice_make("", 0);

    if (ref_is_dropped(ref, keyspace, REF_NOW))
        return LSM_INVALID;
    switch (op->kind) {
    case OP_PUT:
        commit_one(ref, new_put(ref, keyspace, op));
        return LSM_OK;
    case OP_DELETE:
        commit_one(ref, new_delete(keyspace, op->field[F_KEY]));
        return LSM_OK;
    case OP_PUT_IF_ABSENT:
        if (is_there)
            return LSM_CONFLICT;
        commit_one(ref, new_put(ref, keyspace, op));
        return LSM_OK;
    case OP_CAS:
        return cas(ref, new_put_on(ref, keyspace, op, old), op, is_there);
    case OP_ADD:
        if (is_there && value.size != sizeof(int64_t))
            return LSM_INVALID;
        return add(ref, new_put_on(ref, keyspace, op, old), value, op, out);
    default:
        append(ref, new_put_on(ref, keyspace, op, old), value);
        return LSM_OK;
    }
}

// The n-th write of a `batch`: every other one goes to the default keyspace, and every third
// is a deletion.
static void batch_member(struct reference *ref, uint32_t keyspace, const struct op *op, uint32_t n,
                         struct ref_writes *writes)
{
    struct op member = *op;
    struct ref_write write;

    member.field[F_KEY] += 7 * n;
    member.field[F_STAMP] += n;
    if (n % 2 == 1)
        keyspace = 0;
    write =
        n % 3 == 2 ? new_delete(keyspace, member.field[F_KEY]) : new_put(ref, keyspace, &member);
    ref_writes_add(writes, &write);
}

static lsm_status batch(struct reference *ref, uint32_t keyspace, const struct op *op)
{
    struct ref_writes writes = {0};

    if (op->field[F_N] > 0 && ref_is_dropped(ref, keyspace, REF_NOW))
        return LSM_INVALID;
    for (uint32_t i = 0; i < op->field[F_N]; i++)
        batch_member(ref, keyspace, op, i, &writes);
    ref_commit(ref, &writes);
    free(writes.items);
    return LSM_OK;
}

static lsm_status update(struct reference *ref, uint32_t keyspace, const struct op *op)
{
    struct ref_writes writes = {0};

    if (ref_is_dropped(ref, keyspace, REF_NOW))
        return LSM_INVALID;
    if (op->field[F_FLAGS] % 3 == 1)
        return LSM_NOT_FOUND; // what the function returns
    for (uint32_t i = 0; i < op->field[F_N]; i++) {
        struct op member = *op;
        struct ref_write write;

        member.field[F_TTL] = 0; // transactions know absolute expiry only
        member.field[F_KEY] += 5 * i;
        member.field[F_STAMP] += i;
        write = new_put(ref, keyspace, &member);
        ref_writes_add(&writes, &write);
    }
    ref_commit(ref, &writes);
    free(writes.items);
    return LSM_OK;
}

// --- batches that are kept ---

static lsm_status batch_write(struct reference *ref, struct ref_batch *batch, const struct op *op)
{
    struct ref_writes writes = {0};

    for (size_t i = 0; i < batch->writes.count; i++) {
        struct ref_write write = batch->writes.items[i];

        if (ref_is_dropped(ref, write.keyspace, REF_NOW)) {
            free(writes.items);
            return LSM_INVALID;
        }
        if (!write.is_delete) {
            write.user_byte = (uint8_t)op->field[F_BYTE];
            write.expiry = ref_expiry(ref, write.keyspace, op);
        }
        ref_writes_add(&writes, &write);
    }
    ref_commit(ref, &writes);
    free(writes.items);
    return LSM_OK;
}

static bool apply_batch(struct reference *ref, const struct op *op, struct line *out)
{
    struct ref_batch *batch = &ref->batches[op->field[F_SLOT] % REF_BATCHES];
    const uint32_t keyspace = ref_handle(ref, op->field[F_KS]);
    struct ref_write write;

    if (ref->armed > 0) // it would have to outlive the crash
        return false;
    switch (op->kind) {
    case OP_BATCH_PUT:
    case OP_BATCH_DELETE:
        if (keyspace == REF_NO_KEYSPACE)
            return false;
        write = op->kind == OP_BATCH_PUT ? new_put(ref, keyspace, op)
                                         : new_delete(keyspace, op->field[F_KEY]);
        ref_writes_add(&batch->writes, &write);
        batch->added++;
        break;
    case OP_BATCH_CLEAR:
        batch->writes.count = 0;
        batch->added = 0;
        break;
    default:
        line_status(out, batch_write(ref, batch, op));
        return true;
    }
    line_number(out, batch->added);
    return true;
}

bool reference_apply_write(struct reference *ref, const struct op *op, struct line *out)
{
    const uint32_t keyspace = ref_handle(ref, op->field[F_KS]);
    lsm_status status;

    if (op->kind >= OP_BATCH_PUT)
        return apply_batch(ref, op, out);
    if (keyspace == REF_NO_KEYSPACE)
        return false;
    if (op->kind == OP_BATCH)
        status = batch(ref, keyspace, op);
    else if (op->kind == OP_UPDATE)
        status = update(ref, keyspace, op);
    else
        status = write_one(ref, keyspace, op, out);
    line_status(out, status);
    return true;
}
