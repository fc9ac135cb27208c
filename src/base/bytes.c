// bytes.c -- growing buffers.

#include "base/bytes.h"

#include <assert.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/coding.h"

#define BUF_CAPACITY_MIN 64 // of a first allocation

uint64_t slice_head_short(lsm_slice key)
{
    const uint8_t *bytes = key.data;
    uint64_t head = 0;

    assert(key.size < sizeof head);
    for (size_t i = 0; i < key.size; i++)
        head |= (uint64_t)bytes[i] << (56 - 8 * i);
    return head;
}

lsm_status slice_successor(lsm_slice key, lsm_buf *successor)
{
    TRY(buf_reserve(successor, key.size + 1));
    TRY(buf_assign(successor, key));
    return buf_append_u8(successor, 0);
}

lsm_status slice_prefix_successor(lsm_slice prefix, bool *exists, lsm_buf *successor)
{
    const uint8_t *bytes = prefix.data;
    size_t size = prefix.size;

    while (size > 0 && bytes[size - 1] == 0xFF)
        size--;
    if (size > 0) {
        TRY(buf_assign(successor, slice_make(bytes, size)));
        ((uint8_t *)successor->data)[size - 1]++;
    }
    *exists = size > 0;
    return LSM_OK;
}

lsm_status buf_reserve(lsm_buf *buf, uint64_t capacity)
{
    uint64_t grown = buf->capacity + buf->capacity / 2;
    void *data;

    if (LIKELY(capacity <= buf->capacity))
        return LSM_OK;
    if (grown < capacity)
        grown = capacity;
    if (grown < BUF_CAPACITY_MIN)
        grown = BUF_CAPACITY_MIN;
    data = grown == (size_t)grown ? mem_resize(buf->data, (size_t)grown) : NULL;
    if (data == NULL)
        return lsm_fail(LSM_NO_MEMORY, "buffer: %" PRIu64 " bytes", grown);
    buf->data = data;
    buf->capacity = (size_t)grown;
    return LSM_OK;
}

// Makes room for `size` more bytes and sets `*at` to it.
static lsm_status buf_make_room(lsm_buf *buf, size_t size, uint8_t **at)
{
    size_t capacity;

    if (__builtin_add_overflow(buf->size, size, &capacity))
        return lsm_fail(LSM_NO_MEMORY, "buffer: %zu and %zu bytes", buf->size, size);
    TRY(buf_reserve(buf, capacity));
    *at = (uint8_t *)buf->data + buf->size;
    return LSM_OK;
}

lsm_status buf_append(lsm_buf *buf, const void *data, size_t size)
{
    uint8_t *at;

    if (size == 0)
        return LSM_OK;
    TRY(buf_make_room(buf, size, &at));
    memcpy(at, data, size);
    buf->size += size;
    return LSM_OK;
}

lsm_status buf_append_u8(lsm_buf *buf, uint8_t value)
{
    return buf_append(buf, &value, sizeof value);
}

lsm_status buf_append_u64(lsm_buf *buf, uint64_t value)
{
    uint8_t bytes[sizeof value];

    put_u64(bytes, value);
    return buf_append(buf, bytes, sizeof bytes);
}

lsm_status buf_append_varint(lsm_buf *buf, uint64_t value)
{
    uint8_t bytes[VARINT_SIZE_MAX];
    uint8_t *end = put_varint(bytes, value);

    return buf_append(buf, bytes, (size_t)(end - bytes));
}

lsm_status buf_append_prefixed(lsm_buf *buf, lsm_slice bytes)
{
    uint8_t *at;
    size_t room;

    if (__builtin_add_overflow(bytes.size, VARINT_SIZE_MAX, &room))
        return lsm_fail(LSM_NO_MEMORY, "buffer: %zu bytes", bytes.size);
    TRY(buf_make_room(buf, room, &at));
    at = put_varint(at, bytes.size);
    if (bytes.size != 0)
        memcpy(at, bytes.data, bytes.size);
    buf->size = (size_t)(at - (uint8_t *)buf->data) + bytes.size;
    return LSM_OK;
}

lsm_slice lsm_str(const char *text)
{
    return slice_of(text);
}

void lsm_buf_free(lsm_buf *buf)
{
    if (buf == NULL)
        return;
    mem_free(buf->data);
    *buf = (lsm_buf){0};
}
