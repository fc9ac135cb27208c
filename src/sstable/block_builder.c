#include "sstable/block_builder.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "sstable/block.h"

#define HEAD_SIZE 8
// Of an entry beside its key and value: size, flags, timestamp, user byte, expiry.
#define ENTRY_FIXED_MAX (5 + 1 + 8 + 1 + VARINT_SIZE_MAX)

struct block_builder_entry {
    size_t key_at; // of the full key in `bytes`; the value lies behind it
    uint32_t key_size;
    uint32_t value_size;
    uint64_t ts;
    uint64_t expiry;
    uint8_t kind;
    uint8_t user_byte;
};

void block_builder_init(struct block_builder *b)
{
    *b = (struct block_builder){.count = 0};
}

void block_builder_release(struct block_builder *b)
{
    lsm_buf_free(&b->bytes);
    mem_free(b->entries);
    block_builder_init(b);
}

void block_builder_clear(struct block_builder *b)
{
    buf_clear(&b->bytes);
    b->count = 0;
}

static lsm_status reserve(struct block_builder *b, size_t bytes)
{
    if (b->count == b->capacity) {
        size_t capacity = b->capacity == 0 ? 64 : b->capacity * 2;
        void *grown = mem_resize_array(b->entries, capacity, sizeof *b->entries);

        if (grown == NULL)
            return lsm_fail(LSM_NO_MEMORY, "block: %zu entries", capacity);
        b->entries = grown;
        b->capacity = capacity;
    }
    return buf_reserve(&b->bytes, b->bytes.size + bytes);
}

static size_t common_size(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t limit = a_size < b_size ? a_size : b_size;
    size_t n = 0;

    while (n < limit && a[n] == b[n])
        n++;
    return n;
}

lsm_status block_builder_add(struct block_builder *b, const struct entry *entry)
{
    const size_t key_size = BLOCK_KEYSPACE_SIZE + entry->key.size;
    uint8_t *key;

    TRY(reserve(b, key_size + entry->value.size));
    key = (uint8_t *)b->bytes.data + b->bytes.size;
    for (size_t i = 0; i < BLOCK_KEYSPACE_SIZE; i++)
        key[i] = (uint8_t)(entry->keyspace >> (24 - 8 * i));
    memcpy(key + BLOCK_KEYSPACE_SIZE, entry->key.data, entry->key.size);
    if (entry->value.size > 0)
        memcpy(key + key_size, entry->value.data, entry->value.size);
    b->entries[b->count] = (struct block_builder_entry){
        .key_at = b->bytes.size,
        .key_size = (uint32_t)key_size,
        .value_size = (uint32_t)entry->value.size,
        .ts = entry->ts,
        .expiry = entry->expiry,
        .kind = entry->kind,
        .user_byte = entry->user_byte,
    };
    // Keys come in order, so the first and the newest share what all share.
    b->prefix_size =
        b->count == 0 ? key_size : common_size(b->bytes.data, b->prefix_size, key, key_size);
    b->ts_min = b->count == 0 || entry->ts < b->ts_min ? entry->ts : b->ts_min;
    b->ts_max = b->count == 0 || entry->ts > b->ts_max ? entry->ts : b->ts_max;
    b->bytes.size += key_size + entry->value.size;
    b->count++;
    return LSM_OK;
}

static uint8_t bytes_of(uint64_t value)
{
    return (uint8_t)(value == 0 ? 0 : (71 - __builtin_clzll(value)) / 8);
}

size_t block_builder_size(const struct block_builder *b)
{
    const size_t ts_size = bytes_of(b->ts_max - b->ts_min);

    // Each entry: a size of mostly one byte, flags, timestamp, head, two bytes of
    // offset; the key counts whole but for the prefix, which covers the rest.
    return BLOCK_HEADER_SIZE + b->prefix_size + 2 + b->count * (2 + ts_size + HEAD_SIZE + 2) +
           b->bytes.size - b->count * b->prefix_size;
}

