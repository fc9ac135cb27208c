#include "sstable/block_builder.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "sstable/block.h"

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
    *b = (struct block_builder){.entries = NULL};
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
    b->shape = (struct block_shape){.count = 0};
}

static lsm_status reserve(struct block_builder *b, size_t bytes)
{
    if (b->shape.count == b->capacity) {
        size_t capacity = b->capacity == 0 ? 64 : b->capacity * 2;
        void *grown = mem_resize_array(b->entries, capacity, sizeof *b->entries);

        if (grown == NULL)
            return lsm_fail(LSM_NO_MEMORY, "block: %zu entries", capacity);
        b->entries = grown;
        b->capacity = capacity;
    }
    return buf_reserve(&b->bytes, b->bytes.size + bytes);
}

static size_t common_size(const uint8_t *a, const uint8_t *b, size_t limit)
{
    size_t n = 0;

    while (n < limit && a[n] == b[n])
        n++;
    return n;
}

// How many bytes at the start of the block's prefix `entry` shares.
static size_t shared_prefix(const struct block_builder *b, const struct entry *entry)
{
    const uint8_t *prefix = b->bytes.data;
    uint8_t keyspace[BLOCK_KEYSPACE_SIZE];
    size_t size = b->shape.prefix_size;

    block_put_keyspace(keyspace, entry->keyspace);
    if (size <= BLOCK_KEYSPACE_SIZE || memcmp(prefix, keyspace, BLOCK_KEYSPACE_SIZE) != 0)
        return common_size(prefix, keyspace,
                           size < BLOCK_KEYSPACE_SIZE ? size : BLOCK_KEYSPACE_SIZE);
    size -= BLOCK_KEYSPACE_SIZE;
    if (entry->key.size < size)
        size = entry->key.size;
    return BLOCK_KEYSPACE_SIZE + common_size(prefix + BLOCK_KEYSPACE_SIZE, entry->key.data, size);
}

// The shape with one more entry. A later, shorter prefix leaves less padding in
// heads, so what is counted here is enough.
static struct block_shape shape_with(const struct block_builder *b, const struct entry *entry)
{
    const size_t key_size = BLOCK_KEYSPACE_SIZE + entry->key.size;
    struct block_shape s = b->shape;
    size_t suffix_size;

    // Keys come in order, so the first and the newest share what all share.
    s.prefix_size = s.count == 0 ? key_size : shared_prefix(b, entry);
    s.ts_min = s.count == 0 || entry->ts < s.ts_min ? entry->ts : s.ts_min;
    s.ts_max = s.count == 0 || entry->ts > s.ts_max ? entry->ts : s.ts_max;
    suffix_size = key_size - s.prefix_size;
    s.overhead += varint_size(key_size) + 1;
    s.overhead += suffix_size < BLOCK_HEAD_SIZE ? BLOCK_HEAD_SIZE - suffix_size : 0;
    s.overhead += entry->user_byte != 0;
    s.overhead += entry->expiry != 0 ? varint_size(entry->expiry) : 0;
    s.payload_bytes += key_size + entry->value.size;
    s.count++;
    return s;
}

lsm_status block_builder_add(struct block_builder *b, const struct entry *entry)
{
    const struct block_shape shape = shape_with(b, entry);
    const size_t key_size = BLOCK_KEYSPACE_SIZE + entry->key.size;
    uint8_t *key;

    TRY(reserve(b, key_size + entry->value.size));
    key = (uint8_t *)b->bytes.data + b->bytes.size;
    block_put_keyspace(key, entry->keyspace);
    (void)put_bytes(put_bytes(key + BLOCK_KEYSPACE_SIZE, entry->key), entry->value);
    b->entries[b->shape.count] = (struct block_builder_entry){
        .key_at = b->bytes.size,
        .key_size = (uint32_t)key_size,
        .value_size = (uint32_t)entry->value.size,
        .ts = entry->ts,
        .expiry = entry->expiry,
        .kind = entry->kind,
        .user_byte = entry->user_byte,
    };
    b->bytes.size += key_size + entry->value.size;
    b->shape = shape;
    return LSM_OK;
}

static uint8_t bytes_of(uint64_t value)
{
    return (uint8_t)(value == 0 ? 0 : (71 - __builtin_clzll(value)) / 8);
}

