// pointer.c -- value pointers: four varints, in the order of the fields.

#include "base/pointer.h"

size_t pointer_encode(const struct value_pointer *pointer, uint8_t *to)
{
    uint8_t *at = to;

    at = put_varint(at, pointer->segment);
    at = put_varint(at, pointer->offset);
    at = put_varint(at, pointer->record_size);
    at = put_varint(at, pointer->value_size);
    return (size_t)(at - to);
}

lsm_status pointer_decode(lsm_slice bytes, struct value_pointer *out)
{
    struct reader r = reader_over(bytes);
    struct value_pointer pointer;

    pointer.segment = read_varint32(&r);
    pointer.offset = read_varint64(&r);
    pointer.record_size = read_varint32(&r);
    pointer.value_size = read_varint32(&r);
    if (!reader_done(&r))
        return lsm_fail(LSM_CORRUPT, "value pointer: malformed, %zu bytes", bytes.size);
    *out = pointer;
    return LSM_OK;
}