static size_t encoded_size_max(const struct block_builder *b)
{
    return BLOCK_HEADER_SIZE + b->prefix_size + sizeof(uint32_t) +
           b->count * (HEAD_SIZE + sizeof(uint32_t) + ENTRY_FIXED_MAX) + b->bytes.size;
}

static uint8_t *put_ts(uint8_t *to, uint64_t value, uint8_t size)
{
    uint8_t bytes[sizeof value];

    put_u64(bytes, value);
    memcpy(to, bytes, size);
    return to + size;
}

static uint8_t *put_slice(uint8_t *to, lsm_slice bytes)
{
    if (bytes.size > 0)
        memcpy(to, bytes.data, bytes.size);
    return to + bytes.size;
}

static lsm_slice suffix_of(const struct block_builder *b, const struct block_builder_entry *e)
{
    const uint8_t *key = (const uint8_t *)b->bytes.data + e->key_at;

    return slice_make(key + b->prefix_size, e->key_size - b->prefix_size);
}

static uint8_t *put_entry(const struct block_builder *b, const struct block_builder_entry *e,
                          uint8_t *at)
{
    const uint8_t *key = (const uint8_t *)b->bytes.data + e->key_at;
    lsm_slice suffix = suffix_of(b, e);
    unsigned flags = e->kind;

    flags |= e->user_byte != 0 ? BLOCK_HAS_USER_BYTE : 0;
    flags |= e->expiry != 0 ? BLOCK_HAS_EXPIRY : 0;
    at = put_varint(at, suffix.size);
    *at++ = (uint8_t)flags;
    at = put_ts(at, e->ts - b->ts_min, bytes_of(b->ts_max - b->ts_min));
    if (e->user_byte != 0)
        *at++ = e->user_byte;
    if (e->expiry != 0)
        at = put_varint(at, e->expiry);
    if (suffix.size > HEAD_SIZE)
        at = put_slice(at, slice_from(suffix, HEAD_SIZE));
    return put_slice(at, slice_make(key + e->key_size, e->value_size));
}

static void put_offset(uint8_t *offsets, size_t i, uint8_t width, size_t value)
{
    if (width == sizeof(uint16_t))
        put_u16(offsets + i * width, (uint16_t)value);
    else
        put_u32(offsets + i * width, (uint32_t)value);
}

// Encodes with offsets of `width` bytes, into `out`, which has room; returns the
// size of the entries alone.
static size_t encode_with_width(const struct block_builder *b, uint8_t width, lsm_buf *out)
{
    uint8_t *start = out->data;
    uint8_t *heads = start + BLOCK_HEADER_SIZE;
    uint8_t *offsets = heads + b->count * HEAD_SIZE;
    uint8_t *prefix = offsets + (b->count + 1) * width;
    uint8_t *entries = prefix + b->prefix_size;
    uint8_t *at = entries;

    memset(start, 0, BLOCK_HEADER_SIZE);
    put_u32(start, (uint32_t)b->count);
    put_u32(start + 4, (uint32_t)b->prefix_size);
    put_u64(start + 8, b->ts_min);
    start[16] = bytes_of(b->ts_max - b->ts_min);
    start[17] = width;
    memcpy(prefix, b->bytes.data, b->prefix_size);
    for (size_t i = 0; i < b->count; i++) {
        put_u64(heads + i * HEAD_SIZE, slice_head(suffix_of(b, &b->entries[i])));
        put_offset(offsets, i, width, (size_t)(at - entries));
        at = put_entry(b, &b->entries[i], at);
    }
    put_offset(offsets, b->count, width, (size_t)(at - entries));
    out->size = (size_t)(at - start);
    return (size_t)(at - entries);
}

lsm_status block_builder_encode(const struct block_builder *b, lsm_buf *out)
{
    size_t size_max = encoded_size_max(b);

    assert(b->count > 0);
    if (size_max > UINT32_MAX / 2)
        return lsm_fail(LSM_INVALID, "block: %zu bytes are too many for one block", size_max);
    TRY(buf_reserve(out, size_max));
    if (encode_with_width(b, sizeof(uint16_t), out) > UINT16_MAX)
        (void)encode_with_width(b, sizeof(uint32_t), out);
    return LSM_OK;
}
