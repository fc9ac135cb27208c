#include "model/reference.h"

#include <stdlib.h>

#include "base/hash.h"

#define CHUNK_SIZE ((size_t)256 << 10)

void reference_init(struct reference *ref, enum ref_mistake mistake)
{
    *ref = (struct reference){.mistake = mistake};
    for (uint32_t i = 0; i < OP_KEYSPACES; i++)
        ref->handles[i] = REF_NO_KEYSPACE;
    ref->handles[0] = ref_create(ref, 0);
}

static void txn_release(struct ref_txn *txn)
{
    free(txn->writes.items);
    free(txn->points);
    free(txn->ranges);
}

void reference_release(struct reference *ref)
{
    for (uint32_t i = 0; i < ref->keyspace_count; i++) {
        for (uint32_t key = 0; key < OP_KEYS; key++)
            free(ref->keyspaces[i]->keys[key].items);
        free(ref->keyspaces[i]);
    }
    for (size_t i = 0; i < REF_SLOTS; i++) {
        txn_release(&ref->txns[i]);
        free(ref->iters[i].entries.items);
    }
    for (size_t i = 0; i < REF_BATCHES; i++)
        free(ref->batches[i].writes.items);
    for (size_t i = 0; i < ref->chunk_count; i++)
        free(ref->chunks[i]);
    free(ref->chunks);
    free(ref->writes.items);
}

// --- memory ---

// Grows an array for one more item.
static void *grown(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity * 2 + 8;
    items = realloc(items, *capacity * size);
    if (items == NULL)
        abort();
    return items;
}

lsm_slice ref_keep(struct reference *ref, lsm_slice bytes)
{
    uint8_t *to;

    if (bytes.size > CHUNK_SIZE)
        abort();
    if (ref->chunk_count == 0 || ref->chunk_used + bytes.size > CHUNK_SIZE) {
        ref->chunks = realloc(ref->chunks, (ref->chunk_count + 1) * sizeof *ref->chunks);
        if (ref->chunks == NULL)
            abort();
        ref->chunks[ref->chunk_count++] = malloc(CHUNK_SIZE);
        ref->chunk_used = 0;
    }
    to = ref->chunks[ref->chunk_count - 1] + ref->chunk_used;
    if (bytes.size > 0)
        memcpy(to, bytes.data, bytes.size);
    ref->chunk_used += bytes.size;
    return slice_make(to, bytes.size);
}

void ref_writes_add(struct ref_writes *writes, const struct ref_write *write)
{
    writes->items = grown(writes->items, writes->count, &writes->capacity, sizeof *writes->items);
    writes->items[writes->count++] = *write;
}

// --- keyspaces ---

uint32_t ref_handle(const struct reference *ref, uint32_t ks)
{
    return ref->handles[ks % OP_KEYSPACES];
}

uint32_t ref_keyspace_by_name(const struct reference *ref, uint32_t name)
{
    for (uint32_t i = ref->keyspace_count; i-- > 0;) {
        if (ref->keyspaces[i]->name == name && ref->keyspaces[i]->dropped == 0)
            return i;
    }
    return REF_NO_KEYSPACE;
}

// The mistake: the versions of the last one of that name come back.
static void resurrect(struct reference *ref, uint32_t keyspace)
{
    const uint32_t name = ref->keyspaces[keyspace]->name;

    for (uint32_t i = keyspace; i-- > 0;) {
        if (ref->keyspaces[i]->name != name)
            continue;
        memcpy(ref->keyspaces[keyspace]->keys, ref->keyspaces[i]->keys,
               sizeof ref->keyspaces[i]->keys);
        memset(ref->keyspaces[i]->keys, 0, sizeof ref->keyspaces[i]->keys);
        return;
    }
}

uint32_t ref_create(struct reference *ref, uint32_t name)
{
    struct ref_keyspace *keyspace = calloc(1, sizeof *keyspace);

    if (keyspace == NULL || ref->keyspace_count == REF_KEYSPACES)
        abort();
    keyspace->name = name;
    keyspace->threshold = LSM_INHERIT;
    keyspace->versions_to_keep = LSM_INHERIT;
    ref->keyspaces[ref->keyspace_count] = keyspace;
    if (ref->mistake == REF_DROP_KEEPS)
        resurrect(ref, ref->keyspace_count);
    return ref->keyspace_count++;
}

bool ref_is_dropped(const struct reference *ref, uint32_t keyspace, uint64_t ordinal)
{
    const uint64_t dropped = ref->keyspaces[keyspace]->dropped;

    return dropped != 0 && dropped <= ordinal;
}

void ref_reopen_handles(struct reference *ref)
{
    for (uint32_t i = 1; i < OP_KEYSPACES; i++)
        ref->handles[i] = ref_keyspace_by_name(ref, i);
}

// --- versions ---

