#include "sstable/references.h"

#include <stdlib.h>

#include "base/alloc.h"

void references_init(struct references *r)
{
    *r = (struct references){.items = NULL};
}

void references_release(struct references *r)
{
    mem_free(r->items);
    references_init(r);
}

lsm_status references_add(struct references *r, const struct value_pointer *pointer)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity == 0 ? 256 : r->capacity + r->capacity / 4;
        struct reference *grown = mem_resize_array(r->items, capacity, sizeof *grown);

        if (grown == NULL)
            return lsm_fail(LSM_NO_MEMORY, "references: %zu pointers", capacity);
        r->items = grown;
        r->capacity = capacity;
    }
    r->items[r->count++] = (struct reference){.offset = pointer->offset,
                                              .segment = pointer->segment,
                                              .record_size = pointer->record_size};
    return LSM_OK;
}

static int compare_references(const void *left, const void *right)
{
    const struct reference *a = left;
    const struct reference *b = right;

    if (a->segment != b->segment)
        return a->segment < b->segment ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

void references_sort(struct references *r)
{
    if (r->count > 1)
        qsort(r->items, r->count, sizeof *r->items, compare_references);
}

// The index behind the last item of the segment of item `from`.
static size_t segment_end(const struct references *r, size_t from)
{
    size_t end = from;

    while (end < r->count && r->items[end].segment == r->items[from].segment)
        end++;
    return end;
}

static size_t segment_count(const struct references *r)
{
    size_t count = 0;

    for (size_t i = 0; i < r->count; i = segment_end(r, i))
        count++;
    return count;
}

static struct segment_reference sum_range(const struct references *r, size_t from, size_t end)
{
    struct segment_reference sum = {.segment = r->items[from].segment, .count = end - from};

    for (size_t i = from; i < end; i++)
        sum.bytes += r->items[i].record_size;
    return sum;
}

lsm_status references_sum(const struct references *r, struct segment_reference **out, size_t *count)
{
    size_t segments = segment_count(r);
    struct segment_reference *sums = mem_alloc_zeroed(segments, sizeof *sums);
    size_t n = 0;

    if (sums == NULL)
        return lsm_fail(LSM_NO_MEMORY, "references: %zu segments", segments);
    for (size_t i = 0; i < r->count; i = segment_end(r, i))
        sums[n++] = sum_range(r, i, segment_end(r, i));
    *out = sums;
    *count = segments;
    return LSM_OK;
}

static lsm_status encode_segment(const struct references *r, size_t from, size_t end, lsm_buf *out)
{
    struct segment_reference sum = sum_range(r, from, end);
    size_t list_size = 0;
    uint64_t previous = 0;

    for (size_t i = from; i < end; i++) {
        list_size += varint_size(r->items[i].offset - previous);
        previous = r->items[i].offset;
    }
    TRY(buf_append_varint(out, sum.segment));
    TRY(buf_append_varint(out, sum.count));
    TRY(buf_append_varint(out, sum.bytes));
    TRY(buf_append_varint(out, list_size));
    previous = 0;
    for (size_t i = from; i < end; i++) {
        TRY(buf_append_varint(out, r->items[i].offset - previous));
        previous = r->items[i].offset;
    }
    return LSM_OK;
}

lsm_status references_encode(const struct references *r, lsm_buf *out)
{
    buf_clear(out);
    TRY(buf_append_varint(out, segment_count(r)));
    for (size_t i = 0; i < r->count; i = segment_end(r, i))
        TRY(encode_segment(r, i, segment_end(r, i), out));
    return LSM_OK;
}

static lsm_status fail_malformed(void)
{
    return lsm_fail(LSM_CORRUPT, "malformed reference block");
}

static lsm_status walk_offsets(const struct segment_reference *reference, lsm_slice list,
                               const struct references_visitor *visitor)
{
    struct reader r = reader_over(list);
    uint64_t offset = 0;

    for (uint64_t i = 0; i < reference->count; i++) {
        uint64_t step = read_varint64(&r);

        if (!reader_ok(&r) || offset + step < offset)
            return fail_malformed();
        offset += step;
        if (visitor->offset != NULL)
            TRY(visitor->offset(visitor->ctx, reference->segment, offset));
    }
    return reader_done(&r) ? LSM_OK : fail_malformed();
}

lsm_status references_walk(lsm_slice bytes, const struct references_visitor *visitor)
{
    struct reader r = reader_over(bytes);
    uint64_t segments = read_varint64(&r);
    uint64_t previous = 0;

    for (uint64_t i = 0; i < segments; i++) {
        struct segment_reference reference;
        lsm_slice list;

        reference.segment = read_varint32(&r);
        reference.count = read_varint64(&r);
        reference.bytes = read_varint64(&r);
        list = read_prefixed(&r);
        if (!reader_ok(&r) || reference.count == 0 || (i > 0 && reference.segment <= previous))
            return fail_malformed();
        if (visitor->segment != NULL)
            TRY(visitor->segment(visitor->ctx, &reference));
        TRY(walk_offsets(&reference, list, visitor));
        previous = reference.segment;
    }
    return reader_done(&r) ? LSM_OK : fail_malformed();
}
