// coding.h -- integers on disk: little-endian, and LEB128 varints.
//
// Decoding goes through `struct reader`, which is bounded and remembers an
// overrun: a decoder reads straight through and asks once, at the end.

#ifndef LSM_BASE_CODING_H
#define LSM_BASE_CODING_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

#define VARINT_SIZE_MAX 10

static inline void put_u16(void *to, uint16_t value)
{
    value = htole16(value);
    memcpy(to, &value, sizeof value);
}

static inline void put_u32(void *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static inline void put_u64(void *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static inline uint16_t get_u16(const void *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static inline uint32_t get_u32(const void *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static inline uint64_t get_u64(const void *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

// Copies `bytes`, which may be none at NULL, to `to` and returns the byte after them.
static inline uint8_t *put_bytes(uint8_t *to, lsm_slice bytes)
{
    if (bytes.size != 0)
        memcpy(to, bytes.data, bytes.size);
    return to + bytes.size;
}

// Writes `value` at `to`, which has VARINT_SIZE_MAX bytes of room, and returns
// the byte after it.
static inline uint8_t *put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

static inline size_t varint_size(uint64_t value)
{
    return (size_t)((63 - __builtin_clzll(value | 1)) / 7 + 1);
}

// A bounded walk over bytes that may be hostile. After an overrun, or a varint
// that is too long or too large, every read returns zero or an empty slice.
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool is_bad;
};

static inline struct reader reader_over(lsm_slice bytes)
{
    const uint8_t *at = bytes.data;

    return (struct reader){.at = at, .end = at == NULL ? at : at + bytes.size, .is_bad = false};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

// Whether every read so far was good.
static inline bool reader_ok(const struct reader *r)
{
    return !r->is_bad;
}

// Whether every read was good and nothing is left.
static inline bool reader_done(const struct reader *r)
{
    return !r->is_bad && r->at == r->end;
}

// The next `size` bytes, borrowed from what the reader walks over.
static inline lsm_slice read_bytes(struct reader *r, uint64_t size)
{
    const uint8_t *at = r->at;

    if (UNLIKELY(r->is_bad || size > reader_left(r))) {
        r->is_bad = true;
        return slice_make("", 0);
    }
    r->at += size;
    return slice_make(at, (size_t)size);
}

static inline uint8_t read_u8(struct reader *r)
{
    lsm_slice bytes = read_bytes(r, 1);

    return bytes.size == 0 ? 0 : *(const uint8_t *)bytes.data;
}

static inline uint32_t read_u32(struct reader *r)
{
    lsm_slice bytes = read_bytes(r, sizeof(uint32_t));

    return bytes.size == 0 ? 0 : get_u32(bytes.data);
}

static inline uint64_t read_u64(struct reader *r)
{
    lsm_slice bytes = read_bytes(r, sizeof(uint64_t));

    return bytes.size == 0 ? 0 : get_u64(bytes.data);
}

// The part of read_varint64() behind its first byte.
uint64_t read_varint64_slow(struct reader *r);

static inline uint64_t read_varint64(struct reader *r)
{
    struct reader copy; // keeps `r` itself in registers
    uint64_t value;

    if (LIKELY(!r->is_bad && r->at < r->end && *r->at < 0x80))
        return *r->at++;
    copy = *r;
    value = read_varint64_slow(&copy);
    *r = copy;
    return value;
}

// A varint above 2^32 - 1 makes the reader bad.
uint32_t read_varint32(struct reader *r);

// A varint length and that many bytes.
static inline lsm_slice read_prefixed(struct reader *r)
{
    uint64_t size = read_varint64(r);

    return read_bytes(r, size);
}

#endif
