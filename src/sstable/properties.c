#include "sstable/properties.h"

void properties_release(struct properties *p)
{
    table_meta_free(p->meta);
    p->meta = NULL;
}

lsm_status properties_encode(const struct properties *p, lsm_buf *out)
{
    buf_clear(out);
    TRY(table_meta_encode(p->meta, out));
    TRY(buf_append_varint(out, p->block_count));
    TRY(buf_append_varint(out, p->data_raw_bytes));
    TRY(buf_append_varint(out, p->key_count));
    TRY(buf_append_varint(out, p->block_size));
    TRY(buf_append_varint(out, p->compression));
    return buf_append_varint(out, p->filter_millibits);
}

lsm_status properties_decode(lsm_slice bytes, struct properties *out)
{
    CLEANUP(table_meta_freep) struct table_meta *meta = NULL;
    struct reader r = reader_over(bytes);
    struct properties p;

    TRY(table_meta_decode(&r, &meta));
    p.block_count = read_varint64(&r);
    p.data_raw_bytes = read_varint64(&r);
    p.key_count = read_varint64(&r);
    p.block_size = read_varint64(&r);
    p.compression = read_varint32(&r);
    p.filter_millibits = read_varint32(&r);
    if (!reader_done(&r) || p.key_count == 0 || p.key_count > meta->entry_count)
        return lsm_fail(LSM_CORRUPT, "malformed properties of %zu bytes", bytes.size);
    p.meta = MOVE(meta);
    *out = p;
    return LSM_OK;
}

static bool references_equal(const struct table_meta *a, const struct table_meta *b)
{
    if (a->reference_count != b->reference_count)
        return false;
    for (size_t i = 0; i < a->reference_count; i++) {
        const struct segment_reference *x = &a->references[i];
        const struct segment_reference *y = &b->references[i];

        if (x->segment != y->segment || x->count != y->count || x->bytes != y->bytes)
            return false;
    }
    return true;
}

// The first field in which two tables differ, or NULL.
static const char *difference(const struct table_meta *a, const struct table_meta *b)
{
    if (a->id != b->id)
        return "number";
    if (!uuid_equal(&a->uuid, &b->uuid))
        return "uuid";
    if (a->size != b->size)
        return "size";
    if (ikey_compare(&a->smallest, &b->smallest) != 0)
        return "smallest key";
    if (ikey_compare(&a->largest, &b->largest) != 0)
        return "largest key";
    if (a->entry_count != b->entry_count || a->tombstone_count != b->tombstone_count)
        return "count of entries";
    if (a->raw_bytes != b->raw_bytes)
        return "size of entries";
    if (a->ts_min != b->ts_min || a->ts_max != b->ts_max)
        return "range of timestamps";
    if (a->expiry_min != b->expiry_min || a->expiry_max != b->expiry_max)
        return "range of expiry";
    if (a->created_wall != b->created_wall)
        return "time of creation";
    return references_equal(a, b) ? NULL : "references";
}

lsm_status properties_compare(const char *file, const struct table_meta *own,
                              const struct table_meta *expected)
{
    const char *field = difference(own, expected);

    if (field == NULL)
        return LSM_OK;
    return lsm_fail(LSM_CORRUPT, "%s: %s differs from what is known of the table", file, field);
}