const struct ref_write *ref_newest(const struct reference *ref, uint32_t keyspace, uint32_t key,
                                   uint64_t ordinal)
{
    const struct ref_versions *versions = &ref->keyspaces[keyspace]->keys[key];

    for (uint32_t i = versions->count; i-- > 0;) {
        const struct ref_write *write = &ref->writes.items[versions->items[i]];

        if (write->ordinal <= ordinal)
            return write;
    }
    return NULL;
}

const struct ref_write *ref_successor(const struct reference *ref, const struct ref_write *write)
{
    const struct ref_versions *versions = &ref->keyspaces[write->keyspace]->keys[write->key];
    const struct ref_write *next = NULL;

    for (uint32_t i = versions->count; i-- > 0;) {
        const struct ref_write *other = &ref->writes.items[versions->items[i]];

        if (other->ordinal <= write->ordinal)
            return next;
        next = other;
    }
    return next;
}

bool ref_is_absent(const struct reference *ref, const struct ref_write *write, uint64_t wall)
{
    if (write == NULL || write->is_delete)
        return true;
    return ref->mistake != REF_EXPIRY_STAYS && write->expiry != 0 && write->expiry <= wall;
}

bool ref_must_stay(const struct reference *ref, const struct ref_write *write, uint64_t oldest,
                   uint64_t wall)
{
    const struct ref_write *next = ref_successor(ref, write);

    if (write->ordinal > oldest)
        return true;
    return (next == NULL || next->ordinal > oldest) && !write->is_delete &&
           (write->expiry == 0 || write->expiry > wall);
}

uint64_t ref_oldest(const struct reference *ref)
{
    uint64_t oldest = ref->ordinal;

    for (size_t i = 0; i < REF_SLOTS; i++) {
        if (ref->snapshots[i].is_open && ref->snapshots[i].ordinal < oldest)
            oldest = ref->snapshots[i].ordinal;
        if (ref->txns[i].state == TXN_ACTIVE && ref->txns[i].ordinal < oldest)
            oldest = ref->txns[i].ordinal;
    }
    return oldest;
}

bool ref_has_children(const struct reference *ref)
{
    for (size_t i = 0; i < REF_SLOTS; i++) {
        if (ref->snapshots[i].is_open || ref->txns[i].state == TXN_ACTIVE ||
            ref->iters[i].state != ITER_NONE || ref->pins[i].is_open)
            return true;
    }
    return false;
}

// --- commits ---

static bool is_last_of_key(const struct ref_writes *writes, size_t index)
{
    const struct ref_write *write = &writes->items[index];

    for (size_t i = index + 1; i < writes->count; i++) {
        if (writes->items[i].key == write->key && writes->items[i].keyspace == write->keyspace)
            return false;
    }
    return true;
}

void ref_commit(struct reference *ref, const struct ref_writes *writes)
{
    if (writes->count == 0)
        return;
    ref->ordinal++;
    for (size_t i = 0; i < writes->count; i++) {
        struct ref_write write = writes->items[i];
        struct ref_versions *versions = &ref->keyspaces[write.keyspace]->keys[write.key];
        size_t capacity = versions->capacity;

        if (!is_last_of_key(writes, i))
            continue;
        write.ordinal = ref->ordinal;
        versions->items =
            grown(versions->items, versions->count, &capacity, sizeof *versions->items);
        versions->capacity = (uint32_t)capacity;
        versions->items[versions->count++] = (uint32_t)ref->writes.count;
        ref_writes_add(&ref->writes, &write);
    }
}

bool ref_point_changed(const struct reference *ref, struct ref_point point, uint64_t ordinal)
{
    const struct ref_write *newest = ref_newest(ref, point.keyspace, point.key, REF_NOW);

    return newest != NULL && newest->ordinal > ordinal;
}

static bool is_in_range(const struct ref_range *range, uint32_t keyspace, lsm_slice key)
{
    const int order = range->is_open ? -1 : slice_compare(key, range->high);

    return keyspace == range->keyspace && slice_compare(key, range->low) >= 0 &&
           (order < 0 || (order == 0 && !range->excludes_high));
}

bool ref_range_changed(const struct reference *ref, const struct ref_range *range, uint64_t ordinal)
{
    if (ref->mistake == REF_PHANTOMS)
        return false;
    for (size_t i = ref->writes.count; i-- > 0 && ref->writes.items[i].ordinal > ordinal;) {
        const struct ref_write *write = &ref->writes.items[i];

        if (is_in_range(range, write->keyspace, op_key(write->key)))
            return true;
    }
    return false;
}

// --- transactions ---

const struct ref_write *ref_own(const struct ref_txn *txn, uint32_t keyspace, uint32_t key)
{
    for (size_t i = txn->writes.count; i-- > 0;) {
        const struct ref_write *write = &txn->writes.items[i];

        if (write->keyspace == keyspace && write->key == key)
            return write;
    }
    return NULL;
}

void ref_txn_end(struct ref_txn *txn, enum ref_txn_state state)
{
    txn->state = state;
    txn->writes.count = 0;
    txn->savepoint_count = 0;
    txn->point_count = 0;
    txn->range_count = 0;
}

