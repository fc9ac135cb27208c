// Parts of a key that order as the values they encode (lsm_key_*).
//
// Unsigned integers are 8 bytes, big-endian. Signed ones are the same with the sign
// bit flipped. Doubles: the bits with the sign flipped when positive, all flipped when
// negative; NaN is one value, behind infinity. Bytes: a zero byte becomes 00 FF, and
// 00 00 ends the part, so that a shorter string sorts before its extensions.

#include "base/coding.h"

#define SIGN_BIT (UINT64_C(1) << 63)
#define NAN_BITS UINT64_MAX

lsm_status lsm_key_add_u64(lsm_buf *key, uint64_t value)
{
    const uint64_t big_endian = __builtin_bswap64(value);

    if (key == NULL)
        return lsm_fail(LSM_INVALID, "lsm_key_add: key is NULL");
    return buf_append_u64(key, big_endian);
}

lsm_status lsm_key_add_i64(lsm_buf *key, int64_t value)
{
    return lsm_key_add_u64(key, (uint64_t)value ^ SIGN_BIT);
}

lsm_status lsm_key_add_double(lsm_buf *key, double value)
{
    uint64_t bits;

    if (value == 0)
        value = 0; // minus zero equals zero
    memcpy(&bits, &value, sizeof bits);
    if (value != value)
        bits = NAN_BITS;
    else
        bits = bits & SIGN_BIT ? ~bits : bits | SIGN_BIT;
    return lsm_key_add_u64(key, bits);
}

lsm_status lsm_key_add_bytes(lsm_buf *key, lsm_slice value)
{
    const uint8_t *from = value.data;
    size_t size = value.size + 2;
    uint8_t *to;

    if (key == NULL || (value.data == NULL && value.size != 0))
        return lsm_fail(LSM_INVALID, "lsm_key_add_bytes: %s is NULL",
                        key == NULL ? "key" : "value");
    for (size_t i = 0; i < value.size; i++)
        size += from[i] == 0;
    TRY(buf_reserve(key, key->size + size));
    to = (uint8_t *)key->data + key->size;
    for (size_t i = 0; i < value.size; i++) {
        *to++ = from[i];
        if (from[i] == 0)
            *to++ = 0xFF;
    }
    *to++ = 0;
    *to = 0;
    key->size += size;
    return LSM_OK;
}

lsm_status lsm_key_take_u64(lsm_slice *key, uint64_t *value)
{
    if (key == NULL || value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_key_take: %s is NULL", key == NULL ? "key" : "value");
    if (key->size < sizeof *value)
        return lsm_fail(LSM_INVALID, "the key has %zu bytes left, a number takes 8", key->size);
    *value = __builtin_bswap64(get_u64(key->data));
    *key = slice_from(*key, sizeof *value);
    return LSM_OK;
}

lsm_status lsm_key_take_i64(lsm_slice *key, int64_t *value)
{
    uint64_t bits;

    if (value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_key_take: value is NULL");
    TRY(lsm_key_take_u64(key, &bits));
    *value = (int64_t)(bits ^ SIGN_BIT);
    return LSM_OK;
}

lsm_status lsm_key_take_double(lsm_slice *key, double *value)
{
    uint64_t bits;

    if (value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_key_take: value is NULL");
    TRY(lsm_key_take_u64(key, &bits));
    if (bits == NAN_BITS) {
        *value = __builtin_nan("");
        return LSM_OK;
    }
    bits = bits & SIGN_BIT ? bits & ~SIGN_BIT : ~bits;
    memcpy(value, &bits, sizeof bits);
    return LSM_OK;
}

// Index of the 00 00 that ends the part, or the size when there is none.
static size_t find_end(lsm_slice key)
{
    const uint8_t *bytes = key.data;

    for (size_t i = 0; i + 1 < key.size; i++) {
        if (bytes[i] != 0)
            continue;
        if (bytes[i + 1] == 0)
            return i;
        if (bytes[i + 1] != 0xFF)
            break;
        i++;
    }
    return key.size;
}

lsm_status lsm_key_take_bytes(lsm_slice *key, lsm_buf *value)
{
    size_t end;
    const uint8_t *from;
    uint8_t *to;

    if (key == NULL || value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_key_take: %s is NULL", key == NULL ? "key" : "value");
    end = find_end(*key);
    if (end == key->size)
        return lsm_fail(LSM_INVALID, "the key does not go on with an encoded string");
    TRY(buf_reserve(value, end + 1));
    from = key->data;
    to = value->data;
    for (size_t i = 0; i < end; i++) {
        *to++ = from[i];
        if (from[i] == 0)
            i++; // the 0xFF behind it
    }
    value->size = (size_t)(to - (uint8_t *)value->data);
    *key = slice_from(*key, end + 2);
    return LSM_OK;
}
