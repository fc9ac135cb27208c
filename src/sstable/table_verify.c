// table_verify.c -- reads a whole table and holds every part against the others.

#include <inttypes.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "sstable/references.h"
#include "sstable/table_core.h"

struct verifier {
    struct table *table;
    struct table_core *core; // read afresh
    uint8_t *key;            // the full key of the entry at hand
    lsm_buf last_key;        // of the entry before it
    struct table_meta tally; // of the entries so far; `largest` is the last one
    struct ikey separator;   // of the block before, once there is one
    lsm_buf separator_key;
    uint64_t key_count;
    struct references references;
};

static lsm_status fail_at(struct verifier *v, const struct block_place *place, const char *what)
{
    return lsm_fail(LSM_CORRUPT, "%s: block at offset %" PRIu64 ": %s", v->table->file.name,
                    place->offset, what);
}

static lsm_status verify_key(struct verifier *v, const struct block_place *place,
                             const struct entry *entry)
{
    const struct ikey at = entry_ikey(entry);
    const struct ikey *last = &v->tally.largest;

    if (v->tally.entry_count > 0 && ikey_compare(last, &at) >= 0)
        return fail_at(v, place, "entries out of order");
    if (v->tally.entry_count == 0 || last->keyspace != at.keyspace ||
        !slice_equal(last->key, at.key)) {
        v->key_count++;
        if (!filter_may_contain(&v->core->filter, key_hash(at.keyspace, at.key)))
            return fail_at(v, place, "the filter denies a key");
    }
    return LSM_OK;
}

static lsm_status verify_entry(struct verifier *v, const struct block_place *place,
                               const struct entry *entry)
{
    struct value_pointer pointer;

    TRY(verify_key(v, place, entry));
    if (entry->kind == ENTRY_POINTER) {
        if (pointer_decode(entry->value, &pointer) != LSM_OK)
            return fail_at(v, place, "a malformed pointer");
        TRY(references_add(&v->references, &pointer));
    }
    table_meta_count(&v->tally, entry);
    TRY(buf_assign(&v->last_key, entry->key));
    v->tally.largest = entry_ikey(entry);
    v->tally.largest.key = slice_of_buf(&v->last_key);
    return LSM_OK;
}

// The separator of block `i`, which names the place up to which it may be asked.
static lsm_status take_separator(struct verifier *v, uint32_t i)
{
    struct entry entry = block_assemble(&v->core->index_view, i, v->key);

    TRY(buf_assign(&v->separator_key, entry.key));
    v->separator = entry_ikey(&entry);
    v->separator.key = slice_of_buf(&v->separator_key);
    return LSM_OK;
}

static lsm_status read_block(struct verifier *v, const struct block_place *place,
                             struct block **out)
{
    struct table_source source;

    EPOCH_SECTION();
    TRY(table_source_get(v->table, &source));
    return source_read_data(&source, place, out);
}

static lsm_status verify_block(struct verifier *v, uint32_t i)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct block_place place = index_place_at(&v->core->index_view, i);
    struct block_view view;

    TRY(read_block(v, &place, &block));
    view = block_view_of(block->bytes);
    for (uint32_t j = 0; j < view.count; j++) {
        struct entry entry = block_assemble(&view, j, v->key);
        struct ikey at = entry_ikey(&entry);

        if (j == 0 && i > 0 && ikey_compare(&v->separator, &at) >= 0)
            return fail_at(v, &place, "starts before the separator in the index");
        TRY(verify_entry(v, &place, &entry));
    }
    TRY(take_separator(v, i));
    if (ikey_compare(&v->tally.largest, &v->separator) > 0)
        return fail_at(v, &place, "ends behind its separator in the index");
    return LSM_OK;
}

static lsm_status read_references(struct verifier *v, struct block **out)
{
    struct table_source source;

    EPOCH_SECTION();
    TRY(table_source_get(v->table, &source));
    return source_read_references(&source, &v->core->footer, v->table->meta, out);
}

// The reference block is a function of the entries, byte for byte.
static lsm_status verify_references(struct verifier *v)
{
    CLEANUP(block_unrefp) struct block *block = NULL;
    CLEANUP(lsm_buf_free) lsm_buf expected = {.data = NULL};

    references_sort(&v->references);
    TRY(references_encode(&v->references, &expected));
    TRY(read_references(v, &block));
    if (slice_equal(slice_make(block->bytes, block->size), slice_of_buf(&expected)))
        return LSM_OK;
    return lsm_fail(LSM_CORRUPT,
                    "%s: references at offset %" PRIu64 " differ from what the entries point to",
                    v->table->file.name, v->core->footer.references_offset);
}

// What the entries add up to is what the manifest, and with it the table's
// properties, say.
static lsm_status verify_meta(struct verifier *v)
{
    CLEANUP(mem_freep) struct segment_reference *sums = NULL;
    const struct table_meta *meta = v->table->meta;
    struct table_meta own = *meta;

    TRY(references_sum(&v->references, &sums, &own.reference_count));
    own.references = sums;
    own.largest = v->tally.largest;
    own.entry_count = v->tally.entry_count;
    own.tombstone_count = v->tally.tombstone_count;
    own.raw_bytes = v->tally.raw_bytes;
    own.ts_min = v->tally.ts_min;
    own.ts_max = v->tally.ts_max;
    own.expiry_min = v->tally.expiry_min;
    own.expiry_max = v->tally.expiry_max;
    TRY(properties_compare(v->table->file.name, &own, meta));
    if (v->core->filter.probes != 0 && v->core->filter.key_count != v->key_count)
        return lsm_fail(LSM_CORRUPT, "%s: filter at offset %" PRIu64 " counts other keys",
                        v->table->file.name, v->core->footer.filter_offset);
    return LSM_OK;
}

static lsm_status verify_smallest(struct verifier *v)
{
    struct block_place place = index_place_at(&v->core->index_view, 0);
    CLEANUP(block_unrefp) struct block *block = NULL;
    struct block_view view;
    struct entry entry;
    struct ikey first;

    TRY(read_block(v, &place, &block));
    view = block_view_of(block->bytes);
    entry = block_assemble(&view, 0, v->key);
    first = entry_ikey(&entry);
    return ikey_compare(&first, &v->table->meta->smallest) == 0
               ? LSM_OK
               : fail_at(v, &place, "starts with another key than is known of the table");
}

static lsm_status load_core(struct verifier *v)
{
    EPOCH_SECTION();
    return table_core_load(v->table, &v->core);
}

static lsm_status verify_all(struct verifier *v)
{
    v->key = mem_alloc(BLOCK_KEY_ROOM_MAX);
    if (v->key == NULL)
        return lsm_fail(LSM_NO_MEMORY, "table: no memory to verify");
    TRY(load_core(v));
    TRY(verify_smallest(v));
    for (uint32_t i = 0; i < v->core->index_view.count; i++)
        TRY(verify_block(v, i));
    TRY(verify_references(v));
    return verify_meta(v);
}

lsm_status table_verify(struct table *table)
{
    struct verifier v = {.table = table};
    lsm_status status;

    references_init(&v.references);
    status = verify_all(&v);
    table_core_unref(v.core);
    mem_free(v.key);
    lsm_buf_free(&v.last_key);
    lsm_buf_free(&v.separator_key);
    references_release(&v.references);
    return status;
}