void ref_note_point(struct ref_txn *txn, struct ref_point point)
{
    if (txn->mode != LSM_TXN_SERIALIZABLE)
        return;
    txn->points = grown(txn->points, txn->point_count, &txn->point_capacity, sizeof *txn->points);
    txn->points[txn->point_count++] = point;
}

void ref_note_range(struct ref_txn *txn, const struct ref_range *range)
{
    if (txn->mode != LSM_TXN_SERIALIZABLE)
        return;
    txn->ranges = grown(txn->ranges, txn->range_count, &txn->range_capacity, sizeof *txn->ranges);
    txn->ranges[txn->range_count++] = *range;
}

void ref_close_children(struct reference *ref)
{
    for (size_t i = 0; i < REF_SLOTS; i++) {
        ref->iters[i].state = ITER_NONE;
        ref->snapshots[i].is_open = false;
        ref->pins[i].is_open = false;
        ref_txn_end(&ref->txns[i], TXN_NONE);
    }
    for (size_t i = 0; i < REF_BATCHES; i++) {
        ref->batches[i].writes.count = 0;
        ref->batches[i].added = 0;
    }
}

uint64_t ref_expiry(const struct reference *ref, uint32_t keyspace, const struct op *op)
{
    const uint64_t ttl = op->field[F_TTL] != 0 ? op->field[F_TTL] : ref->keyspaces[keyspace]->ttl;

    if (op->field[F_UNTIL] == UNTIL_NEVER)
        return 0;
    if (op->field[F_UNTIL] != 0)
        return OP_EPOCH_SECONDS + op->field[F_UNTIL];
    return ttl == 0 ? 0 : ref_wall(ref) + ttl;
}

// --- what iterators see ---

static bool is_inside(const struct reference *ref, const struct ref_iter *it, lsm_slice key)
{
    const int upper_order = it->has_upper ? slice_compare(key, it->upper) : -1;

    return (!it->has_lower || slice_compare(key, it->lower) >= 0) &&
           (upper_order < 0 || (upper_order == 0 && ref->mistake == REF_UPPER_INCLUDED));
}

// All versions of a key that must be there.
static void picture_versions(const struct reference *ref, uint32_t key, uint64_t ordinal,
                             uint64_t since, struct ref_iter *it)
{
    const struct ref_versions *versions = &ref->keyspaces[it->keyspace]->keys[key];

    for (uint32_t i = versions->count; i-- > 0;) {
        const struct ref_write *write = &ref->writes.items[versions->items[i]];

        if (write->ordinal <= ordinal && write->ordinal > since &&
            ref_must_stay(ref, write, it->oldest, it->now))
            ref_writes_add(&it->entries, write);
    }
}

static void picture_key(const struct reference *ref, const struct ref_txn *txn, uint32_t key,
                        uint64_t ordinal, uint64_t since, struct ref_iter *it)
{
    const struct ref_write *own = txn == NULL ? NULL : ref_own(txn, it->keyspace, key);
    const struct ref_write *shown;

    if ((it->flags & FLAG_ALL_VERSIONS) != 0) {
        if (own != NULL)
            ref_writes_add(&it->entries, own);
        picture_versions(ref, key, ordinal, since, it);
        return;
    }
    shown = own != NULL ? own : ref_newest(ref, it->keyspace, key, ordinal);
    if (!ref_is_absent(ref, shown, it->wall) && shown->ordinal > since)
        ref_writes_add(&it->entries, shown);
}

void ref_picture(const struct reference *ref, const struct ref_txn *txn, uint64_t ordinal,
                 uint64_t since, struct ref_iter *it)
{
    it->entries.count = 0;
    for (uint32_t key = 0; key < OP_KEYS; key++) {
        if (is_inside(ref, it, op_key(key)))
            picture_key(ref, txn, key, ordinal, since, it);
    }
}

// --- words ---

void line_entry(struct line *line, const struct entry_words *words)
{
    line_text(line, " k");
    line_number(line, words->key);
    line_text(line, "@");
    if (words->ordinal == REF_OWN)
        line_text(line, "own");
    else
        line_number(line, words->ordinal);
    if (words->is_delete) {
        line_text(line, ",deleted");
        return;
    }
    line_text(line, ",");
    line_number(line, words->user_byte);
    line_text(line, ",");
    line_number(line, words->expiry);
    line_text(line, ",");
    if (words->value == NULL)
        line_number(line, words->size);
    else
        line_value(line, *words->value);
}

void content_add(struct content *content, uint32_t key, uint64_t ordinal, lsm_slice value)
{
    const uint64_t words[4] = {content->hash, key, ordinal, hash64(value.data, value.size, 0)};

    content->count++;
    content->hash = hash64(words, sizeof words, 0);
}

void line_content(struct line *line, const char *name, const struct content *content)
{
    line_text(line, " ");
    line_text(line, name);
    line_text(line, "=");
    line_number(line, content->count);
    line_text(line, ":");
    line_number(line, content->hash >> 32);
}
