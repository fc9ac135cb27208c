// bytes.h -- slices that borrow and buffers that own.

#ifndef LSM_BASE_BYTES_H
#define LSM_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

static inline lsm_slice slice_make(const void *data, size_t size)
{
    return (lsm_slice){.data = data, .size = size};
}

static inline lsm_slice slice_of(const char *text)
{
    return slice_make(text, strlen(text));
}

static inline lsm_slice slice_of_buf(const lsm_buf *buf)
{
    return slice_make(buf->data, buf->size);
}

// The bytes of `slice` from `offset`, which is at most its size.
static inline lsm_slice slice_from(lsm_slice slice, size_t offset)
{
    return slice_make((const uint8_t *)slice.data + offset, slice.size - offset);
}

// Eight bytes as a number whose most significant byte is the first.
static inline uint64_t bytes_word(const void *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return be64toh(word);
}

// memcmp() for `size` above 0. Most keys have 8 to 16 bytes: two words, which may overlap,
// spare them the call.
static inline int bytes_compare(const void *a, const void *b, size_t size)
{
    uint64_t x;
    uint64_t y;

    if (size < sizeof x || size > 2 * sizeof x)
        return memcmp(a, b, size);
    x = bytes_word(a);
    y = bytes_word(b);
    if (x == y) {
        x = bytes_word((const uint8_t *)a + size - sizeof x);
        y = bytes_word((const uint8_t *)b + size - sizeof y);
    }
    return (x > y) - (x < y);
}

// Orders by memcmp, then by length: less than, equal to or greater than 0.
static inline int slice_compare(lsm_slice a, lsm_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : bytes_compare(a.data, b.data, common);

    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool slice_equal(lsm_slice a, lsm_slice b)
{
    return a.size == b.size && (a.size == 0 || bytes_compare(a.data, b.data, a.size) == 0);
}

static inline bool slice_has_prefix(lsm_slice slice, lsm_slice prefix)
{
    return slice.size >= prefix.size &&
           (prefix.size == 0 || memcmp(slice.data, prefix.data, prefix.size) == 0);
}

// The first eight bytes of a key as a big-endian number, short keys padded with
// zeroes: heads order as keys do, except that equal heads decide nothing.
uint64_t slice_head_short(lsm_slice key); // of one shorter than a head
static inline uint64_t slice_head(lsm_slice key)
{
    return LIKELY(key.size >= sizeof(uint64_t)) ? bytes_word(key.data) : slice_head_short(key);
}

// Writes the place just behind `key`, one zero byte longer: no key lies between the two, so that
// "behind a key" and "up to it" are "from" and "before" its successor. Of a key of the greatest
// length it is a place only, and no key.
lsm_status slice_successor(lsm_slice key, lsm_buf *successor);

// Writes the smallest key that is greater than every key with prefix `prefix`
// into `successor`. `*exists` is false when there is none, because the prefix is empty or
// all 0xFF.
lsm_status slice_prefix_successor(lsm_slice prefix, bool *exists, lsm_buf *successor);

// Buffers grow by at least half, so appending is linear in total. Each function
// returns LSM_NO_MEMORY with the buffer unchanged when memory is short. The
// bytes given must not lie in the buffer itself. A capacity may be one that a file tells,
// and more than this machine can address.
lsm_status buf_reserve(lsm_buf *buf, uint64_t capacity);
lsm_status buf_append(lsm_buf *buf, const void *data, size_t size);
lsm_status buf_append_u8(lsm_buf *buf, uint8_t value);
lsm_status buf_append_u64(lsm_buf *buf, uint64_t value);
lsm_status buf_append_varint(lsm_buf *buf, uint64_t value);
// A varint length and the bytes: what read_prefixed() reads.
lsm_status buf_append_prefixed(lsm_buf *buf, lsm_slice bytes);

static inline lsm_status buf_assign(lsm_buf *buf, lsm_slice bytes)
{
    if (UNLIKELY(bytes.size > buf->capacity))
        TRY(buf_reserve(buf, bytes.size));
    if (bytes.size != 0)
        memcpy(buf->data, bytes.data, bytes.size);
    buf->size = bytes.size;
    return LSM_OK;
}

static inline void buf_clear(lsm_buf *buf)
{
    buf->size = 0;
}

#endif