// Heads and entries: never less than they take.
static size_t entries_size_max(const struct block_shape *s)
{
    return s->overhead + s->count * bytes_of(s->ts_max - s->ts_min) + s->payload_bytes -
           s->count * s->prefix_size;
}

static uint8_t offset_size(const struct block_shape *s)
{
    return entries_size_max(s) > UINT16_MAX ? sizeof(uint32_t) : sizeof(uint16_t);
}

static size_t shape_size(const struct block_shape *s)
{
    return BLOCK_HEADER_SIZE + (s->count + 1) * offset_size(s) + s->prefix_size +
           entries_size_max(s);
}

size_t block_builder_memory(const struct block_builder *b)
{
    return b->bytes.size + b->shape.count * sizeof *b->entries;
}

size_t block_builder_size(const struct block_builder *b)
{
    return shape_size(&b->shape);
}

size_t block_builder_size_with(const struct block_builder *b, const struct entry *entry)
{
    const struct block_shape shape = shape_with(b, entry);

    return shape_size(&shape);
}

static uint8_t *put_ts(uint8_t *to, uint64_t value, uint8_t size)
{
    uint8_t bytes[sizeof value];

    put_u64(bytes, value);
    memcpy(to, bytes, size);
    return to + size;
}

static lsm_slice suffix_of(const struct block_builder *b, const struct block_builder_entry *e)
{
    const uint8_t *key = (const uint8_t *)b->bytes.data + e->key_at;

    return slice_make(key + b->shape.prefix_size, e->key_size - b->shape.prefix_size);
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
    at = put_ts(at, e->ts - b->shape.ts_min, bytes_of(b->shape.ts_max - b->shape.ts_min));
    if (e->user_byte != 0)
        *at++ = e->user_byte;
    if (e->expiry != 0)
        at = put_varint(at, e->expiry);
    if (suffix.size > BLOCK_HEAD_SIZE)
        at = put_bytes(at, slice_from(suffix, BLOCK_HEAD_SIZE));
    return put_bytes(at, slice_make(key + e->key_size, e->value_size));
}

static void put_offset(uint8_t *offsets, size_t i, uint8_t width, size_t value)
{
    if (width == sizeof(uint16_t))
        put_u16(offsets + i * width, (uint16_t)value);
    else
        put_u32(offsets + i * width, (uint32_t)value);
}

static void put_block(const struct block_builder *b, lsm_buf *out)
{
    const struct block_shape *s = &b->shape;
    const uint8_t width = offset_size(s);
    uint8_t *start = out->data;
    uint8_t *heads = start + BLOCK_HEADER_SIZE;
    uint8_t *offsets = heads + s->count * BLOCK_HEAD_SIZE;
    uint8_t *prefix = offsets + (s->count + 1) * width;
    uint8_t *entries = prefix + s->prefix_size;
    uint8_t *at = entries;

    memset(start, 0, BLOCK_HEADER_SIZE);
    put_u32(start, (uint32_t)s->count);
    put_u32(start + 4, (uint32_t)s->prefix_size);
    put_u64(start + 8, s->ts_min);
    start[16] = bytes_of(s->ts_max - s->ts_min);
    start[17] = width;
    memcpy(prefix, b->bytes.data, s->prefix_size);
    for (size_t i = 0; i < s->count; i++) {
        put_u64(heads + i * BLOCK_HEAD_SIZE, slice_head(suffix_of(b, &b->entries[i])));
        put_offset(offsets, i, width, (size_t)(at - entries));
        at = put_entry(b, &b->entries[i], at);
    }
    put_offset(offsets, s->count, width, (size_t)(at - entries));
    out->size = (size_t)(at - start);
}

lsm_status block_builder_encode(const struct block_builder *b, lsm_buf *out)
{
    const size_t size_max = shape_size(&b->shape);

    assert(b->shape.count > 0);
    if (size_max > UINT32_MAX / 2)
        return lsm_fail(LSM_INVALID, "block: %zu bytes are too many for one block", size_max);
    TRY(buf_reserve(out, size_max));
    put_block(b, out);
    assert(out->size <= size_max);
    return LSM_OK;
}
