#include "sstable/table_meta.h"

#include <assert.h>

#include "base/alloc.h"
#include "sstable/layout.h"

// Room for the fixed part, both keys and the references in one allocation.
static struct table_meta *meta_alloc(size_t reference_count, size_t key_bytes, uint8_t **keys)
{
    struct table_meta *m;
    size_t references_size;
    size_t size;

    if (__builtin_mul_overflow(reference_count, sizeof *m->references, &references_size) ||
        __builtin_add_overflow(references_size, sizeof *m + key_bytes, &size))
        return NULL;
    m = mem_alloc(size);
    if (m == NULL)
        return NULL;
    m->references = (struct segment_reference *)(m + 1);
    *keys = (uint8_t *)(m->references + reference_count);
    return m;
}

static_assert(sizeof(struct table_meta) % _Alignof(struct segment_reference) == 0,
              "the references lie right behind the struct");

static lsm_slice copy_key(uint8_t **to, lsm_slice key)
{
    lsm_slice copy = slice_make(*to, key.size);

    *to = put_bytes(*to, key);
    return copy;
}

lsm_status table_meta_copy(const struct table_meta *meta, struct table_meta **out)
{
    const size_t key_bytes = meta->smallest.key.size + meta->largest.key.size;
    struct segment_reference *references;
    struct table_meta *m;
    uint8_t *keys;

    m = meta_alloc(meta->reference_count, key_bytes, &keys);
    if (m == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table meta: %zu references", meta->reference_count);
    references = m->references;
    *m = *meta;
    m->references = references;
    if (meta->reference_count > 0)
        memcpy(references, meta->references, meta->reference_count * sizeof *references);
    m->smallest.key = copy_key(&keys, meta->smallest.key);
    m->largest.key = copy_key(&keys, meta->largest.key);
    *out = m;
    return LSM_OK;
}

void table_meta_free(struct table_meta *meta)
{
    mem_free(meta);
}

void table_meta_freep(struct table_meta **meta)
{
    table_meta_free(*meta);
}

static lsm_status append_bound(lsm_buf *to, const struct ikey *bound)
{
    TRY(buf_append_varint(to, bound->keyspace));
    TRY(buf_append_prefixed(to, bound->key));
    return buf_append_varint(to, bound->ts);
}

// The size has a fixed width: a table's own properties are encoded before the
// size of the file, which they are part of, is known.
lsm_status table_meta_encode(const struct table_meta *meta, lsm_buf *to)
{
    TRY(buf_append_varint(to, meta->id));
    TRY(buf_append(to, meta->uuid.bytes, UUID_SIZE));
    TRY(buf_append_u64(to, meta->size));
    TRY(append_bound(to, &meta->smallest));
    TRY(append_bound(to, &meta->largest));
    TRY(buf_append_varint(to, meta->entry_count));
    TRY(buf_append_varint(to, meta->tombstone_count));
    TRY(buf_append_varint(to, meta->raw_bytes));
    TRY(buf_append_varint(to, meta->ts_min));
    TRY(buf_append_varint(to, meta->ts_max));
    TRY(buf_append_varint(to, meta->expiry_min));
    TRY(buf_append_varint(to, meta->expiry_max));
    TRY(buf_append_varint(to, meta->created_wall));
    TRY(buf_append_varint(to, meta->reference_count));
    for (size_t i = 0; i < meta->reference_count; i++) {
        TRY(buf_append_varint(to, meta->references[i].segment));
        TRY(buf_append_varint(to, meta->references[i].count));
        TRY(buf_append_varint(to, meta->references[i].bytes));
    }
    return LSM_OK;
}

static struct ikey read_bound(struct reader *r)
{
    struct ikey bound;

    bound.keyspace = read_varint32(r);
    bound.key = read_prefixed(r);
    bound.ts = read_varint64(r);
    return bound;
}

// What must hold among the fields of any table, however it was written.
static bool meta_is_consistent(const struct table_meta *m)
{
    uint64_t pointers = 0;

    if (m->size == 0 || m->entry_count == 0 || m->tombstone_count > m->entry_count ||
        m->ts_min > m->ts_max || m->expiry_min > m->expiry_max ||
        (m->expiry_min == 0) != (m->expiry_max == 0))
        return false;
    if (m->smallest.key.size > LAYOUT_KEY_SIZE_MAX || m->largest.key.size > LAYOUT_KEY_SIZE_MAX ||
        ikey_compare(&m->smallest, &m->largest) > 0)
        return false;
    for (size_t i = 0; i < m->reference_count; i++) {
        const struct segment_reference *ref = &m->references[i];

        if ((i > 0 && ref->segment <= ref[-1].segment) || ref->count == 0 ||
            ref->count > m->entry_count - m->tombstone_count - pointers)
            return false;
        pointers += ref->count;
    }
    return true;
}

static lsm_status fail_malformed(const struct reader *r)
{
    return lsm_fail(LSM_CORRUPT, "table meta: malformed, with %zu bytes left", reader_left(r));
}

lsm_status table_meta_decode(struct reader *r, struct table_meta **out)
{
    CLEANUP(table_meta_freep) struct table_meta *copy = NULL;
    struct table_meta m = {.id = 0};
    uint64_t reference_count;
    lsm_slice uuid;
    uint8_t *keys;

    m.id = read_varint64(r);
    uuid = read_bytes(r, UUID_SIZE);
    m.size = read_u64(r);
    m.smallest = read_bound(r);
    m.largest = read_bound(r);
    m.entry_count = read_varint64(r);
    m.tombstone_count = read_varint64(r);
    m.raw_bytes = read_varint64(r);
    m.ts_min = read_varint64(r);
    m.ts_max = read_varint64(r);
    m.expiry_min = read_varint64(r);
    m.expiry_max = read_varint64(r);
    m.created_wall = read_varint64(r);
    reference_count = read_varint64(r);
    // A reference takes three bytes at least.
    if (!reader_ok(r) || reference_count > reader_left(r) / 3)
        return fail_malformed(r);
    memcpy(m.uuid.bytes, uuid.data, UUID_SIZE);
    m.smallest_head = slice_head(m.smallest.key);
    m.largest_head = slice_head(m.largest.key);
    copy = meta_alloc((size_t)reference_count, m.smallest.key.size + m.largest.key.size, &keys);
    if (copy == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table meta: %zu references", (size_t)reference_count);
    m.references = copy->references;
    m.reference_count = (size_t)reference_count;
    *copy = m;
    copy->smallest.key = copy_key(&keys, m.smallest.key);
    copy->largest.key = copy_key(&keys, m.largest.key);
    for (size_t i = 0; i < m.reference_count; i++) {
        m.references[i].segment = read_varint32(r);
        m.references[i].count = read_varint64(r);
        m.references[i].bytes = read_varint64(r);
    }
    if (!reader_ok(r) || !meta_is_consistent(copy))
        return fail_malformed(r);
    *out = MOVE(copy);
    return LSM_OK;
}

void table_meta_count(struct table_meta *m, const struct entry *entry)
{
    if (m->entry_count == 0 || entry->ts < m->ts_min)
        m->ts_min = entry->ts;
    if (entry->ts > m->ts_max)
        m->ts_max = entry->ts;
    m->entry_count++;
    m->tombstone_count += entry->kind == ENTRY_DELETE;
    m->raw_bytes += entry->key.size + (entry->kind == ENTRY_VALUE ? entry->value.size : 0);
    if (entry->expiry == 0)
        return;
    if (m->expiry_min == 0 || entry->expiry < m->expiry_min)
        m->expiry_min = entry->expiry;
    if (entry->expiry > m->expiry_max)
        m->expiry_max = entry->expiry;
}

uint64_t table_meta_referenced_bytes(const struct table_meta *meta)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < meta->reference_count; i++)
        sum += meta->references[i].bytes;
    return sum;
}

bool table_meta_overlaps(const struct table_meta *meta, uint32_t keyspace, const lsm_slice *from,
                         const lsm_slice *to)
{
    if (meta->largest.keyspace < keyspace || meta->smallest.keyspace > keyspace)
        return false;
    if (from != NULL && meta->largest.keyspace == keyspace &&
        slice_compare(meta->largest.key, *from) < 0)
        return false;
    return to == NULL || meta->smallest.keyspace != keyspace ||
           slice_compare(meta->smallest.key, *to) <= 0;
}
