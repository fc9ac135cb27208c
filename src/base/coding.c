// coding.c -- varints of more than one byte.

#include "base/coding.h"

uint64_t read_varint64_slow(struct reader *r)
{
    const uint8_t *at = r->at;
    uint64_t value = 0;

    if (r->is_bad)
        return 0;
    for (unsigned shift = 0; shift < 64 && at < r->end; shift += 7) {
        uint8_t byte = *at++;

        if (shift == 63 && byte > 1)
            break; // the tenth byte has room for one bit, the last
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            r->at = at;
            return value;
        }
    }
    r->is_bad = true;
    return 0;
}

uint32_t read_varint32(struct reader *r)
{
    uint64_t value = read_varint64(r);

    if (UNLIKELY(value > UINT32_MAX)) {
        r->is_bad = true;
        return 0;
    }
    return (uint32_t)value;
}
